//! Segments of which readers hold only the end, on live traffic: the front
//! leaves judged, the end stays as open to rules as it was, and bodies that
//! are framed anew never leave without their frame.

mod held_segments {
    #[allow(dead_code)]
    pub mod talk;
}
#[path = "support/rig.rs"]
mod rig;

use std::collections::BTreeMap;

use held_segments::talk::{Client, FAMILIES, Manner, Seen, Sent, Server, Talk, data};
use proptest::prelude::*;
use wero::event::{DropReason, Profile, Settings, Verdict};

const TOKEN: &str = "@@TOKEN@@";

fn live() -> Settings {
    Settings {
        live: true,
        ..Settings::new(Profile::Wero)
    }
}

/// Replaces every token of what clients send.
fn replacing(written: &str) -> String {
    format!(
        "require('protocol/tcp_connection')
         local token = require('regexp/pcre').re:compile('{TOKEN}')
         haka.rule {{ on = haka.dissectors.tcp_connection.events.receive_data,
           options = {{ streamed = true }},
           eval = function (flow, iter, direction)
             repeat
               local found = token:match(iter, true)
               if found then found:replace(haka.vbuffer_from('{written}')) end
             until not found
           end }}"
    )
}

/// The same for bodies of requests, which are framed anew.
const IN_BODIES: &str = "require('protocol/http')
    local token = require('regexp/pcre').re:compile('@@TOKEN@@')
    local http = haka.dissectors.http
    haka.rule { on = http.events.request,
      eval = function (flow) flow:enable_data_modification() end }
    haka.rule { on = http.events.request_data, options = { streamed = true },
      eval = function (flow, iter)
        repeat
          local found = token:match(iter, true)
          if found then found:replace(haka.vbuffer_from('#')) end
        until not found
      end }";

/// What the server has read of its stream: every byte must stay what it was.
#[derive(Default)]
struct Reader {
    bytes: BTreeMap<i64, u8>,
    fin: Option<i64>,
}

impl Reader {
    fn read(&mut self, seen: &[Seen]) {
        for one in seen.iter().filter(|one| one.from == Client) {
            for (at, &byte) in (one.at..).zip(&one.bytes) {
                let old = self.bytes.insert(at, byte).unwrap_or(byte);
                assert_eq!(old, byte, "byte {at} changed");
            }
            let end = one.at + one.bytes.len() as i64;
            if one.fin {
                assert!(self.fin.is_none_or(|fin| fin == end), "two ends");
                self.fin = Some(end);
            }
        }
    }

    /// Up to where nothing is missing.
    fn has(&self) -> i64 {
        let mut next = 0;
        while self.bytes.contains_key(&next) {
            next += 1;
        }
        next
    }

    fn text(&self) -> String {
        let whole = self.bytes.range(..self.has());
        String::from_utf8_lossy(&whole.map(|(_, &byte)| byte).collect::<Vec<_>>()).into_owned()
    }

    fn acknowledge(&mut self, talk: &mut Talk) {
        let ack = Sent {
            ack: self.has() + i64::from(self.fin == Some(self.has())),
            ..data(0, b"")
        };
        let seen = talk.send(Server, ack);
        self.read(&seen);
    }
}

/// The body of a request in chunks, and what is behind it.
fn unchunked(text: &str) -> (String, String) {
    let (_, mut rest) = text.split_once("\r\n\r\n").expect("a whole head");
    let mut body = String::new();
    while let Some((size, chunk)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("the size of a chunk");
        let Some(end) = chunk.get(size..).filter(|end| end.starts_with("\r\n")) else {
            break;
        };
        body.push_str(&chunk[..size]);
        rest = &end[2..];
        if size == 0 {
            return (body, rest.to_owned());
        }
    }
    (body, format!("unfinished: {rest}"))
}

