//! Bodies that no rule listens to pass without being put in front of anybody.
//! Nobody outside may tell: the same packets leave as with a listener that
//! does nothing, whatever the segments are and whatever is sent again.

mod held_segments {
    #[allow(dead_code)]
    pub mod talk;
}
#[path = "support/rig.rs"]
mod rig;

use held_segments::talk::{Client, FAMILIES, Manner, Seen, Server, Talk, data};
use proptest::prelude::*;
use wero::event::{Profile, Settings};

const HEADS: &str = "require('protocol/http')
    local http = haka.dissectors.http
    haka.rule { on = http.events.response, eval = function (flow, response)
      response.headers['X-Seen'] = 'yes'
      print(response.status)
    end }";

const LISTENER: &str = "haka.rule { on = http.events.response_data, eval = function () end }";

const REQUESTS: &str = "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n\
    GET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\n\r\n";

/// Three answers: with a length, in chunks, and until the end.
fn answers() -> String {
    let body = |seed: u8, len: usize| -> String {
        let letter = |at: usize| char::from(b'a' + (seed + at as u8 % 20) % 26);
        (0..len).map(letter).collect()
    };
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n{}\
         HTTP/1.1 203 OK\r\nTransfer-Encoding: chunked\r\n\r\n5dc\r\n{}\r\n3e8\r\n{}\r\n0\r\n\r\n\
         HTTP/1.1 206 OK\r\n\r\n{}",
        body(1, 3000),
        body(2, 1500),
        body(3, 1000),
        body(4, 2000)
    )
}

/// A segment of the answers, or bytes of them sent again, changed or not.
#[derive(Clone, Debug)]
struct Piece {
    back: usize,
    len: usize,
    changed: bool,
    acknowledged: bool,
}

fn piece() -> impl Strategy<Value = Piece> {
    let back = prop_oneof![4 => Just(0usize), 1 => 1..1500usize];
    (back, 1..1000usize, any::<bool>(), any::<bool>()).prop_map(
        |(back, len, changed, acknowledged)| Piece {
            back,
            len,
            changed,
            acknowledged,
        },
    )
}

/// What leaves, and what the rules and the engine say.
fn run(rules: &str, manner: Manner, live: bool, pieces: &[Piece]) -> (Vec<Seen>, String, u64) {
    let settings = Settings {
        live,
        ..Settings::new(Profile::Wero)
    };
    let mut talk = Talk::open(rules, settings, Manner { port: 80, ..manner });
    let mut seen = talk.send(Client, data(0, REQUESTS.as_bytes()));
    let (text, mut at) = (answers(), 0);
    let mut pieces = pieces.iter().cycle();
    while at < text.len() {
        let piece = pieces.next().expect("they begin again");
        let from = at.saturating_sub(piece.back);
        let to = text.len().min(from + piece.len);
        let mut bytes = text.as_bytes()[from..to].to_vec();
        let old = (at - from).min(bytes.len());
        if piece.changed {
            bytes[..old].fill(b'#');
        }
        at = at.max(to);
        seen.extend(talk.send(Server, data(from as i64, &bytes)));
        if piece.acknowledged {
            let mut ack = data(REQUESTS.len() as i64, b"");
            ack.ack = seen
                .iter()
                .filter(|one| one.from == Server)
                .map(|one| one.at + one.bytes.len() as i64)
                .max()
                .unwrap_or(0);
            seen.extend(talk.send(Client, ack));
        }
    }
    let mut last = data(at as i64, b"");
    last.fin = true;
    seen.extend(talk.send(Server, last));
    let (rest, stats, said) = talk.close();
    assert_eq!(said.errors(), Vec::<&str>::new());
    seen.extend(rest);
    (seen, said.printed, stats.conflicts)
}

/// The stream of the server as its receiver puts it together.
fn received(seen: &[Seen]) -> String {
    let mut text = Vec::new();
    for one in seen.iter().filter(|one| one.from == Server) {
        let at = one.at as usize;
        assert!(at <= text.len() || one.bytes.is_empty(), "no gap");
        text.extend_from_slice(
            one.bytes
                .get(text.len() - at.min(text.len())..)
                .unwrap_or(&[]),
        );
    }
    String::from_utf8(text).expect("text")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn bodies_without_a_listener_leave_as_if_there_was_one(
        family in 0..2usize,
        live: bool,
        pieces in prop::collection::vec(piece(), 1..40),
    ) {
        // Some of them bring something new.
        prop_assume!(pieces.iter().any(|piece| piece.back == 0));
        let unheard = run(HEADS, FAMILIES[family], live, &pieces);
        let heard = run(&format!("{HEADS}\n{LISTENER}"), FAMILIES[family], live, &pieces);
        prop_assert_eq!(&unheard.1, "200\n203\n206\n");
        let edited = answers().replace(" OK\r\n", " OK\r\n\u{1}");
        let expected: String = edited
            .split('\u{1}')
            .enumerate()
            .map(|(number, part)| match number {
                0 => part.to_owned(),
                _ => part.replacen("\r\n\r\n", "\r\nX-Seen: yes\r\n\r\n", 1),
            })
            .collect();
        let expected = expected.replace("206 OK\r\n\r\n", "206 OK\r\nX-Seen: yes\r\n\r\n");
        prop_assert_eq!(received(&unheard.0), expected);
        prop_assert_eq!(unheard, heard);
    }
}

/// The end of a body is told when it comes, wherever its last segment ends:
/// what waits for it does not wait for more.
#[test]
fn the_end_of_a_body_that_nobody_wants_is_seen() {
    let rules = "require('protocol/http')
        haka.rule { on = haka.dissectors.http.events.request, eval = function (http, request)
          local answer = http.response
          print(request.method, http.state, answer and answer.status or '-')
        end }";
    let body = "z".repeat(2500);
    let head = |status: &str| format!("HTTP/1.1 {status} X\r\nContent-Length: 2500\r\n\r\n");
    for (method, status) in [("GET /", "200"), ("CONNECT h:1", "407")] {
        for manner in FAMILIES {
            let manner = Manner { port: 80, ..manner };
            let mut talk = Talk::open(rules, Settings::new(Profile::Wero), manner);
            let (request, head) = (
                format!("{method} HTTP/1.1\r\nHost: h\r\n\r\n"),
                head(status),
            );
            let answer = head + &body;
            let (mut asked, mut told) = (0, 0);
            for _ in 0..3 {
                let mut one = data(asked, request.as_bytes());
                one.ack = told;
                let left = talk.send(Client, one);
                assert_eq!(left.len(), 1, "{method}: nobody holds it");
                asked += request.len() as i64;
                for part in answer.as_bytes().chunks(1000) {
                    let mut one = data(told, part);
                    one.ack = asked;
                    assert_eq!(talk.send(Server, one).len(), 1);
                    told += part.len() as i64;
                }
            }
            let word = method.split(' ').next().expect("a method");
            let later = format!("{word} request {status}\n").repeat(2);
            assert_eq!(talk.printed(), format!("{word} request -\n{later}"));
        }
    }
}
