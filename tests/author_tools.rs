//! `wero test` and `wero lint` as rule authors meet them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn wero(arguments: &[&str], paths: &[PathBuf]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(arguments)
        .args(paths)
        .current_dir(root())
        .output()
        .expect("wero runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A copy of the sample `port-filter`, with another port in its rule.
fn case(port: u16) -> (TempDir, PathBuf) {
    let scratch = tempfile::tempdir().expect("there is room for temporary files");
    let folder = scratch.path().join("case");
    fs::create_dir(&folder).expect("writable");
    for name in ["input.pcap", "expected.txt", "expected.pcap"] {
        let from = root().join("sample/port-filter").join(name);
        fs::copy(from, folder.join(name)).expect("the sample is there");
    }
    let rule = fs::read_to_string(root().join("sample/port-filter/rule.lua")).expect("it is there");
    let rule = rule
        .replace("TELNET = 23", &format!("TELNET = {port}"))
        .replace("telnet is", if port == 23 { "telnet is" } else { "it is" });
    fs::write(folder.join("rule.lua"), rule).expect("writable");
    (scratch, folder)
}

#[test]
fn a_broken_rule_gives_a_diff_that_can_be_read() {
    let (_scratch, folder) = case(80);
    let run = wero(&["test"], &[folder]);
    assert_eq!(run.status.code(), Some(1));
    let report = text(&run.stdout);
    for part in [
        "/case: other output, other packets\n",
        "      --- expected.txt\n      +++ output\n      @@ ",
        "      -\tdescription = telnet is not allowed\n      +\tdescription = it is not allowed\n",
        "      --- expected.pcap: ",
        ":80 TCP SYN, 74 bytes: does not come out\n",
        "of the input: dropped, rule by rule.lua:",
        ":23 TCP SYN, 58 bytes: was not expected\n",
        "1 tests: 0 passed, 1 failed, in ",
    ] {
        assert!(report.contains(part), "{part:?} is missing in\n{report}");
    }
    let (_scratch, good) = case(23);
    assert_eq!(wero(&["test"], &[good]).status.code(), Some(0));
}

#[test]
fn what_comes_out_can_be_made_what_is_expected() {
    let (_scratch, folder) = case(80);
    let update = wero(&["test", "--update"], std::slice::from_ref(&folder));
    assert!(update.status.success(), "{}", text(&update.stdout));
    assert!(text(&update.stdout).contains("(wrote expected.txt, expected.pcap)"));
    let again = wero(&["test"], &[folder]);
    assert!(again.status.success(), "{}", text(&again.stdout));
}

#[test]
fn a_changed_packet_is_told_by_field_and_bytes() {
    let (_scratch, folder) = case(23);
    let rule = "require('protocol/tcp')
        haka.rule { on = haka.dissectors.tcp.events.receive_packet, eval = function (pkt)
          if pkt.flags.psh and pkt.dstport == 80 then pkt:parent().ttl = 9 pkt.payload:sub(0, 3):setfixedstring('PUT') end
        end }";
    fs::write(folder.join("rule.lua"), "require('protocol/tcp')").expect("writable");
    assert!(
        wero(&["test", "--update"], std::slice::from_ref(&folder))
            .status
            .success()
    );
    fs::write(folder.join("rule.lua"), rule).expect("writable");
    let report = text(&wero(&["test"], &[folder]).stdout);
    for part in [
        "comes out changed\n",
        "          ipv4.ttl: 64 expected, 9 found\n",
        "          payload, from its byte 0: 2 bytes expected, 2 found\n",
        "47 45 ",
        "50 55 ",
    ] {
        assert!(report.contains(part), "{part:?} is missing in\n{report}");
    }
}

const UNIT: &str = "TestSums = {}
function TestSums:test_good() assertEquals(1 + 1, 2) end
function TestSums:test_wrong() print('<said>') assertEquals(1 + 1, 3) end
function test_hangs() while true do end end
";

#[test]
fn reports_are_well_formed() {
    let scratch = tempfile::tempdir().expect("there is room for temporary files");
    let file = scratch.path().join("test_sums.lua");
    fs::write(&file, UNIT).expect("writable");

    let tap = wero(
        &["test", "--timeout=2s", "--format=tap"],
        std::slice::from_ref(&file),
    );
    assert_eq!(tap.status.code(), Some(1));
    let report = text(&tap.stdout);
    let numbers: Vec<&str> = report
        .lines()
        .filter(|line| line.starts_with("ok ") || line.starts_with("not ok "))
        .filter_map(|line| line.trim_start_matches("not ").split(' ').nth(1))
        .collect();
    assert_eq!(numbers, ["1", "2", "3"], "{report}");
    assert!(
        report.starts_with("TAP version 14\n") && report.ends_with("1..3\n"),
        "{report}"
    );
    assert!(text(&tap.stderr).starts_with("3 tests: 1 passed, 2 failed"));

    let xml = scratch.path().join("report.xml");
    let junit = Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(["test", "--timeout=2s", "--format=junit", "-o"])
        .args([&xml, &file])
        .output()
        .expect("wero runs");
    assert_eq!(junit.status.code(), Some(1));
    let report = fs::read_to_string(&xml).expect("it was written");
    assert!(
        report.contains("<testsuites tests=\"3\" failures=\"2\""),
        "{report}"
    );
    assert!(report.contains("&lt;said&gt;"), "{report}");
    assert_balanced(&report);
}

/// Every element is closed, in order, and nothing else begins with `<`.
fn assert_balanced(xml: &str) {
    let mut open = Vec::new();
    for part in xml.split('<').skip(1) {
        let (tag, _) = part.split_once('>').expect("every tag is closed");
        let name = tag
            .trim_start_matches('/')
            .split(' ')
            .next()
            .unwrap_or_default();
        match tag {
            _ if tag.starts_with('?') || tag.ends_with('/') => {}
            _ if tag.starts_with('/') => assert_eq!(open.pop(), Some(name), "{xml}"),
            _ => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?} stay open in\n{xml}");
}

#[test]
fn tests_are_chosen_by_name_and_their_order_is_always_the_same() {
    let one = wero(
        &["test", "--filter=reset", "--filter=filter", "sample"],
        &[],
    );
    let names = "ok    sample/group-filter\nok    sample/ip-filter\nok    sample/port-filter\n\
                 ok    sample/reset\n";
    assert!(
        text(&one.stdout).starts_with(names),
        "{}",
        text(&one.stdout)
    );
    let all = |jobs| {
        let run = wero(&["test", "sample", "--jobs", jobs], &[]);
        let report = text(&run.stdout);
        report
            .lines()
            .filter(|line| line.starts_with("ok"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(all("1"), all("4"));
    let none = wero(&["test", "sample", "--filter=no-such"], &[]);
    assert_eq!(none.status.code(), Some(2));
    assert_eq!(wero(&["test"], &[]).status.code(), Some(2));
}

#[test]
fn unit_tests_in_hakas_manner_run() {
    let units = ["buffers", "policies"]
        .map(|name| root().join(format!("tests/haka/rules/units/{name}.lua")));
    let run = wero(&["test"], &units);
    let report = text(&run.stdout);
    assert!(run.status.success(), "{report}");
    assert!(
        report.contains(&format!("{} tests: ", 10 + 4 + 9 + 4)),
        "{report}"
    );
}

#[test]
fn lint_says_dstport() {
    let scratch = tempfile::tempdir().expect("there is room for temporary files");
    let file = scratch.path().join("rule.lua");
    let rule = "require('protocol/tcp')\nhaka.rule {\n  on = haka.dissectors.tcp.events.receive_packet,\n  \
                eval = function (pkt)\n    if pkt.destport == 80 then pkt:drop() end\n  end,\n}\n";
    fs::write(&file, rule).expect("writable");
    let run = wero(&["lint"], std::slice::from_ref(&file));
    assert_eq!(run.status.code(), Some(1));
    let expected = format!(
        "{}:5:12: error[unknown-field]: no field 'destport' in tcp\n    hint: did you mean 'dstport'?\n",
        file.display()
    );
    assert_eq!(text(&run.stdout), expected);

    let json = text(&wero(&["lint", "--json"], std::slice::from_ref(&file)).stdout);
    let finding: serde_json::Value = serde_json::from_str(&json).expect("one object a line");
    assert_eq!(
        (&finding["line"], &finding["code"]),
        (&5.into(), &"unknown-field".into())
    );

    // The same rule while it runs: the hint has a line of its own, which
    // profile haka does not have.
    let capture = root().join("sample/port-filter/input.pcap");
    let replay =
        |profile| text(&wero(&["replay", profile], &[file.clone(), capture.clone()]).stdout);
    let log = replay("--profile=wero");
    assert!(log.contains("unknown field 'destport'"), "{log}");
    assert!(
        log.lines()
            .any(|line| line.starts_with("error") && line.ends_with(" did you mean 'dstport'?")),
        "{log}"
    );
    assert!(!replay("--profile=haka").contains("did you mean"));
}

/// Deliberate mistakes in the tests of Haka's behaviour.
const MEANT: [(&str, &str, usize); 4] = [
    ("ipv4-setbad.lua", "nothing", 3),
    ("rule-error.lua", "none", 1),
    ("tcp-old-access.lua", "ip", 1),
    ("tcp-filter.lua", "destport", 2),
];

#[test]
fn lint_leaves_good_rules_alone() {
    let good = wero(&["lint", "rules", "sample", "tests/bench/rules"], &[]);
    assert!(good.status.success(), "{}", text(&good.stdout));

    let haka = text(&wero(&["lint", "tests/haka/rules"], &[]).stdout);
    let mut serious: Vec<&str> = haka
        .lines()
        .filter(|line| line.contains(": error[") || line.contains(": warning["))
        .collect();
    for (file, field, times) in MEANT {
        let count = serious.len();
        let told = format!("no field '{field}' in ");
        serious.retain(|line| !(line.contains(file) && line.contains(&told)));
        assert_eq!(count - serious.len(), times, "{file}: {haka}");
    }
    serious.retain(|line| !line.ends_with("'payload' cannot be assigned to"));
    serious.retain(|line| !line.ends_with("there is no dissector 'zz'"));
    assert!(serious.is_empty(), "{serious:#?}");
}
