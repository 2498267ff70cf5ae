//! TLS and QUIC through the engine: what rules are shown, and what of a
//! refused connection leaves.

use std::time::Duration;

use captures::conversation::client;
use captures::hello::{
    Hello, alert, application_data, old_client, quic_initials, record, server_hello,
};
use captures::scenario::Scenario;
use rig::{Gone, Rig, Said};
use wero::event::{Profile, Settings, Verdict};
use wero::lua::Limits;

#[allow(dead_code)] // Shared with the generator.
#[path = "captures/mod.rs"]
mod captures;
#[path = "support/rig.rs"]
mod rig;

const FROM: &str = "10.1.0.7:40312";
const TO: &str = "10.2.0.80:443";
const NAME: &str = "secret.example.org";

/// Runs rules on a scenario: what was said, and every packet with its
/// verdict.
fn run_with(rules: &str, scenario: Scenario, settings: Settings) -> (Said, Vec<Gone>) {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let path = folder.path().join("input.pcap");
    std::fs::write(&path, scenario.into_recording().to_pcap()).expect("there is room");
    let (link, packets) = rig::read_capture(&path);
    let limits = Limits {
        event_time: Duration::from_secs(5),
        ..Limits::default()
    };
    let mut rig = Rig::load(rules, &[], settings, limits)
        .unwrap_or_else(|(error, said)| panic!("{error}: {:?}", said.lines));
    let mut gone = rig.started();
    let count = packets.len();
    for (id, (time, bytes)) in (1..).zip(packets) {
        gone.extend(rig.packet(id, time, link, &bytes));
    }
    gone.extend(rig.exiting());
    gone.extend(rig.shutdown());
    let said = rig.into_said();
    assert!(said.errors().is_empty(), "{:?}", said.errors());
    let mut ids: Vec<u64> = gone.iter().map(|one| one.id).filter(|&id| id > 0).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "every packet has its verdict");
    (said, gone)
}

fn run(rules: &str, scenario: Scenario) -> (Said, Vec<Gone>) {
    run_with(rules, scenario, Settings::new(Profile::Wero))
}

fn one(conversation: captures::conversation::Conversation) -> Scenario {
    let mut scenario = Scenario::new();
    scenario.plays(conversation);
    scenario
}

/// Whether some of these bytes leave in any packet.
fn leaves(gone: &[Gone], bytes: &[u8]) -> bool {
    let has = |packet: &Gone| packet.bytes.windows(bytes.len()).any(|part| part == bytes);
    gone.iter().any(|packet| !packet.refused() && has(packet))
}

const REFUSE: &str = "
    require('protocol/tls')
    require('protocol/quic')
    local function judge(connection, hello)
        print(hello.sni)
        if hello.sni == 'secret.example.org' then connection:drop() end
    end
    haka.rule { on = haka.dissectors.tls.events.client_hello, eval = judge }
    haka.rule { on = haka.dissectors.quic.events.client_hello, eval = judge }
";

#[test]
fn a_refused_name_never_gets_to_the_server() {
    for port in [443, 7443] {
        let hello = Hello::named(NAME).record();
        for cut in [1, 7, 60, hello.len() - 1, hello.len()] {
            let mut c = client(FROM, &format!("10.2.0.80:{port}"));
            c.handshake();
            for part in hello.chunks(cut) {
                c.client_says(part);
            }
            c.server_says(&server_hello(0x0303, Some(0x0304), 0x1301));
            c.closes();
            let (said, gone) = run(REFUSE, one(c));
            assert_eq!(said.printed, format!("{NAME}\n"), "cut {cut}, port {port}");
            assert!(!leaves(&gone, b"secret"), "cut {cut}, port {port}");
            assert!(!leaves(&gone, &hello[..8]), "cut {cut}, port {port}");
        }
    }
}

