//! What really arrives at a host and leaves it: a packet socket that notes
//! TCP segments.
//!
//! For the few packets of a connection and its end; a bulk transfer may
//! overrun it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::namespace::Namespace;

const RST: u8 = 0x04;

/// As much of a packet as is looked at.
const LOOKED_AT: usize = 128;

/// One TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// It arrived; otherwise it left.
    pub arrived: bool,
    pub from: u16,
    pub to: u16,
    pub flags: u8,
    pub payload: usize,
}

impl Segment {
    pub fn is_reset(&self) -> bool {
        self.flags & RST != 0
    }
}

/// Notes segments until it is dropped.
pub struct Tap {
    seen: Arc<Mutex<Vec<Segment>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tap {
    pub fn start(namespace: &Namespace) -> Result<Tap, String> {
        let socket = namespace
            .inside(open)
            .map_err(|error| format!("packet socket: {error}"))?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (noted, stopping) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopping.load(Ordering::Relaxed) {
                if let Some(segment) = next(&socket) {
                    noted.lock().expect("no holder panics").push(segment);
                }
            }
        });
        Ok(Tap {
            seen,
            stop,
            thread: Some(thread),
        })
    }

    /// All segments of connections to a port of the server, so far.
    pub fn segments(&self, port: u16) -> Vec<Segment> {
        let seen = self.seen.lock().expect("no holder panics");
        let of_port = |segment: &&Segment| segment.from == port || segment.to == port;
        seen.iter().filter(of_port).copied().collect()
    }

    /// The first RST that arrived, waited for.
    pub fn reset(&self, port: u16, patience: Duration) -> Option<Segment> {
        let start = Instant::now();
        loop {
            let segments = self.segments(port);
            let reset = segments.iter().find(|seen| seen.arrived && seen.is_reset());
            if reset.is_some() || start.elapsed() > patience {
                return reset.copied();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Network packets of all devices, both ways, without link headers.
fn open() -> io::Result<OwnedFd> {
    let every = i32::from((libc::ETH_P_ALL as u16).to_be());
    // SAFETY: a plain system call; the descriptor is owned from here on.
    let socket = unsafe {
        let socket = libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM, every);
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(socket)
    };
    let patience = libc::timeval {
        tv_sec: 0,
        tv_usec: 50_000,
    };
    let room: i32 = 16 << 20;
    set(&socket, libc::SO_RCVTIMEO, &patience)?;
    set(&socket, libc::SO_RCVBUFFORCE, &room)?;
    Ok(socket)
}

fn set<T>(socket: &OwnedFd, option: i32, value: &T) -> io::Result<()> {
    let len = std::mem::size_of::<T>() as u32;
    // SAFETY: the value is read for the length of its own type.
    let done = unsafe {
        let value = std::ptr::from_ref(value).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, value, len)
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Nothing where none came for a while, or something that is no TCP.
fn next(socket: &OwnedFd) -> Option<Segment> {
    let mut packet = [0; LOOKED_AT];
    // SAFETY: all zeros is a valid value of this record of numbers.
    let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    let mut from_len = std::mem::size_of::<libc::sockaddr_ll>() as u32;
    // SAFETY: both buffers are given with their own lengths.
    let len = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            packet.as_mut_ptr().cast(),
            packet.len(),
            0,
            std::ptr::from_mut(&mut from).cast(),
            &mut from_len,
        )
    };
    let packet = packet.get(..usize::try_from(len).ok()?)?;
    parse(packet, from.sll_pkttype != libc::PACKET_OUTGOING)
}

fn parse(packet: &[u8], arrived: bool) -> Option<Segment> {
    let short = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    let (header, total) = match packet.first()? >> 4 {
        4 if *packet.get(9)? == 6 => (usize::from(packet[0] & 15) * 4, usize::from(short(2)?)),
        6 if *packet.get(6)? == 6 => (40, usize::from(short(4)?) + 40),
        _ => return None,
    };
    let tcp = packet.get(header..header + 20)?;
    let data = header + usize::from(tcp[12] >> 4) * 4;
    Some(Segment {
        arrived,
        from: short(header)?,
        to: short(header + 2)?,
        flags: tcp[13],
        payload: total.saturating_sub(data),
    })
}
