//! Two workers: flows of one pair of hosts are on both, each whole on one.

use std::collections::HashMap;
use std::net::TcpStream;
use std::time::Duration;

use crate::clients;
use crate::harness::{Case, Outcome, Pace};
use crate::net::{BOTH, Family, Link, Net};
use crate::servers::{self, Server};
use crate::wero::Run;

pub const CASES: &[Case] = &[Case {
    name: "workers::two",
    pace: Pace::Quick,
    needs: &["ip"],
    run: two,
}];

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
    wero.stop()?;
    for family in BOTH {
        let shares = shares(&lines, family)?;
        let fair = u32::from(FLOWS) / 2;
        if shares.iter().any(|share| share.abs_diff(fair) > fair / 4) {
            return Err(format!("{family:?}: {shares:?} flows a worker"));
        }
        notes.push(format!("{family:?} {shares:?}"));
    }
    match wero.counter("wrong_worker") {
        Some(0) => Ok(notes.join(", ")),
        count => {
            let words = wero.process.last_words();
            Err(format!("wrong_worker is {count:?}; wero said: {words}"))
        }
    }
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
