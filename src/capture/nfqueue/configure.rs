//! Binding to a queue and setting it up, without losing its first packets.
//!
//! All settings go out in one send, each in a message of its own: the kernel
//! has dealt with them when the send returns, so that few packets can come
//! between the answers, and it refuses no setting for another one's sake.
//! Packets that do come are kept for the queue's first bursts; the kernel's
//! first limit, 1,024 packets without verdict, caps them. Not here: what the
//! settings are for (`Config`), buffers of the socket.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::error::{Granted, QueueError, Refusal, Wish};
use super::message::{self, Answer, Message};
use super::socket::{Slots, Socket};
use super::{Config, status};

/// The kernel answers at once; what makes it late are answers lost because
/// the socket's buffer was full, so it is asked again.
const PATIENCE: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 3;

/// The number of the message that binds; those of the settings follow.
const BIND: u32 = 1;
const UNBIND: u32 = u32::MAX;

/// Datagrams with packets, as they came.
pub(super) type Early = VecDeque<Box<[u8]>>;

/// A setting that a queue can do without.
struct Setting {
    wish: Wish,
    sequence: u32,
    /// What the kernel said: an error number, or 0.
    answer: Option<i32>,
}

/// Binds to the queue and asks for its settings, as far as the kernel grants
/// them.
pub(super) fn configure(
    socket: &mut Socket,
    slots: &mut Slots,
    config: &Config,
) -> Result<(Granted, Early), QueueError> {
    let number = config.number;
    let wishes = [
        Some(Wish::Length),
        config.gso.then_some(Wish::Gso),
        config.fail_open.then_some(Wish::FailOpen),
    ];
    let mut settings: Vec<_> = (BIND + 1..)
        .zip(wishes.into_iter().flatten())
        .map(|(sequence, wish)| Setting {
            wish,
            sequence,
            answer: None,
        })
        .collect();
    let mut bound = None;
    let mut early = Early::new();
    for attempt in 0..ATTEMPTS {
        let mut out = Vec::new();
        if bound.is_none() {
            message::bind(&mut out, number, BIND, config.copy);
        }
        for setting in settings.iter().filter(|setting| setting.answer.is_none()) {
            setting.write(&mut out, config);
        }
        let sent = socket.send(&out);
        sent.map_err(|error| QueueError::Refused { number, error })?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            listen(socket, slots, number, Some(&mut early), |answer| {
                if answer.about_config && answer.sequence == BIND {
                    bound = Some(answer.errno);
                } else if answer.about_config {
                    let mut settings = settings.iter_mut();
                    if let Some(setting) = settings.find(|it| it.sequence == answer.sequence) {
                        setting.answer = Some(answer.errno);
                    }
                }
            })?;
            match bound {
                // The first attempt's answer was lost, but it had worked.
                Some(libc::EBUSY) if attempt > 0 => bound = Some(0),
                Some(errno) if errno != 0 => return Err(not_bound(socket, number, errno)),
                _ => (),
            }
            if bound.is_some() && settings.iter().all(|setting| setting.answer.is_some()) {
                return Ok((granted(number, &settings), early));
            }
            if Instant::now() >= deadline {
                break;
            }
        }
    }
    let seconds = PATIENCE.as_secs() * u64::from(ATTEMPTS);
    Err(QueueError::Silent { number, seconds })
}

/// Gives the queue back, telling of answers that were still to come.
pub(super) fn unbind(
    socket: &mut Socket,
    slots: &mut Slots,
    number: u16,
    mut tell: impl FnMut(Answer),
) -> Result<(), QueueError> {
    let mut out = Vec::new();
    message::unbind(&mut out, number, UNBIND);
    let sent = socket.send(&out);
    sent.map_err(|error| QueueError::Send { number, error })?;
    let deadline = Instant::now() + PATIENCE;
    let mut unbound = false;
    while !unbound && Instant::now() < deadline {
        // Packets still in the socket's buffer were dropped with the queue.
        listen(socket, slots, number, None, |answer| {
            unbound |= answer.about_config && answer.sequence == UNBIND;
            tell(answer);
        })?;
    }
    if !unbound {
        let seconds = PATIENCE.as_secs();
        return Err(QueueError::Silent { number, seconds });
    }
    Ok(())
}

/// Takes what the kernel sends: answers are told, packets kept.
fn listen(
    socket: &mut Socket,
    slots: &mut Slots,
    number: u16,
    mut early: Option<&mut Early>,
    mut tell: impl FnMut(Answer),
) -> Result<(), QueueError> {
    let filled = match socket.receive(slots, PATIENCE / 10) {
        // What was lost was an answer, or is counted as a gap later.
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => 0,
        result => result.map_err(|error| QueueError::Receive { number, error })?,
    };
    for datagram in (0..filled).filter_map(|slot| slots.datagram(slot)) {
        let mut packets = false;
        for message in message::messages(datagram).flatten() {
            match message {
                Message::Answer(answer) => tell(answer),
                Message::Packet(_) => packets = true,
                Message::Other => (),
            }
        }
        if let Some(early) = early.as_deref_mut().filter(|_| packets) {
            early.push_back(datagram.into());
        }
    }
    Ok(())
}

impl Setting {
    fn write(&self, out: &mut Vec<u8>, config: &Config) {
        let (number, sequence) = (config.number, self.sequence);
        let flag = match self.wish {
            Wish::Length => return message::length(out, number, sequence, config.length),
            // A matter of the socket.
            Wish::Buffer => return,
            Wish::Gso => libc::NFQA_CFG_F_GSO,
            Wish::FailOpen => libc::NFQA_CFG_F_FAIL_OPEN,
        };
        message::flag(out, number, sequence, flag as u32);
    }
}

fn granted(number: u16, settings: &[Setting]) -> Granted {
    let has = |wish| {
        settings
            .iter()
            .any(|it| it.wish == wish && it.answer == Some(0))
    };
    let refused = settings.iter().filter_map(|setting| {
        let errno = setting.answer.filter(|&errno| errno != 0)?;
        Some(Refusal {
            wish: setting.wish,
            error: io::Error::from_raw_os_error(errno),
        })
    });
    Granted {
        number,
        gso: has(Wish::Gso),
        fail_open: has(Wish::FailOpen),
        length: has(Wish::Length),
        buffer: 0,
        refused: refused.collect(),
    }
}

/// Why the kernel did not give the queue. It says EPERM both to those who may
/// have no queue and to those who want another's.
fn not_bound(socket: &Socket, number: u16, errno: i32) -> QueueError {
    let error = io::Error::from_raw_os_error(errno);
    match errno {
        libc::EPERM | libc::EBUSY => {
            let own = socket.port().ok();
            let queue = status::queue(number).ok().flatten();
            match queue.filter(|queue| Some(queue.port) != own) {
                Some(queue) => QueueError::Taken {
                    number,
                    port: queue.port,
                    process: status::holder(queue.port),
                },
                None if errno == libc::EPERM => QueueError::NotPermitted { number },
                None => QueueError::Refused { number, error },
            }
        }
        // No subsystem of that name in the kernel.
        libc::EINVAL | libc::EOPNOTSUPP => QueueError::NoQueues(error),
        _ => QueueError::Refused { number, error },
    }
}