#[test]
fn an_allowed_connection_passes_unchanged() {
    let mut c = client(FROM, TO);
    c.handshake();
    for part in Hello::default().record().chunks(50) {
        c.client_says(part);
    }
    c.server_says(&server_hello(0x0303, Some(0x0304), 0x1301));
    c.server_says(&application_data(3000));
    c.closes();
    let sent = one(c).into_recording().to_pcap();
    let mut again = client(FROM, TO);
    again.handshake();
    for part in Hello::default().record().chunks(50) {
        again.client_says(part);
    }
    again.server_says(&server_hello(0x0303, Some(0x0304), 0x1301));
    again.server_says(&application_data(3000));
    again.closes();
    let (said, gone) = run(REFUSE, one(again));
    assert_eq!(said.printed, "www.example.com\n");
    for packet in &gone {
        assert!(!packet.refused());
        let bytes = &packet.bytes;
        assert!(sent.windows(bytes.len()).any(|part| part == bytes));
    }
}

#[test]
fn a_judged_connection_skips_the_queue_if_so_decided() {
    let conversation = || {
        let mut c = client(FROM, TO);
        c.handshake();
        c.client_says(&Hello::default().record());
        c.server_says(&server_hello(0x0303, Some(0x0304), 0x1301));
        c.server_says(&application_data(3000));
        c.client_says(&application_data(300));
        c.server_says(&application_data(500));
        c.closes();
        one(c)
    };
    let bypassed = |on| {
        let settings = Settings {
            bypass_tls: on,
            ..Settings::new(Profile::Wero)
        };
        let (said, gone) = run_with(REFUSE, conversation(), settings);
        assert_eq!(said.printed, "www.example.com\n");
        assert!(gone.iter().all(|packet| packet.verdict == Verdict::Accept));
        gone.iter().map(|packet| packet.bypass).collect::<Vec<_>>()
    };
    assert!(!bypassed(false).contains(&true));
    let packets = bypassed(true);
    let first = packets.iter().position(|&bypass| bypass);
    // Not the hellos, and everything from there on.
    assert!(first.is_some_and(|first| first > 4), "{packets:?}");
    assert!(
        packets
            .iter()
            .skip_while(|&&bypass| !bypass)
            .all(|&bypass| bypass)
    );
}

/// Mail that turns to TLS after a few lines in the clear.
fn turns_to_tls(name: &'static str, cut: usize) -> Scenario {
    let mut c = client(FROM, "10.2.0.80:25");
    c.handshake();
    c.server_says(b"220 mail.example ESMTP\r\n");
    c.client_says(b"EHLO alice.example\r\n");
    c.server_says(b"250-mail.example\r\n250 STARTTLS\r\n");
    c.client_says(b"STARTTLS\r\n");
    c.server_says(b"220 go ahead\r\n");
    for part in Hello::named(name).record().chunks(cut) {
        c.client_says(part);
    }
    c.server_says(&server_hello(0x0303, Some(0x0304), 0x1301));
    c.closes();
    one(c)
}

#[test]
fn mail_that_turns_to_tls_is_judged_by_both_dissectors() {
    let rules = format!(
        "require('protocol/smtp')
         haka.rule {{ on = haka.dissectors.smtp.events.command,
           eval = function (_, command) print(command.command) end }}
         {REFUSE}"
    );
    for cut in [1, 60, 1400] {
        let (said, gone) = run(&rules, turns_to_tls("mail.example.com", cut));
        assert_eq!(said.printed, "EHLO\nSTARTTLS\nmail.example.com\n");
        assert!(gone.iter().all(|packet| !packet.refused()), "cut {cut}");
        let (said, gone) = run(&rules, turns_to_tls(NAME, cut));
        assert_eq!(said.printed, format!("EHLO\nSTARTTLS\n{NAME}\n"));
        assert!(!leaves(&gone, b"secret"), "cut {cut}");
        assert!(leaves(&gone, b"STARTTLS"), "cut {cut}");
    }
}

/// What rules keep of a request does not touch the connection that its tunnel
/// has become.
#[test]
fn a_request_kept_from_before_a_tunnel_leaves_the_tunnel_alone() {
    let rules = "
        require('protocol/http')
        require('protocol/tls')
        local asked
        haka.rule { on = haka.dissectors.http.events.request,
          eval = function (_, request) asked = request end }
        haka.rule { on = haka.dissectors.tls.events.client_hello, eval = function (tls)
          tls.mark = 'marked'
          asked.mark = asked.unknown == nil
        end }
        haka.rule { on = haka.dissectors.tls.events.server_hello,
          eval = function (tls) print(tls.mark, asked.mark, asked.other) end }";
    let mut c = client(FROM, "10.2.0.80:80");
    c.handshake();
    c.client_says(b"CONNECT inner:443 HTTP/1.1\r\nHost: inner\r\n\r\n");
    c.server_says(b"HTTP/1.1 200 Connected\r\n\r\n");
    c.client_says(&Hello::default().record());
    c.server_says(&server_hello(0x0303, Some(0x0304), 0x1301));
    c.closes();
    let (said, _) = run(rules, one(c));
    assert_eq!(said.printed, "marked true nil\n");
}

