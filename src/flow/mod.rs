//! Flows: keyed look-up, fixed-address records, timers.
//!
//! [`table::FlowTable`] is the way in: it ties together the records
//! ([`arena`], [`record`]), the index over their keys ([`key`], [`index`])
//! and the idle timers ([`timer`]). One worker owns one table; nothing is shared.
//! Not here: what a flow's protocol knows (it hangs off
//! [`record::FlowRecord::side`]) and the decision what to drop.

pub mod arena;
pub mod index;
pub mod key;
pub mod record;
pub mod table;
pub mod timer;

/// Which way a packet travels on its flow, seen from who opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Direction {
    /// From the client, who sent the first packet. Haka's "up".
    ToServer = 0,
    /// From the server. Haka's "down".
    ToClient = 1,
}

impl Direction {
    /// Both directions, in the order of [`Direction::index`].
    pub const BOTH: [Direction; 2] = [Direction::ToServer, Direction::ToClient];

    /// The other direction.
    #[must_use]
    pub const fn opposite(self) -> Direction {
        match self {
            Direction::ToServer => Direction::ToClient,
            Direction::ToClient => Direction::ToServer,
        }
    }

    /// Place of this direction in two-element arrays: 0 to the server, 1 to the client.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_each_others_opposite() {
        for (at, direction) in Direction::BOTH.into_iter().enumerate() {
            assert_eq!(direction.index(), at);
            assert_ne!(direction.opposite(), direction);
            assert_eq!(direction.opposite().opposite(), direction);
        }
    }
}
