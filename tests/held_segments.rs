//! Segments that are held on live traffic: what leaves ahead of its
//! judgement and when, who is told of a hole, and what acknowledges
//! meanwhile.

#[path = "captures/mod.rs"]
#[allow(dead_code)]
mod captures;
mod held_segments {
    pub mod talk;
}
#[path = "support/rig.rs"]
mod rig;

use held_segments::talk::{Client, FAMILIES, MSS, Manner, Seen, Sent, Server, Talk, data, manner};
use wero::event::profile::CapPolicy;
use wero::event::{DropReason, Profile, Settings, Verdict};

const ON_DATA: &str = "haka.dissectors.tcp_connection.events.receive_data";

fn live() -> Settings {
    Settings {
        live: true,
        ..Settings::new(Profile::Wero)
    }
}

/// A listener of the bytes. `step` counts its calls for the client's.
fn rules(listener: &str) -> String {
    format!(
        "require('protocol/tcp_connection')
         local step, mark = 0, nil
         haka.rule {{ on = {ON_DATA}, eval = function (flow, data, direction)
           if direction ~= 'up' then return end
           step = step + 1
           {listener}
         end }}"
    )
}

/// Reads all, holds nothing.
const READS: &str = "io.write('[' .. data:asstring() .. ']')";
/// Holds everything from the first bytes on until the fifth call.
const HOLDS: &str = "
    if step == 1 then mark = data:pos('begin') mark:mark() end
    if step == 5 then mark:unmark() end";

fn texts(seen: &[Seen]) -> Vec<(i64, &str)> {
    let text = |one: &'_ Seen| std::str::from_utf8(&one.bytes).is_ok();
    assert!(seen.iter().all(text));
    seen.iter()
        .map(|one| (one.at, std::str::from_utf8(&one.bytes).unwrap_or_default()))
        .collect()
}

fn filler(byte: u8, len: usize) -> Vec<u8> {
    vec![byte; len]
}

#[test]
fn replays_hold_as_ever() {
    for manner in FAMILIES {
        let settings = Settings::new(Profile::Wero);
        let mut talk = Talk::open(&rules(HOLDS), settings, manner);
        assert_eq!(talk.send(Client, data(0, b"one ")), []);
        assert_eq!(talk.send(Client, data(8, b"three ")), []);
        assert_eq!(talk.wait(60_000), []);
        let (left, stats, _) = talk.close();
        assert_eq!(texts(&left), [(0, "one "), (8, "three ")]);
        assert_eq!(stats.sent_ahead + stats.behalf_acks + stats.ack_copies, 0);
    }
}

#[test]
fn what_nobody_can_edit_leaves_at_once_and_is_read_in_order() {
    for manner in FAMILIES {
        let settings = Settings {
            pass_through: true,
            ..live()
        };
        let mut talk = Talk::open(&rules(READS), settings, manner);
        let early = talk.send(Client, data(4, b"two "));
        assert_eq!(texts(&early), [(4, "two ")]);
        assert_eq!((early[0].verdict, early[0].id), (Verdict::Accept, 4));
        let last = Sent {
            fin: true,
            ..data(8, b"three")
        };
        let early = talk.send(Client, last);
        assert_eq!(texts(&early), [(8, "three")]);
        assert!(early[0].fin);
        assert_eq!(talk.printed(), "");
        let filled = talk.send(Client, data(0, b"one "));
        assert_eq!(texts(&filled), [(0, "one ")]);
        assert_eq!(talk.printed().replace("][", ""), "[one two three]");
        let (_, stats, said) = talk.close();
        assert_eq!((stats.sent_ahead, stats.behalf_acks), (2, 0));
        assert_eq!(said.errors(), Vec::<&str>::new());
    }
}

