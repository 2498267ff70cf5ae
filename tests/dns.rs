//! DNS through the whole program: rules read, rewrite, drop and answer
//! messages, and tshark reads what comes out.
//!
//! Without a tshark, what it would say is not checked, and the test says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A finished replay.
struct Replay {
    text: String,
    output: PathBuf,
    _scratch: tempfile::TempDir,
}

fn replay(rule: &str, capture: &str, options: &[&str]) -> Replay {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = tempfile::tempdir().expect("there is room for temporary files");
    let output = scratch.path().join("out.pcap");
    let rule = match rule.contains('\n') {
        true => {
            let path = scratch.path().join("rule.lua");
            fs::write(&path, rule).expect("there is room for a rule");
            path
        }
        false => root.join(format!("tests/dns/{rule}.lua")),
    };
    let done = Command::new(env!("CARGO_BIN_EXE_wero"))
        .env("TZ", "UTC")
        .arg("replay")
        .args(options)
        .arg("-o")
        .arg(&output)
        .arg(rule)
        .arg(root.join(format!("tests/captures/{capture}.pcap")))
        .output()
        .expect("wero runs");
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{text}{complaints}");
    assert!(!text.contains("error"), "{text}");
    Replay {
        text,
        output,
        _scratch: scratch,
    }
}

impl Replay {
    /// One line per packet with the fields, as tshark reads them; `None`
    /// without a tshark.
    fn fields(&self, names: &[&str]) -> Option<Vec<String>> {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(&self.output);
        for protocol in ["ip", "udp", "tcp"] {
            command.args(["-o", &format!("{protocol}.check_checksum:TRUE")]);
        }
        command.args(["-T", "fields"]);
        for name in names {
            command.args(["-e", name]);
        }
        let Ok(done) = command.output() else {
            println!("skipped: no tshark");
            return None;
        };
        let text = String::from_utf8_lossy(&done.stdout);
        Some(text.lines().map(|line| line.replace('\t', "|")).collect())
    }

    /// tshark finds nothing malformed, no bad checksum, and each direction's
    /// bytes one after the other. (What acknowledgements it has seen bytes
    /// for says nothing: each end counts its own bytes.)
    fn assert_sound(&self) {
        let wrong = [
            "_ws.malformed",
            "ip.checksum.status",
            "udp.checksum.status",
            "tcp.checksum.status",
            "frame.number",
            "tcp.analysis.lost_segment",
            "tcp.analysis.out_of_order",
            "tcp.analysis.retransmission",
        ];
        for line in self.fields(&wrong).into_iter().flatten() {
            let columns: Vec<_> = line.split('|').collect();
            let packet = columns[4];
            assert_eq!(columns[0], "", "malformed: packet {packet}");
            for status in &columns[1..4] {
                assert!(matches!(*status, "" | "1"), "checksum: packet {packet}");
            }
            assert!(
                columns[5..].iter().all(|oddity| oddity.is_empty()),
                "sequence: packet {packet}"
            );
        }
    }

    /// The lines that rules logged.
    fn logged(&self) -> Vec<&str> {
        self.text
            .lines()
            .filter_map(|line| {
                line.strip_prefix("info  external: ")
                    .or(line.strip_prefix("info external: "))
            })
            .collect()
    }
}

const DNS: [&str; 8] = [
    "dns.id",
    "dns.flags.response",
    "dns.flags.rcode",
    "dns.qry.name",
    "dns.resp.name",
    "dns.resp.ttl",
    "dns.a",
    "dns.txt",
];

#[test]
fn rewritten_datagrams_are_read_by_others() {
    for capture in ["dns-v4", "dns-v6"] {
        let run = replay("rewrite", capture, &[]);
        run.assert_sound();
        let Some(lines) = run.fields(&DNS) else {
            return;
        };
        assert_eq!(
            lines[1],
            "0x0001|1|0|www.example.org|renamed.example.org,web.cdn.example.net,\
             web.cdn.example.net,cdn.example.net,ns.cdn.example.net|5,5,5,3600,3600|\
             203.0.113.5,203.0.113.5,192.0.2.53|"
        );
        assert_eq!(
            lines[3],
            "0x0002|1|0|www.example.org|www.example.org,www.example.org,<Root>,\
             x.example.net|300,7,60||added by a rule"
        );
        assert_eq!(lines[5], "0x0003|1|3|nowhere.example.org||||");
        assert_eq!(lines.len(), 10);
    }
}

