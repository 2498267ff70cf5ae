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

/// The network devices of a packet, by the kernel's numbers; 0 where there is
/// none, as for what this host sends or receives itself.
///
/// Only an address of one link cannot be reached without: where packets to
/// others leave, the routes say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Devices {
    /// It came by this one.
    pub from: u32,
    /// It leaves by this one.
    pub to: u32,
}

impl Devices {
    /// The device of the link that the packet's destination is on. This host
    /// has its addresses on the link that the packet came from.
    pub fn onward(self) -> Option<u32> {
        [self.to, self.from].into_iter().find(|&device| device != 0)
    }

    /// Those of an answer.
    #[must_use]
    pub fn reversed(self) -> Devices {
        Devices {
            from: self.to,
            to: self.from,
        }
    }

    /// Those of a packet that goes to either end: known if both are on one
    /// link.
    #[must_use]
    pub fn of_one_link(self) -> Devices {
        match self.from == self.to || self.from == 0 || self.to == 0 {
            true => self,
            false => Devices::default(),
        }
    }
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
    pub devices: Devices,
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
            devices: Devices::default(),
            offloaded: false,
            trusted: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_of_a_destination_is_where_the_packet_goes_or_came_from() {
        let devices = |from, to| Devices { from, to };
        for (devices, onward, back) in [
            (devices(2, 3), Some(3), Some(2)),
            (devices(2, 0), Some(2), Some(2)),
            (devices(0, 3), Some(3), Some(3)),
            (devices(0, 0), None, None),
        ] {
            assert_eq!(devices.onward(), onward);
            assert_eq!(devices.reversed().onward(), back);
        }
        assert_eq!(devices(2, 3).of_one_link(), devices(0, 0));
        for one in [devices(2, 2), devices(2, 0), devices(0, 3)] {
            assert_eq!(one.of_one_link(), one);
        }
    }
}
