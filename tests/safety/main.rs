//! Rules that run away, hog memory or try to get out: each is stopped and
//! reported with its place, its packet gets the failure policy's verdict, and
//! other flows and rules do not notice.
//!
//! Here: what the parts share: traffic of several flows, and a run of rules on it.

mod budget;
mod determinism;
mod escape;
mod memory;

#[path = "../support/rig.rs"]
mod rig;

use std::collections::BTreeMap;
use std::time::Duration;

use rig::{Rig, Said};
use wero::event::{DropReason, Profile, Settings, Verdict};
use wero::lua::Limits;
use wero::packet::LinkType;
use wero::rule::LoadError;
use wero::time::Timestamp;

/// A packet of the traffic: who sends it, and its bytes.
pub struct Sent {
    pub client: u16,
    pub bytes: Vec<u8>,
}

/// Sum of 16-bit words, folded (RFC 1071).
fn checksum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| low.into()))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn ipv4(protocol: u8, src: u8, dst: u8, mut upper: Vec<u8>, checksum_at: usize) -> Vec<u8> {
    let addresses = [10, 0, 0, src, 10, 0, 0, dst];
    let length = upper.len() as u16;
    let pseudo = [&addresses[..], &[0, protocol], &length.to_be_bytes()].concat();
    let sum = checksum(&[&pseudo, &upper]);
    upper[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
    let mut bytes = vec![0x45, 0];
    bytes.extend((20 + length).to_be_bytes());
    bytes.extend([0, 1, 0, 0, 64, protocol, 0, 0]);
    bytes.extend(addresses);
    let sum = checksum(&[&bytes]);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend(upper);
    bytes
}

fn udp(from: (u8, u16), to: (u8, u16), data: &[u8]) -> Vec<u8> {
    let mut upper = [
        from.1.to_be_bytes(),
        to.1.to_be_bytes(),
        (8 + data.len() as u16).to_be_bytes(),
        [0, 0],
    ]
    .concat();
    upper.extend(data);
    ipv4(17, from.0, to.0, upper, 6)
}

fn tcp(from: (u8, u16), to: (u8, u16), seq: u32, ack: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut upper = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    upper.extend(seq.to_be_bytes());
    upper.extend(ack.to_be_bytes());
    upper.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    upper.extend(data);
    ipv4(6, from.0, to.0, upper, 16)
}

/// Client ports of the TCP connections; a UDP flow runs between them.
pub const CLIENTS: [u16; 3] = [1001, 1002, 1003];
pub const UDP_CLIENT: u16 = 2001;

/// Three connections and a UDP flow, their packets taking turns.
pub fn traffic() -> Vec<Sent> {
    const SYN: u8 = 2;
    const ACK: u8 = 0x10;
    const PUSH: u8 = 0x18;
    const FIN: u8 = 0x11;
    let server = (2, 80);
    let mut packets = Vec::new();
    for step in 0..9 {
        for client in CLIENTS {
            let from = (1, client);
            let bytes = match step {
                0 => tcp(from, server, 99, 0, SYN, b""),
                1 => tcp(server, from, 499, 100, SYN | ACK, b""),
                2 => tcp(from, server, 100, 500, ACK, b""),
                3 => tcp(from, server, 100, 500, PUSH, b"first of all "),
                4 => tcp(server, from, 500, 113, PUSH, b"answer"),
                5 => tcp(from, server, 113, 506, PUSH, b"second part"),
                6 => tcp(from, server, 124, 506, FIN, b""),
                7 => tcp(server, from, 506, 125, FIN, b""),
                _ => tcp(from, server, 125, 507, ACK, b""),
            };
            packets.push(Sent { client, bytes });
        }
        packets.push(Sent {
            client: UDP_CLIENT,
            bytes: udp((1, UDP_CLIENT), (2, 53), b"question"),
        });
    }
    packets
}

/// What became of a run.
pub struct Outcome {
    pub said: Said,
    /// By packet number, from 1.
    pub verdicts: BTreeMap<u64, Verdict>,
    /// Every packet that left, in order.
    pub bytes: Vec<Vec<u8>>,
    pub sent: Vec<Sent>,
}

impl Outcome {
    pub fn errors(&self) -> Vec<&str> {
        self.said.errors()
    }

    /// Numbers of the refused packets of a client, with the reasons.
    pub fn refused(&self, client: u16) -> Vec<(u64, DropReason)> {
        let of_client = |number: u64| self.sent[number as usize - 1].client == client;
        self.verdicts
            .iter()
            .filter(|&(&number, _)| of_client(number))
            .filter_map(|(&number, verdict)| match verdict {
                Verdict::Drop(reason) => Some((number, *reason)),
                _ => None,
            })
            .collect()
    }

    /// Asserts that the packets of a client left as they came.
    pub fn assert_untouched(&self, client: u16, what: &str) {
        assert_eq!(self.refused(client), [], "{what}: packets of {client}");
        for sent in self.sent.iter().filter(|sent| sent.client == client) {
            assert!(
                self.bytes.contains(&sent.bytes),
                "{what}: a packet of {client} was changed"
            );
        }
    }
}

pub fn limits() -> Limits {
    Limits {
        event_time: Duration::from_millis(5),
        load_time: Duration::from_millis(200),
        memory: 24 << 20,
    }
}

pub fn run_with(
    rules: &str,
    modules: &[(&'static str, String)],
    limits: Limits,
) -> Result<Outcome, (LoadError, Said)> {
    let settings = Settings::new(Profile::Wero);
    let mut rig = Rig::load(rules, modules, settings, limits)?;
    let sent = traffic();
    let mut gone = rig.started();
    for (id, packet) in (1..).zip(&sent) {
        let now = Timestamp::new(1_000_000, id as u32 * 1_000_000);
        gone.extend(rig.packet(id, now, LinkType::RAW, &packet.bytes));
    }
    gone.extend(rig.exiting());
    gone.extend(rig.shutdown());
    let (mut verdicts, mut bytes) = (BTreeMap::new(), Vec::new());
    for packet in gone {
        let before = (packet.id != 0)
            .then(|| verdicts.insert(packet.id, packet.verdict))
            .flatten();
        assert_eq!(before, None, "packet {} has two verdicts", packet.id);
        if !packet.refused() {
            bytes.push(packet.bytes);
        }
    }
    assert_eq!(verdicts.len(), sent.len(), "every packet has a verdict");
    Ok(Outcome {
        said: rig.into_said(),
        verdicts,
        bytes,
        sent,
    })
}

pub fn run(rules: &str) -> Outcome {
    run_with(rules, &[], limits()).unwrap_or_else(|(error, _)| panic!("{error}"))
}
