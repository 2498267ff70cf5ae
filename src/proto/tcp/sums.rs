//! How far the checksums of a sender can be believed.
//!
//! A capture that was taken before a network card filled checksums in has
//! wrong ones from the first segment on: those are used. Otherwise a wrong
//! segment never enters a stream.

use crate::core::Core;
use crate::event::profile::Checksums;
use crate::proto::ip::checksums;

/// What is known of a sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Sums {
    #[default]
    Unknown,
    /// Right so far, in segments without data. Some senders leave only those
    /// with data to their network card.
    Empty,
    /// Its first segments were right: wrong ones are damaged or forged.
    Right,
    /// All were wrong so far: the capture was taken before offload.
    Offloaded,
}

impl Sums {
    /// By its number; what is none counts as unknown.
    pub fn from_number(number: u32) -> Sums {
        [Sums::Unknown, Sums::Empty, Sums::Right, Sums::Offloaded]
            .get(number as usize)
            .copied()
            .unwrap_or_default()
    }

    /// What is known once a segment was looked at, and whether it may enter
    /// the stream.
    pub fn judge(self, core: &Core, slot: u32, has_data: bool) -> (Sums, bool) {
        let mode = core.settings.checksums;
        if mode == Checksums::Ignore || mode == Checksums::Auto && self == Sums::Offloaded {
            return (self, true);
        }
        let right = checksums::transport_is_right(core, slot);
        let found = match self {
            Sums::Unknown | Sums::Empty if right && has_data => Sums::Right,
            Sums::Unknown if right => Sums::Empty,
            Sums::Unknown => Sums::Offloaded,
            Sums::Empty if !right && checksums::is_left_to_card(core, slot) => Sums::Offloaded,
            known => known,
        };
        let allowed = right || mode == Checksums::Auto && found == Sums::Offloaded;
        (found, allowed)
    }
}
