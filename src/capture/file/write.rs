//! Writes packets to a pcap or pcapng file, chosen by the file's extension.
//!
//! A pcap file has one link type and refuses packets of another; a pcapng
//! file describes an interface for each link type it meets. Multi-byte
//! fields are little-endian whatever the machine.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::Path;

use super::pcap::{MAGIC_MICRO, MAGIC_NANO};
use super::pcapng::{
    BYTE_ORDER_MAGIC, ENHANCED_PACKET, INTERFACE_DESCRIPTION, OPTION_TSRESOL, SECTION_HEADER,
};
use super::{CaptureError, MAX_RECORD, Resolution};
use crate::packet::link::LinkType;
use crate::time::Timestamp;

/// The snap length that pcap headers announce: the most that libpcap takes.
const SNAPLEN: u32 = 262_144;

/// Bytes gathered before they are handed to the system.
const BUFFER: usize = 256 << 10;

/// Writes packets in the order given. Call [`finish`](Self::finish): only it
/// can report that the last packets did not reach the file.
pub struct CaptureWriter {
    name: String,
    out: BufWriter<Box<dyn Write + Send>>,
    form: Form,
    finished: bool,
}

enum Form {
    Pcap {
        link: LinkType,
        resolution: Resolution,
    },
    /// The link types of the interfaces described so far; always in
    /// nanoseconds.
    Pcapng(Vec<LinkType>),
}

impl CaptureWriter {
    /// Creates (or empties) the file at `path` and writes its header; `-` is
    /// standard output. `.pcapng` and `.ntar` files are pcapng, others pcap
    /// with time stamps of the given resolution.
    pub fn create(
        path: &Path,
        link: LinkType,
        resolution: Resolution,
    ) -> Result<CaptureWriter, CaptureError> {
        let name = path.display().to_string();
        let file = match path.as_os_str() == "-" {
            // A file of its own: the shared handle buffers by lines.
            true => io::stdout().as_fd().try_clone_to_owned().map(File::from),
            false => File::create(path),
        };
        let file = match file {
            Ok(file) => file,
            Err(source) => return Err(CaptureError::Create { path: name, source }),
        };
        let pcapng = path.extension().is_some_and(|extension| {
            extension.eq_ignore_ascii_case("pcapng") || extension.eq_ignore_ascii_case("ntar")
        });
        let form = match pcapng {
            true => Form::Pcapng(Vec::new()),
            false => Form::Pcap { link, resolution },
        };
        CaptureWriter::start(Box::new(file), name, form, link)
    }

    fn start(
        out: Box<dyn Write + Send>,
        name: String,
        form: Form,
        link: LinkType,
    ) -> Result<CaptureWriter, CaptureError> {
        let out = BufWriter::with_capacity(BUFFER, out);
        let mut writer = CaptureWriter {
            name,
            out,
            form,
            finished: false,
        };
        let started = match &mut writer.form {
            Form::Pcap { link, resolution } => file_header(&mut writer.out, *link, *resolution),
            Form::Pcapng(links) => section_header(&mut writer.out)
                .and_then(|()| interface_of(&mut writer.out, links, link).map(|_| ())),
        };
        writer.reported(started)?;
        Ok(writer)
    }

    /// Writes one packet. `orig_len` is its length on the wire, at least the
    /// number of `bytes` unless the capture it came from said otherwise.
    ///
    /// Times that the format cannot hold (before 1970, in pcap also after
    /// 2106) are moved to the nearest that it can.
    pub fn write(
        &mut self,
        timestamp: Timestamp,
        link: LinkType,
        bytes: &[u8],
        orig_len: u32,
    ) -> Result<(), CaptureError> {
        let length = match u32::try_from(bytes.len()) {
            Ok(length) if length <= MAX_RECORD => length,
            _ => {
                let what = format!(
                    "a packet of {} bytes is too long for a capture",
                    bytes.len()
                );
                return self.reported(Err(io::Error::new(ErrorKind::InvalidInput, what)));
            }
        };
        let written = match &mut self.form {
            Form::Pcap { link: file, .. } if *file != link => {
                return Err(CaptureError::LinkMismatch {
                    path: self.name.clone(),
                    file: *file,
                    packet: link,
                });
            }
            Form::Pcap { resolution, .. } => {
                let (seconds, fraction) = pcap_time(timestamp, *resolution);
                words(&mut self.out, [seconds, fraction, length, orig_len])
                    .and_then(|()| self.out.write_all(bytes))
            }
            Form::Pcapng(links) => interface_of(&mut self.out, links, link).and_then(|interface| {
                packet_block(&mut self.out, interface, timestamp, bytes, length, orig_len)
            }),
        };
        self.reported(written)
    }

    /// Hands everything to the system and closes the file.
    pub fn finish(mut self) -> Result<(), CaptureError> {
        self.finished = true;
        let flushed = self.out.flush();
        self.reported(flushed)
    }

