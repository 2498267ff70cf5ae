//! Header fields as data: one row serves Lua, console completion and the
//! reference pages.

/// Which header a field's offset counts from; the numbers are those of
/// `event::ops::layer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Header {
    Network = 1,
    Transport = 2,
}

/// What rules see of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The masked bits, shifted down, times `unit`.
    Number { mask: u32, shift: u32, unit: u32 },
    /// A boolean: whether the bit is set.
    Flag { mask: u32 },
    /// Source (0) or destination (1) address.
    Address { which: u32 },
}

/// One field of a header. A name such as `flags.df` is the member `df` of
/// the object `flags`.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    pub header: Header,
    /// Bytes from the start of the header.
    pub offset: u32,
    /// Bytes: 1, 2 or 4; 4 or 16 for addresses.
    pub width: u32,
    pub shape: Shape,
    pub writable: bool,
    pub doc: &'static str,
}

impl Field {
    /// A number that takes all of `width` bytes.
    pub const fn number(
        name: &'static str,
        header: Header,
        offset: u32,
        width: u32,
        doc: &'static str,
    ) -> Field {
        let mask = if width == 4 {
            u32::MAX
        } else {
            (1 << (8 * width)) - 1
        };
        Field {
            name,
            header,
            offset,
            width,
            shape: Shape::Number {
                mask,
                shift: 0,
                unit: 1,
            },
            writable: true,
            doc,
        }
    }

    /// Only these bits of the bytes.
    pub const fn bits(self, mask: u32, shift: u32) -> Field {
        Field {
            shape: Shape::Number {
                mask,
                shift,
                unit: 1,
            },
            ..self
        }
    }

    /// Rules count in bytes, the header in units of so many.
    pub const fn scaled(self, by: u32) -> Field {
        match self.shape {
            Shape::Number { mask, shift, .. } => Field {
                shape: Shape::Number {
                    mask,
                    shift,
                    unit: by,
                },
                ..self
            },
            _ => self,
        }
    }

    /// One bit of the bytes at `offset`.
    pub const fn flag(
        name: &'static str,
        header: Header,
        offset: u32,
        mask: u32,
        doc: &'static str,
    ) -> Field {
        Field {
            name,
            header,
            offset,
            width: 1,
            shape: Shape::Flag { mask },
            writable: true,
            doc,
        }
    }

    /// An address of four or sixteen bytes in the network header.
    pub const fn address(
        name: &'static str,
        offset: u32,
        width: u32,
        which: u32,
        doc: &'static str,
    ) -> Field {
        Field {
            name,
            header: Header::Network,
            offset,
            width,
            shape: Shape::Address { which },
            writable: true,
            doc,
        }
    }

    /// Rules may not write it.
    #[must_use]
    pub const fn read_only(self) -> Field {
        Field {
            writable: false,
            ..self
        }
    }
}
