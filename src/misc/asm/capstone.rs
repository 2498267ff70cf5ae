//! The decoders, and what rules call them by.

use std::cell::RefCell;
use std::rc::Rc;

use capstone::{Arch, Capstone, Endian, ExtraMode, Mode, Syntax};
use mlua::{Lua, LuaString, Table};

/// The longest instruction of any architecture here takes 15 bytes.
const LONGEST: usize = 16;

const ARCHITECTURES: &[(&str, Arch)] = &[
    ("arm", Arch::ARM),
    ("arm64", Arch::ARM64),
    ("mips", Arch::MIPS),
    ("x86", Arch::X86),
    ("ppc", Arch::PPC),
    ("sparc", Arch::SPARC),
    ("sysz", Arch::SYSZ),
    ("xcore", Arch::XCORE),
];

const MODES: &[&str] = &["arm", "16", "32", "64", "thumb"];

/// What Capstone calls a mode of an architecture, or `None` where there is
/// no such thing. "arm" was Haka's plain mode, which every architecture with
/// just one takes as well.
fn mode(arch: Arch, name: &str) -> Option<(Mode, Option<Endian>)> {
    let mode = match (arch, name) {
        (Arch::ARM, "arm") => Mode::Arm,
        (Arch::ARM, "thumb") => Mode::Thumb,
        (Arch::ARM64, "arm" | "64") => Mode::Arm,
        (Arch::X86, "16") => Mode::Mode16,
        (Arch::X86 | Arch::MIPS | Arch::PPC, "32") => Mode::Mode32,
        (Arch::X86 | Arch::MIPS | Arch::PPC, "64") => Mode::Mode64,
        (Arch::SPARC, "64") => Mode::V9,
        (Arch::SPARC | Arch::XCORE, "arm" | "32") => Mode::Default,
        (Arch::SYSZ, "arm" | "64") => Mode::Default,
        _ => return None,
    };
    // These two have no other order.
    let endian = matches!(arch, Arch::SPARC | Arch::SYSZ).then_some(Endian::Big);
    Some((mode, endian))
}

/// What is wrong with an architecture and a mode, if anything.
fn check(arch: &str, mode_name: &str) -> Option<&'static str> {
    let Some((_, arch)) = ARCHITECTURES.iter().find(|(name, _)| *name == arch) else {
        return Some("unsupported hardware architecture");
    };
    let known = MODES.contains(&mode_name) && mode(*arch, mode_name).is_some();
    (!known).then_some("unsupported hardware mode")
}

struct Decoder {
    arch: String,
    mode: String,
    att: bool,
    capstone: Capstone,
}

#[derive(Default)]
struct Decoders(Vec<Decoder>);

struct Decoded {
    id: u32,
    length: usize,
    mnemonic: String,
    operands: String,
}

impl Decoders {
    fn get(&mut self, arch: &str, mode: &str, att: bool) -> Option<&Capstone> {
        let same = |known: &Decoder| known.arch == arch && known.mode == mode && known.att == att;
        let at = match self.0.iter().position(same) {
            Some(at) => at,
            None => {
                self.0.push(Decoder {
                    arch: arch.to_owned(),
                    mode: mode.to_owned(),
                    att,
                    capstone: open(arch, mode, att)?,
                });
                self.0.len() - 1
            }
        };
        self.0.get(at).map(|decoder| &decoder.capstone)
    }

    fn decode(
        &mut self,
        (arch, mode, att): (&str, &str, bool),
        bytes: &[u8],
        address: u64,
    ) -> Option<Decoded> {
        let bytes = bytes.get(..LONGEST).unwrap_or(bytes);
        let found = self
            .get(arch, mode, att)?
            .disasm_count(bytes, address, 1)
            .ok()?;
        let instruction = found.first()?;
        Some(Decoded {
            id: instruction.id().0,
            length: instruction.len(),
            mnemonic: instruction.mnemonic().unwrap_or_default().to_owned(),
            operands: instruction.op_str().unwrap_or_default().to_owned(),
        })
    }
}

fn open(arch: &str, mode_name: &str, att: bool) -> Option<Capstone> {
    let (_, arch) = ARCHITECTURES.iter().find(|(name, _)| *name == arch)?;
    let (mode, endian) = mode(*arch, mode_name)?;
    let none = std::iter::empty::<ExtraMode>();
    let mut capstone = Capstone::new_raw(*arch, mode, none, endian).ok()?;
    if att {
        // Only x86 has that syntax; others stay as they are.
        let _ = capstone.set_syntax(Syntax::Att);
    }
    Some(capstone)
}

