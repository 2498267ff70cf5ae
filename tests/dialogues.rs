//! SMTP, FTP and SSH under rules: what they see, and what both ends read of
//! what they changed, however the bytes were cut into segments.

#[path = "captures/mod.rs"]
#[allow(dead_code)]
mod captures;
#[path = "support/rig.rs"]
mod rig;
#[allow(dead_code)]
mod stream_edits {
    pub mod wire;
}

use captures::conversation::client;
use rig::Rig;
use stream_edits::wire::{Stream, segment};
use wero::event::{Profile, Settings};
use wero::lua::Limits;
use wero::packet::LinkType;
use wero::time::Timestamp;

/// Who says what, in order: `c` or `s`.
type Script<'a> = &'a [(char, &'a str)];

struct Outcome {
    printed: Vec<String>,
    alerts: usize,
    /// What the server read, and what the client did.
    read: [String; 2],
    refused: usize,
}

/// Plays a conversation in segments of at most so many bytes.
fn play_in(rules: &str, script: Script<'_>, most: usize) -> Outcome {
    let mut conversation = client("10.1.0.7:40312", "10.2.0.80:7000");
    conversation.handshake();
    for (who, text) in script {
        for part in text.as_bytes().chunks(most) {
            match who {
                'c' => conversation.client_says(part),
                _ => conversation.server_says(part),
            }
        }
    }
    conversation.closes();
    let recording = conversation.into_recording();
    let settings = Settings::new(Profile::Wero);
    let mut rig = Rig::load(rules, &[], settings, Limits::default())
        .unwrap_or_else(|(error, _)| panic!("{error}"));
    let mut gone = rig.started();
    for (id, frame) in (1..).zip(recording.frames()) {
        let at = Timestamp(1_000_000_000 + id as i64 * 1_000_000);
        gone.extend(rig.packet(id, at, LinkType::ETHERNET, frame));
    }
    gone.extend(rig.shutdown());
    let said = rig.into_said();
    assert_eq!(said.errors(), Vec::<&str>::new());
    let mut streams = [Stream::default(), Stream::default()];
    for packet in gone.iter().filter(|packet| !packet.refused()) {
        let segment = segment(&packet.bytes);
        streams[usize::from(!segment.from_client)].take(&segment);
    }
    assert!(streams.iter().all(|stream| stream.conflicts == 0));
    Outcome {
        printed: said.printed.lines().map(str::to_owned).collect(),
        alerts: said.alerts.len(),
        read: streams.map(|stream| String::from_utf8(stream.text()).expect("text")),
        refused: gone.iter().filter(|packet| packet.refused()).count(),
    }
}

/// Plays a conversation in segments as said, of seven bytes, and of one; all
/// must come to the same.
fn play(rules: &str, script: Script<'_>) -> Outcome {
    let whole = play_in(rules, script, 1400);
    for most in [7, 1] {
        let cut = play_in(rules, script, most);
        assert_eq!(cut.read, whole.read, "in segments of {most}");
        assert_eq!(cut.printed, whole.printed, "in segments of {most}");
    }
    whole
}

fn said(script: Script<'_>, who: char) -> String {
    let own = script.iter().filter(|(by, _)| *by == who);
    own.map(|(_, text)| *text).collect()
}

const MAIL: Script<'_> = &[
    ('s', "220 mail.example ESMTP\r\n"),
    ('c', "EHLO alice.example\r\n"),
    (
        's',
        "250-mail.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
    ),
    (
        'c',
        "MAIL FROM:<alice@example>\r\nRCPT TO:<bob@example>\r\nDATA\r\n",
    ),
    ('s', "250 ok\r\n250 ok\r\n354 go ahead\r\n"),
    ('c', "Subject: lunch\r\n\r\nQUIT smoking.\r\n..\r\n.\r\n"),
    ('s', "250 queued\r\n"),
    ('c', "QUIT\r\n"),
    ('s', "221 bye\r\n"),
];

const SMTP: &str = "
    require('protocol/smtp')
    local smtp = haka.dissectors.smtp
    haka.policy { on = haka.dissectors.tcp_connection.policies.next_dissector, name = 'mail',
      port = 7000, action = smtp.install }";

#[test]
fn rules_see_commands_replies_and_mail() {
    let rules = format!(
        "{SMTP}
         haka.rule {{ on = smtp.events.command, eval = function (flow, command)
           print('>', flow.dstport, command.command, command.parameter) end }}
         haka.rule {{ on = smtp.events.response, eval = function (flow, response)
           local texts = {{}}
           for i, line in ipairs(response.lines) do texts[i] = line.text end
           print('<', response.code, table.concat(texts, '|')) end }}
         haka.rule {{ on = smtp.events.mail_content, options = {{ streamed = true }},
           eval = function (flow, iter)
             local parts = {{}}
             for sub in iter:foreach_available() do parts[#parts + 1] = sub:asstring() end
             print((table.concat(parts):gsub('\\r\\n', '/'))) end }}"
    );
    let outcome = play(&rules, MAIL);
    assert_eq!(
        outcome.printed,
        [
            "< 220 mail.example ESMTP",
            "> 7000 EHLO alice.example",
            "< 250 mail.example|PIPELINING|CHUNKING",
            "> 7000 MAIL FROM:<alice@example>",
            "> 7000 RCPT TO:<bob@example>",
            "> 7000 DATA nil",
            "< 250 ok",
            "< 250 ok",
            "< 354 go ahead",
            "Subject: lunch//QUIT smoking./..",
            "< 250 queued",
            "> 7000 QUIT nil",
            "< 221 bye",
        ]
    );
    assert_eq!(outcome.read, [said(MAIL, 'c'), said(MAIL, 's')]);
}

#[test]
fn lines_and_mail_are_rewritten() {
    let rules = format!(
        "{SMTP}
         haka.rule {{ on = smtp.events.command, eval = function (flow, command)
           if command.command == 'MAIL' then command.parameter = 'FROM:<somebody.else@example.org>' end
           if command.name == 'EHLO' then command.argument = 'x' end end }}
         haka.rule {{ on = smtp.events.response, eval = function (flow, response)
           if response.lines[2] then response.lines[2].text = 'SIZE 1000'
           elseif response.code == 221 then response.code = 250 end end }}
         haka.rule {{ on = smtp.events.mail_content, options = {{ streamed = true }},
           eval = function (flow, iter)
             iter:insert(haka.vbuffer_from('X-Seen: yes\\r\\n')) end }}"
    );
    let outcome = play(&rules, MAIL);
    let to_server = said(MAIL, 'c')
        .replace("alice@example>", "somebody.else@example.org>")
        .replace("EHLO alice.example", "EHLO x")
        .replace("Subject:", "X-Seen: yes\r\nSubject:");
    let to_client = said(MAIL, 's')
        .replace("PIPELINING", "SIZE 1000")
        .replace("221", "250");
    assert_eq!(outcome.read, [to_server, to_client]);
}

#[test]
fn lines_cannot_become_more() {
    let rules = format!(
        "{SMTP}
         haka.rule {{ on = smtp.events.command, eval = function (flow, command)
           print(pcall(function () command.parameter = 'a\\r\\nQUIT' end)) end }}"
    );
    let outcome = play(&rules, MAIL);
    assert!(outcome.printed[0].contains("cannot hold a line break"));
    assert_eq!(outcome.read, [said(MAIL, 'c'), said(MAIL, 's')]);
}

#[test]
fn a_chunk_has_the_size_of_what_became_of_it() {
    let script: Script<'_> = &[
        ('s', "220 mail.example ESMTP\r\n"),
        ('c', "EHLO a\r\n"),
        ('s', "250 CHUNKING\r\n"),
        (
            'c',
            "MAIL FROM:<a>\r\nRCPT TO:<b>\r\nBDAT 14\r\nSubject: x\r\n\r\nBDAT 5 LAST\r\nhelloQUIT\r\n",
        ),
        ('s', "250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n221 bye\r\n"),
    ];
    let rules = format!(
        "{SMTP}
         haka.rule {{ on = smtp.events.command, eval = function (flow, command)
           print(command.line) end }}
         haka.rule {{ on = smtp.events.mail_content, options = {{ streamed = true }},
           eval = function (flow, iter)
             iter:insert(haka.vbuffer_from('X-Seen: yes\\r\\n')) end }}"
    );
    let outcome = play(&rules, script);
    let to_server = said(script, 'c')
        .replace("BDAT 14\r\n", "BDAT 27\r\nX-Seen: yes\r\n")
        .replace("BDAT 5 LAST\r\n", "BDAT 18 LAST\r\nX-Seen: yes\r\n");
    assert_eq!(outcome.read, [to_server, said(script, 's')]);
    assert_eq!(outcome.printed.last().map(String::as_str), Some("QUIT"));
}

#[test]
fn a_dropped_mail_never_ends() {
    let rules = format!(
        "{SMTP}
         haka.rule {{ on = smtp.events.mail_content, options = {{ streamed = true }},
           eval = function (flow, iter)
             if iter:wait() then flow:drop() end end }}"
    );
    let outcome = play_in(&rules, MAIL, 1400);
    assert!(outcome.refused > 0);
    assert!(!outcome.read[0].contains("lunch"), "{:?}", outcome.read);
    assert!(outcome.read[0].ends_with("DATA\r\n"));
}

#[test]
fn what_depends_on_a_reply_waits_for_it() {
    let script: Script<'_> = &[
        ('s', "220 mail.example ESMTP\r\n"),
        ('c', "EHLO a\r\n"),
        ('s', "250 ok\r\n"),
        ('c', "DATA\r\nRSET\r\n"),
        ('s', "503 no mail\r\n250 ok\r\n"),
    ];
    let rules = format!(
        "{SMTP}
         haka.rule {{ on = smtp.events.command, eval = function (flow, command)
           print(command.command) end }}
         haka.rule {{ on = smtp.events.mail_content, options = {{ streamed = true }},
           eval = function () print('mail') end }}"
    );
    let outcome = play(&rules, script);
    assert_eq!(outcome.printed, ["EHLO", "DATA", "RSET"]);
    assert_eq!(outcome.read, [said(script, 'c'), said(script, 's')]);
}

