//! Streams that rules put together out of packets that they keep
//! (`tcp.tcp_stream`): what the other end gets, through loss and disorder.

mod held_segments {
    #[allow(dead_code)]
    pub mod talk;
}
#[path = "support/rig.rs"]
mod rig;

use held_segments::talk::{Client, FAMILIES, Manner, Seen, Sent, Server, Side, Talk, data, manner};
use proptest::prelude::*;
use wero::event::{DropReason, Profile, Settings};

/// One stream for each end; `edit(iter, stream)` is what the test adds.
const KEEPER: &str = "
    local tcp = require('protocol/tcp')
    local streams = {}
    local function on_segment(pkt)
      local mine, theirs = streams[pkt.srcport], streams[pkt.dstport]
      if pkt.flags.syn then
        mine = tcp.tcp_stream()
        mine:init(pkt.seq + 1)
        streams[pkt.srcport] = mine
        return
      end
      theirs:ack(pkt)
      local first = mine:push(pkt)
      if first and edit then edit(first, mine.stream, mine) end
      local out = mine:pop()
      while out do
        out:send()
        out = mine:pop()
      end
    end
    haka.rule { on = haka.dissectors.tcp.events.receive_packet, eval = on_segment }
    ";

/// Every x becomes four letters, every y goes.
const RESIZE: &str = "
    function edit(first)
      local at = first
      while at:available() > 0 do
        local here = at:copy()
        local letter = at:sub(1)
        if letter:asstring() == 'x' then letter:replace(haka.vbuffer_from('four')) end
        if letter:asstring() == 'y' then letter:erase() end
      end
    end";

fn resized(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    text.replace('x', "four").replace('y', "").into_bytes()
}

fn open(rules: &str, settings: Settings, manner: Manner) -> Talk {
    Talk::open(&format!("{rules}\n{KEEPER}"), settings, manner)
}

fn text(seen: &[Seen]) -> Vec<(i64, String)> {
    let text = |one: &Seen| (one.at, String::from_utf8_lossy(&one.bytes).into_owned());
    seen.iter().map(text).collect()
}

fn texts(expected: &[(i64, &str)]) -> Vec<(i64, String)> {
    let own = |&(at, text): &(i64, &str)| (at, text.to_owned());
    expected.iter().map(own).collect()
}

fn acking<'a>(at: i64, bytes: &'a [u8], ack: i64) -> Sent<'a> {
    Sent {
        ack,
        ..data(at, bytes)
    }
}

#[test]
fn untouched_packets_leave_as_they_came_behind_a_hole_too() {
    for manner in FAMILIES {
        let mut talk = open("", Settings::new(Profile::Wero), manner);
        assert_eq!(text(&talk.send(Client, data(5, b"world"))), texts(&[]));
        assert_eq!(text(&talk.send(Client, data(10, b"!"))), texts(&[]));
        let left = talk.send(Client, data(0, b"hello"));
        assert_eq!(text(&left), texts(&[(0, "hello"), (5, "world"), (10, "!")]));
        assert!(
            left.iter()
                .all(|one| one.verdict == wero::event::Verdict::Accept)
        );
        let selective = Sent {
            sack: Some((20, 30)),
            ..acking(0, b"", 11)
        };
        assert_eq!(talk.send(Server, selective)[0].sack, [(20, 30)]);
        let (rest, stats, said) = talk.close();
        assert_eq!(rest.len(), 0);
        assert!(stats.drops.iter().all(|(_, count)| count == 0));
        assert_eq!(said.errors(), Vec::<&str>::new());
    }
}

#[test]
fn both_directions_are_renumbered() {
    for manner in FAMILIES {
        let mut talk = open(RESIZE, Settings::new(Profile::Wero), manner);
        let left = talk.send(Client, data(0, b"axb"));
        assert_eq!(text(&left), texts(&[(0, "afourb")]));
        // All but what stands for the last edited byte, then all.
        assert_eq!(talk.send(Server, acking(0, b"", 3))[0].ack, 2);
        assert_eq!(talk.send(Server, acking(0, b"yyz", 6))[0].ack, 3);
        let left = talk.send(Client, acking(3, b"c", 1));
        assert_eq!((left[0].at, left[0].ack), (6, 3));
        assert_eq!(
            text(&talk.send(Server, acking(3, b"y", 7))),
            texts(&[(0, "")]),
            "nothing in it would be acknowledged"
        );
        assert_eq!(talk.send(Client, acking(4, b"", 1))[0].ack, 4);
        // What is selectively acknowledged counts otherwise at the sender.
        let selective = Sent {
            sack: Some((9, 12)),
            ..acking(4, b"", 7)
        };
        assert_eq!(talk.send(Server, selective)[0].sack, []);
        talk.close();
    }
}

