//! Where a capture's bytes come from: a file, standard input or any reader,
//! decompressed when they start as gzip or zstd data do.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Cursor, ErrorKind, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::sniff::FileKind;

/// How a capture is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Gzip,
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        })
    }
}

/// Compressed bytes read ahead of the decompressor.
const READ_AHEAD: usize = 128 << 10;

/// Bytes asked of the gzip decoder at once. Where deflate data are corrupt
/// it does not tell how much of the last request it still fulfilled, so a
/// small one keeps the loss small.
const GZIP_STEP: usize = 8 << 10;

pub(super) struct Source {
    bytes: Box<dyn Read + Send>,
    progress: Progress,
}

/// How far reading has come.
#[derive(Clone)]
pub(super) struct Progress {
    read: Arc<AtomicU64>,
    size: Option<u64>,
}

impl Source {
    /// Opens `path`; `-` is standard input.
    pub fn open(path: &Path) -> io::Result<Source> {
        let file = match path.as_os_str() == "-" {
            // A file of its own, since the shared handle has a buffer more.
            true => File::from(io::stdin().as_fd().try_clone_to_owned()?),
            false => File::open(path)?,
        };
        let metadata = file.metadata()?;
        let size = metadata.is_file().then_some(metadata.len());
        Ok(Source::counted(file, size))
    }

    pub fn from_read(source: impl Read + Send + 'static) -> Source {
        Source::counted(source, None)
    }

    fn counted(source: impl Read + Send + 'static, size: Option<u64>) -> Source {
        let progress = Progress {
            read: Arc::default(),
            size,
        };
        let bytes = Box::new(Counted {
            source,
            read: Arc::clone(&progress.read),
        });
        Source { bytes, progress }
    }

    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// The bytes of the capture itself, and what they were wrapped in.
    pub fn decompressed(mut self) -> io::Result<(Box<dyn Read + Send>, Option<Compression>)> {
        let mut magic = Vec::with_capacity(4);
        self.bytes.by_ref().take(4).read_to_end(&mut magic)?;
        let kind = FileKind::of(&magic);
        let bytes = Cursor::new(magic).chain(self.bytes);
        Ok(match kind {
            FileKind::Gzip => {
                let decoder = MultiGzDecoder::new(BufReader::with_capacity(READ_AHEAD, bytes));
                (Box::new(InSteps(decoder)), Some(Compression::Gzip))
            }
            FileKind::Zstd => {
                let decoder = ZstdReader::new(BufReader::with_capacity(READ_AHEAD, bytes));
                (Box::new(decoder), Some(Compression::Zstd))
            }
            _ => (Box::new(bytes), None),
        })
    }
}

impl Progress {
    /// Bytes read so far, before decompression.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes there are, when the source is a regular file.
    pub fn size(&self) -> Option<u64> {
        self.size
    }
}

/// Whether a decompressor, rather than the system, is at fault.
pub(super) fn is_decompression_failure(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof
    )
}

struct Counted<R> {
    source: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(target)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

struct InSteps<R>(R);

impl<R: Read> Read for InSteps<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let step = target.len().min(GZIP_STEP);
        self.0.read(target.get_mut(..step).unwrap_or_default())
    }
}

/// Decodes zstd frame after frame, as `zstd` and `pzstd` write them.
///
/// ruzstd's own reader stops after the first frame and keeps back what it
/// decoded before an error; this one hands it out.
struct ZstdReader<R> {
    source: R,
    decoder: FrameDecoder,
    in_frame: bool,
    /// Found while decoding, reported once the bytes before it are read.
    failure: Option<io::Error>,
}

impl<R: Read> ZstdReader<R> {
    fn new(source: R) -> ZstdReader<R> {
        // ruzstd caps the window, and so its memory, at 100 MiB, but not for
        // the first frame a decoder sees: let that be an empty one.
        const EMPTY_FRAME: [u8; 6] = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00];
        let mut decoder = FrameDecoder::new();
        decoder
            .init(&EMPTY_FRAME[..])
            .expect("an empty frame needs no memory");
        ZstdReader {
            source,
            decoder,
            in_frame: false,
            failure: None,
        }
    }

    /// Starts the next frame that holds data; false at the end.
    fn enter_frame(&mut self) -> io::Result<bool> {
        loop {
            let mut magic = Vec::with_capacity(4);
            self.source.by_ref().take(4).read_to_end(&mut magic)?;
            if magic.is_empty() {
                return Ok(false);
            }
            match self.decoder.init(magic.as_slice().chain(&mut self.source)) {
                Ok(()) => {
                    self.in_frame = true;
                    return Ok(true);
                }
                // A frame of somebody's metadata.
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut frame = self.source.by_ref().take(u64::from(length));
                    if io::copy(&mut frame, &mut io::sink())? < u64::from(length) {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(invalid(error)),
            }
        }
    }

    fn decode(&mut self, want: usize) {
        let step = BlockDecodingStrategy::UptoBytes(want);
        if let Err(error) = self.decoder.decode_blocks(&mut self.source, step) {
            self.failure = Some(invalid(error));
            // The decoder holds back a window's worth of sound bytes until
            // the frame ends. An empty last block ends it; the checksum that
            // may be wanted after it is of no interest any more.
            const LAST_BLOCK: [u8; 3] = [1, 0, 0];
            let _ = self
                .decoder
                .decode_blocks(&LAST_BLOCK[..], BlockDecodingStrategy::All);
        }
    }

    fn check_sum(&self) -> io::Result<()> {
        match (
            self.decoder.get_checksum_from_data(),
            self.decoder.get_calculated_checksum(),
        ) {
            (Some(stated), Some(found)) if stated != found => Err(io::Error::new(
                ErrorKind::InvalidData,
                "the checksum of a frame is wrong",
            )),
            _ => Ok(()),
        }
    }
}

impl<R: Read> Read for ZstdReader<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if target.is_empty() {
            return Ok(0);
        }
        loop {
            let count = self.decoder.read(target)?;
            if count > 0 {
                return Ok(count);
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if !self.in_frame {
                if !self.enter_frame()? {
                    return Ok(0);
                }
            } else if self.decoder.is_finished() {
                self.in_frame = false;
                self.check_sum()?;
            } else {
                self.decode(target.len());
            }
        }
    }
}

fn invalid(error: FrameDecoderError) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
