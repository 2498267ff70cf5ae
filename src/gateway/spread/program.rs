//! The hash of `spread` as classic BPF, for the match `bpf` of iptables.
//!
//! One program for each queue: it matches the packets that belong there.
//! Offsets count from the network header. A load behind the end of a packet
//! ends a program without a match (in the kernel too), which is why the rule
//! of the last queue needs none. At most 64 instructions, the match's limit.

use super::{
    EXTENSIONS, GOLDEN, ICMP, ICMP_ERRORS, ICMPV6, ICMPV6_FIRST_QUERY, MIX_END, MIX_WORDS,
    QUOTE_V4, QUOTE_V6, WITH_PORTS,
};
use crate::gateway::plan::Family;

/// What the kernel takes (`XT_BPF_MAX_NUM_INSTR`).
#[cfg(test)]
pub const MAX_INSTRUCTIONS: usize = 64;

/// One instruction, as `struct sock_filter` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub when_true: u8,
    pub when_false: u8,
    pub value: u32,
}

/// Matches packets of the queue at `place`, from 0, among `queues`.
pub fn flows(family: Family, place: u16, queues: u16) -> Vec<Instruction> {
    let mut program = Assembler::default();
    program.hash_of(family, 0, Extensions::One);
    program.end(place, queues)
}

/// The same for ICMP errors, by the packet that they quote. Other packets do
/// not match.
pub fn errors(family: Family, place: u16, queues: u16) -> Vec<Instruction> {
    let mut program = Assembler::default();
    let quoted = match family {
        Family::V4 => {
            program.load(BYTE, 0);
            program.require(EQUAL, 0x45);
            program.load(HALF, 6);
            program.refuse(ANY_BIT, 0x3fff);
            program.load(BYTE, 9);
            program.require(EQUAL, ICMP.into());
            program.load(BYTE, 20);
            program.jump_by_value(&ICMP_ERRORS, Label::Begin, Label::No);
            program.place(Label::Begin);
            QUOTE_V4
        }
        Family::V6 => {
            program.load(BYTE, 6);
            program.require(EQUAL, ICMPV6.into());
            program.load(BYTE, 40);
            program.refuse(AT_LEAST, ICMPV6_FIRST_QUERY.into());
            QUOTE_V6
        }
    };
    program.load(BYTE, quoted);
    program.put(AND, 0xf0);
    let version = match family {
        Family::V4 => 0x40,
        Family::V6 => 0x60,
    };
    program.require(EQUAL, version);
    program.hash_of(family, quoted, Extensions::None);
    program.end(place, queues)
}

/// A program in the form that `--bytecode` takes.
pub fn bytecode(program: &[Instruction]) -> String {
    let mut text = program.len().to_string();
    for one in program {
        text.push_str(&format!(
            ",{} {} {} {}",
            one.code, one.when_true, one.when_false, one.value
        ));
    }
    text
}

// Codes of `linux/bpf_common.h`, put together.
const BYTE: u16 = 0x10;
const HALF: u16 = 0x08;
const WORD: u16 = 0x00;
const LOAD_AT: u16 = 0x20;
const LOAD_FROM_X: u16 = 0x40;
const LOAD_STORED: u16 = 0x60;
const X_IMMEDIATE: u16 = 0x01;
const X_STORED: u16 = 0x61;
/// X becomes four times the low half of a byte: the length of an IPv4 header.
const X_HEADER_LENGTH: u16 = 0xb1;
const STORE: u16 = 0x02;
const ADD: u16 = 0x04;
const ADD_X: u16 = 0x0c;
const MULTIPLY: u16 = 0x24;
const AND: u16 = 0x54;
const SHIFT_LEFT: u16 = 0x64;
const SHIFT_RIGHT: u16 = 0x74;
const XOR_X: u16 = 0xac;
const JUMP: u16 = 0x05;
const EQUAL: u16 = 0x15;
const AT_LEAST: u16 = 0x35;
const ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;
const TO_X: u16 = 0x07;

/// Places that jumps lead to; all of them lie ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    Begin,
    Extension,
    Transport,
    Ports,
    AddressesOnly,
    Share,
    No,
}

/// How many IPv6 extension headers are looked behind: quoted packets leave no
/// room for any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extensions {
    None,
    One,
}

/// Cells of the program's memory.
const ADDRESSES: u32 = 0;
const SCRATCH: u32 = 1;

#[derive(Default)]
struct Assembler {
    code: Vec<Instruction>,
    /// Jumps that wait for their label: instruction, whether its jump when
    /// false is meant, label.
    open: Vec<(usize, Branch, Label)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Branch {
    Always,
    WhenTrue,
    WhenFalse,
}

impl Assembler {
    fn put(&mut self, code: u16, value: u32) {
        self.code.push(Instruction {
            code,
            when_true: 0,
            when_false: 0,
            value,
        });
    }

    /// Loads from the packet; offsets are small.
    fn load(&mut self, size: u16, at: usize) {
        self.put(LOAD_AT | size, at as u32);
    }

    fn load_from_x(&mut self, size: u16, at: usize) {
        self.put(LOAD_FROM_X | size, at as u32);
    }

    fn branch(&mut self, code: u16, value: u32, branch: Branch, label: Label) {
        self.open.push((self.code.len(), branch, label));
        self.put(code, value);
    }

    fn jump(&mut self, label: Label) {
        self.branch(JUMP, 0, Branch::Always, label);
    }

