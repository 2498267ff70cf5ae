//! What was there before Wero: open connections, address translation, marks
//! of the user's.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::body::Body;
use crate::clients::{self, Direction, Exchange, Order};
use crate::firewall;
use crate::harness::{Case, Outcome, Pace};
use crate::net::{BOTH, Family, Link, Net};
use crate::servers::{self, Server};
use crate::wero::Run;

pub const CASES: &[Case] = &[
    Case {
        name: "neighbours::open-connections",
        pace: Pace::Quick,
        needs: &["ip"],
        run: open_connections,
    },
    Case {
        name: "neighbours::source-translation",
        pace: Pace::Quick,
        needs: &["ip", "iptables"],
        run: || translated(Translation::Source),
    },
    Case {
        name: "neighbours::destination-translation",
        pace: Pace::Quick,
        needs: &["ip", "iptables"],
        run: || translated(Translation::Destination),
    },
    Case {
        name: "neighbours::stateful-firewall",
        pace: Pace::Quick,
        needs: &["ip", "iptables"],
        run: stateful_firewall,
    },
    Case {
        name: "neighbours::marks",
        pace: Pace::Quick,
        needs: &["ip", "iptables"],
        run: marks,
    },
];

const ECHO: u16 = 7;

/// Idle flows and transfers go on when a run starts and when it stops, with
/// rules that would rewrite them had they seen their beginning.
fn open_connections() -> Outcome {
    let net = Net::new(Link::Whole)?;
    let echo = BOTH.map(|family| family.at(ECHO));
    let _echo = Server::start(&net.server, &echo, servers::serve_echo)?;
    let flood = BOTH.map(|family| family.at(19));
    let _flood = Server::start(&net.server, &flood, servers::serve_flood)?;
    let mut lines = Vec::new();
    let mut floods = Vec::new();
    for family in BOTH {
        let mut line = clients::connect(&net.client, family.at(ECHO))?;
        clients::round_trip(&mut line, b"before\n").map_err(|error| error.to_string())?;
        lines.push((family, line));
        let mut flood = clients::connect(&net.client, family.at(19))?;
        flood.write_all(b"\n").map_err(|error| error.to_string())?;
        floods.push((family, flood));
    }
    read_on(&mut floods)?;
    let mut wero = Run::gateway(&net.gateway).rules("replace.lua").start()?;
    read_on(&mut floods)?;
    for (family, line) in &mut lines {
        clients::round_trip(line, b"during\n")
            .map_err(|error| format!("{family:?} after the start: {error}"))?;
    }
    wero.stop()?;
    read_on(&mut floods)?;
    for (family, line) in &mut lines {
        clients::round_trip(line, b"after\n")
            .map_err(|error| format!("{family:?} after the stop: {error}"))?;
    }
    Ok(String::new())
}

