//! TCP resets: builds the RST pair that ends a tracked connection.
//!
//! Each RST carries exactly the sequence number its receiver expects next,
//! after rewriting; others are only challenged (RFC 5961, 3.2). Not here:
//! deciding to reset (`rule`), sending (`engine`, `capture`).

use super::receive::endpoints;
use super::{Tcp, cause};
use crate::core::{Frame, Op, Step};
use crate::flow::Direction;
use crate::packet::build;
use crate::packet::decode::TcpHeader;
use crate::packet::record::dirty;
use crate::proto::ip;

/// Who gets an RST: bits of `Frame::detail`.
pub const TOWARDS_SERVER: u8 = 1;
pub const TOWARDS_CLIENT: u8 = 2;

/// Sends the RST to the client, then to the server, then drops the flow.
pub fn reset(mut tcp: Tcp<'_>, frame: Frame) -> Option<Step> {
    let (towards, bit) = match frame.stage() {
        0 => (Direction::ToClient, TOWARDS_CLIENT),
        1 => (Direction::ToServer, TOWARDS_SERVER),
        _ => {
            if let Some(top) = tcp.core.stack.last_mut() {
                *top = Frame::on_flow(Op::TcpEnd, frame.flow(), frame.direction())
                    .with(cause::RESET_BY_RULE);
            }
            return None;
        }
    };
    tcp.goto(frame.stage() + 1);
    if frame.detail() & bit != 0
        && let Some(slot) = tcp.build_rst(frame, towards)
    {
        tcp.core.push(Frame::on_packet(Op::Send, slot));
    }
    None
}

impl Tcp<'_> {
    fn build_rst(&mut self, frame: Frame, towards: Direction) -> Option<u32> {
        let record = *self.core.flows.live(frame.flow())?;
        let half = self.half(frame.flow(), towards)?;
        let seq = half.next_seq_on_wire();
        let [client, server] = endpoints(&record);
        let (source, target) = match towards {
            Direction::ToServer => (client, server),
            Direction::ToClient => (server, client),
        };
        let mut packet = Vec::with_capacity(60);
        build::tcp(&mut packet, source, target, seq, TcpHeader::RST);
        let connection = self.connections.get(record.side)?;
        let tags = connection.tags.as_deref().unwrap_or_default();
        let slot = self.core.forge_tagged(&packet, frame.packet(), tags)?;
        ip::adopt(self.core, slot);
        let packet = self.core.packet_mut(slot);
        packet.devices = connection.devices_towards(towards);
        packet.vlan = record.vlan;
        packet.dirty = dirty::NETWORK | dirty::TRANSPORT | dirty::REBUILT;
        Some(slot)
    }
}
