//! Two TCP ends with an engine between them, driven by bytes: the body of a
//! fuzz target and of a property test.
//!
//! The ends send, lose, repeat, reorder and garble segments as the bytes say
//! while a listener edits both streams. In the end the network is perfect,
//! and then: each end has read what the listener made of the other's text,
//! every byte and FIN is acknowledged, no acknowledgement ever passed what
//! was sent, each packet had one verdict, and every checksum was right.
//! In some worlds traffic is live: time passes there, segments leave ahead of
//! the listener, and what it may not edit any more it only reads. No
//! acknowledgement falls behind another there, and an end that hears of one
//! never repeats what is before it once the network is perfect.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::{Engine, Shared, run};
use crate::addr::Addr;
use crate::buf::{BufError, BufId, Key, Pos, Span, Store};
use crate::core::{Frame, Op, Stats};
use crate::event::{EventKind, Hooks, ListenerFailed, Profile, Settings, Verdict};
use crate::flow::Direction;
use crate::packet::decode::{self, TcpHeader};
use crate::packet::{LinkType, build, checksum};
use crate::time::Timestamp;

/// Segments that are enough to repeat everything, in the perfect network.
const ROUNDS: usize = 2_000;

/// Plays the conversation that `data` spells.
///
/// # Panics
/// When one of the promises above is broken.
pub fn fuzz_tcp(data: &[u8]) {
    play(data);
}

fn play(data: &[u8]) -> Stats {
    let mut dice = Dice { data };
    let mut world = World::new(&mut dice);
    world.shake_hands();
    while !dice.data.is_empty() {
        world.act(&mut dice);
    }
    world.finish();
    let engine = world.engine.borrow();
    engine.core.stats.clone()
}

/// The bytes as decisions; zeros behind the end.
struct Dice<'a> {
    data: &'a [u8],
}

impl Dice<'_> {
    fn throw(&mut self) -> usize {
        let Some((&byte, rest)) = self.data.split_first() else {
            return 0;
        };
        self.data = rest;
        usize::from(byte)
    }
}

/// What the listener makes of each byte, by its place alone, so that the
/// outcome does not depend on segments.
#[derive(Clone, Copy)]
struct Script {
    mode: usize,
    side: usize,
}

impl Script {
    fn byte(self, at: u64) -> u8 {
        (at.wrapping_mul(31) + at / 251) as u8 ^ (self.side as u8 * 0x55)
    }

