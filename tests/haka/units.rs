//! Haka's unit tests in Lua: a wrapper on an empty capture, test files found
//! by `package.path`, the test library by `LUA_PATH`.

use std::path::Path;
use std::process::{Command, Output};

fn unit(name: &str) -> Output {
    unit_with(name, &[])
}

fn unit_with(name: &str, variables: &[(&str, &str)]) -> Output {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/haka");
    Command::new(env!("CARGO_BIN_EXE_hakapcap"))
        .env("LUA_PATH", folder.join("luaunit/?.lua"))
        .env("UNIT_DIR", folder.join("rules/units"))
        .env("UNIT", name)
        .envs(variables.iter().copied())
        .args(["-d", "--no-pass-through"])
        .arg(folder.join("rules/unit.lua"))
        .arg(folder.join("captures/nothing.pcap"))
        .output()
        .expect("hakapcap runs")
}

fn succeeds(name: &str, tests: usize) {
    check(&unit(name), tests);
}

fn check(run: &Output, tests: usize) {
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

/// `grammar-apply` 7, `-bytes` 5, `-empty` 1, `-inheritance` 7, `-sequence`
/// 2, `-token` 2, `-try` 4, `-union` 1.
#[test]
fn grammars() {
    succeeds("grammars", 7 + 5 + 1 + 7 + 2 + 2 + 4 + 1);
}

#[test]
#[cfg(feature = "disassembler")]
fn asm_disas() {
    succeeds("asm", 8);
}

/// On the database of Haka's test where it is installed, and on one of ours.
#[test]
fn geoip_country() {
    let scratch = tempfile::tempdir().expect("there is room for temporary files");
    let ours = scratch.path().join("countries.dat");
    std::fs::write(&ours, countries()).expect("the folder is writable");
    let ours = ours.display().to_string();
    let installed = "/usr/share/GeoIP/GeoIP.dat";
    for database in [ours.as_str(), installed] {
        if Path::new(database).exists() {
            check(&unit_with("geoip", &[("DATABASE", database)]), 1);
        }
    }
}

/// A GeoIP country database in which 8.0.0.0/8 is in the US, country 225, and
/// nothing is anywhere else.
fn countries() -> Vec<u8> {
    let nowhere = 0xff_ff00u32;
    let mut file = Vec::new();
    for bit in 0..8u32 {
        let next = if bit == 7 { nowhere + 225 } else { bit + 1 };
        let set = 8 >> (7 - bit) & 1 == 1;
        let records = if set {
            [nowhere, next]
        } else {
            [next, nowhere]
        };
        for record in records {
            file.extend(&record.to_le_bytes()[..3]);
        }
    }
    file.extend(b"\xff\xff\xff\x01");
    file
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
