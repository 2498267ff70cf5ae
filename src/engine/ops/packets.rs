//! What the Lua library does to packets.

use std::ffi::c_void;

use super::{Engine, status, with};
use crate::core::{Frame, Op};
use crate::engine::forge;
use crate::event::DropReason;
use crate::event::ops::{Status, layer};
use crate::packet::record::{dirty, flag, state};
use crate::proto::ip::{self, checksums};
use crate::proto::tcp::Sums;

/// Packets that may wait to be injected.
const MAX_INJECTED: usize = 1024;
/// Bytes of a forged packet.
const MAX_FORGED: u32 = 65_535;

impl Engine {
    fn current_packet(&self, slot: u32, generation: u32) -> Result<(), Status> {
        if self.core.packets.is_current(slot, generation) {
            Ok(())
        } else {
            Err(Status::Stale)
        }
    }

    fn packet_in_hand(&self, slot: u32, generation: u32) -> Result<(), Status> {
        self.current_packet(slot, generation)?;
        if self.core.alive(slot) {
            Ok(())
        } else {
            Err(Status::Stale)
        }
    }

    fn writable_packet(&self, slot: u32, generation: u32) -> Result<(), Status> {
        self.packet_in_hand(slot, generation)?;
        if self.core.packet(slot).flags & flag::READ_ONLY != 0 {
            Err(Status::ReadOnly)
        } else {
            Ok(())
        }
    }

    /// A rule takes a packet that is on its way down, and no connection's.
    fn keep(&mut self, slot: u32) -> Result<(), Status> {
        let of_packet = |frame: &Frame, op| frame.op() == op && frame.packet() == slot;
        let frames = &self.core.stack;
        let comes = frames.iter().any(|frame| of_packet(frame, Op::Receive));
        let leaves = frames.iter().any(|frame| of_packet(frame, Op::Send));
        let packet = self.core.packet(slot);
        let taken = packet.flags & (flag::HELD | flag::KEPT) != 0;
        // What rules made has no verdict that anybody waits for.
        if !comes || leaves || taken || packet.id == 0 {
            return Err(Status::Unsupported);
        }
        self.core.packet_mut(slot).flags |= flag::HELD | flag::KEPT;
        Ok(())
    }

    fn give_back(&mut self, slot: u32) -> Result<(), Status> {
        let packet = self.core.packet_mut(slot);
        if packet.flags & flag::KEPT == 0 {
            return Err(Status::Unsupported);
        }
        packet.flags &= !flag::HELD;
        if packet.flags & flag::REFUSED != 0 {
            self.core.drop_packet(slot, DropReason::Rule);
            return Err(Status::Stale);
        }
        Ok(())
    }

    /// Offset in the frame where the header of a layer begins, and ends.
    fn header(&self, slot: u32, at: u32) -> (usize, usize) {
        let packet = self.core.packet(slot);
        match at {
            layer::LINK => (0, packet.ip_at as usize),
            layer::NETWORK => (packet.ip_at as usize, packet.transport_at as usize),
            _ => (packet.transport_at as usize, packet.end as usize),
        }
    }
}

pub extern "C" fn packet_drop(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    kind: u32,
    listener: u32,
) -> i32 {
    status(engine, |engine| {
        engine.current_packet(slot, generation)?;
        engine.blame(kind, listener);
        engine.core.drop_packet(slot, DropReason::Rule);
        Ok(())
    })
}

pub extern "C" fn packet_keep(engine: *mut c_void, slot: u32, generation: u32) -> i32 {
    status(engine, |engine| {
        engine.packet_in_hand(slot, generation)?;
        engine.keep(slot)
    })
}

pub extern "C" fn packet_return(engine: *mut c_void, slot: u32, generation: u32) -> i32 {
    status(engine, |engine| {
        engine.packet_in_hand(slot, generation)?;
        engine.give_back(slot)
    })
}

