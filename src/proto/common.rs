//! What dissectors keep for all flows of a worker, and who reads datagrams.

use std::io;

#[cfg(not(feature = "tls"))]
use self::Nobody as Quic;
#[cfg(not(feature = "dns"))]
use self::Nobody as Dns;
#[cfg(feature = "dns")]
use super::dns::Dns;
#[cfg(feature = "tls")]
use super::quic::session::Flows as Quic;
use super::tcp::cause;
use crate::core::{Core, Frame, Op, Step, dissector};
use crate::event::Settings;

/// A dissector of datagrams, for all flows.
pub trait Datagrams: Sized {
    /// # Errors
    /// When the kernel refuses the address space.
    fn new(settings: &Settings) -> io::Result<Self>;

    /// Takes the datagram of the top frame one stage further.
    fn step(&mut self, core: &mut Core, frame: Frame) -> Option<Step>;

    /// A flow ends, by a rule or by time: nothing of it stays held.
    fn ending(&mut self, core: &mut Core, flow: u32, dropped: bool) {
        let _ = (core, flow, dropped);
    }

    /// Whether datagrams are held.
    fn holds(&self) -> bool {
        false
    }

    /// Packets are needed: whatever is held goes on unjudged.
    fn let_all_go(&mut self, core: &mut Core) {
        let _ = core;
    }
}

/// In the place of a dissector that the build leaves out: everything passes.
pub struct Nobody;

impl Datagrams for Nobody {
    fn new(_: &Settings) -> io::Result<Nobody> {
        Ok(Nobody)
    }

    fn step(&mut self, core: &mut Core, frame: Frame) -> Option<Step> {
        if let Some(top) = core.stack.last_mut() {
            *top = Frame::on_packet(Op::Send, frame.packet());
        }
        None
    }
}

pub struct Common {
    pub dns: Dns,
    pub quic: Quic,
}

impl Common {
    /// # Errors
    /// When the kernel refuses the address space.
    pub fn new(settings: &Settings) -> io::Result<Common> {
        Ok(Common {
            dns: Datagrams::new(settings)?,
            quic: Datagrams::new(settings)?,
        })
    }

    /// Takes a datagram of a flow that a native dissector reads one stage
    /// further.
    pub fn datagram(&mut self, core: &mut Core, frame: Frame) -> Option<Step> {
        let reads = core.flows.live(frame.flow()).map(|record| record.side);
        if reads == Some(u32::from(dissector::QUIC)) {
            return self.quic.step(core, frame);
        }
        self.dns.step(core, frame)
    }

    /// A UDP flow is about to end.
    pub fn flow_ending(&mut self, core: &mut Core, frame: Frame) {
        if frame.stage() == 0 {
            let dropped = frame.detail() == cause::DROPPED;
            self.quic.ending(core, frame.flow(), dropped);
        }
    }
}
