//! HTTP wherever it is needed: `rules/http`, `sample/http-gateway`, and the rows of Haka's suite
//! that speak of it (`tests/haka`).

use super::super::conversation::{Conversation, client};
use super::super::scenario::Scenario;
use super::Capture;

type Play = fn(&mut Scenario);

const RULES: [(&str, Play); 6] = [
    ("sql-injection", sql_injection),
    ("scanner", scanner),
    ("method-version", method_version),
    ("headers", headers),
    ("body-rewrite", body_rewrite),
    ("outdated-browser", outdated_browser),
];

const SAMPLES: [(&str, Play); 2] = [
    ("http-gateway", listed_paths),
    ("http-gateway/rule", open_paths),
];

const ROWS: [(&str, Play); 17] = [
    ("exchange", |s| s.plays(exchange(40100))),
    ("keepalive", keepalive),
    ("split", split),
    ("bad-request", |s| {
        broken(s, "what is this\r\n\r\n");
    }),
    ("modified", modified),
    ("binary-uri", |s| {
        broken(s, "GET /\u{1}\u{2} HTTP/1.1\r\nHost: server\r\n\r\n");
    }),
    ("null-bytes", |s| {
        broken(s, "\0\0\0\0\r\n\r\n");
    }),
    ("data-blob", |s| {
        broken(s, "(\u{3}\u{4}\u{7f}\"$\u{1b}junk of a kilobyte\r\n");
    }),
    ("binary-header", |s| {
        plays(
            s,
            &[(
                b"GET / HTTP/1.1\r\nHost: server\r\nX-Odd: \x01\xfe\xff\x80\r\n\r\n",
                OK,
            )],
        );
    }),
    ("long-uri", |s| {
        let request = format!("GET /{} HTTP/1.1\r\nHost: server\r\n\r\n", "u".repeat(8000));
        plays(s, &[(request.as_bytes(), OK)]);
    }),
    ("long-header", |s| {
        let request = format!("GET / HTTP/1.1\r\nX-Long: {}\r\n\r\n", "v".repeat(8000));
        plays(s, &[(request.as_bytes(), OK)]);
    }),
    ("long-header-key", |s| {
        broken(
            s,
            &format!("GET / HTTP/1.1\r\n{}\r\n\r\n", "k".repeat(9000)),
        );
    }),
    ("variation", variation),
    ("modern", modern),
    ("tunnel", tunnel),
    ("edits", edits),
    ("coded", coded),
];

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 5\r\n\r\nhello";

pub fn all() -> Vec<Capture> {
    let rules = RULES
        .iter()
        .map(|(name, play)| (format!("rules/http/{name}/input.pcap"), play));
    let rows = ROWS
        .iter()
        .map(|(name, play)| (format!("tests/haka/captures/http-{name}.pcap"), play));
    let samples = SAMPLES
        .iter()
        .map(|(name, play)| (format!("sample/{name}/input.pcap"), play));
    rules
        .chain(samples)
        .chain(rows)
        .map(|(path, play)| {
            let mut scenario = Scenario::new();
            play(&mut scenario);
            Capture {
                path,
                recording: scenario.into_recording(),
            }
        })
        .collect()
}

fn visitor(port: u16) -> Conversation {
    client(&format!("192.168.20.1:{port}"), "192.168.20.50:80")
}

/// A connection with requests and their answers.
fn talk(mut c: Conversation, exchanges: &[(&[u8], &[u8])]) -> Conversation {
    c.handshake();
    for (request, answer) in exchanges {
        c.client_says(request);
        c.server_says(answer);
    }
    c.closes();
    c
}

fn plays(s: &mut Scenario, exchanges: &[(&[u8], &[u8])]) {
    s.plays(talk(visitor(40100), exchanges));
}

/// What the client says is not HTTP.
fn broken(s: &mut Scenario, request: &str) {
    let mut c = visitor(40100);
    c.handshake();
    c.client_says(request.as_bytes());
    c.server_says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    c.closes();
    s.plays(c);
}

fn request(method: &str, uri: &str, rest: &str) -> String {
    format!(
        "{method} {uri} HTTP/1.1\r\nHost: server.example\r\nUser-Agent: Mozilla/5.0 (X11; rv:140.0) Gecko/20100101 Firefox/140.0\r\n{rest}\r\n"
    )
}

/// One exchange per visit, each from both families.
fn visits(s: &mut Scenario, requests: &[String]) {
    for (number, request) in requests.iter().enumerate() {
        let port = 40000 + number as u16;
        for (from, to) in [
            (format!("10.1.0.7:{port}"), "10.2.0.80:80"),
            (format!("[2001:db8:1::7]:{port}"), "[2001:db8:2::80]:80"),
        ] {
            s.plays(talk(client(&from, to), &[(request.as_bytes(), OK)]));
        }
    }
}

/// A listed path in three spellings, and another.
fn listed_paths(s: &mut Scenario) {
    visits(
        s,
        &[
            request("GET", "/admin", ""),
            request("GET", "/%61dmin/users", ""),
            request("GET", "/shop/../server-status?full", ""),
            request("GET", "/shop", ""),
        ],
    );
}