/// A hello of TLS whose second half comes first: it leaves, since TLS is not
/// edited, but the first half, which a rule refuses, never does.
#[test]
fn what_fills_the_hole_can_still_be_refused() {
    let hello = captures::hello::Hello::named("bad.example").record();
    let (first, second) = hello.split_at(60);
    let rules = "require('protocol/tls')
        haka.rule { on = haka.dissectors.tls.events.client_hello, eval = function (tls, hello)
          io.write(hello.sni) tls:drop() end }";
    for family in [4, 6] {
        let manner = Manner {
            port: 443,
            ..manner(family)
        };
        let mut talk = Talk::open(rules, live(), manner);
        let early = talk.send(Client, data(60, second));
        assert_eq!(early.len(), 1);
        assert_eq!(early[0].bytes, second);
        // Lost behind us: it comes again, and leaves again.
        let again = talk.send(Client, data(60, second));
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].bytes, second);
        // Whoever says something else now is not believed.
        let other = filler(b'?', second.len());
        let again = talk.send(Client, data(60, &other));
        assert_eq!(again[0].bytes, second);
        assert_eq!(talk.stats().conflicts, 1);
        assert_eq!(talk.send(Client, data(0, first)), []);
        assert_eq!(talk.printed(), "bad.example");
        assert_eq!(talk.refused(), [(7, DropReason::FlowDropped)]);
        let (left, stats, said) = talk.close();
        assert_eq!((left, stats.sent_ahead), (Vec::new(), 1));
        assert_eq!(said.errors(), Vec::<&str>::new());
    }
}

#[test]
fn an_editor_is_waited_for_and_the_sender_hears_of_the_hole() {
    for family in [4, 6] {
        let manner = Manner {
            stamps: true,
            ..manner(family)
        };
        let edits = "data:pos('begin'):insert(haka.vbuffer_from('>'))";
        let mut talk = Talk::open(&rules(edits), live(), manner);
        let stamped = |at, bytes, own, echo| Sent {
            stamp: Some((own, echo)),
            ..data(at, bytes)
        };
        let first = talk.send(Client, stamped(0, b"one ", 100, 1));
        assert_eq!(texts(&first), [(0, ">one ")]);
        // The server has it: five bytes as it counts, four as its client does.
        let answer = Sent {
            ack: 5,
            window: 5000,
            stamp: Some((700, 100)),
            ..data(0, b"")
        };
        assert_eq!(talk.send(Server, answer)[0].ack, 4);
        let asked = talk.send(Client, stamped(8, b"three ", 102, 700));
        assert_eq!(asked.len(), 1);
        let expected = Seen {
            from: Server,
            verdict: Verdict::Inject,
            id: 0,
            at: 0,
            ack: 4,
            bytes: Vec::new(),
            fin: false,
            rst: false,
            window: 5000,
            stamp: Some((700, 100)),
            sack: vec![(8, 14)],
        };
        assert_eq!(asked[0], expected);
        let asked = talk.send(Client, stamped(20, b"five ", 103, 700));
        let expected = Seen {
            sack: vec![(20, 25), (8, 14)],
            ..expected
        };
        assert_eq!(asked, [expected]);
        let fills = Sent {
            window: 7000,
            ..stamped(4, b"two ", 104, 701)
        };
        let filled = talk.send(Client, fills);
        assert_eq!(texts(&filled), [(5, ">two "), (10, "three ")]);
        // What leaves late would be refused with its old timestamp.
        let said = (filled[1].stamp, filled[1].window);
        assert_eq!(said, (Some((104, 701)), 7000));
        let (_, stats, said) = talk.close();
        assert_eq!((stats.behalf_acks, stats.sent_ahead), (2, 0));
        assert_eq!(said.errors(), Vec::<&str>::new());
    }
}

#[test]
fn without_sack_the_hole_is_told_by_plain_duplicates() {
    for family in [4, 6] {
        let manner = Manner {
            sack: false,
            ..manner(family)
        };
        let mut talk = Talk::open(&rules(READS), live(), manner);
        let mut asked = talk.send(Client, data(4, b"two "));
        // One that an offloading card put together of three.
        asked.extend(talk.send(Client, data(1000, &filler(b'x', 3 * usize::from(MSS)))));
        assert_eq!(asked.len(), 4);
        for ack in asked {
            assert_eq!((ack.ack, ack.window, ack.sack.len()), (0, 60_000, 0));
            assert!(ack.bytes.is_empty());
        }
        talk.close();
    }
}

/// Bytes before the hole are still under way to the server: told now, the
/// client would take them for lost.
#[test]
fn the_hole_is_told_once_the_receiver_has_what_is_before_it() {
    for manner in FAMILIES {
        let mut talk = Talk::open(&rules(READS), live(), manner);
        let full = filler(b'x', usize::from(MSS));
        for number in 0..4 {
            let passed = talk.send(Client, data(number * 1000, &full));
            assert_eq!(passed.len(), 1);
        }
        assert_eq!(talk.send(Client, data(5000, &full)), []);
        assert_eq!(talk.send(Client, data(6000, &full)), []);
        let ack = |ack| Sent {
            ack,
            ..data(0, b"")
        };
        assert_eq!(talk.send(Server, ack(1000)).len(), 1);
        let told = talk.send(Server, ack(4000));
        let told: Vec<_> = told.iter().map(|one| (one.ack, &one.sack[..])).collect();
        let block: &[_] = &[(5000, 7000)];
        assert_eq!(told, [(4000, &[][..]), (4000, block), (4000, block)]);
        talk.close();
    }
}

