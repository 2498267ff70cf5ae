//! Capture files: reads pcap and pcapng, writes either.
//!
//! [`CaptureReader`] slides one buffer over a file, a pipe or standard
//! input and lends each packet out of it: nothing is copied or allocated
//! per packet, nothing is mapped, and a pipe is served as its bytes come.
//! Gzip and zstd are recognised by their first bytes. A cut or damaged file
//! gives every packet before the damage, then one error that says where.
//!
//! Understood: pcap in both byte orders, with microseconds, nanoseconds and
//! the longer record headers of patched Linux kernels; pcapng with several
//! sections and interfaces. Left out on purpose: name resolution,
//! statistics, decryption secrets and comments (their blocks are skipped).

mod error;
mod pcap;
mod pcapng;
mod sniff;
mod source;
#[cfg(test)]
mod tests;
mod window;
mod write;

use std::io::Read;
use std::path::Path;

use crate::packet::link::LinkType;
use crate::time::Timestamp;

pub use error::CaptureError;
pub use sniff::{FileKind, sniff};
pub use source::Compression;
pub use write::CaptureWriter;

use error::Fault;
use pcap::Pcap;
use pcapng::Pcapng;
use source::Source;
use window::Window;

/// The longest record that is believed, in bytes. Loopback and super-segments
/// stay below 256 KiB; what claims more than 16 MiB is damage, and following
/// it would only swallow the sound records behind it.
const MAX_RECORD: u32 = 16 << 20;

/// Bytes wanted before a file is judged not to be a capture.
const SNIFF_LENGTH: usize = 4096;

/// One captured packet, lent by [`CaptureReader::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Number of the packet in the file, from 1, counted as tshark counts:
    /// skipped empty records have a number too.
    pub frame: u64,
    /// When it was captured. A pcapng simple packet block has no time of its
    /// own and is given that of the packet before it.
    pub timestamp: Timestamp,
    pub link: LinkType,
    /// Which interface, counted from 0 through all sections; 0 in pcap.
    pub interface: u32,
    /// Length on the wire, in bytes, as the file states it. Not to be
    /// trusted: some writers leave it smaller than the captured length.
    pub orig_len: u32,
    /// The captured bytes, never empty.
    pub bytes: &'a [u8],
    /// Where the record starts, in bytes from the start of the file (after
    /// decompression).
    pub offset: u64,
}

/// The unit in which a file states time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    Micro,
    Nano,
}

/// Reads packets in file order.
pub struct CaptureReader {
    name: String,
    window: Window,
    source: source::Progress,
    compression: Option<Compression>,
    format: Format,
    frame: u64,
    skipped: u64,
    finished: bool,
}

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// A record that lies whole in the window, relative to the window's start.
struct Found {
    timestamp: Timestamp,
    link: LinkType,
    interface: u32,
    orig_len: u32,
    /// Bytes from the start of the record to the packet.
    header: usize,
    /// Captured bytes.
    captured: usize,
    /// Bytes of the whole record, padding included.
    total: usize,
}

impl CaptureReader {
    /// Opens the capture at `path`; `-` is standard input.
    ///
    /// Reads up to the first interface description, so on a pipe it waits
    /// for the writer. Fails when the file cannot be opened, is no capture,
    /// or is damaged before any packet could follow.
    pub fn open(path: &Path) -> Result<CaptureReader, CaptureError> {
        let name = path.display().to_string();
        match Source::open(path) {
            Ok(source) => CaptureReader::new(source, name),
            Err(source) => Err(CaptureError::Open { path: name, source }),
        }
    }

    /// Reads a capture from any source of bytes; `name` stands for its path
    /// in errors.
    pub fn from_read(
        source: impl Read + Send + 'static,
        name: &str,
    ) -> Result<CaptureReader, CaptureError> {
        CaptureReader::new(Source::from_read(source), name.to_owned())
    }

    fn new(source: Source, name: String) -> Result<CaptureReader, CaptureError> {
        let progress = source.progress();
        let (bytes, compression) = match source.decompressed() {
            Ok(opened) => opened,
            Err(source) => {
                return Err(CaptureError::Read {
                    path: name,
                    offset: 0,
                    frame: 0,
                    source,
                });
            }
        };
        let mut window = Window::new(bytes);
        let start = window.peek_up_to(pcap::FILE_HEADER);
        let format = match FileKind::of(start) {
            FileKind::Pcap => Pcap::open(&mut window).map(Format::Pcap),
            FileKind::Pcapng => Pcapng::open(&mut window).map(Format::Pcapng),
            _ => {
                let looks_like = FileKind::of(window.peek_up_to(SNIFF_LENGTH));
                // A source that fails at once must not pass for an empty file.
                return Err(match window.take_failure() {
                    Some(source) => failed(name, &window, compression, 0, source),
                    None => CaptureError::NotACapture {
                        path: name,
                        looks_like,
                        compression,
                    },
                });
            }
        };
        match format {
            Ok(format) => Ok(CaptureReader {
                name,
                window,
                source: progress,
                compression,
                format,
                frame: 0,
                skipped: 0,
                finished: false,
            }),
            Err(fault) => Err(blame(name, &mut window, compression, 0, fault)),
        }
    }

