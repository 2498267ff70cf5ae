//! Throughput of pattern sets over a stream in segments.
//!
//! None of the patterns ends the pass early: what is measured is scanning.
//! The peers search the same bytes whole: `memmem` for the first pattern's
//! letters, the engine of the `regex` crate for all patterns together.

use regex_automata::{Input, PatternSet as Found, meta};
use wero::regexp::Options;
use wero::regexp::set::{Draft, PatternSet, Scan};

use crate::clock::{cpu_nanos, median};

const BYTES: usize = 32 << 20;
const SEGMENT: usize = 1460;
/// In gigabytes a second, for any number of patterns.
const GOAL: f64 = 0.4;

pub fn table(rounds: usize) {
    let text = traffic();
    println!();
    println!(
        "Pattern sets over {} MiB of HTTP-like text in segments of {SEGMENT} bytes",
        BYTES >> 20
    );
    println!(
        "{:>9} {:>10} {:>8} {:>14} {:>14}",
        "patterns", "GB/s", "goal", "x regex", "x memmem"
    );
    for count in [1, 10, 100] {
        let patterns: Vec<String> = (0..count).map(pattern).collect();
        let mut draft = Draft::default();
        for pattern in &patterns {
            draft
                .add(pattern.as_bytes(), Options::default())
                .expect("a valid pattern");
        }
        let mut set = PatternSet::new(&draft).expect("a small set");
        let regex = meta::Builder::new()
            .syntax(
                regex_automata::util::syntax::Config::new()
                    .unicode(false)
                    .utf8(false),
            )
            .configure(
                meta::Config::new()
                    .match_kind(regex_automata::MatchKind::All)
                    .utf8_empty(false),
            )
            .build_many(&patterns)
            .expect("valid patterns");
        let (mut ours, mut theirs, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(rate(|| {
                let mut scan = Scan::new(&mut set);
                let mut hits = Vec::new();
                for segment in text.chunks(SEGMENT) {
                    let mut rest = segment;
                    while !rest.is_empty() {
                        let taken = scan.feed(&mut set, rest, &mut (1 << 18), &mut hits);
                        rest = rest.get(taken..).unwrap_or_default();
                    }
                }
                assert!(hits.is_empty(), "no pattern occurs");
            }));
            theirs.push(rate(|| {
                let mut found = Found::new(count);
                regex.which_overlapping_matches(&Input::new(&text), &mut found);
                assert!(found.is_empty(), "no pattern occurs");
            }));
            plain.push(rate(|| {
                let found = memchr::memmem::find(&text, b"attack-0-");
                assert!(found.is_none(), "the text does not occur");
            }));
        }
        let (ours, theirs, plain) = (median(&ours), median(&theirs), median(&plain));
        let mark = if ours >= GOAL { "met" } else { "missed" };
        println!(
            "{count:>9} {ours:>10.2} {:>8} {:>14.2} {:>14.2}",
            format!("{GOAL} {mark}"),
            ours / theirs,
            ours / plain
        );
    }
}

/// Gigabytes a second of CPU time.
fn rate(pass: impl FnOnce()) -> f64 {
    let start = cpu_nanos();
    pass();
    BYTES as f64 / (cpu_nanos() - start) as f64
}

/// Patterns of the kinds that rules have, none of which occurs.
fn pattern(number: usize) -> String {
    match number % 4 {
        0 => format!("attack-{number}-[a-z]+"),
        1 => format!("/cgi-bin/test{number}\\.(pl|cgi)\\?"),
        2 => format!("User-Agent: scanner{number}/[0-9.]+"),
        _ => format!("%3[cC]script{number}%3[eE]"),
    }
}

/// Requests with varying paths and bodies, always the same.
fn traffic() -> Vec<u8> {
    let words = [
        "index", "news", "static", "images", "article", "search", "about", "login", "cart", "item",
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let mut text = Vec::with_capacity(BYTES + 1024);
    while text.len() < BYTES {
        let (first, second) = (words[next(words.len())], words[next(words.len())]);
        let request = format!(
            "GET /{first}/{second}/{}.html?id={} HTTP/1.1\r\nHost: www.example.com\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html\r\n\
             Cookie: session={:x}\r\n\r\n",
            next(100_000),
            next(1_000_000),
            next(usize::MAX >> 1),
        );
        text.extend_from_slice(request.as_bytes());
    }
    text.truncate(BYTES);
    text
}
