//! A network of its own for each test: a thread in a new network namespace,
//! with a loopback device and firewall rules.

use std::io::Write as _;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::{Duration, Instant};

use wero::capture::nfqueue::{Config, Queue};

/// Proof that the thread is in a namespace made for it.
pub struct Namespace(());

/// Runs a test in a new namespace, or says why not.
pub fn inside(test: impl FnOnce(&Namespace) + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| match enter() {
            Ok(namespace) => test(&namespace),
            Err(why) => say(&format!("skipped: {why}")),
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// A line that the test harness does not hide.
pub fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("there is a place for it");
}

fn enter() -> Result<Namespace, &'static str> {
    // SAFETY: changes the network namespace of this thread alone, which was
    // made for the test and holds no sockets yet.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err("no network namespace of our own (this needs root)");
    }
    let namespace = Namespace(());
    if !run("ip link set lo up") {
        return Err("no program 'ip'");
    }
    if !run("iptables -w -t mangle -A INPUT -p 253 -j NFQUEUE --queue-num 9") {
        return Err("no iptables with the target NFQUEUE");
    }
    namespace.command("iptables -w -t mangle -F INPUT");
    Ok(namespace)
}

fn run(command: &str) -> bool {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a command");
    let done = Command::new(program).args(words).output();
    done.is_ok_and(|done| done.status.success())
}

impl Namespace {
    /// Runs a program here; it must succeed.
    pub fn command(&self, command: &str) -> String {
        let mut words = command.split_whitespace();
        let program = words.next().expect("a command");
        let done = Command::new(program).args(words).output();
        let done = done.unwrap_or_else(|error| panic!("{command}: {error}"));
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{command}: {errors}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Appends a rule for IPv4: `INPUT -p udp -j …`, in the mangle table.
    pub fn rule(&self, rule: &str) {
        self.command(&format!("iptables -w -t mangle -A {rule}"));
    }

    pub fn rule_v6(&self, rule: &str) {
        self.command(&format!("ip6tables -w -t mangle -A {rule}"));
    }

    /// How many packets the first rule of a chain with `word` in it matched.
    pub fn matched(&self, program: &str, chain: &str, word: &str) -> u64 {
        let list = self.command(&format!("{program} -w -t mangle -nvxL {chain}"));
        let line = list.lines().find(|line| line.contains(word));
        let line = line.unwrap_or_else(|| panic!("no '{word}' in {list}"));
        let count = line.split_whitespace().next().expect("columns");
        count.parse().expect("a number of packets")
    }

    pub fn open(&self, number: u16) -> Queue {
        self.open_with(&Config {
            number,
            ..Config::default()
        })
    }

    pub fn open_with(&self, config: &Config) -> Queue {
        Queue::open(config).expect("the queue is free")
    }
}

/// A packet, copied.
#[derive(Clone, Debug)]
pub struct Seen {
    pub id: u32,
    pub mark: u32,
    pub offloaded: bool,
    pub partial_checksum: bool,
    pub wire_len: u32,
    pub bytes: Vec<u8>,
}

/// Takes `count` packets, giving each to `decide` for its verdict, which is
/// sent; more or fewer are a failure.
pub fn serve(queue: &mut Queue, count: usize, mut decide: impl FnMut(&mut Queue, &Seen)) {
    let mut seen = 0;
    let deadline = Instant::now() + Duration::from_secs(20);
    while seen < count && Instant::now() < deadline {
        let wait = Duration::from_millis(200);
        seen += once(queue, wait, &mut decide);
    }
    queue.flush();
    assert_eq!(seen, count, "{:?}", queue.counters());
}

/// Takes one burst.
pub fn once(queue: &mut Queue, wait: Duration, mut decide: impl FnMut(&mut Queue, &Seen)) -> usize {
    let got = queue.receive(wait).expect("the queue works");
    for index in 0..got {
        let packet = queue.packet(index).expect("it was counted");
        let seen = Seen {
            id: packet.id,
            mark: packet.mark,
            offloaded: packet.offloaded,
            partial_checksum: packet.partial_checksum,
            wire_len: packet.wire_len,
            bytes: packet.bytes.to_vec(),
        };
        decide(queue, &seen);
    }
    assert!(queue.packet(got).is_none());
    got
}

/// A sender and a receiver that knows it, over the loopback device.
pub fn pair(address: &str) -> (UdpSocket, UdpSocket) {
    let receiver = UdpSocket::bind(address).expect("an address of the loopback device");
    let sender = UdpSocket::bind(address).expect("an address of the loopback device");
    let to = receiver.local_addr().expect("it is bound");
    sender.connect(to).expect("the way is short");
    widen(&receiver);
    (sender, receiver)
}

/// Room for all that a test sends, however late the receiver is.
pub fn widen(socket: &UdpSocket) {
    let bytes: libc::c_int = 8 << 20;
    // SAFETY: the pointer and the length are those of `bytes`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            (&raw const bytes).cast(),
            size_of_val(&bytes) as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "root may have the room");
}

/// What arrived, until nothing comes for a while.
pub fn arrived(receiver: &UdpSocket) -> Vec<Vec<u8>> {
    let wait = Some(Duration::from_millis(200));
    receiver.set_read_timeout(wait).expect("a time");
    let mut buffer = vec![0; 65_536];
    let mut all = Vec::new();
    while let Ok(length) = receiver.recv(&mut buffer) {
        all.push(buffer[..length].to_vec());
    }
    all
}