#[test]
fn what_comes_again_leaves_as_it_left() {
    for manner in FAMILIES {
        let mut talk = open(RESIZE, Settings::new(Profile::Wero), manner);
        talk.send(Client, data(0, b"abxc"));
        talk.send(Client, data(4, b"tail"));
        for (again, leaves) in [
            (data(0, b"abxc"), (0, "abfourc")),
            // Other bytes than those that were judged, in other segments.
            (data(0, b"ABXCTA"), (0, "abfourcta")),
            (data(5, b"AI"), (8, "ai")),
            (data(4, b""), (7, "")),
        ] {
            assert_eq!(text(&talk.send(Client, again)), texts(&[leaves]));
        }
        // With something new at its end.
        let left = talk.send(Client, data(6, b"ILx."));
        assert_eq!(text(&left), texts(&[(11, "four.")]));
        // Its acknowledgement was lost: the receiver is asked for another.
        talk.send(Server, acking(0, b"", 16));
        assert_eq!(
            text(&talk.send(Client, data(4, b"tail"))),
            texts(&[(15, "")])
        );
        let (.., said) = talk.close();
        assert_eq!(said.errors(), Vec::<&str>::new());
    }
}

#[test]
fn what_was_damaged_is_not_what_was_judged() {
    for manner in FAMILIES {
        let mut talk = open(RESIZE, Settings::new(Profile::Wero), manner);
        talk.send(Client, data(0, b"x"));
        let damaged = Sent {
            damaged: true,
            ..data(1, b"good")
        };
        assert_eq!(text(&talk.send(Client, damaged)), texts(&[]));
        let left = talk.send(Client, data(1, b"good"));
        assert_eq!(text(&left), texts(&[(4, "good")]));
        assert_eq!(talk.refused()[0].1, DropReason::Checksum);
        talk.close();
    }
}

/// Its acknowledgement was lost, or it is a keep-alive.
#[test]
fn acknowledged_bytes_that_come_again_are_answered() {
    let mut talk = open("", Settings::new(Profile::Wero), manner(4));
    talk.send(Client, data(0, b"abc"));
    talk.send(Server, acking(0, b"", 3));
    for (again, leaves) in [(data(0, b"abc"), (0, "abc")), (data(2, b"c"), (2, "c"))] {
        assert_eq!(text(&talk.send(Client, again)), texts(&[leaves]));
    }
    talk.close();
}

#[test]
fn nobody_has_what_never_left() {
    let mut talk = open(RESIZE, Settings::new(Profile::Wero), manner(6));
    talk.send(Client, data(0, b"axb"));
    talk.send(Server, acking(0, b"", 100_000));
    let left = talk.send(Client, data(0, b"axb"));
    assert_eq!(text(&left), texts(&[(0, "afourb")]));
    talk.close();
}

#[test]
fn a_beginning_that_is_repeated_is_none() {
    // The number of the client's first byte.
    let rules = "function edit(_, _, self) self:init(4294967276) end";
    let mut talk = open(rules, Settings::new(Profile::Wero), manner(4));
    talk.send(Client, data(0, b"abc"));
    let left = talk.send(Client, data(3, b"def"));
    assert_eq!(text(&left), texts(&[(3, "def")]));
    talk.close();
}

#[test]
fn a_reset_waits_for_nothing() {
    let mut talk = open(RESIZE, Settings::new(Profile::Wero), manner(4));
    talk.send(Client, data(0, b"x"));
    let reset = Sent {
        rst: true,
        ..data(5, b"")
    };
    let left = talk.send(Client, reset);
    assert_eq!((left.len(), left[0].at, left[0].rst), (1, 8, true));
    talk.close();
}

