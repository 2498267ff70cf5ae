//! Client, gateway and server: three namespaces in a row, for IPv4 and IPv6.
//!
//! Addresses are the same in every net, since nothing leaves it. Links differ
//! in what becomes of segments (`Link`). Not here: the lossy link (`relay`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::namespace::Namespace;
use crate::process::{self, Process};
use crate::relay::{Relay, Trouble};

/// How packets come over the links.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Link {
    /// Segments of up to 64 kB with unfinished checksums, as veth hands them
    /// over.
    Whole,
    /// Packets of one MTU leave the hosts, the gateway puts them together
    /// again: what a network card with GRO gives.
    Wire,
    /// Packets of one MTU everywhere, checksums finished.
    Segmented,
    /// Client and server are neighbours, the gateway a bridge between them
    /// with an address of its own.
    Bridged,
    /// Between gateway and server some packets are lost and some overtaken.
    Lossy(Trouble),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

pub const BOTH: [Family; 2] = [Family::V4, Family::V6];

impl Family {
    pub fn client(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::new(10, 77, 1, 2).into(),
            Family::V6 => Ipv6Addr::new(0xfd77, 1, 0, 0, 0, 0, 0, 2).into(),
        }
    }

    pub fn server(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::new(10, 77, 2, 2).into(),
            Family::V6 => Ipv6Addr::new(0xfd77, 2, 0, 0, 0, 0, 0, 2).into(),
        }
    }

    /// The gateway as the server sees it.
    pub fn gateway(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::new(10, 77, 2, 1).into(),
            Family::V6 => Ipv6Addr::new(0xfd77, 2, 0, 0, 0, 0, 0, 1).into(),
        }
    }

    pub fn at(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.server(), port)
    }

    pub fn url(self, path: &str) -> String {
        match self {
            Family::V4 => format!("http://{}{path}", self.server()),
            Family::V6 => format!("http://[{}]{path}", self.server()),
        }
    }

    /// The command for its firewall.
    pub fn iptables(self) -> &'static str {
        match self {
            Family::V4 => "iptables",
            Family::V6 => "ip6tables",
        }
    }
}

/// Deleted when it is dropped, also by a panic.
pub struct Net {
    pub client: Namespace,
    pub gateway: Namespace,
    pub server: Namespace,
    /// Goes before the namespaces whose devices it reads.
    pub relay: Option<Relay>,
    captures: Vec<Process>,
}

impl Net {
    pub fn new(link: Link) -> Result<Net, String> {
        let mut net = Net {
            client: Namespace::create("client")?,
            gateway: Namespace::create("gateway")?,
            server: Namespace::create("server")?,
            relay: None,
            captures: Vec::new(),
        };
        for namespace in [&net.client, &net.gateway, &net.server] {
            // Nobody has these addresses yet, and asking takes two seconds.
            namespace.set("net.ipv6.conf.default.accept_dad", "0")?;
            namespace.set("net.ipv6.conf.default.dad_transmits", "0")?;
        }
        veth(&net.client, "eth", &net.gateway, "inner")?;
        match link {
            Link::Lossy(trouble) => {
                net.relay = Some(Relay::start(
                    &net.gateway,
                    "outer",
                    &net.server,
                    "eth",
                    trouble,
                )?);
            }
            _ => veth(&net.server, "eth", &net.gateway, "outer")?,
        }
        match link {
            Link::Bridged => net.bridge()?,
            _ => net.configure()?,
        }
        net.offload(link)?;
        net.capture()?;
        Ok(net)
    }

    /// For those who look for a mistake: `WERO_LIVE_CAPTURE=FOLDER` keeps what
    /// client and server see.
    fn capture(&mut self) -> Result<(), String> {
        static NETS: AtomicUsize = AtomicUsize::new(0);
        let Some(folder) = std::env::var_os("WERO_LIVE_CAPTURE") else {
            return Ok(());
        };
        let number = NETS.fetch_add(1, Ordering::Relaxed);
        for (namespace, name) in [(&self.client, "client"), (&self.server, "server")] {
            let path = Path::new(&folder).join(format!("{number}-{name}.pcap"));
            let mut command = namespace.command("tcpdump");
            command
                .args(["-U", "-n", "-B", "65536", "-i", "eth", "-w"])
                .arg(path);
            let mut tcpdump = Process::start(&mut command)?;
            tcpdump.wait_until("listening", Duration::from_secs(5), |process| {
                process.errors.count("listening on") > 0
            })?;
            self.captures.push(tcpdump);
        }
        Ok(())
    }