    /// The new bytes for the one at `at`, if it changes.
    fn edit(self, at: u64) -> Option<Vec<u8>> {
        let own = self.byte(at);
        let chance = (at + 1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(23 + self.side as u32)
            % 256;
        match (self.mode, chance) {
            (1, 0..2) | (2, 0..60) => Some(Vec::new()),
            (1, 2..4) | (2, 60..90) => Some([vec![b'+'; chance as usize % 7], vec![own]].concat()),
            (1 | 2, 100..102) => Some(vec![!own]),
            (1, 110) => Some([vec![own], vec![b'#'; 3000]].concat()),
            (3, _) if (at / 200).is_multiple_of(2) => Some(Vec::new()),
            (4, _) => Some(vec![own; 2]),
            (5, _) => Some(Vec::new()),
            _ => None,
        }
    }

    fn outcome(self, places: std::ops::Range<u64>) -> Vec<u8> {
        places
            .flat_map(|at| self.edit(at).unwrap_or_else(|| vec![self.byte(at)]))
            .collect()
    }
}

/// Edits what it is shown, and sometimes holds it until the next time.
struct Editor {
    engine: Shared,
    scripts: [Script; 2],
    seen: [u64; 2],
    /// What it has made of them.
    made: [Vec<u8>; 2],
    marks: [Option<Pos>; 2],
    holds: bool,
}

impl Hooks for Editor {
    fn fire(&mut self, kind: EventKind, _: u32) -> Result<(), (ListenerFailed, bool)> {
        assert_eq!(kind, EventKind::TcpReceiveData);
        let core = &mut self.engine.borrow_mut().core;
        let current = core.current;
        let side = current.direction as usize;
        let stream = BufId(Key {
            index: current.stream,
            generation: current.stream_generation,
        });
        if let Some(mark) = self.marks[side].take() {
            core.bufs.unmark(mark).expect("the mark is there");
        }
        let span = core
            .bufs
            .piece_span(stream, u64::from(current.piece))
            .expect("the piece is there");
        let mut text = Vec::new();
        core.bufs
            .copy_span(span, &mut text)
            .expect("the piece can be read");
        let (script, seen) = (self.scripts[side], self.seen[side]);
        assert_eq!(text.len(), current.fresh as usize);
        assert!(
            text.iter()
                .enumerate()
                .all(|(number, &byte)| byte == script.byte(seen + number as u64)),
            "readers see the first bytes"
        );
        // Pieces that were queued may have left, and others with them not.
        let mut from = seen;
        for number in u64::from(current.piece).. {
            let Ok(piece) = piece_of(&mut core.bufs, stream, number) else {
                break;
            };
            let places = from..from + piece.1;
            from = places.end;
            let made = script.outcome(places.clone());
            if edit(&mut core.bufs, piece.0, script, places.clone()) {
                self.made[side].extend(made);
            } else {
                assert!(core.settings.live, "replays let everything be edited");
                self.made[side].extend(places.map(|at| script.byte(at)));
            }
        }
        self.seen[side] += u64::from(current.fresh);
        // Only where nothing that was held can follow them are they the last.
        let alone = core.bufs.stream_len(stream) == 0;
        if current.finished != 0 && current.fresh == 0 && script.mode != 0 && alone {
            let place = Span::Between(Pos::Begin(stream), Pos::Begin(stream));
            match core.bufs.set_string(place, b"the end") {
                Ok(_) => self.made[side].extend_from_slice(b"the end"),
                Err(error) => assert!(
                    core.settings.live && error == BufError::ReadOnly,
                    "an empty stream takes bytes before its FIN"
                ),
            }
        } else if self.holds && current.finished == 0 && seen.is_multiple_of(3) {
            let place = core
                .bufs
                .piece_position(stream, u64::from(current.piece))
                .expect("the piece is there");
            self.marks[side] = core.bufs.mark(place, false).ok();
        }
        Ok(())
    }
}

/// One piece of a stream and how long it is; an error behind the last.
fn piece_of(bufs: &mut Store, stream: BufId, number: u64) -> Result<(Span, u64), BufError> {
    let here = bufs.stream_available_from(stream, number)?;
    let later = bufs.stream_available_from(stream, number + 1)?;
    if here == 0 {
        return Err(BufError::InvalidEnd);
    }
    let start = bufs.piece_position(stream, number)?;
    Ok((Span::Counted(start, here - later), here - later))
}

/// Edits a piece as the script says. False if it may not be edited, and then
/// nothing of it was.
fn edit(bufs: &mut Store, span: Span, script: Script, places: std::ops::Range<u64>) -> bool {
    let edits: Vec<_> = places
        .clone()
        .enumerate()
        .filter_map(|(number, at)| Some((number as u64, script.edit(at)?)))
        .collect();
    // A buffer has only so many pieces: many edits are made as one.
    if edits.len() > 64 {
        let done = bufs.set_string(span, &script.outcome(places));
        assert!(done.is_ok() || done == Err(BufError::ReadOnly), "{done:?}");
        return done.is_ok();
    }
    for (done, (number, new)) in edits.iter().rev().enumerate() {
        let byte = bufs
            .sub_span(span, *number, Some(1))
            .expect("the byte is there");
        match bufs.set_string(byte, new) {
            Ok(_) => {}
            Err(BufError::ReadOnly) if done == 0 => return false,
            Err(error) => panic!("room for the edit: {error}"),
        }
    }
    true
}

/// One end: what it says and what it has heard.
struct End {
    addr: (Addr, u16),
    isn: u32,
    /// Bytes it has to say; the FIN follows them.
    len: u64,
    /// Offsets, the FIN's included.
    sent: u64,
    acked: u64,
    heard: BTreeMap<u64, u8>,
    next: u64,
    fin: Option<u64>,
    /// The highest acknowledgement that left towards it.
    told: u64,
}

impl End {
    fn says(&self) -> u64 {
        self.len + 1
    }

    /// Notes an acknowledgement on its way to this end.
    fn is_told(&mut self, ack: u32, rises: bool) {
        let told = self.isn.wrapping_add(1).wrapping_add(self.told as u32);
        let more = ack.wrapping_sub(told) as i32;
        assert!(more >= 0 || !rises, "an acknowledgement {} too low", -more);
        self.told += more.max(0) as u64;
    }