pub extern "C" fn packet_refuse(engine: *mut c_void, slot: u32, generation: u32, why: u32) -> i32 {
    status(engine, |engine| {
        engine.packet_in_hand(slot, generation)?;
        engine.give_back(slot)?;
        let reason = match why {
            0 => DropReason::Retransmission,
            1 => DropReason::ReassemblyCap,
            _ => DropReason::Checksum,
        };
        engine.core.drop_packet(slot, reason);
        Ok(())
    })
}

pub extern "C" fn checksum_allows(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    known: u32,
) -> i32 {
    with(engine, -(Status::Busy as i32), |engine| {
        if engine.packet_in_hand(slot, generation).is_err() {
            return -(Status::Stale as i32);
        }
        engine.core.absorb(slot, 2);
        let packet = engine.core.packet(slot);
        let has_data = packet.end > packet.payload_at;
        let known = Sums::from_number(known);
        // What a rule has written into gets its sum on its way out.
        let (found, allowed) = match packet.dirty {
            0 => known.judge(&engine.core, slot, has_data),
            _ => (known, true),
        };
        engine.core.stats.bad_checksums += u64::from(!allowed);
        2 * found as i32 + i32::from(allowed)
    })
}

pub extern "C" fn packet_send(engine: *mut c_void, slot: u32, generation: u32, from: u32) -> i32 {
    status(engine, |engine| {
        engine
            .packet_in_hand(slot, generation)
            .map_err(|_| Status::Unsupported)?;
        if engine.core.packet(slot).flags & flag::HELD != 0 {
            return Err(Status::Unsupported);
        }
        let stage = match from {
            layer::LINK => forge::stage::LINK,
            layer::NETWORK => forge::stage::NETWORK,
            _ => forge::stage::TRANSPORT,
        };
        engine.begin(Frame::on_packet(Op::Send, slot).at(stage))
    })
}

pub extern "C" fn packet_inject(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    _from: u32,
) -> i32 {
    status(engine, |engine| {
        engine.packet_in_hand(slot, generation)?;
        if engine.core.packet(slot).state != state::FORGED {
            return Err(Status::Unsupported);
        }
        if engine.core.injected.len() >= MAX_INJECTED {
            return Err(Status::Full);
        }
        engine.settle_forged(slot);
        let packet = engine.core.packet_mut(slot);
        packet.state = state::NORMAL;
        packet.dirty = 0;
        engine.core.injected.push_back(slot);
        Ok(())
    })
}

pub extern "C" fn packet_create(engine: *mut c_void, size: u32) -> i64 {
    with(engine, -(Status::Busy as i64), |engine| {
        if size > MAX_FORGED {
            return -(Status::Full as i64);
        }
        let cause = engine.core.current.packet;
        match engine.core.forge(&vec![0; size as usize], cause) {
            Some(slot) => i64::from(slot),
            None => -(Status::Full as i64),
        }
    })
}

pub extern "C" fn layer_create(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    at: u32,
    number: u32,
    size: u32,
) -> i32 {
    status(engine, |engine| {
        engine.writable_packet(slot, generation)?;
        if size > MAX_FORGED {
            return Err(Status::Full);
        }
        if at == layer::NETWORK {
            engine.core.absorb(slot, 0);
            ip::create_network(&mut engine.core, slot, number as u8);
        } else {
            engine.core.absorb(slot, 1);
            ip::create_transport(&mut engine.core, slot, number as u8, size as usize);
        }
        Ok(())
    })
}

#[allow(clippy::too_many_arguments)]
pub extern "C" fn write(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    at: u32,
    offset: u32,
    width: u32,
    mask: u32,
    value: u32,
) -> i32 {
    status(engine, |engine| {
        engine.writable_packet(slot, generation)?;
        let (from, end) = engine.header(slot, at);
        let place = from + offset as usize;
        let width = width as usize;
        if place + width > end || !matches!(width, 1 | 2 | 4) {
            return Err(Status::OutOfPacket);
        }
        let Some(field) = engine.core.bytes_mut(slot).get_mut(place..place + width) else {
            return Err(Status::OutOfPacket);
        };
        let old = field
            .iter()
            .fold(0u32, |sum, &byte| sum << 8 | u32::from(byte));
        let new = old & !mask | value & mask;
        for (number, byte) in field.iter_mut().enumerate() {
            *byte = (new >> (8 * (width - 1 - number))) as u8;
        }
        engine.core.packet_mut(slot).dirty |= if at == layer::NETWORK {
            dirty::NETWORK
        } else {
            dirty::TRANSPORT
        };
        if at == layer::NETWORK {
            engine.note_network_write(slot, offset);
        }
        Ok(())
    })
}

