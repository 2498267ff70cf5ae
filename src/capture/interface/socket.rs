//! The packet socket of an interface.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::ring::Ring;
use super::system::{self, Plain};

/// What the frames of an interface are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ethernet,
    /// Ethernet, and every packet twice: sent, and received.
    Loopback,
    /// Without their link header.
    Cooked,
}

#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    kind: Kind,
}

/// `struct packet_mreq`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Membership {
    index: libc::c_int,
    kind: libc::c_ushort,
    address_len: libc::c_ushort,
    address: [u8; 8],
}

// SAFETY: integers of 4, 2, 2 and 8 bytes, without padding between them.
unsafe impl Plain for Membership {}

/// `struct tpacket_stats_v3`: packets, drops, how often the ring was full.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Statistics([libc::c_uint; 3]);

// SAFETY: an array of integers.
unsafe impl Plain for Statistics {}

/// The number of an interface.
pub(super) fn index(name: &str) -> io::Result<libc::c_int> {
    let name = CString::new(name)?;
    // SAFETY: the kernel reads the name, which ends with a zero and lives
    // until the call returns.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    match libc::c_int::try_from(index) {
        Ok(index) if index > 0 => Ok(index),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Socket {
    /// A socket that hears one interface, and the ring that it fills, of
    /// about `buffer` bytes.
    pub fn listen(index: libc::c_int, buffer: usize) -> io::Result<(Socket, Ring)> {
        let (fd, ring) = open(libc::SOCK_RAW, index, buffer)?;
        let kind = match hardware(fd.as_fd())? {
            libc::ARPHRD_ETHER => Kind::Ethernet,
            libc::ARPHRD_LOOPBACK => Kind::Loopback,
            _ => {
                drop((ring, fd));
                let (fd, ring) = open(libc::SOCK_DGRAM, index, buffer)?;
                let kind = Kind::Cooked;
                return Ok((Socket { fd, kind }, ring));
            }
        };
        Ok((Socket { fd, kind }, ring))
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Has the device take what is not for this machine, as long as the
    /// socket is open.
    pub fn set_promiscuous(&self, index: libc::c_int) -> io::Result<()> {
        let membership = Membership {
            index,
            kind: libc::PACKET_MR_PROMISC as libc::c_ushort,
            ..Membership::default()
        };
        let name = libc::PACKET_ADD_MEMBERSHIP;
        system::set_option(self.fd.as_fd(), libc::SOL_PACKET, name, membership)
    }

    /// Waits until the kernel hands a block over, the time is over, or a
    /// signal came.
    pub fn wait(&self, time: Duration) -> io::Result<()> {
        let fd = self.fd.as_fd();
        match system::wait_readable(fd, time) {
            true => pending(fd),
            false => Ok(()),
        }
    }

    /// Packets that came and that found no room, since this was asked last.
    pub fn statistics(&self) -> io::Result<[u32; 2]> {
        let name = libc::PACKET_STATISTICS;
        let Statistics([received, dropped, _]) =
            system::option(self.fd.as_fd(), libc::SOL_PACKET, name)?;
        Ok([received, dropped])
    }
}

/// A socket of that kind with its ring. It is bound last, so that no packet
/// of another interface gets into the ring.
fn open(kind: libc::c_int, index: libc::c_int, buffer: usize) -> io::Result<(OwnedFd, Ring)> {
    let fd = system::socket(libc::AF_PACKET, kind, 0)?;
    let ring = Ring::make(fd.as_fd(), buffer)?;
    let mut address = unbound();
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes of the address, which lives
    // until the call returns.
    let result = unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) };
    system::done(result)?;
    pending(fd.as_fd())?;
    Ok((fd, ring))
}

/// What kind of device the socket is bound to, as ARP numbers them.
fn hardware(fd: BorrowedFd<'_>) -> io::Result<u16> {
    let mut address = unbound();
    let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel writes no more than `length` bytes, the size of the
    // address, into it.
    let result = unsafe {
        let address = (&raw mut address).cast();
        libc::getsockname(fd.as_raw_fd(), address, &raw mut length)
    };
    system::done(result).map(|()| address.sll_hatype)
}

fn unbound() -> libc::sockaddr_ll {
    // SAFETY: all fields are integers, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address
}

/// The error that the kernel has noted on a socket: its interface is down.
fn pending(fd: BorrowedFd<'_>) -> io::Result<()> {
    match system::option::<libc::c_int>(fd, libc::SOL_SOCKET, libc::SO_ERROR)? {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
