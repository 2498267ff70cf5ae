//! The net itself, without Wero: what fails here says nothing about it.

use std::time::Duration;

use crate::clients::{self, Order};
use crate::harness::{Case, Outcome, Pace};
use crate::net::{BOTH, Family, Link, Net};
use crate::programs::{self, Nginx, OpenSsl};
use crate::relay::BAD;
use crate::servers::{self, Server};
use crate::traffic;

pub const CASES: &[Case] = &[
    Case {
        name: "plain::conversations",
        pace: Pace::Quick,
        needs: &["ip", "ethtool"],
        run: conversations,
    },
    Case {
        name: "plain::judges",
        pace: Pace::Quick,
        needs: &["ip"],
        run: judges,
    },
    Case {
        name: "plain::bad-link",
        pace: Pace::Slow,
        needs: &["ip"],
        run: bad_link,
    },
    Case {
        name: "plain::programs",
        pace: Pace::Slow,
        needs: &["ip", "curl", "nginx", "dig", "dnsmasq", "openssl", "iperf3"],
        run: programs,
    },
];

fn conversations() -> Outcome {
    for link in [Link::Whole, Link::Wire, Link::Segmented] {
        let net = Net::new(link)?;
        let _server = http(&net)?;
        for family in BOTH {
            for order in [Order::KeepAlive, Order::Pipelined] {
                let exchanges = traffic::exchanges(&[1, 6, 7, 1460, 100_000], None, Some(1000));
                clients::converse(&net.client, family.at(80), &exchanges, order)
                    .map_err(|why| format!("{link:?} {family:?} {order:?}: {why}"))?;
            }
        }
    }
    Ok(String::new())
}

/// Where nobody replaces tokens, clients and servers that expect it must say
/// so: otherwise they would see nothing at all.
fn judges() -> Outcome {
    let net = Net::new(Link::Whole)?;
    let _server = http(&net)?;
    for size in [1, 7, 100_000] {
        for exchange in traffic::exchanges(&[size], Some(10), Some(1000)) {
            match clients::converse(
                &net.client,
                Family::V4.at(80),
                &[exchange],
                Order::KeepAlive,
            ) {
                Err(why) if why.contains("differs at byte 0") => (),
                other => return Err(format!("{exchange:?}: {other:?}")),
            }
        }
    }
    Ok(String::new())
}

fn http(net: &Net) -> Result<Server, String> {
    let addresses = BOTH.map(|family| family.at(80));
    Server::start(&net.server, &addresses, servers::serve_http)
}

fn bad_link() -> Outcome {
    let net = Net::new(Link::Lossy(BAD))?;
    let _server = http(&net)?;
    let mut took = Vec::new();
    for family in BOTH {
        let exchanges = traffic::exchanges(&[1, 10_000, 10_000_000], None, None);
        took.push(clients::converse(
            &net.client,
            family.at(80),
            &exchanges,
            Order::KeepAlive,
        )?);
    }
    let relay = net.relay.as_ref().map(crate::relay::Relay::describe);
    Ok(format!("{took:.1?}; {}", relay.unwrap_or_default()))
}

fn programs() -> Outcome {
    let net = Net::new(Link::Whole)?;
    let nginx = Nginx::start(&net, &[1, 1 << 20])?;
    let _dns = programs::dnsmasq(&net)?;
    let _tls = OpenSsl::start(&net)?;
    let _iperf = programs::iperf3(&net)?;
    for family in BOTH {
        traffic::fetch(&net, family, 1 << 20)?;
        traffic::put(&net, &nginx, family, 1 << 20)?;
        traffic::dig(&net, family)?;
        traffic::handshake(&net, family)?;
        traffic::iperf3(&net, family, Duration::from_secs(1))?;
    }
    Ok(String::new())
}
