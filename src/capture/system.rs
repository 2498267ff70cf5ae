//! The system calls on sockets that the standard library does not offer:
//! opening them, their options, waiting for one, a network for them alone.
//!
//! Thin and safe: what comes in are plain values and slices, what comes out
//! are results. What these sockets are for is told by `nfqueue`, `interface` and `inject`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Values that are the same bytes for the kernel as for us.
///
/// # Safety
/// The type has no padding and no pointers, and any bytes are a value of it.
pub(super) unsafe trait Plain: Copy + Default {}

// SAFETY: an integer.
unsafe impl Plain for libc::c_int {}

/// The time that a call on a socket may block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Blocking {
    seconds: libc::time_t,
    microseconds: libc::suseconds_t,
}

// SAFETY: two integers of a machine word each, like the kernel's `timeval`.
unsafe impl Plain for Blocking {}

const _: () = assert!(
    size_of::<Blocking>() == size_of::<libc::timeval>()
        && size_of::<Blocking>() == 2 * size_of::<libc::time_t>(),
    "a timeval without padding"
);

impl Blocking {
    /// At least a microsecond: zero would mean for ever.
    pub fn for_at_most(time: Duration) -> Blocking {
        let time = time.max(Duration::from_micros(1));
        Blocking {
            seconds: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
            microseconds: time.subsec_micros().into(),
        }
    }
}

/// A socket that programs started from here do not inherit.
pub(super) fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes three numbers and touches no memory of ours.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so this is a new descriptor that nobody
    // else closes.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn set_option<T: Plain>(
    fd: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: T,
) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer and the length are those of `value`, which lives
    // until the call returns; `Plain` has no padding that would be read.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            length,
        )
    };
    done(result)
}

pub(super) fn option<T: Plain>(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<T> {
    let mut value = T::default();
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes no more than `length` bytes, the size of
    // `value`, and any bytes are a value of a `Plain` type.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    done(result).map(|()| value)
}

/// Sets the size of a buffer, past the system's limit where that is
/// permitted; `Ok` is an error's place if it had to stay within. The second
/// is the size now, in the unit that was asked for.
pub(super) fn set_buffer(
    fd: BorrowedFd<'_>,
    (force, within): (i32, i32),
    bytes: usize,
) -> io::Result<(Option<io::Error>, usize)> {
    let wanted = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX / 2);
    let refusal = set_option(fd, libc::SOL_SOCKET, force, wanted).err();
    if refusal.is_some() {
        set_option(fd, libc::SOL_SOCKET, within, wanted)?;
    }
    // The kernel doubles what it is asked for, to cover its own records, and
    // tells the double.
    let doubled: libc::c_int = option(fd, libc::SOL_SOCKET, within)?;
    let granted = usize::try_from(doubled).unwrap_or(0) / 2;
    Ok((refusal.filter(|_| granted < bytes), granted))
}

/// Sends one datagram as a whole, without waiting if the socket is such.
pub(super) fn send_to(fd: BorrowedFd<'_>, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
    let v4;
    let v6;
    let (address, length): (*const libc::sockaddr, usize) = match to {
        SocketAddr::V4(to) => {
            v4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: to.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(to.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            ((&raw const v4).cast(), size_of_val(&v4))
        }
        SocketAddr::V6(to) => {
            v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: to.port().to_be(),
                sin6_flowinfo: to.flowinfo().to_be(),
                sin6_addr: libc::in6_addr {
                    s6_addr: to.ip().octets(),
                },
                sin6_scope_id: to.scope_id(),
            };
            ((&raw const v6).cast(), size_of_val(&v6))
        }
    };
    // SAFETY: the kernel only reads: `bytes`, and the address of the length
    // told, which lives in `v4` or `v6` until the call returns.
    let sent = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_NOSIGNAL,
            address,
            length as libc::socklen_t,
        )
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Waits until the socket takes more, or the time is over, or a signal came.
pub(super) fn wait_writable(fd: BorrowedFd<'_>, time: Duration) {
    wait(fd, libc::POLLOUT, time);
}

/// Waits until there is something to read, or the time is over, or a signal
/// came. Whether the socket has an error.
pub(super) fn wait_readable(fd: BorrowedFd<'_>, time: Duration) -> bool {
    wait(fd, libc::POLLIN, time) & libc::POLLERR != 0
}