#[test]
fn readers_are_waited_for_hold_time_and_go_on_afterwards() {
    let listener = "
        if step == 1 then
          mark = data:pos('begin') mark:mark()
          data:sub(0, 3):replace(haka.vbuffer_from('1'))
        elseif step == 2 then
          io.write(mark:copy():sub('available'):asstring())
          mark:unmark()
          data:sub(0, 3):replace(haka.vbuffer_from('2'))
        end";
    for manner in FAMILIES {
        let mut talk = Talk::open(&rules(listener), live(), manner);
        assert_eq!(talk.send(Client, data(0, b"one ")), []);
        assert_eq!(talk.wait(149), []);
        let left = talk.wait(2);
        assert_eq!(texts(&left), [(0, "1 ")]);
        assert_eq!((left[0].verdict, left[0].id), (Verdict::Rewrite, 4));
        // It was lost on its way; what comes again is what left.
        let again = talk.send(Client, data(0, b"one "));
        assert_eq!(texts(&again), [(0, "1 ")]);
        let next = talk.send(Client, data(4, b"two "));
        assert_eq!(texts(&next), [(2, "2 ")]);
        assert_eq!(talk.printed(), "1 two ");
        let (_, stats, said) = talk.close();
        assert_eq!((stats.hold_timeouts, stats.sent_ahead), (1, 1));
        assert_eq!(said.errors(), Vec::<&str>::new());
        let told = said
            .lines
            .iter()
            .filter(|line| line.starts_with("info tcp"));
        assert_eq!(told.count(), 1);
    }
}

#[test]
fn what_has_left_cannot_be_written() {
    let listener = "
        if step == 1 then mark = data:pos('begin') mark:mark() end
        if step == 2 then
          local ok, why = pcall(function () mark:copy():sub(3):erase() end)
          io.write(tostring(ok), ' ', why:match('read only buffer') or why)
          flow:reset()
        end";
    for manner in FAMILIES {
        let mut talk = Talk::open(&rules(listener), live(), manner);
        assert_eq!(talk.send(Client, data(0, b"one ")), []);
        assert_eq!(texts(&talk.wait(151)), [(0, "one ")]);
        let resets = talk.send(Client, data(4, b"two "));
        assert_eq!(talk.printed(), "false read only buffer");
        let resets: Vec<_> = resets
            .iter()
            .map(|one| (one.from, one.rst, one.at))
            .collect();
        // Towards the server it counts what has left.
        assert_eq!(resets, [(Server, true, 0), (Client, true, 4)]);
        assert_eq!(talk.refused(), [(5, DropReason::FlowReset)]);
        talk.close();
    }
}

#[test]
fn ten_full_segments_are_enough() {
    for manner in FAMILIES {
        let mut talk = Talk::open(
            &rules("if step == 1 then data:pos('begin'):mark() end"),
            live(),
            manner,
        );
        let full = filler(b'x', usize::from(MSS));
        for number in 0..9 {
            assert_eq!(talk.send(Client, data(number * 1000, &full)), []);
        }
        let left = talk.send(Client, data(9000, &full));
        let places: Vec<_> = left.iter().map(|one| (one.at, one.id)).collect();
        let expected: Vec<_> = (0..10)
            .map(|number| (number * 1000, number as u64 + 4))
            .collect();
        assert_eq!(places, expected);
        let (_, stats, _) = talk.close();
        assert_eq!(
            (stats.hold_caps, stats.sent_ahead, stats.unjudged),
            (1, 10, 0)
        );
    }
}

#[test]
fn a_window_that_is_used_up_is_not_waited_for() {
    for manner in FAMILIES {
        let mut talk = Talk::open(
            &rules("if step == 1 then data:pos('begin'):mark() end"),
            live(),
            manner,
        );
        let narrow = Sent {
            window: 3000,
            ..data(0, b"")
        };
        talk.send(Server, narrow);
        let full = filler(b'x', usize::from(MSS));
        assert_eq!(talk.send(Client, data(0, &full)), []);
        assert_eq!(talk.send(Client, data(1000, &full)), []);
        assert_eq!(talk.send(Client, data(2000, &full)).len(), 3);
        talk.close();
    }
}

