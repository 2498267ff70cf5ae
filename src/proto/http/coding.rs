//! Content codings undone: gzip, deflate and br, bytes in, bytes out.
//!
//! What comes out is capped, in all and per byte that went in, so that a
//! small message cannot become a huge one. Nothing is kept but the windows
//! of the codings. `deflate` is taken with and without its zlib header,
//! since both are sent.
//! Not here: transfer codings other than `chunked`, which nobody sends.

use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::head::Head;

/// Codings that one message may have upon another.
const MAX_CODINGS: usize = 4;
/// Bytes that brotli writes in one go.
const BROTLI_BUFFER: usize = 4096;

/// Why a body cannot be decoded any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecodable {
    /// The bytes are not of their coding.
    Damaged,
    /// More would come out than the cap allows.
    TooLong,
}

/// Undoes the codings of one body.
pub struct Decoder {
    stages: Vec<Stage>,
    /// Bytes that may still come out.
    left: u64,
}

/// Collects what comes out of a coding, up to a cap.
#[derive(Default)]
struct Sink {
    bytes: Vec<u8>,
    room: u64,
    full: bool,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len() as u64;
        if len > self.room {
            self.full = true;
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.room -= len;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Stage {
    Gzip(MultiGzDecoder<Sink>),
    /// Whether there is a zlib header is told by the first two bytes.
    Deflate(Vec<u8>),
    Zlib(ZlibDecoder<Sink>),
    Raw(DeflateDecoder<Sink>),
    Brotli(Box<DecompressorWriter<Sink>>),
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("stages", &self.stages.len())
            .field("left", &self.left)
            .finish()
    }
}

impl Decoder {
    /// For the body behind a head; `None` where there is no coding, or one
    /// that is not known.
    pub fn of(head: &Head, cap: u64) -> Option<Decoder> {
        let mut stages = Vec::new();
        let codings = head
            .values("content-encoding")
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(|coding| coding.trim_ascii().to_ascii_lowercase())
            .filter(|coding| !coding.is_empty() && coding != b"identity");
        for coding in codings {
            stages.push(match &coding[..] {
                b"gzip" | b"x-gzip" => Stage::Gzip(MultiGzDecoder::new(Sink::default())),
                b"deflate" => Stage::Deflate(Vec::new()),
                b"br" => Stage::Brotli(Box::new(DecompressorWriter::new(
                    Sink::default(),
                    BROTLI_BUFFER,
                ))),
                _ => return None,
            });
            if stages.len() > MAX_CODINGS {
                return None;
            }
        }
        // The one applied last is undone first.
        stages.reverse();
        (!stages.is_empty()).then_some(Decoder { stages, left: cap })
    }

    /// Takes bytes of the body and gives what they stand for.
    ///
    /// # Errors
    /// When the rest cannot be decoded.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Undecodable> {
        let mut out = bytes.to_vec();
        for stage in &mut self.stages {
            if out.is_empty() {
                return Ok(out);
            }
            out = stage.feed(&out, self.left)?;
        }
        self.left = self.left.saturating_sub(out.len() as u64);
        Ok(out)
    }

    /// The body is over: gives what was still inside.
    ///
    /// # Errors
    /// When more should have come.
    pub fn finish(&mut self) -> Result<Vec<u8>, Undecodable> {
        let mut out = Vec::new();
        for stage in &mut self.stages {
            let mut own = match out.is_empty() {
                true => Vec::new(),
                false => stage.feed(&out, self.left)?,
            };
            own.extend(stage.finish(self.left)?);
            out = own;
        }
        Ok(out)
    }
}

impl Stage {
    fn feed(&mut self, bytes: &[u8], room: u64) -> Result<Vec<u8>, Undecodable> {
        if let Stage::Deflate(begun) = self {
            begun.extend_from_slice(bytes);
            let &[first, second, ..] = &begun[..] else {
                return Ok(Vec::new());
            };
            let begun = std::mem::take(begun);
            // RFC 1950, 2.2: method 8, and a multiple of 31.
            let zlib = first & 15 == 8 && u16::from_be_bytes([first, second]) % 31 == 0;
            *self = match zlib {
                true => Stage::Zlib(ZlibDecoder::new(Sink::default())),
                false => Stage::Raw(DeflateDecoder::new(Sink::default())),
            };
            return self.feed(&begun, room);
        }
        self.sink().room = room;
        let done = match self {
            Stage::Gzip(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
            Stage::Zlib(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
            Stage::Raw(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
            Stage::Brotli(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
            Stage::Deflate(_) => Ok(()),
        };
        self.taken(done)
    }

    fn finish(&mut self, room: u64) -> Result<Vec<u8>, Undecodable> {
        if let Stage::Deflate(_) = self {
            return Ok(Vec::new());
        }
        self.sink().room = room;
        let done = match self {
            Stage::Gzip(decoder) => decoder.try_finish(),
            Stage::Zlib(decoder) => decoder.try_finish(),
            Stage::Raw(decoder) => decoder.try_finish(),
            Stage::Brotli(decoder) => decoder.close(),
            Stage::Deflate(_) => Ok(()),
        };
        self.taken(done)
    }

    fn taken(&mut self, done: io::Result<()>) -> Result<Vec<u8>, Undecodable> {
        let sink = self.sink();
        match done {
            _ if sink.full => Err(Undecodable::TooLong),
            Err(_) => Err(Undecodable::Damaged),
            Ok(()) => Ok(std::mem::take(&mut sink.bytes)),
        }
    }

    fn sink(&mut self) -> &mut Sink {
        match self {
            Stage::Gzip(decoder) => decoder.get_mut(),
            Stage::Zlib(decoder) => decoder.get_mut(),
            Stage::Raw(decoder) => decoder.get_mut(),
            Stage::Brotli(decoder) => decoder.get_mut(),
            Stage::Deflate(_) => unreachable!("replaced before it is fed"),
        }
    }
}
