//! Rules that end a connection: who learns of it, and when.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddrV6, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::clients;
use crate::harness::{Case, Outcome, Pace};
use crate::net::{BOTH, Family, Link, Net};
use crate::tap::Tap;
use crate::wero::Run;

pub const CASES: &[Case] = &[
    Case {
        name: "ends::idle",
        pace: Pace::Quick,
        needs: &["ip"],
        run: || every(Link::Whole, false),
    },
    Case {
        name: "ends::mid-transfer",
        pace: Pace::Quick,
        needs: &["ip"],
        run: || every(Link::Whole, true),
    },
    Case {
        name: "ends::mid-transfer-no-offload",
        pace: Pace::Slow,
        needs: &["ip", "ethtool"],
        run: || every(Link::Segmented, true),
    },
    Case {
        name: "ends::link-local",
        pace: Pace::Quick,
        needs: &["ip"],
        run: link_local,
    },
];

const PORT: u16 = 7000;

/// "At once", on a machine that does other things too.
const AT_ONCE: Duration = Duration::from_millis(500);

/// Silence lasts so long.
const SILENCE: Duration = Duration::from_millis(1200);

/// A transfer that nobody ended by then goes on for ever.
const LONG_ENOUGH: Duration = Duration::from_secs(4);

/// What one end of a connection notices.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Noticed {
    Reset(Duration),
    /// The other end closed.
    End,
    /// Data are still coming and going.
    GoesOn,
    Nothing,
}

/// Which ends a wish of the client's resets.
const WISHES: [(&str, bool, bool); 3] = [
    ("please reset", true, true),
    ("please halfreset", false, true),
    ("please drop", false, false),
];

fn every(link: Link, transfer: bool) -> Outcome {
    let net = Net::new(link)?;
    let mut wero = Run::gateway(&net.gateway).rules("end.lua").start()?;
    let mut notes = Vec::new();
    for (round, family) in BOTH.into_iter().enumerate() {
        for (number, (wish, client, server)) in WISHES.into_iter().enumerate() {
            let port = PORT + (round * WISHES.len() + number) as u16;
            let seen = one(&net, family, port, wish, transfer)
                .map_err(|why| format!("{family:?} {wish}: {why}"))?;
            let what = format!(
                "{family:?} {wish}: client {:?}, server {:?}",
                seen.0, seen.1
            );
            for (noticed, expected) in [(seen.0, client), (seen.1, server)] {
                match noticed {
                    Noticed::Reset(after) if expected && after <= AT_ONCE => (),
                    Noticed::Nothing if !expected => (),
                    _ => return Err(format!("{what}; wero: {}", wero.process.last_words())),
                }
            }
            if let (Noticed::Reset(one), Noticed::Reset(other)) = seen {
                notes.push(format!("{one:.1?}/{other:.1?}"));
            }
        }
    }
    wero.stop()?;
    Ok(format!("client and server after {}", notes.join(", ")))
}

/// Between addresses that mean something on one link only, both ends learn of
/// a reset: on a host itself, and across a bridge.
fn link_local() -> Outcome {
    let net = Net::new(Link::Bridged)?;
    // It looks for neighbours by its own address, which takes a second to come.
    net.gateway.link_local("bridge")?;
    for (name, run) in [
        ("host", Run::host(&net.server)),
        ("bridge", Run::bridge(&net.gateway)),
    ] {
        let mut wero = run.rules("end.lua").start()?;
        reset_on_one_link(&net)
            .map_err(|why| format!("{name}: {why}; wero: {}", wero.process.last_words()))?;
        wero.stop()?;
        let lost = wero.counter("not sent")?;
        if lost > 0 {
            return Err(format!("{name}: {lost} packets were not sent"));
        }
    }
    Ok(String::new())
}

fn reset_on_one_link(net: &Net) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let own = net.server.link_local("eth")?;
    let listener = net
        .server
        .inside(|| std::net::TcpListener::bind(own))
        .map_err(text)?;
    let port = listener.local_addr().map_err(text)?.port();
    // The link has another number at each end.
    let scope = net.client.link_local("eth")?.scope_id();
    let address = SocketAddrV6::new(*own.ip(), port, 0, scope);
    let client = clients::connect(&net.client, address.into())?;
    let (server, _) = listener.accept().map_err(text)?;
    (&client).write_all(b"please reset").map_err(text)?;
    for (end, stream) in [("client", &client), ("server", &server)] {
        let (noticed, _) = read(stream);
        if !matches!(noticed, Noticed::Reset(_)) {
            return Err(format!("the {end} noticed {noticed:?}"));
        }
    }
    Ok(())
}

