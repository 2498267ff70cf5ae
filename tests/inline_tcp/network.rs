//! Two stacks of smoltcp, an engine between them, and a wire on each side.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, TcpPacket};
use wero::core::Stats;
use wero::event::{Settings, Verdict};
use wero::lua::Limits;
use wero::packet::LinkType;
use wero::time::Timestamp;

use crate::rig::{Gone, Rig};

/// What happens to packets on each of the two wires.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub seed: u64,
    /// Of a thousand packets, so many are lost.
    pub lost: u64,
    /// And so many come late.
    pub late: u64,
}

impl Weather {
    pub fn fair(seed: u64) -> Weather {
        Weather {
            seed,
            lost: 0,
            late: 0,
        }
    }

    pub fn bad(seed: u64) -> Weather {
        Weather {
            seed,
            lost: 10 + seed % 3 * 10,
            late: 10,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Client = 0,
    Server = 1,
}

/// What came of a run.
pub struct Outcome {
    /// What client and server read.
    pub read: [Vec<u8>; 2],
    pub stats: Stats,
    pub errors: Vec<String>,
    pub printed: String,
    /// The last packets that came and left, for whoever looks for a fault.
    pub last: VecDeque<String>,
    /// Microseconds until both had read everything.
    pub took: u64,
    /// The most bytes of packets that the engine kept at a time.
    pub most_held: usize,
}

/// One way over a wire.
const DELAY: u64 = 5_000;
/// What a late packet takes longer.
const LATE: u64 = 4_000;

pub struct Network {
    hosts: [Host; 2],
    rig: Rig,
    weather: Weather,
    chance: u64,
    now: u64,
    wires: BinaryHeap<Reverse<OnWire>>,
    sent: u64,
    packets: u64,
    most_held: usize,
    last: VecDeque<String>,
}

/// A packet under way: when it arrives, its number, and where.
type OnWire = (u64, u64, Place, Vec<u8>);

/// Where a packet on a wire goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Gateway,
    Client,
    Server,
}

impl Network {
    pub fn new(family: u8, rules: &str, settings: Settings, weather: Weather) -> Network {
        let mut rig = Rig::load(rules, &[], settings, Limits::default())
            .unwrap_or_else(|(error, _)| panic!("{error}"));
        rig.started();
        Network {
            hosts: [
                Host::new(family, End::Client, weather.seed),
                Host::new(family, End::Server, weather.seed),
            ],
            rig,
            weather,
            chance: weather.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now: 1_000_000,
            wires: BinaryHeap::new(),
            sent: 0,
            packets: 0,
            most_held: 0,
            last: VecDeque::new(),
        }
    }

    fn note(&mut self, what: &str, packet: &[u8]) {
        let (at, source) = match packet[0] >> 4 {
            4 => (20, packet[15]),
            _ => (40, packet[23]),
        };
        let tcp = TcpPacket::new_unchecked(&packet[at..]);
        if self.last.len() == 60 {
            self.last.pop_front();
        }
        self.last.push_back(format!(
            "{} us {what} from {source}: seq {} ack {} {} bytes, window {}, fin {}",
            self.now,
            tcp.seq_number(),
            tcp.ack_number(),
            tcp.payload().len(),
            tcp.window_len(),
            tcp.fin()
        ));
    }

    /// Client and server send their texts and close; ends when both have read
    /// all, or after so many seconds.
    pub fn run(&mut self, texts: [&[u8]; 2], seconds: u64) -> Outcome {
        let begun = self.now;
        for (host, text) in self.hosts.iter_mut().zip(texts) {
            host.to_send = text.iter().copied().collect();
        }
        let end = begun + seconds * 1_000_000;
        while self.now < end && !self.hosts.iter().all(Host::is_done) {
            self.step(end);
        }
        let most_held = self.most_held;
        let engine = self.rig.engine.borrow();
        let stats = engine.core.stats.clone();
        drop(engine);
        Outcome {
            read: [0, 1].map(|end: usize| self.hosts[end].read.clone()),
            stats,
            last: self.last.clone(),
            printed: self.rig.said().printed.clone(),
            errors: self
                .rig
                .said()
                .errors()
                .into_iter()
                .map(String::from)
                .collect(),
            took: self.now - begun,
            most_held,
        }
    }

    fn step(&mut self, end: u64) {
        for place in [Place::Client, Place::Server] {
            let host = &mut self.hosts[usize::from(place == Place::Server)];
            host.work(self.now);
            for packet in host.device.sent.drain(..).collect::<Vec<_>>() {
                self.put_on_wire(Place::Gateway, packet);
            }
        }
        let arrival = self.wires.peek().map(|Reverse((time, ..))| *time);
        let timers = self.hosts.iter_mut().filter_map(|host| host.next(self.now));
        let engine = self
            .rig
            .next_timeout()
            .map(|time| (time.0 / 1000) as u64 + 1);
        let next = timers.chain(arrival).chain(engine).min().unwrap_or(end);
        self.now = next.max(self.now);
        if engine.is_some_and(|engine| engine <= self.now) {
            let gone = self.rig.wake(self.time());
            self.leave(gone);
        }
        while let Some(Reverse((time, ..))) = self.wires.peek()
            && *time <= self.now
        {
            let Some(Reverse((_, _, place, packet))) = self.wires.pop() else {
                return;
            };
            match place {
                Place::Gateway => self.judge(&packet),
                Place::Client => self.hosts[0].device.came.push_back(packet),
                Place::Server => self.hosts[1].device.came.push_back(packet),
            }
        }
    }

