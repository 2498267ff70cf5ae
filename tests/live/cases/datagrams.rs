//! Many datagrams that leave their sender as one packet (UDP GSO): each is
//! judged for itself.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::harness::{Case, Outcome, Pace};
use crate::namespace::Namespace;
use crate::net::{BOTH, Family, Link, Net};
use crate::wero::{Run, Wero};

pub const CASES: &[Case] = &[
    Case {
        name: "datagrams::judged-one-by-one",
        pace: Pace::Quick,
        needs: &["ip"],
        run: || judged(false),
    },
    Case {
        name: "datagrams::of-a-host",
        pace: Pace::Quick,
        needs: &["ip"],
        run: || judged(true),
    },
    Case {
        name: "datagrams::monitor",
        pace: Pace::Quick,
        needs: &["ip"],
        run: monitor,
    },
    Case {
        name: "datagrams::whole-without-rules",
        pace: Pace::Quick,
        needs: &["ip"],
        run: whole,
    },
];

const PORT: u16 = 9999;

/// Of each datagram but the last.
const SIZE: usize = 1000;

/// A letter for each datagram; the last is shorter.
const BUNDLE: &[u8] = b"aXbRXc";

/// Silence lasts so long.
const SILENCE: Duration = Duration::from_millis(500);

fn judged(at_host: bool) -> Outcome {
    let net = Net::new(Link::Whole)?;
    let run = match at_host {
        true => Run::host(&net.client),
        false => Run::gateway(&net.gateway),
    };
    let mut wero = run.rules("datagrams.lua").start()?;
    for family in BOTH {
        // The first opens the flow, the second finds it there.
        for arrived in exchange(&net, family)? {
            expect(&arrived, &[("a", 0), ("b", 0), ("rewritten ", 9), ("c", 0)])
                .map_err(|why| format!("{family:?}: {why}"))?;
        }
    }
    wero.stop()?;
    apart(&wero, 4, 4 * BUNDLE.len() as u64)
}

/// Rules see each, and all arrive.
fn monitor() -> Outcome {
    let net = Net::new(Link::Whole)?;
    // Copies cannot be changed.
    let rule = "require('protocol/udp_connection')
        haka.rule {
            on = haka.dissectors.udp_connection.events.receive_data,
            eval = function (flow, pkt)
                print('a datagram with ' .. pkt.payload:sub(0, 1):asstring())
                pkt:drop()
            end,
        }";
    let mut wero = Run::gateway(&net.gateway)
        .rule_text(rule)
        .monitor()
        .start()?;
    for family in BOTH {
        for arrived in exchange(&net, family)? {
            expect_all(&arrived).map_err(|why| format!("{family:?}: {why}"))?;
        }
    }
    wero.stop()?;
    let seen = wero.count("a datagram with ");
    if seen != 4 * BUNDLE.len() {
        return Err(format!("rules saw {seen} datagrams"));
    }
    apart(&wero, 4, 4 * BUNDLE.len() as u64)
}

/// Where no rule judges datagrams, none is taken apart.
fn whole() -> Outcome {
    let net = Net::new(Link::Whole)?;
    let mut wero = Run::gateway(&net.gateway).rules("end.lua").start()?;
    for family in BOTH {
        for arrived in exchange(&net, family)? {
            expect_all(&arrived).map_err(|why| format!("{family:?}: {why}"))?;
        }
    }
    wero.stop()?;
    apart(&wero, 0, 0)
}

/// Sends two bundles of one flow, and gives what arrives of each.
fn exchange(net: &Net, family: Family) -> Result<[Vec<Vec<u8>>; 2], String> {
    let text = |error: std::io::Error| error.to_string();
    let to = family.at(PORT);
    let receiver = bind(&net.server, to)?;
    receiver.set_read_timeout(Some(SILENCE)).map_err(text)?;
    let sender = bind(&net.client, SocketAddr::new(family.client(), 0))?;
    sender.connect(to).map_err(text)?;
    segment(&sender).map_err(text)?;
    let mut bundle = Vec::new();
    for letter in BUNDLE {
        bundle.extend([*letter; SIZE]);
    }
    bundle.truncate(bundle.len() - SIZE / 2);
    let round = || {
        sender.send(&bundle).map_err(text)?;
        arrived(&receiver).map_err(text)
    };
    Ok([round()?, round()?])
}

fn bind(namespace: &Namespace, address: SocketAddr) -> Result<UdpSocket, String> {
    namespace
        .inside(|| UdpSocket::bind(address))
        .map_err(|error| format!("{address}: {error}"))
}

/// What is sent from now on leaves in datagrams of `SIZE`, cut on the way.
fn segment(socket: &UdpSocket) -> std::io::Result<()> {
    let size = SIZE as libc::c_int;
    // SAFETY: the pointer and the length are those of `size`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw const size).cast(),
            size_of_val(&size) as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

fn arrived(receiver: &UdpSocket) -> std::io::Result<Vec<Vec<u8>>> {
    let mut buffer = vec![0; 65_536];
    let mut all = Vec::new();
    loop {
        match receiver.recv(&mut buffer) {
            Ok(length) => all.push(buffer[..length].to_vec()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(all),
            Err(error) => return Err(error),
        }
    }
}

/// Each datagram begins with a text and is that much longer than it was sent.
fn expect(arrived: &[Vec<u8>], expected: &[(&str, usize)]) -> Result<(), String> {
    let last = expected.len().saturating_sub(1);
    let right =
        arrived.len() == expected.len()
            && arrived.iter().zip(expected).enumerate().all(
                |(number, (datagram, (begin, longer)))| {
                    let size = if number == last { SIZE / 2 } else { SIZE };
                    datagram.starts_with(begin.as_bytes()) && datagram.len() == size + longer
                },
            );
    if right {
        return Ok(());
    }
    let shown: Vec<_> = arrived
        .iter()
        .map(|datagram| {
            let begin = datagram.iter().take(10).copied().collect::<Vec<u8>>();
            (String::from_utf8_lossy(&begin).into_owned(), datagram.len())
        })
        .collect();
    Err(format!("arrived: {shown:?}"))
}

fn expect_all(arrived: &[Vec<u8>]) -> Result<(), String> {
    let all = ["a", "X", "b", "R", "X", "c"].map(|letter| (letter, 0));
    expect(arrived, &all)
}

/// What the run says that it has taken apart.
fn apart(wero: &Wero, bundles: u64, datagrams: u64) -> Outcome {
    let told = (
        wero.counter("taken apart")?,
        wero.counter("datagrams out of these")?,
    );
    match told == (bundles, datagrams) {
        true => Ok(String::new()),
        false => Err(format!("taken apart: {told:?}")),
    }
}
