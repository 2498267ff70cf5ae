//! The encapsulations around packets inside tunnels, for those who ask.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::packet::decode::TunnelKind;

/// Kinds of tunnels by packet slot. Empty unless tunnels are inspected.
#[derive(Debug, Default)]
pub struct Tunnels {
    of: HashMap<u32, SmallVec<[TunnelKind; 4]>>,
}

impl Tunnels {
    /// Notes that the packet was found inside such a tunnel.
    pub fn enter(&mut self, packet: u32, kind: TunnelKind) {
        self.of.entry(packet).or_default().push(kind);
    }

    /// Encapsulations passed, outermost first.
    pub fn around(&self, packet: u32) -> &[TunnelKind] {
        self.of.get(&packet).map_or(&[], |kinds| kinds)
    }

    /// The packet is gone.
    pub fn forget(&mut self, packet: u32) {
        if !self.of.is_empty() {
            self.of.remove(&packet);
        }
    }
}