#[test]
fn the_front_leaves_and_the_token_at_the_end_is_replaced() {
    for manner in FAMILIES {
        for cut in 1..TOKEN.len() {
            let mut talk = Talk::open(&replacing("[it]"), live(), manner);
            let mut reader = Reader::default();
            let filler = "x".repeat(20_000);
            let first = format!("{filler}{}", &TOKEN[..cut]);
            assert_eq!(talk.send(Client, data(0, first.as_bytes())), []);
            // Nothing else comes: its sender has sent all it may.
            let front = talk.wait(6);
            assert_eq!(front.len(), 1, "cut after {cut}");
            assert_eq!((front[0].verdict, front[0].id), (Verdict::Rewrite, 4));
            assert_eq!((front[0].at, front[0].bytes.len()), (0, 20_000));
            reader.read(&front);
            reader.acknowledge(&mut talk);
            // It has an acknowledgement and goes on.
            let second = format!("{} and the rest", &TOKEN[cut..]);
            let last = Sent {
                fin: true,
                ..data(first.len() as i64, second.as_bytes())
            };
            reader.read(&talk.send(Client, last));
            assert_eq!(reader.text(), format!("{filler}[it] and the rest"));
            assert_eq!(reader.fin, Some(reader.has()));
            let (_, stats, said) = talk.close();
            assert_eq!((stats.sent_fronts, stats.sent_ahead), (1, 0));
            assert_eq!(said.errors(), Vec::<&str>::new());
        }
    }
}

#[test]
fn what_became_short_replaces_its_packet_and_flags_stay_at_the_end() {
    for manner in FAMILIES {
        let mut talk = Talk::open(&replacing("[it]"), live(), manner);
        let first = format!("{}{TOKEN} more @@TO", "x".repeat(10));
        let last = Sent {
            fin: true,
            ..data(0, first.as_bytes())
        };
        // The end of the stream is the end of waiting.
        let whole = talk.send(Client, last);
        assert_eq!(whole.len(), 1);
        assert_eq!(whole[0].bytes, b"xxxxxxxxxx[it] more @@TO");
        assert!(whole[0].fin);
        talk.close();
        let listener = "
            require('protocol/tcp_connection')
            local mark
            haka.rule { on = haka.dissectors.tcp_connection.events.receive_data,
              eval = function (flow, data)
                if mark then mark:unmark() mark = nil data:pos('begin'):insert(haka.vbuffer_from('+'))
                else mark = data:pos(15) mark:mark() end
              end }";
        let mut talk = Talk::open(listener, live(), manner);
        let last = Sent {
            fin: true,
            ..data(0, b"hold from the fifteenth on")
        };
        assert_eq!(talk.send(Client, last), []);
        let front = talk.wait(6);
        assert_eq!(front.len(), 1);
        assert_eq!((front[0].bytes.len(), front[0].fin), (15, false));
        // Sent once more, all of it: only what was judged leaves.
        let again = talk.send(Client, last);
        assert_eq!((again.len(), again[0].bytes.len()), (1, 15));
        assert!(!again[0].fin);
        // Readers hold the end, not its time.
        let ack = Sent {
            ack: 15,
            ..data(0, b"")
        };
        talk.send(Server, ack);
        let rest = talk.wait(160);
        assert_eq!(rest.len(), 1);
        assert_eq!((rest[0].at, rest[0].fin), (15, true));
        assert_eq!(rest[0].bytes, b"ifteenth on".to_vec());
        let (_, stats, _) = talk.close();
        assert_eq!((stats.sent_fronts, stats.sent_ahead), (1, 1));
    }
}

/// A mark behind the last byte: the end has to stand for a byte still.
#[test]
fn an_empty_end_keeps_one_byte() {
    let listener = "
        require('protocol/tcp_connection')
        local mark
        haka.rule { on = haka.dissectors.tcp_connection.events.receive_data,
          eval = function (flow, data)
            if mark then mark:unmark() mark = nil data:pos('begin'):insert(haka.vbuffer_from('+'))
            else mark = data:pos(10) mark:mark() end
          end }";
    for manner in FAMILIES {
        let mut talk = Talk::open(listener, live(), manner);
        let mut reader = Reader::default();
        assert_eq!(talk.send(Client, data(0, b"0123456789")), []);
        let front = talk.wait(6);
        assert_eq!(front[0].bytes, b"012345678");
        reader.read(&front);
        reader.read(&talk.send(Client, data(10, b"abc")));
        assert_eq!(reader.text(), "0123456789+abc");
        talk.close();
    }
}

