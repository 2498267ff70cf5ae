//! Sending packets of our own: resets, segments, replies.
//!
//! [`Injector`] owns two raw sockets, for IPv4 and IPv6, and sends whole IP
//! packets that the kernel routes by their destination and mark and passes
//! through its output chains. Addresses of one link (`fe80::`, `169.254`) mean
//! something on a device only, which comes with the packet. The mark is there to keep them out of our own
//! queues. Sending never waits for long and an error ends nothing: it is
//! returned and counted by kind.
//!
//! What the kernel does to a packet: over IPv4 it computes the header's
//! checksum, and chooses an identification where that is zero and the packet
//! may be fragmented. All else leaves as it was given, or is refused; the
//! checksum of the transport must be whole. Not here: making packets, cutting
//! them to what a device can carry.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::system;

/// Room for packets on their way out of a slow device.
const SEND_BUFFER: usize = 4 << 20;

/// What waits in the sockets' receiving side is never read: errors that were
/// returned already.
const RECEIVE_BUFFER: usize = 4096;

/// How often sending is tried again when there is no room, and how long each
/// wait is: ten milliseconds in all.
const TRIES: u32 = 5;
const WAIT: Duration = Duration::from_millis(2);

/// Why injection is impossible here.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "not permitted to open raw sockets ({0}): this needs CAP_NET_RAW and CAP_NET_ADMIN; \
         run as root, or `setcap cap_net_admin,cap_net_raw+ep` on the program"
    )]
    NotPermitted(io::Error),

    #[error("cannot open a raw socket for IPv4: {0}")]
    System(io::Error),
}

/// Why a packet did not leave.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    #[error("not sent: {0}")]
    Malformed(&'static str),

    #[error(
        "not sent: {length} bytes are more than the device on the way to {destination} carries"
    )]
    TooLong { length: usize, destination: IpAddr },

    #[error("not sent: there is no route to {destination} ({error})")]
    Unreachable {
        destination: IpAddr,
        error: io::Error,
    },

    #[error("not sent: no room to send for {} ms", (WAIT * TRIES).as_millis())]
    NoBuffers,

    #[error(
        "not sent: a firewall rule dropped it on its way out, or the mark is not permitted ({0})"
    )]
    Refused(io::Error),

    #[error("not sent: {0} is an address of one link only, the device must be named")]
    NoDevice(Ipv6Addr),

    #[error("not sent: the system has no IPv6 ({0})")]
    NoIpv6(io::Error),

    #[error("not sent: {0}")]
    Other(io::Error),
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub sent: u64,
    pub bytes: u64,
    /// Sends that had to wait for room.
    pub waited: u64,
    /// Packets not sent, by kind of error.
    pub malformed: u64,
    pub too_long: u64,
    pub unreachable: u64,
    pub no_buffers: u64,
    pub refused: u64,
    pub no_device: u64,
    pub no_ipv6: u64,
    pub other: u64,
}

impl Counters {
    /// Packets not sent, for whatever reason.
    pub fn failed(&self) -> u64 {
        self.malformed
            + self.too_long
            + self.unreachable
            + self.no_buffers
            + self.refused
            + self.no_device
            + self.no_ipv6
            + self.other
    }
}

/// Two raw sockets.
#[derive(Debug)]
pub struct Injector {
    v4: Outlet,
    /// A system without IPv6 has none; sending tells why.
    v6: io::Result<Outlet>,
    counters: Counters,
}

/// A raw socket, the mark it gives, and the device that it sends through.
#[derive(Debug)]
struct Outlet {
    fd: OwnedFd,
    mark: u32,
    /// Over IPv4; 0 for the one that the routes say.
    device: u32,
}

impl Injector {
    /// Opens the sockets in the network namespace of the thread. `mark` is
    /// what most packets will carry.
    pub fn open(mark: u32) -> Result<Injector, OpenError> {
        let denied = |error: io::Error| match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => OpenError::NotPermitted(error),
            _ => OpenError::System(error),
        };
        Ok(Injector {
            v4: Outlet::open_v4(mark).map_err(denied)?,
            v6: Outlet::open_v6(mark),
            counters: Counters::default(),
        })
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Sends an IP packet to where its header says, with a mark.
    pub fn send(&mut self, packet: &[u8], mark: u32) -> Result<(), InjectError> {
        self.send_through(packet, mark, None)
    }

