//! A packet as its capture hands it over.

use super::link::LinkType;

/// The bytes of one packet and what its capture knows of them.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    pub link: LinkType,
    pub bytes: &'a [u8],
    /// Its length before the capture cut it.
    pub wire_len: u32,
    /// The mark that the firewall gave it; packets made because of it get the
    /// same.
    pub mark: u32,
    /// It is larger than any segment on the wire: the network card, or the
    /// kernel, cuts it on its way out.
    pub offloaded: bool,
    /// Its transport checksum was found right, or is left to the network
    /// card: it is not looked at.
    pub trusted: bool,
}

impl<'a> Arrival<'a> {
    /// A packet of which nothing but its bytes is known.
    pub fn new(link: LinkType, bytes: &'a [u8], wire_len: u32) -> Arrival<'a> {
        Arrival {
            link,
            bytes,
            wire_len,
            mark: 0,
            offloaded: false,
            trusted: false,
        }
    }
}
