//! Numbers and bit fields inside spans, across node borders too.
//!
//! Values travel as `f64`, the number Lua has: exact up to 2^53, rounded to
//! the nearest beyond. Negative values are stored in two's complement.

use super::position::Stretch;
use super::{BufError, Span, Store};

/// Byte order of a number, and which bit of a byte counts as the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endian {
    /// Bit 0 is the most significant bit of the first byte.
    Big,
    /// Bit 0 is the least significant bit of the first byte.
    Little,
}

/// 64 bits that start inside a byte reach no further than this.
const MAX_BYTES: usize = 8;

impl Store {
    /// The span as an unsigned number of 1, 2, 4 or 8 bytes.
    #[inline]
    pub fn number(&mut self, span: Span, endian: Endian) -> Result<f64, BufError> {
        let stretch = self.stretch(span)?;
        if !matches!(stretch.len, 1 | 2 | 4 | 8) {
            return Err(BufError::UnsupportedSize);
        }
        Ok(self.load(stretch, endian) as f64)
    }

    /// Writes a number into a span of 1, 2, 4 or 8 bytes. A fraction is cut.
    pub fn set_number(&mut self, span: Span, value: f64, endian: Endian) -> Result<(), BufError> {
        let stretch = self.stretch(span)?;
        if !matches!(stretch.len, 1 | 2 | 4 | 8) {
            return Err(BufError::UnsupportedSize);
        }
        let word = to_word(value, stretch.len as u32 * 8)?;
        self.save(stretch, word, endian)
    }

    /// `size` bits from bit `offset` on.
    pub fn bits(
        &mut self,
        span: Span,
        offset: u64,
        size: u64,
        endian: Endian,
    ) -> Result<f64, BufError> {
        let stretch = self.stretch(span)?;
        let field = BitField::find(self, stretch, offset, size)?;
        let word = self.load(field.bytes, endian);
        Ok((word >> field.shift(endian) & mask(field.size)) as f64)
    }

    /// Writes `size` bits from bit `offset` on; the others stay.
    pub fn set_bits(
        &mut self,
        span: Span,
        offset: u64,
        size: u64,
        value: f64,
        endian: Endian,
    ) -> Result<(), BufError> {
        let stretch = self.stretch(span)?;
        if size > 64 {
            return Err(BufError::UnsupportedSize);
        }
        let value = to_word(value, size as u32)?;
        let field = BitField::find(self, stretch, offset, size)?;
        let shift = field.shift(endian);
        let kept = self.load(field.bytes, endian) & !(mask(field.size) << shift);
        let word = kept | (value & mask(field.size)) << shift;
        self.save(field.bytes, word, endian)
    }

    #[inline]
    fn load(&self, stretch: Stretch, endian: Endian) -> u64 {
        let join = |word: u64, byte: &u8| word << 8 | u64::from(*byte);
        let mut bytes = [0; MAX_BYTES];
        let len = (stretch.len as usize).min(MAX_BYTES);
        let bytes = match self.flat(stretch) {
            Some(bytes) => bytes,
            None => {
                let source = self.windows(stretch).flatten();
                bytes
                    .iter_mut()
                    .zip(source)
                    .for_each(|(to, from)| *to = *from);
                bytes.get(..len).unwrap_or(&[])
            }
        };
        match endian {
            Endian::Big => bytes.iter().fold(0, join),
            Endian::Little => bytes.iter().rev().fold(0, join),
        }
    }

    fn save(&mut self, stretch: Stretch, word: u64, endian: Endian) -> Result<(), BufError> {
        let len = (stretch.len as usize).min(MAX_BYTES);
        let (big, little) = (word.to_be_bytes(), word.to_le_bytes());
        let bytes = match endian {
            Endian::Big => big.get(MAX_BYTES - len..),
            Endian::Little => little.get(..len),
        };
        self.write(stretch, bytes.unwrap_or(&[]))
    }
}

/// A bit field with the bytes it touches.
struct BitField {
    bytes: Stretch,
    /// First bit, counted from the first touched byte: 0 to 7.
    first: u32,
    size: u32,
}

impl BitField {
    fn find(store: &Store, whole: Stretch, offset: u64, size: u64) -> Result<Self, BufError> {
        let end = offset.checked_add(size).ok_or(BufError::InvalidBitSize)?;
        if offset / 8 >= whole.len {
            return Err(BufError::InvalidBitOffset);
        }
        if end.div_ceil(8) > whole.len {
            return Err(BufError::InvalidBitSize);
        }
        let bytes = end.div_ceil(8).saturating_sub(offset / 8);
        if bytes > MAX_BYTES as u64 {
            return Err(BufError::UnsupportedSize);
        }
        let (start, _) = store.step(whole.start, offset / 8);
        let bytes = Stretch {
            start: store.to_byte(start),
            len: bytes,
        };
        Ok(BitField {
            bytes,
            first: (offset % 8) as u32,
            size: size as u32,
        })
    }

    /// How far left the field sits in the word of its bytes.
    fn shift(&self, endian: Endian) -> u32 {
        if self.size == 0 {
            return 0;
        }
        match endian {
            Endian::Big => self.bytes.len as u32 * 8 - self.first - self.size,
            Endian::Little => self.first,
        }
    }
}

fn mask(bits: u32) -> u64 {
    if bits == 0 {
        0
    } else {
        u64::MAX >> (64 - bits.min(64))
    }
}

/// The value as `bits` bits, if it fits: from -(2^bits - 1) to 2^bits - 1.
fn to_word(value: f64, bits: u32) -> Result<u64, BufError> {
    let whole = value.trunc();
    let limit = (bits as f64).exp2();
    if !(whole > -limit && whole < limit) {
        return Err(BufError::InvalidNumber);
    }
    Ok(whole as i128 as u64 & mask(bits))
}
