//! Haka's unit tests in Lua: a wrapper on an empty capture, test files found
//! by `package.path`, the test library by `LUA_PATH`.

use std::path::Path;
use std::process::{Command, Output};

fn unit(name: &str) -> Output {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/haka");
    Command::new(env!("CARGO_BIN_EXE_hakapcap"))
        .env("LUA_PATH", folder.join("luaunit/?.lua"))
        .env("UNIT_DIR", folder.join("rules/units"))
        .env("UNIT", name)
        .args(["-d", "--no-pass-through"])
        .arg(folder.join("rules/unit.lua"))
        .arg(folder.join("captures/nothing.pcap"))
        .output()
        .expect("hakapcap runs")
}

fn succeeds(name: &str, tests: usize) {
    let run = unit(name);
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{text}");
    assert_eq!(
        text.lines().filter(|line| line.ends_with(" Ok")).count(),
        tests,
        "{text}"
    );
    assert!(
        text.contains("UNIT TEST BEGIN\n") && text.contains("UNIT TEST END\n"),
        "{text}"
    );
}

#[test]
fn vbuffer_and_blocking_iterators() {
    succeeds("buffers", 10 + 4);
}

#[test]
fn state_machines_plain_and_bidirectional() {
    succeeds("state_machines", 4 + 3);
}

#[test]
fn policy_criteria_and_learning() {
    succeeds("policies", 9 + 4);
}

#[test]
fn a_failing_test_ends_the_run_with_status_1() {
    let run = unit("failing");
    assert_eq!(run.status.code(), Some(1));
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(
        text.contains("TestFailing:test_fails Failed: ") && !text.contains("UNIT TEST END"),
        "{text}"
    );
}
