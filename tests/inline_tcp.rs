//! Rules between two TCP stacks that are not ours, over a network that loses
//! and reorders packets: both ends read what the rules made of the stream,
//! and neither stands still.
//!
//! The clock is virtual and chance is seeded, so that every run is the same.

mod inline_tcp {
    pub mod network;
}
#[path = "support/rig.rs"]
mod rig;

use inline_tcp::network::{End, Network, Outcome, Weather};
use wero::core::Stats;
use wero::event::{Profile, Settings};

const TOKEN: &str = "@@TOKEN@@";

/// A rule that replaces every token by so many bytes, in both directions.
fn replacing(len: usize) -> String {
    format!(
        "require('protocol/tcp_connection')
         local token = require('regexp/pcre').re:compile('{TOKEN}')
         haka.rule {{ on = haka.dissectors.tcp_connection.events.receive_data,
           options = {{ streamed = true }},
           eval = function (flow, iter, direction)
             repeat
               local found = token:match(iter, true)
               if found then found:replace(haka.vbuffer_from(string.rep('#', {len}))) end
             until not found
           end }}"
    )
}

fn live() -> Settings {
    Settings {
        live: true,
        ..Settings::new(Profile::Wero)
    }
}

/// Text with a token about every so many bytes, told by a seed.
fn body(len: usize, every: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut text = Vec::with_capacity(len + TOKEN.len());
    while text.len() < len {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let draw = (state >> 33) as usize;
        if every > 0 && draw.is_multiple_of(every) && text.len() + TOKEN.len() <= len {
            text.extend_from_slice(TOKEN.as_bytes());
        } else {
            text.push(b'a' + (draw % 26) as u8);
        }
    }
    text
}

fn replaced(text: &[u8], len: usize) -> Vec<u8> {
    let text = std::str::from_utf8(text).expect("letters only");
    text.replace(TOKEN, &"#".repeat(len)).into_bytes()
}

/// Where two texts part, for a message.
fn parting(read: &[u8], expected: &[u8]) -> String {
    let at = read
        .iter()
        .zip(expected)
        .take_while(|(a, b)| a == b)
        .count();
    let near = |text: &[u8]| {
        let part = &text[at.saturating_sub(20).min(text.len())..(at + 20).min(text.len())];
        String::from_utf8_lossy(part).into_owned()
    };
    format!(
        "{} bytes instead of {}, from {at} on: {:?} instead of {:?}",
        read.len(),
        expected.len(),
        near(read),
        near(expected)
    )
}

fn check(outcome: &Outcome, end: End, expected: &[u8], what: &str) {
    let read = &outcome.read[end as usize];
    assert!(read == expected, "{what}: {}", parting(read, expected));
}

/// Both directions at once, each with its own text.
fn both_ways(family: u8, len: usize, every: usize, written: usize, weather: Weather, bound: u64) {
    let what = format!("v{family}, {len} bytes, tokens of {written}, {weather:?}");
    let texts = [
        body(len, every, 7 + weather.seed),
        body(len, every, 1234 + weather.seed),
    ];
    let mut network = Network::new(family, &replacing(written), live(), weather);
    let outcome = network.run([&texts[0], &texts[1]], bound);
    assert_eq!(outcome.errors, Vec::<String>::new(), "{what}");
    check(&outcome, End::Server, &replaced(&texts[0], written), &what);
    check(&outcome, End::Client, &replaced(&texts[1], written), &what);
    assert!(
        outcome.most_held < 1 << 20,
        "{what}: {} bytes held",
        outcome.most_held
    );
    report(&what, &outcome);
}

/// A line for whoever runs with `--nocapture`.
fn report(what: &str, outcome: &Outcome) {
    let Stats {
        packets,
        hold_caps,
        hold_timeouts,
        sent_ahead,
        behalf_acks,
        ack_copies,
        conflicts,
        ..
    } = outcome.stats;
    println!(
        "{what}: {} ms, {packets} packets, {} bytes held, caps {hold_caps}, timeouts {hold_timeouts}, \
         ahead {sent_ahead}, for others {behalf_acks}, copies {ack_copies}, conflicts {conflicts}",
        outcome.took / 1000,
        outcome.most_held,
    );
}

#[test]
fn small_bodies_arrive_edited() {
    for family in [4, 6] {
        for len in [1, 9, 40, 1000, 5000] {
            for written in [1, 10, 3000] {
                // What leaves has to fit its receiver's window.
                let every = if written < 3000 { 20 } else { 400 };
                both_ways(family, len, every, written, Weather::fair(len as u64), 1);
            }
        }
    }
}

#[test]
fn tokens_are_replaced_whatever_the_weather() {
    for family in [4, 6] {
        for (number, written) in [1, 10, 3000].into_iter().enumerate() {
            for seed in 0..4 {
                let weather = Weather::bad(seed * 10 + number as u64 + u64::from(family));
                both_ways(family, 60_000, 3000, written, weather, 120);
            }
        }
    }
}
