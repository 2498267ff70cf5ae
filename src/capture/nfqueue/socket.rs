//! The netlink socket of a queue, and the memory that the kernel writes
//! packets into.
//!
//! Owns every system call of the queue. [`Slots`] are blocks, reserved at the
//! start and filled by `recvmmsg`, a datagram to a block; pages that no packet
//! ever reached cost nothing. A block can be given away for an empty one. Not here: what the datagrams say.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use crate::buf::BLOCK;
use crate::capture::system::{self, Blocking};

/// Room for the longest payload, 64 kB, with all that goes before it. A
/// multiple of the page, and what the engine can take over as it is.
pub(super) const SLOT: usize = BLOCK;
const _: () = assert!(SLOT >= 65_536 + 1024);

/// What the send buffer should hold: a run of verdicts, and a rewritten
/// packet of the largest size.
const SEND_BUFFER: usize = 256 * 1024;

/// What the kernel keeps for itself of a send buffer.
const SEND_RESERVE: usize = 32;

#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    /// How long receiving blocks now.
    blocking: Option<Duration>,
}

impl Socket {
    /// A socket that talks to the kernel alone.
    pub fn open() -> io::Result<Socket> {
        let fd = system::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER)?;
        let socket = Socket { fd, blocking: None };
        let address = address();
        let length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        // SAFETY: both calls read `length` bytes of the address, which lives
        // until they return.
        unsafe {
            let address = (&raw const address).cast();
            // Port 0 lets the kernel choose one that nobody else has.
            system::done(libc::bind(socket.fd.as_raw_fd(), address, length))?;
            // Connected to the kernel, so that no other process can send
            // messages that would look like packets.
            system::done(libc::connect(socket.fd.as_raw_fd(), address, length))?;
        }
        // Both are better service, not conditions: without the first a full
        // buffer is reported as an error, which is counted; without the
        // second errors repeat the whole message they are about.
        let netlink = |name| system::set_option(socket.as_fd(), libc::SOL_NETLINK, name, 1);
        let _ = netlink(libc::NETLINK_NO_ENOBUFS);
        let _ = netlink(libc::NETLINK_CAP_ACK);
        Ok(socket)
    }

    /// The number that the kernel knows the socket by.
    pub fn port(&self) -> io::Result<u32> {
        let mut address = address();
        let mut length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        // SAFETY: the kernel writes no more than `length` bytes, the size of
        // the address, into it.
        let result = unsafe {
            let address = (&raw mut address).cast();
            libc::getsockname(self.fd.as_raw_fd(), address, &raw mut length)
        };
        system::done(result).map(|()| address.nl_pid)
    }

    /// Asks for a receive buffer; the answer is as in [`system::set_buffer`].
    pub fn set_receive_buffer(&self, bytes: usize) -> io::Result<(Option<io::Error>, usize)> {
        let names = (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF);
        system::set_buffer(self.as_fd(), names, bytes)
    }

    /// The longest datagram that can be sent, after asking for enough.
    pub fn set_send_buffer(&self) -> io::Result<usize> {
        let names = (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF);
        let (_, granted) = system::set_buffer(self.as_fd(), names, SEND_BUFFER)?;
        // Netlink compares with the double that the kernel keeps.
        Ok((2 * granted).saturating_sub(SEND_RESERVE))
    }

    /// Fills slots with the datagrams that are there, or waits for the first.
    /// Returns how many; none if the time was over or a signal came.
    pub fn receive(&mut self, slots: &mut Slots, wait: Duration) -> io::Result<usize> {
        slots.filled = 0;
        // MSG_TRUNC tells the length that a datagram too long for its slot had.
        let mut flags = libc::MSG_WAITFORONE | libc::MSG_TRUNC;
        if wait.is_zero() {
            flags |= libc::MSG_DONTWAIT;
        } else if self.blocking != Some(wait) {
            let time = Blocking::for_at_most(wait);
            system::set_option(self.as_fd(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, time)?;
            self.blocking = Some(wait);
        }
        let count = slots.count();
        let headers = slots.headers();
        // SAFETY: there are `count` headers, each with one vector that names
        // a block of its own; all of it belongs to `slots`, which is borrowed
        // for this call, so nobody reads what the kernel writes.
        let received = unsafe {
            libc::recvmmsg(
                self.fd.as_raw_fd(),
                headers,
                count as libc::c_uint,
                flags,
                ptr::null_mut(),
            )
        };
        if let Ok(received) = usize::try_from(received) {
            slots.filled = received.min(count);
            return Ok(slots.filled);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR) => Ok(0),
            _ => Err(error),
        }
    }

    /// Hands messages to the kernel, which has dealt with all of them when
    /// this returns; or fails with none of them taken.
    pub fn send(&self, messages: &[u8]) -> io::Result<()> {
        // SAFETY: the kernel reads `messages` only, until the call returns.
        let sent = unsafe {
            libc::send(
                self.fd.as_raw_fd(),
                messages.as_ptr().cast(),
                messages.len(),
                0,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    pub fn wait_writable(&self, milliseconds: u32) {
        system::wait_writable(self.as_fd(), Duration::from_millis(milliseconds.into()));
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The kernel's address.
fn address() -> libc::sockaddr_nl {
    // SAFETY: all fields are integers, for which zero is a value.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address
}

/// Memory for `count` datagrams, a block of `SLOT` bytes each, which can be
/// given away with what is in it.
///
/// `filled` blocks hold what the kernel wrote last; nothing else is read. The
/// vectors and headers that tell the kernel where the blocks are, are written
/// anew before it is asked.
#[derive(Debug)]
pub(super) struct Slots {
    blocks: Vec<Box<[u8]>>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    filled: usize,
}

// SAFETY: the pointers in vectors and headers are used by `receive` alone,
// which has just written them; they mean nothing in between.
unsafe impl Send for Slots {}

impl Slots {
    /// Reserves the memory; pages are used only as packets reach them.
    pub fn new(count: usize) -> io::Result<Slots> {
        let count = count.max(1);
        Self::bytes(count).ok_or(io::ErrorKind::InvalidInput)?;
        let nowhere = libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        };
        let mut headers = Vec::with_capacity(count);
        // SAFETY: integers and pointers, for which zero is a value.
        headers.resize_with(count, || unsafe { std::mem::zeroed() });
        Ok(Slots {
            blocks: (0..count).map(|_| vec![0; SLOT].into()).collect(),
            vectors: vec![nowhere; count],
            headers,
            filled: 0,
        })
    }

    /// The memory that `count` slots take, if an address space has it.
    pub fn bytes(count: usize) -> Option<usize> {
        count
            .checked_mul(SLOT)
            .filter(|&bytes| isize::try_from(bytes).is_ok())
    }

    pub fn count(&self) -> usize {
        self.blocks.len()
    }

    /// Tells the headers where the blocks are. The headers are good as long
    /// as `self` is borrowed and not otherwise used.
    fn headers(&mut self) -> *mut libc::mmsghdr {
        let places = self.blocks.iter_mut().zip(&mut self.vectors);
        for ((block, vector), header) in places.zip(&mut self.headers) {
            vector.iov_base = block.as_mut_ptr().cast();
            vector.iov_len = block.len();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        self.headers.as_mut_ptr()
    }

    /// The datagram in a slot. `None` if it holds none, or if it was longer
    /// than a slot and is not whole.
    pub fn datagram(&self, slot: usize) -> Option<&[u8]> {
        let header = self.headers.get(..self.filled)?.get(slot)?;
        self.blocks.get(slot)?.get(..header.msg_len as usize)
    }

    /// Gives the block of a slot away for another of the same size. `None`
    /// if the slot holds no datagram, or the other has another size.
    pub fn exchange(&mut self, slot: usize, other: Box<[u8]>) -> Option<Box<[u8]>> {
        self.datagram(slot)?;
        if other.len() != SLOT {
            return None;
        }
        self.headers.get_mut(slot)?.msg_len = 0;
        Some(std::mem::replace(self.blocks.get_mut(slot)?, other))
    }

    /// Fills the next slot with a datagram received earlier. `false` if no
    /// slot is free or the datagram does not fit.
    pub fn put(&mut self, datagram: &[u8]) -> bool {
        let (Some(block), Some(header)) = (
            self.blocks.get_mut(self.filled),
            self.headers.get_mut(self.filled),
        ) else {
            return false;
        };
        let Some(place) = block.get_mut(..datagram.len()) else {
            return false;
        };
        place.copy_from_slice(datagram);
        header.msg_len = datagram.len() as libc::c_uint;
        self.filled += 1;
        true
    }

    pub fn clear(&mut self) {
        self.filled = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_hold_what_was_put_and_nothing_else() {
        let mut slots = Slots::new(3).expect("a small mapping");
        assert_eq!(slots.datagram(0), None);
        let long = vec![7; SLOT];
        assert!(slots.put(b"one") && slots.put(&long) && slots.put(b""));
        assert!(!slots.put(b"a fourth"));
        assert_eq!(slots.datagram(0), Some(&b"one"[..]));
        assert_eq!(slots.datagram(1), Some(&long[..]));
        assert_eq!(slots.datagram(2), Some(&b""[..]));
        assert_eq!(slots.datagram(3), None);
        slots.clear();
        assert_eq!(slots.datagram(0), None);
        assert!(!slots.put(&vec![0; SLOT + 1]));
        assert!(Slots::new(usize::MAX / SLOT + 1).is_err());
    }

    #[test]
    fn a_slot_is_given_away_for_another() {
        let mut slots = Slots::new(2).expect("little memory");
        assert!(slots.put(b"one") && slots.put(b"two"));
        assert!(slots.exchange(0, vec![0; SLOT - 1].into()).is_none());
        let given = slots.exchange(0, vec![9; SLOT].into());
        assert_eq!(
            given.as_deref().and_then(|block| block.get(..3)),
            Some(&b"one"[..])
        );
        assert_eq!(slots.datagram(0), Some(&b""[..]));
        assert_eq!(slots.datagram(1), Some(&b"two"[..]));
        assert!(slots.exchange(2, vec![0; SLOT].into()).is_none());
        slots.clear();
        assert!(slots.put(b"three"));
        assert_eq!(slots.datagram(0), Some(&b"three"[..]));
    }

    #[test]
    fn slots_may_change_threads() {
        let mut slots = Slots::new(2).expect("a small mapping");
        assert!(slots.put(b"there"));
        let slots = std::thread::spawn(move || {
            assert_eq!(slots.datagram(0), Some(&b"there"[..]));
            slots
        });
        let slots = slots.join().expect("it holds");
        assert_eq!(slots.datagram(0), Some(&b"there"[..]));
    }

    /// An error of the kernel's, in slots that the kernel wrote.
    #[test]
    fn the_kernel_fills_slots() {
        let Ok(mut socket) = Socket::open() else {
            println!("skipped: no netfilter sockets here");
            return;
        };
        let mut slots = Slots::new(4).expect("a small mapping");
        let nothing = socket.receive(&mut slots, Duration::ZERO);
        assert_eq!(nothing.expect("nothing is no error"), 0);
        // Two empty messages that ask for an answer.
        let mut message = [0; 32];
        for (at, value) in [(0, 16), (4, 2), (6, 5), (16, 16), (20, 2), (22, 5)] {
            message[at] = value;
        }
        socket.send(&message).expect("the kernel takes it");
        let wait = Duration::from_secs(2);
        let count = socket.receive(&mut slots, wait).expect("answers");
        assert!(count >= 1);
        for slot in 0..count {
            let answer = slots.datagram(slot).expect("a whole datagram");
            assert_eq!(answer.get(4), Some(&2), "an answer: {answer:?}");
        }
        assert_eq!(slots.datagram(count), None);
        assert_ne!(socket.port().expect("it has one"), 0);
    }
}