    /// Sends a packet whose destination may be an address of one link only
    /// (`fe80::`, `ff02::`, `169.254`): then `device` is the index of the device
    /// there. Without it, and for all other packets, the routes decide; over
    /// IPv6 none leads to such an address.
    pub fn send_through(
        &mut self,
        packet: &[u8],
        mark: u32,
        device: Option<u32>,
    ) -> Result<(), InjectError> {
        let result = self.try_send(packet, mark, device);
        let counters = &mut self.counters;
        let kind = match &result {
            Ok(()) => {
                counters.bytes += packet.len() as u64;
                &mut counters.sent
            }
            Err(InjectError::Malformed(_)) => &mut counters.malformed,
            Err(InjectError::TooLong { .. }) => &mut counters.too_long,
            Err(InjectError::Unreachable { .. }) => &mut counters.unreachable,
            Err(InjectError::NoBuffers) => &mut counters.no_buffers,
            Err(InjectError::Refused(_)) => &mut counters.refused,
            Err(InjectError::NoDevice(_)) => &mut counters.no_device,
            Err(InjectError::NoIpv6(_)) => &mut counters.no_ipv6,
            Err(InjectError::Other(_)) => &mut counters.other,
        };
        *kind += 1;
        result
    }

    fn try_send(
        &mut self,
        packet: &[u8],
        mark: u32,
        device: Option<u32>,
    ) -> Result<(), InjectError> {
        let waited = &mut self.counters.waited;
        match destination(packet).map_err(InjectError::Malformed)? {
            IpAddr::V4(to) => {
                let device = device.filter(|_| to.is_link_local()).unwrap_or(0);
                self.v4
                    .use_device(device)
                    .map_err(|error| kind_of(error, packet.len(), to.into()))?;
                self.v4
                    .send(packet, SocketAddr::new(to.into(), 0), mark, waited)
            }
            IpAddr::V6(to) => {
                let scope = match device {
                    None if is_of_one_link(to) => return Err(InjectError::NoDevice(to)),
                    device => device.unwrap_or(0),
                };
                let outlet = self.v6.as_mut().map_err(|error| {
                    InjectError::NoIpv6(io::Error::new(error.kind(), error.to_string()))
                })?;
                outlet.send(
                    packet,
                    SocketAddrV6::new(to, 0, 0, scope).into(),
                    mark,
                    waited,
                )
            }
        }
    }
}

impl Outlet {
    fn open_v4(mark: u32) -> io::Result<Outlet> {
        let outlet = Outlet::open(libc::AF_INET, mark)?;
        let set = |level, name| system::set_option(outlet.fd.as_fd(), level, name, 1);
        // IPPROTO_RAW implies the first; saying so costs nothing.
        set(libc::IPPROTO_IP, libc::IP_HDRINCL)?;
        set(libc::SOL_SOCKET, libc::SO_BROADCAST)?;
        // Without it a packet dropped for want of room counts as sent.
        set(libc::IPPROTO_IP, libc::IP_RECVERR)?;
        Ok(outlet)
    }

    fn open_v6(mark: u32) -> io::Result<Outlet> {
        let outlet = Outlet::open(libc::AF_INET6, mark)?;
        let set = |name| system::set_option(outlet.fd.as_fd(), libc::IPPROTO_IPV6, name, 1);
        set(libc::IPV6_HDRINCL)?;
        set(libc::IPV6_RECVERR)?;
        Ok(outlet)
    }

    fn open(family: i32, mark: u32) -> io::Result<Outlet> {
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK;
        let fd = system::socket(family, kind, libc::IPPROTO_RAW)?;
        let send = (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF);
        system::set_buffer(fd.as_fd(), send, SEND_BUFFER)?;
        let receive = (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF);
        system::set_buffer(fd.as_fd(), receive, RECEIVE_BUFFER)?;
        set_mark(&fd, mark)?;
        Ok(Outlet {
            fd,
            mark,
            device: 0,
        })
    }

    /// Sends through a device from now on, over IPv4.
    fn use_device(&mut self, device: u32) -> io::Result<()> {
        if device != self.device {
            // The kernel takes the number in the network's byte order.
            let value = device.to_be() as i32;
            let fd = self.fd.as_fd();
            system::set_option(fd, libc::IPPROTO_IP, libc::IP_UNICAST_IF, value)?;
            self.device = device;
        }
        Ok(())
    }

    fn send(
        &mut self,
        packet: &[u8],
        to: SocketAddr,
        mark: u32,
        waited: &mut u64,
    ) -> Result<(), InjectError> {
        if mark != self.mark {
            set_mark(&self.fd, mark).map_err(InjectError::Refused)?;
            self.mark = mark;
        }
        let mut tries = 0;
        loop {
            let Err(error) = system::send_to(self.fd.as_fd(), packet, to) else {
                return Ok(());
            };
            match error.raw_os_error() {
                Some(libc::EINTR) => (),
                Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) if tries < TRIES => {
                    *waited += u64::from(tries == 0);
                    tries += 1;
                    // ENOBUFS is a full queue of the device, of which the
                    // socket knows nothing.
                    if error.raw_os_error() == Some(libc::EAGAIN) {
                        system::wait_writable(self.fd.as_fd(), WAIT);
                    } else {
                        std::thread::sleep(WAIT);
                    }
                }
                _ => return Err(kind_of(error, packet.len(), to.ip())),
            }
        }
    }
}

