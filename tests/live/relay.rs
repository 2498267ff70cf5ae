//! A link that loses packets and lets some overtake others: two tun devices
//! and a thread that carries packets between them.
//!
//! Which packets meet with trouble is drawn from a seed. A tun device gets
//! packets of one MTU with finished checksums, and what it hands in is checked
//! by its receiver.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::namespace::Namespace;
use crate::random::Random;

/// How bad a link is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trouble {
    /// Of 1,000 packets.
    pub lost: u64,
    /// Of 1,000 packets; each is overtaken by the three that follow.
    pub overtaken: u64,
    pub seed: u64,
}

/// One percent lost, one percent overtaken.
pub const BAD: Trouble = Trouble {
    lost: 10,
    overtaken: 10,
    seed: 7,
};

/// A packet waits for so many others, or for so long when none come.
const OVERTAKEN_BY: u32 = 3;
const PATIENCE: Duration = Duration::from_millis(2);

/// What became of packets.
#[derive(Default)]
pub struct Counts {
    pub passed: AtomicU64,
    pub lost: AtomicU64,
    pub overtaken: AtomicU64,
}

pub struct Relay {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    pub counts: Arc<Counts>,
}

impl Relay {
    /// Makes a device in each namespace; they are up as soon as somebody
    /// brings them up.
    pub fn start(
        one: &Namespace,
        name: &str,
        other: &Namespace,
        other_name: &str,
        trouble: Trouble,
    ) -> Result<Relay, String> {
        let ends = [
            one.inside(|| open(name))
                .map_err(|error| format!("tun: {error}"))?,
            other
                .inside(|| open(other_name))
                .map_err(|error| format!("tun: {error}"))?,
        ];
        // A burst of a whole window must find its place.
        one.ip(&["link", "set", name, "txqueuelen", "5000"])?;
        other.ip(&["link", "set", other_name, "txqueuelen", "5000"])?;
        let stop = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(Counts::default());
        let carrier = Carrier {
            ends,
            waiting: [VecDeque::new(), VecDeque::new()],
            random: Random::new(trouble.seed),
            trouble,
            counts: Arc::clone(&counts),
        };
        let stopping = Arc::clone(&stop);
        let thread = std::thread::spawn(move || carrier.run(&stopping));
        Ok(Relay {
            stop,
            thread: Some(thread),
            counts,
        })
    }

    pub fn describe(&self) -> String {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        format!(
            "{} packets, {} lost, {} overtaken",
            of(&self.counts.passed) + of(&self.counts.lost),
            of(&self.counts.lost),
            of(&self.counts.overtaken)
        )
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

struct Waiting {
    packet: Vec<u8>,
    overtaken_by: u32,
    until: Instant,
}

struct Carrier {
    ends: [File; 2],
    /// Packets that came in at an end and are to be overtaken.
    waiting: [VecDeque<Waiting>; 2],
    random: Random,
    trouble: Trouble,
    counts: Arc<Counts>,
}

impl Carrier {
    fn run(mut self, stop: &AtomicBool) {
        let mut buffer = vec![0; 65536];
        while !stop.load(Ordering::Relaxed) {
            self.wait();
            for end in 0..2 {
                // A burst at a time, so that neither direction starves.
                for _ in 0..64 {
                    let Ok(len) = self.ends[end].read(&mut buffer) else {
                        break;
                    };
                    self.carry(end, &buffer[..len]);
                }
                self.release(end);
            }
        }
    }

    fn wait(&self) {
        let mut polled = self.ends.each_ref().map(|end| libc::pollfd {
            fd: end.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        });
        let idle = self.waiting.iter().all(VecDeque::is_empty);
        let timeout = if idle { 50 } else { 1 };
        // SAFETY: two records that live on the stack for the call.
        unsafe { libc::poll(polled.as_mut_ptr(), 2, timeout) };
    }

    fn carry(&mut self, from: usize, packet: &[u8]) {
        let drawn = self.random.below(1000);
        if drawn < self.trouble.lost {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if drawn < self.trouble.lost + self.trouble.overtaken {
            self.counts.overtaken.fetch_add(1, Ordering::Relaxed);
            self.waiting[from].push_back(Waiting {
                packet: packet.to_vec(),
                overtaken_by: 0,
                until: Instant::now() + PATIENCE,
            });
            return;
        }
        self.send(from, packet);
        for waiting in &mut self.waiting[from] {
            waiting.overtaken_by += 1;
        }
        self.release(from);
    }

    fn release(&mut self, from: usize) {
        while let Some(first) = self.waiting[from].front() {
            if first.overtaken_by < OVERTAKEN_BY && Instant::now() < first.until {
                return;
            }
            let Some(first) = self.waiting[from].pop_front() else {
                return;
            };
            self.send(from, &first.packet);
        }
    }

    fn send(&mut self, from: usize, packet: &[u8]) {
        // A device that is down takes nothing: the packet is lost as on any
        // link.
        if self.ends[1 - from].write(packet).is_ok() {
            self.counts.passed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A tun device of this name in the namespace of the calling thread.
fn open(name: &str) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    // SAFETY: all zeros is a valid value of this record of numbers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the descriptor is a tun device and the request the record that
    // this call takes.
    if unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}