/// Some 10 MB of each: all of it must come, in time.
fn read_on(floods: &mut [(Family, TcpStream)]) -> Result<(), String> {
    let mut buffer = vec![0; 65536];
    for (family, flood) in floods {
        let start = Instant::now();
        let mut read = 0;
        while read < 10_000_000 {
            let len = flood
                .read(&mut buffer)
                .map_err(|error| format!("{family:?} transfer after {read} bytes: {error}"))?;
            if len == 0 || buffer[..len].iter().any(|byte| *byte != b'f') {
                return Err(format!(
                    "{family:?} transfer after {read} bytes: {len} bytes"
                ));
            }
            read += len;
        }
        if start.elapsed() > Duration::from_secs(5) {
            let took = start.elapsed();
            return Err(format!("{family:?}: 10 MB took {took:.1?}"));
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Translation {
    /// The server sees the gateway's address.
    Source,
    /// The client knows only the gateway's address.
    Destination,
}

/// Rules see both ends by their own addresses; what they do reaches both.
fn translated(kind: Translation) -> Outcome {
    let net = Net::new(Link::Whole)?;
    for family in BOTH {
        let rule = match kind {
            Translation::Source => "-t nat -A POSTROUTING -o outer -j MASQUERADE".to_string(),
            Translation::Destination => format!(
                "-t nat -A PREROUTING -i inner -p tcp -d {} --dport 8000 -j DNAT --to-destination {}",
                family.gateway(),
                family.at(80)
            ),
        };
        firewall::add(&net.gateway, family, &rule)?;
    }
    let addresses = BOTH.map(|family| family.at(80));
    let server = Server::start(&net.server, &addresses, servers::serve_http)?;
    let target = |family: Family| match kind {
        Translation::Source => family.at(80),
        Translation::Destination => SocketAddr::new(family.gateway(), 8000),
    };
    let mut wero = Run::gateway(&net.gateway).rules("places.lua").start()?;
    for family in BOTH {
        let mut flow = clients::connect(&net.client, target(family))?;
        let from = flow.local_addr().map_err(|error| error.to_string())?;
        drop(flow.write_all(b"GET / HTTP/1.1\r\n\r\n"));
        let expected = format!(
            "{} port {} to {} port 80",
            from.ip(),
            from.port(),
            family.server()
        );
        wero.wait_for(&expected, Duration::from_secs(3))?;
    }
    wero.stop()?;
    let mut wero = Run::gateway(&net.gateway).rules("replace.lua").start()?;
    for family in BOTH {
        rewritten(&net, target(family)).map_err(|why| format!("{family:?}: {why}"))?;
    }
    wero.stop()?;
    drop(server);
    let mut wero = Run::gateway(&net.gateway).rules("end.lua").start()?;
    for family in BOTH {
        reset(&net, family, target(family))
            .map_err(|why| format!("{family:?} reset through {kind:?}: {why}"))?;
    }
    wero.stop()?;
    Ok(String::new())
}

fn rewritten(net: &Net, address: SocketAddr) -> Result<(), String> {
    for direction in [Direction::Down, Direction::Up] {
        let exchange = Exchange {
            direction,
            body: Body {
                seed: 4,
                size: 2_000_000,
            },
            replacement: Some(3000),
            chunk: None,
        };
        clients::converse(&net.client, address, &[exchange], Order::KeepAlive)?;
    }
    Ok(())
}

/// Both ends get the RST from the address that they know.
fn reset(net: &Net, family: Family, target: SocketAddr) -> Result<(), String> {
    let listener = net
        .server
        .inside(|| std::net::TcpListener::bind(family.at(80)))
        .map_err(|error| error.to_string())?;
    let mut client = clients::connect(&net.client, target)?;
    let (mut server, _) = listener.accept().map_err(|error| error.to_string())?;
    let limit = Some(Duration::from_secs(1));
    drop(server.set_read_timeout(limit));
    drop(client.set_read_timeout(limit));
    client
        .write_all(b"please reset\n")
        .map_err(|error| error.to_string())?;
    for (name, end) in [("client", &mut client), ("server", &mut server)] {
        match end.read(&mut [0; 64]) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => (),
            other => return Err(format!("the {name} noticed {other:?}")),
        }
    }
    Ok(())
}

/// A firewall that lets in only what belongs to connections it knows, with
/// sequence numbers that it expects.
fn stateful_firewall() -> Outcome {
    let net = Net::new(Link::Whole)?;
    for family in BOTH {
        for rule in [
            "-P FORWARD DROP",
            "-A FORWARD -m conntrack --ctstate INVALID -j DROP",
            "-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
            "-A FORWARD -i inner -m conntrack --ctstate NEW -j ACCEPT",
        ] {
            firewall::add(&net.gateway, family, rule)?;
        }
    }
    let addresses = BOTH.map(|family| family.at(80));
    let server = Server::start(&net.server, &addresses, servers::serve_http)?;
    let mut wero = Run::gateway(&net.gateway).rules("replace.lua").start()?;
    for family in BOTH {
        rewritten(&net, family.at(80)).map_err(|why| format!("{family:?}: {why}"))?;
    }
    wero.stop()?;
    drop(server);
    let mut wero = Run::gateway(&net.gateway).rules("end.lua").start()?;
    for family in BOTH {
        reset(&net, family, family.at(80)).map_err(|why| format!("{family:?} reset: {why}"))?;
    }
    wero.stop()?;
    Ok(String::new())
}

/// A mark and a connection mark of the user's are on every packet when it
/// leaves, whatever became of the packet here.
fn marks() -> Outcome {
    let net = Net::new(Link::Whole)?;
    for family in BOTH {
        for rule in [
            "-t mangle -A PREROUTING -j CONNMARK --set-xmark 0x700/0xff00",
            "-t mangle -A PREROUTING -j MARK --set-xmark 0x5/0xff",
            "-A FORWARD -m mark --mark 0x5/0x0fffffff -m comment --comment right-mark",
            "-A FORWARD -m mark ! --mark 0x5/0x0fffffff -m comment --comment wrong-mark",
            "-A FORWARD -m connmark ! --mark 0x700/0x0fffffff -m comment --comment wrong-connmark",
            "-t nat -A POSTROUTING -m mark ! --mark 0x5/0x0fffffff -m comment --comment wrong-late",
        ] {
            firewall::add(&net.gateway, family, rule)?;
        }
    }
    let addresses = BOTH.map(|family| family.at(80));
    let _server = Server::start(&net.server, &addresses, servers::serve_http)?;
    let mut wero = Run::gateway(&net.gateway)
        .rules("replace.lua")
        .bypass_after("1M")
        .start()?;
    for family in BOTH {
        rewritten(&net, family.at(80)).map_err(|why| format!("{family:?}: {why}"))?;
        // Left alone, so that it is bypassed on its way.
        let exchange = Exchange {
            direction: Direction::Down,
            body: Body {
                seed: 6,
                size: 5_000_000,
            },
            replacement: None,
            chunk: None,
        };
        clients::converse(&net.client, family.at(80), &[exchange], Order::KeepAlive)?;
    }
    thread::sleep(Duration::from_millis(100));
    let mut notes = Vec::new();
    for family in BOTH {
        let of = |comment: &str| firewall::packets(&net.gateway, family, comment);
        let right = of("right-mark")?;
        for comment in ["wrong-mark", "wrong-connmark", "wrong-late"] {
            let wrong = of(comment)?;
            if wrong > 0 {
                return Err(format!(
                    "{family:?} {comment}: {wrong} packets, {right} right"
                ));
            }
        }
        if right == 0 {
            return Err(format!("{family:?}: no packet with the mark"));
        }
        notes.push(format!("{right} packets"));
    }
    wero.stop()?;
    Ok(notes.join(", "))
}
