//! State machines and dissectors written in Lua, on whole captures of both
//! families: what rules hear, what leaves, what errors do.

use std::fs;
use std::path::Path;
use std::process::Command;

struct Run {
    text: String,
    dropped: bool,
    /// The capture that came out.
    packets: Vec<u8>,
    input: Vec<u8>,
}

impl Run {
    /// What was said, with single blanks.
    fn lines(&self) -> Vec<String> {
        let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        self.text
            .lines()
            .map(squeezed)
            .filter(|line| !line.is_empty())
            .collect()
    }

    /// Whether the bytes left somewhere, in one packet.
    fn sent(&self, bytes: &[u8]) -> bool {
        self.packets
            .windows(bytes.len())
            .any(|window| window == bytes)
    }
}

fn replay(rule: &str, capture: &str) -> Run {
    let scratch = tempfile::tempdir().expect("there is room for temporary files");
    let (file, out) = (
        scratch.path().join("rule.lua"),
        scratch.path().join("out.pcap"),
    );
    fs::write(&file, rule).expect("the scratch folder is writable");
    let input = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/captures")
        .join(format!("{capture}.pcap"));
    let run = Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(["replay", "-o"])
        .args([&out, &file, &input])
        .output()
        .expect("wero runs");
    let summary = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{summary}");
    Run {
        text: String::from_utf8_lossy(&run.stdout).into_owned(),
        dropped: !summary
            .lines()
            .any(|line| line.trim_end().ends_with(" 0") && line.starts_with("dropped")),
        packets: fs::read(&out).expect("replay wrote packets"),
        input: fs::read(&input).expect("the capture is there"),
    }
}

/// Runs on the capture of each family.
fn both(rule: &str, capture: &str, check: impl Fn(&Run)) {
    for family in ["v4", "v6"] {
        check(&replay(rule, &format!("{capture}-{family}")));
    }
}

/// A dissector `NAME` whose machine triggers `said(direction, text part)`.
fn talker(name: &str) -> String {
    r#"
local tcp_connection = require('protocol/tcp_connection')
local Talker = haka.dissector.new { type = tcp_connection.helper.TcpFlowDissector, name = 'NAME' }
Talker:register_event('said')
Talker.state_machine = haka.state_machine.new('NAME', function ()
  state_type {
    events = { 'up', 'down' },
    update = function (self, machine, iter, direction)
      machine:trigger(direction, iter:sub('available'))
    end,
  }
  talking = state()
  talking:on { event = events.up, execute = function (self, sub) self:trigger('said', 'up', sub) end }
  talking:on { event = events.down, execute = function (self, sub) self:trigger('said', 'down', sub) end }
  initial(talking)
end)
haka.policy { name = 'NAME', on = haka.dissectors.tcp_connection.policies.next_dissector,
  port = 7000, action = haka.dissectors.NAME.install }
"#
    .replace("NAME", name)
}