#[test]
fn a_hello_over_datagrams_is_held_until_it_is_judged() {
    for (name, refused) in [(NAME, true), ("www.example.com", false)] {
        let hello = Hello {
            padding: 2500,
            ..Hello::named(name)
        };
        let datagrams = quic_initials(&hello, b"an id", 1000);
        assert!(datagrams.len() > 2);
        let mut scenario = Scenario::new();
        for datagram in &datagrams {
            scenario.udp("10.1.0.7:50000", TO, datagram);
        }
        scenario.udp("10.1.0.7:50000", TO, b"\x40 what follows");
        let (said, gone) = run(REFUSE, scenario);
        assert_eq!(said.printed, format!("{name}\n"));
        for (place, datagram) in datagrams.iter().enumerate() {
            assert_eq!(leaves(&gone, datagram), !refused, "datagram {place}");
        }
        assert_eq!(leaves(&gone, b"what follows"), !refused);
        if !refused {
            let ids: Vec<u64> = gone.iter().map(|packet| packet.id).collect();
            assert!(ids.is_sorted(), "what was held leaves in order: {ids:?}");
        }
    }
}

#[test]
fn a_hello_that_stays_cut_leaves_at_the_end() {
    let hello = Hello {
        padding: 2500,
        ..Hello::named(NAME)
    };
    let datagrams = quic_initials(&hello, b"an id", 1000);
    let mut scenario = Scenario::new();
    scenario.udp("10.1.0.7:50000", TO, &datagrams[0]);
    let (said, gone) = run(REFUSE, scenario);
    assert_eq!(said.printed, "");
    assert_eq!(gone.len(), 1);
    assert!(!gone[0].refused(), "nobody refused it");
}