    fn expects(&self) -> u64 {
        self.next + u64::from(self.fin == Some(self.next))
    }
}

struct World {
    engine: Shared,
    editor: Editor,
    ends: [End; 2],
    /// Frames behind the engine, with the end they go to.
    on_the_way: VecDeque<(usize, Vec<u8>)>,
    verdicts: Vec<u8>,
    now: i64,
    signs: bool,
}

impl World {
    fn new(dice: &mut Dice<'_>) -> World {
        let shape = dice.throw();
        let settings = Settings {
            max_flows: 16,
            max_packets: 4096,
            live: shape & 4 != 0,
            hold_segments: 1,
            hole_time: 200,
            ..Settings::new(Profile::Wero)
        };
        let engine: Shared = Rc::new(std::cell::RefCell::new(
            Engine::new(settings).expect("address space"),
        ));
        engine
            .borrow_mut()
            .core
            .hooks
            .set(EventKind::TcpReceiveData, true);
        engine.borrow_mut().core.streams = true;
        let addr = |host: u8| match shape & 1 {
            0 => Addr::v4([10, 0, 0, host]),
            _ => Addr::v6([host; 16]),
        };
        let scripts = [0, 1].map(|side| Script {
            mode: dice.throw() % 6,
            side,
        });
        let ends = [(1, 40_000), (2, 80)].map(|(host, port)| End {
            addr: (addr(host), port),
            // Near the wrap, on either side.
            isn: (dice.throw() as u32).wrapping_mul(16).wrapping_sub(2_000),
            len: dice.throw() as u64 * 16,
            sent: 0,
            acked: 0,
            heard: BTreeMap::new(),
            next: 0,
            fin: None,
            told: 0,
        });
        let editor = Editor {
            engine: engine.clone(),
            scripts,
            seen: [0; 2],
            made: [Vec::new(), Vec::new()],
            marks: [None; 2],
            holds: shape & 2 != 0,
        };
        World {
            engine,
            editor,
            ends,
            on_the_way: VecDeque::new(),
            verdicts: Vec::new(),
            now: 0,
            signs: shape & 12 == 12,
        }
    }

    fn shake_hands(&mut self) {
        let [client, server] = [0, 1].map(|side| self.ends[side].isn);
        self.put(0, client, 0, TcpHeader::SYN, &[]);
        self.put(
            1,
            server,
            client.wrapping_add(1),
            TcpHeader::SYN | TcpHeader::ACK,
            &[],
        );
        if self.signs {
            // Nobody may edit it: what is behind a hole leaves at once.
            let connections = &mut self.engine.borrow_mut().connections;
            connections.get_mut(0).expect("it is open").signed = true;
        }
        self.on_the_way.clear();
        self.acknowledge(0);
        self.on_the_way.clear();
    }

    fn act(&mut self, dice: &mut Dice<'_>) {
        let choice = dice.throw();
        let side = choice >> 7;
        let size = dice.throw() as u64 * 6 + 1;
        let end = &self.ends[side];
        let (sent, acked, seen) = (end.sent, end.acked, self.editor.seen[side]);
        match choice % 8 {
            0 | 1 => self.say(side, sent, size, false, false),
            2 => {
                let back = dice.throw() as u64;
                self.say(
                    side,
                    (acked + back).saturating_sub(40).min(sent),
                    size,
                    false,
                    true,
                );
            }
            3 | 4 => self.arrive(dice.throw()),
            5 => {
                let lost = dice.throw() % self.on_the_way.len().max(1);
                self.on_the_way.remove(lost);
            }
            6 if choice & 8 != 0 => self.wait(dice.throw() as i64),
            6 => self.ends[side].sent = (sent + size).min(self.ends[side].says()).max(sent),
            _ => {
                // Others bytes for what readers have seen.
                let start = acked.saturating_sub(dice.throw() as u64 / 4);
                self.say(
                    side,
                    start,
                    size.min(seen.saturating_sub(start)),
                    true,
                    true,
                );
            }
        }
    }

    /// So many milliseconds pass.
    fn wait(&mut self, span: i64) {
        self.now += span * 1_000_000;
        self.engine.borrow_mut().handle_timeout(Timestamp(self.now));
        self.drive();
    }

