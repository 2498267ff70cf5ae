//! Traffic that is not a well-formed TCP stream: fragments, datagrams, echo,
//! odd frames.

use super::super::conversation::client;
use super::super::scenario::{Scenario, host, socket};
use super::super::wire::{self, Segment, flag};
use super::{Capture, Family, fixture};

type Play = fn(&mut Scenario, Family);

const SCENARIOS: [(&str, Play); 9] = [
    ("fragments-in-order", fragments_in_order),
    ("fragments-reversed", fragments_reversed),
    ("fragments-overlapping", fragments_overlapping),
    ("fragments-incomplete", fragments_incomplete),
    ("datagrams", datagrams),
    ("icmp-errors", icmp_errors),
    ("checksums-wrong", checksums_wrong),
    ("frames-odd", frames_odd),
    ("connections-on-two-vlans", connections_on_two_vlans),
];

pub fn all() -> Vec<Capture> {
    let mut captures = Vec::new();
    for (name, play) in SCENARIOS {
        for family in Family::BOTH {
            let mut scenario = Scenario::new();
            play(&mut scenario, family);
            captures.push(fixture(name, family, scenario.into_recording()));
        }
    }
    captures
}

fn fragments_in_order(s: &mut Scenario, family: Family) {
    fragmented_datagram(s, family, &[(0, 48), (48, 96), (96, DATAGRAM)]);
}

fn fragments_reversed(s: &mut Scenario, family: Family) {
    fragmented_datagram(s, family, &[(96, DATAGRAM), (48, 96), (0, 48)]);
}

/// The second fragment repeats the end of the first, with the same bytes.
fn fragments_overlapping(s: &mut Scenario, family: Family) {
    fragmented_datagram(s, family, &[(0, 48), (32, 96), (96, DATAGRAM)]);
}

fn fragments_incomplete(s: &mut Scenario, family: Family) {
    fragmented_datagram(s, family, &[(0, 48), (96, DATAGRAM)]);
}

const DATAGRAM: usize = 120;

fn fragmented_datagram(s: &mut Scenario, family: Family, parts: &[(usize, usize)]) {
    let Ends { client, server } = ends(family);
    let (src, dst) = (socket(&client), socket(&server));
    let payload: Vec<u8> = (b'a'..=b'z').cycle().take(DATAGRAM - 8).collect();
    let datagram = wire::udp(src, dst, &payload);
    s.fragments(src.ip(), dst.ip(), wire::UDP, &datagram, parts);
}

fn datagrams(s: &mut Scenario, family: Family) {
    let Ends { client, server } = ends(family);
    s.udp(&client, &server, b"ping 1");
    s.udp(&server, &client, b"pong 1");
    s.udp(&client, &server, b"");
    let (src, dst) = (socket(&client).ip(), socket(&server).ip());
    s.ping(&src.to_string(), &dst.to_string(), 1, b"abcdefgh");
}

/// A datagram that nobody takes, with the error that says so; within a
/// connection, an error of a router about a segment of the server; an error
/// about a datagram that was never seen.
fn icmp_errors(s: &mut Scenario, family: Family) {
    let Ends {
        client: from,
        server: to,
    } = ends(family);
    let (src, dst) = (socket(&from), socket(&to));
    let (unreachable, too_big) = match family {
        Family::V4 => ((3, 3), (3, 4)),
        Family::V6 => ((1, 4), (2, 0)),
    };
    let datagram = wire::udp(src, dst, b"anybody there?");
    s.udp(&from, &to, b"anybody there?");
    let quoted = wire::packet(src.ip(), dst.ip(), 1, wire::UDP, &datagram);
    let (protocol, error) = wire::icmp_error(dst.ip(), src.ip(), unreachable, &quoted);
    s.packet(dst.ip(), src.ip(), protocol, &error);

    let mut c = client(&from, &to);
    c.handshake();
    c.server_says(b"a line that is too long for some link\n");
    s.plays(c);
    let segment = Segment {
        seq: 7_000_001,
        flags: flag::ACK,
        ..Segment::default()
    };
    let mut quoted = wire::packet(
        dst.ip(),
        src.ip(),
        2,
        wire::TCP,
        &wire::tcp(dst, src, &segment),
    );
    // Routers need not quote more than eight bytes of the segment (RFC 792).
    quoted.truncate(quoted.len() - 12);
    let router = router(family);
    let (protocol, error) = wire::icmp_error(router, dst.ip(), too_big, &quoted);
    s.packet(router, dst.ip(), protocol, &error);

    let stray = wire::udp(dst, src, b"never seen");
    let quoted = wire::packet(src.ip(), dst.ip(), 3, wire::UDP, &stray);
    let (protocol, error) = wire::icmp_error(dst.ip(), src.ip(), unreachable, &quoted);
    s.packet(dst.ip(), src.ip(), protocol, &error);
}

