//! The fuzz body of the whole engine: TCP segments made of the input, with
//! listeners that fail or abort where it says so.
//!
//! Not here: listeners that edit, reset or send; fragments.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::{Engine, Shared, run};
use crate::event::{EventKind, Hooks, ListenerFailed, Profile, Settings, Verdict};
use crate::packet::LinkType;
use crate::time::Timestamp;

/// Most packets of one input.
const PACKETS: usize = 48;
/// Bytes that say what one segment is like.
const TURN: usize = 8;

/// Fails, aborts or passes, as the input says.
struct Whims<'a>(&'a [u8]);

impl Hooks for Whims<'_> {
    fn fire(&mut self, _: EventKind, _: u32) -> Result<(), (ListenerFailed, bool)> {
        let Some((&whim, rest)) = self.0.split_first() else {
            return Ok(());
        };
        self.0 = rest;
        match whim {
            0..=3 => Err((ListenerFailed::Error, whim & 1 == 1)),
            4..=6 => Err((ListenerFailed::Abort, false)),
            _ => Ok(()),
        }
    }
}

/// Sends segments of few connections, as `data` spells them, through an
/// engine whose events are heard.
///
/// # Panics
/// When a packet has no verdict at the end, or two.
pub fn fuzz_tcp(data: &[u8]) {
    let (packets, whims) = data.split_at(data.len() / 4 * 3);
    let mut settings = Settings::new(Profile::Wero);
    settings.checksums = crate::event::profile::Checksums::Ignore;
    let Ok(engine) = Engine::new(settings) else {
        return;
    };
    let engine: Shared = Rc::new(RefCell::new(engine));
    for kind in [
        EventKind::TcpNewConnection,
        EventKind::TcpReceiveData,
        EventKind::TcpEndConnection,
    ] {
        engine.borrow_mut().core.hooks.set(kind, true);
    }
    let mut hooks = Whims(whims);
    let mut judged = BTreeSet::new();
    let mut sent = 0;
    for turn in packets.chunks_exact(TURN).take(PACKETS) {
        sent += 1;
        let bytes = segment(turn);
        let now = Timestamp(i64::from(turn[7]) * 1_000_000_000 * sent as i64);
        let taken =
            engine
                .borrow_mut()
                .handle_packet(now, sent, LinkType(101), &bytes, bytes.len() as u32);
        assert!(taken, "outputs are taken, so there is room");
        settle(&engine, &mut hooks, &mut judged);
    }
    engine.borrow_mut().shutdown();
    settle(&engine, &mut hooks, &mut judged);
    assert_eq!(judged.len() as u64, sent, "every packet has its verdict");
}

fn settle(engine: &Shared, hooks: &mut Whims<'_>, judged: &mut BTreeSet<u64>) {
    run(engine, hooks, &mut |_| {});
    loop {
        let Some(output) = engine.borrow_mut().poll_output() else {
            return;
        };
        let (id, injected) = {
            let engine = engine.borrow();
            let gone = engine.departure(&output);
            (gone.id, gone.verdict == Verdict::Inject)
        };
        assert!(
            injected || judged.insert(id),
            "packet {id} has two verdicts"
        );
        engine.borrow_mut().release_output(&output);
    }
}

/// A segment near the others of its connection, of eight bytes: connection
/// and direction, flags, sequence, acknowledgement, length, options.
fn segment(turn: &[u8]) -> Vec<u8> {
    let [which, flags, seq, ack, len, offset, window, _] = *turn else {
        return Vec::new();
    };
    let (client, server) = ([10, 0, 0, 1, 4, which >> 1 & 3], [10, 0, 0, 2, 0, 80]);
    let (from, to) = if which & 1 == 0 {
        (client, server)
    } else {
        (server, client)
    };
    let header = if offset > 200 { offset >> 4 } else { 5 };
    let payload = usize::from(len);
    let mut bytes = vec![0x45, 0];
    bytes.extend((40 + payload as u16).to_be_bytes());
    let fragment = if which == 0xff { [0x20, 0] } else { [0, 0] };
    bytes.extend([0, which, fragment[0], fragment[1], 64, 6, 0, 0]);
    bytes.extend([
        from[0], from[1], from[2], from[3], to[0], to[1], to[2], to[3],
    ]);
    bytes.extend([from[4], from[5], to[4], to[5]]);
    bytes.extend(u32::MAX.wrapping_add(u32::from(seq)).to_be_bytes());
    bytes.extend(u32::MAX.wrapping_add(u32::from(ack)).to_be_bytes());
    bytes.extend([header << 4, flags, window, 0, 0, 0, 0, 0]);
    bytes.extend((0..payload).map(|k| (k as u8).wrapping_add(seq)));
    bytes
}
