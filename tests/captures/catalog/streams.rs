//! One exchange, over every kind of TCP that a stream editor meets.
//!
//! In each of them the client says [`REQUEST`] and the server [`RESPONSE`],
//! a line a segment unless the scenario is about something else, so that a
//! rule that edits the lines must lead to the same text at both ends however
//! the segments came. The exceptions say so: `rst` ends early, and in
//! `conflict` and `conflict-late` someone sends other bytes for a line.
//!
//! The acknowledgements are those of receivers of the bytes as recorded.

use std::time::Duration;

use super::super::conversation::{Conversation, client};
use super::super::scenario::Scenario;
use super::{Capture, Family, fixture};

pub const REQUEST: [&[u8]; 3] = [b"name: alice\n", b"secret: 0123456789\n", b"bye\n"];

pub const RESPONSE: [&[u8]; 5] = [
    b"welcome, alice\n",
    b"the quick brown fox\n",
    b"jumps over\n",
    b"the lazy dog\n",
    b"goodbye, alice\n",
];

/// Where each line of [`RESPONSE`] begins.
const LINE_STARTS: [usize; 5] = [0, 15, 35, 46, 59];

const SCENARIOS: [(&str, Play); 18] = [
    ("stream-plain", plain),
    ("stream-options", options),
    ("stream-wrap", wrap),
    ("stream-loss", loss),
    ("stream-loss-unseen", loss_unseen),
    ("stream-sack", sack),
    ("stream-reorder", reorder),
    ("stream-overlap", overlap),
    ("stream-merged-retransmission", merged_retransmission),
    ("stream-conflict", conflict),
    ("stream-conflict-late", conflict_late),
    ("stream-one-byte", one_byte),
    ("stream-partial-ack", partial_ack),
    ("stream-keep-alive", keep_alive),
    ("stream-fin-with-data", fin_with_data),
    ("stream-half-close", half_close),
    ("stream-rst", rst),
    ("stream-vlan", vlan),
];

type Play = fn(&mut Conversation);

pub fn all() -> Vec<Capture> {
    let mut captures = Vec::new();
    for (name, play) in SCENARIOS {
        for family in Family::BOTH {
            let mut conversation = prepare(name, family);
            play(&mut conversation);
            let mut scenario = Scenario::new();
            scenario.plays(conversation);
            captures.push(fixture(name, family, scenario.into_recording()));
        }
    }
    captures
}

/// The options that a scenario needs must be known before its SYN.
fn prepare(name: &str, family: Family) -> Conversation {
    let conversation = match family {
        Family::V4 => client("10.1.0.7:40312", "10.2.0.80:7000"),
        Family::V6 => client("[2001:db8:1::7]:40312", "[2001:db8:2::80]:7000"),
    };
    match name {
        "stream-options" => conversation
            .with_sack()
            .with_timestamps()
            .with_window_scale(7),
        "stream-sack" => conversation.with_sack().with_timestamps(),
        "stream-wrap" => conversation.wraps_sequence().with_sack(),
        "stream-one-byte" => conversation.with_mss(1),
        "stream-vlan" => conversation.on_vlans(&[100]),
        _ => conversation,
    }
}

fn plain(c: &mut Conversation) {
    c.handshake();
    ask(c);
    answer(c, 0);
    c.closes();
}

fn options(c: &mut Conversation) {
    plain(c);
}

/// Sequence number 0 lies within the first line of each direction, and a loss
/// after it makes the SACK blocks wrap as well.
fn wrap(c: &mut Conversation) {
    c.handshake();
    ask(c);
    c.server().loses(RESPONSE[0]);
    answer(c, 1);
    c.server().retransmits();
    c.closes();
}

/// The observer sees the line twice, the client once.
fn loss(c: &mut Conversation) {
    c.handshake();
    c.client_says(REQUEST[0]);
    c.client().loses(REQUEST[1]);
    c.client().says(REQUEST[2]);
    c.client().retransmits();
    c.server_says(RESPONSE[0]);
    c.server().loses(RESPONSE[1]);
    answer(c, 2);
    c.server().retransmits();
    c.closes();
}

/// The observer sees a hole until the line is retransmitted.
fn loss_unseen(c: &mut Conversation) {
    c.handshake();
    c.client().loses_unseen(REQUEST[0]);
    c.client().says(REQUEST[1]);
    c.client().says(REQUEST[2]);
    c.client().retransmits();
    c.server_says(RESPONSE[0]);
    c.server().loses_unseen(RESPONSE[1]);
    answer(c, 2);
    c.server().retransmits();
    c.closes();
}

