//! Fragments: held until their datagram is whole, judged once as a whole,
//! and sent as the fragments they were.
//!
//! The datagram is a packet record of its own that carries the header of
//! the first fragment; its verdict is that of all its fragments. An edited
//! datagram leaves under the original fragment headers, each with its share
//! of the new payload.

use std::time::Duration;

use smallvec::SmallVec;

use super::Engine;
use crate::core::Output;
use crate::event::{DropReason, Verdict};
use crate::packet::decode::{self, IpHeader};
use crate::packet::fragment::{Datagram, FragmentKey, Limits, Outcome, Part, Piece, Refusal};
use crate::packet::record::{dirty, flag, state};
use crate::proto::ip::{self, checksums};
use crate::time::Timestamp;

/// Caps of reassembly; the oldest datagram gives way.
pub const LIMITS: Limits = Limits {
    max_datagrams: 4096,
    max_bytes: 16 << 20,
    timeout: Duration::from_secs(30),
    max_fragments_per_datagram: 1024,
};

/// Adds a fragment to its datagram. Returns the slot that stands for the
/// datagram once it is whole.
pub fn collect(engine: &mut Engine, slot: u32) -> Option<u32> {
    let core = &mut engine.core;
    core.stats.fragments += 1;
    let Ok(header) = ip::header(core, slot) else {
        return None;
    };
    let fragment = header.fragment?;
    let packet = *core.packet(slot);
    let key = FragmentKey {
        src: header.src,
        dst: header.dst,
        id: fragment.id,
        protocol: if header.version == 4 {
            header.protocol
        } else {
            0
        },
        version: header.version,
        discriminator: u64::from(packet.vlan) << 32 | u64::from(packet.tunnel),
    };
    let header_len = if header.version == 4 {
        header.header_len
    } else {
        fragment.unfragmentable_len - 40
    };
    let outcome = {
        let extent = packet.extent;
        let bytes = core.bufs.extents.bytes(extent);
        let payload = bytes
            .get(header.payload_at()..packet.end as usize)
            .unwrap_or_default();
        let piece = Piece {
            offset: fragment.offset,
            more: fragment.more,
            header_len: header_len as u32,
            payload,
            token: slot,
        };
        engine.reassembler.insert(core.now, key, piece)
    };
    core.packet_mut(slot).flags |= flag::HELD;
    let evicted: SmallVec<[u32; 8]> = engine.reassembler.evicted().collect();
    if !evicted.is_empty() {
        let (name, limit) = if engine.reassembler.len() >= LIMITS.max_datagrams {
            ("fragment_datagrams", LIMITS.max_datagrams)
        } else {
            ("fragment_bytes", LIMITS.max_bytes)
        };
        core.tell_cap(None, name, limit as u64);
    }
    for token in evicted {
        core.drop_packet_with(token, DropReason::FragmentCap);
    }
    core.stats.fragment_conflicts = engine.reassembler.counters().conflicts;
    match outcome {
        Outcome::Held => None,
        Outcome::Refused { reason, also } => {
            for token in also {
                core.drop_packet_with(token, DropReason::Fragment);
            }
            if matches!(
                reason,
                Refusal::BeyondEnd | Refusal::TooLong | Refusal::Misaligned
            ) {
                core.alert(
                    if header.version == 4 {
                        "invalid ipv4 fragment"
                    } else {
                        "invalid ipv6 fragment"
                    },
                    true,
                    Some([(header.src, None), (header.dst, None)]),
                );
            }
            core.drop_packet(slot, DropReason::Fragment);
            None
        }
        Outcome::Complete(datagram) => {
            let whole = assemble(engine, &datagram, slot);
            engine.reassembler.recycle(datagram);
            whole
        }
    }
}

