//! Verdicts reach the kernel once each, in order, whatever sending says.

use std::io;

use proptest::prelude::*;

use crate::capture::nfqueue::message;
use crate::capture::nfqueue::outbox::Outbox;

fn add(outbox: &mut Outbox, id: u32, payload: usize) {
    let payload = vec![0; payload];
    let payload = (!payload.is_empty()).then_some(payload.as_slice());
    let out = outbox.bytes();
    assert!(message::verdict(out, 0, id, libc::NF_ACCEPT, None, payload));
}

/// The ids in messages of ours, which carry them as their number.
fn ids(messages: &[u8]) -> Vec<u32> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(field) = messages.get(at..).and_then(<[u8]>::first_chunk::<12>) {
        found.push(u32::from_ne_bytes([
            field[8], field[9], field[10], field[11],
        ]));
        at += u32::from_ne_bytes([field[0], field[1], field[2], field[3]]).next_multiple_of(4)
            as usize;
    }
    assert_eq!(at, messages.len(), "whole messages only");
    found
}

fn failure(code: i32) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(code))
}

proptest! {
    /// Sends fail at random: for a moment, for good, or for their size.
    #[test]
    fn each_verdict_is_sent_once_and_in_order(
        sizes in prop::collection::vec(prop_oneof![4 => Just(0usize), 1 => 1..65_531usize], 1..60),
        failures in prop::collection::vec(0..8u8, 0..80),
        flush_after in 1..20usize,
        largest in 66_000..300_000usize,
        really in 66_000..300_000usize,
    ) {
        let mut outbox = Outbox::new(largest);
        let mut failures = failures.into_iter();
        let mut arrived = Vec::new();
        let mut flush = |outbox: &mut Outbox| outbox.flush(
            |messages| match failures.next() {
                Some(0) => failure(libc::ENOBUFS),
                Some(1) => failure(libc::EAGAIN),
                Some(2) => failure(libc::EINTR),
                Some(3) => failure(libc::ECONNREFUSED),
                _ if messages.len() > really => failure(libc::EMSGSIZE),
                _ => { arrived.extend(ids(messages)); Ok(()) }
            },
            |_| (),
        );
        for (id, &size) in (0..).zip(&sizes) {
            if outbox.is_full_with(message::VERDICT_ROOM + size) {
                let _ = flush(&mut outbox);
            }
            add(&mut outbox, id, size);
            if (id as usize).is_multiple_of(flush_after) {
                let _ = flush(&mut outbox);
            }
        }
        // The failures run out.
        while flush(&mut outbox).is_err() {}
        prop_assert!(outbox.is_empty());
        let expected: Vec<_> = (0..sizes.len() as u32).collect();
        prop_assert_eq!(arrived, expected);
    }
}

#[test]
fn what_cannot_be_sent_stays_and_the_caller_hears_of_it() {
    let mut outbox = Outbox::new(200_000);
    add(&mut outbox, 1, 0);
    let mut waits = Vec::new();
    let error = outbox.flush(|_| failure(libc::ENOBUFS), |wait| waits.push(wait));
    assert_eq!(
        error.expect_err("it failed").raw_os_error(),
        Some(libc::ENOBUFS)
    );
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128]);
    assert!(!outbox.is_empty());
    let mut sent = Vec::new();
    let again = outbox.flush(
        |messages| {
            sent.extend(ids(messages));
            Ok(())
        },
        |_| (),
    );
    assert!(again.is_ok() && outbox.is_empty());
    assert_eq!(sent, [1]);
    assert_eq!((outbox.sends, outbox.resent), (1, 9));
}

#[test]
fn a_burst_goes_out_in_one_send_and_bulk_in_few() {
    let count = |payload, verdicts| {
        let mut outbox = Outbox::new(500_000);
        for id in 0..verdicts {
            add(&mut outbox, id, payload);
        }
        let result = outbox.flush(
            |messages| {
                assert!(messages.len() <= 120_000);
                Ok(())
            },
            |_| (),
        );
        assert!(result.is_ok());
        outbox.sends
    };
    assert_eq!(count(0, 64), 1);
    assert_eq!(count(1_460, 64), 1);
    assert_eq!(count(60_000, 4), 4);
}