#[test]
fn a_dissector_sees_and_changes_both_directions() {
    let rule = talker("talker")
        + r#"
haka.rule { on = haka.dissectors.talker.events.said, eval = function (talker, direction, sub)
  print(talker.name, talker.state, direction, talker.dstport, talker:parent().name, #sub)
  talker.heard = (rawget(talker, 'heard') or 0) + 1
  if direction == 'down' then sub:replace(haka.vbuffer_from(sub:asstring():upper() .. talker.heard)) end
end }
"#;
    both(&rule, "stream-plain", |run| {
        assert_eq!(run.lines().len(), 8);
        assert_eq!(run.lines()[0], "talker talking up 7000 tcp_connection 12");
        assert!(run.sent(b"name: alice\n"));
        assert!(run.sent(b"WELCOME, ALICE\n4") && run.sent(b"THE QUICK BROWN FOX\n5"));
        assert!(!run.dropped);
    });
}

#[test]
fn an_untouched_conversation_leaves_as_it_came() {
    both(&talker("talker"), "stream-loss", |run| {
        assert_eq!(run.lines(), ["warn core: no registered rule"]);
        assert!(!run.dropped);
    });
}

/// Each gets the events in a stream of its own, and fields come from below.
#[test]
fn dissectors_chain_to_any_depth() {
    let rule = talker("outer")
        + r#"
local function layer(name, below, changed)
  local Layer = haka.dissector.new { type = haka.helper.FlowDissector, name = name }
  Layer:register_event('said')
  function Layer.method:can_continue() return self:parent():can_continue() end
  function Layer.method:drop() self:parent():drop() end
  function Layer.method:hear(direction, sub) self:trigger('said', direction, sub) end
  haka.policy { name = name, on = haka.dissectors[below].policies.next_dissector,
    action = haka.dissectors[name].install }
  haka.rule { on = haka.dissectors[below].events.said, eval = function (from, direction, sub)
    if not rawget(from, '_next_dissector') then
      haka.dissectors[below].policies.next_dissector:apply { ctx = from, values = {} }
    end
    from:activate_next_dissector():hear(direction, sub)
  end }
end
layer('middle', 'outer')
layer('inner', 'middle')
haka.rule { on = haka.dissectors.inner.events.said, eval = function (inner, direction, sub)
  print(inner.name, inner:parent().name, inner:parent(2).name, inner:parent('tcp_connection').name,
    inner.srcport, direction)
  if direction == 'down' then sub:replace(haka.vbuffer_from('deep')) end
end }
"#;
    both(&rule, "stream-plain", |run| {
        assert_eq!(run.lines()[0], "inner middle outer tcp_connection 40312 up");
        assert_eq!(run.lines().len(), 8);
        assert!(run.sent(b"deep") && !run.sent(b"welcome"));
    });
}

#[test]
fn an_error_names_the_dissector_and_ends_the_flow() {
    let rule = talker("talker")
        + r#"
haka.rule { on = haka.dissectors.talker.events.said, eval = function (talker, direction, sub)
  if sub:asstring():find('secret') then error('do not say that', 0) end
end }
"#;
    both(&rule, "stream-plain", |run| {
        assert_eq!(run.lines(), ["error lua: talker: do not say that"]);
        assert!(run.sent(b"name: alice\n") && !run.sent(b"secret: ") && !run.sent(b"bye\n"));
        assert!(run.dropped);
    });
}

#[test]
fn a_dissector_drops_once_and_has_no_parent_then() {
    let rule = talker("talker")
        + r#"
haka.rule { on = haka.dissectors.talker.events.said, eval = function (talker)
  print(talker:can_continue())
  talker:drop()
  talker:drop()
  print(talker:can_continue(), talker:parent())
end }
haka.rule { on = haka.dissectors.talker.events.said, eval = function () print('not reached') end }
"#;
    both(&rule, "stream-plain", |run| {
        assert_eq!(run.lines(), ["true", "false nil"]);
        assert!(!run.sent(b"name: alice"));
    });
}

#[test]
fn a_reset_reaches_both_ends() {
    let rule = talker("talker")
        + r#"
haka.rule { on = haka.dissectors.talker.events.said, eval = function (talker, direction, sub)
  if sub:asstring():find('secret') then talker:reset() end
end }
haka.rule { on = haka.dissectors.tcp.events.send_packet, eval = function (pkt)
  if pkt.flags.rst then print('rst to', pkt.dstport) end
end }
"#;
    both(&rule, "stream-plain", |run| {
        assert_eq!(run.lines(), ["rst to 40312", "rst to 7000"]);
    });
}

/// The flow vanished below the dissector.
#[test]
fn a_flow_that_a_rule_took_away() {
    let rule = talker("talker")
        + r#"
haka.rule { on = haka.dissectors.talker.events.said, eval = function (talker)
  talker:parent():drop()
end }
"#;
    both(&rule, "stream-plain", |run| {
        assert_eq!(
            run.lines(),
            ["warn external: tcp_connection: invalid stream"]
        );
    });
}

#[test]
fn streamed_events_of_a_dissector_in_one_byte_segments() {
    let rule = r#"
local tcp_connection = require('protocol/tcp_connection')
local Lines = haka.dissector.new { type = tcp_connection.helper.TcpFlowDissector, name = 'lines' }
Lines:register_streamed_event('text')
function Lines.method:receive_streamed(iter, direction)
  local stream = haka.vbuffer_sub_stream()
  for sub in iter:foreach_available() do
    self:trigger('text', stream, stream:push(sub), direction)
    stream:pop()
  end
  stream:finish()
  self:trigger('text', stream, nil, direction)
end
haka.policy { name = 'lines', on = haka.dissectors.tcp_connection.policies.next_dissector,
  action = haka.dissectors.lines.install }
haka.rule { on = haka.dissectors.lines.events.text, options = { streamed = true },
  eval = function (lines, iter, direction)
    local parts = {}
    for rest in iter:foreach_available() do parts[#parts + 1] = rest:asstring() end
    print(direction, (table.concat(parts):gsub('\n', '|')))
  end }
"#;
    both(rule, "stream-one-byte", |run| {
        let mut lines = run.lines();
        lines.sort_unstable();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("down welcome, alice|"), "{lines:?}");
        assert!(lines[1].starts_with("up name: alice|"), "{lines:?}");
        assert_eq!(run.packets.len(), run.input.len());
    });
}

#[test]
fn the_parent_must_be_a_flow_of_the_protocol() {
    let run = replay(
        "
local tcp_connection = require('protocol/tcp_connection')
local udp_connection = require('protocol/udp_connection')
local T = haka.dissector.new { type = tcp_connection.helper.TcpFlowDissector, name = 't' }
local U = haka.dissector.new { type = udp_connection.helper.UdpFlowDissector, name = 'u' }
print(select(2, pcall(T.new, T, {})))
print(select(2, pcall(U.new, U, {})))
",
        "stream-plain-v4",
    );
    assert!(
        run.lines()[0].ends_with("invalid parent dissector, must be a tcp flow"),
        "{}",
        run.text
    );
    assert!(
        run.lines()[1].ends_with("invalid flow parameter"),
        "{}",
        run.text
    );
}

/// A dissector of datagrams: what it writes leaves, one it drops does not.
#[test]
fn a_dissector_of_datagrams() {
    let rule = r#"
local udp_connection = require('protocol/udp_connection')
local Ping = haka.dissector.new { type = udp_connection.helper.UdpFlowDissector, name = 'ping' }
Ping:register_event('message')
Ping.state_machine = haka.state_machine.new('ping', function ()
  state_type {
    events = { 'up', 'down' },
    update = function (self, machine, iter, direction, pkt, payload)
      machine:trigger(direction, iter:sub('all'), pkt, payload)
    end,
  }
  asked, idle = state(), state()
  idle:on { event = events.up, execute = function (self, sub, pkt) self:trigger('message', 'up', sub, pkt) end,
    jump = asked }
  asked:on { event = events.down,
    execute = function (self, sub, pkt) self:trigger('message', 'down', sub, pkt) end, jump = idle }
  initial(idle)
end)
haka.policy { name = 'ping', on = haka.dissectors.udp_connection.policies.next_dissector,
  port = 7000, action = haka.dissectors.ping.install }
haka.rule { on = haka.dissectors.ping.events.message, eval = function (ping, direction, sub, pkt)
  print(ping.state, direction, sub:asstring(), ping.dstport, pkt.srcport)
  if direction == 'up' then sub:replace(haka.vbuffer_from('PING')) end
  if #sub > 0 then ping:send(pkt, pkt.payload) end
end }
"#;
    both(rule, "datagrams", |run| {
        assert_eq!(
            run.lines()[..2],
            ["idle up ping 1 7000 40312", "asked down pong 1 7000 7000"]
        );
        assert!(run.sent(b"PING") && run.sent(b"pong 1") && !run.sent(b"ping 1"));
        assert!(!run.dropped);
    });
}

// Timeouts ----------------------------------------------------------------------

/// A machine per connection, woken after a quiet millisecond.
fn watcher(timeout: &str, body: &str) -> String {
    r#"
require('protocol/tcp_connection')
local watch = haka.state_machine.new('watch', function ()
  state_type { events = {}, update = function () end }
  watching = state()
  watching:on { event = events.timeout(TIMEOUT), execute = function (flow) BODY end }
  initial(watching)
end)
haka.rule { on = haka.dissectors.tcp_connection.events.new_connection,
  eval = function (flow) flow.watch = watch:instanciate(flow) end }
haka.rule { on = haka.dissectors.tcp_connection.events.end_connection,
  eval = function () print('end') end }
"#
    .replace("TIMEOUT", timeout)
    .replace("BODY", body)
}

#[test]
fn timeouts_end_with_the_flow() {
    both(
        &watcher("0.001", "print('tick', flow.state)"),
        "stream-plain",
        |run| {
            let lines = run.lines();
            let end = lines.iter().position(|line| line == "end");
            assert!(lines.len() > 5, "{lines:?}");
            assert_eq!(end, Some(lines.len() - 1));
            assert!(
                lines[..lines.len() - 1]
                    .iter()
                    .all(|line| line.starts_with("tick "))
            );
        },
    );
}

#[test]
fn a_timeout_drops_or_resets_its_flow() {
    for (body, rsts) in [("flow:drop()", 0), ("flow:reset()", 2)] {
        let rule = watcher("0.003", body)
            + "haka.rule { on = haka.dissectors.tcp.events.send_packet,
                 eval = function (pkt) if pkt.flags.rst then print('rst') end end }";
        both(&rule, "stream-plain", |run| {
            let mut expected = vec!["rst"; rsts];
            expected.push("end");
            assert_eq!(run.lines(), expected);
            assert!(run.dropped);
        });
    }
}

