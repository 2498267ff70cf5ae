//! The program of the firewall and the function say the same.

use proptest::prelude::*;

use super::program::{Instruction, MAX_INSTRUCTIONS, bytecode, errors, flows};
use super::queue_of;
use crate::gateway::plan::Family;

/// Runs classic BPF as the kernel does: loads behind the end return 0.
fn run(program: &[Instruction], packet: &[u8]) -> u32 {
    interpret(program, packet).unwrap_or(0)
}

fn interpret(program: &[Instruction], packet: &[u8]) -> Option<u32> {
    let (mut a, mut x, mut memory) = (0u32, 0u32, [0u32; 16]);
    let load = |size: u16, at: u32| -> Option<u32> {
        let rest = packet.get(at as usize..)?;
        Some(match size {
            0x00 => u32::from_be_bytes(*rest.first_chunk::<4>()?),
            0x08 => u16::from_be_bytes(*rest.first_chunk::<2>()?).into(),
            0x10 => (*rest.first()?).into(),
            other => panic!("size {other:#x}"),
        })
    };
    let mut at = 0;
    loop {
        let Instruction {
            code,
            when_true,
            when_false,
            value,
        } = program[at];
        at += 1;
        let mut test = |holds: bool| at += usize::from(if holds { when_true } else { when_false });
        match code {
            0x20 | 0x28 | 0x30 => a = load(code & 0x18, value)?,
            0x40 | 0x48 | 0x50 => a = load(code & 0x18, x.wrapping_add(value))?,
            0x60 => a = memory[value as usize],
            0x01 => x = value,
            0x61 => x = memory[value as usize],
            0xb1 => x = (load(0x10, value)? & 0xf) * 4,
            0x02 => memory[value as usize] = a,
            0x04 => a = a.wrapping_add(value),
            0x0c => a = a.wrapping_add(x),
            0x24 => a = a.wrapping_mul(value),
            0x54 => a &= value,
            0x64 => a <<= value,
            0x74 => a >>= value,
            0xac => a ^= x,
            0x05 => at += value as usize,
            0x15 => test(a == value),
            0x35 => test(a >= value),
            0x45 => test(a & value != 0),
            0x06 => return Some(value),
            0x07 => x = a,
            other => panic!("code {other:#x}"),
        }
    }
}

/// What the rules do: errors first, then flows, then the last queue.
fn by_rules(packet: &[u8], queues: u16) -> u16 {
    let family = match packet[0] >> 4 {
        4 => Family::V4,
        _ => Family::V6,
    };
    let matched = |make: fn(Family, u16, u16) -> Vec<Instruction>| {
        (0..queues).find(|place| run(&make(family, *place, queues), packet) == 1)
    };
    matched(errors)
        .or_else(|| matched(flows))
        .unwrap_or(queues - 1)
}

fn v4(source: u32, target: u32, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
    packet.extend(source.to_be_bytes());
    packet.extend(target.to_be_bytes());
    packet.extend(payload);
    packet
}

fn v6(source: u128, target: u128, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, 64];
    packet.extend(source.to_be_bytes());
    packet.extend(target.to_be_bytes());
    packet.extend(payload);
    packet
}

fn ports(source: u16, target: u16) -> Vec<u8> {
    let mut bytes = source.to_be_bytes().to_vec();
    bytes.extend(target.to_be_bytes());
    bytes.extend([0; 16]);
    bytes
}

#[test]
fn programs_fit_into_the_match() {
    for family in [Family::V4, Family::V6] {
        for make in [flows, errors] {
            let program = make(family, 63, 64);
            assert!(
                program.len() <= MAX_INSTRUCTIONS,
                "{family:?}: {}",
                program.len()
            );
        }
    }
    let two = [
        Instruction {
            code: 0x20,
            when_true: 0,
            when_false: 0,
            value: 12,
        },
        Instruction {
            code: 6,
            when_true: 1,
            when_false: 2,
            value: 1,
        },
    ];
    assert_eq!(bytecode(&two), "2,32 0 0 12,6 1 2 1");
}

/// 64 flows of one pair, as `flow` makes them: no queue has more or less than
/// a quarter beside its share.
fn assert_even(queues: u16, what: &str, flow: impl Fn(u16) -> Vec<u8>) {
    let mut found = vec![0u16; queues.into()];
    for number in 0..64 {
        let queue = queue_of(&flow(number), queues).expect("it is a packet");
        found[usize::from(queue)] += 1;
    }
    let share = 64.0 / f64::from(queues);
    let even = found
        .iter()
        .all(|count| (f64::from(*count) - share).abs() <= share / 4.0);
    assert!(even, "{what}: {found:?}");
}

#[test]
fn flows_of_one_pair_spread_evenly() {
    for queues in [2, 3, 4] {
        for first in (1024..60000).step_by(977) {
            for step in [1, 2, 4] {
                let what = format!("{queues} queues, ports from {first} by {step}");
                assert_even(queues, &what, |number| {
                    let transport = ports(first + number * step, 80);
                    v4(0x0a00_0001 + u32::from(first), 0x0a00_0202, 6, &transport)
                });
                assert_even(queues, &what, |number| {
                    let transport = ports(first + number * step, 443);
                    let source = 0x2001_0db8_u128 << 96 | u128::from(first);
                    v6(source, 0x2001_0db8_0001_u128 << 80 | 2, 17, &transport)
                });
            }
        }
    }
}