fn one(
    net: &Net,
    family: Family,
    port: u16,
    wish: &str,
    transfer: bool,
) -> Result<(Noticed, Noticed), String> {
    let tap = Tap::start(&net.client)?;
    let server_tap = Tap::start(&net.server)?;
    let (mut client, server) = pair(net, family, port)?;
    let text = |error: std::io::Error| error.to_string();
    client.write_all(b"hello\n").map_err(text)?;
    (&server).read_exact(&mut [0; 6]).map_err(text)?;
    let noticed = thread::scope(|scope| {
        // The error of a connection is told once, to whoever asks first: in a
        // transfer that is the one who writes.
        let at_server = scope.spawn(|| match transfer {
            true => write(&server),
            false => read(&server),
        });
        if transfer {
            // It is to be under way, and its reader with it.
            let mut buffer = vec![0; 65536];
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(100) {
                client.read(&mut buffer).map_err(text)?;
            }
        }
        let start = Instant::now();
        client.write_all(wish.as_bytes()).map_err(text)?;
        let at_client = read(&client);
        let at_server = at_server.join().map_err(|_| "panicked".to_string())?;
        let since = |(what, at): (Noticed, Instant)| match what {
            Noticed::Reset(_) => Noticed::Reset(at.saturating_duration_since(start)),
            other => other,
        };
        Ok::<_, String>((since(at_client), since(at_server)))
    })?;
    let mut reached = server_tap.segments(port).into_iter();
    if reached.any(|segment| segment.arrived && segment.payload == wish.len()) {
        return Err("the server got the data that the rule refused".to_string());
    }
    // What the client has noticed the tap will see, in its own time.
    let patience = match noticed.0 {
        Noticed::Reset(_) => AT_ONCE,
        _ => Duration::ZERO,
    };
    match (tap.reset(port, patience), noticed.0) {
        (Some(_), Noticed::Reset(_)) | (None, Noticed::Nothing | Noticed::End) => Ok(noticed),
        (seen, noticed) => Err(format!(
            "the client noticed {noticed:?}, its wire had {seen:?}"
        )),
    }
}

/// Reads until something happens or it has been silent for long enough.
fn read(mut stream: &TcpStream) -> (Noticed, Instant) {
    drop(stream.set_read_timeout(Some(SILENCE)));
    let mut buffer = vec![0; 65536];
    let start = Instant::now();
    while start.elapsed() < LONG_ENOUGH {
        match stream.read(&mut buffer) {
            Ok(0) => return (Noticed::End, Instant::now()),
            Ok(_) => (),
            Err(error) => return (noticed(&error), Instant::now()),
        }
    }
    (Noticed::GoesOn, Instant::now())
}

/// Writes until something happens or nothing is taken any more.
fn write(mut stream: &TcpStream) -> (Noticed, Instant) {
    drop(stream.set_write_timeout(Some(SILENCE)));
    let letters = [b'd'; 65536];
    let start = Instant::now();
    while start.elapsed() < LONG_ENOUGH {
        if let Err(error) = stream.write(&letters) {
            return (noticed(&error), Instant::now());
        }
    }
    (Noticed::GoesOn, Instant::now())
}

fn noticed(error: &std::io::Error) -> Noticed {
    match error.kind() {
        ErrorKind::ConnectionReset => Noticed::Reset(Duration::ZERO),
        ErrorKind::BrokenPipe => Noticed::End,
        _ => Noticed::Nothing,
    }
}

/// Both ends of one connection.
pub fn pair(net: &Net, family: Family, port: u16) -> Result<(TcpStream, TcpStream), String> {
    let listener = net
        .server
        .inside(|| std::net::TcpListener::bind(family.at(port)))
        .map_err(|error| format!("port {port}: {error}"))?;
    let client = clients::connect(&net.client, family.at(port))?;
    let (server, _) = listener.accept().map_err(|error| error.to_string())?;
    let limits = server
        .set_read_timeout(Some(clients::STALL))
        .and_then(|()| server.set_write_timeout(Some(clients::STALL)));
    limits.map_err(|error| error.to_string())?;
    Ok((client, server))
}