    fn configure(&self) -> Result<(), String> {
        for (namespace, device, number) in [
            (&self.client, "eth", "1::2 10.77.1.2"),
            (&self.gateway, "inner", "1::1 10.77.1.1"),
            (&self.gateway, "outer", "2::1 10.77.2.1"),
            (&self.server, "eth", "2::2 10.77.2.2"),
        ] {
            let (six, four) = number.split_once(' ').expect("two addresses");
            namespace.ip(&["addr", "add", &format!("{four}/24"), "dev", device])?;
            let six = format!("fd77:{six}/64");
            namespace.ip(&["-6", "addr", "add", &six, "dev", device, "nodad"])?;
            namespace.ip(&["link", "set", device, "up"])?;
        }
        for (namespace, net) in [(&self.client, 1), (&self.server, 2)] {
            let four = format!("10.77.{net}.1");
            namespace.ip(&["route", "add", "default", "via", &four])?;
            let six = format!("fd77:{net}::1");
            namespace.ip(&["-6", "route", "add", "default", "via", &six])?;
            namespace.set("net.ipv4.ip_local_port_range", "1024 65000")?;
        }
        self.gateway.set("net.ipv4.ip_forward", "1")?;
        self.gateway.set("net.ipv6.conf.all.forwarding", "1")
    }

    /// The same addresses as across a gateway, in one network.
    fn bridge(&self) -> Result<(), String> {
        self.gateway
            .ip(&["link", "add", "bridge", "type", "bridge"])?;
        for port in ["inner", "outer"] {
            self.gateway
                .ip(&["link", "set", port, "master", "bridge"])?;
            self.gateway.ip(&["link", "set", port, "up"])?;
        }
        for (namespace, device, six, four) in [
            (&self.client, "eth", "fd77:1::2/16", "10.77.1.2/16"),
            (&self.gateway, "bridge", "fd77:2::1/16", "10.77.2.1/16"),
            (&self.server, "eth", "fd77:2::2/16", "10.77.2.2/16"),
        ] {
            namespace.ip(&["addr", "add", four, "dev", device])?;
            namespace.ip(&["-6", "addr", "add", six, "dev", device, "nodad"])?;
            namespace.ip(&["link", "set", device, "up"])?;
        }
        Ok(())
    }

    fn offload(&self, link: Link) -> Result<(), String> {
        let hosts = match link {
            Link::Whole | Link::Bridged | Link::Lossy(_) => return Ok(()),
            Link::Wire => ["tso", "off", "gso", "off", "gro", "on", "tx", "off"],
            Link::Segmented => ["tso", "off", "gso", "off", "gro", "off", "tx", "off"],
        };
        let gateway = match link {
            Link::Wire => ["tso", "on", "gso", "on", "gro", "on", "tx", "on"],
            _ => hosts,
        };
        for (namespace, device, features) in [
            (&self.client, "eth", &hosts),
            (&self.server, "eth", &hosts),
            (&self.gateway, "inner", &gateway),
            (&self.gateway, "outer", &gateway),
        ] {
            let mut command = namespace.command("ethtool");
            process::run(command.args(["-K", device]).args(features))?;
        }
        Ok(())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.relay = None;
        if !self.captures.is_empty() {
            // They are behind what they see.
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

/// The second end lies in the other namespace.
fn veth(one: &Namespace, name: &str, other: &Namespace, other_name: &str) -> Result<(), String> {
    // Where both ends have the same number the kernel takes a second to see
    // that the link is up, and IPv6 waits for that.
    let peer = ["index", "77", "type", "veth", "peer", "name", other_name];
    one.ip(&[&["link", "add", name][..], &peer, &["netns", &other.name]].concat())
        .map(drop)
}
