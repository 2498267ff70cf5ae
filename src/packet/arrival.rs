//! A packet as its capture hands it over.

use super::link::LinkType;
use crate::buf::Block;

/// The bytes of a packet.
#[derive(Debug)]
pub enum Payload<'a> {
    /// To be copied.
    Lent(&'a [u8]),
    /// To be kept.
    Given(Block),
}

/// The bytes of one packet and what its capture knows of them.
#[derive(Debug)]
pub struct Arrival<'a> {
    pub link: LinkType,
    pub payload: Payload<'a>,
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
            payload: Payload::Lent(bytes),
            wire_len,
            mark: 0,
            offloaded: false,
            trusted: false,
        }
    }
}