/// Paths that only look like listed ones.
fn open_paths(s: &mut Scenario) {
    visits(
        s,
        &[
            request("GET", "/administration", ""),
            request("GET", "/help/admin", ""),
            request("GET", "/shop?next=/admin", ""),
        ],
    );
}

/// Two ordinary visits between which somebody tries to change a query.
fn sql_injection(s: &mut Scenario) {
    visits(
        s,
        &[
            request("GET", "/shop?id=7&sort=name", ""),
            request(
                "GET",
                "/shop?id=7'%20UNION%20SELECT%20name,%20password%20FROM%20users--",
                "",
            ),
            request("GET", "/shop?id=1%2527%2f**%2fOr%2f**%2f1%3d1--", ""),
            request("GET", "/shop", "Cookie: session=x' or 1=1;lang=en\r\n"),
            request("GET", "/help?q=select+a+plan", "Cookie: lang=en\r\n"),
        ],
    );
}

fn scanner(s: &mut Scenario) {
    let plain = request("GET", "/", "");
    let with = |agent: &str| {
        plain.replace(
            "Mozilla/5.0 (X11; rv:140.0) Gecko/20100101 Firefox/140.0",
            agent,
        )
    };
    visits(
        s,
        &[
            plain.clone(),
            with("Nikto/2.5.0"),
            with("sqlmap/1.8#stable"),
            with("curl/8.5.0"),
        ],
    );
}

fn method_version(s: &mut Scenario) {
    let old = request("GET", "/old", "").replace("HTTP/1.1", "HTTP/0.8");
    let post = request("POST", "/form", "Content-Length: 3\r\n") + "a=b";
    visits(
        s,
        &[
            request("GET", "/", ""),
            request("TRACE", "/", ""),
            old,
            post,
            request("OPTIONS", "/", ""),
        ],
    );
}

fn headers(s: &mut Scenario) {
    let answer = b"HTTP/1.1 200 OK\r\nServer: Example/1.2.3\r\nX-Powered-By: PHP/8.3\r\nContent-Length: 5\r\n\r\nhello";
    let asking = request("GET", "/", "X-Forwarded-For: 127.0.0.1\r\nAccept: */*\r\n");
    let plain = request("GET", "/", "");
    for (number, (from, to)) in FAMILIES.iter().enumerate() {
        let c = client(&format!("{from}:{}", 40000 + number), &format!("{to}:80"));
        s.plays(talk(
            c,
            &[(asking.as_bytes(), answer), (plain.as_bytes(), OK)],
        ));
    }
}

const FAMILIES: [(&str, &str); 2] = [
    ("10.1.0.7", "10.2.0.80"),
    ("[2001:db8:1::7]", "[2001:db8:2::80]"),
];

/// A page in one piece, a page in chunks, and a picture.
fn body_rewrite(s: &mut Scenario) {
    let page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 58\r\n\r\n<html><head><title>x</title></head><body>hi</body></html>\n";
    let chunked = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n9;n=1\r\n<html><he\r\n20\r\nad></head><body>hi</body></html>\r\n0\r\n\r\n";
    let picture = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 6\r\n\r\n<head>";
    let asking = request("GET", "/", "Accept-Encoding: gzip\r\n");
    for (from, to) in FAMILIES {
        let c = client(&format!("{from}:40000"), &format!("{to}:80"));
        s.plays(talk(
            c,
            &[
                (asking.as_bytes(), page),
                (asking.as_bytes(), chunked),
                (asking.as_bytes(), picture),
            ],
        ));
    }
}

fn outdated_browser(s: &mut Scenario) {
    let now = request("GET", "/", "");
    let old = now.replace("Firefox/140.0", "Firefox/3.6");
    visits(s, &[now.clone(), old, now.replace("Firefox", "Chrome")]);
}

// Rows of the suite ---------------------------------------------------------------

/// 12 packets.
fn exchange(port: u16) -> Conversation {
    talk(
        visitor(port),
        &[(
            b"GET /path/page?a=1&b=%7E#top HTTP/1.1\r\nHost: server\r\nUser-Agent: tester\r\nCookie: a=b;c=d\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 5\r\nSet-Cookie: e=f\r\n\r\nhello",
        )],
    )
}

/// Several exchanges, bodies over several segments.
fn keepalive(s: &mut Scenario) {
    let page = |bytes: usize| {
        let body: Vec<u8> = (b'a'..=b'z').cycle().take(bytes).collect();
        let mut whole =
            format!("HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: {bytes}\r\n\r\n").into_bytes();
        whole.extend(body);
        whole
    };
    let ask = |uri: &str| format!("GET {uri} HTTP/1.1\r\nHost: server\r\n\r\n").into_bytes();
    plays(
        s,
        &[
            (&ask("/1"), &page(4000)),
            (&ask("/2"), &page(26)),
            (
                &ask("/3"),
                b"HTTP/1.1 304 Not Modified\r\nContent-Length: 26\r\n\r\n",
            ),
            (&ask("/4"), &page(2920)),
        ],
    );
}