#[test]
fn captures_and_the_other_profile_hold_whole_segments() {
    let settings = [
        Settings::new(Profile::Wero),
        Settings {
            live: true,
            ..Settings::new(Profile::Haka)
        },
    ];
    for settings in settings {
        let mut talk = Talk::open(&replacing("[it]"), settings, FAMILIES[0]);
        let text = format!("{}@@TO", "x".repeat(5000));
        talk.send(Client, data(0, text.as_bytes()));
        assert_eq!(talk.wait(100), []);
        let (_, stats, _) = talk.close();
        assert_eq!(stats.sent_fronts, 0);
    }
}

fn on_port_80(manner: Manner) -> Manner {
    Manner { port: 80, ..manner }
}

#[test]
fn bodies_leave_in_chunks_up_to_the_token_at_the_end() {
    for manner in FAMILIES.map(on_port_80) {
        for cut in 0..=TOKEN.len() {
            let mut talk = Talk::open(IN_BODIES, live(), manner);
            let mut reader = Reader::default();
            let filler = "y".repeat(9000);
            let body = format!("{filler}{TOKEN}end");
            let head = format!(
                "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let text = format!("{head}{body}GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
            let (first, second) = text.split_at(head.len() + filler.len() + cut);
            reader.read(&talk.send(Client, data(0, first.as_bytes())));
            reader.read(&talk.wait(6));
            assert!(reader.has() >= 9000, "cut after {cut}: {}", reader.has());
            reader.acknowledge(&mut talk);
            reader.read(&talk.send(Client, data(first.len() as i64, second.as_bytes())));
            let (body, rest) = unchunked(&reader.text());
            assert_eq!(body, format!("{filler}#end"));
            assert!(rest.starts_with("GET /b "), "{rest}");
            let (_, stats, said) = talk.close();
            assert_eq!(stats.sent_ahead, 0);
            assert_eq!(said.errors(), Vec::<&str>::new());
        }
    }
}

/// What looks like a token and stays alone is waited for `hold_time`: then it
/// leaves in a chunk of its own.
#[test]
fn nothing_of_a_body_leaves_without_its_frame() {
    for manner in FAMILIES.map(on_port_80) {
        let mut talk = Talk::open(IN_BODIES, live(), manner);
        let mut reader = Reader::default();
        let text = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\nabcdefgh@@TOnobody a";
        let (first, second) = text.split_at(text.len() - 8);
        reader.read(&talk.send(Client, data(0, first.as_bytes())));
        reader.read(&talk.wait(6));
        reader.acknowledge(&mut talk);
        assert!(reader.text().ends_with("8\r\nabcdefgh\r\n"));
        reader.read(&talk.wait(160));
        assert!(
            reader.text().ends_with("4\r\n@@TO\r\n"),
            "{}",
            reader.text()
        );
        reader.acknowledge(&mut talk);
        reader.read(&talk.send(Client, data(first.len() as i64, second.as_bytes())));
        let (body, rest) = unchunked(&reader.text());
        assert_eq!((body.as_str(), rest.as_str()), ("abcdefgh@@TOnobody a", ""));
        let (_, stats, said) = talk.close();
        assert_eq!((stats.sent_ahead, stats.hold_timeouts), (0, 1));
        assert_eq!(said.errors(), Vec::<&str>::new());
    }
}

/// Bytes that a rule has taken out cannot be put back for it.
#[test]
fn a_body_that_cannot_be_framed_is_dropped() {
    let rules = "require('protocol/http')
        local http = haka.dissectors.http
        local taken
        haka.rule { on = http.events.request,
          eval = function (flow) flow:enable_data_modification() end }
        haka.rule { on = http.events.request_data,
          eval = function (flow, data) taken = { data:sub(0, 4):select() } end }";
    for manner in FAMILIES.map(on_port_80) {
        let mut talk = Talk::open(rules, live(), manner);
        let body = "z".repeat(20_000);
        let text = format!("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 30000\r\n\r\n{body}");
        let left = talk.send(Client, data(0, text.as_bytes()));
        assert_eq!(left, []);
        let mut reader = Reader::default();
        reader.read(&talk.wait(6));
        reader.acknowledge(&mut talk);
        reader.read(&talk.wait(160));
        assert!(reader.text().ends_with("\r\n\r\n"), "the head alone");
        talk.send(Client, data(text.len() as i64, b"more"));
        assert_eq!(talk.refused(), [(6, DropReason::FlowDropped)]);
        let (_, stats, said) = talk.close();
        assert_eq!((stats.sent_ahead, stats.hold_caps), (0, 1));
        let told = |line: &String| line.contains("framed anew: the connection is dropped");
        assert!(said.lines.iter().any(told), "{:?}", said.lines);
    }
}

#[derive(Clone, Debug)]
enum Event {
    /// So many bytes go on.
    Send(usize),
    /// Bytes sent before are sent again.
    Again(usize, usize),
    Wait(i64),
    Acknowledge,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..4000usize).prop_map(Event::Send),
        2 => (1..30usize).prop_map(Event::Send),
        2 => (0..6000usize, 1..3000usize).prop_map(|(back, len)| Event::Again(back, len)),
        4 => (0..12i64).prop_map(Event::Wait),
        2 => Just(Event::Acknowledge),
    ]
}