/// What an offloading card put together counts as one, and a reader that
/// holds only the end of it gets what follows.
#[test]
fn one_large_segment_waits_for_the_next() {
    let listener = "
        if step == 1 then mark = data:pos(29990) mark:mark() end
        if step == 2 then
          mark:unmark()
          data:pos('begin'):insert(haka.vbuffer_from('!'))
        end";
    for manner in FAMILIES {
        let mut talk = Talk::open(&rules(listener), live(), manner);
        assert_eq!(talk.send(Client, data(0, &filler(b'x', 30_000))), []);
        let left = talk.send(Client, data(30_000, b"next"));
        assert_eq!((left.len(), left[0].bytes.len()), (2, 30_000));
        assert_eq!(left[1].bytes, b"!next");
        let (_, stats, _) = talk.close();
        assert_eq!(stats.sent_ahead, 0);
    }
}

/// Most of a small window is acknowledged already: more will come.
#[test]
fn a_window_that_others_fill_is_waited_for() {
    for manner in FAMILIES {
        let listener = "if step == 3 then data:pos('begin'):mark() end";
        let mut talk = Talk::open(&rules(listener), live(), manner);
        let narrow = Sent {
            window: 3000,
            ..data(0, b"")
        };
        talk.send(Server, narrow);
        let full = filler(b'x', usize::from(MSS));
        assert_eq!(talk.send(Client, data(0, &full)).len(), 1);
        assert_eq!(talk.send(Client, data(1000, &full)).len(), 1);
        assert_eq!(talk.send(Client, data(2000, &full)), []);
        assert_eq!(talk.wait(400), []);
        // Its sender may have waited for that until now.
        let all = Sent {
            ack: 2000,
            window: 3000,
            ..data(0, b"")
        };
        talk.send(Server, all);
        assert_eq!(talk.wait(149), []);
        assert_eq!(talk.wait(2).len(), 1);
        talk.close();
    }
}

#[test]
fn the_policy_may_be_to_drop() {
    for manner in FAMILIES {
        let settings = Settings {
            hold_policy: CapPolicy::Drop,
            ..live()
        };
        let mut talk = Talk::open(&rules(HOLDS), settings, manner);
        talk.send(Client, data(0, b"one "));
        assert_eq!(talk.wait(151), []);
        assert_eq!(talk.refused(), [(4, DropReason::HoldCap)]);
        talk.send(Client, data(4, b"two "));
        assert_eq!(talk.refused()[1], (5, DropReason::FlowDropped));
        talk.close();
    }
}

/// A hole that nobody fills: what is behind it leaves in the end, numbered
/// after earlier edits, and what fills it later cannot be edited any more.
#[test]
fn a_hole_is_waited_for_hole_time() {
    let listener = "
        if step == 1 then data:pos('begin'):insert(haka.vbuffer_from('>>')) return end
        local ok = pcall(function () data:pos('begin'):insert(haka.vbuffer_from('!')) end)
        io.write(tostring(ok), ' ')";
    for manner in FAMILIES {
        let mut talk = Talk::open(&rules(listener), live(), manner);
        assert_eq!(texts(&talk.send(Client, data(0, b"one "))), [(0, ">>one ")]);
        let ack = Sent {
            ack: 6,
            ..data(0, b"")
        };
        talk.send(Server, ack);
        talk.send(Client, data(8, b"three "));
        let left = talk.wait(10_001);
        assert_eq!(texts(&left), [(10, "three ")]);
        // The hole was waited for long enough: no more of that.
        let fin = Sent {
            fin: true,
            ..data(14, b"four")
        };
        let left = talk.send(Client, fin);
        assert_eq!(texts(&left), [(16, "four")]);
        assert!(left[0].fin);
        assert_eq!(texts(&talk.send(Client, data(4, b"two "))), [(6, "two ")]);
        assert_eq!(talk.printed(), "false ");
        let (_, stats, said) = talk.close();
        assert_eq!((stats.sent_ahead, stats.hold_timeouts), (2, 1));
        assert_eq!(said.errors(), Vec::<&str>::new());
    }
}

