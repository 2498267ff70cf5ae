//! Whole conversations through both sides, and the property that cutting
//! changes nothing.

use std::io::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::head::Limits;
use super::parser::{Body, Message, Parser};
use crate::flow::Direction::{self, ToClient, ToServer};
use crate::proto::parser::SessionParser;

pub const LIMITS: Limits = Limits {
    line: 1024,
    head: 8192,
    headers: 32,
    requests: 4,
    hold_folds: false,
    any_line: false,
};

type Turn<'a> = (Direction, &'a [u8]);

/// One line per message.
fn told(messages: &[Message]) -> Vec<String> {
    let ends = |body: &Option<Body>, complete| {
        let len = body.as_ref().map_or(0, |body| body.len);
        format!("{len}{}", if complete { "" } else { " cut" })
    };
    messages
        .iter()
        .map(|message| match message {
            Message::Request(request) => format!(
                "{} {} {}",
                request.method,
                request.uri,
                ends(&request.body, request.complete)
            ),
            Message::Response(response) => format!(
                "{} {} {}",
                response.status,
                response.reason,
                ends(&response.body, response.complete)
            ),
            Message::Anomaly(oddity) => format!("! {}", oddity.event),
        })
        .collect()
}

fn read(turns: &[Turn<'_>]) -> Vec<Message> {
    let mut parser = Parser::default();
    let mut found = Vec::new();
    for (direction, bytes) in turns {
        found.extend(parser.feed(*direction, bytes));
    }
    found.extend(parser.fin_initiator());
    found.extend(parser.fin_responder());
    found
}

#[track_caller]
fn assert_told(turns: &[Turn<'_>], expected: &[&str]) {
    assert_eq!(told(&read(turns)), expected);
}

#[test]
fn answers_belong_to_their_requests() {
    assert_told(
        &[
            (ToServer, b"HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n"),
            (ToClient, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
            (ToClient, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
            (ToServer, b"GET /c HTTP/1.0\n\n"),
            (ToClient, b"HTTP/1.0 200 \n\nuntil the end"),
        ],
        &[
            "HEAD /a 0",
            "GET /b 0",
            "200 OK 0",
            "100 Continue 0",
            "304 Not Modified 0",
            "GET /c 0",
            "200  13",
        ],
    );
}

#[test]
fn chunks_are_put_together() {
    assert_told(
        &[
            (ToServer, b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5;x=\"y\"\r\nabcde\r\nA \r\n0123456789\r\n0\r\nT: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
            (ToClient, b"HTTP/1.1 204 No\r\n\r\n"),
        ],
        &["POST / 15", "GET / 0", "204 No 0"],
    );
}

#[test]
fn what_follows_a_tunnel_is_nobodys() {
    for (request, answer) in [
        ("CONNECT a:443 HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"),
        (
            "GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n",
            "HTTP/1.1 101 OK\r\n\r\n",
        ),
    ] {
        let found = read(&[
            (ToServer, request.as_bytes()),
            (ToClient, answer.as_bytes()),
            (ToServer, b"\x16\x03"),
            (ToClient, b"\x16\x03"),
        ]);
        assert_eq!(found.len(), 2, "{found:?}");
    }
}

#[test]
fn a_refused_tunnel_is_read_on() {
    assert_told(
        &[
            (
                ToServer,
                b"CONNECT a:443 HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
            ),
            (
                ToClient,
                b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nrest",
            ),
        ],
        &["CONNECT a:443 0", "403 No 0", "GET /b 0", "200 OK 4"],
    );
}

#[test]
fn what_is_cut_short_is_told() {
    assert_told(
        &[
            (ToServer, b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc"),
            (ToClient, b"HTTP/1.1 200 OK\r\nSer"),
        ],
        &["POST / 3 cut", "! header"],
    );
    let mut parser = Parser::default();
    parser.feed_initiator(b"GET / HTTP/1.1\r\n\r\n");
    parser.feed_responder(b"HTTP/1.1 200 OK\r\n\r\nabc");
    parser.rst_responder();
    assert_eq!(told(&parser.fin_responder()), ["200 OK 3 cut"]);
}

#[test]
fn a_gap_inside_a_body_costs_no_more_than_that_body() {
    let mut parser = Parser::default();
    parser.feed_initiator(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    parser.feed_responder(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    let mut found = parser.gap(ToClient, 4);
    found.extend(parser.feed_responder(b"hijHTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\nx"));
    assert_eq!(told(&found), ["200 OK 0 cut", "404 No 1"]);
    // One that reaches beyond leaves nothing to go by.
    parser.feed_initiator(b"GET / HTTP/1.1\r\n");
    assert_eq!(told(&parser.gap(ToServer, 4)), [""; 0]);
    assert_eq!(told(&parser.feed_initiator(b"\r\n\r\n")), [""; 0]);
}

#[test]
fn ambiguities_are_told_and_read_on() {
    assert_told(
        &[(
            ToServer,
            b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding : chunked\r\nA: b\r\n c\r\n\r\n0\r\n\r\n",
        )],
        &[
            "! space-before-colon",
            "! obs-fold",
            "! both-lengths",
            "POST / 0",
        ],
    );
    assert_told(
        &[(
            ToServer,
            b"POST / HTTP/1.1\r\nContent-Length: -4\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
        )],
        &["! negative-length", "POST / 0", "GET /b 0"],
    );
    assert_told(
        &[(
            ToServer,
            b"GET /a\r\n\r\nGET /b more HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\nno request\r\n",
        )],
        &[
            "! request-line",
            "GET /a 0",
            "! version",
            "GET /b 0",
            "GET /c 0",
            "! request-line",
        ],
    );
    assert_told(
        &[(ToServer, b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n")],
        &["! bare-cr"],
    );
}

#[test]
fn one_side_alone_is_read() {
    assert_told(
        &[(ToClient, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")],
        &["200 OK 1", "404 No 0"],
    );
    let many = b"GET / HTTP/1.1\r\n\r\n".repeat(1000);
    assert_eq!(read(&[(ToServer, &many)]).len(), 1000);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// `hello` as one metablock that is not compressed, and the empty last one
/// (RFC 7932, 9.2).
const BROTLI_HELLO: &[u8] = b"\x0b\x02\x80hello\x03";

fn answer(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut whole = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    whole.extend_from_slice(body);
    whole
}

#[test]
fn codings_are_undone() {
    let expected: String = Sha256::digest(b"hello")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for (coding, body) in [
        ("gzip", gzip(b"hello")),
        ("X-Gzip", gzip(b"hello")),
        ("deflate", zlib(b"hello")),
        ("deflate", raw_deflate(b"hello")),
        ("br", BROTLI_HELLO.to_vec()),
        ("deflate, gzip", gzip(&zlib(b"hello"))),
        ("identity", b"hello".to_vec()),
    ] {
        let found = read(&[(ToClient, &answer(coding, &body))]);
        let [Message::Response(response)] = &found[..] else {
            panic!("{coding}: {found:?}");
        };
        let body = response.body.as_ref().expect("it has a body");
        assert_eq!((body.len, &body.sha256), (5, &expected), "{coding}");
    }
}

#[test]
fn what_is_not_of_its_coding_is_told_as_it_came() {
    for coding in ["gzip", "deflate", "br", "unknown"] {
        let found = read(&[(ToClient, &answer(coding, b"not at all"))]);
        let [Message::Response(response)] = &found[..] else {
            panic!("{coding}: {found:?}");
        };
        assert_eq!(
            response.body.as_ref().map(|body| body.len),
            Some(10),
            "{coding}"
        );
    }
}

/// Whole conversations in the pieces that they are made of.
fn conversations() -> Vec<Vec<(Direction, Vec<u8>)>> {
    let request = b"POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n";
    vec![
        vec![
            (ToServer, request.repeat(3)),
            (ToClient, chunked.to_vec()),
            (ToClient, answer("gzip", &gzip(&b"hello ".repeat(50)))),
            (ToClient, b"HTTP/1.1 200\n\nrest".to_vec()),
        ],
        vec![
            (
                ToServer,
                b"\r\n\r\nGET / HTTP/1.1\r\nA : b\r\n c\r\nContent-Length: x\r\n\r\nGET".to_vec(),
            ),
            (ToClient, b"HTTP/1.1 20".to_vec()),
        ],
        vec![
            (
                ToServer,
                b"CONNECT a:1 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n".to_vec(),
            ),
            (ToClient, b"HTTP/1.1 407 No\r\n\r\nwhy".to_vec()),
        ],
    ]
}

proptest! {
    #[test]
    fn cuts_change_nothing(which in 0..3usize, cuts in vec(1..40usize, 1..60)) {
        let turns = &conversations()[which];
        let whole: Vec<Turn<'_>> = turns.iter().map(|(way, bytes)| (*way, &bytes[..])).collect();
        let mut pieces = Vec::new();
        let mut sizes = cuts.iter().cycle();
        for (way, bytes) in &whole {
            let mut rest = *bytes;
            while !rest.is_empty() {
                let size = *sizes.next().expect("it goes round");
                let (piece, tail) = rest.split_at(size.min(rest.len()));
                pieces.push((*way, piece));
                rest = tail;
            }
        }
        prop_assert_eq!(read(&pieces), read(&whole));
    }

    #[test]
    fn nothing_makes_it_panic(bytes in vec(any::<u8>(), 0..400)) {
        super::fuzz::fuzz_http(&bytes);
    }
}
