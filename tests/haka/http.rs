//! Rows of the HTTP dissector.

use super::harness::{Run, run, run_with};

const DOWN: bool = true;

/// The bytes that one side of a connection sent, as the receiver has them:
/// in the order of their numbers, the first copy of each.
fn stream(run: &Run, port: u16, down: bool) -> String {
    let from = if down { 80 } else { port };
    let to = if down { port } else { 80 };
    let mut segments: Vec<_> = run
        .sent
        .iter()
        .filter(|packet| packet.src_port() == from && packet.dst_port() == to)
        .filter(|packet| !packet.tcp_data().is_empty())
        .map(|packet| (packet.seq(), packet.tcp_data()))
        .collect();
    segments.sort_by_key(|segment| segment.0);
    let mut text = Vec::new();
    let mut next = segments.first().map_or(0, |segment| segment.0);
    for (seq, data) in segments {
        assert!(seq <= next, "a hole before {seq}");
        let fresh = data.get((next - seq) as usize..).unwrap_or_default();
        text.extend_from_slice(fresh);
        next = next.max(seq + data.len() as u32);
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[track_caller]
fn is_refused(capture: &str, alert: &str) {
    let run = run("http-log", capture);
    // Only the handshake left.
    assert_eq!(run.sent.len(), 3, "{capture}");
    let description = format!("\tdescription = {alert}");
    assert_eq!(run.count(&description), 1, "{capture}: {:#?}", run.lines);
    assert_eq!(run.count("\tseverity = low"), 1);
    assert_eq!(run.count_with("debug grammar: parse error at byte"), 1);
    assert_eq!(run.count_with("debug grammar: parse error context: "), 1);
    assert_eq!(run.count_with("debug conn: dropping connection"), 1);
}

#[test]
fn http_request_response() {
    let run = run("http-log", "http-exchange");
    run.untouched();
    assert_eq!(
        run.logged(),
        [
            "request GET /path/page?a=1&b=%7E#top 1.1 request",
            "Host=server",
            "User-Agent=tester",
            "Cookie=a=b;c=d",
            "response 200 [OK] 1.1 to /path/page?a=1&b=%7E#top",
            "down 5 ..llo",
        ]
    );
}

#[test]
fn http_keepalive_and_response_data() {
    let run = run("http-log", "http-keepalive");
    run.untouched();
    let logged = run.logged();
    let down: Vec<_> = logged
        .iter()
        .filter(|line| line.starts_with("down"))
        .collect();
    assert_eq!(
        down,
        [&"down 4000 ..tuv", &"down 26 ..xyz", &"down 2920 ..fgh"]
    );
    assert_eq!(run.count_with("external: request GET"), 4);
    assert_eq!(run.count_with("external: response "), 4);
}

#[test]
fn http_split_request_and_passthrough() {
    for options in [&[][..], &["--pass-through"]] {
        let run = run_with("http-log", "http-split", options);
        assert_eq!(run.captured.len(), run.sent.len());
        assert_eq!(run.count_with("external: request GET / 1.1"), 1);
        assert_eq!(
            stream(&run, 40100, false),
            "GET / HTTP/1.1\r\nHost: server\r\n\r\n"
        );
    }
}

#[test]
fn http_bad_requests() {
    for (capture, alert) in [
        ("http-bad-request", "invalid http version"),
        ("http-data-blob", "invalid http request_line"),
        ("http-null-bytes", "invalid http request_line"),
        ("http-binary-uri", "invalid http request_line"),
    ] {
        is_refused(capture, alert);
    }
}

#[test]
fn http_binary_and_long_parts() {
    run("http-log", "http-binary-header").untouched();
    for (capture, long) in [
        ("http-binary-header", "X-Odd: "),
        ("http-long-uri", &*"u".repeat(8000)),
        ("http-long-header", &*"v".repeat(8000)),
    ] {
        let run = run("http-log", capture);
        assert_eq!(run.count_with("external: request GET"), 1, "{capture}");
        assert_eq!(run.count_with("alert: id"), 0, "{capture}");
        // Held until the head was there, then the same bytes.
        assert_eq!(run.sent.len(), run.captured.len());
        assert!(stream(&run, 40100, false).contains(long), "{capture}");
    }
}

#[test]
fn http_long_header_key() {
    let run = run("http-log", "http-long-header-key");
    assert_eq!(
        run.count("\tdescription = invalid http header"),
        1,
        "{:#?}",
        run.lines
    );
    assert_eq!(stream(&run, 40100, false), "");
}

#[test]
fn http_request_and_response_modif() {
    let run = run("http-modify", "http-modified");
    run.tshark_finds_no_fault();
    assert_eq!(
        stream(&run, 40100, false),
        "POST /a/longer/uri HTTP/2.0\r\nHost: x\r\nAccept: */*\r\nX-New: new\r\n\r\n".repeat(3)
    );
    assert_eq!(
        stream(&run, 40100, DOWN),
        "HTTP/3.0 404 Nothing here\r\nContent-Length: 5\r\nX-New: new\r\n\r\nhello".repeat(3)
    );
    // Refused as a whole; what was there before stays.
    assert_eq!(run.count_with("false token value"), 9 + 3);
    assert_eq!(run.count("POST 3 Host nil"), 3);
}

#[test]
fn http_request_reset() {
    let run = run("http-reset", "http-exchange");
    let resets = run.sent.iter().filter(|packet| packet.tcp_flags() & 4 != 0);
    assert_eq!(resets.count(), 2);
    assert_eq!(stream(&run, 40100, false), "");
}

#[test]
fn http_getiptcpfields_and_uri_split() {
    let run = run("http-fields", "http-exchange");
    run.untouched();
    for line in [
        "192.168.20.1 40100 192.168.20.50 80 http",
        "tcp_connection nil nil",
        "true /path/page %7E top /path/page?a=1&b=~#top",
        "d http://example.com/b",
        "/path/page?a=1&b=%7E#top 200 f",
    ] {
        assert_eq!(run.count(line), 1, "{line}: {:#?}", run.lines);
    }
    assert_eq!(run.count_with("HttpRequestResult"), 1);
    assert_eq!(run.count_with("HttpUriSplit"), 1);
}

#[test]
fn http_response_data_modif() {
    let run = run("http-insert", "http-exchange");
    run.tshark_finds_no_fault();
    assert_eq!(
        stream(&run, 40100, DOWN),
        "HTTP/1.1 200 OK\r\nServer: s\r\nSet-Cookie: e=f\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n<<INS>>hello\r\n0\r\n\r\n"
    );
    // Several segments, and a 304 without a body.
    let run = self::run("http-insert", "http-keepalive");
    run.tshark_finds_no_fault();
    let down = stream(&run, 40100, DOWN);
    assert_eq!(down.matches("<<INS>>").count(), 3);
    assert_eq!(down.matches("\r\n0\r\n\r\n").count(), 3);
    assert!(down.contains("HTTP/1.1 304 Not Modified\r\nContent-Length: 26\r\n\r\nHTTP/1.1 200"));
}

#[test]
fn http_variation_http() {
    let run = run("http-log", "http-variation");
    for (line, times) in [
        ("request GET / 1.1", 1),
        ("request BAD_METHOD / 1.1", 1),
        ("request GET% / 1.1", 1),
    ] {
        assert_eq!(run.count_with(line), times, "{line}");
    }
    assert_eq!(run.count("\tdescription = invalid http version"), 2);
    assert_eq!(run.count("\tdescription = invalid http request_line"), 1);
    assert_eq!(
        run.count("\tdescription = http: unexpected data from server"),
        1
    );
    assert_eq!(run.count_with("debug conn: dropping connection"), 4);
    for port in [40110, 40111, 40112, 40120] {
        assert_eq!(stream(&run, port, false) + &stream(&run, port, DOWN), "");
    }
}

#[test]
fn what_the_reference_could_not_read() {
    let run = run("http-log", "http-modern");
    run.untouched();
    assert_eq!(run.count_with("alert: id"), 0, "{:#?}", run.lines);
    assert_eq!(
        run.logged(),
        [
            "request HEAD /head 1.1 request",
            "Host=a",
            "Empty=",
            "request POST /post 1.1 request",
            "Transfer-Encoding=gzip, chunked",
            "up abc",
            "request GET /get 1.1 request",
            "response 200 [] 1.1 to /head",
            "response 100 [Continue] 1.1 to /post",
            "response 204 [] 1.1 to /post",
            "response 200 [OK] 1.1 to /get",
            "down 13 ..end",
        ]
    );
}

#[test]
fn a_tunnel_passes() {
    let run = run("http-log", "http-tunnel");
    run.untouched();
    assert_eq!(run.count_with("external: request"), 1);
    assert_eq!(run.count_with("alert: id"), 0);
}

/// Bodies and heads edited in segments of 40 bytes and in whole ones, with a
/// length and in chunks, pipelined and not.
#[test]
fn edited_messages_are_what_tshark_reads() {
    let run = run("http-edits", "http-edits");
    run.tshark_finds_no_fault();
    let body = |word: &str| {
        ["first", "middle", "last"]
            .map(|place| format!("{place} line of {word} length\n"))
            .concat()
    };
    let expected = [body(""), body("quite some considerable"), body("SOME")];
    for port in [40100, 40101] {
        let up = stream(&run, port, false);
        for number in 1..=3 {
            let head = format!(
                "GET /page/{number} HTTP/1.1\r\nHost: server\r\nX-Added: by a rule\r\n\r\n"
            );
            assert!(up.contains(&head), "{up}");
        }
        assert!(!up.contains("X-Extra"));
        let down = stream(&run, port, DOWN);
        assert_eq!(bodies(&down), expected, "{down}");
    }
}

/// The bodies of chunked responses that follow each other.
fn bodies(mut text: &str) -> Vec<String> {
    let mut all = Vec::new();
    while let Some((head, mut rest)) = text.split_once("\r\n\r\n") {
        assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
        assert!(!head.contains("Content-Length"), "{head}");
        let mut body = String::new();
        loop {
            let (size, after) = rest.split_once("\r\n").expect("a chunk has its size");
            let size = usize::from_str_radix(size, 16).expect("a size is a number");
            let (data, end) = after.split_at(size);
            body.push_str(data);
            rest = end.strip_prefix("\r\n").expect("a chunk has its end");
            if size == 0 {
                break;
            }
        }
        all.push(body);
        text = rest;
    }
    assert_eq!(text, "", "behind the last message");
    all
}

#[test]
fn bodies_are_decoded_on_request_and_leave_as_they_came() {
    let run = run("http-decode", "http-coded");
    run.untouched();
    assert_eq!(run.count("hello, world"), 5, "{:#?}", run.lines);
    assert_eq!(run.count("true"), 1);
    assert_eq!(
        run.count_with("false a body is either decoded or modified, not both"),
        1
    );
}

#[test]
fn regexp_uri_regex() {
    let run = run("uri-regex", "http-edits");
    assert_eq!(run.sent.len(), run.captured.len());
    assert_eq!(run.count_with("alert: id"), 2, "{:#?}", run.lines);
    assert_eq!(run.count("\tseverity = medium"), 2);
    assert_eq!(run.count("\tdescription = odd GET of /page/2"), 2);
    assert_eq!(run.count_with("\t\taddress: "), 2);
}
