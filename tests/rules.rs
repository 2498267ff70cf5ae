//! Each rule file of `rules/` fires on the traffic it is for, of both
//! families, and is silent on an ordinary conversation.

use std::path::Path;
use std::process::Command;

use wero::addr::Addr;
use wero::capture::file::{CaptureWriter, Resolution};
use wero::packet::{LinkType, build};
use wero::time::Timestamp;

const FIN: u8 = 1;
const SYN: u8 = 2;
const PSH: u8 = 8;
const URG: u8 = 32;

fn host(v6: bool, number: u8) -> Addr {
    if v6 {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        bytes[15] = number;
        Addr::v6(bytes)
    } else {
        Addr::v4([10, 0, 0, number])
    }
}

/// Alerts of a rule file on single TCP segments, one each 10 ms: source and
/// target host, target port, flags.
fn alerts(rule: &str, segments: impl Iterator<Item = (u8, u8, u16, u8)>, v6: bool) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let capture = folder.path().join("input.pcap");
    let mut writer =
        CaptureWriter::create(&capture, LinkType::RAW, Resolution::Micro).expect("a capture");
    for (number, (source, target, port, flags)) in segments.enumerate() {
        let mut packet = Vec::new();
        let from = (
            host(v6, source),
            if source == target {
                port
            } else {
                40_000 + number as u16
            },
        );
        build::tcp(&mut packet, from, (host(v6, target), port), 1_000, flags);
        let time =
            Timestamp::new(1_767_607_200, 0) + std::time::Duration::from_millis(10 * number as u64);
        writer
            .write(time, LinkType::RAW, &packet, packet.len() as u32)
            .expect("a packet");
    }
    writer.finish().expect("a whole capture");
    run(rule, &capture)
}

fn run(rule: &str, capture: &Path) -> Vec<String> {
    let rule = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("rules")
        .join(rule);
    let output = Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(["replay", "--checksums", "ignore"])
        .args([&rule, capture])
        .output()
        .expect("wero runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("error "), "{text}");
    text.lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix("description = ")
                .map(str::to_owned)
        })
        .collect()
}

fn assert_fires(rule: &str, text: &str, segments: impl Iterator<Item = (u8, u8, u16, u8)> + Clone) {
    for v6 in [false, true] {
        let found = alerts(rule, segments.clone(), v6);
        assert!(
            found.iter().any(|line| line.contains(text)),
            "{rule}, v6 {v6}: {found:?}"
        );
    }
}

#[test]
fn ordinary_traffic_raises_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for rule in [
        "ip/land.lua",
        "tcp/xmas-scan.lua",
        "tcp/bad-flags.lua",
        "tcp/port-scan.lua",
        "tcp/syn-flood.lua",
        "tcp/shellcode.lua",
    ] {
        for capture in [
            "tests/captures/stream-sack-v4.pcap",
            "tests/captures/stream-options-v6.pcap",
        ] {
            assert_eq!(
                run(rule, &folder.join(capture)),
                [""; 0],
                "{rule} on {capture}"
            );
        }
    }
}

#[test]
fn land_attack() {
    assert_fires("ip/land.lua", "Land", [(7, 7, 139, SYN)].into_iter());
}

#[test]
fn xmas_scan() {
    assert_fires(
        "tcp/xmas-scan.lua",
        "Xmas",
        [(1, 2, 22, FIN | PSH | URG)].into_iter(),
    );
}

#[test]
fn bad_flags() {
    assert_fires("tcp/bad-flags.lua", "", [(1, 2, 22, SYN | FIN)].into_iter());
    assert_fires("tcp/bad-flags.lua", "", [(1, 2, 22, 0)].into_iter());
}

#[test]
fn port_scan() {
    assert_fires(
        "tcp/port-scan.lua",
        "scan",
        (1..40).map(|port| (1, 2, port, SYN)),
    );
    let few = alerts(
        "tcp/port-scan.lua",
        (1..5).map(|port| (1, 2, port, SYN)),
        false,
    );
    assert!(few.is_empty(), "{few:?}");
}

#[test]
fn syn_flood() {
    assert_fires(
        "tcp/syn-flood.lua",
        "SYN flood",
        (0..400).map(|_| (1, 2, 80, SYN)),
    );
    let few = alerts("tcp/syn-flood.lua", (0..50).map(|_| (1, 2, 80, SYN)), false);
    assert!(few.is_empty(), "{few:?}");
}