#[test]
fn nothing_is_read_once_tls_has_begun() {
    let script: Script<'_> = &[
        ('s', "220 mail.example ESMTP\r\n"),
        ('c', "EHLO a\r\n"),
        ('s', "250 STARTTLS\r\n"),
        ('c', "STARTTLS\r\n"),
        ('s', "220 go ahead\r\n"),
        ('c', "\u{16}\u{3}\u{1}QUIT\r\n"),
        ('s', "\u{16}\u{3}\u{3}250\r\n"),
    ];
    let rules = format!(
        "{SMTP}
         haka.rule {{ on = smtp.events.command, eval = function (flow, command)
           print(command.command) end }}
         haka.rule {{ on = smtp.events.response, eval = function (flow, response)
           print(response.code) end }}"
    );
    let outcome = play(&rules, script);
    assert_eq!(outcome.printed, ["220", "EHLO", "250", "STARTTLS", "220"]);
    assert_eq!(outcome.read, [said(script, 'c'), said(script, 's')]);
}

#[test]
fn anomalies_are_told() {
    let script: Script<'_> = &[
        ('s', "220 mail.example ESMTP\r\n"),
        ('c', "EHLO a\r\n"),
        ('s', "250 ok\r\n"),
        ('c', "DATA\r\n"),
        ('s', "354 go\r\n"),
        ('c', "a\n.\r\nMAIL FROM:<smuggled>\r\n.\r\n"),
        ('s', "250 ok\r\n"),
    ];
    let rules = format!(
        "{SMTP}
         haka.rule {{ on = smtp.events.anomaly, eval = function (flow, anomaly)
           print(anomaly.event, anomaly.detail) end }}"
    );
    let outcome = play(&rules, script);
    assert_eq!(outcome.printed.len(), 1);
    assert!(outcome.printed[0].starts_with("ambiguous-end-of-mail"));
}

