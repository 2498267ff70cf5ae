//! Reads the presentation language of TLS (RFC 8446, 3): big-endian numbers
//! and vectors behind their length.
//!
//! Nothing here allocates or panics; what is not there is `None`.

/// What has not been read yet of a structure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire<'a>(pub &'a [u8]);

impl<'a> Wire<'a> {
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn u8(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    pub fn u16(&mut self) -> Option<u16> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*bytes))
    }

    pub fn u24(&mut self) -> Option<usize> {
        let (&[high, middle, low], rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low))
    }

    /// A vector behind a length of one byte.
    pub fn vec8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(length.into())
    }

    /// A vector behind a length of two bytes.
    pub fn vec16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }

    /// A vector behind a length of three bytes.
    pub fn vec24(&mut self) -> Option<&'a [u8]> {
        let length = self.u24()?;
        self.take(length)
    }

    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

/// The numbers of two bytes in a vector; an odd byte at the end is ignored.
pub(crate) fn numbers(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_end_with_their_length() {
        let mut wire = Wire(b"\x02ab\x00\x01c\x00\x00\x02de\x00\x09f");
        assert_eq!(wire.vec8(), Some(&b"ab"[..]));
        assert_eq!(wire.vec16(), Some(&b"c"[..]));
        assert_eq!(wire.vec24(), Some(&b"de"[..]));
        assert_eq!(wire.vec16(), None, "nine bytes are announced, one is there");
    }

    #[test]
    fn numbers_are_big_endian() {
        let found: Vec<u16> = numbers(b"\x13\x01\x13\x02\xff").collect();
        assert_eq!(found, [0x1301, 0x1302]);
    }
}
