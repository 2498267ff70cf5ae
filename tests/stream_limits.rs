//! What a connection does where it meets a cap, and what its resets look like.

#[path = "support/rig.rs"]
mod rig;

use std::path::PathBuf;

use rig::{Gone, Rig, read_capture};
use wero::event::{Profile, Settings, Verdict};
use wero::lua::Limits;

const ON_DATA: &str = "haka.dissectors.tcp_connection.events.receive_data";

fn path(capture: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/captures/{capture}.pcap"))
}

/// Rules with that listener of stream data, on a capture.
fn replay(listener: &str, capture: &str, settings: Settings) -> (Rig, Vec<Gone>) {
    let rules = format!(
        "require('protocol/tcp_connection')
         haka.rule {{ on = {ON_DATA}, eval = function (flow, data, dir) {listener} end }}"
    );
    let mut rig = Rig::load(&rules, &[], settings, Limits::default())
        .unwrap_or_else(|(error, _)| panic!("{error}"));
    let mut gone = rig.started();
    let (link, packets) = read_capture(&path(capture));
    for (id, (time, bytes)) in (1..).zip(packets) {
        gone.extend(rig.packet(id, time, link, &bytes));
    }
    gone.extend(rig.exiting());
    (rig, gone)
}

fn cramped() -> Settings {
    Settings {
        kept_bytes: 1,
        ..Settings::new(Profile::Wero)
    }
}

fn warnings(rig: &Rig) -> usize {
    let said = rig.said();
    let lost = said
        .lines
        .iter()
        .filter(|line| line.contains("edited bytes are lost"));
    lost.count()
}

/// The second line is lost behind us and comes again when only the third is
/// kept: nobody has what the rule made of the second.
#[test]
fn edited_bytes_that_the_cap_took_do_not_leave_as_their_sender_has_them() {
    let edit = "if dir == 'up' then data:pos(0):insert(haka.vbuffer_from('#')) end";
    let (rig, gone) = replay(edit, "stream-loss-v4", cramped());
    let stats = rig.engine.borrow().core.stats.clone();
    assert!(stats.kept_caps > 0);
    // The server's line is lost likewise, but nobody edited that.
    assert_eq!((stats.forgotten_bytes, warnings(&rig)), (2, 1));
    let plain = b"secret: 0123456789\n";
    let with = |bytes: &[u8]| {
        gone.iter()
            .filter(|one| one.bytes.windows(bytes.len()).any(|part| part == bytes))
            .count()
    };
    assert_eq!(with(b"#secret"), 1, "the first transmission");
    assert_eq!(with(plain), 1, "inside that one only");
}

/// Where rules only read, the sender is believed, and the stream goes on.
#[test]
fn untouched_bytes_that_the_cap_took_come_from_their_sender() {
    let (rig, gone) = replay("local _ = #data", "stream-loss-v4", cramped());
    let stats = rig.engine.borrow().core.stats.clone();
    assert!(stats.kept_caps > 0 && stats.forgotten_bytes > 0);
    assert_eq!(warnings(&rig), 0);
    let (_, captured) = read_capture(&path("stream-loss-v4"));
    let sent: Vec<_> = gone.iter().map(|one| &one.bytes).collect();
    let expected: Vec<_> = captured.iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(sent, expected);
}

#[test]
fn nothing_is_forgotten_with_room_for_it() {
    let edit = "if dir == 'up' then data:pos(0):insert(haka.vbuffer_from('#')) end";
    let (rig, _) = replay(edit, "stream-loss-v4", Settings::new(Profile::Wero));
    assert_eq!(rig.engine.borrow().core.stats.forgotten_bytes, 0);
}

#[test]
fn resets_keep_the_tags_of_their_connection() {
    for name in ["stream-vlan-v4", "stream-vlan-v6"] {
        let (_, gone) = replay("flow:reset()", name, Settings::new(Profile::Wero));
        let (_, captured) = read_capture(&path(name));
        let first = &captured[0].1;
        let ip_at = if name.ends_with("v4") { 4 } else { 6 };
        let resets: Vec<_> = gone
            .iter()
            .filter(|one| one.verdict == Verdict::Inject)
            .collect();
        assert_eq!(resets.len(), 2, "{name}");
        for reset in resets {
            // Everything between the addresses and the packet.
            let header = first
                .windows(2)
                .skip(12)
                .position(|kind| kind == [0x08, 0x00] || kind == [0x86, 0xdd]);
            let end = 12 + header.expect("the frame carries IP") + 2;
            assert!(end > 14, "{name} is tagged");
            assert_eq!(reset.bytes[12..end], first[12..end], "{name}");
            assert_eq!(reset.bytes[end] >> 4, ip_at, "{name}");
        }
    }
}