/// Tokens, beginnings of them, and what is none.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        3 => Just(TOKEN.to_owned()),
        3 => (1..TOKEN.len()).prop_map(|len| TOKEN[..len].to_owned()),
        3 => (1..300usize).prop_map(|len| "ab".repeat(len)),
    ];
    proptest::collection::vec(part, 1..120).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_the_cuts_the_receiver_reads_what_was_judged(
        text in text(),
        events in proptest::collection::vec(event(), 1..60),
        written in prop_oneof![Just(""), Just("#"), Just("ninebytes"), Just("a replacement that is longer")],
        family in 0..2usize,
    ) {
        let mut talk = Talk::open(&replacing(written), live(), FAMILIES[family]);
        let mut reader = Reader::default();
        let bytes = text.as_bytes();
        let mut sent = 0;
        for event in events {
            let seen = match event {
                Event::Send(len) => {
                    let end = (sent + len).min(bytes.len());
                    let from = std::mem::replace(&mut sent, end);
                    if from == end { continue }
                    talk.send(Client, data(from as i64, &bytes[from..end]))
                }
                Event::Again(back, len) => {
                    let from = sent.saturating_sub(back);
                    let end = (from + len).min(sent);
                    if from == end { continue }
                    talk.send(Client, data(from as i64, &bytes[from..end]))
                }
                Event::Wait(span) => talk.wait(span),
                Event::Acknowledge => {
                    reader.acknowledge(&mut talk);
                    continue;
                }
            };
            reader.read(&seen);
        }
        let last = Sent { fin: true, ..data(sent as i64, &bytes[sent..]) };
        reader.read(&talk.send(Client, last));
        // What the receiver's window had no room for.
        for _ in 0..20 {
            reader.acknowledge(&mut talk);
        }
        prop_assert_eq!(reader.text(), text.replace(TOKEN, written));
        prop_assert_eq!(reader.fin, Some(reader.has()));
        let (_, stats, said) = talk.close();
        prop_assert_eq!(stats.sent_ahead, 0);
        prop_assert_eq!(said.errors(), Vec::<&str>::new());
    }
}
