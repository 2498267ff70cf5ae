//! `wero sessions`, `wero follow` and the filters of `wero flows`, as their
//! users meet them.

#[allow(dead_code)] // Shared with the generator of the captures.
#[path = "captures/mod.rs"]
mod captures;
#[path = "support/captures.rs"]
mod files;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use captures::conversation::client;
use captures::scenario::Scenario;
use serde_json::Value;
use tempfile::TempDir;

fn wero(arguments: &[&str], capture: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wero"))
        .arg(arguments[0])
        .arg(capture)
        .args(&arguments[1..])
        .output()
        .expect("wero runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn printed(arguments: &[&str], capture: &Path) -> String {
    let output = wero(arguments, capture);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn json(arguments: &[&str], capture: &Path) -> Vec<Value> {
    printed(arguments, capture)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect()
}

fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/captures")
        .join(name)
}

fn query(id: u8, response: bool) -> Vec<u8> {
    let mut message = vec![
        0,
        id,
        if response { 0x81 } else { 1 },
        0,
        0,
        1,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    message.extend(b"\x01a\x07example\x00\x00\x01\x00\x01");
    message
}

/// Two clients ask over UDP, one over TCP in odd segments; one datagram is no
/// DNS, one connection says something else.
fn questions() -> (TempDir, PathBuf) {
    let mut scenario = Scenario::new();
    scenario.udp("10.1.0.7:4000", "10.2.0.53:53", &query(1, false));
    scenario.udp("[2001:db8::7]:4000", "[2001:db8::53]:53", &query(2, false));
    scenario.udp("10.2.0.53:53", "10.1.0.7:4000", &query(1, true));
    scenario.udp("10.1.0.7:4001", "10.2.0.53:9999", &query(3, false));
    let mut talk = client("10.1.0.7:4002", "10.2.0.53:53");
    let message = query(4, false);
    let mut framed = vec![0, message.len() as u8];
    framed.extend(&message);
    talk.handshake();
    talk.client_says(&framed[..9]);
    talk.client_says(&framed[9..]);
    talk.closes();
    scenario.plays(talk);
    let mut other = client("10.1.0.7:4003", "10.2.0.80:7000");
    other.handshake();
    other.client_says(b"nothing that anybody knows");
    other.closes();
    scenario.plays(other);
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let path = folder.path().join("questions.pcap");
    fs::write(&path, scenario.into_recording().to_pcap()).expect("the folder is writable");
    (folder, path)
}

#[test]
fn messages_are_lines_with_the_fields_of_the_format() {
    let (_folder, capture) = questions();
    let lines = json(&["sessions", "--json"], &capture);
    let seen: Vec<_> = lines
        .iter()
        .map(|line| {
            let number = |name: &str| line[name].as_u64().expect("a number");
            let words = (line["proto"].as_str(), line["type"].as_str());
            (
                number("flow_id"),
                number("frame"),
                number("src_port"),
                words,
            )
        })
        .collect();
    let dns = |kind| (Some("dns"), Some(kind));
    assert_eq!(
        seen,
        [
            (1, 1, 4000, dns("query")),
            (2, 2, 4000, dns("query")),
            (1, 3, 53, dns("response")),
            // The frame that completed it, behind handshake and first half.
            (4, seen[3].1, 4002, dns("query")),
        ]
    );
    let first = lines[0].as_object().expect("an object");
    for (name, value) in [
        ("src_ip", "10.1.0.7"),
        ("dest_ip", "10.2.0.53"),
        ("timestamp", "2026-01-05T10:00:00.005000+0000"),
    ] {
        assert_eq!(first[name], value, "{name}");
    }
    assert_eq!((&first["dest_port"], &first["id"]), (&53.into(), &1.into()));
    assert_eq!(lines[1]["src_ip"], "2001:db8::7");
    assert!(!first.contains_key("pcap_filename"));

    // Flows are numbered as `wero flows` does.
    for flow in json(&["flows", "--json"], &capture) {
        for line in &lines {
            let ends = |ip: &str, port: &str| (line[ip].clone(), line[port].clone());
            let (src, dst) = (ends("src_ip", "src_port"), ends("dest_ip", "dest_port"));
            let known = (flow["src_ip"].clone(), flow["src_port"].clone());
            let same = line["flow_id"] == flow["flow_id"];
            assert_eq!(same, src == known || dst == known, "{line} {flow}");
        }
    }
}

#[test]
fn messages_are_a_table_too() {
    let (_folder, capture) = questions();
    let table = printed(&["sessions"], &capture);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 5, "{table}");
    assert!(lines[0].starts_with("flow ") && lines[0].ends_with("message"));
    assert!(lines[1].contains("10.1.0.7:4000") && lines[1].contains(" query "));
    assert!(lines[1].contains("a.example"), "{}", lines[1]);
    assert!(lines[2].contains("[2001:db8::7]:4000"));
}

#[test]
fn several_captures_are_one_run_and_frames_are_those_of_their_file() {
    let (_folder, capture) = questions();
    let output = Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(["sessions", "--json"])
        .args([&capture, &capture])
        .output()
        .expect("wero runs");
    let lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let frames: Vec<_> = lines.iter().map(|line| line["frame"].as_u64()).collect();
    assert_eq!(frames[..3], frames[4..7], "counted in each file");
    assert_eq!(lines[4]["pcap_filename"], capture.display().to_string());
}

#[test]
fn flows_and_messages_are_chosen_by_protocol_flow_and_host() {
    let (_folder, capture) = questions();
    let count = |arguments: &[&str]| json(arguments, &capture).len();
    assert_eq!(count(&["flows", "--json"]), 5);
    assert_eq!(count(&["flows", "--json", "--protocol", "tcp"]), 2);
    assert_eq!(count(&["flows", "--json", "-p", "dns"]), 3);
    assert_eq!(count(&["flows", "--json", "-p", "icmp,6"]), 2);
    assert_eq!(count(&["flows", "--json", "--flow", "2", "-f", "3"]), 2);
    assert_eq!(count(&["flows", "--json", "--host", "2001:db8::/32"]), 1);
    assert_eq!(
        count(&["flows", "--json", "--host", "10.2.0.53", "-p", "udp"]),
        2
    );
    assert_eq!(count(&["sessions", "--json", "--host", "10.2.0.53"]), 3);
    assert_eq!(count(&["sessions", "--json", "--flow", "1"]), 2);
    assert_eq!(count(&["sessions", "--json", "-p", "tcp"]), 1);
    assert_eq!(count(&["sessions", "--json", "-p", "http"]), 0);
    let wrong = wero(&["sessions", "--host", "nowhere"], &capture);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        text(&wrong.stderr).contains("10.0.0.0/8"),
        "says what to write"
    );
}

