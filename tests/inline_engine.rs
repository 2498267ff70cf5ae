//! What only live traffic asks of the engine: rules that fail open, flows
//! that skip the queue, packets that the kernel would not carry on.

#[path = "support/rig.rs"]
mod rig;

use std::path::Path;
use std::time::Duration;

use rig::{Rig, read_capture};
use wero::event::{DropReason, Profile, Settings, Verdict};
use wero::lua::Limits;

fn settings() -> Settings {
    Settings {
        live: true,
        ..Settings::new(Profile::Wero)
    }
}

/// Replays a capture; gives what was printed, the errors and the verdicts.
fn replay(
    rules: &str,
    capture: &str,
    settings: Settings,
    limits: Limits,
) -> (String, Vec<String>, Vec<Verdict>) {
    let mut rig =
        Rig::load(rules, &[], settings, limits).unwrap_or_else(|(error, _)| panic!("{error}"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let (link, packets) = read_capture(&folder.join(format!("{capture}.pcap")));
    let mut out = rig.started();
    for (id, (time, bytes)) in (1..).zip(&packets) {
        out.extend(rig.packet(id, *time, link, bytes));
    }
    out.extend(rig.exiting());
    out.extend(rig.shutdown());
    let said = rig.into_said();
    let errors = said.errors().into_iter().map(str::to_owned).collect();
    let verdicts = out.into_iter().map(|gone| gone.verdict).collect();
    (said.printed, errors, verdicts)
}

const FAILS_IN_THE_MIDDLE: &str = "
    require('protocol/tcp_connection') local events = haka.dissectors.tcp_connection.events
    local seen = 0
    haka.rule { on = events.receive_packet, eval = function () seen = seen + 1 end }
    haka.rule { on = events.receive_packet, eval = function () error('broken rule') end }
    haka.rule { on = events.receive_packet, eval = function () seen = seen + 1000 end }
    haka.on_exit(function () print(seen) end)";

#[test]
fn what_a_failing_rule_judged_passes_if_so_decided_and_the_others_judge_it() {
    for capture in ["stream-plain-v4", "stream-plain-v6"] {
        let open = Settings {
            pass_on_error: true,
            ..settings()
        };
        let (printed, errors, verdicts) =
            replay(FAILS_IN_THE_MIDDLE, capture, open, Limits::default());
        let packets = verdicts.len();
        assert!(packets > 4);
        assert_eq!(errors.len(), packets, "{errors:?}");
        assert!(verdicts.iter().all(|&verdict| verdict == Verdict::Accept));
        assert_eq!(printed.trim(), (packets * 1001).to_string());
    }
}

#[test]
fn what_a_failing_rule_judged_is_dropped_by_default() {
    let (printed, errors, verdicts) = replay(
        FAILS_IN_THE_MIDDLE,
        "stream-plain-v4",
        settings(),
        Limits::default(),
    );
    assert_eq!((printed.trim(), errors.len()), ("1", 1));
    assert_eq!(verdicts[0], Verdict::Drop(DropReason::RuleError));
    assert!(
        verdicts
            .iter()
            .all(|verdict| matches!(verdict, Verdict::Drop(_)))
    );
}

#[test]
fn a_rule_that_is_stopped_again_and_again_is_taken_out_of_service() {
    let rules = "
        require('protocol/tcp_connection') local events = haka.dissectors.tcp_connection.events
        local function waits()
          local n = 0 while true do n = n + 1 end
        end
        haka.rule { on = events.receive_packet, eval = function () waits() n = 1 end }";
    let limits = Limits {
        event_time: Duration::from_millis(5),
        ..Limits::default()
    };
    let open = Settings {
        pass_on_error: true,
        max_overruns: 3,
        ..settings()
    };
    let (_, errors, verdicts) = replay(rules, "stream-plain-v4", open, limits);
    let stopped = errors
        .iter()
        .filter(|error| error.contains("stopped: used more than"));
    assert_eq!(stopped.count(), 3, "{errors:?}");
    assert!(errors[0].contains("rules.lua:4: stopped"), "{errors:?}");
    assert!(errors[0].contains("called from rules.lua:6"), "{errors:?}");
    assert!(verdicts.iter().all(|&verdict| verdict == Verdict::Accept));
}

#[test]
fn a_bypassed_connection_is_not_shown_any_more() {
    let rules = "
        require('protocol/tcp_connection') local events = haka.dissectors.tcp_connection.events
        local seen, bypassed = 0
        haka.rule { on = events.receive_packet, eval = function (flow)
          seen = seen + 1
          if seen == 4 then bypassed = flow:bypass() end
        end }
        haka.on_exit(function () print(seen, bypassed) end)";
    for capture in ["stream-plain-v4", "stream-plain-v6"] {
        let (printed, errors, verdicts) = replay(rules, capture, settings(), Limits::default());
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(printed.trim(), "4 true");
        assert!(verdicts.iter().all(|&verdict| verdict == Verdict::Accept));
    }
}

#[test]
fn an_edited_connection_is_followed_to_its_end() {
    let rules = "
        require('protocol/tcp_connection') local events = haka.dissectors.tcp_connection.events
        local tried, edits = {}, 0
        haka.rule { on = events.receive_data, options = {}, eval = function (flow, data)
          data:pos('begin'):insert(haka.vbuffer_from('+'))
          edits = edits + 1
          tried[#tried + 1] = tostring(flow:bypass())
        end }
        haka.on_exit(function () print(edits == #tried, tried[1], tried[#tried]) end)";
    let (printed, errors, _) = replay(rules, "stream-plain-v4", settings(), Limits::default());
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(printed.trim(), "true false false");
}

#[test]
fn flows_skip_the_queue_once_enough_was_seen() {
    let rules = "
        local seen = 0
        for _, name in ipairs { 'tcp_connection', 'udp_connection' } do
          require('protocol/' .. name) local events = haka.dissectors[name].events
          haka.rule { on = events.receive_packet, eval = function () seen = seen + 1 end }
        end
        haka.on_exit(function () print(seen) end)";
    for capture in ["stream-plain-v4", "datagrams-v6"] {
        let count = |bypass_bytes| {
            let settings = Settings {
                bypass_bytes,
                ..settings()
            };
            let (printed, _, verdicts) = replay(rules, capture, settings, Limits::default());
            assert!(verdicts.iter().all(|&verdict| verdict == Verdict::Accept));
            printed.trim().parse::<usize>().expect("a number")
        };
        assert!(count(100) < count(0), "{capture}");
        assert_eq!(count(1 << 40), count(0), "{capture}");
    }
}

#[test]
fn a_rule_may_give_its_fields_any_name() {
    let rules = "
        require('protocol/tcp_connection') local events = haka.dissectors.tcp_connection.events
        haka.rule { on = events.new_connection, eval = function (flow)
          flow._up, flow._down, flow.data, flow.stream = 1, 2, 3, 4
        end }
        haka.rule { on = events.receive_data, eval = function (flow, data)
          assert(flow._up + flow._down + flow.data + flow.stream == 10)
        end }
        haka.rule { on = events.receive_data, options = { streamed = true },
          eval = function (flow, iter) while iter:sub(1) do end end }";
    let (_, errors, verdicts) = replay(rules, "stream-plain-v4", settings(), Limits::default());
    assert_eq!(errors, Vec::<String>::new());
    assert!(verdicts.iter().all(|&verdict| verdict == Verdict::Accept));
}

#[test]
fn connections_that_were_open_before_are_followed_in_the_grace_period() {
    let rules = "require('protocol/tcp_connection')
        haka.rule { on = haka.dissectors.tcp_connection.events.receive_packet,
          eval = function () end }";
    let passed = |grace| {
        let haka = Settings {
            live: true,
            grace,
            ..Settings::new(Profile::Haka)
        };
        let mut rig = Rig::load(rules, &[], haka, Limits::default())
            .unwrap_or_else(|(error, _)| panic!("{error}"));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
        let (link, packets) = read_capture(&folder.join("stream-plain-v4.pcap"));
        // All but the handshake.
        let gone = packets.iter().zip(1..).skip(3);
        let gone = gone.flat_map(|((time, bytes), id)| rig.packet(id, *time, link, bytes));
        gone.filter(|gone| !gone.refused()).count()
    };
    assert_eq!(passed(Duration::ZERO), 0);
    assert!(passed(Duration::from_secs(60)) > 4);
}

#[test]
fn connections_that_were_made_longer_are_reset_when_nobody_translates_them_any_more() {
    let rules = |text: &str| {
        format!(
            "require('protocol/tcp_connection')
             haka.rule {{ on = haka.dissectors.tcp_connection.events.receive_data,
               eval = function (_, data) {text} end }}"
        )
    };
    let resets = |rules: &str, capture: &str| {
        let mut rig = Rig::load(rules, &[], settings(), Limits::default())
            .unwrap_or_else(|(error, _)| panic!("{error}"));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
        let (link, packets) = read_capture(&folder.join(format!("{capture}.pcap")));
        // The handshake and some data.
        for ((time, bytes), id) in packets.iter().zip(1..).take(6) {
            rig.packet(id, *time, link, bytes);
        }
        let gone = rig.shutdown();
        gone.iter()
            .filter(|gone| gone.verdict == Verdict::Inject)
            .count()
    };
    for capture in ["stream-plain-v4", "stream-plain-v6"] {
        let longer = rules("data:pos('begin'):insert(haka.vbuffer_from('+'))");
        assert_eq!(resets(&longer, capture), 2, "{capture}");
        assert_eq!(resets(&rules("local n = #data"), capture), 0, "{capture}");
    }
}
