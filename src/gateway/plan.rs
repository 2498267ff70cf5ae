//! What the firewall is to do, as data: which packets lead to which queues.
//!
//! Renderers (`iptables`, `nft`) turn a plan into text, `change` loads it.
//! A plan knows neither what is loaded nor which tools there are.

use std::fmt;
use std::str::FromStr;

use super::marks::Marks;

/// What is to be diverted, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub mode: Mode,
    pub queues: Queues,
    pub marks: Marks,
    /// What happens to packets while nobody listens to a queue.
    pub on_crash: Stance,
    /// Only traffic that enters or leaves by one of these; none means all.
    pub interfaces: Vec<Interface>,
    pub action: Action,
    pub spread: Spread,
    /// Tells connection tracking to let pass what lies outside of a window,
    /// which is what lengthened streams look like to it.
    pub liberal: bool,
    /// Keeps packets of our own out of connection tracking when they carry
    /// both bits of the mask: see `iptables`.
    pub untracked: bool,
}

impl Plan {
    pub fn new(mode: Mode, queues: Queues) -> Plan {
        Plan {
            mode,
            queues,
            marks: Marks::DEFAULT,
            on_crash: Stance::Open,
            interfaces: Vec::new(),
            action: Action::Queue,
            spread: Spread::Flow,
            liberal: true,
            untracked: true,
        }
    }

    /// The best way to spread flows that needs no more than the mask has.
    pub fn spread_without_bpf(&self) -> Spread {
        match self.marks.spare_values() >= u32::from(self.queues.count()) {
            true => Spread::ConnectionMark,
            false => Spread::Addresses,
        }
    }

    /// Says in a line what is diverted.
    pub fn describe(&self) -> String {
        let what = match self.mode {
            Mode::Gateway => "forwarded packets",
            Mode::Host => "packets from and to this host",
            Mode::Bridge => "bridged packets",
        };
        let place = match self.interfaces.is_empty() {
            true => String::new(),
            false => format!(" on {}", list(&self.interfaces)),
        };
        match self.action {
            Action::Drop => format!("{what}{place} are dropped"),
            Action::Queue => format!(
                "{what}{place} go to {}, and {} while nobody listens",
                self.queues,
                match self.on_crash {
                    Stance::Open => "pass",
                    Stance::Closed => "are dropped",
                }
            ),
        }
    }
}

fn list(interfaces: &[Interface]) -> String {
    let names: Vec<&str> = interfaces.iter().map(Interface::as_str).collect();
    names.join(", ")
}

/// Where packets are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What this machine, or container, forwards.
    Gateway,
    /// What it sends and receives itself.
    Host,
    /// What its bridges pass on, through `br_netfilter`.
    Bridge,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Gateway => "gateway",
            Mode::Host => "host",
            Mode::Bridge => "bridge",
        }
    }
}

/// Versions of IP; each has rules of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    pub fn name(self) -> &'static str {
        match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        }
    }
}

/// Whether traffic goes on when nobody can judge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    Open,
    Closed,
}

/// What is done with packets that the plan selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Queue,
    /// What `on_stop = closed` leaves.
    Drop,
}

/// How flows are spread over several queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// By a hash of addresses and ports, the same in both directions.
    Flow,
    /// In turn: the connection mark remembers which queue a flow has.
    ConnectionMark,
    /// By the two addresses, as the kernel does it.
    Addresses,
}

impl Spread {
    /// Says what the operator may expect of it.
    pub fn describe(self) -> &'static str {
        match self {
            Spread::Flow => "by a hash of addresses and ports, both directions of a flow alike",
            Spread::ConnectionMark => "in turn, kept in the connection mark of each flow",
            Spread::Addresses => {
                "by the two addresses only: all flows of one pair of hosts share a queue"
            }
        }
    }
}

/// A range of queue numbers, one for each worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    first: u16,
    count: u16,
}

/// Why a text or a pair of numbers names no queues.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueuesError {
    #[error(
        "'{0}' names no queues: write a number from 0 to 65535, or a range of them, as 0 or 0-3"
    )]
    Unreadable(String),
    #[error("{0} queues are too many: {max} at most, one for each worker", max = Queues::MAX)]
    TooMany(u32),
}

impl Queues {
    /// Each queue is a rule that a packet may have to be compared with.
    pub const MAX: u16 = 64;

    pub fn new(first: u16, count: u16) -> Result<Queues, QueuesError> {
        if count > Queues::MAX {
            return Err(QueuesError::TooMany(count.into()));
        }
        let last = count
            .checked_sub(1)
            .and_then(|more| first.checked_add(more));
        match last {
            Some(_) => Ok(Queues { first, count }),
            None => Err(QueuesError::Unreadable(format!("{count} from {first}"))),
        }
    }

