//! What becomes of traffic when Wero is killed, stopped, or stuck in a rule.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::clients;
use crate::firewall;
use crate::harness::{Case, Outcome, Pace};
use crate::net::{BOTH, Family, Link, Net};
use crate::servers::{self, Server};
use crate::wero::{Run, Stance, Wero};

pub const CASES: &[Case] = &[
    Case {
        name: "stances::killed-open",
        pace: Pace::Quick,
        needs: &["ip"],
        run: || killed(Stance::Open),
    },
    Case {
        name: "stances::killed-closed",
        pace: Pace::Quick,
        needs: &["ip"],
        run: || killed(Stance::Closed),
    },
    Case {
        name: "stances::overload-open",
        pace: Pace::Quick,
        needs: &["ip"],
        run: || overload(Stance::Open),
    },
    Case {
        name: "stances::overload-closed",
        pace: Pace::Quick,
        needs: &["ip"],
        run: || overload(Stance::Closed),
    },
    Case {
        name: "stances::endless-rule-closed",
        pace: Pace::Quick,
        needs: &["ip"],
        run: || endless_rule(Stance::Closed),
    },
    Case {
        name: "stances::endless-rule-open",
        pace: Pace::Slow,
        needs: &["ip"],
        run: || endless_rule(Stance::Open),
    },
    Case {
        name: "stances::latency-beside-an-endless-rule",
        pace: Pace::Slow,
        needs: &["ip"],
        run: latency,
    },
];

const ECHO: u16 = 7;

/// What a rule may take, by default.
const BUDGET: Duration = Duration::from_millis(20);

/// How long traffic may be without a decision.
const DECIDED_IN: Duration = Duration::from_secs(1);

struct Scene {
    net: Net,
    wero: Wero,
    _server: Server,
}