#[test]
fn what_was_found_before_a_damage_is_shown() {
    let (folder, capture) = questions();
    let mut bytes = fs::read(&capture).expect("just written");
    bytes.truncate(bytes.len() - 3);
    let cut = folder.path().join("cut.pcap");
    fs::write(&cut, bytes).expect("the folder is writable");
    let output = wero(&["sessions", "--json"], &cut);
    assert_eq!(output.status.code(), Some(65), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 4);
}

#[test]
fn a_flow_is_followed_as_text_in_hexadecimal_and_raw() {
    let capture = own("stream-loss-v4.pcap");
    let both = printed(&["follow", "1"], &capture);
    let mut lines = both.lines();
    assert_eq!(lines.next(), Some("TCP 10.1.0.7:40312 > 10.2.0.80:7000"));
    assert_eq!(lines.next(), Some("> name: alice"));
    assert!(both.contains("\n< welcome, alice\n"), "{both}");

    let up = printed(&["follow", "1", "--to-server"], &capture);
    let marked: Vec<_> = both
        .lines()
        .filter_map(|line| line.strip_prefix("> "))
        .collect();
    assert_eq!(up.lines().collect::<Vec<_>>(), marked);

    let raw = wero(&["follow", "1", "--to-client", "--raw"], &capture).stdout;
    let hex = printed(&["follow", "1", "--to-client", "--hex"], &capture);
    let bytes: Vec<u8> = hex
        .lines()
        .flat_map(|line| line.get(10..58).expect("a row").split_whitespace())
        .map(|byte| u8::from_str_radix(byte, 16).expect("two digits"))
        .collect();
    assert_eq!(bytes, raw);
    for (row, line) in hex.lines().enumerate() {
        assert!(line.starts_with(&format!("{:08x}  ", 16 * row)), "{line}");
    }
    assert!(raw.starts_with(b"welcome, alice"));
}