fn split(s: &mut Scenario) {
    let mut c = visitor(40100);
    c.handshake();
    c.client_says(b"GET / HT");
    c.client_says(b"TP/1.1\r\nHo");
    c.client_says(b"st: server\r\n\r");
    c.client_says(b"\n");
    c.server_says(OK);
    c.closes();
    s.plays(c);
}

fn modified(s: &mut Scenario) {
    let ask = b"GET /old HTTP/1.1\r\nHost: server\r\nUser-Agent: tester\r\nAccept: */*\r\n\r\n";
    plays(s, &[(ask, OK), (ask, OK), (ask, OK)]);
}

/// What people type by hand: a connection each.
fn variation(s: &mut Scenario) {
    let fine = [
        "GET / HTTP/1.1\nHost: server\n\n",
        "BAD_METHOD / HTTP/1.1\r\nHost: server\r\n\r\n",
        "GET% / HTTP/1.1\r\nHost: server\r\n\r\n",
    ];
    let wrong = [
        "GET / HTML/1.1\r\nHost: server\r\n\r\n",
        "GET / HTTP/a.b\r\nHost: server\r\n\r\n",
        "GET /\r\n\r\n",
    ];
    for (port, text) in (40100..).zip(fine) {
        s.plays(talk(visitor(port), &[(text.as_bytes(), OK)]));
    }
    for (port, text) in (40110..).zip(wrong) {
        s.plays(talk(visitor(port), &[(text.as_bytes(), OK)]));
    }
    let mut c = visitor(40120);
    c.handshake();
    c.server_says(OK);
    c.closes();
    s.plays(c);
}

/// What 0.4 could not read: pipelining, interim answers, HEAD, extensions of
/// chunks, a body until the end.
fn modern(s: &mut Scenario) {
    let mut c = visitor(40100);
    c.handshake();
    c.client_says(b"HEAD /head HTTP/1.1\r\nHost:a\r\nEmpty:\r\n\r\nPOST /post HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nTrail: er\r\n\r\n\r\nGET /get HTTP/1.1\r\n\r\n");
    c.server_says(b"HTTP/1.1 200\r\nContent-Length: 10\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 \r\n\r\n");
    c.server_says(b"HTTP/1.1 200 OK\r\n\r\nuntil the");
    c.server().fin_with(b" end");
    c.client().acks();
    c.client().fin();
    c.server().acks();
    s.plays(c);
}

fn tunnel(s: &mut Scenario) {
    let mut c = visitor(40100);
    c.handshake();
    c.client_says(b"CONNECT inner:25 HTTP/1.1\r\nHost: inner\r\n\r\n");
    c.server_says(b"HTTP/1.1 200 Connected\r\n\r\n");
    c.server_says(b"220 whatever\r\n");
    c.client_says(b"not http at all\r\n");
    c.closes();
    s.plays(c);
}

/// Messages to be edited: cut into small segments, pipelined, chunked.
fn edits(s: &mut Scenario) {
    let body = b"first line of some length\nmiddle line of some length\nlast line of some length\n";
    let mut plain = format!(
        "HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    plain.extend_from_slice(body);
    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for part in body.chunks(30) {
        chunked.extend(format!("{:x}\r\n", part.len()).into_bytes());
        chunked.extend_from_slice(part);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let ask = |number: u32| {
        format!("GET /page/{number} HTTP/1.1\r\nHost: server\r\nX-Extra: to be removed\r\n\r\n")
            .into_bytes()
    };
    // Pipelined: both requests, then both answers, in segments of 40 bytes.
    for (port, mss) in [(40100, 40), (40101, 1400)] {
        let mut c = visitor(port);
        c.handshake();
        let requests = [ask(1), ask(2)].concat();
        for part in requests.chunks(mss) {
            c.client_says(part);
        }
        for part in [&plain[..], &chunked[..]].concat().chunks(mss) {
            c.server_says(part);
        }
        c.client_says(&ask(3));
        for part in chunked.chunks(mss) {
            c.server_says(part);
        }
        c.closes();
        s.plays(c);
    }
}

/// `hello, world` five times, as zlib stores it without compressing, in
/// segments of ten bytes.
fn coded(s: &mut Scenario) {
    let text = b"hello, world\n".repeat(5);
    let len = text.len() as u16;
    let mut body = vec![0x78, 0x01, 0x01];
    body.extend_from_slice(&len.to_le_bytes());
    body.extend_from_slice(&(!len).to_le_bytes());
    body.extend_from_slice(&text);
    let (low, high) = text.iter().fold((1u32, 0u32), |(low, high), &byte| {
        let low = (low + u32::from(byte)) % 65521;
        (low, (high + low) % 65521)
    });
    body.extend_from_slice(&(high << 16 | low).to_be_bytes());
    let mut c = visitor(40100);
    c.handshake();
    c.client_says(b"GET / HTTP/1.1\r\nHost: server\r\n\r\n");
    c.server_says(
        format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .as_bytes(),
    );
    for part in body.chunks(10) {
        c.server_says(part);
    }
    c.closes();
    s.plays(c);
}
