//! Capture files in a row, read as one run.
//!
//! Frames are numbered through all files: the first frame of the second file
//! follows the last of the first. A file that is damaged gives every packet
//! before the damage; then the next file is read, and the damage is kept for
//! the end.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::capture::file::{CaptureError, CaptureReader, Resolution};
use crate::packet::LinkType;
use crate::time::Timestamp;

/// One frame as it was captured.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// From 1, over all files.
    pub number: u64,
    pub timestamp: Timestamp,
    pub link: LinkType,
    pub bytes: &'a [u8],
    /// Length on the wire, in bytes.
    pub wire_len: u32,
    /// Bytes read so far, of [`Captures::size`].
    pub read: u64,
    /// Which capture, from 0.
    pub file: usize,
}

/// The captures of a run, the first of which is open.
pub struct Captures {
    first: CaptureReader,
    rest: Vec<PathBuf>,
    size: Option<u64>,
}

/// What there was to read.
#[derive(Debug, Default)]
pub struct ReadOut {
    /// Files that were damaged or could not be read on, in order.
    pub faults: Vec<CaptureError>,
}

impl Captures {
    /// Opens the first capture and sees whether the others are there.
    ///
    /// # Errors
    /// When the first cannot be opened or is no capture, or another is missing.
    pub fn open(paths: &[PathBuf]) -> Result<Captures, CaptureError> {
        let (first, rest) = match paths {
            [first, rest @ ..] => (first.as_path(), rest),
            [] => (Path::new("-"), paths),
        };
        let reader = CaptureReader::open(first)?;
        let mut size = reader.size_hint();
        for path in rest {
            let length = match std::fs::metadata(path) {
                _ if path.as_os_str() == "-" => None,
                Ok(found) => found.is_file().then_some(found.len()),
                Err(source) => {
                    return Err(CaptureError::Open {
                        path: path.display().to_string(),
                        source,
                    });
                }
            };
            size = size.zip(length).map(|(sum, length)| sum + length);
        }
        Ok(Captures {
            first: reader,
            rest: rest.to_vec(),
            size,
        })
    }

    /// Link type of the first capture; Ethernet while it names none.
    pub fn link(&self) -> LinkType {
        self.first.link().unwrap_or(LinkType::ETHERNET)
    }

    /// How finely the first capture states time.
    pub fn resolution(&self) -> Resolution {
        self.first.resolution()
    }

    /// Bytes of all files together, where that is known.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Hands every frame to `take` until it breaks off.
    pub fn read<B>(
        self,
        mut take: impl FnMut(Frame<'_>) -> ControlFlow<B>,
    ) -> (ReadOut, Option<B>) {
        let mut out = ReadOut::default();
        let (mut base, mut bytes_before) = (0, 0);
        let rest = self.rest.iter().map(|path| CaptureReader::open(path));
        for (file, opened) in std::iter::once(Ok(self.first)).chain(rest).enumerate() {
            let mut reader = match opened {
                Ok(reader) => reader,
                Err(fault) => {
                    out.faults.push(fault);
                    continue;
                }
            };
            let mut last = 0;
            loop {
                let read = bytes_before + reader.bytes_read();
                match reader.next() {
                    Ok(Some(record)) => {
                        last = record.frame;
                        let frame = Frame {
                            number: base + record.frame,
                            timestamp: record.timestamp,
                            link: record.link,
                            bytes: record.bytes,
                            wire_len: record.orig_len,
                            read,
                            file,
                        };
                        if let ControlFlow::Break(value) = take(frame) {
                            return (out, Some(value));
                        }
                    }
                    Ok(None) => break,
                    Err(fault) => {
                        out.faults.push(fault);
                        break;
                    }
                }
            }
            base += last;
            bytes_before += reader.bytes_read();
        }
        (out, None)
    }
}
