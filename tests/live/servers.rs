//! Servers that are part of the tests: HTTP that checks what it gets, and
//! lines that come back.
//!
//! Programs of others are in `programs`.

use std::io::{self, BufWriter, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::body::{Body, Comparison};
use crate::http::{self, Head};
use crate::namespace::Namespace;

/// A peer that says nothing for so long has been forgotten by its test.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Listens until it is dropped; connections that are open go on.
pub struct Server {
    listeners: Vec<Arc<TcpListener>>,
}

impl Server {
    /// Each connection is served on a thread of its own.
    pub fn start(
        namespace: &Namespace,
        addresses: &[SocketAddr],
        serve: fn(TcpStream) -> io::Result<()>,
    ) -> Result<Server, String> {
        let mut listeners = Vec::new();
        for address in addresses {
            let listener = namespace
                .inside(|| TcpListener::bind(address))
                .map_err(|error| format!("{address}: {error}"))?;
            let listener = Arc::new(listener);
            listeners.push(Arc::clone(&listener));
            thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    thread::spawn(move || {
                        // What a client breaks off is its own affair.
                        drop(prepare(&stream).and_then(|()| serve(stream)));
                    });
                }
            });
        }
        Ok(Server { listeners })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for listener in &self.listeners {
            // SAFETY: a plain system call on a socket that is still open; it
            // wakes the thread that accepts.
            unsafe { libc::shutdown(listener.as_raw_fd(), libc::SHUT_RDWR) };
        }
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(FORGOTTEN))?;
    stream.set_write_timeout(Some(FORGOTTEN))
}

/// `GET /body/SEED/SIZE` gives a body, in chunks if the header `X-Chunk` names
/// their size. `PUT /body/SEED/SIZE/REPLACEMENT` takes that body with its
/// tokens replaced and answers whether it came so; `REPLACEMENT` may be
/// `none`.
pub fn serve_http(stream: TcpStream) -> io::Result<()> {
    let mut source = http::reader(stream.try_clone()?);
    let mut sink = BufWriter::with_capacity(65536, stream);
    while let Some(head) = Head::read(&mut source)? {
        let mut words = head.line.split(' ');
        let method = words.next().unwrap_or_default();
        let path = words.next().unwrap_or_default();
        let parts: Vec<&str> = path.split('/').collect();
        match (method, parts.as_slice()) {
            ("GET", ["", "body", seed, size]) => {
                let body = body(seed, size).bytes();
                let chunk = head.header("x-chunk").and_then(|size| size.parse().ok());
                let framing = http::framing(body.len(), chunk);
                write!(sink, "HTTP/1.1 200 OK\r\n{framing}\r\n")?;
                http::write_body(&mut sink, &body, chunk)?;
            }
            ("PUT", ["", "body", seed, size, replacement]) => {
                let body = body(seed, size);
                let expected = match replacement.parse() {
                    Ok(len) => body.replaced(len),
                    Err(_) => body.bytes().to_vec(),
                };
                let mut comparison = Comparison::with(expected);
                head.body(&mut source, |bytes| comparison.feed(bytes))?;
                let answer = match comparison.finish() {
                    Ok(()) => "same".to_string(),
                    Err(difference) => difference,
                };
                let len = answer.len();
                write!(
                    sink,
                    "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{answer}"
                )?;
            }
            _ => {
                head.body(&mut source, |_| ())?;
                write!(sink, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
            }
        }
        sink.flush()?;
    }
    Ok(())
}

fn body(seed: &str, size: &str) -> Body {
    Body {
        seed: seed.parse().unwrap_or_default(),
        size: size.parse().unwrap_or_default(),
    }
}

/// Gives everything back as it came.
pub fn serve_echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 65536];
    loop {
        match stream.read(&mut buffer)? {
            0 => return stream.shutdown(Shutdown::Write),
            len => stream.write_all(&buffer[..len])?,
        }
    }
}

/// Takes a first line, then sends letters for as long as the client reads.
pub fn serve_flood(mut stream: TcpStream) -> io::Result<()> {
    let mut line = [0; 64];
    let _ = stream.read(&mut line)?;
    let letters = [b'f'; 65536];
    loop {
        stream.write_all(&letters)?;
    }
}
