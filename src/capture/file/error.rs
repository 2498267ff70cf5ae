//! What can be wrong with a capture file, said so that its owner can act.

use std::io;

use super::sniff::FileKind;
use super::source::Compression;
use crate::packet::link::LinkType;

/// Why a capture could not be opened, read on or written.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("cannot open '{path}': {source}")]
    Open { path: String, source: io::Error },

    #[error("'{path}' is not a capture file: it {}", looks(*.looks_like, *.compression))]
    NotACapture {
        path: String,
        looks_like: FileKind,
        compression: Option<Compression>,
    },

    /// The file is cut or its structure is wrong. `offset` is where the
    /// broken structure starts, in bytes after decompression (where the data
    /// end, if they cannot be decompressed further); `frame` the last packet
    /// that was whole.
    #[error("'{path}' is damaged at byte {offset}{}, {}: {what}", unpacked(*.compression), after(*.frame))]
    Damaged {
        path: String,
        offset: u64,
        frame: u64,
        compression: Option<Compression>,
        what: String,
    },

    /// The system refused to read on, `offset` bytes (decompressed) in.
    #[error("cannot read '{path}' at byte {offset}, {}: {source}", after(*.frame))]
    Read {
        path: String,
        offset: u64,
        frame: u64,
        source: io::Error,
    },

    /// What was to be read is an interface.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Interface(#[from] crate::capture::interface::InterfaceError),

    #[error("cannot create '{path}': {source}")]
    Create { path: String, source: io::Error },

    #[error("cannot write '{path}': {source}")]
    Write { path: String, source: io::Error },

    #[error(
        "'{path}' is a pcap file of link type {}, which cannot hold a packet of link type {}: \
         write to a file ending in .pcapng instead",
        .file.0, .packet.0
    )]
    LinkMismatch {
        path: String,
        file: LinkType,
        packet: LinkType,
    },
}

fn after(frame: u64) -> String {
    match frame {
        0 => "before the first frame".to_owned(),
        frame => format!("after frame {frame}"),
    }
}

fn unpacked(compression: Option<Compression>) -> String {
    compression.map_or_else(String::new, |kind| {
        format!(" of its {kind}-decompressed data")
    })
}

fn looks(kind: FileKind, compression: Option<Compression>) -> String {
    match (kind, compression) {
        (FileKind::Empty, None) => "is empty".to_owned(),
        (FileKind::Empty, Some(packed)) => format!("holds nothing but {packed} framing"),
        (FileKind::Other, None) => "starts like no known capture format".to_owned(),
        (FileKind::Other, Some(packed)) => {
            format!("holds {packed}-compressed data of no known format")
        }
        (kind, None) => format!("looks like {kind}"),
        (kind, Some(packed)) => format!("looks like {packed}-compressed {kind}"),
    }
}

/// A format's complaint about the bytes in the window.
#[derive(Debug)]
pub(super) struct Fault {
    /// Where the broken structure starts.
    pub offset: u64,
    /// The bytes ended inside the structure.
    pub cut: bool,
    pub what: String,
}

impl Fault {
    pub fn bad(offset: u64, what: String) -> Fault {
        Fault {
            offset,
            cut: false,
            what,
        }
    }

    /// `what` of `whole` bytes ended after `present` of them.
    pub fn cut(offset: u64, what: &str, present: usize, whole: usize) -> Fault {
        let what = format!("{what} of {whole} bytes is cut after {present}");
        Fault {
            offset,
            cut: true,
            what,
        }
    }
}