#[test]
fn datagrams_and_holes_are_followed() {
    let capture = own("datagrams-v6.pcap");
    let lines = printed(&["follow", "1"], &capture);
    assert!(lines.starts_with("UDP ["), "{lines}");
    assert!(lines.contains("\n< pong 1"), "{lines}");

    let mut talk = client("10.1.0.7:4000", "10.2.0.80:7000");
    talk.handshake();
    talk.client_says(b"before\n");
    talk.client().loses_unseen(b"lost");
    talk.client().sends(b"behind");
    talk.closes();
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let path = folder.path().join("hole.pcap");
    fs::write(&path, talk.into_recording().to_pcap()).expect("the folder is writable");
    let shown = printed(&["follow", "1"], &path);
    assert!(
        shown.contains("> before\n> [4 bytes missing]\n> behind\n"),
        "{shown}"
    );
    let hex = printed(&["follow", "1", "--to-server", "--hex"], &path);
    assert!(
        hex.contains("0000000b  62 65 68"),
        "places count what is missing: {hex}"
    );
    assert_eq!(
        wero(&["follow", "1", "--to-server", "--raw"], &path).stdout,
        b"before\nbehind"
    );
}

#[test]
fn control_bytes_do_not_reach_the_terminal() {
    let mut talk = client("10.1.0.7:4000", "10.2.0.80:7000");
    talk.handshake();
    talk.client_says(b"a\x1b[2J\\b\rc\r\nd\tend");
    talk.closes();
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let path = folder.path().join("odd.pcap");
    fs::write(&path, talk.into_recording().to_pcap()).expect("the folder is writable");
    assert_eq!(
        printed(&["follow", "1", "--to-server"], &path),
        "a\\x1b[2J\\\\b\\x0dc\nd\tend\n"
    );
}

#[test]
fn a_flow_that_does_not_exist_is_an_error_that_says_which_do() {
    let (_folder, capture) = questions();
    let output = wero(&["follow", "9"], &capture);
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(
        message.contains("no flow 9") && message.contains("1 to 5"),
        "{message}"
    );
    assert!(output.stdout.is_empty());
    assert_eq!(wero(&["follow", "0"], &capture).status.code(), Some(2));
    let both = wero(&["follow", "1", "--hex", "--raw"], &capture);
    assert_eq!(both.status.code(), Some(2));
}

/// Bytes of both directions by `tshark -z follow,tcp,raw`, if it is there:
/// client and server as it sees them.
fn tshark_follows(capture: &Path, stream: usize) -> Option<[Vec<u8>; 2]> {
    let output = Command::new("tshark")
        .args(["-q", "-z", &format!("follow,tcp,raw,{stream}"), "-r"])
        .arg(capture)
        .output()
        .ok()?;
    let mut sides = [Vec::new(), Vec::new()];
    for line in text(&output.stdout).lines() {
        let (side, digits) = match line.strip_prefix('\t') {
            Some(digits) => (1, digits),
            None => (0, line),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            continue;
        }
        for place in (0..digits.len()).step_by(2) {
            let byte = digits.get(place..place + 2)?;
            sides[side].push(u8::from_str_radix(byte, 16).ok()?);
        }
    }
    Some(sides)
}

#[test]
fn streams_are_what_tshark_follows() {
    let mut compared = 0;
    for capture in files::own() {
        let name = capture.file_name().unwrap_or_default().to_string_lossy();
        // Where bytes differ or lack, both are right in their own way.
        if !name.starts_with("stream-")
            || ["conflict", "unseen"].iter().any(|odd| name.contains(odd))
        {
            continue;
        }
        let Some(theirs) = tshark_follows(&capture, 0) else {
            println!("skipped: no tshark");
            return;
        };
        let flows = json(&["flows", "--json", "-p", "tcp"], &capture);
        let flow = flows[0]["flow_id"].to_string();
        for (side, expected) in ["--to-server", "--to-client"].iter().zip(&theirs) {
            let ours = wero(&["follow", &flow, side, "--raw"], &capture).stdout;
            assert_eq!(&ours, expected, "{name} {side}");
            compared += usize::from(!ours.is_empty());
        }
    }
    assert!(compared > 20, "{compared} directions compared");
}

/// Writes what was said to a file of its own.
fn written(scenario: Scenario) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let path = folder.path().join("written.pcap");
    fs::write(&path, scenario.into_recording().to_pcap()).expect("the folder is writable");
    (folder, path)
}

