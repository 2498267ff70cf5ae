//! Events of captures as streams, for programs with an async runtime.
//!
//! A thread of its own reads the capture and drives the tracker; what it
//! finds goes through a channel of [`CAPACITY`] items. A consumer that is
//! slow pauses the thread, and with it reading: memory stays flat. Dropping a
//! stream ends its thread. Any executor will do; there is none in here.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::path::Path;
//! use wero::analysis::extract::FiveTuple;
//! use wero::analysis::tracker::FlowEvent;
//! use wero::capture::asynchronous::AsyncCapture;
//!
//! let capture = AsyncCapture::open(Path::new("tests/captures/stream-plain-v4.pcap"))?;
//! let mut events = capture.flow_stream(FiveTuple::bidirectional());
//! let ended = pollster::block_on(async {
//!     let mut ended = 0;
//!     while let Some(event) = events.next().await {
//!         ended += u32::from(matches!(event, Ok(FlowEvent::Ended { .. })));
//!     }
//!     ended
//! });
//! assert_eq!(ended, 1);
//! # Ok(())
//! # }
//! ```

mod channel;
mod conversation;

use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use futures_core::Stream;

pub use conversation::{Conversation, Conversations};

use super::file::{CaptureError, CaptureReader};
#[cfg(target_os = "linux")]
use super::interface::Interface;
use super::views::{Events, Progress, Source};
use crate::analysis::driver::{
    DatagramDriver, DatagramParserFactory, Driver, SessionDriver, SessionEvent,
    SessionParserFactory,
};
use crate::analysis::extract::FlowExtractor;
use crate::analysis::tracker::{FlowEvent, FlowTracker};
use crate::proto::parser::{DatagramParser, SessionParser};
use channel::{Receiver, bounded};

/// Items that a channel holds before reading pauses.
pub const CAPACITY: usize = 64;

/// A capture, or an interface, whose events come as streams.
pub struct AsyncCapture(Box<dyn Source + Send>);

/// Events, or the damage of the capture.
type Outcome<T> = Result<T, CaptureError>;

impl AsyncCapture {
    /// Opens the capture at `path`; `-` is standard input.
    ///
    /// # Errors
    /// As [`CaptureReader::open`].
    pub fn open(path: &Path) -> Result<AsyncCapture, CaptureError> {
        CaptureReader::open(path).map(AsyncCapture::new)
    }

    /// Listens on a network interface. The streams have no end; a slow
    /// consumer makes the kernel drop packets when its buffer is full.
    ///
    /// # Errors
    /// As [`Interface::open`].
    #[cfg(target_os = "linux")]
    pub fn open_interface(name: &str) -> Result<AsyncCapture, CaptureError> {
        Ok(AsyncCapture::new(Interface::open(name)?))
    }

    /// Takes any source, such as a capture that is read from elsewhere.
    pub fn new(source: impl Source + Send + 'static) -> AsyncCapture {
        AsyncCapture(Box::new(source))
    }

    /// What any driver makes of the capture.
    pub fn stream<D>(self, driver: D) -> EventStream<D::Event>
    where
        D: Driver<Event: Send> + Send + 'static,
    {
        let (sender, receiver) = bounded(CAPACITY);
        thread::spawn(move || {
            let mut events = Events::over(self.0, driver);
            while let Some(progress) = events.advance() {
                let closed = match progress {
                    Progress::Event(event) => sender.send(event).is_err(),
                    Progress::Nothing => sender.is_closed(),
                };
                if closed {
                    break;
                }
            }
        });
        EventStream(receiver)
    }

    /// The lives of all flows.
    pub fn flow_stream<E>(self, extractor: E) -> EventStream<FlowEvent<E::Key>>
    where
        E: FlowExtractor<Key: Send> + Send + 'static,
    {
        self.stream(FlowTracker::<E>::new(extractor))
    }

    /// The lives of all flows and the messages of their TCP streams.
    pub fn session_stream<E, F>(
        self,
        extractor: E,
        factory: F,
    ) -> EventStream<SessionEvent<E::Key, <F::Parser as SessionParser>::Message>>
    where
        E: FlowExtractor<Key: Send> + Send + 'static,
        F: SessionParserFactory<E::Key, Parser: Send + 'static> + Send + 'static,
        <F::Parser as SessionParser>::Message: Send,
    {
        self.stream(SessionDriver::new(extractor, factory))
    }

    /// The lives of all flows and the messages in their datagrams.
    pub fn datagram_stream<E, F>(
        self,
        extractor: E,
        factory: F,
    ) -> EventStream<SessionEvent<E::Key, <F::Parser as DatagramParser>::Message>>
    where
        E: FlowExtractor<Key: Send> + Send + 'static,
        F: DatagramParserFactory<E::Key, Parser: Send + 'static> + Send + 'static,
        <F::Parser as DatagramParser>::Message: Send,
    {
        self.stream(DatagramDriver::new(extractor, factory))
    }

    /// Both directions of every flow as one ordered stream each. They come
    /// as they begin, and are to be read side by side: one that is neither
    /// read nor dropped pauses all others.
    pub fn conversations<E>(self, extractor: E) -> Conversations<E::Key>
    where
        E: FlowExtractor<Key: Send> + Send + 'static,
    {
        conversation::start(self.0, extractor)
    }
}

/// Events as they are found.
pub struct EventStream<T>(Receiver<Outcome<T>>);

impl<T> EventStream<T> {
    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> Option<Outcome<T>> {
        next(self).await
    }
}

impl<T> Stream for EventStream<T> {
    type Item = Outcome<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Outcome<T>>> {
        Pin::new(&mut self.0).poll_next(context)
    }
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}
