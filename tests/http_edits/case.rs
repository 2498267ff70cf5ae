//! One connection of the grid: what is said on it, what rules make of it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::message::{Framing, Message, Order};
use super::tshark::Read;
use crate::captures::conversation::{Conversation, client};

/// Small, so that a body has several segments and a few kilobytes many.
pub const MSS: usize = 536;

const BODY: usize = 2000;
const TOKEN: usize = 12;
/// Longer than a segment: some segment has nothing else.
const WIDE_TOKEN: usize = 2 * MSS;
const MUCH: usize = 3000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    Up,
    Down,
}

/// What is written in the place of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    Nothing,
    Shorter,
    /// As many bytes over the old ones: the rule need not ask for another size.
    InPlace,
    Equal,
    Longer,
    MuchLonger,
}

/// Where the token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The first bytes of the body.
    Start,
    FirstSegment,
    MiddleSegment,
    LastSegment,
    /// The last bytes of the body.
    End,
    /// In two segments.
    SegmentSeam,
    /// In two chunks.
    ChunkSeam,
    /// It fills whole segments.
    Wide,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    Same,
    Added,
    Removed,
    /// Another uri or reason.
    StartLine,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub port: u16,
    family: Family,
    direction: Direction,
    framing: Framing,
    pipelined: bool,
    edit: Edit,
    place: Place,
    head: Head,
}

const WAYS: [(Direction, Framing); 5] = [
    (Direction::Up, Framing::Length),
    (Direction::Up, Framing::Chunked),
    (Direction::Down, Framing::Length),
    (Direction::Down, Framing::Chunked),
    (Direction::Down, Framing::UntilClose),
];

const EDITS: [Edit; 6] = [
    Edit::Nothing,
    Edit::Shorter,
    Edit::InPlace,
    Edit::Equal,
    Edit::Longer,
    Edit::MuchLonger,
];

const PLACES: [Place; 8] = [
    Place::Start,
    Place::FirstSegment,
    Place::MiddleSegment,
    Place::LastSegment,
    Place::End,
    Place::SegmentSeam,
    Place::ChunkSeam,
    Place::Wide,
];

const HEADS: [Head; 4] = [Head::Same, Head::Added, Head::Removed, Head::StartLine];

impl Case {
    /// Every combination; heads come in turn, so that each meets each value
    /// of the others.
    pub fn all(family: Family) -> Vec<Case> {
        let mut cases = Vec::new();
        for (way, (direction, framing)) in WAYS.into_iter().enumerate() {
            for pipelined in [false, true] {
                for (row, edit) in EDITS.into_iter().enumerate() {
                    for (column, place) in PLACES.into_iter().enumerate() {
                        if place == Place::ChunkSeam && framing != Framing::Chunked {
                            continue;
                        }
                        let turn = way + usize::from(pipelined) + row + column;
                        let heads = match edit {
                            // Acknowledgements of what a listener holds before
                            // anything was changed leave as they were recorded.
                            Edit::InPlace => &HEADS[1..],
                            _ => &HEADS,
                        };
                        cases.push(Case {
                            port: 20_000 + cases.len() as u16,
                            family,
                            direction,
                            framing,
                            pipelined,
                            edit,
                            place,
                            head: heads[turn % heads.len()],
                        });
                    }
                }
            }
        }
        cases
    }

    /// When it begins: some are under way at a time.
    pub fn start(&self) -> Duration {
        Duration::from_millis(7) * u32::from(self.port - 20_000)
    }

    pub fn conversation(&self) -> Conversation {
        let (from, to) = match self.family {
            Family::V4 => ("10.1.0.7", "10.2.0.80"),
            Family::V6 => ("[2001:db8:1::7]", "[2001:db8:2::80]"),
        };
        let from = format!("{from}:{}", self.port);
        let mut talk = client(&from, &format!("{to}:80")).with_mss(MSS as u16);
        talk.handshake();
        let [requests, responses] = [Direction::Up, Direction::Down].map(|direction| {
            let messages = self.messages(direction);
            messages.iter().map(Message::bytes).collect::<Vec<_>>()
        });
        if self.pipelined {
            burst(&requests.concat(), |piece| talk.client().sends(piece));
            talk.server().acks();
            burst(&responses.concat(), |piece| talk.server().sends(piece));
            talk.client().acks();
        } else {
            for (request, response) in requests.iter().zip(&responses) {
                talk.client_says(request);
                talk.server_says(response);
            }
        }
        if self.framing == Framing::UntilClose {
            talk.server().fin();
            talk.client().fin();
        } else {
            talk.closes();
        }
        talk
    }

