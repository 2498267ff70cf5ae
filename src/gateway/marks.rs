//! The bits of packet marks and connection marks that are Wero's.
//!
//! A mask names them: its lowest bit says that a packet is one of our own,
//! the next that the rest of a flow goes past the queue. Bits above these two
//! are spare (`plan::Spread::ConnectionMark` counts queues in them). Every
//! bit outside the mask belongs to the user and is never written.

use std::fmt;
use std::str::FromStr;

/// A mask with at least two bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    mask: u32,
}

/// Why a number is no mask.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarksError {
    #[error(
        "'{0}' is no mark mask: write a number of 32 bits, as 0x30000000 (hexadecimal) or 805306368"
    )]
    NotANumber(String),
    #[error(
        "mark mask {0:#010x} has {bits} bit(s) set, two are needed: one for packets of Wero's own, one for flows past the queue",
        bits = .0.count_ones()
    )]
    TooFewBits(u32),
}

impl Marks {
    /// Two high bits that firewalls seldom use.
    pub const DEFAULT: Marks = Marks { mask: 0x3000_0000 };

    pub fn new(mask: u32) -> Result<Marks, MarksError> {
        if mask.count_ones() < 2 {
            return Err(MarksError::TooFewBits(mask));
        }
        Ok(Marks { mask })
    }

    /// All bits that are ours.
    pub fn mask(self) -> u32 {
        self.mask
    }

    /// Set on packets of our own: they are never queued.
    pub fn injected(self) -> u32 {
        lowest(self.mask)
    }

    /// Set on the packet whose verdict lets the rest of its flow past the
    /// queue, and in the connection mark from then on.
    pub fn bypass(self) -> u32 {
        lowest(self.mask & !self.injected())
    }

    /// Both bits: on a packet of our own that connection tracking is to leave
    /// alone, since it would not know it.
    pub fn untracked(self) -> u32 {
        self.injected() | self.bypass()
    }

    /// What the mask has beyond the two bits.
    pub fn spare(self) -> u32 {
        self.mask & !self.injected() & !self.bypass()
    }

    /// How many values besides zero the spare bits can tell apart.
    pub fn spare_values(self) -> u32 {
        match self.spare().count_ones() {
            0 => 0,
            bits => u32::MAX >> (32 - bits),
        }
    }

    /// `value` written into the spare bits, lowest first. Bits that find no
    /// place are lost: see [`Marks::spare_values`].
    pub fn in_spare(self, value: u32) -> u32 {
        let mut rest = self.spare();
        let mut marked = 0;
        let mut value = value;
        while rest != 0 {
            let bit = lowest(rest);
            if value & 1 == 1 {
                marked |= bit;
            }
            value >>= 1;
            rest &= !bit;
        }
        marked
    }
}

impl Default for Marks {
    fn default() -> Marks {
        Marks::DEFAULT
    }
}

impl FromStr for Marks {
    type Err = MarksError;

    fn from_str(text: &str) -> Result<Marks, MarksError> {
        let digits = text.trim();
        let hexadecimal = digits
            .strip_prefix("0x")
            .or_else(|| digits.strip_prefix("0X"));
        let number = match hexadecimal {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => digits.parse(),
        };
        match number {
            Ok(mask) => Marks::new(mask),
            Err(_) => Err(MarksError::NotANumber(text.to_owned())),
        }
    }
}

impl fmt::Display for Marks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:#010x}", self.mask)
    }
}

fn lowest(bits: u32) -> u32 {
    bits & bits.wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_lowest_bits_have_a_meaning_and_the_rest_is_spare() {
        let marks = Marks::default();
        assert_eq!(marks.injected(), 0x1000_0000);
        assert_eq!(marks.bypass(), 0x2000_0000);
        assert_eq!((marks.spare(), marks.spare_values()), (0, 0));

        let scattered = Marks::new(0x8000_0f10).expect("it has enough bits");
        assert_eq!((scattered.injected(), scattered.bypass()), (0x10, 0x100));
        assert_eq!(scattered.spare(), 0x8000_0e00);
        assert_eq!(scattered.spare_values(), 15);
        assert_eq!(scattered.in_spare(1), 0x200);
        assert_eq!(scattered.in_spare(0b1010), 0x8000_0400);
        assert_eq!(scattered.in_spare(15), scattered.spare());
        let all = Marks::new(u32::MAX).expect("it has enough bits");
        assert_eq!(all.spare_values(), 0x3fff_ffff);
    }

    #[test]
    fn masks_are_read_as_people_write_them() {
        assert_eq!("0x30000000".parse(), Ok(Marks::DEFAULT));
        assert_eq!(" 805306368".parse(), Ok(Marks::DEFAULT));
        assert_eq!(Marks::DEFAULT.to_string(), "0x30000000");
        for wrong in ["", "0x", "red", "0x1ffffffff", "-3"] {
            let error = wrong.parse::<Marks>().expect_err("it is no number");
            assert_eq!(error, MarksError::NotANumber(wrong.to_owned()));
        }
        for few in ["0", "0x8000"] {
            let error = few.parse::<Marks>().expect_err("a bit is missing");
            assert!(error.to_string().contains("two are needed"), "{error}");
        }
    }
}
