//! Tells what a file is by its first bytes.
//!
//! Serves two ends: choosing the reader, and telling a user who swapped the
//! rule file and the capture, or passed something else, what was passed.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::SNIFF_LENGTH;

/// What a file starts like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Pcap,
    Pcapng,
    Gzip,
    Zstd,
    LuaSource,
    Text,
    Empty,
    /// Another well-known format, named with its article.
    Foreign(&'static str),
    Other,
}

/// Looks at the start of the file at `path`. Standard input (`-`) cannot be
/// looked at without eating it: pass paths only.
pub fn sniff(path: &Path) -> io::Result<FileKind> {
    let mut start = Vec::with_capacity(SNIFF_LENGTH);
    File::open(path)?
        .take(SNIFF_LENGTH as u64)
        .read_to_end(&mut start)?;
    Ok(FileKind::of(&start))
}

impl FileKind {
    /// Judges the first bytes of a file (4 KiB are plenty). Compressed data
    /// are named as such, whatever is inside.
    pub fn of(start: &[u8]) -> FileKind {
        let known = MAGIC.iter().find(|(magic, _)| start.starts_with(magic));
        match known {
            Some(&(_, kind)) => kind,
            None if start.is_empty() => FileKind::Empty,
            None if !is_text(start) => FileKind::Other,
            None if is_lua(start) => FileKind::LuaSource,
            None => FileKind::Text,
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileKind::Pcap => "a pcap capture",
            FileKind::Pcapng => "a pcapng capture",
            FileKind::Gzip => "gzip data",
            FileKind::Zstd => "zstd data",
            FileKind::LuaSource => "Lua source text",
            FileKind::Text => "plain text",
            FileKind::Empty => "an empty file",
            FileKind::Foreign(name) => name,
            FileKind::Other => "an unknown format",
        })
    }
}

const MAGIC: &[(&[u8], FileKind)] = &[
    (&[0xd4, 0xc3, 0xb2, 0xa1], FileKind::Pcap),
    (&[0xa1, 0xb2, 0xc3, 0xd4], FileKind::Pcap),
    (&[0x4d, 0x3c, 0xb2, 0xa1], FileKind::Pcap),
    (&[0xa1, 0xb2, 0x3c, 0x4d], FileKind::Pcap),
    (&[0x34, 0xcd, 0xb2, 0xa1], FileKind::Pcap),
    (&[0xa1, 0xb2, 0xcd, 0x34], FileKind::Pcap),
    (&[0x0a, 0x0d, 0x0d, 0x0a], FileKind::Pcapng),
    (&[0x1f, 0x8b], FileKind::Gzip),
    (&[0x28, 0xb5, 0x2f, 0xfd], FileKind::Zstd),
    (b"\x1bLua", FileKind::Foreign("compiled Lua")),
    (b"\x1bLJ", FileKind::Foreign("compiled Lua")),
    (b"\x7fELF", FileKind::Foreign("an ELF executable")),
    (b"\xfd7zXZ\0", FileKind::Foreign("an xz archive")),
    (b"BZh", FileKind::Foreign("a bzip2 archive")),
    (b"PK\x03\x04", FileKind::Foreign("a zip archive")),
    (&[0x04, 0x22, 0x4d, 0x18], FileKind::Foreign("lz4 data")),
    (
        b"snoop\0\0\0",
        FileKind::Foreign("a snoop capture, which is not supported"),
    ),
    (
        b"GMBU",
        FileKind::Foreign("a Network Monitor capture, which is not supported"),
    ),
    (
        b"RTSS",
        FileKind::Foreign("a Network Monitor capture, which is not supported"),
    ),
];

/// No control characters but the usual ones, and mostly ASCII: comments may
/// be in any encoding.
fn is_text(start: &[u8]) -> bool {
    let printable = |&byte: &u8| byte >= 0x20 && byte != 0x7f || b"\t\n\r\x0c\x1b".contains(&byte);
    let ascii = start.iter().filter(|byte| byte.is_ascii()).count();
    start.iter().all(printable) && ascii * 2 >= start.len()
}

/// Whether some line can only be a statement or a comment of Lua.
fn is_lua(start: &[u8]) -> bool {
    const OPENINGS: &[&[u8]] = &[
        b"--",
        b"local ",
        b"function ",
        b"haka.",
        b"require ",
        b"require(",
        b"require'",
        b"require\"",
    ];
    start.split(|&byte| byte == b'\n').any(|line| {
        let line = line.trim_ascii_start();
        let shebang = line.starts_with(b"#!") && memchr::memmem::find(line, b"lua").is_some();
        shebang || OPENINGS.iter().any(|opening| line.starts_with(opening))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_files_are_recognised() {
        for source in [
            "-- Drops everything\n",
            "\n\n  local ipv4 = require('protocol/ipv4')\n",
            "require 'protocol/tcp'\n",
            "#!/usr/bin/env luajit\nprint(1)\n",
            "haka.rule { on = haka.dissectors.ipv4.events.receive_packet }",
            "x = 1\n-- caf\u{e9}",
        ] {
            assert_eq!(
                FileKind::of(source.as_bytes()),
                FileKind::LuaSource,
                "{source}"
            );
        }
    }

    #[test]
    fn other_files_are_named() {
        assert_eq!(FileKind::of(b""), FileKind::Empty);
        assert_eq!(
            FileKind::of(b"Dear all,\nplease find attached\n"),
            FileKind::Text
        );
        assert_eq!(FileKind::of(b"\x00\x01\x02"), FileKind::Other);
        assert_eq!(FileKind::of(b"\x1f\x8b\x08\x00"), FileKind::Gzip);
        assert_eq!(FileKind::of(b"BZh91AY").to_string(), "a bzip2 archive");
        // Two bytes of a magic number are not enough to call it a capture.
        assert_eq!(FileKind::of(b"\xd4\xc3"), FileKind::Other);
    }

    #[test]
    fn a_file_is_judged_by_its_start() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("swapped");
        std::fs::write(&path, "local a = 1\n").expect("written");
        assert_eq!(sniff(&path).expect("readable"), FileKind::LuaSource);
        assert!(sniff(&folder.path().join("missing")).is_err());
    }
}
