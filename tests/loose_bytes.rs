//! Bytes that enter their stream only when a rule looks at them. No rule may
//! tell: what it keeps, edits and holds is the same as if they were there.

mod held_segments {
    #[allow(dead_code)]
    pub mod talk;
}
#[path = "support/rig.rs"]
mod rig;

use held_segments::talk::{Client, FAMILIES, Manner, Server, Talk, data};
use proptest::prelude::*;
use wero::event::{Profile, Settings};

const EVENT: &str = "require('protocol/tcp_connection')
    local event = haka.dissectors.tcp_connection.events.receive_data
    local function listen(eval) haka.rule { on = event, eval = eval } end
    ";

/// What rules print of a client's segments, and what leaves of each.
fn run(rules: &str, manner: Manner, segments: &[&str]) -> (String, Vec<String>) {
    let rules = format!("{EVENT}{rules}");
    let mut talk = Talk::open(&rules, Settings::new(Profile::Wero), manner);
    let (mut at, mut left) = (0, Vec::new());
    for segment in segments {
        left.extend(talk.send(Client, data(at, segment.as_bytes())));
        at += segment.len() as i64;
    }
    let (rest, _, said) = talk.close();
    assert_eq!(said.errors(), Vec::<&str>::new());
    let client = left
        .into_iter()
        .chain(rest)
        .filter(|one| one.from == Client);
    let texts = client.map(|one| String::from_utf8_lossy(&one.bytes).into_owned());
    let texts = texts.filter(|text| !text.is_empty()).collect();
    (said.printed, texts)
}

fn both(rules: &str, segments: &[&str], printed: &str, leaves: &[&str]) {
    for manner in FAMILIES {
        let (said, left) = run(rules, manner, segments);
        assert_eq!(said, printed, "{rules}");
        assert_eq!(left, leaves, "{rules}");
    }
}

