//! The flow library as its users call it: keys, lives of flows, bytes in
//! order, messages, captures as sources. Packets are made by the project's
//! own generator.

#[allow(dead_code)] // Shared with the generator of the captures.
#[path = "captures/mod.rs"]
mod captures;

#[path = "library/drivers.rs"]
mod drivers;
#[path = "library/keys.rs"]
mod keys;
#[path = "library/lives.rs"]
mod lives;
#[path = "library/sources.rs"]
mod sources;

use std::io::Cursor;

use captures::conversation::{Conversation, client};
use captures::pcap::Recording;
use captures::scenario::Scenario;
use wero::capture::file::CaptureReader;

/// A recording as a capture that was read from somewhere.
fn opened(recording: &Recording) -> CaptureReader {
    CaptureReader::from_read(Cursor::new(recording.to_pcap()), "recording")
        .expect("our own captures are sound")
}

/// A request and its answer, closed by both.
fn exchange(port: u16) -> Conversation {
    let mut talk = client(&format!("10.1.0.7:{port}"), "10.2.0.80:7000");
    talk.handshake();
    talk.client_says(b"ping\n");
    talk.server_says(b"pong\n");
    talk.closes();
    talk
}

/// Connections, datagrams and pings.
fn mixed() -> Recording {
    let mut scenario = Scenario::new();
    for port in 0..6 {
        scenario.plays(exchange(40_000 + port));
    }
    scenario.udp("10.1.0.7:5000", "10.2.0.80:9000", b"question");
    scenario.udp("10.2.0.80:9000", "10.1.0.7:5000", b"answer");
    scenario.ping("10.1.0.7", "10.2.0.81", 1, b"are you there");
    scenario.into_recording()
}