    /// Goes one way when A is one of the values, and the other when not.
    fn jump_by_value(&mut self, values: &[u8], one_of: Label, none: Label) {
        for value in values {
            self.branch(EQUAL, (*value).into(), Branch::WhenTrue, one_of);
        }
        // The last test decides.
        let last = self.code.len().saturating_sub(1);
        self.open.push((last, Branch::WhenFalse, none));
    }

    /// Goes on only when the test holds.
    fn require(&mut self, test: u16, value: u32) {
        self.branch(test, value, Branch::WhenFalse, Label::No);
    }

    /// Goes on only when the test fails.
    fn refuse(&mut self, test: u16, value: u32) {
        self.branch(test, value, Branch::WhenTrue, Label::No);
    }

    /// Lets the jumps to a label lead to what comes next.
    fn place(&mut self, label: Label) {
        let here = self.code.len();
        let code = &mut self.code;
        self.open.retain(|&(from, branch, to)| {
            if to != label {
                return true;
            }
            let distance = here - from - 1;
            if let Some(jump) = code.get_mut(from) {
                // Programs are far shorter than a jump can be.
                match branch {
                    Branch::Always => jump.value = distance as u32,
                    Branch::WhenTrue => jump.when_true = distance as u8,
                    Branch::WhenFalse => jump.when_false = distance as u8,
                }
            }
            false
        });
    }

    /// Leaves in A the hash of the packet whose IP header is at `base`.
    fn hash_of(&mut self, family: Family, base: usize, extensions: Extensions) {
        match family {
            Family::V4 => self.addresses_v4(base),
            Family::V6 => self.addresses_v6(base),
        }
        self.finish_addresses();
        match family {
            Family::V4 => self.transport_v4(base),
            Family::V6 => self.transport_v6(base, extensions),
        }
        self.ports(base);
    }

    fn addresses_v4(&mut self, base: usize) {
        self.load(WORD, base + 12);
        self.put(TO_X, 0);
        self.load(WORD, base + 16);
        self.put(ADD_X, 0);
        self.put(STORE, SCRATCH);
        self.load(WORD, base + 16);
        self.put(XOR_X, 0);
        self.put(MULTIPLY, MIX_WORDS);
        self.put(X_STORED, SCRATCH);
        self.put(ADD_X, 0);
    }

    /// Every word of both addresses meets what X has gathered so far.
    fn addresses_v6(&mut self, base: usize) {
        let (first, last) = (base + 8, base + 20);
        for at in (first..=last).step_by(4) {
            self.load(WORD, at);
            if at != first {
                self.put(XOR_X, 0);
            }
            self.put(TO_X, 0);
            self.load(WORD, at + 16);
            self.put(XOR_X, 0);
            if at != first {
                self.put(MULTIPLY, MIX_WORDS);
            }
            if at != last {
                self.put(TO_X, 0);
            }
        }
    }

    fn finish_addresses(&mut self) {
        self.put(TO_X, 0);
        self.put(SHIFT_RIGHT, 15);
        self.put(XOR_X, 0);
        self.put(MULTIPLY, MIX_END);
        self.put(STORE, ADDRESSES);
    }

    /// Goes to the ports, with the header's length in X, or past them.
    fn transport_v4(&mut self, base: usize) {
        self.load(HALF, base + 6);
        self.branch(ANY_BIT, 0x3fff, Branch::WhenTrue, Label::AddressesOnly);
        self.put(X_HEADER_LENGTH, base as u32);
        self.load(BYTE, base + 9);
        self.jump_by_value(&WITH_PORTS, Label::Ports, Label::AddressesOnly);
    }

    fn transport_v6(&mut self, base: usize, extensions: Extensions) {
        self.put(X_IMMEDIATE, 40);
        self.load(BYTE, base + 6);
        if extensions == Extensions::One {
            self.skip_extension(base);
        }
        self.jump_by_value(&WITH_PORTS, Label::Ports, Label::AddressesOnly);
    }

    /// From the first extension header, if there is one, to what follows it.
    fn skip_extension(&mut self, base: usize) {
        self.jump_by_value(&EXTENSIONS, Label::Extension, Label::Transport);
        self.place(Label::Extension);
        self.load_from_x(BYTE, base);
        self.put(STORE, SCRATCH);
        self.load_from_x(BYTE, base + 1);
        self.put(ADD, 1);
        self.put(SHIFT_LEFT, 3);
        self.put(ADD_X, 0);
        self.put(TO_X, 0);
        self.put(LOAD_STORED, SCRATCH);
        self.place(Label::Transport);
    }

    fn ports(&mut self, base: usize) {
        self.place(Label::Ports);
        self.load_from_x(HALF, base);
        self.put(STORE, SCRATCH);
        self.load_from_x(HALF, base + 2);
        self.put(X_STORED, SCRATCH);
        self.put(ADD_X, 0);
        self.put(MULTIPLY, GOLDEN);
        self.put(X_STORED, ADDRESSES);
        self.put(ADD_X, 0);
        self.jump(Label::Share);
        self.place(Label::AddressesOnly);
        self.put(LOAD_STORED, ADDRESSES);
        self.place(Label::Share);
    }

    fn end(mut self, place: u16, queues: u16) -> Vec<Instruction> {
        self.put(SHIFT_RIGHT, 16);
        self.put(MULTIPLY, queues.into());
        self.put(SHIFT_RIGHT, 16);
        self.require(EQUAL, place.into());
        self.put(RETURN, 1);
        self.place(Label::No);
        self.put(RETURN, 0);
        debug_assert!(self.open.is_empty(), "every label has its place");
        self.code
    }
}
