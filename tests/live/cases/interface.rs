//! `wero flows` and `wero sessions` on an interface: what they see is what the
//! same traffic gives as a capture.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Case, Outcome, Pace};
use crate::namespace::Namespace;
use crate::net::{BOTH, Link, Net};
use crate::process::{self, Process};
use crate::programs::{self, Nginx};
use crate::wero;

pub const CASES: &[Case] = &[
    Case {
        name: "interface::as-captured",
        pace: Pace::Quick,
        needs: &["curl", "nginx", "dig", "dnsmasq", "dumpcap"],
        run: || as_captured(Link::Whole),
    },
    Case {
        name: "interface::as-captured-segmented",
        pace: Pace::Slow,
        needs: &["curl", "nginx", "dig", "dnsmasq", "dumpcap"],
        run: || as_captured(Link::Segmented),
    },
    Case {
        name: "interface::loopback-shows-packets-once",
        pace: Pace::Quick,
        needs: &["curl", "nginx", "dumpcap"],
        run: loopback,
    },
    Case {
        name: "interface::says-what-is-wrong",
        pace: Pace::Quick,
        needs: &[],
        run: wrong,
    },
    Case {
        name: "interface::ends-as-told",
        pace: Pace::Quick,
        needs: &[],
        run: ends,
    },
];

const READY: Duration = Duration::from_secs(20);

/// Programs that listen on one interface.
struct Watch {
    folder: TempDir,
    flows: Process,
    sessions: Process,
    dumpcap: Process,
}

impl Watch {
    fn start(namespace: &Namespace, interface: &str) -> Result<Watch, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let listen = |command: &str| {
            let mut program = namespace.command(&text(&wero::program()));
            program.args([command, "--json", "--interface", interface]);
            Process::start(program.args(["--protocol", "tcp,udp"]))
        };
        let mut dumpcap = namespace.command("dumpcap");
        dumpcap.args(["-q", "-i", interface, "-w"]);
        dumpcap.arg(folder.path().join("traffic.pcapng"));
        let mut watch = Watch {
            flows: listen("flows")?,
            sessions: listen("sessions")?,
            dumpcap: Process::start(&mut dumpcap)?,
            folder,
        };
        for process in [&mut watch.flows, &mut watch.sessions] {
            process.wait_until("listening", READY, |program| {
                program.errors.count("listening on") > 0
            })?;
        }
        watch.dumpcap.wait_until("listening", READY, |program| {
            program.errors.count("File:") > 0
        })?;
        Ok(watch)
    }

    fn capture(&self) -> PathBuf {
        self.folder.path().join("traffic.pcapng")
    }

    /// Ends all, and compares: the flows and messages that were seen.
    fn compare(mut self) -> Result<[Vec<Value>; 2], String> {
        // The kernel hands over what it has in a fraction of this.
        std::thread::sleep(Duration::from_millis(500));
        let mut live = Vec::new();
        for program in [&mut self.flows, &mut self.sessions, &mut self.dumpcap] {
            program.signal(libc::SIGINT);
            let status = program.wait(READY)?;
            if !status.success() {
                return Err(format!("{status}: {}", program.last_words()));
            }
            live.push(program.output.all().join("\n"));
        }
        for program in [&self.flows, &self.sessions] {
            if program.errors.count(" 0 dropped by the kernel") != 1 {
                return Err(format!("packets were lost: {}", program.last_words()));
            }
        }
        let offline = |command: &str| {
            let mut program = crate::namespace::outside(wero::program());
            program.args([command, "--json", "--protocol", "tcp,udp"]);
            process::run(program.arg(self.capture()))
        };
        let expected = [offline("flows")?, offline("sessions")?].map(|text| lines(&text));
        let seen = [lines(&live[0]), lines(&live[1])];
        for (seen, expected) in seen.iter().zip(&expected) {
            if seen != expected {
                let only = |ours: &[Value], others: &[Value]| {
                    let only = ours.iter().filter(|line| !others.contains(line));
                    only.map(Value::to_string).collect::<Vec<_>>().join("\n")
                };
                return Err(format!(
                    "{} lines live, {} of the capture\nlive:\n{}\ncapture:\n{}",
                    seen.len(),
                    expected.len(),
                    only(seen, expected),
                    only(expected, seen)
                ));
            }
        }
        Ok(seen)
    }
}

/// Lines without what depends on when listening began, in an order of their
/// own.
fn lines(text: &str) -> Vec<Value> {
    const OF_A_RUN: [&str; 6] = [
        "flow_id",
        "first_frame",
        "frame",
        "timestamp",
        "start",
        "end",
    ];
    let parsed = text.lines().map(|line| {
        let mut value: Value = serde_json::from_str(line).expect("wero writes JSON");
        let fields = value.as_object_mut().expect("a line is an object");
        fields.retain(|name, _| !OF_A_RUN.contains(&name.as_str()));
        value
    });
    let mut all: Vec<Value> = parsed.collect();
    all.sort_by_key(Value::to_string);
    all
}

