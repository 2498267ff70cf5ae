//! Rules that take too long.

use wero::event::DropReason;
use wero::rule::LoadError;

use super::{CLIENTS, UDP_CLIENT, limits, run, run_with};

/// Programs that never end, as the body of `function run(pkt)`. The first
/// five are those that every release is judged by.
const ENDLESS: &[(&str, &str)] = &[
    ("endless loop", "while true do end"),
    ("expensive pattern", "return (('a'):rep(30)):find(('a?'):rep(30) .. ('a'):rep(30) .. 'b')"),
    ("endless pcall loop", "while true do pcall(function () while true do end end) end"),
    ("endless coroutines", "while true do
        coroutine.wrap(function () for i = 1, 3 do coroutine.yield(i) end end)() end"),
    ("pcall of error", "while true do pcall(error, 'x') end"),
    ("xpcall handler", "xpcall(error, function () while true do end end)"),
    ("xpcall in xpcall", "local function again() return xpcall(error, again) end while true do again() end"),
    ("__index", "local t = setmetatable({}, { __index = function () while true do end end }) return t.x"),
    ("__index chain", "local t = setmetatable({}, { __index = function (t, k) return t[k .. 'x'] end })
        while true do pcall(function () return t.x end) end"),
    ("__tostring", "return tostring(setmetatable({}, { __tostring = function () while true do end end }))"),
    ("__tostring in print", "print(setmetatable({}, { __tostring = function () while true do end end }))"),
    ("__lt", "local m = { __lt = function () while true do end end }
        return setmetatable({}, m) < setmetatable({}, m)"),
    ("__eq", "local m = { __eq = function () while true do end end }
        return setmetatable({}, m) == setmetatable({}, m)"),
    ("__concat", "return setmetatable({}, { __concat = function () while true do end end }) .. 'x'"),
    ("__call", "return setmetatable({}, { __call = function () while true do end end })()"),
    ("gsub function", "return ('abc'):gsub('.', function () while true do end end)"),
    ("gsub table", "return ('abc'):gsub('.',
        setmetatable({}, { __index = function () while true do end end }))"),
    ("gsub swallowing", "return ('a'):rep(1e6):gsub('.', function () pcall(function () while true do end end) end)"),
    ("sort comparator", "return table.sort({ 3, 2, 1 }, function () while true do end end)"),
    ("sort of many", "local t = {} for i = 1, 3e5 do t[i] = -i end while true do table.sort(t) end"),
    ("insert in front", "local t = {} while true do table.insert(t, 1, 1) end"),
    ("remove in front", "local t = {} for i = 1, 2e5 do t[i] = i end
        while true do t[#t + 1] = table.remove(t, 1) end"),
    ("foreach", "table.foreach({ 1 }, function () while true do end end)"),
    ("sorted_pairs", "for _ in sorted_pairs({ b = 1, a = 2 }) do while true do end end"),
    ("pattern in gmatch", "for _ in (('a'):rep(4000)):gmatch('.-.-.-b') do end while true do
        for _ in (('a'):rep(4000)):gmatch('.-b') do end end"),
    ("patterns swallowed", "while true do pcall(string.find, ('a'):rep(3000), '.-.-.-b') end"),
    ("recursion", "local function f() return 1 + f() end while true do pcall(f) end"),
    ("recursive pcall", "local function f() pcall(f) return f() end f()"),
    ("coroutines in coroutines", "local function f() coroutine.wrap(f)() end while true do pcall(f) end"),
    ("resume in resume", "local function f() assert(coroutine.resume(coroutine.create(f))) end while true do pcall(f) end"),
    ("coroutines resumed deeper", "local all = {} local function f(k) coroutine.yield()
        if k > 1 then all[k - 1](k - 1) end end
        while true do for k = 1, 3000 do all[k] = coroutine.wrap(f) all[k](k) end pcall(all[3000]) end"),
    ("sort in sort", "local function f() table.sort({ 2, 1 }, f) end while true do pcall(f) end"),
    ("sort in coroutines", "local function f() table.sort({ 2, 1 }, function () coroutine.wrap(f)() end) end
        while true do pcall(f) end"),
    ("tostring in tostring", "local m = {} m.__tostring = function () return tostring(setmetatable({}, m)) end
        while true do pcall(tostring, setmetatable({}, m)) end"),
    ("load in load", "local function f() load(f) end while true do pcall(f) end"),
    ("error in coroutine", "while true do coroutine.resume(coroutine.create(error)) end"),
    ("load", "while true do load('return ' .. ('1+'):rep(1000) .. '1') end"),
    ("load from a function", "while true do load(function () return ' ' end) end"),
    ("long jumps", "local text = 'if x then ' .. ('elseif x then '):rep(3e4) .. ' end'
        while true do load(text) end"),
    ("class property", "local C = class.class('C')
        C.property.x = { get = function () while true do end end } return C:new().x"),
    ("pprint", "debug.pprint({ 1 }, { out = function () while true do end end })"),
    ("hide of pprint", "debug.pprint({ 1 }, { hide = function () while true do end end })"),
    ("addresses", "while true do pcall(ipv4.addr, '1.2.3.4') end"),
    ("logging", "while true do pcall(haka.log.debug, '%s', 'x') end"),
    ("packet fields", "while true do local _ = pkt.srcport pkt.window_size = 1 end"),
    ("error object", "error(setmetatable({}, { __tostring = function () while true do end end }))"),
    ("buffers", "local b = haka.vbuffer_from(('x'):rep(1000)) local it = b:pos('begin')
        while true do it:move_to(b:pos('begin')) for s in it:foreach_available() do s:asstring() end end"),
    ("array without end", "local g = haka.grammar.new('g', function ()
          root = array(empty()):untilcond(function () end) export(root) end)
        g.root:parse(haka.vbuffer_from('x'):pos('begin'))"),
    ("grammar of many rules", "while true do haka.grammar.new('g', function ()
          local list = {} for i = 1, 50 do list[i] = field('f' .. i, bytes():count(i)) end
          root = record(list) export(root) end) end"),
    ("parse swallowed", "local g = haka.grammar.new('g', function ()
          root = try { record { execute(function () while true do end end) }, empty() } export(root) end)
        while true do pcall(function () g.root:parse(haka.vbuffer_iterator_blocking(haka.vbuffer_from('x'):pos('begin'))) end) end"),
    ("scopes", "haka.context:exec(haka.context:newscope(), function () while true do end end)"),
    ("collector", "while true do collectgarbage() end"),
    ("regular expressions", "local re = require('regexp/pcre').re local s = ('a'):rep(1e6)
        while true do pcall(re.match, re, '(a+)+$|(a|a)*b', s) end"),
    ("regular expressions that try", "local re = require('regexp/pcre').re
        while true do pcall(re.match, re, '^(%w+)*%1!$', ('a'):rep(60)) end"),
    ("regular expressions on buffers", "local re = require('regexp/pcre').re
        local b = haka.vbuffer_from(('ab'):rep(5e5)) while true do re:match('(a|b)*c', b) end"),
    ("compiling", "local re = require('regexp/pcre').re local n = 0
        while true do n = n + 1 re:compile('(a{30}){30}' .. n) end"),
    ("goto", "::again:: goto again"),
];

/// The file with the program in line 2, hit by the packets of one client.
fn with_program(program: &str) -> String {
    let program = program.replace('\n', " ");
    format!(
        "require('protocol/tcp') require('protocol/udp_connection') local ipv4 = require('protocol/ipv4') local class = require('class')
         local function run(pkt) {program} end
         haka.rule {{ on = haka.dissectors.tcp.events.receive_packet, name = 'runs away', eval = function (pkt)
           if pkt.srcport == 1001 then return run(pkt) end
         end }}
         haka.rule {{ on = haka.dissectors.tcp.events.receive_packet, eval = function (pkt)
           haka.alert {{ description = 'seen ' .. pkt.srcport }}
         end }}
         haka.rule {{ on = haka.dissectors.udp_connection.events.new_connection, eval = function (flow)
           haka.alert {{ description = 'udp' }}
         end }}"
    )
}

#[test]
fn endless_rules_are_stopped_and_named() {
    for &(name, program) in ENDLESS {
        let outcome = run(&with_program(program));
        // Six packets of the client, each its own failure, unless one of
        // them brought the rule to the memory cap.
        let suspended = outcome
            .said
            .lines
            .iter()
            .any(|line| line.contains("(runs away) is suspended"));
        let refused = outcome.refused(CLIENTS[0]);
        let errors = outcome.errors();
        let failures = errors.len();
        assert!(
            failures == 6 || suspended && (1..6).contains(&failures),
            "{name}: {errors:?}"
        );
        assert_eq!(refused.len(), failures, "{name}: {:?}", outcome.said.lines);
        for (error, (number, reason)) in errors.iter().zip(refused) {
            assert!(
                error.contains("[rule rules.lua:3 (runs away) on tcp:receive_packet, packet "),
                "{name}: {error}"
            );
            assert!(
                error.contains(&format!("packet {number}")),
                "{name}: {error}"
            );
            match reason {
                DropReason::RuleBudget => {
                    // One great allocation is refused before the hook can tell the line.
                    let cause = if error.contains("memory") {
                        "not enough memory"
                    } else {
                        "rules.lua:2: stopped: used more than 5ms of CPU time"
                    };
                    assert!(error.contains(cause), "{name}: {error}");
                }
                reason => assert_eq!(reason, DropReason::RuleError, "{name}"),
            }
        }
        for client in &CLIENTS[1..] {
            outcome.assert_untouched(*client, name);
        }
        outcome.assert_untouched(UDP_CLIENT, name);
        // All but the six, and the UDP flow.
        assert_eq!(outcome.said.alerts.len(), 27 - failures + 1, "{name}");
    }
}

/// A grammar with one member that runs away while it parses a packet.
macro_rules! in_grammar {
    ($member:literal) => {
        concat!(
            "local g = haka.grammar.new('g', function () root = record { ",
            $member,
            " } export(root) end)
            haka.rule { on = haka.dissectors.tcp.events.receive_packet, eval = function (pkt)
              if pkt.srcport == 1001 then g.root:parse(haka.vbuffer_from('bytes'):pos('begin')) end end }"
        )
    };
}

/// Places where rules can run beside a packet event; `run()` does not end.
const PLACES: &[(&str, &str)] = &[
    ("new_connection", "haka.rule { on = tcp_connection.events.new_connection, eval = function (flow)
        if flow.srcport == 1001 then run() end end }"),
    ("receive_data", "haka.rule { on = tcp_connection.events.receive_data, eval = function (flow)
        if flow.srcport == 1001 then run() end end }"),
    ("receive_data, streamed", "haka.rule { on = tcp_connection.events.receive_data, options = { streamed = true },
        eval = function (flow, iter) if flow.srcport == 1001 then iter:sub(3) iter:wait() run() end end }"),
    ("streamed, later", "haka.rule { on = tcp_connection.events.receive_data, options = { streamed = true },
        eval = function (flow, iter) if flow.srcport == 1001 then iter:sub(16) run() end end }"),
    ("streamed, a coroutine of its own", "haka.rule { on = tcp_connection.events.receive_data,
        options = { streamed = true }, eval = function (flow, iter)
        if flow.srcport == 1001 then while true do pcall(coroutine.wrap(run)) end end end }"),
    ("policy action", "haka.policy { on = tcp_connection.policies.new_connection, srcport = 1001, action = run }"),
    ("nested send", "haka.rule { on = haka.dissectors.tcp.events.receive_packet, eval = function (pkt)
          if pkt.srcport == 1001 then pcall(function () pkt:send() end) end end }
        haka.rule { on = haka.dissectors.tcp.events.send_packet, eval = function (pkt)
          if pkt.srcport == 1001 then run() end end }"),
    ("grammar callbacks", "local g = haka.grammar.new('g', function ()
          root = record { number(8), execute(run) } export(root) end)
        haka.rule { on = haka.dissectors.tcp.events.receive_packet, eval = function (pkt)
          if pkt.srcport == 1001 then g.root:parse(pkt.payload:pos('begin')) end end }"),
    ("apply", in_grammar!("number(8):apply(run)")),
    ("convert", in_grammar!("field('a', number(8):convert { get = run }):apply(function () end)")),
    ("validate", in_grammar!("field('a', number(8):validate(run)),
        execute(function (self) self.a = nil local _ = self.a end)")),
    ("const", in_grammar!("number(8):const(run)")),
    ("count", in_grammar!("bytes():count(run)")),
    ("count of an array", in_grammar!("array(number(8)):count(run)")),
    ("untilcond", in_grammar!("array(number(8)):untilcond(run)")),
    ("selector", in_grammar!("branch({ a = number(8) }, run)")),
    ("optional", in_grammar!("optional(number(8), run)")),
    ("verify", in_grammar!("verify(run, 'never')")),
    ("chunked", in_grammar!("bytes():count(4):chunked(run)")),
    ("lookahead swallowed", in_grammar!("execute(function (_, ctx)
        while true do pcall(function () ctx:lookahead() run() end) end end)")),
    ("grammar on a stream", "local g = haka.grammar.new('g', function ()
          root = record { bytes():count(14), execute(run) } export(root) end)
        haka.rule { on = tcp_connection.events.receive_data, options = { streamed = true },
        eval = function (flow, iter) if flow.srcport == 1001 then g.root:parse(iter) end end }"),
    ("guard of a machine", "local m = haka.state_machine.new('m', function ()
          state_type { events = { 'go' }, update = function (_, self) self:trigger('go') end }
          a = state() a:on { event = events.go, when = run, jump = finish } initial(a) end)
        haka.rule { on = tcp_connection.events.receive_data, eval = function (flow)
          if flow.srcport == 1001 then m:instanciate(flow):update() end end }"),
    ("regular expression, streamed", "local re = require('regexp/pcre').re:compile('(a|b)*c')
        haka.rule { on = tcp_connection.events.receive_data, options = { streamed = true },
        eval = function (flow, iter) if flow.srcport == 1001 then
          local text = haka.vbuffer_from(('ab'):rep(5e4))
          while true do re:match(text:pos('begin')) pcall(run) end end end }"),
    ("grammar definition", "haka.rule { on = haka.dissectors.tcp.events.receive_packet, eval = function (pkt)
          if pkt.srcport == 1001 then haka.grammar.new('g', function () local _ = number(8) run() end) end end }"),
    ("property of a result", "local g = haka.grammar.new('g', function ()
          root = record { field('a', number(8)):convert { get = run } } export(root) end)
        haka.rule { on = haka.dissectors.tcp.events.receive_packet, eval = function (pkt)
          if pkt.srcport == 1001 then local _ = g.root:parse(pkt.payload:pos('begin')).a end end }"),
    ("group", "local group = haka.rule_group { on = haka.dissectors.tcp.events.receive_packet,
          init = function () end, continue = function () run() end }
        group:rule { eval = function (pkt) end }"),
];

#[test]
fn endless_rules_are_stopped_wherever_they_run() {
    for &(name, place) in PLACES {
        let rules = format!(
            "require('protocol/udp_connection') require('protocol/tcp_connection') local tcp_connection = haka.dissectors.tcp_connection
             local function run() while true do end end
             {}
             haka.rule {{ on = haka.dissectors.udp_connection.events.receive_data, eval = function (flow)
               haka.alert {{ description = 'udp' }}
             end }}",
            place.replace('\n', " ")
        );
        let outcome = run(&rules);
        let errors = outcome.errors();
        assert!(!errors.is_empty(), "{name}");
        for error in &errors {
            assert!(
                error.contains("rules.lua:2: stopped: used more than"),
                "{name}: {error}"
            );
            assert!(error.contains("packet "), "{name}: {error}");
        }
        let hit: Vec<_> = CLIENTS
            .iter()
            .filter(|client| !outcome.refused(**client).is_empty())
            .collect();
        if name == "group" {
            assert_eq!(hit.len(), 3, "{name}");
        } else {
            assert_eq!(hit, [&1001], "{name}: {:?}", outcome.said.lines);
            outcome.assert_untouched(1002, name);
            outcome.assert_untouched(1003, name);
        }
        outcome.assert_untouched(UDP_CLIENT, name);
        assert_eq!(outcome.said.alerts.len(), 9, "{name}");
    }
}

#[test]
fn start_and_end_are_budgeted() {
    for event in ["started", "exiting"] {
        let rules = format!(
            "require('protocol/tcp')
             haka.rule {{ on = haka.events.{event}, eval = function () while true do end end }}"
        );
        let outcome = run(&rules);
        let errors = outcome.errors();
        assert_eq!(errors.len(), 1, "{event}: {errors:?}");
        assert!(
            errors[0].contains("rules.lua:2: stopped"),
            "{event}: {errors:?}"
        );
        for client in CLIENTS {
            outcome.assert_untouched(client, event);
        }
    }
}

#[test]
fn rule_files_that_do_not_end_are_refused() {
    for (name, program) in [
        ("loop", "\n\nwhile true do end"),
        (
            "pcall loop",
            "\n\nwhile true do pcall(function () while true do end end) end",
        ),
        (
            "table growth",
            "\n\nlocal t = {} while true do t[#t + 1] = { 1 } end",
        ),
        ("string", "\n\nreturn ('x'):rep(1e9)"),
        ("concat", "\n\nlocal s = 'x' while true do s = s .. s end"),
        ("module", "\n\nrequire('endless')"),
    ] {
        let modules = [("endless.lua", "\nwhile true do end".to_owned())];
        let Err((error, said)) = run_with(program, &modules, limits()) else {
            panic!("{name}: it loads")
        };
        let LoadError::Rules(text) = error else {
            panic!("{name}: {error}")
        };
        let place = if name == "module" {
            "endless.lua:2:"
        } else {
            "rules.lua"
        };
        assert!(
            text.trim_start_matches("./").starts_with(place),
            "{name}: {text}"
        );
        assert!(
            said.lines.iter().any(|line| line.contains(&text)),
            "{name}: {:?}",
            said.lines
        );
    }
}

/// A machine of its own for each TCP connection; what runs away is set by
/// the action.
fn machine(action: &str) -> String {
    format!(
        "require('protocol/udp_connection') require('protocol/tcp_connection')
         local function run() while true do end end
         local watch = haka.state_machine.new('watch', function () state_type {{ events = {{ 'go' }}, update = function () end }} a, b = state(), state() {action} a:on {{ event = events.go, jump = b }} initial(a) end)
         haka.rule {{ on = haka.dissectors.tcp_connection.events.new_connection, eval = function (flow) flow.watch = watch:instanciate(flow) end }}
         haka.rule {{ on = haka.dissectors.tcp_connection.events.receive_data, eval = function (flow)
           print(flow.srcport, flow.watch.current, flow.watch._instance.failed)
           if flow.srcport == 1001 and not flow.watch.finished then flow.watch:trigger('go') end
         end }}"
    )
}

#[test]
fn callbacks_of_state_machines_that_do_not_end_are_stopped() {
    for (name, action) in [
        ("enter", "b:on { event = events.enter, execute = run }"),
        ("leave", "a:on { event = events.leave, execute = run }"),
        ("event", "a:on { event = events.go, execute = run }"),
        (
            "swallowed",
            "a:on { event = events.go, execute = function () while true do pcall(run) end end }",
        ),
    ] {
        let outcome = run(&machine(action));
        let errors = outcome.errors();
        assert_eq!(errors.len(), 1, "{name}: {errors:?}");
        assert!(errors[0].contains("rules.lua:") && errors[0].contains("stopped: used more than"));
        assert!(
            outcome
                .refused(CLIENTS[0])
                .iter()
                .any(|(_, reason)| *reason == DropReason::RuleBudget),
            "{name}"
        );
        for client in &CLIENTS[1..] {
            outcome.assert_untouched(*client, name);
        }
        outcome.assert_untouched(UDP_CLIENT, name);
    }
}

/// A timeout has no packet: all packets pass, and the machine has failed.
#[test]
fn timeouts_that_do_not_end_are_stopped() {
    let action = "a:on { event = events.timeout(0.004), when = function (flow) return flow.srcport == 1001 end, execute = run }";
    let outcome = run(&machine(&format!(
        "{action} a:on {{ event = events.go, execute = function () end }}"
    )));
    let errors = outcome.errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].starts_with("error lua: state machine: rules.lua:2: stopped: used more than"),
        "{errors:?}"
    );
    for client in CLIENTS {
        outcome.assert_untouched(client, "timeout");
    }
    outcome.assert_untouched(UDP_CLIENT, "timeout");
    assert!(
        outcome.said.printed.contains("1001 nil true"),
        "{}",
        outcome.said.printed
    );
    assert!(
        outcome.said.printed.contains("1002 a false"),
        "{}",
        outcome.said.printed
    );
}