#[test]
fn rules_that_fail_keep_nothing_where_that_is_the_stance() {
    let rules = "function edit(first) if first:available() > 0 then error('a mistake') end end";
    for pass_on_error in [false, true] {
        let settings = Settings {
            pass_on_error,
            ..Settings::new(Profile::Wero)
        };
        let mut talk = open(rules, settings, manner(4));
        let left = [
            talk.send(Client, data(0, b"one")),
            talk.send(Client, data(3, b"two")),
        ];
        let (rest, stats, said) = talk.close();
        assert_eq!(said.errors().len(), 2);
        assert_eq!(rest.len(), 0);
        if pass_on_error {
            assert_eq!(text(&left.concat()), texts(&[(0, "one"), (3, "two")]));
        } else {
            assert_eq!(stats.drops[DropReason::RuleError as usize], 2);
        }
    }
}

#[test]
fn a_kept_packet_that_a_rule_drops_does_not_leave() {
    let rules = "
        local kept
        haka.rule { on = require('protocol/tcp') and haka.dissectors.tcp.events.receive_packet,
          eval = function (pkt) kept = pkt end }
        function edit(first) if first:available() == 3 then kept:drop() end end";
    let mut talk = open(rules, Settings::new(Profile::Wero), manner(4));
    assert_eq!(text(&talk.send(Client, data(0, b"bad"))), texts(&[]));
    assert_eq!(talk.refused(), [(4, DropReason::Rule)]);
    let left = talk.send(Client, data(3, b"fine"));
    assert_eq!(text(&left), texts(&[(3, "fine")]));
    talk.close();
}

#[test]
fn nothing_is_written_in_pass_through() {
    let settings = Settings {
        pass_through: true,
        ..Settings::new(Profile::Wero)
    };
    let mut talk = open("", settings, manner(6));
    let mut left = Vec::new();
    for (at, bytes) in [(4, "late"), (0, "soon"), (0, "soon"), (2, "onlate.")] {
        left.extend(talk.send(Client, data(at, bytes.as_bytes())));
    }
    let said = [(0, "soon"), (4, "late"), (0, "soon"), (2, "onlate.")];
    assert_eq!(text(&left), texts(&said));
    let (.., said) = talk.close();
    assert_eq!(said.errors(), Vec::<&str>::new());
}

#[test]
fn a_fin_has_a_number() {
    let mut talk = open(RESIZE, Settings::new(Profile::Wero), manner(4));
    let last = Sent {
        fin: true,
        ..data(0, b"ax")
    };
    let left = talk.send(Client, last);
    assert_eq!(text(&left), texts(&[(0, "afour")]));
    for (ack, means) in [(4, 1), (5, 2), (6, 3)] {
        assert_eq!(talk.send(Server, acking(0, b"", ack))[0].ack, means);
    }
    assert_eq!(text(&talk.send(Client, data(3, b""))), texts(&[(6, "")]));
    talk.close();
}

#[test]
fn recorded_acknowledgements_follow_what_was_edited() {
    let settings = Settings {
        recorded: true,
        ..Settings::new(Profile::Wero)
    };
    let mut talk = open(RESIZE, settings, manner(6));
    talk.send(Client, data(0, b"axb"));
    for (ack, means) in [(1, 1), (3, 6)] {
        assert_eq!(talk.send(Server, acking(0, b"", ack))[0].ack, means);
    }
    assert_eq!(text(&talk.send(Client, data(3, b"c"))), texts(&[(6, "c")]));
    talk.close();
}

#[test]
fn a_mark_holds_packets_until_another_event() {
    let rules = "
        local mark
        function edit(first)
          if first:available() == 0 then return end
          if mark then mark:unmark() else first:mark() end
          mark = first
        end";
    let mut talk = open(rules, Settings::new(Profile::Wero), manner(4));
    assert_eq!(text(&talk.send(Client, data(0, b"wait"))), texts(&[]));
    let left = talk.send(Client, data(4, b"for this"));
    assert_eq!(text(&left), texts(&[(0, "wait"), (4, "for this")]));
    let (.., said) = talk.close();
    assert_eq!(said.errors(), Vec::<&str>::new());
}

