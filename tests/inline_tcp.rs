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
    let last = || Vec::from(outcome.last.clone()).join("\n");
    assert!(
        read == expected,
        "{what}: {}\n{}",
        parting(read, expected),
        last()
    );
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

/// One direction only, as an upload or a download; the other end just closes.
fn one_way(family: u8, sender: End, len: usize, written: usize, weather: Weather, bound: u64) {
    let what = format!("v{family}, {sender:?} sends {len} bytes, tokens of {written}, {weather:?}");
    let text = body(len, 20_000, weather.seed);
    let texts: [&[u8]; 2] = match sender {
        End::Client => [&text, b"bye"],
        End::Server => [b"GET", &text],
    };
    let mut network = Network::new(family, &replacing(written), live(), weather);
    let outcome = network.run(texts, bound);
    assert_eq!(outcome.errors, Vec::<String>::new(), "{what}");
    let reader = match sender {
        End::Client => End::Server,
        End::Server => End::Client,
    };
    check(&outcome, reader, &replaced(&text, written), &what);
    assert!(
        outcome.most_held < 1 << 20,
        "{what}: {} bytes held",
        outcome.most_held
    );
    report(&what, &outcome);
}

#[test]
fn a_megabyte_each_way_arrives_edited() {
    for (number, written) in [1, 10, 3000].into_iter().enumerate() {
        for (family, sender) in [(4, End::Client), (6, End::Server)] {
            let weather = Weather::bad(100 + number as u64);
            one_way(family, sender, 1 << 20, written, weather, 600);
            one_way(family, sender, 1 << 20, written, Weather::fair(1), 10);
        }
    }
}

/// Where tokens become much more, what rules make ends beyond the window that
/// the sender was told: it is cut there, and the rest comes when there is room.
#[test]
fn what_outgrows_the_window_waits_for_room() {
    for (family, weather) in [
        (4, Weather::fair(3)),
        (6, Weather::fair(4)),
        (4, Weather::bad(5)),
    ] {
        let texts = [body(100_000, 700, 11), body(100_000, 700, 12)];
        let mut network = Network::new(family, &replacing(3000), live(), weather);
        let outcome = network.run([&texts[0], &texts[1]], 600);
        let what = format!("v{family}, {weather:?}");
        assert_eq!(outcome.errors, Vec::<String>::new(), "{what}");
        check(&outcome, End::Server, &replaced(&texts[0], 3000), &what);
        check(&outcome, End::Client, &replaced(&texts[1], 3000), &what);
        assert!(outcome.stats.window_waits > 0, "{what}: nothing waited");
        report(&what, &outcome);
    }
}

/// Rules that hold 30,000 bytes at a time, more than a sender has under way
/// at first: nobody waits longer for it than `hold_time`, and what was edited
/// before it left is what arrives.
#[test]
fn readers_that_hold_too_much_stop_nobody() {
    let rules = "require('protocol/tcp_connection')
        local state = { up = { seen = 0 }, down = { seen = 0 } }
        haka.rule { on = haka.dissectors.tcp_connection.events.receive_data,
          eval = function (flow, data, direction)
            local own = state[direction]
            local text = data:asstring()
            own.seen = own.seen + #text
            -- What fills a hole that was waited for in vain has left already.
            pcall(function () data:replace(haka.vbuffer_from(text:upper() .. '~')) end)
            if own.mark then
              if own.seen > 30000 then own.mark:unmark() own.mark = nil own.seen = 0 end
            else
              own.mark = data:pos('begin')
              own.mark:mark()
            end
          end }";
    for family in [4, 6] {
        for seed in 0..6 {
            let weather = if seed == 0 {
                Weather::fair(0)
            } else {
                Weather::bad(seed)
            };
            let what = format!("v{family}, holding, {weather:?}");
            // Two of these stacks that both start again from what was lost
            // refuse each other's acknowledgements for ever, with nobody
            // between them too: where packets are lost, one says little.
            let other = if seed == 0 { 150_000 } else { 1000 };
            let texts = [body(200_000, 0, seed), body(other, 0, seed + 50)];
            let mut network = Network::new(family, rules, live(), weather);
            let outcome = network.run([&texts[0], &texts[1]], 200);
            assert_eq!(outcome.errors, Vec::<String>::new(), "{what}");
            for (end, text) in [(End::Server, &texts[0]), (End::Client, &texts[1])] {
                let mut read = outcome.read[end as usize].to_ascii_uppercase();
                read.retain(|&byte| byte != b'~');
                let expected = text.to_ascii_uppercase();
                assert!(read == expected, "{what}: {}", parting(&read, &expected));
            }
            assert!(outcome.stats.sent_ahead > 0, "{what}: {:?}", outcome.stats);
            assert!(outcome.stats.unjudged < 100, "{what}: only at the end");
            report(&what, &outcome);
        }
    }
}

/// Nobody can edit: what is lost on its way is asked for by the receiver
/// itself, and the rule reads every byte, in order.
#[test]
fn watched_streams_are_not_held_and_read_whole() {
    let rules = "require('protocol/tcp_connection')
        haka.rule { on = haka.dissectors.tcp_connection.events.receive_data,
          eval = function (flow, data, direction)
            if direction == 'up' then io.write(data:asstring()) end
          end }";
    for family in [4, 6] {
        for seed in 0..4 {
            let weather = Weather::bad(seed);
            let settings = Settings {
                pass_through: true,
                ..live()
            };
            let text = body(100_000, 0, seed);
            let mut network = Network::new(family, rules, settings, weather);
            let outcome = network.run([&text, b"bye"], 200);
            let what = format!("v{family}, watching, {weather:?}");
            check(&outcome, End::Server, &text, &what);
            let printed = outcome.printed.as_bytes();
            assert!(printed == text, "{what}: {}", parting(printed, &text));
            assert_eq!(outcome.stats.behalf_acks, 0, "{what}");
            assert!(outcome.stats.sent_ahead > 0, "{what}");
            report(&what, &outcome);
        }
    }
}

/// Without what is sent on its receiver's behalf, a sender waits for its
/// timer whenever a segment is missing.
#[test]
fn senders_that_hear_of_holes_are_done_sooner() {
    let took = |live: bool| -> u64 {
        let runs = (0..8).map(|seed| {
            let weather = Weather {
                seed: 300 + seed,
                lost: 10,
                late: 0,
            };
            let settings = Settings {
                live,
                ..Settings::new(Profile::Wero)
            };
            let text = body(200_000, 3000, seed);
            let mut network = Network::new(4, &replacing(10), settings, weather);
            let outcome = network.run([&text, b"bye"], 200);
            check(&outcome, End::Server, &replaced(&text, 10), "live or not");
            outcome.took
        });
        runs.sum()
    };
    let (told, untold) = (took(true), took(false));
    println!(
        "{} ms told of holes, {} ms untold",
        told / 1000,
        untold / 1000
    );
    assert!(told < untold, "{told} us told of holes, {untold} us untold");
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
