//! What the checks find, and what they leave alone.

use super::*;

fn codes(source: &str) -> Vec<(&'static str, usize)> {
    let found = findings(source);
    found.iter().map(|one| (one.code, one.line)).collect()
}

fn findings(source: &str) -> Vec<Finding> {
    let sources = [Source {
        name: "rule.lua".to_owned(),
        bytes: source.as_bytes().to_vec(),
    }];
    lint(&sources, &|_, module| module == "neighbour")
}

/// A listener on TCP segments with that body.
fn on_segment(body: &str) -> String {
    format!(
        "require('protocol/tcp')\nhaka.rule {{ on = haka.dissectors.tcp.events.receive_packet,\n\
         eval = function (pkt)\n{body}\nend }}"
    )
}

#[test]
fn a_misspelt_field_is_told_with_the_right_one() {
    let found = findings(&on_segment("if pkt.destport == 80 then pkt:drop() end"));
    let [finding] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!((finding.line, finding.column), (4, 8));
    assert_eq!(finding.code, "unknown-field");
    assert_eq!(finding.hint.as_deref(), Some("did you mean 'dstport'?"));
}

#[test]
fn fields_of_lower_layers_and_groups_are_known() {
    let body =
        "print(pkt.src, pkt.hop_limit, pkt.flags.syn, pkt:parent('ipv4'), pkt.timestamp.secs)";
    assert_eq!(codes(&on_segment(body)), []);
    assert_eq!(
        codes(&on_segment("print(pkt.flags.sin)")),
        [("unknown-field", 4)]
    );
    assert_eq!(codes(&on_segment("pkt:dorp()")), [("unknown-method", 4)]);
    assert_eq!(codes(&on_segment("pkt.drop()")), [("method-dot", 4)]);
    assert_eq!(codes(&on_segment("pkt.payload = 1")), [("read-only", 4)]);
    assert_eq!(codes(&on_segment("pkt.dstport = 1")), []);
}

#[test]
fn types_are_followed_into_functions_of_the_file() {
    let source = "require('protocol/tcp')
        local function fault(flags) return flags.sin end
        local function look(pkt) return fault(pkt.flags) end
        haka.rule { on = haka.dissectors.tcp.events.receive_packet, eval = look }";
    assert_eq!(codes(source), [("unknown-field", 2)]);
    // Called from elsewhere as well, it may get anything.
    assert_eq!(codes(&format!("{source}\nreturn fault")), []);
}

#[test]
fn a_function_on_two_events_may_use_what_either_has() {
    let source = "require('protocol/ipv4') require('protocol/ipv6')
        local function look(pkt) return pkt.flow_label, pkt.tos, pkt.nothing end
        haka.rule { on = haka.dissectors.ipv4.events.receive_packet, eval = look }
        haka.rule { on = haka.dissectors.ipv6.events.receive_packet, eval = look }";
    assert_eq!(codes(source), [("unknown-field", 2)]);
}

#[test]
fn rules_may_keep_fields_in_flows() {
    let rule = |body: &str| {
        format!(
            "require('protocol/tcp_connection')
             haka.rule {{ on = haka.dissectors.tcp_connection.events.new_connection,
             eval = function (flow) {body} end }}"
        )
    };
    assert_eq!(codes(&rule("flow.score = 1 print(flow.score)")), []);
    assert_eq!(codes(&rule("print(flow.destport)")), [("unknown-field", 3)]);
}

#[test]
fn events_dissectors_and_policies_are_checked() {
    let event = "require('protocol/tcp')
        haka.rule { on = haka.dissectors.tcp.events.recieve_packet, eval = function () end }";
    let found = findings(event);
    assert_eq!(found[0].code, "unknown-event");
    assert_eq!(
        found[0].hint.as_deref(),
        Some("did you mean 'receive_packet'?")
    );
    let missing = "haka.rule { on = haka.dissectors.tcp.events.receive_packet, eval = print }";
    assert_eq!(codes(missing), [("missing-require", 1)]);
    assert_eq!(
        codes("print(haka.dissectors.htpt)"),
        [("unknown-dissector", 1)]
    );
    let policy = "require('protocol/ipv4') print(haka.dissectors.ipv4.policies.next)";
    assert_eq!(codes(policy), [("unknown-policy", 1)]);
}

#[test]
fn listeners_take_what_the_event_gives() {
    let source = "require('protocol/tcp_connection')
        haka.rule { on = haka.dissectors.tcp_connection.events.end_connection,
        eval = function (flow, packet) print(packet) end }";
    let found = findings(source);
    assert_eq!(found[0].code, "listener-arguments");
    assert_eq!(
        found[0].hint.as_deref(),
        Some("they are called with (flow)")
    );
}