    /// Sends bytes of an end's text, with the FIN if they reach it.
    fn say(&mut self, side: usize, start: u64, size: u64, garbled: bool, repeats: bool) {
        let end = &mut self.ends[side];
        let limit = if repeats { end.sent } else { end.says() };
        let stop = (start + size).min(limit);
        if start >= stop {
            return;
        }
        end.sent = end.sent.max(stop);
        let fin = stop > end.len;
        let script = self.editor.scripts[side];
        let mask = if garbled { 0xff } else { 0 };
        let text: Vec<u8> = (start..stop.min(end.len))
            .map(|at| script.byte(at) ^ mask)
            .collect();
        let seq = end.isn.wrapping_add(1).wrapping_add(start as u32);
        let ack = self.ack_of(side);
        self.put(side, seq, ack, TcpHeader::ACK | u8::from(fin), &text);
    }

    fn ack_of(&self, side: usize) -> u32 {
        self.ends[1 - side]
            .isn
            .wrapping_add(1)
            .wrapping_add(self.ends[side].expects() as u32)
    }

    fn acknowledge(&mut self, side: usize) {
        let end = &self.ends[side];
        let seq = end.isn.wrapping_add(1).wrapping_add(end.sent as u32);
        self.put(side, seq, self.ack_of(side), TcpHeader::ACK, &[]);
    }

