//! Clients that are part of the tests: conversations over HTTP, one request
//! after the other or all at once, and round trips over an echo.

use std::io::{self, BufWriter, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use crate::body::{Body, Comparison};
use crate::http::{self, Head};
use crate::namespace::Namespace;

/// Nothing for so long is a stall. The sender's timer is 0.2 s at first, so
/// a few losses of the same packet are no stall yet.
pub const STALL: Duration = Duration::from_secs(8);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Down,
    Up,
}

/// One request and its answer.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    pub direction: Direction,
    pub body: Body,
    /// How many bytes the rule puts in place of each token.
    pub replacement: Option<usize>,
    /// Size of the chunks in which the body is sent.
    pub chunk: Option<usize>,
}

impl Exchange {
    fn write_head(&self, sink: &mut impl Write) -> io::Result<()> {
        let Body { seed, size } = self.body;
        let wish = match self.replacement {
            Some(len) => format!("X-Replacement: {len}\r\n"),
            None => String::new(),
        };
        match self.direction {
            Direction::Down => {
                let chunk = self.chunk.map(|size| format!("X-Chunk: {size}\r\n"));
                let chunk = chunk.unwrap_or_default();
                write!(
                    sink,
                    "GET /body/{seed}/{size} HTTP/1.1\r\nHost: live\r\n{wish}{chunk}\r\n"
                )
            }
            Direction::Up => {
                let expected = match self.replacement {
                    Some(len) => len.to_string(),
                    None => "none".to_string(),
                };
                let framing = http::framing(size, self.chunk);
                write!(
                    sink,
                    "PUT /body/{seed}/{size}/{expected} HTTP/1.1\r\nHost: live\r\n{wish}{framing}\r\n"
                )
            }
        }
    }

    fn write(&self, sink: &mut impl Write) -> io::Result<()> {
        self.write_head(sink)?;
        if self.direction == Direction::Up {
            http::write_body(sink, &self.body.bytes(), self.chunk)?;
        }
        sink.flush()
    }

