//! A TCP connection written segment by segment, and what an engine lets
//! through of it, read by smoltcp: numbers count from the two SYNs.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    IpAddress, IpProtocol, IpRepr, Ipv4Repr, Ipv6Repr, TcpControl, TcpPacket, TcpRepr,
    TcpSeqNumber, TcpTimestampRepr,
};
use wero::core::Stats;
use wero::event::{DropReason, Settings, Verdict};
use wero::lua::Limits;
use wero::packet::LinkType;
use wero::time::Timestamp;

use crate::rig::{Gone, Rig, Said};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}
pub use Side::{Client, Server};

impl Side {
    fn other(self) -> Side {
        match self {
            Client => Server,
            Server => Client,
        }
    }
}

/// How the two ends open the connection.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub family: u8,
    pub sack: bool,
    pub stamps: bool,
    pub port: u16,
}

/// Both families, where nothing else is to differ.
pub const FAMILIES: [Manner; 2] = [manner(4), manner(6)];

pub const fn manner(family: u8) -> Manner {
    Manner {
        family,
        sack: true,
        stamps: false,
        port: 8080,
    }
}

/// Full segments of these connections.
pub const MSS: u16 = 1000;
/// Both streams pass the end of the numbers.
const FIRST: [u32; 2] = [u32::MAX - 20, u32::MAX - 2000];

/// A segment to be sent; `at` and `ack` count stream bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    pub at: i64,
    pub ack: i64,
    pub bytes: &'a [u8],
    pub fin: bool,
    pub rst: bool,
    pub window: u16,
    pub stamp: Option<(u32, u32)>,
    pub sack: Option<(i64, i64)>,
    /// A byte of it was damaged on the way.
    pub damaged: bool,
}

pub fn data(at: i64, bytes: &[u8]) -> Sent<'_> {
    Sent {
        at,
        ack: 0,
        bytes,
        fin: false,
        rst: false,
        window: 60_000,
        stamp: None,
        sack: None,
        damaged: false,
    }
}

/// A segment that came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub from: Side,
    pub verdict: Verdict,
    /// Number of the packet that it was; 0 for one of our own.
    pub id: u64,
    pub at: i64,
    pub ack: i64,
    pub bytes: Vec<u8>,
    pub fin: bool,
    pub rst: bool,
    pub window: u16,
    pub stamp: Option<(u32, u32)>,
    pub sack: Vec<(i64, i64)>,
}

pub struct Talk {
    rig: Rig,
    manner: Manner,
    id: u64,
    /// Milliseconds.
    pub now: i64,
    refused: Vec<(u64, DropReason)>,
    verdicts: Vec<u64>,
    /// The next packet loses a bit of its last byte.
    damages: bool,
}

impl Talk {
    /// A connection that is open, and what the rules make of it.
    pub fn open(rules: &str, settings: Settings, manner: Manner) -> Talk {
        let mut rig = Rig::load(rules, &[], settings, Limits::default())
            .unwrap_or_else(|(error, _)| panic!("{error}"));
        rig.started();
        let mut talk = Talk {
            rig,
            manner,
            id: 0,
            now: 1000,
            refused: Vec::new(),
            verdicts: Vec::new(),
            damages: false,
        };
        assert_eq!(talk.syn(Client).len(), 1);
        assert_eq!(talk.syn(Server).len(), 1);
        assert_eq!(talk.send(Client, data(0, b"")).len(), 1);
        talk
    }

    pub fn send(&mut self, from: Side, sent: Sent<'_>) -> Vec<Seen> {
        let control = match (sent.fin, sent.bytes.is_empty()) {
            _ if sent.rst => TcpControl::Rst,
            (true, _) => TcpControl::Fin,
            (false, false) => TcpControl::Psh,
            (false, true) => TcpControl::None,
        };
        self.damages = sent.damaged;
        let own = FIRST[from as usize].wrapping_add(1);
        let theirs = FIRST[from.other() as usize].wrapping_add(1);
        let stamp = sent
            .stamp
            .map(|(own, echo)| TcpTimestampRepr::new(own, echo));
        let block = sent.sack.map(|(left, right)| {
            (
                theirs.wrapping_add(left as u32),
                theirs.wrapping_add(right as u32),
            )
        });
        self.transmit(
            from,
            TcpRepr {
                control,
                seq_number: TcpSeqNumber(own.wrapping_add(sent.at as u32) as i32),
                ack_number: Some(TcpSeqNumber(theirs.wrapping_add(sent.ack as u32) as i32)),
                window_len: sent.window,
                sack_ranges: [block, None, None],
                timestamp: stamp,
                payload: sent.bytes,
                ..self.blank(from)
            },
        )
    }

    /// So many milliseconds without a packet; the engine is woken as it asks.
    pub fn wait(&mut self, span: i64) -> Vec<Seen> {
        let until = self.now + span;
        let mut seen = Vec::new();
        while let Some(next) = self.rig.next_timeout()
            && next.0 <= until * 1_000_000
        {
            self.now = self.now.max(next.0.div_euclid(1_000_000));
            let gone = self.rig.wake(next);
            seen.extend(self.read(gone));
            if self.rig.next_timeout() == Some(next) {
                break;
            }
        }
        self.now = until;
        seen
    }

