//! Flows that are decided skip the queue.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::Duration;

use crate::body::Body;
use crate::clients::{self, Direction, Exchange, Order};
use crate::firewall;
use crate::harness::{Case, Outcome, Pace};
use crate::net::{BOTH, Family, Link, Net};
use crate::process;
use crate::servers::{self, Server};
use crate::wero::Run;

pub const CASES: &[Case] = &[
    Case {
        name: "bypass::by-rule",
        pace: Pace::Quick,
        needs: &["ip", "conntrack"],
        run: by_rule,
    },
    Case {
        name: "bypass::by-size",
        pace: Pace::Quick,
        needs: &["ip", "conntrack"],
        run: by_size,
    },
    Case {
        name: "bypass::icmp-errors",
        pace: Pace::Quick,
        needs: &["ip"],
        run: icmp_errors,
    },
];

/// The connection mark of flows that skip the queue: the second bit of the
/// default mask.
const BYPASS: u32 = 0x2000_0000;

const SIZE: usize = 20_000_000;

fn download(net: &Net, family: Family, size: usize) -> Result<(), String> {
    let exchange = Exchange {
        direction: Direction::Down,
        body: Body { seed: 8, size },
        replacement: None,
        chunk: None,
    };
    clients::converse(&net.client, family.at(80), &[exchange], Order::KeepAlive).map(drop)
}

/// Packets that a download sends through the queue.
fn queued_by(net: &Net, family: Family, size: usize) -> Result<u64, String> {
    let before = firewall::queued(&net.gateway);
    download(net, family, size)?;
    Ok(firewall::queued(&net.gateway) - before)
}

fn by_rule() -> Outcome {
    let net = Net::new(Link::Segmented)?;
    let addresses = BOTH.map(|family| family.at(80));
    let _server = Server::start(&net.server, &addresses, servers::serve_http)?;
    let mut wero = Run::gateway(&net.gateway).rules("bypass.lua").start()?;
    let mut notes = Vec::new();
    for family in BOTH {
        let queued = queued_by(&net, family, SIZE)?;
        // Some segments are on their way before the mark is set.
        if queued > 400 {
            return Err(format!("{family:?}: {queued} packets through the queue"));
        }
        notes.push(format!("{family:?} {queued} packets queued"));
    }
    marked(&net)?;
    wero.stop()?;
    Ok(notes.join(", "))
}

fn by_size() -> Outcome {
    let net = Net::new(Link::Segmented)?;
    let addresses = BOTH.map(|family| family.at(80));
    let _server = Server::start(&net.server, &addresses, servers::serve_http)?;
    let mut wero = Run::gateway(&net.gateway).bypass_after("1M").start()?;
    let mut notes = Vec::new();
    for family in BOTH {
        let queued = queued_by(&net, family, SIZE)?;
        // 1 MB is some 700 segments and their acknowledgements; all would be
        // 14,000.
        if !(700..5000).contains(&queued) {
            return Err(format!("{family:?}: {queued} packets through the queue"));
        }
        notes.push(format!("{family:?} {queued} packets queued"));
    }
    marked(&net)?;
    wero.stop()?;
    Ok(notes.join(", "))
}

/// Conntrack knows the connections as bypassed.
fn marked(net: &Net) -> Result<(), String> {
    for family in ["ipv4", "ipv6"] {
        let mut command = net.gateway.command("conntrack");
        let listing = process::run(command.args(["-L", "-f", family, "-p", "tcp"]))?;
        let mark = |line: &str| {
            let word = line
                .split(' ')
                .find_map(|word| word.strip_prefix("mark="))?;
            word.parse::<u32>().ok()
        };
        if !listing
            .lines()
            .filter_map(mark)
            .any(|mark| mark & BYPASS != 0)
        {
            return Err(format!("no connection of {family} has the mark: {listing}"));
        }
    }
    Ok(())
}

/// A port that nobody listens on: the sender of a datagram learns of it.
fn icmp_errors() -> Outcome {
    let net = Net::new(Link::Whole)?;
    let mut wero = Run::gateway(&net.gateway).rules("bypass.lua").start()?;
    for family in BOTH {
        let socket = net
            .client
            .inside(|| UdpSocket::bind((family.client(), 0)))
            .map_err(|error| error.to_string())?;
        let asked = socket
            .connect(family.at(4000))
            .and_then(|()| socket.set_read_timeout(Some(Duration::from_secs(2))))
            .and_then(|()| socket.send(b"anybody?"));
        asked.map_err(|error| error.to_string())?;
        match socket.recv(&mut [0; 64]) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => (),
            other => return Err(format!("{family:?}: {other:?} instead of a refusal")),
        }
    }
    wero.stop()?;
    Ok(String::new())
}