#[test]
fn rules_that_never_run_are_told() {
    let never = "require('protocol/tcp_connection')
        haka.rule { on = haka.dissectors.tcp_connection.events.send_packet, eval = print }";
    assert_eq!(codes(never), [("never-runs", 2)]);
    let after = "haka.exit()\nhaka.rule { on = haka.events.started, eval = print }";
    assert_eq!(codes(after), [("never-runs", 2)]);
    let smtp = "local tcp = require('protocol/tcp_connection')
        local smtp = haka.dissector.new { name = 'smtp', type = tcp.helper.TcpFlowDissector }
        smtp:register_event('command')
        haka.rule { on = haka.dissectors.smtp.events.command, eval = print }";
    assert_eq!(codes(smtp), [("never-runs", 4)]);
    let installed = format!(
        "{smtp}\nhaka.policy {{ on = haka.dissectors.tcp_connection.policies.next_dissector,
         port = 25, action = haka.dissectors.smtp.install }}"
    );
    assert_eq!(codes(&installed), []);
}

#[test]
fn keys_of_rules_are_checked() {
    let source = "haka.rule { on = haka.events.started, evel = print }";
    let found = codes(source);
    assert_eq!(found, [("incomplete-rule", 1), ("unknown-key", 1)]);
    let group = "local g = haka.rule_group { on = haka.events.started, finally = print }
        g:rule { eval = print }";
    assert_eq!(codes(group), [("unknown-key", 1)]);
}

#[test]
fn modules_are_checked() {
    let found = findings("require('protocol/tpc')");
    assert_eq!(found[0].code, "unknown-module");
    assert_eq!(
        found[0].hint.as_deref(),
        Some("did you mean 'protocol/tcp'?")
    );
    assert_eq!(codes("require('neighbour')"), []);
    let twice = "require('protocol/tcp')\nrequire('protocol/tcp')";
    assert_eq!(codes(twice), [("duplicate-require", 2)]);
    assert_eq!(
        codes("local ip = require('protocol/ip')"),
        [("unused-require", 1)]
    );
    let loaded = findings("local ipv4 = require('protocol/ipv4')");
    assert_eq!(
        (loaded[0].code, loaded[0].severity),
        ("unused-local", Severity::Hint)
    );
}

#[test]
fn globals_by_accident_are_told() {
    let source = "local function count() counter = 1 end count()";
    assert_eq!(codes(source), [("accidental-global", 1)]);
    assert_eq!(
        codes("counter = 0\nlocal function f() counter = 1 end f()"),
        []
    );
    let misspelt = findings("local counter = 1 print(countre, counter)");
    assert_eq!(misspelt[0].code, "unknown-global");
    assert_eq!(misspelt[0].hint.as_deref(), Some("did you mean 'counter'?"));
    let words = "haka.grammar.new('x', function () y = record { field('z', number(8)) } end)";
    assert_eq!(codes(words), []);
}

#[test]
fn patterns_and_copies_are_told() {
    assert_eq!(codes("print(('x'):find('%s*%s*$'))"), [("slow-pattern", 1)]);
    assert_eq!(
        codes("print(string.match('x', '.*a.*b.*c'))"),
        [("slow-pattern", 1)]
    );
    assert_eq!(codes("print(('x'):find('%s*%s*$', 1, true))"), []);
    let regexp = "local rem = require('regexp/pcre')\nprint(rem.re:compile('(a+)+b'))";
    assert_eq!(codes(regexp), [("slow-pattern", 2)]);
    let copy = "require('protocol/tcp_connection')
        haka.rule { on = haka.dissectors.tcp_connection.events.receive_data,
        eval = function (flow, data) print(data:asstring(), data:sub(0, 4):asstring()) end }";
    assert_eq!(codes(copy), [("segment-copy", 3)]);
}

#[test]
fn what_is_no_lua_is_told_by_its_place() {
    let found = findings("local x = {\n  1,\n  2\nprint(x)");
    let [finding] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(
        (finding.code, finding.line, finding.column),
        ("syntax", 4, 1)
    );
    assert_eq!(
        finding.text,
        "'}' expected, found 'print' to close this '{'"
    );
    assert_eq!(codes("if x then\n  print(1)\n"), [("syntax", 1)]);
}

#[test]
fn no_source_is_too_deep() {
    for deep in [
        "(",
        "{",
        "a.",
        "not ",
        "f(",
        "function () ",
        "do ",
        "a..",
        "-",
    ] {
        let source = format!("x = {}", deep.repeat(100_000));
        assert!(
            codes(&source).iter().all(|(code, _)| *code == "syntax"),
            "{deep}"
        );
    }
}

