//! As much HTTP/1.1 as clients and servers of the tests need.
//!
//! Written apart from Wero's own reader, which is what they judge.

use std::io::{self, BufRead, BufReader, Read, Write};

/// First line and headers, names in lower case.
pub struct Head {
    pub line: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// The next head, or nothing where the stream ends before it.
    pub fn read(source: &mut impl BufRead) -> io::Result<Option<Head>> {
        let line = read_line(source)?;
        if line.is_empty() {
            return Ok(None);
        }
        let mut head = Head {
            line,
            headers: Vec::new(),
        };
        loop {
            let line = read_line(source)?;
            let Some((name, value)) = line.split_once(':') else {
                return Ok(Some(head));
            };
            let entry = (name.to_ascii_lowercase(), value.trim().to_string());
            head.headers.push(entry);
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn status(&self) -> Option<u16> {
        self.line.split(' ').nth(1)?.parse().ok()
    }

    /// Reads the body that follows, by its length or its chunks.
    pub fn body(&self, source: &mut impl BufRead, mut sink: impl FnMut(&[u8])) -> io::Result<()> {
        if self.header("transfer-encoding") == Some("chunked") {
            return read_chunks(source, &mut sink);
        }
        let len = self.header("content-length").unwrap_or("0");
        let len = len
            .parse()
            .map_err(|_| wrong(format!("content-length {len}")))?;
        read_exactly(source, len, &mut sink)
    }
}

fn read_chunks(source: &mut impl BufRead, sink: &mut impl FnMut(&[u8])) -> io::Result<()> {
    loop {
        let line = read_line(source)?;
        let size = line.split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(size.trim(), 16)
            .map_err(|_| wrong(format!("chunk size {:?}", start(&line))))?;
        if size > 0 {
            read_exactly(source, size, sink)?;
        }
        // Behind the last chunk this is the empty line that ends the trailers.
        let end = read_line(source)?;
        if !end.is_empty() {
            return Err(wrong(format!("after a chunk: {:?}", start(&end))));
        }
        if size == 0 {
            return Ok(());
        }
    }
}

fn read_exactly(
    source: &mut impl BufRead,
    mut len: u64,
    sink: &mut impl FnMut(&[u8]),
) -> io::Result<()> {
    while len > 0 {
        let bytes = source.fill_buf()?;
        if bytes.is_empty() {
            let missing = format!("the body ends {len} bytes early");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, missing));
        }
        let taken = bytes.len().min(usize::try_from(len).unwrap_or(usize::MAX));
        sink(&bytes[..taken]);
        source.consume(taken);
        len -= taken as u64;
    }
    Ok(())
}

/// Without its end; empty also at the end of the stream.
fn read_line(source: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    source.take(16384).read_until(b'\n', &mut line)?;
    while line.last().is_some_and(|byte| b"\r\n".contains(byte)) {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// Writes a body in chunks, or as it is.
pub fn write_body(sink: &mut impl Write, body: &[u8], chunk: Option<usize>) -> io::Result<()> {
    let Some(chunk) = chunk else {
        return sink.write_all(body);
    };
    for part in body.chunks(chunk.max(1)) {
        write!(sink, "{:x}\r\n", part.len())?;
        sink.write_all(part)?;
        sink.write_all(b"\r\n")?;
    }
    sink.write_all(b"0\r\n\r\n")
}

/// How a body is announced.
pub fn framing(len: usize, chunk: Option<usize>) -> String {
    match chunk {
        Some(_) => "Transfer-Encoding: chunked\r\n".to_string(),
        None => format!("Content-Length: {len}\r\n"),
    }
}

/// A reader with room for a large segment.
pub fn reader<R: Read>(source: R) -> BufReader<R> {
    BufReader::with_capacity(65536, source)
}

/// As much of a line as says what it is.
fn start(line: &str) -> &str {
    line.get(..40).unwrap_or(line)
}

fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