fn router(family: Family) -> std::net::IpAddr {
    host(match family {
        Family::V4 => "10.9.0.1",
        Family::V6 => "2001:db8:9::1",
    })
}

/// One right segment, one datagram and one echo request, then each of them
/// with a wrong checksum.
fn checksums_wrong(s: &mut Scenario, family: Family) {
    let Ends { client, server } = ends(family);
    let (src, dst) = (socket(&client), socket(&server));
    let segment = Segment {
        seq: 1,
        flags: flag::SYN,
        window: 1024,
        ..Segment::default()
    };
    let mut tcp = wire::tcp(src, dst, &segment);
    let mut udp = wire::udp(src, dst, b"hello");
    let (echo_protocol, mut echo) = wire::echo(src.ip(), dst.ip(), false, 1, b"hello");
    for broken in [false, true] {
        if broken {
            wire::break_checksum(&mut tcp, 16);
            wire::break_checksum(&mut udp, 6);
            wire::break_checksum(&mut echo, 2);
        }
        s.packet(src.ip(), dst.ip(), wire::TCP, &tcp);
        s.packet(src.ip(), dst.ip(), wire::UDP, &udp);
        s.packet(src.ip(), dst.ip(), echo_protocol, &echo);
    }
}

/// Frames that a decoder must pass on as they came: Ethernet padding, a
/// protocol above IP that nobody knows, ARP, a frame cut short.
fn frames_odd(s: &mut Scenario, family: Family) {
    const EXPERIMENTAL: u8 = 253; // RFC 3692
    let Ends { client, server } = ends(family);
    let (src, dst) = (socket(&client).ip(), socket(&server).ip());
    let datagram = wire::udp(socket(&client), socket(&server), b"hi");
    let mut padded = wire::frame(
        src,
        dst,
        &[],
        &wire::packet(src, dst, 1, wire::UDP, &datagram),
    );
    let mut cut = padded.clone();
    padded.resize(padded.len() + 16, 0);
    cut.truncate(14 + 9);
    s.frame(padded);
    s.packet(src, dst, EXPERIMENTAL, b"anything");
    s.frame(arp_request());
    s.frame(cut);
}

/// The same addresses and ports on two VLANs, one of them within a service
/// VLAN: two connections.
fn connections_on_two_vlans(s: &mut Scenario, family: Family) {
    let Ends {
        client: from,
        server: to,
    } = ends(family);
    let vlans: [&[u16]; 2] = [&[100], &[200, 100]];
    s.plays_together(vlans.map(|tags| {
        let mut c = client(&from, &to).on_vlans(tags);
        c.handshake();
        c.client_says(format!("on {} tag(s)\n", tags.len()).as_bytes());
        c.closes();
        c
    }));
}

/// An ARP request of 10.1.0.7 for 10.2.0.80 (RFC 826).
fn arp_request() -> Vec<u8> {
    let asker = wire::mac(host("10.1.0.7"));
    let mut frame = vec![0xff; 6];
    frame.extend(asker);
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend(asker);
    frame.extend([10, 1, 0, 7]);
    frame.extend([0; 6]);
    frame.extend([10, 2, 0, 80]);
    frame
}

struct Ends {
    client: String,
    server: String,
}

fn ends(family: Family) -> Ends {
    let (client, server) = match family {
        Family::V4 => ("10.1.0.7:40312", "10.2.0.80:7000"),
        Family::V6 => ("[2001:db8:1::7]:40312", "[2001:db8:2::80]:7000"),
    };
    Ends {
        client: client.to_owned(),
        server: server.to_owned(),
    }
}