#[test]
fn the_library_of_the_engine_is_read() {
    for module in crate::lua::embed::LIBRARY {
        let read = parse::parse(module.source.as_bytes());
        assert!(read.is_ok(), "{}: {:?}", module.name, read.err());
    }
}

#[test]
fn calls_take_as_many_arguments_as_they_need() {
    let count = |body: &str| codes(&on_segment(body));
    assert_eq!(count("pkt:drop(1)"), [("argument-count", 4)]);
    assert_eq!(count("pkt:parent() pkt:parent(2)"), []);
    assert_eq!(count("pkt:parent('ip', 'v4')"), [("argument-count", 4)]);
    assert_eq!(count("haka.log_section()"), [("argument-count", 4)]);
    assert_eq!(count("haka.log('%d %d', 1, 2)"), []);
    // How many there are is not known.
    assert_eq!(count("haka.time(unpack { 1 })"), []);
    assert_eq!(count("haka.time((unpack { 1 }))"), []);
    let found = findings("haka.vbuffer_allocate()");
    let [finding] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(
        finding.text,
        "'vbuffer_allocate' takes 1 to 2 arguments, not 0"
    );
    assert_eq!(
        finding.hint.as_deref(),
        Some("vbuffer_allocate(size[, zero])")
    );
    assert_eq!(
        codes("local function f(...) return haka.time(...) end f()"),
        []
    );
}

#[test]
fn keys_of_written_tables_are_checked() {
    let found = findings("haka.alert { descripton = 'x', method = { reff = 'y' } }");
    let hints: Vec<_> = found.iter().filter_map(|one| one.hint.as_deref()).collect();
    assert_eq!(
        hints,
        ["did you mean 'description'?", "did you mean 'ref'?"]
    );
    assert_eq!(
        codes(
            "haka.alert { sources = { type = 'host', values = { 1 } }, targets = { haka.alert.address(1) } }"
        ),
        []
    );
    // Criteria have the names of values.
    let policy = "require('protocol/tcp')
        haka.policy { on = haka.dissectors.tcp.policies.next_dissector, dstport = 80, action = haka.policy.accept }";
    assert_eq!(codes(policy), []);
}

#[test]
fn words_of_definitions_are_known_there() {
    let grammar = |body: &str| {
        let source = format!("return haka.grammar.new('g', function ()\n{body}\nend)");
        codes(&source)
    };
    assert_eq!(
        grammar(
            "define('later') r = record { field('n', number(8)):apply(print), later } later = r export(r)"
        ),
        []
    );
    assert_eq!(grammar("r = recrod { } export(r)"), [("unknown-global", 2)]);
    assert_eq!(grammar("r = number()"), [("argument-count", 2)]);
    assert_eq!(grammar("r = number(8):memoise()"), [("unknown-method", 2)]);
    assert_eq!(grammar("record = number(8)"), [("reserved-word", 2)]);
    let machine = |body: &str| {
        let source = format!("return haka.state_machine.new('m', function ()\n{body}\nend)");
        codes(&source)
    };
    assert_eq!(
        machine(
            "state_type(BidirectionalState) s = state() s:on { event = events.up, jump = finish } initial(s)"
        ),
        []
    );
    assert_eq!(
        machine("any:on { event = events.fail, exeute = print }"),
        [("unknown-key", 2)]
    );
    assert_eq!(machine("initial()"), [("argument-count", 2)]);
    // Words are no globals.
    assert_eq!(codes("print(record)"), [("unknown-global", 1)]);
}

#[test]
fn what_the_sandbox_has_taken_out_is_told() {
    assert_eq!(codes("io.open('x')"), [("not-in-sandbox", 1)]);
    assert_eq!(codes("os.execute('x')"), [("not-in-sandbox", 1)]);
    assert_eq!(codes("print(string.lenght('x'))"), [("unknown-field", 1)]);
    assert_eq!(
        codes("print(os.time(), string.safe_format('x'), table.dict {}, bit.band(1, 2))"),
        []
    );
    // A rule may add to libraries.
    assert_eq!(
        codes("function string.trim(s) return s end print(string.trim('x'))"),
        []
    );
}

#[test]
fn what_modules_give_is_known() {
    let source =
        "local re = require('regexp/pcre').re\nlocal r = re:compile('a')\nprint(r:mach('a'))";
    assert_eq!(codes(source), [("unknown-method", 3)]);
    let source = "local base64 = require('misc/crypto').base64\nprint(base64.decod('a'))";
    assert_eq!(codes(source), [("unknown-field", 2)]);
    assert_eq!(
        codes("require('misc/gepip').open('x')"),
        [("unknown-module", 1)]
    );
}