#[test]
fn an_error_in_a_timeout_fails_the_machine_and_nothing_else() {
    both(
        &watcher("0.001", "error('too late', 0)"),
        "stream-plain",
        |run| {
            assert_eq!(run.lines(), ["error lua: state machine: too late", "end"]);
            assert!(!run.dropped);
            assert_eq!(run.packets, run.input);
        },
    );
}

/// A timer that was armed while the rules were loaded counts from the first
/// packet, and missed periods are one call.
#[test]
fn the_clock_begins_with_the_first_packet() {
    let rule = r#"
local packet
local m = haka.state_machine.new('m', function ()
  state_type {}
  a = state()
  a:on { event = events.timeout(0.0011), execute = function () print(packet) end }
  a:on { event = events.timeout(1000), execute = function () print('early') end }
  initial(a)
end)
m:instanciate({})
haka.rule { on = haka.dissectors.packet.events.receive_packet, eval = function (pkt) packet = pkt.id end }
"#;
    // Packets 3 and 4 are at 0.4 and 1.4 ms, 5 and 6 at 1.6 and 2.6 ms.
    both(rule, "stream-plain", |run| {
        assert_eq!(run.lines()[..2], ["3", "5"]);
    });
}

#[test]
fn blocking_in_a_callback_of_the_machines_own_fails_it() {
    let rule = r#"
local tcp_connection = require('protocol/tcp_connection')
local T = haka.dissector.new { type = tcp_connection.helper.TcpFlowDissector, name = 't' }
T.state_machine = haka.state_machine.new('t', function ()
  state_type { events = { 'up' }, update = function (self, machine, iter, direction)
    iter:sub('available')
    machine.owner.iter = iter
    machine:trigger('up')
  end }
  a, b = state(), state()
  a:on { event = events.up, jump = b }
  b:on { event = events.enter, execute = function (self) self.iter:sub(1000) end }
  any:on { event = events.fail, execute = function (self) print('failed') self:drop() end }
  initial(a)
end)
haka.policy { name = 't', on = haka.dissectors.tcp_connection.policies.next_dissector,
  action = haka.dissectors.t.install }
"#;
    both(rule, "stream-plain", |run| {
        assert_eq!(
            run.lines(),
            [
                "warn core: no registered rule",
                "error lua: state machine: attempt to yield across C-call boundary",
                "failed"
            ]
        );
    });
}