    /// A segment of one end comes to the engine.
    fn put(&mut self, side: usize, seq: u32, ack: u32, flags: u8, payload: &[u8]) {
        let (from, to) = (self.ends[side].addr, self.ends[1 - side].addr);
        let mut frame = Vec::new();
        build::ip_header(&mut frame, from.0, to.0, 6, 20 + payload.len());
        let tcp = frame.len();
        for port in [from.1, to.1] {
            frame.extend_from_slice(&port.to_be_bytes());
        }
        frame.extend_from_slice(&seq.to_be_bytes());
        frame.extend_from_slice(&ack.to_be_bytes());
        frame.extend_from_slice(&[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        frame.extend_from_slice(payload);
        let sum = checksum::transport(&from.0, &to.0, 6, &frame[tcp..]);
        frame[tcp + 16..tcp + 18].copy_from_slice(&sum.to_be_bytes());
        self.verdicts.push(0);
        let id = self.verdicts.len() as u64;
        assert!(self.engine.borrow_mut().handle_packet(
            Timestamp(self.now + id as i64),
            id,
            LinkType::RAW,
            &frame,
            frame.len() as u32
        ));
        self.drive();
    }

    fn drive(&mut self) {
        run(&self.engine, &mut self.editor, &mut |_| {});
        loop {
            let Some(output) = self.engine.borrow_mut().poll_output() else {
                return;
            };
            {
                let engine = self.engine.borrow();
                let gone = engine.departure(&output);
                if let Some(count) = gone
                    .id
                    .checked_sub(1)
                    .and_then(|place| self.verdicts.get_mut(place as usize))
                    && gone.verdict != Verdict::Inject
                {
                    *count += 1;
                }
                if !matches!(gone.verdict, Verdict::Drop(_)) {
                    let ip = decode::ip(gone.bytes, 0, None).expect("whole packets leave");
                    let to = usize::from(ip.src == self.ends[0].addr.0);
                    let tcp =
                        decode::tcp(gone.bytes, ip.payload_at(), ip.end).expect("a whole header");
                    if tcp.flags & TcpHeader::ACK != 0 {
                        // Signed segments leave as they came, however late.
                        let freshens = engine.core.settings.live && !self.signs;
                        self.ends[to].is_told(tcp.ack, freshens);
                    }
                    self.on_the_way.push_back((to, gone.bytes.to_vec()));
                }
            }
            self.engine.borrow_mut().release_output(&output);
        }
    }

    /// A frame comes to its end.
    fn arrive(&mut self, which: usize) {
        let count = self.on_the_way.len().max(1);
        let Some((side, frame)) = self.on_the_way.remove(which % count) else {
            return;
        };
        let ip = decode::ip(&frame, 0, None).expect("whole packets leave");
        let tcp = decode::tcp(&frame, ip.payload_at(), ip.end).expect("a whole header");
        assert_eq!(
            checksum::transport(&ip.src, &ip.dst, 6, &frame[ip.payload_at()..ip.end]),
            0,
            "checksum"
        );
        let peer = self.ends[1 - side].isn.wrapping_add(1);
        let end = &mut self.ends[side];
        let own = end.isn.wrapping_add(1).wrapping_add(end.acked as u32);
        let more = tcp.ack.wrapping_sub(own) as i32;
        if more > 0 {
            end.acked += more as u64;
            assert!(
                end.acked <= end.sent,
                "an acknowledgement of what was not sent"
            );
        }
        let expected = peer.wrapping_add(end.expects() as u32);
        let ahead = i64::from(tcp.seq.wrapping_sub(expected) as i32);
        let start = end.expects() as i64 + ahead;
        let payload = &frame[tcp.payload_at..ip.end];
        for (number, &byte) in payload.iter().enumerate() {
            let at = start + number as i64;
            if at >= end.next as i64 {
                end.heard.entry(at as u64).or_insert(byte);
            }
        }
        if tcp.flags & TcpHeader::FIN != 0 {
            let fin = (start + payload.len() as i64) as u64;
            assert!(
                end.fin.is_none_or(|known| known == fin),
                "the FIN moved from {:?} to {fin}",
                end.fin
            );
            end.fin = Some(fin);
        }
        while end.heard.contains_key(&end.next) {
            end.next += 1;
        }
        if !payload.is_empty() || tcp.flags & TcpHeader::FIN != 0 || ahead < 0 {
            self.acknowledge(side);
        }
    }

    /// The network is perfect from here on.
    fn finish(&mut self) {
        self.on_the_way.clear();
        self.let_go();
        for round in 0.. {
            while !self.on_the_way.is_empty() {
                self.arrive(0);
            }
            let waiting: Vec<usize> = (0..2)
                .filter(|&side| self.ends[side].acked < self.ends[side].says())
                .collect();
            if waiting.is_empty() {
                break;
            }
            assert!(
                round < ROUNDS,
                "an end waits for ever: {:?}",
                self.ends
                    .each_ref()
                    .map(|end| (end.acked, end.sent, end.says()))
            );
            for side in waiting {
                let (from, size) = (
                    self.ends[side].acked,
                    if round % 2 == 0 { 1460 } else { 97 },
                );
                self.say(side, from, size, false, false);
                self.let_go();
            }
        }
        for side in 0..2 {
            let expected = self.editor.made[side].clone();
            let heard: Vec<u8> = self.ends[1 - side].heard.values().copied().collect();
            assert!(
                heard == expected,
                "side {side} said {} bytes, edited {}, heard {}",
                self.ends[side].len,
                expected.len(),
                heard.len()
            );
            assert_eq!(
                self.ends[1 - side].fin,
                Some(expected.len() as u64),
                "the FIN follows the text"
            );
        }
        self.engine.borrow_mut().shutdown();
        self.drive();
        assert!(
            self.verdicts.iter().all(|&count| count == 1),
            "one verdict each: {:?}",
            self.verdicts
        );
        assert!(
            self.engine.borrow().core.packets.is_empty(),
            "no packet is left behind"
        );
    }

    /// The listener holds nothing any longer.
    fn let_go(&mut self) {
        self.editor.holds = false;
        for side in 0..2 {
            if let Some(mark) = self.editor.marks[side].take() {
                let core = &mut self.engine.borrow_mut().core;
                core.bufs.unmark(mark).expect("the mark is there");
                let direction = Direction::BOTH[side];
                if let Some(&flow) = core.flows.newest_first().first() {
                    core.push(Frame::on_flow(Op::TcpRelease, flow, direction));
                }
            }
        }
        self.drive();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::DropReason;
    use crate::event::profile::CapPolicy;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
        #[test]
        fn both_ends_hear_what_the_listener_made(data in prop::collection::vec(any::<u8>(), 6..400)) {
            fuzz_tcp(&data);
        }
    }

    /// What an end says and does so that its bytes are held before a hole and
    /// repeated; then what is missing, so that they leave.
    fn holds_before_a_hole(side: u8, sizes: [u8; 3], fills: bool) -> Vec<u8> {
        let [held, missing, behind] = sizes;
        let side = side << 7;
        // What acknowledges all that is under way arrives first.
        let mut spell = [3, 0, 0].repeat(3);
        spell.extend([side, held, side | 6, missing, side, behind]);
        // From what is acknowledged on, which is what is held.
        spell.extend([side | 2, held, 40, 3, 0, 0, 3, 0, 0]);
        if fills {
            spell.extend([side | 2, missing, 40]);
        }
        spell
    }

    fn steps() -> impl Strategy<Value = Vec<u8>> {
        let any_step = prop::collection::vec(any::<u8>(), 1..8);
        let hole = (0..2u8, any::<[u8; 3]>(), any::<bool>())
            .prop_map(|(side, sizes, fills)| holds_before_a_hole(side, sizes, fills));
        let small = (0..2u8, prop::array::uniform3(0..20u8), any::<bool>())
            .prop_map(|(side, sizes, fills)| holds_before_a_hole(side, sizes, fills));
        prop_oneof![any_step, hole, small]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
        #[test]
        fn what_is_acknowledged_while_it_is_held_arrives(
            family in 0..2u8,
            head in any::<[u8; 6]>(),
            steps in prop::collection::vec(steps(), 1..30),
        ) {
            let mut data = vec![6 | family];
            data.extend(head);
            data.extend(steps.concat());
            fuzz_tcp(&data);
        }
    }

    #[test]
    fn held_bytes_are_acknowledged_and_leave_again() {
        let mut sums = [0; 2];
        for family in 0..2 {
            for (mode, side) in (0..6).flat_map(|mode| [(mode, 0), (mode, 1)]) {
                let mut data = vec![6 | family, mode, mode, 125, 255, 120, 255];
                // What leaves at last is lost: the network is made anew.
                data.extend(holds_before_a_hole(side, [10, 20, 30], true));
                let stats = play(&data);
                sums[0] += stats.vouched_acks;
                sums[1] += stats.vouched_again;
            }
        }
        assert!(sums.iter().all(|&sum| sum > 0), "{sums:?}");
    }

    /// A world after its handshake, whose caps are a thousand bytes.
    fn capped(policy: CapPolicy) -> World {
        // The listener holds the first piece and edits nothing.
        let mut world = World::new(&mut Dice {
            data: &[2, 0, 0, 0, 255, 0, 255],
        });
        {
            let settings = &mut world.engine.borrow_mut().core.settings;
            (
                settings.hold_bytes,
                settings.reassembly_bytes,
                settings.hold_policy,
            ) = (1000, 1000, policy);
        }
        world.shake_hands();
        world
    }

    #[test]
    fn readers_that_hold_too_much_are_passed_or_dropped() {
        for policy in [CapPolicy::Release, CapPolicy::Drop] {
            let mut world = capped(policy);
            world.say(0, 0, 500, false, false);
            assert!(world.on_the_way.is_empty(), "the listener holds it");
            world.say(0, 500, 600, false, false);
            let stats = world.engine.borrow().core.stats.clone();
            assert_eq!(stats.hold_caps, 1);
            let released = policy == CapPolicy::Release;
            assert_eq!(world.on_the_way.len(), if released { 2 } else { 0 });
            assert_eq!(stats.unjudged, if released { 2 } else { 0 });
            assert_eq!(
                stats.drops[DropReason::HoldCap as usize],
                if released { 0 } else { 2 }
            );
        }
    }

    #[test]
    fn a_full_reassembly_queue_is_passed_or_refuses() {
        for policy in [CapPolicy::Release, CapPolicy::Drop] {
            let mut world = capped(policy);
            world.ends[0].sent = 100;
            world.say(0, 100, 600, false, false);
            assert!(world.on_the_way.is_empty(), "bytes before it are missing");
            world.say(0, 700, 600, false, false);
            let stats = world.engine.borrow().core.stats.clone();
            assert_eq!(stats.reassembly_caps, 1);
            let released = policy == CapPolicy::Release;
            assert_eq!(world.on_the_way.len(), if released { 2 } else { 0 });
            assert_eq!(
                stats.drops[DropReason::ReassemblyCap as usize],
                u64::from(!released)
            );
        }
    }

    /// The promises are kept where it is hard: what they are about happens.
    #[test]
    fn live_worlds_send_ahead_and_tell_of_holes() {
        let mut state = 1_u64;
        let mut throw = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            (state >> 56) as u8
        };
        let mut sums = [0; 3];
        for number in 0..150_u8 {
            let mut data: Vec<u8> = (0..300).map(|_| throw()).collect();
            // Live, v4 and v6, holding and not, every third signed.
            data[0] = 4 | number & 3 | u8::from(number % 3 == 0) << 3;
            let stats = play(&data);
            let seen = [stats.sent_ahead, stats.hold_timeouts, stats.behalf_acks];
            for (sum, seen) in sums.iter_mut().zip(seen) {
                *sum += seen;
            }
        }
        assert!(sums.iter().all(|&sum| sum > 0), "{sums:?}");
    }

    #[test]
    fn every_script_alone_on_a_perfect_network() {
        for mode in 0..6 {
            for shape in 0..4 {
                fuzz_tcp(&[shape, mode, 5 - mode, 200, 255, 3, 100]);
            }
        }
    }
}
