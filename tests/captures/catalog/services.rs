//! Mail and file transfer: the traffic of the samples about them.
//!
//! Each sample has a capture that its rule has something to say about, and
//! one, in the folder `rule`, that it has not. Addresses are those of
//! [`super::samples`].

use super::super::conversation::{Conversation, client};
use super::super::scenario::Scenario;
use super::Capture;

type Play = fn(&mut Scenario);

const SCENARIOS: [(&str, Play); 4] = [
    ("smtp-spam-filter", spam),
    ("smtp-spam-filter/rule", good_mail),
    ("ftp-policy", bounces),
    ("ftp-policy/rule", transfers),
];

/// A client and a server of each family, without ports.
const HOSTS: [(&str, &str); 2] = [
    ("10.1.0.7", "10.2.0.25"),
    ("[2001:db8:1::7]", "[2001:db8:2::25]"),
];

pub fn all() -> Vec<Capture> {
    SCENARIOS
        .iter()
        .map(|(name, play)| {
            let mut scenario = Scenario::new();
            play(&mut scenario);
            Capture {
                path: format!("sample/{name}/input.pcap"),
                recording: scenario.into_recording(),
            }
        })
        .collect()
}

fn greeted(from: &str, to: &str, port: u16) -> Conversation {
    let mut c = client(&format!("{from}:{port}"), &format!("{to}:25"));
    c.handshake();
    c.server_says(b"220 mail.example.net ESMTP\r\n");
    c.client_says(b"EHLO client.example\r\n");
    c.server_says(b"250-mail.example.net\r\n250-PIPELINING\r\n250 CHUNKING\r\n");
    c
}

fn quit(mut c: Conversation) -> Conversation {
    c.client_says(b"QUIT\r\n");
    c.server_says(b"221 bye\r\n");
    c.closes();
    c
}

/// One mail, cut over segments where the parts are.
fn mail(ends: (&str, &str), port: u16, sender: &str, parts: &[&str]) -> Conversation {
    let mut c = greeted(ends.0, ends.1, port);
    c.client_says(format!("MAIL FROM:<{sender}>\r\nRCPT TO:<bob@example.net>\r\n").as_bytes());
    c.client_says(b"DATA\r\n");
    c.server_says(b"250 ok\r\n250 ok\r\n354 go ahead\r\n");
    for part in parts {
        c.client_says(part.as_bytes());
    }
    c.client_says(b"\r\n.\r\n");
    c.server_says(b"250 queued\r\n");
    quit(c)
}

fn spam(s: &mut Scenario) {
    for (at, ends) in (0..).zip(HOSTS) {
        let port = 40312 + 10 * at;
        s.plays(mail(
            ends,
            port,
            "alice@example.org",
            &[
                "Subject: lunch\r\n\r\nAt noon?\r\nhttps://",
                "menu.example/today",
            ],
        ));
        s.plays(mail(
            ends,
            port + 1,
            "luck@winner.example",
            &[
                "Subject: You have w",
                "on!!!\r\n\r\nClick here for free  mo",
                "ney: http://203.0.113.66/claim",
            ],
        ));
    }
}

fn good_mail(s: &mut Scenario) {
    for (at, ends) in (0..).zip(HOSTS) {
        let port = 40312 + 10 * at;
        s.plays(mail(
            ends,
            port,
            "news@example.com",
            &["Subject: You have won!!!\r\n\r\nso we read in a letter about free money"],
        ));
        s.plays(mail(
            ends,
            port + 1,
            "shop@example.org",
            &["Subject: urgent\r\n\r\nclick here\r\n..dots\r\n"],
        ));
        let mut chunks = greeted(ends.0, ends.1, port + 2);
        chunks.client_says(b"MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.net>\r\n");
        chunks.server_says(b"250 ok\r\n250 ok\r\n");
        chunks.client_says(b"BDAT 18\r\nSubject: notes\r\n\r\n");
        chunks.server_says(b"250 ok\r\n");
        chunks.client_says(b"BDAT 12 LAST\r\nall is well.");
        chunks.server_says(b"250 queued\r\n");
        s.plays(quit(chunks));
    }
}

fn logged_in(from: &str, to: &str, port: u16) -> Conversation {
    let mut c = client(&format!("{from}:{port}"), &format!("{to}:21"));
    c.handshake();
    c.server_says(b"220 files.example FTP server\r\n");
    c.client_says(b"USER anonymous\r\n");
    c.server_says(b"331 password?\r\n");
    c.client_says(b"PASS guest@\r\n");
    c.server_says(b"230 welcome\r\n");
    c
}

/// The client asks the server to connect somewhere that is not itself.
fn bounces(s: &mut Scenario) {
    let asked = [
        "PORT 10,2,0,99,0,80",
        "PORT 10,1,0,7,0,25",
        "EPRT |2|2001:db8:2::99|8080|",
        "EPRT |2|2001:db8:1::7|25|",
    ];
    for (port, line) in (40312..).zip(asked) {
        let (from, to) = HOSTS[usize::from(line.starts_with("EPRT"))];
        let mut c = logged_in(from, to, port);
        c.client_says(format!("{line}\r\n").as_bytes());
        c.server_says(b"200 ok\r\n");
        c.closes();
        s.plays(c);
    }
}

/// A passive and an active transfer in each family.
fn transfers(s: &mut Scenario) {
    for (at, (from, to)) in HOSTS.into_iter().enumerate() {
        let port = 40312 + 10 * at as u16;
        let passive = if at == 0 {
            ("PASV", "227 Entering Passive Mode (10,2,0,25,195,80)")
        } else {
            ("EPSV", "229 Entering Extended Passive Mode (|||50000|)")
        };
        let mut control = logged_in(from, to, port);
        control.client_says(format!("{}\r\n", passive.0).as_bytes());
        control.server_says(format!("{}\r\n", passive.1).as_bytes());
        s.plays(control);
        s.plays(file(
            &format!("{from}:{}", port + 1),
            &format!("{to}:50000"),
        ));

        let active = if at == 0 {
            "PORT 10,1,0,7,156,64"
        } else {
            "EPRT |2|2001:db8:1::7|40000|"
        };
        let mut control = logged_in(from, to, port + 2);
        control.client_says(format!("{active}\r\n").as_bytes());
        control.server_says(b"200 ok\r\n");
        s.plays(control);
        s.plays(file(&format!("{to}:20"), &format!("{from}:40000")));
    }
}

fn file(from: &str, to: &str) -> Conversation {
    let mut c = client(from, to);
    c.handshake();
    c.client_says(b"a file, or the place of one\n");
    c.closes();
    c
}