    fn time(&self) -> Timestamp {
        Timestamp(self.now as i64 * 1000)
    }

    fn judge(&mut self, packet: &[u8]) {
        self.packets += 1;
        self.note("comes", packet);
        let gone = self
            .rig
            .packet(self.packets, self.time(), LinkType::RAW, packet);
        self.leave(gone);
        let held = self
            .rig
            .engine
            .borrow()
            .core
            .bufs
            .extents
            .held(wero::buf::Owner::Packet);
        self.most_held = self.most_held.max(held);
    }

    fn leave(&mut self, gone: Vec<Gone>) {
        for packet in gone {
            self.note(&format!("{:?}", packet.verdict), &packet.bytes);
            if matches!(packet.verdict, Verdict::Drop(_)) {
                continue;
            }
            let destination = match packet.bytes[0] >> 4 {
                4 => packet.bytes[19],
                _ => packet.bytes[39],
            };
            let place = match destination {
                1 => Place::Client,
                _ => Place::Server,
            };
            self.put_on_wire(place, packet.bytes);
        }
    }

    fn put_on_wire(&mut self, place: Place, packet: Vec<u8>) {
        let draw = self.draw() % 1000;
        if draw < self.weather.lost {
            return;
        }
        let late = draw < self.weather.lost + self.weather.late;
        let time = self.now + DELAY + if late { LATE } else { 0 };
        self.sent += 1;
        self.wires.push(Reverse((time, self.sent, place, packet)));
    }

    fn draw(&mut self) -> u64 {
        self.chance = self
            .chance
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        self.chance >> 33
    }
}

/// One end of the connection.
struct Host {
    device: Queue,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    to_send: VecDeque<u8>,
    read: Vec<u8>,
    peer_closed: bool,
}

impl Host {
    fn new(family: u8, end: End, seed: u64) -> Host {
        let mut device = Queue::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed ^ end as u64;
        let mut interface = Interface::new(config, &mut device, Instant::ZERO);
        let [own, other] = match end {
            End::Client => [1, 2],
            End::Server => [2, 1],
        };
        let address = |last: u8| match family {
            4 => IpAddress::v4(10, 0, 0, last),
            _ => IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)),
        };
        let prefix = if family == 4 { 24 } else { 64 };
        interface.update_ip_addrs(|addresses| {
            addresses
                .push(IpCidr::new(address(own), prefix))
                .expect("room for an address");
        });
        // What edits add has to fit the receiver's window: smoltcp does not
        // send again what a receiver had no room for, once its window closes.
        let buffer = |size: usize| SocketBuffer::new(vec![0; size]);
        let mut socket = Socket::new(buffer(65_535), buffer(24_000));
        socket.set_congestion_control(CongestionControl::Reno);
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        match end {
            End::Server => socket.listen(80).expect("a free socket"),
            End::Client => socket
                .connect(interface.context(), (address(other), 80), 40_000)
                .expect("a free socket"),
        }
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(socket);
        Host {
            device,
            interface,
            sockets,
            handle,
            to_send: VecDeque::new(),
            read: Vec::new(),
            peer_closed: false,
        }
    }

    fn work(&mut self, now: u64) {
        let at = Instant::from_micros(now as i64);
        self.interface.poll(at, &mut self.device, &mut self.sockets);
        let socket = self.sockets.get_mut::<Socket<'static>>(self.handle);
        while socket.can_recv() {
            let got = socket.recv(|bytes| {
                self.read.extend_from_slice(bytes);
                (bytes.len(), bytes.len())
            });
            got.expect("an open socket");
        }
        let state = socket.state();
        self.peer_closed |= matches!(
            state,
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait | State::Closed
        ) && !socket.may_recv();
        if socket.may_send() {
            while !self.to_send.is_empty() && socket.can_send() {
                let (front, _) = self.to_send.as_slices();
                let Ok(sent) = socket.send_slice(front) else {
                    break;
                };
                self.to_send.drain(..sent);
            }
            if self.to_send.is_empty() {
                socket.close();
            }
        }
        self.interface.poll(at, &mut self.device, &mut self.sockets);
    }

    fn next(&mut self, now: u64) -> Option<u64> {
        if !self.device.came.is_empty() {
            return Some(now);
        }
        let at = Instant::from_micros(now as i64);
        let next = self.interface.poll_at(at, &self.sockets)?;
        Some((next.total_micros() as u64).max(now + 1))
    }

    /// Everything is sent, and everything was read.
    fn is_done(&self) -> bool {
        self.to_send.is_empty() && self.peer_closed
    }
}

/// A device whose packets are taken and given by hand.
#[derive(Default)]
struct Queue {
    came: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

impl Device for Queue {
    type RxToken<'a> = Came;
    type TxToken<'a> = Sent<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Came, Sent<'_>)> {
        let packet = self.came.pop_front()?;
        Some((Came(packet), Sent(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sent<'_>> {
        Some(Sent(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.max_transmission_unit = 1500;
        capabilities.medium = Medium::Ip;
        capabilities
    }
}

struct Came(Vec<u8>);

impl RxToken for Came {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

struct Sent<'a>(&'a mut Vec<Vec<u8>>);

impl TxToken for Sent<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut packet = vec![0; len];
        let result = write(&mut packet);
        self.0.push(packet);
        result
    }
}
