//! Small programs that make traffic, and the packets they make.

use std::net::IpAddr;

/// Sends a datagram of each of 64 flows between port 9 of one host and even
/// ports from 20000 of the other: `ADDRESS PEER 0` from there, `1` from port 9.
pub const FLOWS: &str = r"
import socket, sys
own, peer, back = sys.argv[1], sys.argv[2], sys.argv[3] == '1'
family = socket.AF_INET6 if ':' in own else socket.AF_INET
for number in range(64):
    port = 20000 + 2 * number
    here, there = (9, port) if back else (port, 9)
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((own, here))
    sock.sendto(b'x', (peer, there))
    sock.close()
";

/// Sends a UDP datagram under any address through a raw socket: `SOURCE PORT
/// TARGET PORT MARK`.
pub const FORGE: &str = r"
import socket, struct, sys
source, sport, target, dport, mark = sys.argv[1:]
udp = struct.pack('>HHHH', int(sport), int(dport), 9, 0) + b'x'
ends = socket.inet_aton(source) + socket.inet_aton(target)
ip = struct.pack('>BBHHHBBH', 0x45, 0, 29, 7, 0, 64, 17, 0) + ends
sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, int(mark, 0))
sock.sendto(ip + udp, (target, 0))
";

/// Whether a host answers: nobody listens at the port, so it refuses.
pub const REACH: &str = r"
import socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
sock = socket.socket(family, socket.SOCK_STREAM)
sock.settimeout(1)
try:
    sock.connect((sys.argv[1], 1))
except ConnectionRefusedError:
    sys.exit(0)
sys.exit(1)
";

/// Binds a queue and waits. Messages as in `linux/netfilter/nfnetlink_queue.h`.
pub const LISTEN: &str = r"
import socket, struct, sys, time
queue = int(sys.argv[1])
sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
sock.bind((0, 0))
command = struct.pack('=HHBBH', 8, 1, 1, 0, 0)
body = struct.pack('>BBH', 0, 0, queue) + command
sock.send(struct.pack('=IHHII', 16 + len(body), 0x302, 1, 1, 0) + body)
time.sleep(60)
";

/// The packet that `FLOWS` makes, as far as flows are told apart.
pub fn datagram(source: &str, target: &str, from: u16, to: u16) -> Vec<u8> {
    let address = |text: &str| text.parse::<IpAddr>().expect("an address");
    let mut packet = match (address(source), address(target)) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            let mut packet = vec![0x45, 0, 0, 29, 0, 0, 0x40, 0, 64, 17, 0, 0];
            packet.extend(source.octets());
            packet.extend(target.octets());
            packet
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            let mut packet = vec![0x60, 0, 0, 0, 0, 9, 17, 64];
            packet.extend(source.octets());
            packet.extend(target.octets());
            packet
        }
        _ => panic!("two families"),
    };
    packet.extend(from.to_be_bytes());
    packet.extend(to.to_be_bytes());
    packet.extend([0, 9, 0, 0, b'x']);
    packet
}
