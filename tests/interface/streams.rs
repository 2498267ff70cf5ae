//! The streams of an interface, against the events of the same packets.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use pollster::block_on;
use wero::analysis::driver::SessionEvent;
use wero::analysis::extract::FiveTuple;
use wero::analysis::tracker::FlowEvent;
use wero::capture::asynchronous::AsyncCapture;
use wero::capture::file::CaptureError;
use wero::capture::interface::{Interface, InterfaceError};
use wero::capture::views::{Next, OwnedView, Source};
use wero::proto::{dns, http};

use crate::{echo, inside};

/// Everything that passes in a while, kept: what a capture file would have.
struct Tee {
    interface: Interface,
    kept: Sender<OwnedView>,
}

impl Source for Tee {
    fn next(&mut self) -> Result<Next<'_>, CaptureError> {
        let next = self.interface.next()?;
        if let Next::Packet(record) = next {
            // Whoever wants them no more has seen enough.
            let _ = self.kept.send(OwnedView::of(&record));
        }
        Ok(next)
    }
}

/// A request for a page, and the page.
fn exchange(address: &str) {
    let listener = TcpListener::bind((address, 0)).expect("the loopback device is up");
    let to = listener.local_addr().expect("it is bound");
    let mut client = TcpStream::connect(to).expect("the way is short");
    let (mut server, _) = listener.accept().expect("somebody came");
    let request = b"GET /page HTTP/1.1\r\nHost: there\r\n\r\n";
    client.write_all(request).expect("sent");
    let mut got = vec![0; request.len()];
    server.read_exact(&mut got).expect("it came");
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage";
    server.write_all(response).expect("sent");
    drop(server);
    client.read_to_end(&mut got).expect("it came");
}

#[test]
fn flow_events_are_those_of_the_same_packets_offline() {
    inside("flows", || {
        let (kept, packets) = channel();
        let interface = Interface::open("lo").expect("it is there");
        let source = Tee { interface, kept };
        let mut stream = AsyncCapture::new(source).flow_stream(FiveTuple::bidirectional());
        exchange("127.0.0.1");
        exchange("::1");
        let mut seen = Vec::new();
        let mut ended = 0;
        block_on(async {
            while ended < 2 {
                let event = stream.next().await.expect("no end").expect("it stays up");
                ended += u32::from(matches!(event, FlowEvent::Ended { .. }));
                seen.push(event);
            }
        });
        drop(stream);
        let mut offline = wero::analysis::FlowTracker::<_>::new(FiveTuple::bidirectional());
        let expected: Vec<_> = packets
            .iter()
            .flat_map(|packet| offline.track(&packet.view()))
            .take(seen.len())
            .collect();
        assert!(seen.len() > 6, "{seen:?}");
        assert_eq!(seen, expected);
    });
}

#[test]
fn messages_of_streams_and_datagrams_come_while_they_pass() {
    inside("messages", || {
        let open = || AsyncCapture::open_interface("lo").expect("it is there");
        let mut sessions =
            open().session_stream(FiveTuple::bidirectional(), http::Parser::default());
        let mut datagrams =
            open().datagram_stream(FiveTuple::bidirectional(), dns::Parser::default());
        exchange("::1");
        let mut query = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(b"\x01a\x07example\x00\x00\x01\x00\x01");
        let client = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        client.send_to(&query, "127.0.0.1:53").expect("sent");
        block_on(async {
            let mut messages = Vec::new();
            while messages.len() < 2 {
                let event = sessions.next().await.expect("no end").expect("it stays up");
                if let SessionEvent::Application { message, .. } = event {
                    messages.push(serde_json::to_value(message).expect("it serialises"));
                }
            }
            assert_eq!(messages[0]["type"], "request");
            assert_eq!(messages[1]["status"], 200);
            loop {
                let event = datagrams.next().await.expect("no end");
                if let SessionEvent::Application { message, .. } = event.expect("it stays up") {
                    let message = serde_json::to_string(&message).expect("it serialises");
                    assert!(message.contains("a.example"), "{message}");
                    break;
                }
            }
        });
    });
}

/// Nothing passes, and still the thread learns that nobody listens.
#[test]
fn a_dropped_stream_lets_go_of_the_interface() {
    inside("dropped", || {
        let sockets = || {
            let list = std::fs::read_to_string("/proc/thread-self/net/packet");
            list.expect("Linux tells").lines().count() - 1
        };
        let capture = AsyncCapture::open_interface("lo").expect("it is there");
        let stream = capture.flow_stream(FiveTuple::bidirectional());
        assert_eq!(sockets(), 1);
        drop(stream);
        let end = Instant::now() + Duration::from_secs(10);
        while sockets() > 0 {
            assert!(Instant::now() < end, "the thread goes on");
            thread::sleep(Duration::from_millis(20));
        }
        drop(echo("127.0.0.1:0"));
    });
}

#[test]
fn what_is_not_there_is_an_error() {
    let error = AsyncCapture::open_interface("none-of-these").err();
    assert!(matches!(
        error,
        Some(CaptureError::Interface(InterfaceError::Unknown { .. }))
    ));
}