pub(super) fn native(lua: &Lua) -> mlua::Result<Table> {
    let functions = lua.create_table()?;
    functions.set(
        "check",
        lua.create_function(|_, (arch, mode): (String, String)| Ok(check(&arch, &mode)))?,
    )?;
    let decoders = Rc::new(RefCell::new(Decoders::default()));
    type Arguments = (String, String, bool, LuaString, f64);
    functions.set(
        "decode",
        lua.create_function(move |_, (arch, mode, att, bytes, address): Arguments| {
            let decoder = (arch.as_str(), mode.as_str(), att);
            let mut decoders = decoders.borrow_mut();
            Ok(decoders
                .decode(decoder, &bytes.as_bytes(), address as u64)
                .map_or((None, 0, None, None), |found| {
                    let texts = (Some(found.mnemonic), Some(found.operands));
                    (Some(found.id), found.length, texts.0, texts.1)
                }))
        })?,
    )?;
    functions.set("constants", constants(lua)?)?;
    Ok(functions)
}

/// Capstone's numbers by their C names.
fn constants(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let architectures = [
        "ARM", "ARM64", "MIPS", "X86", "PPC", "SPARC", "SYSZ", "XCORE",
    ];
    for (number, name) in architectures.into_iter().enumerate() {
        table.set(format!("CS_ARCH_{name}"), number)?;
    }
    let modes = [("ARM", 0), ("16", 2), ("32", 4), ("64", 8), ("THUMB", 16)];
    for (name, bits) in modes {
        table.set(format!("CS_MODE_{name}"), bits)?;
    }
    table.set("CS_OPT_SYNTAX_INTEL", 1)?;
    table.set("CS_OPT_SYNTAX_ATT", 2)?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Kind<'a> = (&'a str, &'a str, bool);

    fn text(decoder: Kind<'_>, bytes: &[u8]) -> Option<(String, usize)> {
        let found = Decoders::default().decode(decoder, bytes, 0)?;
        Some((
            format!("{} {}", found.mnemonic, found.operands),
            found.length,
        ))
    }

    #[test]
    fn every_offered_mode_of_every_architecture_opens() {
        let mut offered = 0;
        for (arch, _) in ARCHITECTURES {
            let before = offered;
            for mode in MODES {
                if check(arch, mode).is_none() {
                    assert!(open(arch, mode, false).is_some(), "{arch} {mode}");
                    assert!(open(arch, mode, true).is_some(), "{arch} {mode} att");
                    offered += 1;
                }
            }
            assert!(offered > before, "{arch} has a mode");
        }
        assert_eq!(
            check("vax", "32"),
            Some("unsupported hardware architecture")
        );
        assert_eq!(check("x86", "thumb"), Some("unsupported hardware mode"));
        assert_eq!(check("arm", "48"), Some("unsupported hardware mode"));
    }

    #[test]
    fn each_architecture_decodes() {
        let cases: [(Kind<'_>, &[u8], &str); 10] = [
            (("x86", "16", false), b"\xb8\x34\x12", "mov ax, 0x1234"),
            (("x86", "64", false), b"\x48\x31\xc0", "xor rax, rax"),
            (("x86", "32", true), b"\x89\xd8", "movl %ebx, %eax"),
            (("arm", "arm", false), b"\x03\x00\xa0\xe1", "mov r0, r3"),
            (("arm", "thumb", false), b"\x70\x47", "bx lr"),
            (("arm64", "64", false), b"\xc0\x03\x5f\xd6", "ret "),
            (("mips", "32", false), b"\x08\x00\xe0\x03", "jr $ra"),
            (("ppc", "32", false), b"\x20\x00\x80\x4e", "blr "),
            (("sparc", "32", false), b"\x01\x00\x00\x00", "nop "),
            (("sysz", "64", false), b"\x07\xfe", "br %r14"),
        ];
        for (decoder, bytes, expected) in cases {
            let found = text(decoder, bytes);
            assert_eq!(
                found,
                Some((expected.to_owned(), bytes.len())),
                "{decoder:?}"
            );
        }
        assert!(text(("xcore", "32", false), b"\xfe\x0f").is_some());
    }

    /// Whether bytes are enough is found out by trying: what decodes must not
    /// turn into something else when more bytes come.
    #[test]
    fn a_decoded_beginning_stays_when_more_comes() {
        let mut decoders = Decoders::default();
        let mut seed = 1u64;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..LONGEST)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (seed >> 56) as u8
                })
                .collect();
            for mode in ["16", "32", "64"] {
                let decoder = ("x86", mode, false);
                let whole = decoders
                    .decode(decoder, &bytes, 0)
                    .map(|found| found.length);
                for end in 1..LONGEST {
                    let part = decoders.decode(decoder, &bytes[..end], 0);
                    let expected = whole.filter(|length| *length <= end);
                    assert_eq!(part.map(|found| found.length), expected, "{bytes:x?} {end}");
                }
            }
        }
    }
}