impl Scene {
    fn new(run: impl FnOnce(Run<'_>) -> Run<'_>) -> Result<Scene, String> {
        let net = Net::new(Link::Whole)?;
        let addresses = BOTH.map(|family| family.at(ECHO));
        let server = Server::start(&net.server, &addresses, servers::serve_echo)?;
        let wero = run(Run::gateway(&net.gateway)).start()?;
        Ok(Scene {
            net,
            wero,
            _server: server,
        })
    }

    fn flow(&self, family: Family) -> Result<TcpStream, String> {
        let mut flow = clients::connect(&self.net.client, family.at(ECHO))?;
        clients::round_trip(&mut flow, b"before\n")
            .map_err(|error| format!("{family:?}: {error}"))?;
        Ok(flow)
    }
}

/// Flows that were open go on, or not, and new ones are let in, or not.
fn killed(stance: Stance) -> Outcome {
    let mut scene = Scene::new(|run| run.on_crash(stance))?;
    let mut flows = Vec::new();
    for family in BOTH {
        flows.push((family, scene.flow(family)?));
    }
    scene.wero.kill()?;
    let mut slowest = Duration::ZERO;
    for (family, flow) in &mut flows {
        let passed = within(flow, 2 * DECIDED_IN);
        match (stance, passed) {
            (Stance::Open, Some(took)) if took <= DECIDED_IN => slowest = slowest.max(took),
            (Stance::Closed, None) => (),
            other => return Err(format!("{family:?}: {other:?}")),
        }
    }
    if stance == Stance::Open {
        for family in BOTH {
            scene.flow(family)?;
        }
        scene.wero.clean()?;
        return Ok(format!("passed after {slowest:.1?}"));
    }
    scene.wero.clean()?;
    // What was sent meanwhile comes through now, by the sender's own timer.
    for (family, flow) in &mut flows {
        flow.set_read_timeout(Some(clients::STALL))
            .map_err(|error| error.to_string())?;
        read_back(flow).map_err(|error| format!("{family:?} after cleaning: {error}"))?;
    }
    Ok(String::new())
}

const LINE: &[u8] = b"is anybody there?\n";

/// How long a line took to come back, if it did.
fn within(flow: &mut TcpStream, patience: Duration) -> Option<Duration> {
    flow.set_read_timeout(Some(patience)).ok()?;
    clients::round_trip(flow, LINE).ok()
}

/// The line whose round trip was given up.
fn read_back(flow: &mut TcpStream) -> std::io::Result<()> {
    std::io::Read::read_exact(flow, &mut [0; LINE.len()])
}

/// The process stands still while datagrams fill its queue.
fn overload(stance: Stance) -> Outcome {
    let mut scene = Scene::new(|run| run.on_overload(stance))?;
    let family = Family::V4;
    let mut flow = scene.flow(family)?;
    let bind = |family: Family| UdpSocket::bind(family.at(9));
    let sink = scene.net.server.inside(|| bind(family));
    let sink = sink.map_err(|error| error.to_string())?;
    let source = scene.net.client.inside(|| UdpSocket::bind("0.0.0.0:0"));
    let source = source.map_err(|error| error.to_string())?;
    source
        .connect(family.at(9))
        .map_err(|error| error.to_string())?;
    scene.wero.pause()?;
    let full_at = fill(&scene, &source)?;
    // From now on each datagram is decided by the stance.
    let arrived_before = drain(&sink);
    let mut passed = 0;
    while full_at.elapsed() < DECIDED_IN {
        drop(source.send(&[b'u'; 64]));
        thread::sleep(Duration::from_millis(5));
        passed += drain(&sink);
    }
    let note = format!("{arrived_before} arrived while it filled, {passed} then");
    match stance {
        Stance::Open if passed < 50 => return Err(format!("open, but {note}")),
        Stance::Closed if arrived_before + passed > 0 => return Err(format!("closed, but {note}")),
        _ => (),
    }
    scene.wero.resume();
    // What waited is judged now, and everything goes on.
    let took = clients::round_trip(&mut flow, LINE)
        .map_err(|error| format!("after it went on: {error} ({note})"))?;
    let waited = drain_for(&sink, Duration::from_millis(500));
    if waited == 0 {
        return Err(format!("what waited in the queue was lost; {note}"));
    }
    Ok(format!(
        "{note}, {waited} when it went on; flow after {took:.1?}"
    ))
}

/// Sends until the queue takes no more; gives the moment.
fn fill(scene: &Scene, source: &UdpSocket) -> Result<Instant, String> {
    let start = Instant::now();
    let mut waiting = 0;
    while start.elapsed() < Duration::from_secs(5) {
        for _ in 0..2000 {
            drop(source.send(&[b'u'; 64]));
        }
        let queues = firewall::queues(&scene.net.gateway);
        let now = queues.iter().map(|queue| queue.waiting).sum();
        if now == waiting && now > 0 {
            return Ok(Instant::now());
        }
        waiting = now;
    }
    Err(format!("the queue did not fill: {waiting} wait"))
}

/// How many datagrams are there.
fn drain(sink: &UdpSocket) -> usize {
    drop(sink.set_nonblocking(true));
    let mut count = 0;
    while sink.recv(&mut [0; 64]).is_ok() {
        count += 1;
    }
    count
}

fn drain_for(sink: &UdpSocket, time: Duration) -> usize {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < time {
        count += drain(sink);
        thread::sleep(Duration::from_millis(5));
    }
    count
}

/// One rule loops: its packet is dropped, or passes; others never notice.
fn endless_rule(stance: Stance) -> Outcome {
    let mut scene = Scene::new(|run| run.rules("loop.lua").default_budget().on_rule_error(stance))?;
    let mut other = scene.flow(Family::V6)?;
    let mut flow = scene.flow(Family::V4)?;
    flow.set_read_timeout(Some(DECIDED_IN))
        .map_err(|error| error.to_string())?;
    let passed = clients::round_trip(&mut flow, b"please loop\n");
    let within_budget = clients::round_trip(&mut other, b"go on\n")
        .map_err(|error| format!("the other flow: {error}"))?;
    // Retransmissions of a refused packet loop again: none may pass.
    match (stance, &passed) {
        (Stance::Open, Ok(_)) | (Stance::Closed, Err(_)) => (),
        (_, passed) => {
            let words = scene.wero.process.last_words();
            return Err(format!("{stance:?}, but {passed:?}; wero said: {words}"));
        }
    }
    let named = scene.wero.process.errors.count("loop.lua");
    if named == 0 {
        let words = scene.wero.process.last_words();
        return Err(format!("the log does not name the rule's file: {words}"));
    }
    scene.wero.stop()?;
    Ok(format!("the other flow took {within_budget:.1?}"))
}

/// Round trips of bystanders while a rule loops again and again, until it is
/// taken out of service.
fn latency() -> Outcome {
    let mut scene = Scene::new(|run| run.rules("loop.lua").default_budget().workers(2))?;
    let mut beside: [Vec<TcpStream>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..32 {
        let flow = scene.flow(Family::V4)?;
        let port = flow.local_addr().map_err(|error| error.to_string())?.port();
        let said = format!("port {port}");
        scene.wero.wait_for(&said, Duration::from_secs(2))?;
        let lines = scene.wero.process.output.all();
        let line = lines.iter().find(|line| line.ends_with(&said));
        let worker = usize::from(line.is_some_and(|line| line.contains("worker=1")));
        beside[worker].push(flow);
    }
    let [mut looping, mut other] = beside;
    let (Some(mut same), Some(mut other)) = (looping.pop(), other.pop()) else {
        return Err("thirty-two flows of one pair of hosts on one worker".to_string());
    };
    if looping.len() < 5 {
        return Err(format!(
            "{} of 32 flows on the first worker",
            looping.len() + 1
        ));
    }
    let over = AtomicBool::new(false);
    let sample = |flow: &mut TcpStream| {
        let pause = Duration::from_millis(1);
        clients::round_trips(flow, pause, |_| !over.load(Ordering::Relaxed))
    };
    let (same, other) = thread::scope(|scope| {
        let same = scope.spawn(|| sample(&mut same));
        let other = scope.spawn(|| sample(&mut other));
        // A flow whose rule was stopped is closed: each loops once, and no two
        // loops meet, also where others use the processor.
        for flow in looping.iter_mut().take(5) {
            drop(flow.write_all(b"loop\n"));
            thread::sleep(Duration::from_millis(100));
        }
        over.store(true, Ordering::Relaxed);
        (same.join(), other.join())
    });
    let stopped = scene.wero.process.errors.count("loop.lua");
    let took = |joined: thread::Result<std::io::Result<Vec<Duration>>>| match joined {
        Ok(Ok(took)) => Ok((
            took.len(),
            [0.5, 0.99, 1.0].map(|share| clients::quantile(&took, share)),
        )),
        Ok(Err(error)) => Err(format!("a bystander: {error}")),
        Err(_) => Err("panicked".to_string()),
    };
    let ((count, same), (_, other)) = (took(same)?, took(other)?);
    let note = format!(
        "{stopped} lines name the rule; of {count} round trips median, p99, most: {same:.1?} on the \
         same worker, {other:.1?} on the other"
    );
    let slack = Duration::from_millis(20);
    if stopped == 0 || same[1] > BUDGET + slack || other[1] > slack {
        return Err(note);
    }
    scene.wero.stop()?;
    Ok(note)
}
