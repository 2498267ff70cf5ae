//! What no rule asks about passes as if nobody were there.

use std::time::{Duration, Instant};

use crate::clients;
use crate::harness::{Case, Outcome, Pace};
use crate::net::{BOTH, Link, Net};
use crate::programs::{self, Nginx, OpenSsl};
use crate::servers::{self, Server};
use crate::wero::Run;
use crate::{firewall, traffic};

pub const CASES: &[Case] = &[
    Case {
        name: "passes::programs",
        pace: Pace::Quick,
        needs: &["ip", "curl", "nginx", "dig", "dnsmasq", "openssl", "iperf3"],
        run: || programs(Link::Whole, &[1, 1460, 100_000], 1),
    },
    Case {
        name: "passes::large-files",
        pace: Pace::Slow,
        needs: &["ip", "curl", "nginx", "dig", "dnsmasq", "openssl", "iperf3"],
        run: || programs(Link::Whole, SIZES, 3),
    },
    Case {
        name: "passes::large-files-no-offload",
        pace: Pace::Slow,
        needs: &[
            "ip", "ethtool", "curl", "nginx", "dig", "dnsmasq", "openssl", "iperf3",
        ],
        run: || programs(Link::Segmented, SIZES, 2),
    },
    Case {
        name: "passes::many-connections",
        pace: Pace::Quick,
        needs: &["ip"],
        run: many_connections,
    },
    Case {
        name: "passes::long-flow",
        pace: Pace::Slow,
        needs: &["ip"],
        run: long_flow,
    },
];

const SIZES: &[usize] = &[1, 100, 1460, 65_536, 1_000_000, 50_000_000];

fn programs(link: Link, sizes: &[usize], seconds: u64) -> Outcome {
    let net = Net::new(link)?;
    let nginx = Nginx::start(&net, sizes)?;
    let _dns = programs::dnsmasq(&net)?;
    let _tls = OpenSsl::start(&net)?;
    let _iperf = programs::iperf3(&net)?;
    let mut wero = Run::gateway(&net.gateway).start()?;
    let mut rates = Vec::new();
    for family in BOTH {
        for size in sizes {
            traffic::fetch(&net, family, *size)?;
            traffic::put(&net, &nginx, family, *size)?;
        }
        traffic::dig(&net, family)?;
        traffic::handshake(&net, family)?;
        rates.push(traffic::iperf3(&net, family, Duration::from_secs(seconds))?);
    }
    let queues = firewall::queues(&net.gateway);
    let queued: u64 = queues.iter().map(|queue| queue.packets).sum();
    let dropped: u64 = queues.iter().map(|queue| queue.dropped).sum();
    if queued == 0 || dropped > 0 {
        return Err(format!(
            "{queued} packets queued, {dropped} dropped by the queue"
        ));
    }
    let processor = wero.processor_time()?;
    wero.stop()?;
    Ok(format!(
        "{queued} packets queued in {processor:.1?} of the processor, {rates:?} Mbit/s by iperf3"
    ))
}

/// A connection for each request, closed properly at both ends.
fn many_connections() -> Outcome {
    const CONNECTIONS: usize = 1000;
    let net = Net::new(Link::Whole)?;
    let addresses = BOTH.map(|family| family.at(80));
    let _server = Server::start(&net.server, &addresses, servers::serve_http)?;
    let mut wero = Run::gateway(&net.gateway).rules("replace.lua").start()?;
    let mut slowest = Duration::ZERO;
    for number in 0..CONNECTIONS {
        let family = BOTH[number % 2];
        let exchanges = traffic::exchanges(&[500], [None, Some(10)][number / 2 % 2], None);
        let took = clients::converse(
            &net.client,
            family.at(80),
            &exchanges,
            clients::Order::Pipelined,
        )
        .map_err(|why| format!("{family:?} connection {number}: {why}"))?;
        slowest = slowest.max(took);
    }
    wero.stop()?;
    Ok(format!(
        "{CONNECTIONS} connections, the slowest in {slowest:.1?}"
    ))
}

/// A line now and then, as a person at a terminal types.
fn long_flow() -> Outcome {
    let net = Net::new(Link::Whole)?;
    let addresses = BOTH.map(|family| family.at(7));
    let _server = Server::start(&net.server, &addresses, servers::serve_echo)?;
    let mut wero = Run::gateway(&net.gateway).start()?;
    let mut flows = Vec::new();
    for family in BOTH {
        flows.push((family, clients::connect(&net.client, family.at(7))?));
    }
    let start = Instant::now();
    // Twice after a pause, and once after ten seconds of silence.
    for pause in [0, 1, 2, 10] {
        std::thread::sleep(Duration::from_secs(pause));
        for (family, flow) in &mut flows {
            clients::round_trip(flow, b"ls -l\n")
                .map_err(|error| format!("{family:?} after {:.1?}: {error}", start.elapsed()))?;
        }
    }
    wero.terminate()?;
    for (family, flow) in &mut flows {
        clients::round_trip(flow, b"exit\n")
            .map_err(|error| format!("{family:?} after the stop: {error}"))?;
    }
    Ok(String::new())
}