#[test]
fn what_nobody_pops_is_refused_when_the_run_ends() {
    let rules = "function edit(first) if first:available() > 0 then first:mark() end end";
    let mut talk = open(rules, Settings::new(Profile::Wero), manner(6));
    assert!(talk.send(Client, data(0, b"held")).is_empty());
    assert!(talk.send(Client, data(4, b"for ever")).is_empty());
    let (rest, stats, _) = talk.close();
    assert_eq!(rest.len(), 0);
    assert_eq!(stats.drops[DropReason::Shutdown as usize], 2);
}

#[test]
fn the_oldest_go_when_there_is_no_room() {
    let settings = Settings {
        max_packets: 64,
        ..Settings::new(Profile::Wero)
    };
    let rules = "function edit(first) if first:available() > 0 then first:mark() end end";
    let mut talk = open(rules, settings, manner(4));
    for at in 0..200 {
        talk.send(Client, data(at, b"z"));
    }
    let refused = talk.refused();
    assert!(refused.len() > 100);
    assert!(
        refused
            .iter()
            .all(|(_, reason)| *reason == DropReason::PacketCap)
    );
    assert!(refused.is_sorted_by_key(|(id, _)| *id));
    talk.close();
}

#[test]
fn a_packet_that_a_rule_drops_does_not_leave() {
    let rules = "
        function edit(first, stream, self)
          if first:available() == 3 then self:clear() end
        end";
    let mut talk = open(rules, Settings::new(Profile::Wero), manner(4));
    assert!(talk.send(Client, data(9, b"later")).is_empty());
    let left = talk.send(Client, data(0, b"bad"));
    assert!(left.is_empty());
    let refused: Vec<_> = talk.refused().iter().map(|(_, reason)| *reason).collect();
    let (.., said) = talk.close();
    assert_eq!(said.errors(), Vec::<&str>::new());
    assert_eq!(refused, [DropReason::Rule; 2]);
}

/// More than one stream remembers is under way: what it forgot is its
/// sender's to tell, or nobody's.
#[test]
fn one_stream_remembers_so_much() {
    let bytes = vec![b'z'; 60_000];
    for (rules, leaves) in [("", 1), (RESIZE_FIRST, 0)] {
        let mut talk = open(rules, Settings::new(Profile::Wero), manner(4));
        for at in 0..20 {
            talk.send(Client, data(at * 60_000, &bytes));
        }
        assert_eq!(talk.send(Client, data(0, b"zzz")).len(), leaves, "{rules}");
        assert_eq!(talk.send(Client, data(1_199_990, b"zzz")).len(), 1);
        talk.close();
    }
}

/// The first letter becomes two.
const RESIZE_FIRST: &str = "
    local done
    function edit(first)
      if done or first:available() == 0 then return end
      done = true
      first:insert(haka.vbuffer_from('+'))
    end";