fn set_mark(fd: &OwnedFd, mark: u32) -> io::Result<()> {
    // The kernel takes the mark's bits as a signed number.
    system::set_option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_MARK, mark as i32)
}

fn kind_of(error: io::Error, length: usize, destination: IpAddr) -> InjectError {
    match error.raw_os_error() {
        Some(libc::EMSGSIZE) => InjectError::TooLong {
            length,
            destination,
        },
        Some(
            libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::ENODEV | libc::ENXIO,
        ) => InjectError::Unreachable { destination, error },
        Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => InjectError::NoBuffers,
        Some(libc::EPERM | libc::EACCES) => InjectError::Refused(error),
        _ => InjectError::Other(error),
    }
}

/// Where a packet goes, if the kernel would send it as it is.
fn destination(packet: &[u8]) -> Result<IpAddr, &'static str> {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => destination_v4(packet).map(IpAddr::V4),
        Some(6) => destination_v6(packet).map(IpAddr::V6),
        _ => Err("neither IPv4 nor IPv6"),
    }
}

fn destination_v4(packet: &[u8]) -> Result<Ipv4Addr, &'static str> {
    let header = packet.first_chunk::<20>().ok_or("the IPv4 header is cut")?;
    let [first, _, a, b, ..] = *header;
    let header_length = usize::from(first & 0x0f) * 4;
    if !(20..=packet.len()).contains(&header_length) {
        return Err("the length of the IPv4 header is wrong");
    }
    // The kernel would write over both of these.
    if usize::from(u16::from_be_bytes([a, b])) != packet.len() {
        return Err("the total length in the IPv4 header is not the packet's");
    }
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    if [s0, s1, s2, s3] == [0; 4] {
        return Err("the source address is 0.0.0.0");
    }
    Ok(Ipv4Addr::new(d0, d1, d2, d3))
}

fn destination_v6(packet: &[u8]) -> Result<Ipv6Addr, &'static str> {
    let header = packet.first_chunk::<40>().ok_or("the IPv6 header is cut")?;
    let [_, _, _, _, a, b, ..] = *header;
    if usize::from(u16::from_be_bytes([a, b])) + header.len() != packet.len() {
        return Err("the payload length in the IPv6 header is not the packet's");
    }
    let address = header.last_chunk::<16>().ok_or("the IPv6 header is cut")?;
    Ok(Ipv6Addr::from(*address))
}

/// Whether an address means nothing without a device: link-local ones, and
/// groups of a device or a link (RFC 4007).
fn is_of_one_link(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.octets();
    let unicast = first == 0xfe && second & 0xc0 == 0x80;
    let multicast = first == 0xff && matches!(second & 0x0f, 1 | 2);
    unicast || multicast
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(length: usize) -> Vec<u8> {
        let mut packet = vec![0; length];
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        packet[12..20].copy_from_slice(&[192, 0, 2, 1, 192, 0, 2, 2]);
        packet
    }

    #[test]
    fn packets_that_would_leave_changed_are_refused() {
        assert_eq!(destination(&v4(28)), Ok(Ipv4Addr::new(192, 0, 2, 2).into()));
        let mut long = v4(28);
        long.push(0);
        let mut anonymous = v4(28);
        anonymous[12..16].fill(0);
        let mut header = v4(28);
        header[0] = 0x48;
        for packet in [
            long,
            anonymous,
            header,
            Vec::new(),
            vec![0x45; 19],
            vec![0x05; 40],
        ] {
            assert!(destination(&packet).is_err(), "{packet:?}");
        }
    }

    #[test]
    fn ipv6_is_checked_too() {
        let mut packet = vec![0; 48];
        packet[0] = 0x60;
        packet[5] = 8;
        packet[39] = 1;
        assert_eq!(destination(&packet), Ok(Ipv6Addr::LOCALHOST.into()));
        packet[5] = 9;
        assert!(destination(&packet).is_err());
        assert!(destination(&packet[..39]).is_err());
    }

    #[test]
    fn addresses_of_one_link_are_known() {
        for (address, of_one_link) in [
            ("fe80::1", true),
            ("febf::1", true),
            ("ff02::1", true),
            ("ff11::1", true),
            ("fec0::1", false),
            ("ff05::1", false),
            ("2001:db8::1", false),
            ("::1", false),
        ] {
            let parsed = address.parse().expect("an address");
            assert_eq!(is_of_one_link(parsed), of_one_link, "{address}");
        }
    }
}