/// A queue that was full let bytes pass unseen: the receiver has them.
#[test]
fn what_passed_unseen_is_not_waited_for() {
    for manner in FAMILIES {
        let mut talk = Talk::open(&rules(READS), live(), manner);
        talk.send(Client, data(0, b"one "));
        talk.send(Client, data(8, b"three "));
        let ack = |ack| Sent {
            ack,
            ..data(0, b"")
        };
        // Nobody has sent that much.
        talk.send(Server, ack(15));
        assert_eq!(talk.wait(1), []);
        assert_eq!(talk.send(Server, ack(8)).len(), 1);
        assert_eq!(texts(&talk.wait(1)), [(8, "three ")]);
        assert_eq!(
            texts(&talk.send(Client, data(14, b"four "))),
            [(14, "four ")]
        );
        assert_eq!(talk.printed(), "[one ]");
        let (_, stats, said) = talk.close();
        assert_eq!((stats.unseen_holes, stats.unjudged), (1, 1));
        let told = said.lines.iter().filter(|line| line.contains("unseen"));
        assert_eq!(told.count(), 1);
    }
}

/// The first copy is queued; the second has news of the other direction.
#[test]
fn repeated_segments_tell_what_they_acknowledge() {
    for manner in FAMILIES {
        let mut talk = Talk::open(&rules(READS), live(), manner);
        talk.send(Server, data(0, b"answer"));
        let fin = Sent {
            fin: true,
            ..data(4, b"two")
        };
        let asked = talk.send(Client, fin);
        assert_eq!((asked.len(), &asked[0].sack[..]), (1, &[(4, 7)][..]));
        let again = Sent { ack: 6, ..fin };
        let told = talk.send(Client, again);
        let copies: Vec<_> = told.iter().filter(|one| one.from == Client).collect();
        assert_eq!((copies.len(), copies[0].ack, copies[0].at), (1, 6, 0));
        assert!(!copies[0].fin);
        let left = talk.send(Client, data(0, b"one "));
        assert_eq!(texts(&left), [(0, "one "), (4, "two")]);
        assert!(left[1].fin);
        assert!(
            talk.refused()
                .iter()
                .all(|(_, reason)| *reason == DropReason::Retransmission)
        );
        let (left, ..) = talk.close();
        assert_eq!(left, []);
    }
}

#[test]
fn what_a_held_segment_acknowledges_goes_on() {
    for manner in FAMILIES {
        let mut talk = Talk::open(&rules(HOLDS), live(), manner);
        let answer = filler(b'a', 100);
        assert_eq!(talk.send(Server, data(0, &answer)).len(), 1);
        let held = Sent {
            ack: 100,
            ..data(0, b"one ")
        };
        let copy = talk.send(Client, held);
        assert_eq!(copy.len(), 1);
        assert_eq!(
            (copy[0].at, copy[0].ack, copy[0].verdict),
            (0, 100, Verdict::Inject)
        );
        assert!(copy[0].bytes.is_empty() && !copy[0].fin);
        // Nothing new in the next.
        let held = Sent {
            ack: 100,
            ..data(4, b"two ")
        };
        assert_eq!(talk.send(Client, held), []);
        // A window is news; so is a block.
        let held = Sent {
            ack: 100,
            window: 1234,
            ..data(8, b"three ")
        };
        let copy = talk.send(Client, held);
        assert_eq!((copy.len(), copy[0].window), (1, 1234));
        let held = Sent {
            ack: 100,
            window: 1234,
            sack: Some((200, 300)),
            ..data(14, b"four ")
        };
        let copy = talk.send(Client, held);
        assert_eq!(copy[0].sack, [(200, 300)]);
        let rest = Sent {
            ack: 100,
            window: 1234,
            ..data(19, b"five")
        };
        assert_eq!(talk.send(Client, rest).len(), 5);
        let (_, stats, _) = talk.close();
        assert_eq!(stats.ack_copies, 3);
    }
}

#[test]
fn keep_alives_and_probes_pass_while_bytes_are_held() {
    for manner in FAMILIES {
        let mut talk = Talk::open(&rules(HOLDS), live(), manner);
        talk.send(Client, data(0, b"one "));
        talk.wait(151);
        talk.send(Client, data(4, b"two "));
        // All has left, though readers still hold it.
        let alive = talk.send(Client, data(7, b""));
        assert_eq!((alive.len(), alive[0].at), (1, 7));
        let bare = talk.send(Client, data(8, b""));
        assert_eq!((bare.len(), bare[0].at), (1, 8));
        let fin = Sent {
            fin: true,
            ..data(8, b"")
        };
        let left = talk.send(Client, fin);
        assert_eq!((left.len(), left[0].at, left[0].fin), (1, 8, true));
        let again = talk.send(Client, fin);
        assert_eq!((again.len(), again[0].at, again[0].fin), (1, 8, true));
        let (left, ..) = talk.close();
        assert_eq!(left, []);
    }
}
