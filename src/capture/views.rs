//! Captures as sources for trackers and drivers.
//!
//! [`CaptureReader::next_view`] lends each packet; [`CaptureReader::owned_views`]
//! gives packets that may be kept. [`CaptureReader::events`] runs a driver
//! over the whole capture, and the methods below it do so with the usual
//! ones; [`Events::over`] does it with any [`Source`]. Damage is told where it stands, once; then the flows under way end.

use std::collections::VecDeque;

use super::file::{CaptureError, CaptureReader, Record};
use crate::analysis::driver::{
    DatagramDriver, DatagramParserFactory, Driver, SessionDriver, SessionParserFactory,
};
use crate::analysis::extract::{FlowExtractor, PacketView};
use crate::analysis::tracker::FlowTracker;
use crate::packet::LinkType;
use crate::time::Timestamp;

impl<'a> Record<'a> {
    /// The packet as trackers take it.
    pub fn view(&self) -> PacketView<'a> {
        PacketView::new(self.bytes, self.timestamp)
            .with_link(self.link)
            .with_wire_len(self.orig_len.max(self.bytes.len() as u32))
    }
}

/// Where packets come from, one after the other.
pub trait Source {
    /// # Errors
    /// When it is damaged or cannot be read on.
    fn next(&mut self) -> Result<Next<'_>, CaptureError>;
}

/// What a source gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    Packet(Record<'a>),
    /// None for a while: there will be none that is older.
    Nothing(Timestamp),
    End,
}

impl Source for CaptureReader {
    fn next(&mut self) -> Result<Next<'_>, CaptureError> {
        Ok(CaptureReader::next(self)?.map_or(Next::End, Next::Packet))
    }
}

impl CaptureReader {
    /// The next packet as a view; as [`CaptureReader::next`].
    ///
    /// # Errors
    /// When the capture is damaged or cannot be read on.
    pub fn next_view(&mut self) -> Result<Option<PacketView<'_>>, CaptureError> {
        Ok(self.next()?.map(|record| record.view()))
    }

    /// Every packet, as views of their own.
    pub fn owned_views(mut self) -> impl Iterator<Item = Result<OwnedView, CaptureError>> {
        std::iter::from_fn(move || match self.next() {
            Ok(record) => record.map(|record| Ok(OwnedView::of(&record))),
            Err(error) => Some(Err(error)),
        })
    }

    /// What a driver makes of the capture.
    pub fn events<D: Driver>(self, driver: D) -> Events<D> {
        Events::over(Box::new(self), driver)
    }

    /// The lives of all flows.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::path::Path;
    /// use wero::analysis::extract::{AutoDetectEncap, FiveTuple};
    /// use wero::analysis::tracker::FlowEvent;
    /// use wero::capture::file::CaptureReader;
    ///
    /// let capture = CaptureReader::open(Path::new("tests/captures/stream-plain-v4.pcap"))?;
    /// let extractor = AutoDetectEncap::new(FiveTuple::bidirectional());
    /// let mut ended = 0;
    /// for event in capture.flow_events(extractor) {
    ///     if let FlowEvent::Ended { history, .. } = event? {
    ///         assert!(history.starts_with("Ss"), "a handshake");
    ///         ended += 1;
    ///     }
    /// }
    /// assert_eq!(ended, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn flow_events<E: FlowExtractor>(self, extractor: E) -> Events<FlowTracker<E>> {
        self.events(FlowTracker::new(extractor))
    }

    /// The lives of all flows and the messages of their TCP streams.
    pub fn session_events<E, F>(self, extractor: E, factory: F) -> Events<SessionDriver<E, F>>
    where
        E: FlowExtractor,
        F: SessionParserFactory<E::Key, Parser: 'static>,
    {
        self.events(SessionDriver::new(extractor, factory))
    }

    /// The lives of all flows and the messages in their datagrams.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::path::Path;
    /// use wero::analysis::driver::SessionEvent;
    /// use wero::analysis::extract::FiveTuple;
    /// use wero::capture::file::CaptureReader;
    /// use wero::proto::dns;
    ///
    /// let capture = CaptureReader::open(Path::new("tests/captures/datagrams-v4.pcap"))?;
    /// for event in capture.datagram_events(FiveTuple::bidirectional(), dns::Parser::default()) {
    ///     if let SessionEvent::Application { key, message, .. } = event? {
    ///         println!("{} {}: {message:?}", key.a, key.b);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn datagram_events<E, F>(self, extractor: E, factory: F) -> Events<DatagramDriver<E, F>>
    where
        E: FlowExtractor,
        F: DatagramParserFactory<E::Key, Parser: 'static>,
    {
        self.events(DatagramDriver::new(extractor, factory))
    }
}

/// A packet that was copied out of its capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedView {
    pub frame: Vec<u8>,
    pub timestamp: Timestamp,
    pub link: LinkType,
    /// Length of the frame on the wire, in bytes.
    pub wire_len: u32,
}

impl OwnedView {
    pub fn of(record: &Record<'_>) -> OwnedView {
        let view = record.view();
        OwnedView {
            frame: view.frame.to_vec(),
            timestamp: view.timestamp,
            link: view.link,
            wire_len: view.wire_len,
        }
    }

    pub fn view(&self) -> PacketView<'_> {
        PacketView::new(&self.frame, self.timestamp)
            .with_link(self.link)
            .with_wire_len(self.wire_len)
    }
}

/// The events of a driver over a capture.
pub struct Events<D: Driver> {
    /// Gone at its end.
    source: Option<Box<dyn Source + Send>>,
    driver: D,
    ready: VecDeque<D::Event>,
}

/// How far [`Events::advance`] came.
pub enum Progress<T> {
    Event(Result<T, CaptureError>),
    /// There is nothing to tell yet: whoever waits may want to stop.
    Nothing,
}

/// Packets that are read in a row without anything to tell.
const PATIENCE: u32 = 1024;

impl<D: Driver> Events<D> {
    /// What a driver makes of any source.
    pub fn over(source: Box<dyn Source + Send>, driver: D) -> Events<D> {
        Events {
            source: Some(source),
            driver,
            ready: VecDeque::new(),
        }
    }

    /// Goes on to the next event, but not for long; `None` at the end.
    pub fn advance(&mut self) -> Option<Progress<D::Event>> {
        for _ in 0..PATIENCE {
            if let Some(event) = self.ready.pop_front() {
                return Some(Progress::Event(Ok(event)));
            }
            let damage = match self.source.as_mut()?.next() {
                Ok(Next::Packet(record)) => {
                    self.driver.on_packet(&record.view(), &mut self.ready);
                    continue;
                }
                Ok(Next::Nothing(now)) => {
                    self.driver.on_tick(now, &mut self.ready);
                    break;
                }
                Ok(Next::End) => None,
                Err(error) => Some(error),
            };
            self.source = None;
            self.driver.on_end(&mut self.ready);
            if let Some(error) = damage {
                return Some(Progress::Event(Err(error)));
            }
        }
        Some(Progress::Nothing)
    }

    /// The driver, to be asked for counters.
    pub fn driver(&self) -> &D {
        &self.driver
    }
}

impl<D: Driver> Iterator for Events<D> {
    type Item = Result<D::Event, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Progress::Event(event) = self.advance()? {
                return Some(event);
            }
        }
    }
}
