//! Bytes that listeners are told of before they are in a stream.
//!
//! Many rules ask how many bytes came, and no more. So a segment that comes
//! alone, in order, to a direction of which nobody holds anything is held
//! like any other, but its bytes enter the stream when a listener looks at
//! them. From then on all bytes of that direction enter it at once: what a
//! rule has kept of one event it may use in the next.

use super::Tcp;
use super::connection::Heavy;
use crate::core::Frame;
use crate::event::EventKind;
use crate::packet::record::flag;
use crate::stream::assembler::Piece;

/// Puts the bytes of the event under way into their stream. False where there
/// is no room.
pub fn show_piece(tcp: Tcp<'_>) -> bool {
    let (flow, direction) = (tcp.core.current.flow, tcp.core.current.way());
    let side = tcp.core.flows.live(flow).map(|record| record.side);
    let Some(connection) = side.and_then(|side| tcp.connections.get_mut(side)) else {
        return true;
    };
    let signed = connection.signed;
    let Some(heavy) = &mut connection.half(direction).heavy else {
        return true;
    };
    heavy.looked_at = true;
    let number = heavy.loose;
    let (Some(held), Some(stream)) = (heavy.held.back_mut(), heavy.stream) else {
        return true;
    };
    let packet = *tcp.core.packet(held.packet);
    let writable = packet.flags & flag::READ_ONLY == 0 && !signed;
    let (from, len) = ((packet.payload_at + held.skip) as usize, held.len as usize);
    let bufs = &mut tcp.core.bufs;
    let pushed = bufs.stream_push_numbered(stream, number, packet.extent, from, len, writable);
    if pushed.is_err() {
        return false;
    }
    held.piece = Some(number);
    tcp.core.current.loose = 0;
    true
}

impl Heavy {
    /// Nothing of the direction is held or queued.
    pub(super) fn is_clear(&self) -> bool {
        self.held.is_empty() && self.assembler.is_empty() && self.early_fin.is_none()
    }
}

impl Tcp<'_> {
    /// Numbers a piece that listeners are shown without its being in the
    /// stream. False, with nothing done, where it has to be there.
    pub(super) fn stays_loose(&mut self, frame: Frame, piece: Piece, closed: bool) -> bool {
        let packet = self.core.packet(piece.token);
        let whole = packet.flags & (flag::SNAPPED | flag::AHEAD) == 0;
        if closed || !whole || piece.len == 0 || !self.core.hooks.hears(EventKind::TcpReceiveData) {
            return false;
        }
        let Some(connection) = self.connection(frame.flow()) else {
            return false;
        };
        let reader = connection.application.as_ref();
        let read = connection.scripted || reader.is_some_and(|attached| attached.reads());
        let heavy = connection.half(frame.direction()).heavy();
        if read || heavy.looked_at || !heavy.is_clear() {
            return false;
        }
        let Some(stream) = self.stream(frame) else {
            return false;
        };
        let Ok(number) = self.core.bufs.stream_number(stream) else {
            return false;
        };
        if let Some(half) = self.half(frame.flow(), frame.direction()) {
            half.heavy().loose = number;
        }
        self.core.current.piece = number as u32;
        self.core.mark_loose();
        true
    }
}