/// What happened of the events.
fn wait(fd: BorrowedFd<'_>, events: libc::c_short, time: Duration) -> libc::c_short {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    };
    let milliseconds = libc::c_int::try_from(time.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: one record, which lives until the call returns.
    unsafe { libc::poll(&raw mut poll, 1, milliseconds) };
    poll.revents
}

/// Moves the calling thread into a network namespace made for it, which goes
/// with the thread, its sockets and the programs that it started. Other
/// threads stay where they are.
pub(crate) fn enter_new_network() -> io::Result<()> {
    // SAFETY: takes a number and touches no memory of ours. Descriptors, which
    // other flags would part this thread from, stay shared.
    done(unsafe { libc::unshare(libc::CLONE_NEWNET) })
}

/// The result of a call that answers with 0 or -1.
pub(super) fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn udp() -> OwnedFd {
        socket(libc::AF_INET, libc::SOCK_DGRAM, 0).expect("everybody may have a socket")
    }

    #[test]
    fn options_are_what_they_were_set_to() {
        let socket = udp();
        let fd = socket.as_fd();
        set_option(fd, libc::SOL_SOCKET, libc::SO_PRIORITY, 5).expect("an allowed priority");
        let priority: i32 = option(fd, libc::SOL_SOCKET, libc::SO_PRIORITY).expect("readable");
        assert_eq!(priority, 5);
        let time = Blocking::for_at_most(Duration::from_millis(2_250));
        set_option(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, time).expect("any time is allowed");
        let kept: Blocking = option(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO).expect("readable");
        // In steps of the kernel's clock.
        assert_eq!(kept.seconds, 2);
        assert!((250_000..270_000).contains(&kept.microseconds), "{kept:?}");
    }

    #[test]
    fn no_time_is_not_for_ever() {
        let blocking = Blocking::for_at_most(Duration::ZERO);
        assert_ne!(blocking, Blocking::default());
    }

    #[test]
    fn a_buffer_tells_its_size_and_refusals() {
        let socket = udp();
        let names = (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF);
        let (refusal, granted) = set_buffer(socket.as_fd(), names, 100_000).expect("allowed");
        assert!(refusal.is_none());
        assert!((100_000..110_000).contains(&granted), "{granted}");
        let (refusal, granted) = set_buffer(socket.as_fd(), names, 1 << 28).expect("allowed");
        assert_eq!(refusal.is_some(), granted < 1 << 28);
    }

    #[test]
    fn datagrams_reach_the_address() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(receiver) = std::net::UdpSocket::bind(address) else {
                println!("skipped: {address} cannot be bound");
                continue;
            };
            let to = receiver.local_addr().expect("it is bound");
            let family = if to.is_ipv4() {
                libc::AF_INET
            } else {
                libc::AF_INET6
            };
            let sender = socket(family, libc::SOCK_DGRAM, 0).expect("a socket");
            send_to(sender.as_fd(), b"here", to).expect("the way is short");
            let mut buffer = [0; 16];
            let wait = Some(Duration::from_secs(2));
            receiver.set_read_timeout(wait).expect("a time");
            let length = receiver.recv(&mut buffer).expect("it came");
            assert_eq!(&buffer[..length], b"here");
        }
    }

    /// As in a container that has rights over its own network only.
    #[test]
    fn a_buffer_stays_within_the_limit_without_rights() {
        let nothing = [[0u32; 3]; 2];
        let header = [0x2008_0522u32, 0];
        // SAFETY: the kernel reads both records, of the sizes that this
        // version has. It takes rights from this test's thread alone.
        let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), nothing.as_ptr()) };
        assert_eq!(result, 0, "rights can always be given up");
        let socket = udp();
        let names = (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF);
        let most = std::fs::read_to_string("/proc/sys/net/core/rmem_max");
        let most: usize = most
            .expect("Linux tells it")
            .trim()
            .parse()
            .expect("a number");
        let (refusal, granted) = set_buffer(socket.as_fd(), names, most + 1).expect("allowed");
        assert_eq!(granted, most);
        let refusal = refusal.expect("it is less than was asked for");
        assert_eq!(refusal.raw_os_error(), Some(libc::EPERM));
        let (refusal, granted) = set_buffer(socket.as_fd(), names, 50_000).expect("allowed");
        assert!(refusal.is_none(), "{granted} is enough");
    }

    #[test]
    fn wrong_descriptors_are_errors() {
        let error = socket(-1, libc::SOCK_DGRAM, 0).expect_err("no such family");
        assert_eq!(error.raw_os_error(), Some(libc::EAFNOSUPPORT));
    }
}