#[test]
fn first_bytes_tell_the_protocol_on_any_port() {
    let rules = "
        for _, name in ipairs { 'smtp', 'ftp', 'ssh' } do
          require('protocol/' .. name)
          local events = haka.dissectors[name].events
          for _, event in ipairs { 'command', 'response', 'banner' } do
            if rawget(events, event) then
              haka.rule { on = events[event], eval = function (flow, message)
                print(flow.name, message.line or message.code) end }
            end
          end
        end";
    for (script, expected) in [
        (MAIL, "smtp 220"),
        (&[('s', "220 FTP server\r\n"), ('c', "QUIT\r\n")], "ftp 220"),
        (
            &[('s', "SSH-2.0-x\r\n"), ('c', "SSH-2.0-y\r\n")],
            "ssh SSH-2.0-x",
        ),
    ] {
        let outcome = play(rules, script);
        assert_eq!(outcome.printed.first().map(String::as_str), Some(expected));
    }
    let other = play(rules, &[('s', "220 what?\r\n"), ('c', "hm\r\n")]);
    assert!(other.printed.is_empty());
}

const TRANSFER: Script<'_> = &[
    ('s', "220 FTP server\r\n"),
    ('c', "USER anonymous\r\n"),
    ('s', "331 password?\r\n"),
    ('c', "PORT 10,1,0,7,156,64\r\n"),
    ('s', "200 ok\r\n"),
    ('c', "EPSV\r\n"),
    ('s', "229 Entering Extended Passive Mode (|||50000|)\r\n"),
];

