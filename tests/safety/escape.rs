//! The sandbox as real rule files meet it.

use super::{CLIENTS, run_with};
use wero::lua::Limits;

/// Runs attempts inside an event; what they reach is printed. Not the giant
/// string: that ends the call, as `memory` has it.
fn attempts(preamble: &str, source: &str) -> (Vec<String>, usize) {
    let rules = format!(
        "require('protocol/tcp_connection') require('protocol/udp_connection')
         {preamble}
         local attempts = (function () {source} end)()
         local done, ran = false, 0
         haka.rule {{ on = haka.dissectors.tcp_connection.events.receive_data, eval = function (flow, data)
           if done then return end
           done = true
           for _, attempt in ipairs(attempts) do if attempt[1] ~= 'a giant string' then
             ran = ran + 1
             local ok, got = pcall(attempt[2], flow, data)
             if ok and got then print('REACHED ' .. attempt[1] .. ': ' .. tostring(got)) end
           end end
         end }}
         haka.on_exit(function () print('ran ' .. ran) end)"
    );
    let limits = Limits {
        event_time: std::time::Duration::from_secs(20),
        ..Limits::default()
    };
    let outcome = run_with(&rules, &[], limits).unwrap_or_else(|(error, _)| panic!("{error}"));
    assert_eq!(outcome.errors(), Vec::<&str>::new());
    for client in CLIENTS {
        assert_eq!(outcome.refused(client), []);
    }
    let reached = outcome
        .said
        .printed
        .lines()
        .filter(|line| line.starts_with("REACHED"))
        .map(str::to_owned)
        .collect();
    let ran = outcome
        .said
        .printed
        .lines()
        .find_map(|line| line.strip_prefix("ran ")?.parse().ok());
    (reached, ran.expect("the rule ran"))
}

#[test]
fn nothing_is_reached_through_live_objects() {
    let (reached, ran) = attempts("", include_str!("escape_live.lua"));
    assert!(reached.is_empty(), "{reached:#?}");
    assert!(ran >= 25, "only {ran} ran");
}

#[test]
fn the_attempts_on_the_sandbox_fail_in_a_rule_file_too() {
    // Stands in for the library that the attempts expect.
    let library = "local library = { bytecode = '\\27LJ\\2\\0', object = haka.vbuffer_from('x'),
          frozen = haka.vbuffer_from('x'), intact = haka.log.info, raise = haka.abort,
          call = function (f, ...) return f(...) end }";
    let (reached, ran) = attempts(library, include_str!("../lua/escape.lua"));
    // `library` here is the rule's own table and functions.
    let own = [
        "module over a library table",
        "metatable of a host object",
        "setfenv on a library frame above",
        "module changing its caller in the library",
        "setfenv called by the library",
        "metatable of a protected table",
        "rawset on a host object",
    ];
    let reached: Vec<_> = reached
        .iter()
        .filter(|line| !own.iter().any(|own| line.contains(own)))
        .collect();
    assert!(reached.is_empty(), "{reached:#?}");
    assert!(ran >= 80, "only {ran} ran");
}
