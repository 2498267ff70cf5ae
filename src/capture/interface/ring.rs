//! The memory that the kernel writes frames into, and how they are read.
//!
//! A ring of blocks (`TPACKET_V3`, `packet_mmap.rst` of the kernel's
//! documentation). The kernel fills a block with frames, one behind the other,
//! and hands it over when it is full or [`HAND_OVER`] is over; it belongs to
//! us until we give it back. Only what a block says of itself is believed as
//! far as it stays within that block.

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::system::{self, Plain, done};
use crate::time::Timestamp;

/// A block: room for the longest frame, sixteen times.
const BLOCK: usize = 1 << 20;

/// Blocks of the largest ring: a gigabyte.
const MOST: usize = 1024;

/// How long a frame may wait for its block to be filled.
const HAND_OVER: Duration = Duration::from_millis(20);

/// The kernel wants a size of frames, and uses it for nothing.
const FRAME: u32 = 2048;

/// Where a block says whose it is, how many frames it has, and where the
/// first one is.
const STATUS: usize =
    offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, block_status);
const COUNT: usize =
    offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, num_pkts);
const FIRST: usize = offset_of!(libc::tpacket_block_desc, hdr)
    + offset_of!(libc::tpacket_hdr_v1, offset_to_first_pkt);

/// Where the tag of a frame is, and its link address.
const TAG: usize = offset_of!(libc::tpacket3_hdr, hv1);
const LINK: usize = size_of::<libc::tpacket3_hdr>().next_multiple_of(libc::TPACKET_ALIGNMENT);

/// `struct tpacket_req3`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Request {
    block_size: libc::c_uint,
    blocks: libc::c_uint,
    frame_size: libc::c_uint,
    frames: libc::c_uint,
    hand_over: libc::c_uint,
    private: libc::c_uint,
    features: libc::c_uint,
}

// SAFETY: seven integers of one size.
unsafe impl Plain for Request {}

/// A frame as the kernel describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub timestamp: Timestamp,
    pub bytes: &'a [u8],
    pub wire_len: u32,
    /// The tag that was taken off, as it stood in the frame.
    pub vlan: Option<[u8; 4]>,
    /// This machine sent it.
    pub outgoing: bool,
    /// What it carries, as Ethernet numbers it.
    protocol: u16,
}

impl Frame<'_> {
    pub fn is_ip(&self) -> bool {
        let protocol = i32::from(self.protocol);
        protocol == libc::ETH_P_IP || protocol == libc::ETH_P_IPV6
    }
}

#[derive(Debug)]
pub(super) struct Ring {
    memory: NonNull<u8>,
    blocks: usize,
    /// The block that is read, or waited for.
    at: usize,
    /// It is ours.
    open: bool,
    /// Where its current frame is, and where the next one is.
    frame: usize,
    next: usize,
    /// Frames behind the current one.
    left: u32,
}

// SAFETY: the memory belongs to the ring alone (and to the kernel), and is
// reached through it; no thread has a part in it.
unsafe impl Send for Ring {}

