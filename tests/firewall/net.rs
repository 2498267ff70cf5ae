//! Network namespaces that go away with the test.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::scripts;

static MADE: AtomicU32 = AtomicU32::new(0);

/// Whether these tests can run here; says why not.
pub fn ready(programs: &[&str]) -> bool {
    let root = std::fs::read_to_string("/proc/self/status")
        .unwrap_or_default()
        .lines()
        .any(|line| line.starts_with("Uid:\t0\t"));
    if !root {
        println!("skipped: firewalls need root");
        return false;
    }
    for program in programs.iter().chain(&["ip", "unshare", "sysctl"]) {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output()
            .is_ok_and(|output| output.status.success());
        if !found {
            println!("skipped: no {program}");
            return false;
        }
    }
    let probe = Command::new("unshare").args(["-n", "true"]).status();
    if !probe.is_ok_and(|status| status.success()) {
        println!("skipped: no network namespaces");
        return false;
    }
    true
}

/// What a program printed and how it ended.
pub struct Output {
    pub success: bool,
    pub text: String,
    pub errors: String,
    command: String,
}

impl Output {
    pub fn of(command: &mut Command) -> Output {
        let output = command.output().expect("the program runs");
        Output {
            success: output.status.success(),
            text: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
            command: format!("{command:?}"),
        }
    }

    /// What it printed, for it went well.
    pub fn good(self) -> String {
        assert!(
            self.success,
            "{}\n{}{}",
            self.command, self.text, self.errors
        );
        self.text
    }
}

/// Runs the program under test.
pub fn wero(arguments: &[&str]) -> Output {
    Output::of(Command::new(env!("CARGO_BIN_EXE_wero")).args(arguments))
}

/// A network namespace; gone when dropped.
pub struct Namespace {
    name: String,
}

impl Namespace {
    pub fn new(what: &str) -> Namespace {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("werofw-{what}-{}-{number}", std::process::id());
        Output::of(Command::new("ip").args(["netns", "add", &name])).good();
        Namespace { name }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn run(&self, words: &[&str]) -> Output {
        Output::of(&mut self.command(words))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).args(words);
        command
    }

    /// Runs a program that reads from us.
    pub fn feed(&self, words: &[&str], input: &str) -> Output {
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("it is a pipe");
        // A program that fails before it has read all closes the pipe.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        Output {
            success: output.status.success(),
            text: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
            command: format!("{words:?}"),
        }
    }

    /// Datagrams come to nobody; no ICMP errors tell of it.
    fn quiet(&self) {
        for program in ["iptables-nft", "ip6tables-nft"] {
            self.run(&[program, "-A", "INPUT", "-p", "udp", "-j", "DROP"])
                .good();
        }
    }

    /// Somebody who listens to a queue and never answers.
    pub fn listen(&self, queue: u16) -> Listener {
        let child = self
            .command(&["python3", "-c", scripts::LISTEN, &queue.to_string()])
            .spawn()
            .expect("python starts");
        let listener = Listener(child);
        let start = Instant::now();
        while self
            .run(&["cat", "/proc/net/netfilter/nfnetlink_queue"])
            .good()
            .is_empty()
        {
            assert!(start.elapsed() < Duration::from_secs(10), "nobody listens");
            std::thread::sleep(Duration::from_millis(20));
        }
        listener
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
    }
}

/// A process that holds a queue until dropped.
pub struct Listener(Child);

impl Listener {
    pub fn pid(&self) -> u32 {
        // `ip netns exec` becomes the program.
        self.0.id()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client, a gateway and a server, with IPv4 and IPv6:
/// `10.91.1.2` and `fd91:1::2` - gateway - `10.91.2.2` and `fd91:2::2`.
pub struct Gateway {
    pub client: Namespace,
    pub gateway: Namespace,
    pub server: Namespace,
}

impl Gateway {
    pub fn new(what: &str) -> Gateway {
        let net = Gateway {
            client: Namespace::new(&format!("{what}c")),
            gateway: Namespace::new(&format!("{what}g")),
            server: Namespace::new(&format!("{what}s")),
        };
        for (host, inside, side) in [(&net.client, "in", 1), (&net.server, "out", 2)] {
            let mut lines = String::new();
            let (host_name, gateway) = (host.name(), net.gateway.name());
            let _ = writeln!(
                lines,
                "ip link add {inside} netns {gateway} type veth peer name eth0 netns {host_name}"
            );
            for (place, name, last) in [(gateway, inside, 1), (host_name, "eth0", 2)] {
                let _ = writeln!(
                    lines,
                    "ip -n {place} addr add 10.91.{side}.{last}/24 dev {name}\n\
                     ip -n {place} addr add fd91:{side}::{last}/64 dev {name} nodad\n\
                     ip -n {place} link set {name} up"
                );
            }
            let _ = writeln!(
                lines,
                "ip -n {host_name} route add default via 10.91.{side}.1\n\
                 ip -n {host_name} -6 route add default via fd91:{side}::1"
            );
            Output::of(Command::new("sh").args(["-ec", &lines])).good();
            host.quiet();
        }
        for setting in ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"] {
            net.gateway.run(&["sysctl", "-w", setting]).good();
        }
        net.meet(&["10.91.2.2", "fd91:2::2"]);
        net
    }

    /// The same hosts in one network, with a bridge between them that has no
    /// address: `10.91.3.1` and `fd91:3::1`, `10.91.3.2` and `fd91:3::2`.
    pub fn bridge(what: &str) -> Gateway {
        let net = Gateway {
            client: Namespace::new(&format!("{what}c")),
            gateway: Namespace::new(&format!("{what}g")),
            server: Namespace::new(&format!("{what}s")),
        };
        let bridge = net.gateway.name();
        let mut lines = format!(
            "ip -n {bridge} link add br0 type bridge forward_delay 0\n\
             ip -n {bridge} link set br0 up\n"
        );
        for (host, port, last) in [(&net.client, "in", 1), (&net.server, "out", 2)] {
            let host = host.name();
            let _ = writeln!(
                lines,
                "ip link add {port} netns {bridge} type veth peer name eth0 netns {host}\n\
                 ip -n {bridge} link set {port} master br0 up\n\
                 ip -n {host} addr add 10.91.3.{last}/24 dev eth0\n\
                 ip -n {host} addr add fd91:3::{last}/64 dev eth0 nodad\n\
                 ip -n {host} link set eth0 up"
            );
        }
        Output::of(Command::new("sh").args(["-ec", &lines])).good();
        for host in [&net.client, &net.server] {
            host.quiet();
        }
        net.meet(&["10.91.3.2", "fd91:3::2"]);
        net
    }

    /// Waits until both ways work: addresses and routes settle.
    fn meet(&self, servers: &[&str]) {
        let start = Instant::now();
        for server in servers {
            while !self
                .client
                .feed(&["python3", "-", server], scripts::REACH)
                .success
            {
                assert!(
                    start.elapsed() < Duration::from_secs(20),
                    "{server} cannot be reached"
                );
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}
