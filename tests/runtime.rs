//! Rules over real captures: what they see, change and refuse.

#[path = "support/rig.rs"]
mod rig;

use std::path::Path;

use rig::{Rig, Said, read_capture};
use wero::event::{Profile, Settings, Verdict};
use wero::lua::Limits;
use wero::rule::LoadError;

struct Outcome {
    said: Said,
    /// Number of the packet, verdict and bytes.
    out: Vec<(u64, Verdict, Vec<u8>)>,
    sent_in: Vec<Vec<u8>>,
}

impl Outcome {
    fn printed(&self) -> Vec<&str> {
        self.said.printed.lines().collect()
    }

    fn passed(&self) -> usize {
        self.out
            .iter()
            .filter(|(_, verdict, _)| !matches!(verdict, Verdict::Drop(_)))
            .count()
    }

    fn errors(&self) -> Vec<&str> {
        self.said.errors()
    }
}

fn load(rules: &str, settings: Settings) -> Result<Rig, (LoadError, Said)> {
    Rig::load(rules, &[], settings, Limits::default())
}

fn replay_with(rules: &str, capture: &str, settings: Settings) -> Outcome {
    let mut rig = load(rules, settings).unwrap_or_else(|(error, _)| panic!("{error}"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let (link, packets) = read_capture(&folder.join(format!("{capture}.pcap")));
    let mut out = rig.started();
    for (id, (time, bytes)) in (1..).zip(&packets) {
        out.extend(rig.packet(id, *time, link, bytes));
    }
    out.extend(rig.shutdown());
    out.extend(rig.exiting());
    Outcome {
        said: rig.into_said(),
        out: out
            .into_iter()
            .map(|gone| (gone.id, gone.verdict, gone.bytes))
            .collect(),
        sent_in: packets.into_iter().map(|(_, bytes)| bytes).collect(),
    }
}

fn replay(rules: &str, capture: &str) -> Outcome {
    replay_with(rules, capture, Settings::new(Profile::Wero))
}

#[test]
fn untouched_packets_leave_as_they_came() {
    for capture in [
        "stream-plain-v4",
        "stream-plain-v6",
        "datagrams-v4",
        "datagrams-v6",
    ] {
        let outcome = replay(
            "require('protocol/tcp_connection') require('protocol/udp_connection')
             local seen = 0
             for _, name in ipairs { 'ipv4', 'ipv6', 'tcp', 'udp' } do
               haka.rule { on = haka.dissectors[name].events.receive_packet,
                 eval = function (pkt) seen = seen + 1 local _ = pkt.src, pkt.dst, pkt.ttl end }
             end
             haka.on_exit(function () print(seen > 0) end)",
            capture,
        );
        assert_eq!(outcome.errors(), Vec::<&str>::new(), "{capture}");
        assert_eq!(outcome.printed(), ["true"], "{capture}");
        let bytes: Vec<Vec<u8>> = outcome
            .out
            .iter()
            .map(|(_, _, bytes)| bytes.clone())
            .collect();
        assert_eq!(bytes.len(), outcome.sent_in.len(), "{capture}");
        assert!(bytes == outcome.sent_in, "{capture}");
    }
}

#[test]
fn fields_of_all_layers_are_read_from_the_innermost_packet() {
    let outcome = replay(
        "require('protocol/tcp')
         haka.rule { on = haka.dissectors.tcp.events.receive_packet, eval = function (pkt)
           if pkt.flags.syn and not pkt.flags.ack then
             print(pkt.name, pkt:parent().name, pkt:parent('packet').id, pkt:parent('ipv4') == pkt:parent(),
               pkt:parent(2) == pkt:parent('packet'), pkt.version, pkt.hdr_len >= 20, pkt.flags.all)
             print(pcall(function () return pkt.nonsense end))
             print(pcall(function () pkt.nonsense = 1 end))
             print(pcall(function () pkt.name = 'x' end))
             print(pcall(function () pkt.srcport = -1 end))
             print(pcall(function () pkt.flags.syn = 1 end))
           end
         end }",
        "stream-plain-v4",
    );
    let printed = outcome.printed();
    assert_eq!(printed[0], "tcp ipv4 1 true true 4 true 2");
    assert_eq!(printed[1], "false unknown field 'nonsense'");
    assert!(
        printed[2].contains("Assignment not possible"),
        "{}",
        printed[2]
    );
    assert_eq!(printed[3], "false This variable is immutable");
    assert!(
        printed[4].ends_with("number must not be negative"),
        "{}",
        printed[4]
    );
    assert!(
        printed[5].contains("expected 'bool' got 'number'"),
        "{}",
        printed[5]
    );
}

#[test]
fn written_fields_leave_with_the_packet() {
    let outcome = replay(
        "require('protocol/ipv4')
         haka.rule { on = haka.dissectors.ipv4.events.receive_packet, eval = function (pkt)
           pkt.ttl = 300 pkt.tos = 4.9 print(pkt.ttl, pkt.tos, pkt:verify_checksum())
         end }",
        "stream-plain-v4",
    );
    assert_eq!(outcome.errors(), Vec::<&str>::new());
    assert_eq!(outcome.printed()[0], "44 4 false");
    assert!(
        outcome
            .out
            .iter()
            .all(|(_, verdict, _)| *verdict == Verdict::Rewrite)
    );
}

#[test]
fn a_dropped_packet_is_not_shown_to_later_rules() {
    let outcome = replay(
        "require('protocol/ipv4')
         local on = haka.dissectors.ipv4.events.receive_packet
         haka.rule { on = on, eval = function (pkt) pkt:drop() pkt:drop()
           print(pkt:can_continue(), pkt.name, pcall(function () return pkt.ttl end)) end }
         haka.rule { on = on, eval = function () print('never') end }",
        "stream-plain-v4",
    );
    assert_eq!(outcome.printed()[0], "false ipv4 false invalid ipv4 packet");
    assert!(!outcome.said.printed.contains("never"));
    assert_eq!(outcome.passed(), 0);
}

#[test]
fn sixty_listeners_run_in_order_and_late_ones_too() {
    let outcome = replay(
        "local on = haka.dissectors.packet.events.receive_packet
         local n = 0
         for i = 1, 120 do haka.rule { on = on, eval = function () n = n + 1 assert(n == i) end } end
         haka.rule { on = on, eval = function (pkt)
           if pkt.id == 1 then haka.rule { on = on, eval = function (p) print('late', p.id) end } end
           n = 0
         end }",
        "datagrams-v4",
    );
    assert_eq!(outcome.errors(), Vec::<&str>::new());
    assert_eq!(outcome.printed()[..2], ["late 1", "late 2"]);
}

#[test]
fn errors_name_the_rule_and_refuse_the_packet() {
    let outcome = replay(
        "require('protocol/ipv4')
         haka.rule { name = 'bad', on = haka.dissectors.ipv4.events.receive_packet,
           eval = function (pkt) error('boom') end }",
        "datagrams-v4",
    );
    let errors = outcome.errors();
    assert!(
        errors[0].starts_with("error lua: ipv4: rules.lua:3: boom"),
        "{}",
        errors[0]
    );
    assert!(
        errors[0].contains("rule rules.lua:2 (bad) on ipv4:receive_packet, packet 1"),
        "{}",
        errors[0]
    );
    assert_eq!(outcome.passed(), 0);
}

#[test]
fn profile_haka_logs_errors_in_its_own_words() {
    let settings = Settings::new(Profile::Haka);
    let outcome = replay_with(
        "require('protocol/ipv4')
         haka.rule { on = haka.dissectors.ipv4.events.receive_packet, eval = function () error('boom') end }",
        "stream-plain-v4",
        settings,
    );
    assert_eq!(outcome.errors()[0], "error lua: ipv4: rules.lua:2: boom");
}

#[test]
fn runaway_rules_are_stopped_and_their_packets_refused() {
    let outcome = replay(
        "haka.rule { on = haka.dissectors.packet.events.receive_packet, eval = function (pkt)
           if pkt.id == 1 then while true do end end end }",
        "stream-plain-v4",
    );
    assert!(
        outcome.errors()[0].contains("CPU time"),
        "{:?}",
        outcome.errors()
    );
    assert_eq!(outcome.passed(), outcome.sent_in.len() - 1);
}

#[test]
fn connections_are_objects_that_keep_what_rules_store() {
    for capture in ["stream-plain-v4", "stream-plain-v6"] {
        let outcome = replay(
            "local tcp = require('protocol/tcp_connection')
             local events = haka.dissectors.tcp_connection.events
             haka.rule { on = events.new_connection, eval = function (flow, pkt)
               flow.count = 0
               assert(flow.srcip == pkt.src and flow.dstport == pkt.dstport)
               assert(not pcall(function () return flow.unset end))
               assert(not pcall(function () flow.srcport = 5 end))
               print('new', flow.name, flow.state, #tcp.console.list_connections())
             end }
             haka.rule { on = events.receive_packet, eval = function (flow, pkt, dir)
               flow.count = flow.count + 1
               assert(dir == (pkt.srcport == flow.srcport and 'up' or 'down'))
             end }
             haka.rule { on = events.end_connection, eval = function (flow)
               print('end', flow.count, flow.in_pkts + flow.out_pkts, flow.in_bytes > 0)
             end }",
            capture,
        );
        assert_eq!(outcome.errors(), Vec::<&str>::new());
        let printed = outcome.printed();
        assert_eq!(printed[0], "new tcp_connection syn 1", "{capture}");
        assert!(
            printed[1].starts_with("end ") && printed[1].ends_with("true"),
            "{}",
            printed[1]
        );
    }
}

#[test]
fn stream_data_reaches_plain_and_streamed_listeners() {
    let outcome = replay(
        "require('protocol/tcp_connection')
         local on = haka.dissectors.tcp_connection.events.receive_data
         local plain, streamed, ended = 0, 0, 0
         haka.rule { on = on, eval = function (flow, data, dir) plain = plain + #data end }
         haka.rule { on = on, options = { streamed = true }, eval = function (flow, iter, dir)
           while iter:wait() do
             local sub = iter:sub('available')
             if sub then streamed = streamed + #sub end
           end
           ended = ended + 1
         end }
         haka.on_exit(function () print(plain > 0, plain == streamed, ended) end)",
        "stream-plain-v4",
    );
    assert_eq!(outcome.errors(), Vec::<&str>::new());
    assert_eq!(outcome.printed(), ["true true 2"]);
}

#[test]
fn dropping_and_resetting_end_a_connection() {
    for action in ["flow:drop()", "flow:reset()"] {
        let outcome = replay(
            &format!(
                "require('protocol/tcp_connection')
                 local events = haka.dissectors.tcp_connection.events
                 haka.rule {{ on = events.receive_data, eval = function (flow)
                   {action}
                   print(flow:can_continue(), select(2, pcall(function () flow:drop() end)))
                 end }}
                 haka.rule {{ on = events.receive_data, eval = function () print('never') end }}
                 haka.rule {{ on = events.end_connection, eval = function () print('end') end }}"
            ),
            "stream-plain-v4",
        );
        assert_eq!(outcome.errors(), Vec::<&str>::new(), "{action}");
        assert_eq!(
            outcome.printed(),
            ["end", "false connection already dropped"],
            "{action}"
        );
        assert!(outcome.passed() < outcome.sent_in.len() + 2, "{action}");
    }
}

#[test]
fn policies_decide_before_the_rules() {
    let outcome = replay(
        "require('protocol/tcp_connection')
         local c = haka.dissectors.tcp_connection
         haka.policy { on = c.policies.new_connection, name = 'deny',
           action = { haka.policy.alert { severity = 'low' }, haka.policy.drop } }
         haka.rule { on = c.events.new_connection, eval = function () print('never') end }",
        "stream-plain-v4",
    );
    assert_eq!(outcome.errors(), Vec::<&str>::new());
    assert_eq!(outcome.said.printed, "");
    let alert = &outcome.said.alerts[0];
    assert_eq!(alert.description.as_deref(), Some("new connection"));
    assert_eq!(alert.targets.as_ref().map(Vec::len), Some(2));
    assert_eq!(outcome.passed(), 0);
}

#[test]
fn next_dissector_policies_can_stop_the_dissection() {
    let outcome = replay(
        "local ipv4 = require('protocol/ipv4')
         require('protocol/tcp')
         haka.policy { on = haka.dissectors.ipv4.policies.next_dissector, name = 'none',
           action = haka.policy.accept }
         haka.rule { on = haka.dissectors.ipv4.events.receive_packet, eval = function () print('ip') end }
         haka.rule { on = haka.dissectors.tcp.events.receive_packet, eval = function () print('tcp') end }",
        "stream-plain-v4",
    );
    assert_eq!(outcome.errors(), Vec::<&str>::new());
    assert!(!outcome.said.printed.contains("tcp") && outcome.said.printed.contains("ip"));
    assert_eq!(outcome.passed(), outcome.sent_in.len());
}

#[test]
fn loading_logs_what_haka_logs() {
    let settings = Settings::new(Profile::Haka);
    let rig = load("require('protocol/tcp_connection')", settings);
    let rig = rig.unwrap_or_else(|(error, _)| panic!("{error}"));
    let said = rig.said();
    let expected = [
        "info dissector: register new dissector 'packet'",
        "info core: register policy 'unknown dissector' on 'packet next dissector'",
        "info core: register policy 'unknown protocol' on 'packet next dissector'",
        "info dissector: register new dissector 'ipv4'",
        "info core: register policy 'ipv4' on 'packet next dissector'",
        "info dissector: register new dissector 'tcp'",
        "info core: register policy 'tcp' on 'ipv4 next dissector'",
        "info dissector: register new dissector 'tcp_connection'",
    ];
    assert_eq!(said.lines[..expected.len()], expected);
    assert!(
        said.lines
            .iter()
            .any(|line| line == "info core: 1 rule(s) on event 'tcp_connection:new_connection'")
    );
}

#[test]
fn broken_rule_files_are_reported_with_their_line() {
    for (rules, message) in [
        ("\nerror('no')", "rules.lua:2: no"),
        ("x =", "rules.lua:1: unexpected symbol near '<eof>'"),
    ] {
        let (error, said) = load(rules, Settings::new(Profile::Wero))
            .err()
            .expect("the rules are broken");
        assert_eq!(error, LoadError::Rules(message.to_owned()));
        assert!(said.lines.contains(&format!("error lua: {message}")));
    }
}

#[test]
fn rules_cannot_reach_the_engine_behind_their_objects() {
    let outcome = replay(
        "require('protocol/ipv4')
         assert(ffi == nil and not pcall(require, 'ffi'))
         haka.rule { on = haka.dissectors.ipv4.events.receive_packet, eval = function (pkt)
           for _, wild in ipairs { -1, 2^31, 2^53, 1/0, 0/0, 'x', {}, true } do
             rawset(pkt, 0, wild)
             pcall(function () return pkt.ttl end)
             pcall(function () pkt.ttl = 3 end)
             pcall(function () pkt:drop() end)
             rawset(pkt, 1, wild)
             pcall(function () return pkt.payload, pkt.src, pkt:parent() end)
           end
           print((pcall(setmetatable, pkt, {})), type(getmetatable(pkt).__index))
         end }",
        "datagrams-v4",
    );
    assert_eq!(outcome.printed()[0], "false nil", "{:?}", outcome.errors());
}

#[test]
fn dissectors_in_lua_read_streams() {
    let outcome = replay(
        "local tcp = require('protocol/tcp_connection')
         local Reader = haka.dissector.new { type = tcp.helper.TcpFlowDissector, name = 'reader' }
         function Reader.method:receive_streamed(iter, dir)
           local total = 0
           while iter:wait() do
             local sub = iter:sub('available')
             if sub then total = total + #sub end
           end
           print(self.name, dir, total > 0, self.srcport == self:parent().srcport)
         end
         haka.policy { on = haka.dissectors.tcp_connection.policies.next_dissector, name = 'reader',
           action = haka.dissectors.reader.install }",
        "stream-plain-v4",
    );
    assert_eq!(outcome.errors(), Vec::<&str>::new());
    let mut printed = outcome.printed();
    printed.sort_unstable();
    assert_eq!(printed, ["reader down true true", "reader up true true"]);
    assert_eq!(outcome.passed(), outcome.sent_in.len());
}

#[test]
fn dissectors_in_lua_read_packets() {
    let outcome = replay(
        "require('protocol/ipv4')
         local Own = haka.dissector.new { type = haka.helper.PacketDissector, name = 'own' }
         function Own.method:parse_payload(parent, payload) self.size = #payload end
         haka.policy { on = haka.dissectors.ipv4.policies.next_dissector, name = 'own', proto = 6,
           action = haka.dissectors.own.install }
         haka.rule { on = haka.dissectors.own.events.receive_packet, eval = function (pkt)
           print(pkt.name, pkt.size >= 20, pkt.ttl > 0) end }",
        "stream-plain-v4",
    );
    assert_eq!(outcome.errors(), Vec::<&str>::new());
    assert_eq!(outcome.printed()[0], "own true true");
    assert_eq!(outcome.passed(), outcome.sent_in.len());
}

#[test]
fn erased_bytes_are_not_shown_to_the_next_listener() {
    let outcome = replay(
        "require('protocol/tcp_connection')
         local on = haka.dissectors.tcp_connection.events.receive_data
         haka.rule { on = on, eval = function (flow, data) data:erase() end }
         haka.rule { on = on, eval = function () print('never') end }",
        "stream-plain-v4",
    );
    assert_eq!(outcome.errors(), Vec::<&str>::new());
    assert_eq!(outcome.said.printed, "");
}

#[test]
fn datagrams_have_flows_and_take_fields_of_rules() {
    for capture in ["datagrams-v4", "datagrams-v6"] {
        let outcome = replay(
            "require('protocol/udp_connection')
             local events = haka.dissectors.udp_connection.events
             haka.rule { on = haka.dissectors.udp.events.receive_packet, eval = function (pkt)
               pkt.mine = 7
               assert(pkt.mine == 7 and #pkt.payload == pkt.length - 8 and pkt:verify_checksum())
             end }
             haka.rule { on = events.new_connection, eval = function (flow, pkt)
               flow.seen = 0 assert(pkt.mine == 7) end }
             haka.rule { on = events.receive_data, eval = function (flow, pkt, dir)
               flow.seen = flow.seen + 1 print(dir, flow.state, #pkt.payload > 0) end }",
            capture,
        );
        assert_eq!(outcome.errors(), Vec::<&str>::new(), "{capture}");
        assert_eq!(outcome.printed()[0], "up established true", "{capture}");
    }
}

#[test]
fn sending_raises_events_at_once_and_their_errors_reach_the_sender() {
    let outcome = replay(
        "require('protocol/ipv4')
         local events = haka.dissectors.ipv4.events
         haka.rule { on = events.send_packet, eval = function (pkt)
           if pkt:parent().id == 2 then error('nested') end
           print('sending', pkt:parent().id) end }
         haka.rule { on = events.receive_packet, eval = function (pkt)
           if pkt:parent().id <= 2 then print(pcall(pkt.send, pkt)) print(pkt:can_continue()) end end }",
        "datagrams-v4",
    );
    let printed = outcome.printed();
    assert_eq!(printed[..3], ["sending 1", "true", "false"]);
    assert!(
        printed[3].starts_with("false rules.lua:4: nested"),
        "{}",
        printed[3]
    );
    // The rule caught it; then the engine itself sends the packet.
    assert_eq!(outcome.errors().len(), 1);
    assert!(outcome.errors()[0].contains("rule rules.lua:3 on ipv4:send_packet, packet 2"));
}

#[test]
fn forged_packets_go_out() {
    let outcome = replay(
        "local ipv4 = require('protocol/ipv4')
         haka.rule { on = haka.dissectors.packet.events.receive_packet, eval = function (pkt)
           if pkt.id ~= 1 then return end
           local p = haka.dissectors.ipv4.create(haka.dissectors.packet.create())
           p.src, p.dst, p.ttl, p.proto = ipv4.addr('10.0.0.9'), ipv4.addr('10.0.0.1'), 64, 20
           p.payload:append(haka.vbuffer_from('hello'))
           print(p:parent():state(), p.hdr_len, p.src)
           p:send()
         end }",
        "datagrams-v4",
    );
    assert_eq!(outcome.errors(), Vec::<&str>::new());
    assert_eq!(outcome.printed(), ["forged 20 10.0.0.9"]);
    let forged: Vec<_> = outcome.out.iter().filter(|(id, ..)| *id == 0).collect();
    assert_eq!(forged.len(), 1);
    assert!(forged[0].2.ends_with(b"hello"));
}

#[test]
fn objects_are_printed_with_their_fields() {
    let outcome = replay(
        "require('protocol/tcp_connection')
         haka.rule { on = haka.dissectors.tcp_connection.events.new_connection, eval = function (flow, pkt)
           debug.pprint(pkt, { depth = 1, hide = debug.hide_underscore })
           debug.pprint(flow, { depth = 1, hide = debug.hide_underscore })
         end }",
        "stream-plain-v4",
    );
    assert_eq!(outcome.errors(), Vec::<&str>::new());
    let text = &outcome.said.printed;
    assert!(
        text.contains("userdata tcp {")
            && text.contains("  dstport : ")
            && text.contains("class tcp_connection {"),
        "{text}"
    );
    assert!(text.contains("srcip : userdata addr "), "{text}");
}

#[test]
fn unknown_connections_meet_a_policy_in_profile_haka() {
    let rules = "require('protocol/tcp_connection')
         haka.policy { on = haka.dissectors.tcp_connection.policies.no_connection_found, name = 'pass',
           action = haka.policy.alert { description = 'mine' } }
         haka.rule { on = haka.dissectors.packet.events.receive_packet, eval = function (pkt)
           if pkt.id <= 3 then pkt:drop() end end }";
    let outcome = replay_with(rules, "stream-plain-v4", Settings::new(Profile::Haka));
    assert_eq!(outcome.errors(), Vec::<&str>::new());
    assert_eq!(outcome.passed(), outcome.sent_in.len() - 3);
    assert_eq!(outcome.said.alerts[0].description.as_deref(), Some("mine"));
}

#[test]
fn pass_through_refuses_writes() {
    let mut settings = Settings::new(Profile::Wero);
    settings.pass_through = true;
    let outcome = replay_with(
        "require('protocol/ipv4')
         haka.rule { on = haka.dissectors.ipv4.events.receive_packet, eval = function (pkt)
           print(haka.capture_mode(), pcall(function () pkt.ttl = 3 end)) end }",
        "datagrams-v4",
        settings,
    );
    assert_eq!(outcome.printed()[0], "passthrough false read only buffer");
}