#[test]
fn rules_read_every_part_of_a_handshake() {
    let rules = "
        require('protocol/tls')
        local events = haka.dissectors.tls.events
        local function list(values) return table.concat(values, ',') end
        haka.rule { on = events.client_hello, eval = function (tls, hello)
            print('client', tls.name, tls.dstport, hello.sni, list(hello.alpn), hello.version,
                list(hello.versions), list(hello.ciphers), list(hello.extensions), list(hello.groups),
                list(hello.signature_algorithms), list(hello.point_formats), list(hello.compression),
                #hello.random, #hello.session_id, hello.record_version, hello.quic_version, hello.ssl2)
            print(hello.ja3 == hello.ja3, #hello.ja3, hello.ja3_string, hello.ja4)
            print(rawequal(hello, tls.client_hello))
            hello.mine = 1
            print(pcall(function () hello.sni = 'x' end))
        end }
        haka.rule { on = events.server_hello, eval = function (tls, hello)
            print('server', hello.version, hello.selected_version, hello.cipher, hello.alpn,
                list(hello.extensions), hello.hello_retry_request, #hello.ja3s, tls.client_hello.mine,
                tls.client_hello.sni)
        end }
        haka.rule { on = events.alert, eval = function (tls, alert, direction)
            print('alert', alert.level, alert.description, alert.name, direction)
        end }
    ";
    let mut c = client(FROM, TO);
    c.handshake();
    c.client_says(&Hello::default().record());
    c.server_says(&server_hello(0x0303, Some(0x0304), 0x1301));
    c.client_says(&alert(46));
    c.closes();
    let (said, _) = run(rules, one(c));
    let lines: Vec<&str> = said.printed.lines().collect();
    assert_eq!(
        lines,
        [
            "client tls 443 www.example.com h2,http/1.1 771 772,771 4865,4866,4867,49195,49199,49196,49200 0,10,11,13,16,43 29,23 1027,2052,1025 0 0 32 0 769 nil false",
            "true 32 771,4865-4866-4867-49195-49199-49196-49200,0-10-11-13-16-43,29-23,0 t13d0706h2_04ca88ad2b9b_0d385148b956",
            "true",
            "false This variable is immutable",
            "server 771 772 4865 nil 43 false 32 1 www.example.com",
            "alert fatal 46 certificate_unknown up",
        ]
    );
}

#[test]
fn certificates_are_shown_from_both_sides() {
    let rules = "
        require('protocol/tls')
        haka.rule { on = haka.dissectors.tls.events.certificate, eval = function (tls, one, direction)
            print(one.subject, one.issuer, one.not_before.secs, one.not_after.secs,
                table.concat(one.sans, ' '), #one.sha256, one.serial, one.chain_length, direction)
        end }
    ";
    let saved = include_bytes!("../fuzz/corpus/tls/tls12");
    let mut c = client(FROM, TO);
    c.handshake();
    let mut rest = &saved[..];
    while let [side, high, low, behind @ ..] = rest {
        let (said, later) = behind.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        match side {
            0 => c.client_says(said),
            _ => c.server_says(said),
        }
        rest = later;
    }
    c.closes();
    let (said, _) = run(rules, one(c));
    assert_eq!(
        said.printed,
        "C=DE, O=Example, CN=www.example.org O=Example, CN=Example Root 1704164645 2019783845 \
         www.example.org *.example.org 192.0.2.1 2001:db8::1 root@example.org https://www.example.org/ \
         64 1234abcd 1 down\n"
    );
}

#[test]
fn a_hello_that_cannot_be_read_is_for_the_policy() {
    let damaged = || {
        let mut hello = Hello::named(NAME).record();
        // The length of the cipher suites points beyond the message.
        hello[44] = 0xff;
        let mut c = client(FROM, TO);
        c.handshake();
        c.client_says(&hello);
        c.server_says(&alert(50));
        c.closes();
        one(c)
    };
    let (said, gone) = run(REFUSE, damaged());
    assert_eq!(said.alerts.len(), 1);
    assert!(!leaves(&gone, b"secret"));

    let lenient = format!(
        "{REFUSE}
        haka.policy {{ on = haka.dissectors.tls.policies.anomaly, name = 'lenient',
            anomaly = 'client_hello_malformed', action = haka.policy.accept }}"
    );
    let (said, gone) = run(&lenient, damaged());
    assert_eq!(said.alerts.len(), 0);
    assert!(leaves(&gone, b"secret"));
}

#[test]
fn a_hello_too_long_to_be_judged_is_refused() {
    let mut c = client(FROM, TO);
    c.handshake();
    let mut body = vec![1, 2, 0, 0];
    body.extend([0; 1000]);
    c.client_says(&record(22, 0x0301, &body));
    c.closes();
    let (said, gone) = run(REFUSE, one(c));
    assert_eq!(said.alerts.len(), 1);
    assert!(!leaves(&gone, &body[..64]));
}

#[test]
fn what_is_no_tls_passes_on_its_port() {
    for profile in [Profile::Wero, Profile::Haka] {
        let mut c = client(FROM, TO);
        c.handshake();
        c.client_says(b"SSH-2.0-x\r\n");
        c.server_says(b"SSH-2.0-y\r\n");
        c.closes();
        let (said, gone) = run_with(REFUSE, one(c), Settings::new(profile));
        assert_eq!(said.printed, "");
        assert!(leaves(&gone, b"SSH-2.0-x"));
        assert!(leaves(&gone, b"SSH-2.0-y"));
    }
}

#[test]
fn another_port_is_a_policy_away() {
    let rules = format!(
        "{REFUSE}
        haka.policy {{ on = haka.dissectors.tcp_connection.policies.next_dissector, port = 4433,
            name = 'tls', action = haka.dissectors.tls.install }}"
    );
    let mut settings = Settings::new(Profile::Wero);
    settings.defaults.probe = false;
    let visit = |port: u16| {
        let mut c = client(FROM, &format!("10.2.0.80:{port}"));
        c.handshake();
        c.client_says(&old_client(0x0303).record());
        c.closes();
        one(c)
    };
    let (said, _) = run_with(&rules, visit(4433), settings.clone());
    assert_eq!(said.printed, "www.example.com\n");
    let (said, _) = run_with(&rules, visit(4434), settings);
    assert_eq!(said.printed, "");
}