    pub fn first(self) -> u16 {
        self.first
    }

    pub fn last(self) -> u16 {
        // `new` has checked that this does not overflow.
        self.first.saturating_add(self.count.saturating_sub(1))
    }

    pub fn count(self) -> u16 {
        self.count
    }

    pub fn contains(self, queue: u16) -> bool {
        (self.first..=self.last()).contains(&queue)
    }

    /// Their numbers, each with its place from 0.
    pub fn numbered(self) -> impl Iterator<Item = (u16, u16)> {
        (0..self.count).zip(self.first..=self.last())
    }
}

impl FromStr for Queues {
    type Err = QueuesError;

    fn from_str(text: &str) -> Result<Queues, QueuesError> {
        let unreadable = || QueuesError::Unreadable(text.to_owned());
        let (first, last) = text.split_once(['-', ':']).unwrap_or((text, text));
        let first: u16 = first.trim().parse().map_err(|_| unreadable())?;
        let last: u16 = last.trim().parse().map_err(|_| unreadable())?;
        let more = last.checked_sub(first).ok_or_else(unreadable)?;
        match more.checked_add(1) {
            Some(count) => Queues::new(first, count),
            None => Err(QueuesError::TooMany(u32::from(more) + 1)),
        }
    }
}

impl fmt::Display for Queues {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => write!(out, "queue {}", self.first),
            _ => write!(out, "queues {}-{}", self.first, self.last()),
        }
    }
}

/// The name of a network interface, fit to stand in a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface(String);

/// Why a text is no interface's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no interface: 1 to 15 letters, digits and '.', '_', '-', '@', ':'; a '+' at the end means all that begin so"
)]
pub struct InterfaceError(String);

impl Interface {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_loopback(&self) -> bool {
        self.0 == "lo"
    }
}

impl FromStr for Interface {
    type Err = InterfaceError;

    // Names reach rule files: nothing that has a meaning there may pass.
    fn from_str(text: &str) -> Result<Interface, InterfaceError> {
        let name = text.trim();
        let stem = name.strip_suffix('+').unwrap_or(name);
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || ".-_@:".contains(letter);
        let fits = (1..=15).contains(&name.len()) && !stem.starts_with('-');
        match fits && stem.chars().all(allowed) {
            true => Ok(Interface(name.to_owned())),
            false => Err(InterfaceError(text.to_owned())),
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_a_number_or_a_range() {
        let one: Queues = "7".parse().expect("a number");
        assert_eq!((one.first(), one.last(), one.count()), (7, 7, 1));
        assert_eq!(one.to_string(), "queue 7");
        let four: Queues = "65532-65535".parse().expect("a range");
        assert_eq!((four.last(), four.count()), (65535, 4));
        assert_eq!(four.to_string(), "queues 65532-65535");
        assert!(four.contains(65533) && !four.contains(1));
        assert_eq!(
            Queues::new(3, 2).map(|queues| queues.numbered().collect()),
            Ok(vec![(0, 3), (1, 4)])
        );
        for wrong in ["", "-1", "3-1", "1-", "65536", "a"] {
            let error = wrong.parse::<Queues>().expect_err("it names none");
            assert_eq!(error, QueuesError::Unreadable(wrong.to_owned()));
        }
        assert_eq!("0-64".parse::<Queues>(), Err(QueuesError::TooMany(65)));
        assert_eq!(
            "0-65535".parse::<Queues>(),
            Err(QueuesError::TooMany(65536))
        );
        assert!(Queues::new(65535, 2).is_err() && Queues::new(0, 0).is_err());
    }

    #[test]
    fn no_interface_can_carry_a_rule() {
        for name in ["eth0", "br-1a2b", "veth1.20", "ppp+", "wg_0"] {
            assert!(name.parse::<Interface>().is_ok(), "{name}");
        }
        for wrong in [
            "",
            "-j",
            "eth0 -j ACCEPT",
            "a\nCOMMIT",
            "\"",
            "sixteen-letters-",
            "a+b",
        ] {
            assert!(wrong.parse::<Interface>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_mask_decides_what_is_left_without_bpf() {
        let mut plan = Plan::new(Mode::Gateway, Queues::new(0, 3).expect("a range"));
        assert_eq!(plan.spread_without_bpf(), Spread::Addresses);
        plan.marks = Marks::new(0xf0).expect("a mask");
        assert_eq!(plan.spread_without_bpf(), Spread::ConnectionMark);
        plan.queues = Queues::new(0, 4).expect("a range");
        assert_eq!(plan.spread_without_bpf(), Spread::Addresses);
    }
}