    /// What either side's messages are when they have passed the rules.
    pub fn expected(&self) -> [(Direction, Read); 2] {
        [Direction::Up, Direction::Down].map(|direction| {
            let mut read = Read::default();
            for message in self.messages(direction) {
                message.edited().read_into(&mut read);
            }
            (direction, read)
        })
    }

    /// Three of them; the rules leave the second one alone.
    fn messages(&self, direction: Direction) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut place = 0;
        for number in 0..3 {
            let message = self.message(direction, number, place);
            if self.pipelined {
                place += message.bytes().len();
            }
            messages.push(message);
        }
        messages
    }

    /// A message that begins `place` bytes behind the start of a segment.
    fn message(&self, direction: Direction, number: usize, place: usize) -> Message {
        if direction != self.direction {
            return Message::plain(direction, number);
        }
        // Only the last one can last until the end.
        let framing = match self.framing {
            Framing::UntilClose if number < 2 => Framing::Length,
            framing => framing,
        };
        let order = |len| Order {
            at: 0,
            len,
            written: match self.edit {
                Edit::Nothing => 0,
                Edit::Shorter => len / 2,
                Edit::InPlace | Edit::Equal => len,
                Edit::Longer => len + 10,
                Edit::MuchLonger => MUCH,
            },
            resized: self.edit != Edit::InPlace,
            head: self.head,
        };
        let len = if self.place == Place::Wide {
            WIDE_TOKEN
        } else {
            TOKEN
        };
        let order = (number != 1).then(|| order(len));
        let fitting = |padding| {
            let mut message = Message::new(direction, number, framing, BODY, order);
            message.pad(padding);
            if is_cut_between_chunks(place, &message) {
                return None;
            }
            if message.order.is_some() {
                let at = token_at(self.place, len, place, &message)?;
                message.order = order.map(|order| Order { at, ..order });
            }
            Some(message)
        };
        // The head is as long as it must be for the body to be cut where the
        // token fits.
        (0..MSS)
            .find_map(fitting)
            .expect("some body has such a place")
    }
}

/// Whether a segment ends in the lines between chunks, or may once the body
/// has grown a little: tshark (4.0) then takes right messages for malformed
/// ones.
fn is_cut_between_chunks(start: usize, message: &Message) -> bool {
    const A_LITTLE: usize = 40;
    let wire = message.wire_offsets();
    let body = wire[0].0..message.bytes().len();
    let data: BTreeSet<usize> = wire.into_iter().map(|(at, _)| at).collect();
    let is_between =
        |at: usize| body.contains(&at) && !(data.contains(&at) && data.contains(&(at - 1)));
    let segments = start / MSS + 1..=(start + body.end) / MSS;
    let mut ends = segments.map(|segment| segment * MSS - start);
    ends.any(is_between) || (start + body.end) % MSS > MSS - A_LITTLE
}

/// Offset in the body of a token at that place.
fn token_at(place: Place, len: usize, start: usize, message: &Message) -> Option<usize> {
    let wire = message.wire_offsets();
    let segment = |at: usize| (start + wire[at].0) / MSS;
    let (first, last) = (segment(0), segment(wire.len() - 1));
    let mut fitting = Vec::new();
    for at in 0..=wire.len() - len {
        let end = at + len - 1;
        let own = (segment(at), segment(end));
        let within = own.0 == own.1;
        let same_chunk = wire[at].1 == wire[end].1;
        let fits = match place {
            Place::Start => at == 0,
            Place::FirstSegment => within && own.0 == first && at > 0,
            Place::MiddleSegment => within && own.0 > first && own.0 < last && same_chunk,
            Place::LastSegment => within && own.0 == last && end + 1 < wire.len(),
            Place::End => end + 1 == wire.len(),
            Place::SegmentSeam => !within && same_chunk,
            Place::ChunkSeam => !same_chunk,
            Place::Wide => own.1 >= own.0 + 2,
        };
        if fits {
            fitting.push(at);
        }
    }
    fitting.get(fitting.len() / 2).copied()
}

fn burst(bytes: &[u8], mut send: impl FnMut(&[u8])) {
    for piece in bytes.chunks(MSS) {
        send(piece);
    }
}