#[test]
fn pairs_of_hosts_spread_too() {
    let mut found = [0u32; 4];
    for client in 0..4096u32 {
        let packet = v4(0x0a00_0000 + client, 0x0a01_0001, 50, &[]);
        found[usize::from(queue_of(&packet, 4).expect("a packet"))] += 1;
        let source = 0x2001_0db8_u128 << 96 | u128::from(client) << 64 | 1;
        let packet = v6(source, 0xfd00_u128 << 112 | 1, 50, &[]);
        found[usize::from(queue_of(&packet, 4).expect("a packet"))] += 1;
    }
    assert!(
        found.iter().all(|count| count.abs_diff(2048) < 512),
        "{found:?}"
    );
}

#[test]
fn errors_follow_the_flow_that_they_quote() {
    let mut moved = 0;
    for client in 1024..1324 {
        let flow = v4(0x0a00_0001, 0x0a00_0202, 17, &ports(client, 53));
        let quote = v4(0x0a00_0202, 0x0a00_0001, 17, &ports(53, client)[..8]);
        for kind in super::ICMP_ERRORS {
            let mut message = vec![kind, 1, 0, 0, 0, 0, 0, 0];
            message.extend(&quote);
            let error = v4(0xc0a8_0001, 0x0a00_0202, super::ICMP, &message);
            assert_eq!(queue_of(&error, 8), queue_of(&flow, 8));
            assert_eq!(by_rules(&error, 8), by_rules(&flow, 8));
        }
        let echo = v4(0xc0a8_0001, 0x0a00_0202, super::ICMP, &[8; 64]);
        moved += u32::from(queue_of(&echo, 8) != queue_of(&flow, 8));

        let flow = v6(1 << 64, 2 << 64, 6, &ports(client, 443));
        let mut message = vec![2, 0, 0, 0, 0, 0, 5, 0];
        message.extend(v6(2 << 64, 1 << 64, 6, &ports(443, client)[..8]));
        let error = v6(77 << 64, 2 << 64, super::ICMPV6, &message);
        assert_eq!(queue_of(&error, 8), queue_of(&flow, 8));
        assert_eq!(by_rules(&error, 8), by_rules(&flow, 8));
    }
    assert!(moved > 200, "echo requests go by addresses: {moved}");
}

#[test]
fn an_extension_header_hides_no_ports_and_fragments_have_none() {
    let plain = v6(1, 2, 6, &ports(1000, 80));
    let mut options = vec![6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    options.extend(ports(1000, 80));
    for kind in super::EXTENSIONS {
        assert_eq!(
            queue_of(&v6(1, 2, kind, &options), 64),
            queue_of(&plain, 64)
        );
    }
    let by_addresses = queue_of(&v4(5, 6, 50, &[]), 64);
    for flags in [[0x20, 0], [0, 3], [0x3f, 0xff]] {
        let mut fragment = v4(5, 6, 6, &ports(1000, 80));
        fragment[6..8].copy_from_slice(&flags);
        assert_eq!(queue_of(&fragment, 64), by_addresses);
    }
    assert_ne!(queue_of(&v4(5, 6, 6, &ports(1000, 80)), 64), by_addresses);
}

#[test]
fn what_is_no_packet_has_no_queue() {
    assert_eq!(queue_of(&[], 4), None);
    assert_eq!(queue_of(&[0x55; 40], 4), None);
    assert_eq!(queue_of(&v4(1, 2, 6, &ports(1, 2)), 0), None);
    assert_eq!(queue_of(&[0x45; 3], 4), Some(3), "the last takes it");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn program_and_function_agree_on_any_bytes(
        mut bytes in proptest::collection::vec(any::<u8>(), 1..120),
        version in prop_oneof![Just(0x40u8), Just(0x60u8)],
        options in prop_oneof![3 => Just(5u8), 1 => 0u8..16],
        protocol in prop_oneof![Just(6u8), Just(17), Just(132), Just(1), Just(58), Just(0), Just(43), Just(60), any::<u8>()],
        fragment in any::<bool>(),
        kind in 0u8..14,
        queues in 1u16..65,
    ) {
        bytes[0] = version | options;
        for (at, value) in [(9, protocol), (6, protocol), (20, kind), (40, kind), (28, 0x45), (48, 0x60)] {
            let own = (at == 9 || at == 20 || at == 28) == (version == 0x40);
            if let (true, Some(byte)) = (own, bytes.get_mut(at)) { *byte = value; }
        }
        if version == 0x40 && !fragment && bytes.len() > 7 {
            bytes[6..8].fill(0);
        }
        prop_assert_eq!(queue_of(&bytes, queues), Some(by_rules(&bytes, queues)));
    }

    #[test]
    fn both_directions_share_a_queue(
        a in any::<u128>(), b in any::<u128>(), here: u16, there: u16, queues in 1u16..65,
        protocol in prop_oneof![Just(6u8), Just(17), Just(132), any::<u8>()],
    ) {
        let there_and_back = [
            (v6(a, b, protocol, &ports(here, there)), v6(b, a, protocol, &ports(there, here))),
            (v4(a as u32, b as u32, protocol, &ports(here, there)), v4(b as u32, a as u32, protocol, &ports(there, here))),
        ];
        for (there, back) in there_and_back {
            if !super::EXTENSIONS.contains(&protocol) && protocol != 1 && protocol != 58 {
                prop_assert_eq!(queue_of(&there, queues), queue_of(&back, queues));
            }
        }
    }
}