#[test]
fn lengths_follow_what_other_rules_make_of_the_bytes() {
    both(
        "local kept
        listen(function (_, data) kept = data print(#data, data:size()) end)
        listen(function (_, data) data:pos('begin'):insert(haka.vbuffer_from('more ')) print(#data) end)
        listen(function (_, data) print(#data, #kept, kept:asstring()) end)",
        &["abc", "defg"],
        "3 3\n3\n8 3 abc\n4 4\n4\n9 4 defg\n",
        &["more abc", "more defg"],
    );
}

#[test]
fn a_part_that_was_never_looked_at_is_gone_with_its_event() {
    both(
        "local kept
        listen(function (_, data)
          if kept then
            print(pcall(function () return #kept end))
            print(pcall(function () return kept:asstring() end))
          end
          kept = kept or data
          print(#data)
        end)",
        &["abc", "defg"],
        "3\nfalse invalid buffer iterator\nfalse invalid buffer iterator\n4\n",
        &["abc", "defg"],
    );
}

#[test]
fn what_is_kept_of_one_event_serves_in_the_next() {
    both(
        "local place
        listen(function (_, data)
          if place then print(place:sub(2):asstring()) end
          place = data:pos('end')
        end)",
        &["abc", "defg", "hi"],
        "de\nhi\n",
        &["abc", "defg", "hi"],
    );
}

#[test]
fn a_rule_that_sends_first_looks_at_the_same_bytes_afterwards() {
    both(
        "local other = haka.dissectors.tcp_connection.events.receive_packet
        listen(function (flow, data)
          flow:send('down')
          print(#data, data:asstring())
          data[1] = 65
        end)",
        &["abc", "defg"],
        "3 abc\n4 defg\n",
        &["Abc", "Aefg"],
    );
}

#[test]
fn streamed_rules_wait_for_more_while_others_only_count() {
    both(
        "listen(function (_, data) print(#data) end)
        haka.rule { on = event, options = { streamed = true }, eval = function (_, iter)
          for sub in iter:foreach_available() do
            print('more', sub:asstring())
            sub:sub(0, 2):erase()
          end
        end }
        listen(function (_, data) print(#data) end)",
        &["abc", "defg"],
        "3\nmore abc\n1\n4\nmore defg\n2\n",
        &["c", "fg"],
    );
}

#[test]
fn a_rule_that_fails_after_it_looked_leaves_the_bytes_to_the_next() {
    let settings = Settings {
        pass_on_error: true,
        ..Settings::new(Profile::Wero)
    };
    for (first, printed) in [
        ("data:asstring()", "3 abc\n4 defg\n2 hi\n"),
        ("data[1] = 97", "3 abc\n4 aefg\n2 ai\n"),
        (
            "data:pos('begin'):insert(haka.vbuffer_from('+'))",
            "4 +abc\n5 +defg\n3 +hi\n",
        ),
        ("", "3 abc\n4 defg\n2 hi\n"),
    ] {
        let rules = format!(
            "{EVENT}
            listen(function (_, data) {first} error('failed') end)
            listen(function (_, data) print(#data, data:asstring()) data[#data] = 33 end)"
        );
        let mut talk = Talk::open(&rules, settings.clone(), FAMILIES[0]);
        let (mut at, mut left) = (0, String::new());
        for text in ["abc", "defg", "hi"] {
            for one in talk.send(Client, data(at, text.as_bytes())) {
                left += &String::from_utf8_lossy(&one.bytes);
                left += "|";
            }
            at += text.len() as i64;
        }
        assert_eq!(talk.printed(), printed, "{first}");
        let seen: Vec<&str> = printed
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .collect();
        let leaves: String = seen
            .iter()
            .map(|text| format!("{}!|", &text[..text.len() - 1]))
            .collect();
        assert_eq!(left, leaves, "{first}");
    }
}

#[test]
fn listeners_of_a_dissector_in_lua_get_the_stream() {
    let rules = "
        local tcp = require('protocol/tcp_connection')
        local Reader = haka.dissector.new { type = tcp.helper.TcpFlowDissector, name = 'reader' }
        function Reader.method:receive_streamed(iter)
          while iter:wait() do iter:sub('available') end
        end
        Reader.connections:register(event, haka.event.method(haka.event.self,
          function (_, _, stream, iter, direction)
            print(stream.isfinished, iter:available(), direction)
          end))
        listen(function (_, data) print(#data) end)
        local connection = haka.dissectors.tcp_connection";
    let by_policy = "
        haka.policy { on = connection.policies.next_dissector, name = 'reader',
          action = haka.dissectors.reader.install }";
    let by_rule = "
        haka.rule { on = connection.events.new_connection, eval = function (flow)
          flow:select_next_dissector(Reader)
          flow:activate_next_dissector()
        end }";
    for how in [by_policy, by_rule] {
        both(
            &format!("{rules}{how}"),
            &["abc", "de"],
            "3\nfalse 3 up\n2\nfalse 2 up\n",
            &["abc", "de"],
        );
    }
}

#[derive(Clone, Debug)]
struct Deed {
    /// Which of the rules does something to the bytes of this segment.
    rule: usize,
    what: &'static str,
    len: usize,
    /// It brings this many of the last bytes again.
    back: usize,
}

fn deed() -> impl Strategy<Value = Deed> {
    let what = prop::sample::select(vec![
        "",
        "",
        "",
        "data[1] = 42",
        "data:erase()",
        "data:sub(0, 1):erase()",
        "data:pos('begin'):insert(haka.vbuffer_from('++'))",
        "held = data:pos('begin') held:mark()",
        "if held then held:unmark() held = nil end",
    ]);
    (
        0..2usize,
        what,
        1..900usize,
        prop_oneof![3 => Just(0usize), 1 => 0..300usize],
    )
        .prop_map(|(rule, what, len, back)| Deed {
            rule,
            what,
            len,
            back,
        })
}

/// What leaves and is said when the rules look at all bytes, or only where
/// they have to.
fn play(deeds: &[Deed], looks: bool, manner: Manner, live: bool) -> (Vec<Vec<u8>>, String) {
    let mut rules = String::from("local at, held = 0\nlocal deeds = { {}, {} }\n");
    for (number, deed) in deeds.iter().enumerate() {
        rules += &format!(
            "deeds[{}][{}] = function (data) {} end\n",
            deed.rule + 1,
            number + 1,
            deed.what
        );
    }
    for rule in 1..=2 {
        let look = if looks { "data:pos('begin')" } else { "" };
        rules += &format!(
            "listen(function (_, data)
              {look}
              if {rule} == 1 then at = at + 1 end
              local n = #data
              if deeds[{rule}][at] and n > 0 then deeds[{rule}][at](data) end
              print(n, pcall(function () return #data end))
            end)\n"
        );
    }
    let settings = Settings {
        live,
        ..Settings::new(Profile::Wero)
    };
    let mut talk = Talk::open(&format!("{EVENT}{rules}"), settings, manner);
    let (mut at, mut left) = (0usize, Vec::new());
    for deed in deeds {
        let from = at.saturating_sub(deed.back);
        let bytes: Vec<u8> = (from..at + deed.len)
            .map(|at| b'a' + (at % 23) as u8)
            .collect();
        left.extend(talk.send(Client, data(from as i64, &bytes)));
        at += deed.len;
    }
    let mut fin = data(at as i64, b"");
    fin.fin = true;
    left.extend(talk.send(Client, fin));
    left.extend(talk.send(Server, data(0, b"bye")));
    let (rest, _, said) = talk.close();
    assert_eq!(said.errors(), Vec::<&str>::new());
    left.extend(rest);
    (
        left.into_iter().map(|one| one.bytes).collect(),
        said.printed,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn nobody_can_tell_whether_bytes_were_looked_at(
        family in 0..2usize,
        live: bool,
        deeds in prop::collection::vec(deed(), 1..20),
    ) {
        let lazy = play(&deeds, false, FAMILIES[family], live);
        let eager = play(&deeds, true, FAMILIES[family], live);
        prop_assert_eq!(lazy, eager);
    }
}

/// What a rule does to the packet behind the bytes' back is nobody's judgement.
#[test]
fn packets_that_rules_shorten_themselves_are_the_same_either_way() {
    let left = ["", "data:asstring()"].map(|look| {
        let rules = format!(
            "local packet
            haka.rule {{ on = haka.dissectors.tcp_connection.events.receive_packet,
              eval = function (_, pkt) packet = pkt end }}
            listen(function (_, data)
              {look}
              packet.payload:sub(0, 3):erase()
              packet:compute_checksum()
            end)"
        );
        let rules = format!("{EVENT}{rules}");
        let mut talk = Talk::open(&rules, Settings::new(Profile::Wero), FAMILIES[0]);
        let sent = data(0, b"helloworld");
        [talk.send(Client, sent), talk.send(Client, sent)].concat()
    });
    assert_eq!(left[0], left[1]);
}
