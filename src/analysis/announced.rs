//! Connections that FTP control connections announce: what names data
//! connections, whose own bytes say nothing.
//!
//! Only what both sides of a control connection said in order is believed, and
//! only the address that was said. Not here: what rules are told (`proto::ftp`).

use smallvec::SmallVec;

use super::Endpoint;
use super::application::FTP_PORTS;
use super::flows::Sighting;
use crate::addr::Addr;
use crate::core::expected::Waiting;
use crate::flow::Direction;
use crate::packet::decode::{TunnelKind, protocol};
use crate::proto::ftp::{DataFlow, Message, Mode, Parser};
use crate::proto::parser::SessionParser;
use crate::time::Timestamp;

/// The name of an announced connection.
pub const NAME: &str = "ftp-data";

/// Where a connection is expected, and around what.
type Place = (Endpoint, SmallVec<[u16; 4]>, SmallVec<[TunnelKind; 4]>);

/// Connections that were announced and have not opened yet.
#[derive(Default)]
pub struct Announced(Waiting<Place, ()>);

impl Announced {
    /// Whether the flow that begins with this packet was announced. Its first
    /// packet may be of either side.
    pub fn opens(&mut self, sighting: &Sighting<'_>) -> bool {
        if self.0.is_empty() || sighting.protocol != protocol::TCP {
            return false;
        }
        [sighting.destination, sighting.source]
            .into_iter()
            .any(|end| {
                let place = (end, sighting.vlans.into(), sighting.tunnels.into());
                self.0.take(&place, sighting.timestamp).is_some()
            })
    }

    fn add(&mut self, end: Endpoint, (vlans, tunnels): (&[u16], &[TunnelKind]), now: Timestamp) {
        self.0.add((end, vlans.into(), tunnels.into()), (), now);
    }
}

/// A control connection under way, as far as it can be read.
pub struct Control {
    parser: Parser,
    /// Client and server.
    ends: [Endpoint; 2],
    /// The server sends what the engine takes for the client's.
    swapped: bool,
}

impl Control {
    /// Of a connection between these ends, if one is a server's of FTP.
    pub fn of(ends: [Endpoint; 2]) -> Option<Box<Control>> {
        let [client, server] = ends;
        let swapped = match () {
            () if FTP_PORTS.contains(&server.port) => false,
            () if FTP_PORTS.contains(&client.port) => true,
            () => return None,
        };
        let ends = if swapped { [server, client] } else { ends };
        Some(Box::new(Control {
            parser: Parser::default(),
            ends,
            swapped,
        }))
    }

    /// The next bytes of a direction, and how many the capture lacks behind
    /// them.
    pub fn read(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        missing: u64,
        now: Timestamp,
        around: (&[u16], &[TunnelKind]),
        announced: &mut Announced,
    ) {
        let way = match self.swapped {
            true => direction.opposite(),
            false => direction,
        };
        let mut messages = self.parser.feed(way, bytes);
        if missing > 0 {
            messages.extend(self.parser.gap(way, missing));
        }
        for message in messages {
            let flow = match message {
                Message::Command(command) => command.data_flow,
                Message::Response(response) => response.data_flow,
                Message::Anomaly(_) => None,
            };
            if let Some(flow) = flow {
                announced.add(self.end(flow), around, now);
            }
        }
    }

    /// Where a data connection will lead.
    fn end(&self, flow: DataFlow) -> Endpoint {
        let [client, server] = self.ends;
        let own = match flow.mode {
            Mode::Active => client.addr,
            Mode::Passive => server.addr,
        };
        Endpoint {
            addr: flow.ip.map_or(own, Addr::from),
            port: flow.port,
        }
    }
}