pub extern "C" fn write_address(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    which: u32,
    high: u64,
    low: u64,
) -> i32 {
    status(engine, |engine| {
        engine.writable_packet(slot, generation)?;
        let packet = *engine.core.packet(slot);
        let (at, width) = match (packet.ip_version, which) {
            (6, 0) => (8, 16),
            (6, _) => (24, 16),
            (_, 0) => (12, 4),
            _ => (16, 4),
        };
        let mut bytes = [0; 16];
        let (upper, lower) = bytes.split_at_mut(8);
        upper.copy_from_slice(&high.to_be_bytes());
        lower.copy_from_slice(&low.to_be_bytes());
        let place = packet.ip_at as usize + at;
        let own = bytes.get(16 - width..).unwrap_or_default();
        let Some(field) = engine.core.bytes_mut(slot).get_mut(place..place + width) else {
            return Err(Status::OutOfPacket);
        };
        field.copy_from_slice(own);
        engine.core.packet_mut(slot).dirty |= dirty::NETWORK;
        Ok(())
    })
}

pub extern "C" fn dont_reassemble(engine: *mut c_void, slot: u32, generation: u32, on: u32) -> i32 {
    status(engine, |engine| {
        engine.packet_in_hand(slot, generation)?;
        let packet = engine.core.packet_mut(slot);
        if on != 0 {
            packet.flags |= flag::DONT_REASSEMBLE
        } else {
            packet.flags &= !flag::DONT_REASSEMBLE
        }
        Ok(())
    })
}

pub extern "C" fn payload(engine: *mut c_void, slot: u32, generation: u32, at: u32) -> i32 {
    status(engine, |engine| {
        engine.current_packet(slot, generation)?;
        engine
            .core
            .open_payload(slot, at as usize)
            .map(|_| ())
            .ok_or(Status::Full)
    })
}

pub extern "C" fn verify_checksum(engine: *mut c_void, slot: u32, generation: u32, at: u32) -> i32 {
    with(engine, -(Status::Busy as i32), |engine| {
        if engine.current_packet(slot, generation).is_err() {
            return -(Status::Stale as i32);
        }
        let right = match at {
            layer::NETWORK => checksums::header_is_right(&engine.core, slot),
            _ => {
                engine.core.absorb(slot, 2);
                checksums::transport_is_right(&engine.core, slot)
            }
        };
        i32::from(right)
    })
}

pub extern "C" fn compute_checksum(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    at: u32,
) -> i32 {
    status(engine, |engine| {
        engine.writable_packet(slot, generation)?;
        if at == layer::NETWORK {
            checksums::write_header(&mut engine.core, slot);
            engine.core.packet_mut(slot).dirty |= dirty::NETWORK;
        } else {
            engine.core.absorb(slot, 2);
            checksums::write_transport(&mut engine.core, slot);
            engine.core.packet_mut(slot).dirty |= dirty::TRANSPORT;
        }
        Ok(())
    })
}

pub extern "C" fn related(engine: *mut c_void, slot: u32, generation: u32) -> i64 {
    with(engine, -(Status::Busy as i64), |engine| {
        if engine.current_packet(slot, generation).is_err() {
            return -(Status::Stale as i64);
        }
        match ip::related::flow_of(&engine.core, slot) {
            Some((flow, direction)) => i64::from(flow) * 2 + direction as i64,
            None => -(Status::Unsupported as i64),
        }
    })
}

pub extern "C" fn choose(engine: *mut c_void, slot: u32, generation: u32, next: u32) -> i32 {
    status(engine, |engine| {
        engine.current_packet(slot, generation)?;
        engine.core.packet_mut(slot).next = next.min(2) as u8;
        Ok(())
    })
}