const FTP: &str = "
    require('protocol/ftp')
    local ftp = haka.dissectors.ftp";

#[test]
fn data_connections_are_told_of() {
    let rules = format!(
        "{FTP}
         haka.rule {{ on = ftp.events.data_flow, eval = function (flow, data)
           print(data.mode, data.ip, data.port) end }}"
    );
    let outcome = play(&rules, TRANSFER);
    assert_eq!(
        outcome.printed,
        ["active 10.1.0.7 40000", "passive 10.2.0.80 50000"]
    );
}

#[test]
fn a_refused_port_command_opens_nothing() {
    let rules = format!(
        "{FTP}
         haka.rule {{ on = ftp.events.command, eval = function (flow, command)
           if command.command == 'PORT' then command.line = 'NOOP' end end }}
         haka.rule {{ on = ftp.events.data_flow, eval = function (flow, data)
           print(data.mode) end }}"
    );
    let outcome = play(&rules, TRANSFER);
    assert_eq!(outcome.printed, ["passive"]);
    assert!(outcome.read[0].contains("NOOP\r\n") && !outcome.read[0].contains("PORT"));
}

#[test]
fn a_data_connection_knows_who_announced_it() {
    let mut control = client("10.1.0.7:40312", "10.2.0.80:21");
    control.handshake();
    control.server_says(b"220 FTP server\r\n");
    control.client_says(b"PASV\r\n");
    control.server_says(b"227 Entering Passive Mode (10,2,0,80,195,80)\r\n");
    let mut data = client("10.1.0.7:40400", "10.2.0.80:50000");
    data.handshake();
    data.server_says(b"a file");
    data.closes();
    let mut other = client("10.1.0.7:40401", "10.2.0.80:50000");
    other.handshake();
    let rules = format!(
        "{FTP}
         haka.rule {{ on = haka.dissectors.tcp_connection.events.new_connection,
           eval = function (flow)
             print(flow.dstport, flow.label, flow.expected_by and flow.expected_by.dstport) end }}"
    );
    let settings = Settings::new(Profile::Wero);
    let mut rig = Rig::load(&rules, &[], settings, Limits::default())
        .unwrap_or_else(|(error, _)| panic!("{error}"));
    let frames: Vec<Vec<u8>> = [control, data, other]
        .into_iter()
        .flat_map(|one| {
            let recording = one.into_recording();
            recording.frames().map(<[u8]>::to_vec).collect::<Vec<_>>()
        })
        .collect();
    for (id, frame) in (1..).zip(&frames) {
        let at = Timestamp(1_000_000_000 + id as i64 * 1_000_000);
        rig.packet(id, at, LinkType::ETHERNET, frame);
    }
    let said = rig.into_said();
    assert_eq!(said.errors(), Vec::<&str>::new());
    assert_eq!(
        said.printed.lines().collect::<Vec<_>>(),
        ["21 nil nil", "50000 ftp-data 21", "50000 nil nil"]
    );
}

#[test]
fn versions_are_seen_and_changed() {
    let script: Script<'_> = &[
        ('s', "Authorised use only\r\nSSH-2.0-OpenSSH_9.2 Debian\r\n"),
        ('c', "SSH-2.0-PuTTY\r\n\u{0}\u{1}key exchange\n"),
        ('s', "\u{0}\u{2}more\n"),
    ];
    let rules = "
        require('protocol/ssh')
        haka.rule { on = haka.dissectors.ssh.events.banner, eval = function (flow, banner)
          print(banner.direction, banner.version, banner.software, banner.comments)
          if banner.direction == 'down' then banner.software = 'SSH' end end }
        haka.policy { on = haka.dissectors.tcp_connection.policies.next_dissector, name = 'ssh',
          port = 7000, action = haka.dissectors.ssh.install }";
    let outcome = play(rules, script);
    assert_eq!(
        outcome.printed,
        ["down 2.0 OpenSSH_9.2 Debian", "up 2.0 PuTTY nil"]
    );
    let to_client = said(script, 's').replace("OpenSSH_9.2", "SSH");
    assert_eq!(outcome.read, [said(script, 'c'), to_client]);
    assert_eq!(outcome.alerts, 0);
}
