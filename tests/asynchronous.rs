//! Captures as streams of events: the same events as without, and reading
//! that waits for its reader.

#[allow(dead_code)] // Shared with the generator of the captures.
#[path = "captures/mod.rs"]
mod captures;

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use captures::conversation::{Conversation, client};
use captures::pcap::Recording;
use captures::scenario::Scenario;
use pollster::block_on;
use wero::analysis::driver::{ConversationItem, SessionEvent};
use wero::analysis::extract::FiveTuple;
use wero::capture::asynchronous::{AsyncCapture, CAPACITY};
use wero::capture::file::CaptureReader;
use wero::flow::Direction;
use wero::proto::dns;

fn five() -> FiveTuple {
    FiveTuple::bidirectional()
}

fn opened(recording: &Recording) -> CaptureReader {
    CaptureReader::from_read(Cursor::new(recording.to_pcap()), "recording")
        .expect("our own captures are sound")
}

fn talk(port: u16) -> Conversation {
    let mut talk = client(&format!("10.1.0.7:{port}"), "10.2.0.80:7000");
    talk.handshake();
    talk.client_says(b"one");
    talk.server_says(b"two");
    talk
}

fn many(flows: u16) -> Recording {
    let mut scenario = Scenario::new();
    for port in 1..=flows {
        let mut talk = talk(port);
        talk.closes();
        scenario.plays(talk);
    }
    scenario.into_recording()
}

#[test]
fn flow_events_are_those_of_the_synchronous_source() {
    let recording = many(20);
    let expected: Vec<_> = opened(&recording)
        .flow_events(five())
        .map(|event| event.expect("undamaged"))
        .collect();
    let mut stream = AsyncCapture::new(opened(&recording)).flow_stream(five());
    let got = block_on(async {
        let mut got = Vec::new();
        while let Some(event) = stream.next().await {
            got.push(event.expect("undamaged"));
        }
        got
    });
    assert!(
        expected.len() > 3 * CAPACITY,
        "the channel was full at times"
    );
    assert_eq!(got, expected);
}

#[test]
fn messages_come_as_a_stream() {
    let mut scenario = Scenario::new();
    let mut query = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(b"\x01a\x07example\x00\x00\x01\x00\x01");
    scenario.udp("10.1.0.7:4000", "10.2.0.53:53", &query);
    let recording = scenario.into_recording();
    let capture = AsyncCapture::new(opened(&recording));
    let mut stream = capture.datagram_stream(five(), dns::Parser::default());
    let found = block_on(async {
        let mut found = Vec::new();
        while let Some(event) = stream.next().await {
            if let SessionEvent::Application { side, message, .. } = event.expect("undamaged") {
                found.push((side, message));
            }
        }
        found
    });
    assert!(matches!(
        found[..],
        [(Direction::ToServer, dns::Message::Query(_))]
    ));
    let over_tcp = AsyncCapture::new(opened(&recording));
    let mut stream = over_tcp.session_stream(five(), dns::StreamParser::default());
    let flow = block_on(stream.next());
    assert!(matches!(flow, Some(Ok(SessionEvent::Flow(_)))));
}

/// Counts what is read of a capture.
struct Counted {
    bytes: Cursor<Vec<u8>>,
    read: Arc<AtomicUsize>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Small reads, so that the reader's own buffer does not take it all.
        let room = buffer.len().min(512);
        let count = self.bytes.read(&mut buffer[..room])?;
        self.read.fetch_add(count, Ordering::SeqCst);
        Ok(count)
    }
}

/// How much was read once nothing more is.
fn settled(read: &AtomicUsize) -> usize {
    let mut before = usize::MAX;
    loop {
        let now = read.load(Ordering::SeqCst);
        if now == before {
            return now;
        }
        before = now;
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_consumer_that_sleeps_pauses_reading() {
    let file = many(6_000).to_pcap();
    let total = file.len();
    let read = Arc::new(AtomicUsize::new(0));
    let source = Counted {
        bytes: Cursor::new(file),
        read: Arc::clone(&read),
    };
    let reader = CaptureReader::from_read(source, "counted").expect("a capture");
    let mut stream = AsyncCapture::new(reader).flow_stream(five());
    assert!(block_on(stream.next()).is_some());
    let paused = settled(&read);
    assert!(paused < total / 2, "{paused} of {total} bytes were read");
    block_on(async { while stream.next().await.is_some() {} });
    assert_eq!(read.load(Ordering::SeqCst), total);
}

#[test]
fn dropping_a_stream_ends_reading() {
    let file = many(6_000).to_pcap();
    let total = file.len();
    let read = Arc::new(AtomicUsize::new(0));
    let source = Counted {
        bytes: Cursor::new(file),
        read: Arc::clone(&read),
    };
    let reader = CaptureReader::from_read(source, "counted").expect("a capture");
    let stream = AsyncCapture::new(reader).flow_stream(five());
    drop(stream);
    assert!(settled(&read) < total);
}

#[test]
fn each_conversation_is_a_stream_of_its_own() {
    let mut scenario = Scenario::new();
    scenario.plays_together((1..=5).map(|port| {
        let mut talk = talk(port);
        if port == 3 {
            talk.client().loses_unseen(b"lost");
        }
        talk.client().sends(format!("port {port}").as_bytes());
        talk.closes();
        talk
    }));
    let capture = AsyncCapture::new(opened(&scenario.into_recording()));
    let mut conversations = capture.conversations(five());
    let mut said = BTreeMap::new();
    let readers: Vec<_> = block_on(async {
        let mut readers = Vec::new();
        while let Some(conversation) = conversations.next().await {
            let mut conversation = conversation.expect("undamaged");
            if conversation.key.a.port == 5 {
                // Nobody wants this one: what it says is discarded.
                continue;
            }
            readers.push(thread::spawn(move || {
                block_on(async {
                    let mut items = Vec::new();
                    while let Some((_, item)) = conversation.next().await {
                        items.push(item);
                    }
                    (conversation.key.a.port, items)
                })
            }));
        }
        readers
    });
    for reader in readers {
        let (port, items) = reader.join().expect("no reader panics");
        said.insert(port, items);
    }
    assert_eq!(said.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4]);
    for (port, items) in said {
        let bytes = |wanted: Direction| -> Vec<u8> {
            let of_side = items.iter().filter_map(|item| match item {
                ConversationItem::Chunk { side, bytes } if *side == wanted => {
                    Some(bytes.as_slice())
                }
                _ => None,
            });
            of_side.flatten().copied().collect()
        };
        assert_eq!(
            String::from_utf8_lossy(&bytes(Direction::ToServer)),
            format!("oneport {port}")
        );
        assert_eq!(bytes(Direction::ToClient), b"two");
        let gap = ConversationItem::Gap {
            side: Direction::ToServer,
            bytes: 4,
        };
        assert_eq!(items.contains(&gap), port == 3);
        assert!(matches!(
            items.last(),
            Some(ConversationItem::Closed { .. })
        ));
    }
}