/// Two holes at once: up to two SACK blocks, of which one vanishes first.
fn sack(c: &mut Conversation) {
    c.handshake();
    ask(c);
    c.server().loses(RESPONSE[0]);
    c.server().says(RESPONSE[1]);
    c.server().loses_unseen(RESPONSE[2]);
    c.server().says(RESPONSE[3]);
    c.server().says(RESPONSE[4]);
    c.server().retransmits();
    c.closes();
}

fn reorder(c: &mut Conversation) {
    c.handshake();
    c.client().reorders(&REQUEST, &[2, 0, 1]);
    c.server().reorders(&RESPONSE, &[0, 3, 2, 1, 4]);
    c.closes();
}

/// Retransmissions that begin within one line and end within another.
fn overlap(c: &mut Conversation) {
    c.handshake();
    ask(c);
    c.server_says(RESPONSE[0]);
    c.server().loses(RESPONSE[1]);
    c.server().resends(LINE_STARTS[1] - 4..LINE_STARTS[2] - 5);
    c.server().resends(LINE_STARTS[2] - 9..LINE_STARTS[2]);
    answer(c, 2);
    c.closes();
}

/// Three lines are lost and come back as one segment.
fn merged_retransmission(c: &mut Conversation) {
    c.handshake();
    ask(c);
    c.server_says(RESPONSE[0]);
    c.server().loses(RESPONSE[1]);
    c.server().loses(RESPONSE[2]);
    c.server().loses(RESPONSE[3]);
    c.server().resends(LINE_STARTS[1]..LINE_STARTS[4]);
    answer(c, 4);
    c.closes();
}

/// The line that the observer saw is lost, and the line that the client gets
/// in its place says something else.
fn conflict(c: &mut Conversation) {
    c.handshake();
    ask(c);
    c.server_says(RESPONSE[0]);
    c.server().loses(RESPONSE[1]);
    c.server()
        .resends_as(LINE_STARTS[1], b"THE SLOWER GREY CAT\n");
    answer(c, 2);
    c.closes();
}

/// Other bytes for a line that had arrived already.
fn conflict_late(c: &mut Conversation) {
    c.handshake();
    ask(c);
    c.server_says(RESPONSE[0]);
    c.server_says(RESPONSE[1]);
    c.server()
        .resends_as(LINE_STARTS[1], b"THE SLOWER GREY CAT\n");
    answer(c, 2);
    c.closes();
}

fn one_byte(c: &mut Conversation) {
    plain(c);
}

/// The client acknowledges within lines, as hosts short of memory do.
fn partial_ack(c: &mut Conversation) {
    c.handshake();
    ask(c);
    c.server().sends(RESPONSE[0]);
    c.client().acks_up_to(3);
    c.client().acks();
    c.server().sends(RESPONSE[1]);
    c.client().acks_up_to(LINE_STARTS[1] + 9);
    c.client().acks();
    answer(c, 2);
    c.closes();
}

/// Keep-alives from both sides; the server's carry a byte that is not the one
/// at that place.
fn keep_alive(c: &mut Conversation) {
    c.handshake();
    ask(c);
    c.waits(Duration::from_secs(45));
    c.client().keeps_alive(b"");
    c.server_says(RESPONSE[0]);
    c.waits(Duration::from_secs(45));
    c.server().keeps_alive(b"\0");
    answer(c, 1);
    c.closes();
}

fn fin_with_data(c: &mut Conversation) {
    c.handshake();
    c.client_says(REQUEST[0]);
    c.client_says(REQUEST[1]);
    c.client().fin_with(REQUEST[2]);
    let (last, rest) = RESPONSE.split_last().expect("the response has lines");
    for line in rest {
        c.server_says(line);
    }
    c.server().fin_with(last);
}

/// The client has nothing more to say; the server answers then.
fn half_close(c: &mut Conversation) {
    c.handshake();
    ask(c);
    c.client().fin();
    answer(c, 0);
    c.server().fin();
}

fn rst(c: &mut Conversation) {
    c.handshake();
    ask(c);
    c.server_says(RESPONSE[0]);
    c.server_says(RESPONSE[1]);
    c.client().rst();
}

fn vlan(c: &mut Conversation) {
    plain(c);
}

fn ask(c: &mut Conversation) {
    for line in REQUEST {
        c.client_says(line);
    }
}

/// The lines of the response from `first` on.
fn answer(c: &mut Conversation, first: usize) {
    for line in &RESPONSE[first..] {
        c.server_says(line);
    }
}
