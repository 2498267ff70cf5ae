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

mod editor;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use editor::{Editor, Script};

use super::{Engine, Shared, run};
use crate::addr::Addr;
use crate::core::{Frame, Op, Stats};
use crate::event::{EventKind, Profile, Settings, Verdict};
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
mod tests;
