//! Rules that hold more than their share.

use super::{CLIENTS, UDP_CLIENT, limits, run_with};

/// Programs that hold on to memory, as the body of `function run(pkt)`.
const HOARDERS: &[(&str, &str)] = &[
    (
        "local table",
        "local t = {} while true do t[#t + 1] = { 1 } end",
    ),
    (
        "global table",
        "all = all or {} while true do all[#all + 1] = { 1 } end",
    ),
    (
        "swallowed",
        "all = all or {} while true do pcall(function () while true do all[#all + 1] = { 1 } end end) end",
    ),
    ("string", "return ('x'):rep(1e9)"),
    (
        "concatenation",
        "local s = 'x' while true do s = s .. s end",
    ),
    (
        "concat",
        "local t = {} for i = 1, 1000 do t[i] = ('x'):rep(1e5) end return table.concat(t)",
    ),
    (
        "coroutines",
        "all = {} while true do local co = coroutine.create(coroutine.yield) coroutine.resume(co) all[#all + 1] = co end",
    ),
    (
        "closures",
        "all = {} while true do all[#all + 1] = function () return all end end",
    ),
    (
        "buffers",
        "all = {} while true do all[#all + 1] = haka.vbuffer_allocate(1e6) end",
    ),
    (
        "recursion",
        "local function f(t) return 1 + f({ t }) end local function g() all = { all, {} } return g() end g()",
    ),
];

#[test]
fn rules_at_the_memory_cap_are_suspended() {
    for &(name, program) in HOARDERS {
        let rules = format!(
            "require('protocol/udp_connection') require('protocol/tcp') local runs = 0
             local function run(pkt) runs = runs + 1 {program} end
             haka.rule {{ on = haka.dissectors.tcp.events.receive_packet, name = 'hoards', eval = function (pkt)
               if pkt.srcport == 1001 then return run(pkt) end
             end }}
             haka.rule {{ on = haka.dissectors.tcp.events.receive_packet, eval = function (pkt)
               local t = {{}} for i = 1, 1e4 do t[i] = i end
               haka.alert {{ description = 'seen ' .. #t }}
             end }}
             haka.on_exit(function () print(runs) end)"
        );
        // Time is no matter here.
        let mut limits = limits();
        limits.event_time = std::time::Duration::from_secs(20);
        let outcome =
            run_with(&rules, &[], limits).unwrap_or_else(|(error, _)| panic!("{name}: {error}"));
        let errors = outcome.errors();
        assert_eq!(errors.len(), 1, "{name}: {errors:?}");
        assert!(
            errors[0].contains("not enough memory"),
            "{name}: {errors:?}"
        );
        assert!(
            errors[0].contains("[rule rules.lua:3 (hoards) on tcp:receive_packet, packet 1"),
            "{name}: {errors:?}"
        );
        let suspended = "warn lua: rule rules.lua:3 (hoards) is suspended: it ran out of memory";
        assert_eq!(
            outcome
                .said
                .lines
                .iter()
                .filter(|line| *line == suspended)
                .count(),
            1,
            "{name}"
        );
        assert_eq!(outcome.said.printed, "1\n", "{name}: it ran again");
        assert_eq!(outcome.refused(CLIENTS[0]).len(), 1, "{name}");
        for client in [CLIENTS[1], CLIENTS[2], UDP_CLIENT] {
            outcome.assert_untouched(client, name);
        }
        // The other rule goes on: all segments but the one refused.
        assert_eq!(outcome.said.alerts.len(), 27 - 1, "{name}");
    }
}