fn as_captured(link: Link) -> Outcome {
    let net = Net::new(link)?;
    let _nginx = Nginx::start(&net, &[100, 300_000])?;
    let _dnsmasq = programs::dnsmasq(&net)?;
    let mut watch = Watch::start(&net.gateway, "inner")?;
    for family in BOTH {
        for path in ["/100", "/300000", "/none"] {
            let mut curl = net.client.command("curl");
            process::run(curl.args(["-gsS", "-o", "/dev/null", &family.url(path)]))?;
        }
        let server = format!("@{}", family.server());
        for name in ["host.test", "long.test"] {
            let mut dig = net.client.command("dig");
            process::run(dig.args(["+tries=1", "+time=5", &server, name, "TXT"]))?;
        }
    }
    // Each line is there as soon as there is something to tell.
    watch.sessions.wait_until("telling", READY, |program| {
        program.output.count("\"status\":404") == 2
    })?;
    watch.flows.wait_until("telling", READY, |program| {
        program.output.count("\"app_proto\":\"http\"") == 6
    })?;
    let [flows, messages] = watch.compare()?;
    let of = |proto: &str| {
        messages
            .iter()
            .filter(|line| line["proto"] == proto)
            .count()
    };
    if of("http") < 12 || of("dns") < 8 {
        return Err(format!("few messages: {messages:?}"));
    }
    Ok(format!(
        "{} flows, {} messages",
        flows.len(),
        messages.len()
    ))
}

fn loopback() -> Outcome {
    let net = Net::new(Link::Whole)?;
    let _nginx = Nginx::start(&net, &[300_000])?;
    let watch = Watch::start(&net.server, "lo")?;
    for family in BOTH {
        let mut curl = net.server.command("curl");
        process::run(curl.args(["-gsS", "-o", "/dev/null", &family.url("/300000")]))?;
    }
    let [flows, messages] = watch.compare()?;
    match (flows.len(), messages.len()) {
        (2, 4) => Ok("2 flows, 4 messages".to_owned()),
        found => Err(format!("{found:?}: {flows:?}")),
    }
}

/// A request and its answer.
fn exchange(server: &Namespace, client: &Namespace, address: &str) -> Result<(), String> {
    let fault = |error: std::io::Error| format!("{address}: {error}");
    let listener = server.inside(|| TcpListener::bind((address, 80)).map_err(fault))?;
    let mut stream = client.inside(|| TcpStream::connect((address, 80)).map_err(fault))?;
    let (mut peer, _) = listener.accept().map_err(fault)?;
    let request = b"GET /there HTTP/1.1\r\nHost: there\r\n\r\n";
    stream.write_all(request).map_err(fault)?;
    peer.read_exact(&mut vec![0; request.len()])
        .map_err(fault)?;
    peer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .map_err(fault)?;
    drop(peer);
    stream.read_to_end(&mut Vec::new()).map_err(fault)?;
    Ok(())
}

fn wrong() -> Outcome {
    let net = Net::new(Link::Whole)?;
    let listen = |interface: &str| {
        let mut program = net.gateway.command(&text(&wero::program()));
        program.args(["flows", "-i", interface, "--seconds", "30"]);
        program
    };
    net.gateway.ip(&["link", "set", "outer", "down"])?;
    let mut powerless = listen("inner");
    // SAFETY: between fork and exec only a system call is made; it takes a
    // right from the program that is to be started.
    unsafe {
        powerless.pre_exec(|| {
            const CAP_NET_RAW: libc::c_ulong = 13;
            match libc::prctl(libc::PR_CAPBSET_DROP, CAP_NET_RAW, 0, 0, 0) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    for (mut program, code, words) in [
        (
            listen("none"),
            66,
            &["no interface 'none'", "lo", "inner"][..],
        ),
        (listen("outer"), 1, &["'outer' is down"][..]),
        (powerless, 1, &["not permitted", "CAP_NET_RAW"][..]),
    ] {
        let ended = process::outcome(&mut program)?;
        let told = words.iter().all(|word| ended.errors.contains(word));
        if ended.status.code() != Some(code) || !told {
            return Err(format!("{}: {}", ended.status, ended.errors));
        }
    }
    // One that goes away meanwhile ends the run, with all that was seen.
    let mut program = listen("inner");
    let mut process = Process::start(&mut program)?;
    process.wait_until("listening", READY, |program| {
        program.errors.count("listening on") > 0
    })?;
    net.gateway.ip(&["link", "del", "inner"])?;
    let status = process.wait(READY)?;
    match status.code() {
        Some(1) if process.errors.count("'inner' is down or gone") == 1 => Ok(String::new()),
        _ => Err(format!("{status}: {}", process.last_words())),
    }
}

fn ends() -> Outcome {
    let net = Net::new(Link::Whole)?;
    let listen = |more: &[&str]| {
        let mut program = crate::namespace::outside(wero::program());
        let inside = ["--namespace", &net.gateway.name];
        program.args(["sessions", "-i", "inner"]).args(inside);
        Process::start(program.args(more))
    };
    let mut by_time = listen(&["--seconds", "1"])?;
    let mut by_count = listen(&["--packets", "3"])?;
    by_count.wait_until("listening", READY, |program| {
        program.errors.count("listening on") > 0
    })?;
    exchange(&net.gateway, &net.client, "10.77.1.1")?;
    for program in [&mut by_time, &mut by_count] {
        let status = program.wait(READY)?;
        if !status.success() {
            return Err(format!("{status}: {}", program.last_words()));
        }
    }
    match by_count.errors.count("3 packets, 0 dropped") {
        1 => Ok(String::new()),
        _ => Err(by_count.last_words()),
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