    fn read(&self, source: &mut impl io::BufRead) -> Result<(), String> {
        let head = Head::read(source).map_err(|error| format!("no answer: {error}"))?;
        let head = head.ok_or("the connection was closed before the answer")?;
        if head.status() != Some(200) {
            return Err(format!("answered {}", head.line));
        }
        match self.direction {
            Direction::Down => {
                let expected = match self.replacement {
                    Some(len) => self.body.replaced(len),
                    None => self.body.bytes().to_vec(),
                };
                let mut comparison = Comparison::with(expected);
                let mut arrived = 0;
                head.body(source, |bytes| {
                    arrived += bytes.len();
                    comparison.feed(bytes);
                })
                .map_err(|error| format!("after {arrived} bytes of the body: {error}"))?;
                comparison.finish()
            }
            Direction::Up => {
                let mut answer = Vec::new();
                head.body(source, |bytes| answer.extend_from_slice(bytes))
                    .map_err(|error| format!("in the answer: {error}"))?;
                match answer.as_slice() {
                    b"same" => Ok(()),
                    other => Err(format!("upload {}", String::from_utf8_lossy(other))),
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The next request follows the answer.
    KeepAlive,
    /// All requests are sent without waiting.
    Pipelined,
}

/// Has the exchanges over one connection; says which one failed.
pub fn converse(
    client: &Namespace,
    address: SocketAddr,
    exchanges: &[Exchange],
    order: Order,
) -> Result<Duration, String> {
    let start = Instant::now();
    let stream = connect(client, address)?;
    let sink = stream.try_clone().map_err(|error| error.to_string())?;
    let mut source = http::reader(&stream);
    let mut sink = BufWriter::with_capacity(65536, sink);
    let failed = |number: usize, why: String| {
        let exchange = &exchanges[number];
        format!("exchange {number} {exchange:?}: {why}")
    };
    match order {
        Order::KeepAlive => {
            for (number, exchange) in exchanges.iter().enumerate() {
                // A server that broke off has said why, perhaps.
                let sent = exchange.write(&mut sink);
                exchange.read(&mut source).map_err(|why| match sent {
                    Ok(()) => failed(number, why),
                    Err(error) => failed(number, format!("{why} (sending: {error})")),
                })?;
            }
        }
        Order::Pipelined => thread::scope(|scope| {
            let writer = scope.spawn(move || {
                exchanges
                    .iter()
                    .try_for_each(|exchange| exchange.write(&mut sink))
            });
            for (number, exchange) in exchanges.iter().enumerate() {
                if let Err(why) = exchange.read(&mut source) {
                    // The writer may wait for room that never comes.
                    drop(stream.shutdown(std::net::Shutdown::Both));
                    drop(writer.join());
                    return Err(failed(number, why));
                }
            }
            match writer.join() {
                Ok(sent) => sent.map_err(|error| format!("sending: {error}")),
                Err(_) => Err("the writer panicked".to_string()),
            }
        })?,
    }
    end(&stream, &mut source).map_err(|why| format!("at the end: {why}"))?;
    Ok(start.elapsed())
}

/// Both ends close: whoever changed lengths must have kept count up to the
/// last sequence number.
fn end(stream: &TcpStream, source: &mut impl Read) -> Result<(), String> {
    let closed = stream.shutdown(std::net::Shutdown::Write);
    closed.map_err(|error| format!("closing: {error}"))?;
    match source.read(&mut [0; 1]) {
        Ok(0) => Ok(()),
        Ok(_) => Err("more than was asked for".to_string()),
        Err(error) => Err(format!("the server does not close: {error}")),
    }
}

/// A connection with limits on every wait.
pub fn connect(client: &Namespace, address: SocketAddr) -> Result<TcpStream, String> {
    let connect = || -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&address, STALL)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(STALL))?;
        stream.set_write_timeout(Some(STALL))?;
        Ok(stream)
    };
    client
        .inside(connect)
        .map_err(|error| format!("connecting to {address}: {error}"))
}

/// Sends a line and waits for it to come back.
pub fn round_trip(stream: &mut TcpStream, line: &[u8]) -> io::Result<Duration> {
    let start = Instant::now();
    stream.write_all(line)?;
    let mut answer = vec![0; line.len()];
    stream.read_exact(&mut answer)?;
    if answer != line {
        let text = String::from_utf8_lossy(&answer).into_owned();
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(start.elapsed())
}

/// Round trips until a moment, with a pause between them.
pub fn round_trips(
    stream: &mut TcpStream,
    pause: Duration,
    mut go_on: impl FnMut(usize) -> bool,
) -> io::Result<Vec<Duration>> {
    let mut took = Vec::new();
    while go_on(took.len()) {
        took.push(round_trip(stream, &[b'p'; 64])?);
        thread::sleep(pause);
    }
    Ok(took)
}

/// The value below which the given share lies.
pub fn quantile(took: &[Duration], share: f64) -> Duration {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}

/// A connection from a port of one's choice.
pub fn connect_from(
    client: &Namespace,
    source: IpAddr,
    port: u16,
    address: SocketAddr,
) -> Result<TcpStream, String> {
    let source = SocketAddr::new(source, port);
    client
        .inside(|| bound(source, address))
        .map_err(|error| format!("connecting from {source} to {address}: {error}"))
}

fn bound(source: SocketAddr, address: SocketAddr) -> io::Result<TcpStream> {
    let family = match source {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    // SAFETY: a plain system call; the descriptor is owned from here on.
    let socket = unsafe {
        let socket = libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(socket)
    };
    for (call, place) in [
        (libc::bind as Call, source),
        (libc::connect as Call, address),
    ] {
        let (bytes, len) = raw(place);
        // SAFETY: the address is given with its own length, and is aligned as
        // its largest form.
        let done = unsafe { call(socket.as_raw_fd(), std::ptr::from_ref(&bytes).cast(), len) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STALL))?;
    stream.set_write_timeout(Some(STALL))?;
    Ok(stream)
}

type Call = unsafe extern "C" fn(i32, *const libc::sockaddr, libc::socklen_t) -> i32;

/// An address as system calls take it.
fn raw(address: SocketAddr) -> (libc::sockaddr_in6, libc::socklen_t) {
    // SAFETY: all zeros is a valid value of this record of numbers.
    let mut six: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    match address {
        SocketAddr::V6(address) => {
            six.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            six.sin6_port = address.port().to_be();
            six.sin6_addr.s6_addr = address.ip().octets();
            (six, std::mem::size_of::<libc::sockaddr_in6>() as u32)
        }
        SocketAddr::V4(address) => {
            // The shorter form has its address where the longer one has the
            // flow label.
            six.sin6_family = libc::AF_INET as libc::sa_family_t;
            six.sin6_port = address.port().to_be();
            six.sin6_flowinfo = u32::from_ne_bytes(address.ip().octets());
            (six, std::mem::size_of::<libc::sockaddr_in>() as u32)
        }
    }
}