/// Makes the packet that stands for a whole datagram.
fn assemble(engine: &mut Engine, datagram: &Datagram, last: u32) -> Option<u32> {
    let core = &mut engine.core;
    let first = datagram.parts.first()?.token;
    let Ok(header) = ip::header(core, first) else {
        return None;
    };
    let head = core
        .bytes(first)
        .get(..header.payload_at())
        .unwrap_or_default();
    let mut frame = Vec::with_capacity(head.len() + datagram.payload.len());
    frame.extend_from_slice(head);
    frame.extend_from_slice(&datagram.payload);
    let Some(slot) = core.packets.alloc() else {
        core.tell_cap(None, "max_packets", u64::from(core.settings.max_packets));
        for part in &datagram.parts {
            core.drop_packet_with(part.token, DropReason::PacketCap);
        }
        return None;
    };
    core.fill(slot, &frame);
    let (first, last) = (*core.packet(first), *core.packet(last));
    let packet = core.packet_mut(slot);
    packet.state = state::NORMAL;
    packet.id = first.id;
    packet.timestamp = last.timestamp;
    packet.link = first.link;
    packet.ip_version = first.ip_version;
    packet.ip_at = first.ip_at;
    packet.vlan = first.vlan;
    packet.tunnel = first.tunnel;
    packet.depth = first.depth;
    packet.flags = flag::REASSEMBLED | (first.flags & flag::READ_ONLY);
    packet.wire_len = packet.len;
    packet.end = packet.len;
    let (protocol, at) = upper(&header, core.bytes(slot));
    let packet = core.packet_mut(slot);
    packet.protocol = protocol;
    packet.transport_at = (at as u32).min(packet.len);
    packet.payload_at = packet.transport_at;
    core.datagrams.insert(slot, datagram.parts.clone());
    if core.observer.is_some() {
        let tokens: SmallVec<[u32; 8]> = datagram.parts.iter().map(|part| part.token).collect();
        core.observe(|observer, core| observer.assembled(core, slot, &tokens));
    }
    Some(slot)
}

/// The upper layer of a whole datagram: extension headers may follow the
/// fragment header.
fn upper(header: &IpHeader, bytes: &[u8]) -> (u8, usize) {
    if header.version == 4 {
        return (header.protocol, header.payload_at());
    }
    decode::upper_layer(bytes, header.protocol, header.payload_at(), bytes.len())
        .unwrap_or((header.protocol, header.payload_at()))
}

/// Sends the fragments of a datagram: untouched as they came, else with
/// their share of the new payload.
pub fn send(engine: &mut Engine, datagram: u32) {
    let core = &mut engine.core;
    let parts = core.datagrams.remove(&datagram).unwrap_or_default();
    let packet = *core.packet(datagram);
    core.packet_mut(datagram).state = state::SENT;
    if packet.dirty != 0 && packet.flags & flag::READ_ONLY == 0 {
        share_out(engine, datagram, &parts);
    }
    let core = &mut engine.core;
    let mut sent: SmallVec<[u32; 16]> = SmallVec::new();
    for part in &parts {
        if sent.contains(&part.token) || !core.packets.is_live(part.token) {
            continue;
        }
        sent.push(part.token);
        let fragment = core.packet_mut(part.token);
        if fragment.state != state::NORMAL {
            continue;
        }
        fragment.flags &= !flag::HELD;
        if fragment.flags & flag::REFUSED != 0 {
            core.drop_packet(part.token, DropReason::Rule);
            continue;
        }
        fragment.state = state::SENT;
        let verdict = if fragment.dirty == 0 {
            Verdict::Accept
        } else {
            Verdict::Rewrite
        };
        match verdict {
            Verdict::Accept => core.stats.accepted += 1,
            _ => core.stats.rewritten += 1,
        }
        core.outputs.push_back(Output {
            packet: part.token,
            verdict,
            listener: None,
        });
    }
    core.packets.retire(datagram);
}

