//! Brings the loopback device of a new network namespace up, without a
//! program.

use std::io;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// The first device of every namespace.
const INDEX: i32 = 1;
const HEADER: usize = 16;
/// Behind the header: family, kind of device, its index, flags, and which of
/// them are meant (linux/rtnetlink.h).
const MESSAGE: usize = HEADER + 16;

pub(super) fn up() -> io::Result<()> {
    let socket = net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // The first protocol: devices, addresses and routes.
        None,
    )?;
    net::connect(&socket, &SocketAddrNetlink::new(0, 0))?;
    net::send(&socket, &message(), SendFlags::empty())?;
    // The kernel answers while it takes the message: with the number of an
    // error behind the header, or 0.
    let mut answer = [0; 256];
    let (length, _) = net::recv(&socket, &mut answer[..], RecvFlags::DONTWAIT)?;
    let code = answer
        .get(..length)
        .and_then(|answer| answer.get(HEADER..)?.first_chunk())
        .ok_or(io::ErrorKind::InvalidData)?;
    match i32::from_ne_bytes(*code) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
    }
}

fn message() -> Vec<u8> {
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
    let up = libc::IFF_UP as u32;
    let mut out = Vec::with_capacity(MESSAGE);
    out.extend_from_slice(&(MESSAGE as u32).to_ne_bytes());
    out.extend_from_slice(&libc::RTM_NEWLINK.to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    // Number and port of the message: it is the only one.
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&[libc::AF_UNSPEC as u8, 0, 0, 0]);
    out.extend_from_slice(&INDEX.to_ne_bytes());
    out.extend_from_slice(&up.to_ne_bytes());
    out.extend_from_slice(&up.to_ne_bytes());
    out
}