#[test]
fn all_streams_together_remember_so_much() {
    let rules = "
        local tcp = require('protocol/tcp')
        local streams = {}
        haka.rule { on = haka.dissectors.tcp.events.receive_packet, eval = function (pkt)
          if #pkt.payload == 0 then return end
          local stream = tcp.tcp_stream()
          streams[#streams + 1] = stream
          stream:init(pkt.seq)
          stream:push(pkt)
          stream:pop():send()
          if #streams < 600 then return end
          collectgarbage()
          print(collectgarbage('count') < 24 * 1024)
        end }";
    let mut talk = Talk::open(rules, Settings::new(Profile::Wero), manner(6));
    for at in 0..600_i64 {
        // Each text is another one.
        let text = format!("{at:060000}");
        assert_eq!(talk.send(Client, data(at, text.as_bytes())).len(), 1);
    }
    let (.., said) = talk.close();
    assert_eq!(said.errors(), Vec::<&str>::new());
    assert_eq!(said.printed, "true\n");
    let told = |line: &String| line.contains("have too many bytes under way");
    assert!(said.lines.iter().any(told));
}

#[test]
fn mistakes_are_said() {
    let at_load = |rules: &str| {
        let loaded = rig::Rig::load(
            &format!("local tcp = require('protocol/tcp')\n{rules}"),
            &[],
            Settings::new(Profile::Wero),
            wero::lua::Limits::default(),
        );
        let (error, _) = loaded.err().expect("a mistake");
        error.to_string()
    };
    for (rules, says) in [
        (
            "tcp.tcp_stream():push(1)",
            "Error in push (arg 1), expected 'tcp' got 'number'",
        ),
        (
            "tcp.tcp_stream():init('x')",
            "Error in init (arg 1), expected 'number' got 'string'",
        ),
        ("print(tcp.tcp_stream().strem)", "unknown field 'strem'"),
        ("tcp.tcp_stream().lastseq = 1", "This variable is immutable"),
    ] {
        let said = at_load(rules);
        assert!(
            said.contains(says) && said.contains("rules.lua:2"),
            "{said}"
        );
    }

    // Packets of a connection are its own, and a stream has a beginning.
    let rules = "
        local tcp = require('protocol/tcp')
        require('protocol/tcp_connection')
        local stream = tcp.tcp_stream()
        local function try(pkt) print(pcall(stream.push, stream, pkt)) end
        local never = false
        haka.rule { on = haka.dissectors.tcp.events.receive_packet, eval = function (pkt)
          if not never then never = true try(pkt) stream:init(0) end
        end }
        haka.rule { on = haka.dissectors.tcp_connection.events.receive_packet,
          eval = function (_, pkt) if #pkt.payload > 0 then try(pkt) end end }";
    let mut talk = Talk::open(rules, Settings::new(Profile::Wero), manner(4));
    assert_eq!(talk.send(Client, data(0, b"own")).len(), 1);
    let (.., said) = talk.close();
    assert_eq!(
        said.printed,
        "false the stream has no first sequence number: call init\nfalse operation not supported\n"
    );
}

/// An end that repeats what is not acknowledged, and its receiver.
struct Transfer {
    talk: Talk,
    sent: Vec<u8>,
    acked: usize,
    got: Vec<Option<u8>>,
}

impl Transfer {
    fn whole(&self) -> usize {
        let have = self.got.iter().take_while(|byte| byte.is_some());
        have.count()
    }

    fn take(&mut self, seen: Vec<Seen>, lost: bool, from: Side) {
        for one in seen.into_iter().filter(|one| one.from == from && !lost) {
            for (place, byte) in one.bytes.iter().enumerate() {
                let at = one.at as usize + place;
                self.got.resize(self.got.len().max(at + 1), None);
                let known = self.got[at].get_or_insert(*byte);
                assert_eq!(known, byte, "other bytes at {at}");
            }
        }
    }

    fn acknowledge(&mut self) {
        let whole = self.whole() as i64;
        let answer = self.talk.send(Server, acking(0, b"", whole));
        for one in answer.into_iter().filter(|one| one.from == Server) {
            assert!(one.ack <= self.sent.len() as i64, "more than was sent");
            self.acked = self.acked.max(one.ack as usize);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Whatever is lost, repeated or out of order, the receiver gets the
    /// edited bytes, once and in order.
    #[test]
    fn the_other_end_gets_the_edited_stream(
        sent in "[abxy]{1,60}",
        steps in prop::collection::vec((0..8usize, 1..12usize, 0..4u8, any::<bool>()), 1..60),
        v6 in any::<bool>(),
    ) {
        let talk = open(RESIZE, Settings::new(Profile::Wero), manner(if v6 { 6 } else { 4 }));
        let sent = sent.into_bytes();
        let mut transfer = Transfer { talk, sent: sent.clone(), acked: 0, got: Vec::new() };
        for (skip, len, fate, answers) in steps {
            let from = (transfer.acked + skip).min(sent.len());
            let to = (from + len).min(sent.len());
            // Lost before us, behind us, or not at all.
            if fate > 0 {
                let seen = transfer.talk.send(Client, data(from as i64, &sent[from..to]));
                transfer.take(seen, fate == 1, Client);
            }
            if answers {
                transfer.acknowledge();
            }
        }
        for _ in 0..sent.len() + 1 {
            let from = transfer.acked;
            let to = (from + 7).min(sent.len());
            let seen = transfer.talk.send(Client, data(from as i64, &sent[from..to]));
            transfer.take(seen, false, Client);
            transfer.acknowledge();
        }
        prop_assert_eq!(transfer.acked, sent.len());
        let got: Vec<u8> = transfer.got.iter().map_while(|byte| *byte).collect();
        prop_assert_eq!(String::from_utf8(got), String::from_utf8(resized(&sent)));
        transfer.talk.close();
    }
}
