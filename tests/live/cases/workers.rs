//! Two workers: flows of one pair of hosts are on both, each whole on one.

use std::collections::HashMap;
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use crate::clients;
use crate::harness::{Case, Outcome, Pace};
use crate::net::{BOTH, Family, Link, Net};
use crate::servers::{self, Server};
use crate::wero::Run;

pub const CASES: &[Case] = &[
    Case {
        name: "workers::two",
        pace: Pace::Quick,
        needs: &["ip"],
        run: two,
    },
    Case {
        name: "workers::fragments",
        pace: Pace::Quick,
        needs: &["ip"],
        run: fragments,
    },
];

const FLOWS: u16 = 64;
const FIRST_PORT: u16 = 20_000;
const ECHO: u16 = 7;

fn two() -> Outcome {
    let net = Net::new(Link::Whole)?;
    let addresses = BOTH.map(|family| family.at(ECHO));
    let _server = Server::start(&net.server, &addresses, servers::serve_echo)?;
    let mut wero = Run::gateway(&net.gateway)
        .rules("places.lua")
        .workers(2)
        .start()?;
    let mut notes = Vec::new();
    for family in BOTH {
        let mut flows: Vec<TcpStream> = Vec::new();
        for number in 0..FLOWS {
            flows.push(clients::connect_from(
                &net.client,
                family.client(),
                FIRST_PORT + number,
                family.at(ECHO),
            )?);
        }
        for _ in 0..3 {
            for flow in &mut flows {
                clients::round_trip(flow, b"line\n").map_err(|error| error.to_string())?;
            }
        }
    }
    // The rule's lines are written after the packets have gone.
    let expected = usize::from(FLOWS) * BOTH.len() * 6;
    wero.process
        .wait_until("all lines written", Duration::from_secs(5), |process| {
            process.output.count("data worker=") >= expected
        })?;
    let lines = wero.process.output.all();
    // Which also looks at the counter of packets on the wrong worker.
    wero.stop()?;
    for family in BOTH {
        let shares = shares(&lines, family)?;
        let fair = u32::from(FLOWS) / 2;
        if shares.iter().any(|share| share.abs_diff(fair) > fair / 4) {
            return Err(format!("{family:?}: {shares:?} flows a worker"));
        }
        notes.push(format!("{family:?} {shares:?}"));
    }
    Ok(notes.join(", "))
}

/// Datagrams larger than a packet come back whole, whichever worker has them.
fn fragments() -> Outcome {
    let net = Net::new(Link::Whole)?;
    let mut wero = Run::gateway(&net.gateway)
        .rules("places.lua")
        .workers(2)
        .start()?;
    for family in BOTH {
        let echo = net.server.inside(|| UdpSocket::bind(family.at(ECHO)));
        let echo = echo.map_err(|error| error.to_string())?;
        let limit = Some(Duration::from_secs(2));
        for number in 0..32u8 {
            let client = net
                .client
                .inside(|| UdpSocket::bind((family.client(), 30_000 + u16::from(number))))
                .and_then(|socket| socket.connect(family.at(ECHO)).map(|()| socket));
            let client = client.map_err(|error| error.to_string())?;
            drop((echo.set_read_timeout(limit), client.set_read_timeout(limit)));
            let sent = vec![number; 5000];
            let mut buffer = [0; 8192];
            let there_and_back = || -> std::io::Result<usize> {
                client.send(&sent)?;
                let (len, from) = echo.recv_from(&mut buffer)?;
                echo.send_to(&buffer[..len], from)?;
                buffer.fill(0);
                client.recv(&mut buffer)
            };
            let len = { there_and_back }()
                .map_err(|error| format!("{family:?} datagram {number}: {error}"))?;
            if buffer[..len] != sent {
                return Err(format!("{family:?} datagram {number}: {len} other bytes"));
            }
        }
    }
    wero.stop()?;
    Ok(String::new())
}

/// How many flows each worker had; an error if one was on both.
fn shares(lines: &[String], family: Family) -> Result<[u32; 2], String> {
    let source = family.client().to_string();
    let mut of_port: HashMap<&str, &str> = HashMap::new();
    for line in lines.iter().filter(|line| line.contains(&source)) {
        // `new worker=0 SOURCE port N to …`, `data worker=0 SOURCE port N up`.
        let words: Vec<&str> = line.split(' ').collect();
        let (Some(worker), Some(port)) = (words.get(1), words.get(4)) else {
            return Err(format!("a line of the rule: {line:?}"));
        };
        if *of_port.entry(port).or_insert(worker) != *worker {
            return Err(format!("{family:?} port {port} was on both workers"));
        }
    }
    let mut shares = [0; 2];
    for worker in of_port.values() {
        shares[usize::from(worker.ends_with('1'))] += 1;
    }
    if shares.iter().sum::<u32>() != u32::from(FLOWS) {
        return Err(format!("{family:?}: rules saw {shares:?} of {FLOWS} flows"));
    }
    Ok(shares)
}
