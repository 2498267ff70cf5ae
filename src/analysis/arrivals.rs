//! When the bytes came that a parser keeps, for messages that wait for what the
//! other side says: they belong to the packet that brought their last byte.

use std::collections::VecDeque;

use crate::flow::Direction;
use crate::proto::parser::Waited;

/// Both directions of a stream; `T` is when something comes.
#[derive(Clone, Debug)]
pub struct Arrivals<T> {
    sides: [Side<T>; 2],
}

#[derive(Clone, Debug)]
struct Side<T> {
    /// Bytes fed so far.
    fed: u64,
    /// What is kept, the oldest first: where each chunk ended, and when it came.
    chunks: VecDeque<(u64, T)>,
}

impl<T> Default for Arrivals<T> {
    fn default() -> Self {
        let side = || Side {
            fed: 0,
            chunks: VecDeque::new(),
        };
        Arrivals {
            sides: [side(), side()],
        }
    }
}

impl<T: Copy> Arrivals<T> {
    /// Bytes are about to be fed.
    pub fn add(&mut self, direction: Direction, bytes: usize, at: T) {
        let side = &mut self.sides[direction.index()];
        side.fed += bytes as u64;
        side.chunks.push_back((side.fed, at));
    }

    /// Who sent a message and when, given what a parser that was fed by a
    /// direction now says of it.
    pub fn origin(&self, fed: Direction, now: T, waited: Option<Waited>) -> (Direction, T) {
        let Some(waited) = waited else {
            return (fed, now);
        };
        let side = &self.sides[waited.direction.index()];
        let end = side.fed.saturating_sub(waited.behind);
        let brought = side.chunks.iter().find(|(chunk, _)| *chunk >= end);
        (waited.direction, brought.map_or(now, |(_, at)| *at))
    }

    /// Forgets what does not wait: so many bytes of each direction do.
    pub fn keep(&mut self, waiting: impl Fn(Direction) -> u64) {
        for direction in Direction::BOTH {
            let side = &mut self.sides[direction.index()];
            let begin = side.fed.saturating_sub(waiting(direction));
            while side.chunks.front().is_some_and(|(end, _)| *end <= begin) {
                side.chunks.pop_front();
            }
        }
    }
}

/// The mark of each message that a parser gave, by its place.
pub fn marks(waited: &[Waited]) -> impl FnMut(usize) -> Option<Waited> + '_ {
    let mut marks = waited.iter().copied().peekable();
    move |place| marks.next_if(|mark| mark.place == place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    #[test]
    fn what_waited_came_with_its_last_byte() {
        let mut arrivals = Arrivals::default();
        for (bytes, at) in [(5, 1), (10, 2), (3, 3)] {
            arrivals.add(ToServer, bytes, at);
        }
        let came = |behind| {
            let direction = ToServer;
            let waited = Waited {
                place: 0,
                direction,
                behind,
            };
            arrivals.origin(ToClient, 9, Some(waited))
        };
        assert_eq!(came(0), (ToServer, 3));
        assert_eq!(came(2), (ToServer, 3));
        assert_eq!(came(3), (ToServer, 2));
        assert_eq!(came(13), (ToServer, 1));
        assert_eq!(arrivals.origin(ToClient, 9, None), (ToClient, 9));
        arrivals.keep(|_| 4);
        assert_eq!(arrivals.sides[0].chunks, [(15, 2), (18, 3)]);
    }
}
