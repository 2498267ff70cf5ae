//! The history of a connection in letters, as Zeek writes it.
//!
//! Upper case for the side that opened the flow, lower case for the other:
//! `S` SYN, `H` SYN with ACK, `A` bare ACK, `D` data, `F` FIN, `R` RST, `C`
//! wrong checksum, `G` hole in the stream, `T` retransmission with other
//! bytes, `I` SYN with RST, `Q` SYN with FIN. A letter is written when it is
//! first seen from its side; `^` in front says that the opener is not who
//! sent the first packet seen.

use crate::flow::Direction;
use crate::packet::decode::TcpHeader;

/// Letters of one history. Longer ones are cut.
const MAX_LETTERS: usize = 16;

/// What has a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mark {
    Syn,
    SynAck,
    Ack,
    Data,
    Fin,
    Reset,
    BadChecksum,
    Gap,
    Conflict,
    SynReset,
    SynFin,
}

const LETTERS: &[u8; 11] = b"SHADFRCGTIQ";

/// Marks in the order in which each side first showed them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Bit `2 * mark + direction`.
    seen: u32,
    marks: [u8; MAX_LETTERS],
    len: u8,
}

impl History {
    /// Notes a mark of the side that sends in `direction`.
    pub fn add(&mut self, direction: Direction, mark: Mark) {
        let code = 2 * mark as u8 + direction as u8;
        if self.seen & 1 << code != 0 {
            return;
        }
        self.repeat(direction, mark);
    }

    /// Notes a mark whether or not that side has shown it before.
    pub fn repeat(&mut self, direction: Direction, mark: Mark) {
        let code = 2 * mark as u8 + direction as u8;
        self.seen |= 1 << code;
        if let Some(place) = self.marks.get_mut(usize::from(self.len)) {
            *place = code;
            self.len += 1;
        }
    }

    /// Notes what a TCP segment with these flags shows.
    pub fn add_segment(&mut self, direction: Direction, flags: u8, payload: bool) {
        let has = |flag: u8| flags & flag != 0;
        if has(TcpHeader::SYN) {
            self.add(
                direction,
                match () {
                    () if has(TcpHeader::RST) => Mark::SynReset,
                    () if has(TcpHeader::FIN) => Mark::SynFin,
                    () if has(TcpHeader::ACK) => Mark::SynAck,
                    () => Mark::Syn,
                },
            );
        } else if has(TcpHeader::RST) {
            self.add(direction, Mark::Reset);
        }
        if payload {
            self.add(direction, Mark::Data);
        } else if flags & (TcpHeader::SYN | TcpHeader::FIN | TcpHeader::RST) == 0
            && has(TcpHeader::ACK)
        {
            self.add(direction, Mark::Ack);
        }
        if has(TcpHeader::FIN) && !has(TcpHeader::SYN) {
            self.add(direction, Mark::Fin);
        }
    }

    /// The letters. `swapped`: the opener sends [`Direction::ToClient`].
    pub fn letters(&self, swapped: bool) -> String {
        let marks = self.marks.iter().take(usize::from(self.len));
        let letters = marks.filter_map(|code| {
            let letter = *LETTERS.get(usize::from(code / 2))?;
            let from_opener = (code % 2 == 0) != swapped;
            Some(char::from(if from_opener {
                letter
            } else {
                letter.to_ascii_lowercase()
            }))
        });
        swapped
            .then_some('^')
            .into_iter()
            .chain(letters)
            .take(MAX_LETTERS)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    const SYN: u8 = TcpHeader::SYN;
    const ACK: u8 = TcpHeader::ACK;
    const FIN: u8 = TcpHeader::FIN;

    fn history(segments: &[(Direction, u8, bool)]) -> History {
        let mut history = History::default();
        for &(direction, flags, payload) in segments {
            history.add_segment(direction, flags, payload);
        }
        history
    }

    #[test]
    fn a_whole_connection_reads_as_in_zeek() {
        let whole = history(&[
            (ToServer, SYN, false),
            (ToClient, SYN | ACK, false),
            (ToServer, ACK, false),
            (ToServer, ACK, true),
            (ToClient, ACK, false),
            (ToClient, ACK, true),
            (ToServer, FIN | ACK, false),
            (ToClient, FIN | ACK, false),
        ]);
        assert_eq!(whole.letters(false), "ShADadFf");
        assert_eq!(whole.letters(true), "^sHadADfF");
    }

    #[test]
    fn each_letter_appears_once_a_side() {
        let twice = history(&[
            (ToServer, ACK, true),
            (ToServer, ACK, true),
            (ToClient, ACK, true),
        ]);
        assert_eq!(twice.letters(false), "Dd");
    }

    #[test]
    fn odd_flags_have_letters_of_their_own() {
        let odd = history(&[
            (ToServer, SYN | FIN, false),
            (ToClient, SYN | TcpHeader::RST, false),
        ]);
        assert_eq!(odd.letters(false), "Qi");
    }

    #[test]
    fn a_history_is_cut_at_sixteen_letters() {
        let mut full = History::default();
        for direction in Direction::BOTH {
            for mark in [
                Mark::Syn,
                Mark::SynAck,
                Mark::Ack,
                Mark::Data,
                Mark::Fin,
                Mark::Reset,
                Mark::BadChecksum,
                Mark::Gap,
                Mark::Conflict,
            ] {
                full.add(direction, mark);
            }
        }
        assert_eq!(full.letters(false).len(), 16);
        assert_eq!(full.letters(true).len(), 16);
    }
}