    /// Hands what was written so far to the system, for readers at the other
    /// end of a pipe.
    pub fn flush(&mut self) -> Result<(), CaptureError> {
        let flushed = self.out.flush();
        self.reported(flushed)
    }

    fn reported(&self, result: io::Result<()>) -> Result<(), CaptureError> {
        result.map_err(|source| CaptureError::Write {
            path: self.name.clone(),
            source,
        })
    }
}

impl Drop for CaptureWriter {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if let Err(error) = self.out.flush() {
            tracing::error!("cannot write '{}': {error}; packets are lost", self.name);
        }
    }
}

fn words<const N: usize>(out: &mut impl Write, words: [u32; N]) -> io::Result<()> {
    out.write_all(words.map(u32::to_le_bytes).as_flattened())
}

fn file_header(out: &mut impl Write, link: LinkType, resolution: Resolution) -> io::Result<()> {
    let magic = match resolution {
        Resolution::Micro => MAGIC_MICRO,
        Resolution::Nano => MAGIC_NANO,
    };
    let version = 2 | 4 << 16;
    words(out, [magic, version, 0, 0, SNAPLEN, u32::from(link.0)])
}

fn pcap_time(timestamp: Timestamp, resolution: Resolution) -> (u32, u32) {
    let nanos = timestamp.subsec_nanos();
    let fraction = match resolution {
        Resolution::Micro => nanos / 1_000,
        Resolution::Nano => nanos,
    };
    match u32::try_from(timestamp.secs()) {
        Ok(seconds) => (seconds, fraction),
        Err(_) if timestamp.0 < 0 => (0, 0),
        Err(_) => (u32::MAX, fraction),
    }
}

fn section_header(out: &mut impl Write) -> io::Result<()> {
    // The section's length is left open: it is not known when a pipe starts.
    words(
        out,
        [
            SECTION_HEADER,
            28,
            BYTE_ORDER_MAGIC,
            1,
            u32::MAX,
            u32::MAX,
            28,
        ],
    )
}

/// The number of the interface for `link`, described first if need be.
fn interface_of(
    out: &mut impl Write,
    links: &mut Vec<LinkType>,
    link: LinkType,
) -> io::Result<u32> {
    if let Some(known) = links.iter().position(|&known| known == link) {
        return Ok(known as u32);
    }
    let resolution = u32::from(OPTION_TSRESOL) | 1 << 16;
    let nanoseconds = 9;
    // No snap length; the options end with an empty one.
    words(
        out,
        [
            INTERFACE_DESCRIPTION,
            32,
            u32::from(link.0),
            0,
            resolution,
            nanoseconds,
            0,
            32,
        ],
    )?;
    links.push(link);
    Ok(links.len() as u32 - 1)
}

fn packet_block(
    out: &mut impl Write,
    interface: u32,
    timestamp: Timestamp,
    bytes: &[u8],
    length: u32,
    orig_len: u32,
) -> io::Result<()> {
    let padded = length.next_multiple_of(4);
    let total = padded + 32;
    let ticks = timestamp.0.max(0) as u64;
    let (high, low) = ((ticks >> 32) as u32, ticks as u32);
    words(
        out,
        [
            ENHANCED_PACKET,
            total,
            interface,
            high,
            low,
            length,
            orig_len,
        ],
    )?;
    out.write_all(bytes)?;
    let padding = (padded - length) as usize;
    out.write_all([0; 3].get(..padding).unwrap_or_default())?;
    words(out, [total])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that is full from the start.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_reported_at_the_end() {
        let form = Form::Pcap {
            link: LinkType::RAW,
            resolution: Resolution::Micro,
        };
        let mut writer =
            CaptureWriter::start(Box::new(Full), "out.pcap".into(), form, LinkType::RAW)
                .expect("the header fits the buffer");
        writer
            .write(Timestamp(0), LinkType::RAW, b"abc", 3)
            .expect("so does a packet");
        let error = writer.finish().expect_err("nothing reached the disk");
        assert!(
            error.to_string().starts_with("cannot write 'out.pcap': "),
            "{error}"
        );
    }

    #[test]
    fn times_that_pcap_cannot_hold_are_moved() {
        let time = |secs, nanos| pcap_time(Timestamp::new(secs, nanos), Resolution::Nano);
        assert_eq!(time(-1, 500), (0, 0));
        assert_eq!(time(5, 7), (5, 7));
        assert_eq!(time(1 << 32, 7), (u32::MAX, 7));
        assert_eq!(
            pcap_time(Timestamp::new(5, 7_999), Resolution::Micro),
            (5, 7)
        );
    }

    #[test]
    fn a_missing_folder_is_named() {
        let path = Path::new("/nowhere/at/all/out.pcap");
        let error = CaptureWriter::create(path, LinkType::RAW, Resolution::Micro).err();
        let text = error.expect("no such folder").to_string();
        assert!(
            text.starts_with("cannot create '/nowhere/at/all/out.pcap': "),
            "{text}"
        );
    }
}