impl Ring {
    /// Has the kernel make a ring for the socket, of about `buffer` bytes.
    pub fn make(fd: BorrowedFd<'_>, buffer: usize) -> io::Result<Ring> {
        let version = libc::tpacket_versions::TPACKET_V3 as libc::c_int;
        system::set_option(fd, libc::SOL_PACKET, libc::PACKET_VERSION, version)?;
        let blocks = (buffer / BLOCK).clamp(2, MOST);
        let request = Request {
            block_size: BLOCK as libc::c_uint,
            blocks: blocks as libc::c_uint,
            frame_size: FRAME,
            frames: blocks as libc::c_uint * (BLOCK as libc::c_uint / FRAME),
            hand_over: HAND_OVER.as_millis() as libc::c_uint,
            ..Request::default()
        };
        system::set_option(fd, libc::SOL_PACKET, libc::PACKET_RX_RING, request)?;
        // SAFETY: a new mapping at an address of the kernel's choice, of the
        // size that the ring was just made with.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                blocks * BLOCK,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        let memory = match NonNull::new(memory) {
            Some(memory) if memory.as_ptr() != libc::MAP_FAILED => memory.cast(),
            _ => return Err(io::Error::last_os_error()),
        };
        Ok(Ring {
            memory,
            blocks,
            at: 0,
            open: false,
            frame: 0,
            next: 0,
            left: 0,
        })
    }

    /// Goes on to the next frame; false if the kernel has handed none over.
    pub fn advance(&mut self) -> bool {
        while self.left == 0 {
            self.give_back();
            if self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                return false;
            }
            self.open = true;
            self.left = number(self.block(), COUNT).unwrap_or(0);
            self.next = number(self.block(), FIRST).unwrap_or(0) as usize;
        }
        self.left -= 1;
        self.frame = self.next;
        let step = offset_of!(libc::tpacket3_hdr, tp_next_offset);
        let step = number(self.block(), self.frame + step).unwrap_or(0);
        self.next = self.frame + step as usize;
        true
    }

    /// The frame that [`Ring::advance`] went to.
    pub fn frame(&self) -> Option<Frame<'_>> {
        let header = self.block().get(self.frame..)?;
        let word = |at| number(header, at);
        let half = |at: usize| Some(u16::from_ne_bytes(*header.get(at..)?.first_chunk()?));
        let seconds = word(offset_of!(libc::tpacket3_hdr, tp_sec))?;
        let nanoseconds = word(offset_of!(libc::tpacket3_hdr, tp_nsec))?;
        let len = word(offset_of!(libc::tpacket3_hdr, tp_snaplen))? as usize;
        let status = word(offset_of!(libc::tpacket3_hdr, tp_status))?;
        // Cooked frames begin with their network header as well.
        let from = usize::from(half(offset_of!(libc::tpacket3_hdr, tp_mac))?);
        let vlan = match status & libc::TP_STATUS_VLAN_VALID {
            0 => None,
            _ => {
                let tci = word(TAG + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tci))? as u16;
                let kind = match status & libc::TP_STATUS_VLAN_TPID_VALID {
                    0 => libc::ETH_P_8021Q as u16,
                    _ => half(TAG + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tpid))?,
                };
                let ([a, b], [c, d]) = (kind.to_be_bytes(), tci.to_be_bytes());
                Some([a, b, c, d])
            }
        };
        let protocol = half(LINK + offset_of!(libc::sockaddr_ll, sll_protocol))?;
        let direction = header.get(LINK + offset_of!(libc::sockaddr_ll, sll_pkttype))?;
        Some(Frame {
            timestamp: Timestamp::new(i64::from(seconds), nanoseconds),
            bytes: header.get(from..)?.get(..len)?,
            wire_len: word(offset_of!(libc::tpacket3_hdr, tp_len))?,
            vlan,
            outgoing: *direction == libc::PACKET_OUTGOING,
            protocol: u16::from_be(protocol),
        })
    }

    /// The block that is ours; nothing if none is.
    fn block(&self) -> &[u8] {
        if !self.open {
            return &[];
        }
        // SAFETY: the block lies within the mapping, since `at` is less than
        // `blocks`. It was handed over, so the kernel leaves it alone until
        // `give_back`, which takes `self` while no slice of it is about.
        unsafe { std::slice::from_raw_parts(self.start(), BLOCK) }
    }

    fn start(&self) -> *mut u8 {
        // SAFETY: within the mapping, as `at` is less than `blocks`.
        unsafe { self.memory.as_ptr().add(self.at * BLOCK) }
    }

    /// Whose the current block is.
    fn status(&self) -> &AtomicU32 {
        // SAFETY: a block begins at a multiple of the page and this is a word
        // of it at a multiple of four, which the kernel too reads and writes
        // as a whole.
        unsafe { AtomicU32::from_ptr(self.start().add(STATUS).cast()) }
    }

    fn give_back(&mut self) {
        if self.open {
            self.open = false;
            self.status()
                .store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.at = (self.at + 1) % self.blocks;
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping that `make` made; nobody has a slice of it, as
        // those borrow the ring.
        let result = unsafe { libc::munmap(self.memory.as_ptr().cast(), self.blocks * BLOCK) };
        debug_assert!(done(result).is_ok(), "the mapping was there");
    }
}

/// A number as the kernel of this machine writes it.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}
