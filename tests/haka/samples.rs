//! The reference's sample rules, written anew from what they do, and its
//! third-party dissector.

use super::harness::{Run, run};

const SMTP: &str = "debug conn: opening connection 192.168.20.1:40150 -> 192.168.20.50:25";

#[test]
fn sample_empty() {
    let run = run("samples/empty", "mixed");
    run.passes(18, 4);
    assert_eq!(run.lines[0], "warn core: no registered rule");
    assert_eq!(
        run.count("\tdescription = dropping unknown dissector 'ipv4'"),
        14
    );
}

#[test]
fn sample_gettingstarted() {
    let run = run("samples/getting-started", "started-18");
    run.passes(18, 14);
    assert_eq!(run.count("\tdescription = wrong tcp checksum"), 4);
    assert_eq!(
        run.count("debug external: new connection to the server from 192.168.20.5"),
        1
    );
}

#[test]
fn sample_ipfilter() {
    let run = run("samples/ip-filter", "networks-12");
    run.passes(12, 11);
    run.says(&[
        "alert: id = = <>",
        "\tseverity = low",
        "\tdescription = filtering address 192.168.10.5",
        "debug lua: closing state",
    ]);
}

/// Each segment meets the misspelt field, and is dropped for it.
#[test]
fn sample_tcpfilter() {
    let run = run("samples/tcp-filter", "mixed");
    run.passes(18, 8);
    assert_eq!(run.count("error lua: tcp: unknown field 'destport'"), 10);
}

#[test]
fn sample_groupfilter() {
    let run = run("samples/group-filter", "groups-16");
    run.passes(16, 12);
    let alert = [
        "debug external: entering for port 8080",
        "alert: id = = <>",
        "\tdescription = connection to an unexpected port",
    ];
    for (line, count) in alert.iter().zip([4, 4, 4]) {
        assert_eq!(run.count(line), count, "{line}");
    }
    assert_eq!(run.count("debug external: entering for port 80"), 1);
    assert_eq!(run.count("\t\tservice: tcp, 8080"), 4);
}

/// Rule files in folders, globals that they share, policies on networks.
#[test]
fn sample_ruleset() {
    let run = run("samples/ruleset/config", "attacks");
    run.passes(40, 25);
    let found: Vec<&str> = run
        .lines
        .iter()
        .filter_map(|line| line.strip_prefix("\tdescription = "))
        .collect();
    assert_eq!(
        found,
        [
            "land attack",
            "wrong ip checksum",
            "xmas scan",
            "new connection",
            "shell code"
        ]
    );
    assert_eq!(
        run.count("debug core: applying policy default for new connection"),
        1
    );
}

fn smtp(rule: &str, sent: usize) -> Run {
    let run = run(&format!("samples/smtp/{rule}"), "smtp-48");
    run.passes(48, sent);
    assert_eq!(run.lines[0], SMTP);
    run
}

/// The same packets, of which some left later.
#[track_caller]
fn leaves_whole(run: &Run) {
    let all = |packets: &[super::packet::Packet]| {
        let mut frames: Vec<_> = packets.iter().map(|packet| packet.0.clone()).collect();
        frames.sort();
        frames
    };
    assert!(all(&run.sent) == all(&run.captured));
}

#[test]
fn sample_smtp_command_response() {
    let run = smtp("command-response", 48);
    leaves_whole(&run);
    assert_eq!(
        run.lines[1..27],
        [
            "class Result {",
            "  command : \"EHLO\"",
            "  parameter : \"alice.example\"",
            "}",
            "class Result {",
            "  responses : class ArrayResult {",
            "    1 : class Result {",
            "      code : \"250\"",
            "      sep : \"-\"",
            "      text : \"mail.example.com\"",
            "    }",
            "    2 : class Result {",
            "      code : \"250\"",
            "      sep : \"-\"",
            "      text : \"8BITMIME\"",
            "    }",
            "    3 : class Result {",
            "      code : \"250\"",
            "      sep : \" \"",
            "      text : \"SIZE\"",
            "    }",
            "  }",
            "}",
            "class Result {",
            "  command : \"MAIL\"",
            "  parameter : \"FROM:<alice@suspicious.example>\"",
        ]
    );
    // A field of a case that was not taken is not there.
    let at = run
        .lines
        .iter()
        .position(|line| line == "  command : \"DATA\"")
        .expect("the mail is sent");
    assert_eq!(run.lines[at + 1], "}");
    assert_eq!(run.count("class Result {"), 13);
}

#[test]
fn sample_smtp_mail_content() {
    let run = smtp("mail-content", 48);
    leaves_whole(&run);
    assert_eq!(
        run.lines[1..6],
        [
            "mail of 3 parts:",
            "Subject: hello\r",
            "\r",
            "first line\r",
            "second line",
        ]
        .map(|line| line.trim_end_matches('\r'))
    );
}

#[test]
fn sample_smtp_spam_filter() {
    let run = smtp("spam-filter", 9);
    assert_eq!(
        run.lines[1..6],
        [
            "alert: id = = <>",
            "\tseverity = medium",
            "\tdescription = mail of @suspicious.example",
            "\tsources = {",
            "\t\taddress: 192.168.20.1",
        ]
    );
    assert_eq!(run.count_with("dropping connection"), 1);
}

#[test]
fn doc_workshop_smtp_partial() {
    let run = smtp("partial", 5);
    assert_eq!(
        run.lines[1..3],
        [
            "debug grammar: parse error at byte 0 for field 1 in <unknown>: incomplete grammar",
            "debug grammar: parse error context: EHLO alice.example\\x0d\\x0a..."
        ]
    );
    assert_eq!(
        run.count(
            "\tdescription = parse error at byte 0 for field 1 in <unknown>: incomplete grammar"
        ),
        1
    );
}