#[test]
fn rewritten_streams_are_read_by_others() {
    for capture in ["dns-tcp-v4", "dns-tcp-v6"] {
        let run = replay("rewrite", capture, &[]);
        run.assert_sound();
        let Some(lines) = run.fields(&DNS) else {
            return;
        };
        let messages: Vec<_> = lines.iter().filter(|line| line.starts_with("0x")).collect();
        let all = messages
            .iter()
            .map(|line| line.as_str())
            .collect::<Vec<_>>()
            .join("\n");
        assert!(
            all.contains("post.a-much-longer-domain.example.net"),
            "{all}"
        );
        assert!(all.contains("203.0.113.5"), "{all}");
        assert!(all.contains("added by a rule"), "{all}");
        assert!(all.contains("0x0003|1|3|last.example.org||||"), "{all}");
        assert!(!all.contains("192.0.2.99"), "{all}");
    }
}

#[test]
fn answers_of_rules_go_back_to_the_client() {
    for capture in ["dns-v4", "dns-v6"] {
        let run = replay("answer", capture, &[]);
        run.assert_sound();
        // No query reaches the server; what it said in the capture answers
        // nothing that was asked.
        let Some(lines) = run.fields(&[
            "dns.id",
            "dns.flags.response",
            "dns.flags.rcode",
            "dns.flags.truncated",
            "dns.count.answers",
            "dns.a",
            "dns.aaaa",
            "udp.srcport",
        ]) else {
            return;
        };
        let forged: Vec<_> = lines
            .iter()
            .filter(|line| line.contains("203.0.113.5") || line.contains("2001:db8::5"))
            .collect();
        assert_eq!(
            forged,
            [
                "0x0001|1|0|0|1|203.0.113.5||53",
                "0x0002|1|0|0|1||2001:db8::5|53",
            ]
        );
        assert!(
            lines.contains(&"0x0003|1|5|0|0|||53".to_owned()),
            "{lines:?}"
        );
        assert!(
            lines.contains(&"0x0005|1|0|1|0|||53".to_owned()),
            "{lines:?}"
        );
        assert!(
            lines.iter().all(|line| line.contains("|1|")),
            "a query left: {lines:?}"
        );
    }
}

#[test]
fn answers_of_rules_take_the_place_of_the_servers_in_streams() {
    for capture in ["dns-tcp-v4", "dns-tcp-v6"] {
        let run = replay("answer", capture, &[]);
        run.assert_sound();
        assert_eq!(
            run.logged(),
            ["response mail.example.org.", "response last.example.org."]
        );
        let Some(lines) = run.fields(&["dns.id", "dns.flags.response", "dns.qry.name", "dns.a"])
        else {
            return;
        };
        let all = lines.join("\n");
        assert!(
            all.contains("<Root>"),
            "the server is asked something else: {all}"
        );
        assert!(all.contains("203.0.113.5"), "{all}");
        assert!(!all.contains("192.0.2.80"), "{all}");
    }
}

#[test]
fn a_rule_that_changes_nothing_changes_nothing() {
    for capture in [
        "dns-v4",
        "dns-v6",
        "dns-tcp-v4",
        "dns-tcp-v6",
        "dns-multicast",
    ] {
        let run = replay("fields", capture, &[]);
        let input =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/captures/{capture}.pcap"));
        assert_eq!(
            fs::read(&run.output).expect("packets came out"),
            fs::read(input).expect("the capture is there"),
            "{capture}"
        );
    }
}

#[test]
fn records_tell_their_fields() {
    let run = replay("fields", "dns-v4", &[]);
    assert_eq!(
        run.logged(),
        [
            "www.example.org. 0 1",
            "www.example.org. CNAME 300 target=web.cdn.example.net. rdata=web.cdn.example.net.",
            "web.cdn.example.net. A 30 ip=192.0.2.80 rdata=192.0.2.80",
            "web.cdn.example.net. A 30 ip=192.0.2.81 rdata=192.0.2.81",
            "cdn.example.net. NS 3600 target=ns.cdn.example.net. rdata=ns.cdn.example.net.",
            "ns.cdn.example.net. A 3600 ip=192.0.2.53 rdata=192.0.2.53",
            "www.example.org. 0 2",
            "www.example.org. AAAA 300 ip=2001:db8:2::80 rdata=2001:db8:2::80",
            " OPT 0 rdata=\\# 0",
            "nowhere.example.org. 3 3",
            "_sip._udp.example.org. 0 4",
            "_sip._udp.example.org. SRV 60 target=sip.example.org. priority=10 weight=5 \
             port=5060 rdata=10 5 5060 sip.example.org.",
            "example.org. 0 5",
            "example.org. HTTPS 60 target= priority=1 parameters=alpn=h2,h3 \
             ipv4hint=192.0.2.80 rdata=1 . alpn=h2,h3 ipv4hint=192.0.2.80",
        ]
    );
}

#[test]
fn streams_give_the_messages_that_datagrams_do() {
    let run = replay("fields", "dns-tcp-v4", &[]);
    assert_eq!(
        run.logged(),
        [
            "www.example.org. 0 1",
            "www.example.org. A 60 ip=192.0.2.80 rdata=192.0.2.80",
            "mail.example.org. 0 2",
            "mail.example.org. A 60 ip=192.0.2.25 rdata=192.0.2.25",
            "last.example.org. 0 3",
            "last.example.org. A 60 ip=192.0.2.99 rdata=192.0.2.99",
        ]
    );
}