    /// The next packet, or `None` at the end. After an error there is
    /// nothing more to read and every further call returns `None`.
    #[allow(clippy::should_implement_trait)] // An iterator cannot lend.
    pub fn next(&mut self) -> Result<Option<Record<'_>>, CaptureError> {
        let found = loop {
            if self.finished {
                return Ok(None);
            }
            let found = match &mut self.format {
                Format::Pcap(pcap) => pcap.next(&mut self.window),
                Format::Pcapng(pcapng) => pcapng.next(&mut self.window),
            };
            match found {
                Ok(Some(found)) if found.captured == 0 => {
                    self.frame += 1;
                    self.skipped += 1;
                    self.window.advance(found.total);
                }
                Ok(Some(found)) => break found,
                Ok(None) => {
                    self.finished = true;
                    return match self.window.take_failure() {
                        None => Ok(None),
                        Some(source) => Err(failed(
                            self.name.clone(),
                            &self.window,
                            self.compression,
                            self.frame,
                            source,
                        )),
                    };
                }
                Err(fault) => {
                    self.finished = true;
                    let name = self.name.clone();
                    return Err(blame(
                        name,
                        &mut self.window,
                        self.compression,
                        self.frame,
                        fault,
                    ));
                }
            }
        };
        self.frame += 1;
        let offset = self.window.offset();
        Ok(Some(Record {
            frame: self.frame,
            timestamp: found.timestamp,
            link: found.link,
            interface: found.interface,
            orig_len: found.orig_len,
            bytes: self.window.take(found.total, found.header, found.captured),
            offset,
        }))
    }

    /// The link type of the file, or of the first interface of a pcapng;
    /// `None` while no interface has been described.
    pub fn link(&self) -> Option<LinkType> {
        match &self.format {
            Format::Pcap(pcap) => Some(pcap.link()),
            Format::Pcapng(pcapng) => pcapng.first_link(),
        }
    }

    /// How finely the file (the first interface of a pcapng) states time:
    /// `Nano` for anything finer than microseconds.
    pub fn resolution(&self) -> Resolution {
        match &self.format {
            Format::Pcap(pcap) => pcap.resolution(),
            Format::Pcapng(pcapng) => pcapng.resolution(),
        }
    }

    /// How the file is compressed, if it is.
    pub fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// Records without a single captured byte, passed over so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Bytes read from the file so far, before decompression. Advances in
    /// steps of the buffer, to be compared with [`size_hint`](Self::size_hint).
    pub fn bytes_read(&self) -> u64 {
        self.source.bytes_read()
    }

    /// Length of the file in bytes; `None` for pipes and other streams.
    pub fn size_hint(&self) -> Option<u64> {
        self.source.size()
    }
}

/// Turns a format's complaint into the caller's error. A record that is cut
/// because reading failed is reported as that failure.
fn blame(
    path: String,
    window: &mut Window,
    compression: Option<Compression>,
    frame: u64,
    fault: Fault,
) -> CaptureError {
    match window.take_failure() {
        Some(source) if fault.cut => failed(path, window, compression, frame, source),
        _ => CaptureError::Damaged {
            path,
            offset: fault.offset,
            frame,
            compression,
            what: fault.what,
        },
    }
}

fn failed(
    path: String,
    window: &Window,
    compression: Option<Compression>,
    frame: u64,
    source: std::io::Error,
) -> CaptureError {
    let offset = window.end_offset();
    match compression {
        Some(kind) if source::is_decompression_failure(&source) => CaptureError::Damaged {
            path,
            offset,
            frame,
            compression,
            what: format!("the {kind} data are cut or corrupt ({source})"),
        },
        _ => CaptureError::Read {
            path,
            offset,
            frame,
            source,
        },
    }
}

/// Fuzz body: reads `data` as a capture to its end and checks what every
/// caller relies on. Panics when the reader breaks its word.
pub fn fuzz_reader(data: &[u8]) {
    let Ok(mut reader) = CaptureReader::from_read(std::io::Cursor::new(data.to_vec()), "fuzz")
    else {
        return;
    };
    let plain = reader.compression().is_none();
    let mut frame = 0;
    let mut end = 0;
    let failed = loop {
        match reader.next() {
            Ok(Some(record)) => {
                assert!(record.frame > frame, "frames are numbered upwards");
                assert!(record.offset >= end, "records do not overlap");
                assert!(!record.bytes.is_empty(), "empty records are skipped");
                frame = record.frame;
                end = record.offset + record.bytes.len() as u64;
                assert!(
                    !plain || end <= data.len() as u64,
                    "packets lie inside the file"
                );
            }
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(
        !failed || matches!(reader.next(), Ok(None)),
        "an error is reported once"
    );
}