/// Gives each fragment its share of a datagram's new payload. Bytes that
/// were inserted belong to the fragment in which they were.
fn share_out(engine: &mut Engine, datagram: u32, parts: &[Part]) {
    let core = &mut engine.core;
    let whole = *core.packet(datagram);
    let header = core
        .bytes(datagram)
        .get(..whole.ip_at as usize + 20)
        .unwrap_or_default()
        .to_vec();
    let Ok(first) = parts
        .first()
        .map_or(Err(()), |part| ip::header(core, part.token).map_err(|_| ()))
    else {
        return;
    };
    let payload_at = first.payload_at();
    let new: Vec<u8> = core
        .bytes(datagram)
        .get(payload_at..whole.end as usize)
        .unwrap_or_default()
        .to_vec();
    let old: Vec<u8> = parts
        .iter()
        .flat_map(|part| {
            let Ok(header) = ip::header(core, part.token) else {
                return Vec::new();
            };
            let fragment_offset = header.fragment.map_or(0, |fragment| fragment.offset);
            let from = header.payload_at() + part.offset.saturating_sub(fragment_offset) as usize;
            core.bytes(part.token)
                .get(from..from + part.len as usize)
                .unwrap_or_default()
                .to_vec()
        })
        .collect();
    let prefix = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let room = old.len().min(new.len()) - prefix;
    let suffix = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take(room)
        .take_while(|(a, b)| a == b)
        .count();
    let place = |at: usize| {
        if at <= prefix {
            at
        } else if at >= old.len() - suffix || new.len() >= old.len() {
            (at + new.len()).saturating_sub(old.len()).min(new.len())
        } else {
            at.min(new.len() - suffix)
        }
    };
    let mut from = 0;
    let mut covered = 0;
    for (number, part) in parts.iter().enumerate() {
        covered += part.len as usize;
        let last = number + 1 == parts.len();
        let mut to = if last {
            new.len()
        } else {
            place(covered).max(from)
        };
        if !last && !engine.core.settings.defaults.plain_segments {
            // Offsets count in units of eight bytes.
            to = (from + (to - from) / 8 * 8).min(new.len());
        }
        rewrite(
            engine,
            part.token,
            &header,
            number == 0,
            from,
            new.get(from..to).unwrap_or_default(),
            !last,
        );
        from = to;
    }
}

/// Puts a share of the payload behind the header of one fragment.
fn rewrite(
    engine: &mut Engine,
    slot: u32,
    edited: &[u8],
    first: bool,
    offset: usize,
    share: &[u8],
    more: bool,
) {
    let core = &mut engine.core;
    let Ok(header) = ip::header(core, slot) else {
        return;
    };
    let Some(fragment) = header.fragment else {
        return;
    };
    let packet = *core.packet(slot);
    let frame = core.bytes(slot);
    let mut bytes = frame
        .get(..header.payload_at())
        .unwrap_or_default()
        .to_vec();
    if first
        && header.version == 4
        && let (Some(own), Some(new)) = (
            bytes.get_mut(header.at..header.at + 20),
            edited.get(header.at..header.at + 20),
        )
    {
        own.copy_from_slice(new);
    }
    bytes.extend_from_slice(share);
    let end = bytes.len();
    bytes.extend_from_slice(frame.get(packet.end as usize..).unwrap_or_default());
    core.refill(slot, &bytes);
    core.packet_mut(slot).end = end as u32;
    let units = (offset / 8) as u16;
    if header.version == 4 {
        let at = header.at + 6;
        let keep = core.bytes(slot).get(at).copied().unwrap_or(0) & 0xc0;
        let field = u16::from(keep) << 8 | u16::from(more) << 13 | units;
        checksums::put_u16(core, slot, at, field);
    } else {
        checksums::put_u16(
            core,
            slot,
            fragment.header_at + 2,
            units << 3 | u16::from(more),
        );
    }
    core.packet_mut(slot).dirty |= dirty::NETWORK;
    ip::write_length(core, slot);
    checksums::write_header(core, slot);
}

impl Engine {
    /// Drops fragments whose datagram never became whole.
    pub(super) fn expire_fragments(&mut self, now: Timestamp) {
        if self.reassembler.is_empty() {
            return;
        }
        let mut tokens = Vec::new();
        self.reassembler.expire(now, &mut tokens);
        for token in tokens {
            self.core
                .drop_packet_with(token, DropReason::FragmentTimeout);
        }
    }

    /// Gives up all incomplete datagrams: at the end, or for want of room.
    pub(super) fn abandon_fragments(&mut self, reason: DropReason) {
        let mut tokens = Vec::new();
        self.reassembler.clear(&mut tokens);
        for token in tokens {
            self.core.drop_packet_with(token, reason);
        }
    }
}