#[test]
fn multicast_messages_say_themselves_what_they_are() {
    const RULE: &str = "require('protocol/dns')
        haka.rule { on = haka.dissectors.dns.events.query,
          eval = function (_, query) haka.log('query %s', query.question.name) end }
        haka.rule { on = haka.dissectors.dns.events.response,
          eval = function (_, response, query)
            haka.log('response %s %s', response.answer[1].name, query and 'asked' or 'unasked')
          end }";
    let run = replay(RULE, "dns-multicast", &[]);
    assert_eq!(
        run.logged(),
        [
            "query _printer._tcp.local.",
            "response Lobby\\032Printer._printer._tcp.local. unasked",
            "query fileserver.",
            "response fileserver. unasked",
        ]
    );
}

#[test]
fn queries_do_not_wait_for_ever() {
    const RULE: &str = "require('protocol/dns')
        haka.rule { on = haka.dissectors.dns.events.response,
          eval = function (_, response, query)
            haka.log('%s %s', response.question.name, query and 'in time' or 'too late')
          end }";
    let run = replay(RULE, "dns-unanswered", &[]);
    assert_eq!(
        run.logged(),
        ["late.example.org. too late", "fast.example.org. in time"]
    );
    // The profile that goes by direction drops what nobody waits for.
    let run = replay(RULE, "dns-unanswered", &["--profile", "haka"]);
    assert_eq!(run.logged(), ["fast.example.org. in time"]);
    assert!(
        run.text.contains("dns: mismatching response"),
        "{}",
        run.text
    );
}

#[test]
fn mistakes_of_rules_are_told_and_change_nothing() {
    const RULE: &str = "require('protocol/dns')
        local function try(what, fn, ...)
          local ok, message = pcall(fn, ...)
          haka.log('%s: %s', what, ok and 'done' or message)
        end
        haka.rule { on = haka.dissectors.dns.events.response,
          eval = function (_, response, query)
            if response.id ~= 1 then return end
            local alias, address = response.answer[1], response.answer[2]
            try('type', function () alias.type = 'A' end)
            try('ip', function () alias.ip = address.ip end)
            try('ttl', function () address.ttl = -1 end)
            try('rdata', function () address.rdata = '1.2.3' end)
            try('owner', function () address.owner = 'a..b' end)
            try('append', function () response.answer:append { type = 'MX' } end)
            try('unknown', function () response.answer:append { type = 'XX', data = '' } end)
            try('query', function () query.rd = false end)
            try('drop', function () query:drop() end)
            try('reply', function () response:reply() end)
            response.answer:remove(2)
            -- No record has these places.
            for _, place in ipairs { 0, -1, 99 } do response.answer:remove(place) end
            try('removed', function () return address.ttl end)
            response.answer:append { ip = response.answer[2].ip, name = 'web.cdn.example.net', ttl = 30 }
            haka.log('%d %s', #response.answer, response.answer[3].ip)
          end }";
    let run = replay(RULE, "dns-v4", &[]);
    assert_eq!(
        run.logged(),
        [
            "type: the type of a record cannot be changed: remove it and append another",
            "ip: This variable is immutable",
            "ttl: number must not be negative",
            "rdata: expected an IPv4 address, got '1.2.3'",
            "owner: invalid domain name 'a..b'",
            "append: a record needs ip or data",
            "unknown: unknown type of record 'XX'",
            "query: read only buffer",
            "drop: operation not supported",
            "reply: operation not supported",
            "removed: invalid dns record",
            "3 192.0.2.81",
        ]
    );
    run.assert_sound();
}

#[test]
fn forged_places_reach_no_other_memory() {
    const RULE: &str = "require('protocol/dns')
        local tried = 0
        haka.rule { on = haka.dissectors.dns.events.response, eval = function (_, response)
          local list = response.answer
          local record = list[1]
          if not record then return end
          local places = { 1e9, -1, 2 ^ 31, 2 ^ 53, -2 ^ 63, 0.5, 1 / 0, -1 / 0, 0 / 0, 'x', {} }
          for _, forged in ipairs(places) do
            local own = rawget(record, 2)
            rawset(record, 2, forged)
            assert(not pcall(function () return record.ttl end))
            assert(not pcall(function () record.ttl = 1 end))
            rawset(record, 2, own)
            assert(not pcall(function () return list[forged].ttl end))
            pcall(list.remove, list, forged)
            tried = tried + 1
          end
          assert(record.ttl and #list > 0)
        end }
        haka.on_exit(function () haka.log('%s', tried > 20) end)";
    let run = replay(RULE, "dns-v4", &[]);
    assert_eq!(run.logged(), ["true"]);
    run.assert_sound();
}