    /// Ends the capture: every packet had one verdict by then.
    pub fn close(mut self) -> (Vec<Seen>, Stats, Said) {
        let gone = self.rig.shutdown();
        let seen = self.read(gone);
        let mut verdicts = std::mem::take(&mut self.verdicts);
        verdicts.sort_unstable();
        let all: Vec<u64> = (1..=self.id).collect();
        assert_eq!(verdicts, all, "one verdict for each packet");
        let engine = self.rig.engine.borrow();
        assert_eq!(engine.core.packets.len(), 0, "nobody keeps a packet");
        let stats = engine.core.stats.clone();
        drop(engine);
        (seen, stats, self.rig.into_said())
    }

    pub fn stats(&self) -> Stats {
        self.rig.engine.borrow().core.stats.clone()
    }

    pub fn printed(&self) -> String {
        self.rig.said().printed.clone()
    }

    /// Packets that were refused so far.
    pub fn refused(&self) -> &[(u64, DropReason)] {
        &self.refused
    }

    fn syn(&mut self, from: Side) -> Vec<Seen> {
        let theirs = FIRST[from.other() as usize].wrapping_add(1);
        let stamp = self.manner.stamps.then(|| TcpTimestampRepr::new(1, 0));
        self.transmit(
            from,
            TcpRepr {
                control: TcpControl::Syn,
                seq_number: TcpSeqNumber(FIRST[from as usize] as i32),
                ack_number: (from == Server).then_some(TcpSeqNumber(theirs as i32)),
                max_seg_size: Some(MSS),
                sack_permitted: self.manner.sack,
                timestamp: stamp,
                ..self.blank(from)
            },
        )
    }

    fn blank(&self, from: Side) -> TcpRepr<'static> {
        let ports = [40_000, self.manner.port];
        TcpRepr {
            src_port: ports[from as usize],
            dst_port: ports[from.other() as usize],
            control: TcpControl::None,
            seq_number: TcpSeqNumber(0),
            ack_number: None,
            window_len: 60_000,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        }
    }

    fn address(&self, side: Side) -> IpAddress {
        let last = side as u8 + 1;
        match self.manner.family {
            4 => IpAddress::v4(10, 0, 0, last),
            _ => IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)),
        }
    }

    fn transmit(&mut self, from: Side, segment: TcpRepr<'_>) -> Vec<Seen> {
        let (source, target) = (self.address(from), self.address(from.other()));
        let length = segment.buffer_len();
        let network = match (source, target) {
            (IpAddress::Ipv4(src_addr), IpAddress::Ipv4(dst_addr)) => IpRepr::Ipv4(Ipv4Repr {
                src_addr,
                dst_addr,
                next_header: IpProtocol::Tcp,
                payload_len: length,
                hop_limit: 64,
            }),
            (IpAddress::Ipv6(src_addr), IpAddress::Ipv6(dst_addr)) => IpRepr::Ipv6(Ipv6Repr {
                src_addr,
                dst_addr,
                next_header: IpProtocol::Tcp,
                payload_len: length,
                hop_limit: 64,
            }),
            _ => unreachable!("both ends are of one family"),
        };
        let mut packet = vec![0; network.buffer_len()];
        let sums = ChecksumCapabilities::default();
        network.emit(&mut packet, &sums);
        let payload = &mut packet[network.header_len()..];
        segment.emit(
            &mut TcpPacket::new_unchecked(payload),
            &source,
            &target,
            &sums,
        );
        if let Some(last) = packet.last_mut().filter(|_| self.damages) {
            *last ^= 1;
        }
        self.id += 1;
        let time = Timestamp(self.now * 1_000_000);
        let gone = self.rig.packet(self.id, time, LinkType::RAW, &packet);
        self.read(gone)
    }

    fn read(&mut self, gone: Vec<Gone>) -> Vec<Seen> {
        let mut seen = Vec::new();
        for packet in gone {
            if packet.id > 0 {
                self.verdicts.push(packet.id);
            }
            match packet.verdict {
                Verdict::Drop(reason) => self.refused.push((packet.id, reason)),
                _ => seen.push(self.segment(&packet)),
            }
        }
        seen
    }

    fn segment(&self, packet: &Gone) -> Seen {
        let bytes = &packet.bytes;
        let (at, source) = match bytes[0] >> 4 {
            4 => (20, bytes[15]),
            _ => (40, bytes[23]),
        };
        let from = if source == 1 { Client } else { Server };
        let (source, target) = (self.address(from), self.address(from.other()));
        let tcp = TcpPacket::new_checked(&bytes[at..]).expect("a whole segment");
        let segment = TcpRepr::parse(&tcp, &source, &target, &ChecksumCapabilities::default())
            .expect("right numbers and sums");
        let count = |number: u32, side: Side| {
            i64::from(number.wrapping_sub(FIRST[side as usize].wrapping_add(1)) as i32)
        };
        let blocks = segment.sack_ranges.iter().flatten();
        Seen {
            from,
            verdict: packet.verdict,
            id: packet.id,
            at: count(segment.seq_number.0 as u32, from),
            ack: segment
                .ack_number
                .map_or(-1, |number| count(number.0 as u32, from.other())),
            bytes: segment.payload.to_vec(),
            fin: segment.control == TcpControl::Fin,
            rst: segment.control == TcpControl::Rst,
            window: segment.window_len,
            stamp: segment.timestamp.map(|stamp| (stamp.tsval, stamp.tsecr)),
            sack: blocks
                .map(|&(left, right)| (count(left, from.other()), count(right, from.other())))
                .collect(),
        }
    }
}