#[test]
fn connections_that_ftp_announces_are_named() {
    for (user, server, passive, active) in [
        (
            "10.1.0.7",
            "10.2.0.21",
            ("PASV", "227 Entering Passive Mode (10,2,0,21,195,80)."),
            "PORT 10,1,0,7,19,137",
        ),
        (
            "[2001:db8:1::7]",
            "[2001:db8:2::21]",
            ("EPSV", "229 Entering Extended Passive Mode (|||50000|)"),
            "EPRT |2|2001:db8:1::7|5001|",
        ),
    ] {
        let mut control = client(&format!("{user}:4001"), &format!("{server}:21"));
        control.handshake();
        control.server_says(b"220 hello\r\n");
        control.client_says(format!("{}\r\n", passive.0).as_bytes());
        let (start, end) = passive.1.split_at(40);
        control.server_says(start.as_bytes());
        control.server_says(format!("{end}\r\n").as_bytes());
        control.client_says(format!("{active}\r\n").as_bytes());
        control.server_says(b"200 ok\r\n");
        control.closes();
        let transfer = |from: String, to: String| {
            let mut talk = client(&from, &to);
            talk.handshake();
            // What a file has in it is not what is spoken.
            talk.server_says(b"HTTP/1.1 is what this file is about\n");
            talk.closes();
            talk
        };
        let mut scenario = Scenario::new();
        // Before it is announced, and again when it was opened already.
        scenario.plays(transfer(format!("{user}:4000"), format!("{server}:50000")));
        scenario.plays(control);
        scenario.plays(transfer(format!("{user}:4002"), format!("{server}:50000")));
        scenario.plays(transfer(format!("{server}:20"), format!("{user}:5001")));
        scenario.plays(transfer(format!("{user}:4003"), format!("{server}:50000")));
        let (_folder, capture) = written(scenario);
        let named: Vec<_> = json(&["flows", "--json"], &capture)
            .iter()
            .map(|flow| flow["app_proto"].as_str().map(str::to_owned))
            .collect();
        let named: Vec<_> = named.iter().map(Option::as_deref).collect();
        assert_eq!(
            named,
            [
                Some("http"),
                Some("ftp"),
                Some("ftp-data"),
                Some("ftp-data"),
                Some("http")
            ],
            "{user}"
        );
        let table = printed(&["flows", "--protocol", "ftp-data"], &capture);
        assert_eq!(table.matches(" ftp-data ").count(), 2, "{table}");
    }
}

#[test]
fn commands_that_waited_for_a_reply_are_of_the_packet_that_brought_them() {
    for (port, said) in [
        (
            25,
            [
                "220 hello\r\n",
                "EHLO a\r\n",
                "250 hello\r\n",
                "DATA\r\nRSET\r\nNO",
                "OP\r\nQUIT\r\n",
                "503 no mail\r\n",
            ],
        ),
        (
            21,
            [
                "220 hello\r\n",
                "FEAT\r\n",
                "211 none\r\n",
                "AUTH TLS\r\nUSER a\r\nNO",
                "OP\r\nQUIT\r\n",
                "500 no\r\n",
            ],
        ),
    ] {
        let mut talk = client("10.1.0.7:4000", &format!("10.2.0.25:{port}"));
        talk.handshake();
        for text in said {
            match text.as_bytes()[0].is_ascii_digit() {
                true => talk.server_says(text.as_bytes()),
                false => talk.client_says(text.as_bytes()),
            }
        }
        talk.closes();
        let mut scenario = Scenario::new();
        scenario.plays(talk);
        let (_folder, capture) = written(scenario);
        let lines = json(&["sessions", "--json"], &capture);
        let seen: Vec<_> = lines
            .iter()
            .map(|line| {
                let what = line["command"].as_str().unwrap_or("-").to_owned();
                let frame = line["frame"].as_u64().expect("a number");
                (frame, line["src_port"].as_u64().expect("a port"), what)
            })
            .collect();
        let (first, second) = match port {
            25 => ("DATA", "RSET"),
            _ => ("AUTH", "USER"),
        };
        let expected = [
            (10, 4000, first),
            (14, port, "-"),
            (10, 4000, second),
            (12, 4000, "NOOP"),
            (12, 4000, "QUIT"),
        ];
        let seen: Vec<_> = seen[3..]
            .iter()
            .map(|(frame, from, what)| (*frame, *from, &**what))
            .collect();
        assert_eq!(seen, expected);
        // The time is the packet's, too.
        let times: Vec<_> = lines[3..]
            .iter()
            .map(|line| line["timestamp"].as_str())
            .collect();
        assert_eq!(times[0], times[2]);
        assert!(times[2] < times[3] && times[3] == times[4] && times[4] < times[1]);
    }
}
