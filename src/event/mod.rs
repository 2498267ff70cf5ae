//! What can be hooked, and what comes of it.
//!
//! An event is a number with a subject: a packet slot or a flow slot. The
//! engine raises it only when somebody listens (`HookSet`), and everything
//! else about it stands in `Current`, which the Lua library reads in place.
//! Not here: who listens (`rule`), when events are raised (`engine`).

pub mod kinds;
pub mod log;
pub mod log_filter;
pub mod notice;
pub mod ops;
pub mod outward;
pub mod profile;
pub mod store;
pub mod verdict;

pub use kinds::{EVENTS, EventKind, EventRow, HookSet, Subject};
pub use log::Level;
pub use log_filter::LogFilter;
pub use notice::Notice;
pub use outward::{Complete, Loader, Outward, Terminal};
pub use profile::{Profile, Settings};
pub use store::{StoreAction, StoreRequest};
pub use verdict::{DropReason, Verdict};

use crate::flow::Direction;

/// The event being delivered, as the Lua library sees it.
///
/// Written by the engine before every event; fields that an event does not
/// use keep their last value.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Current {
    /// Slot of the packet in question.
    pub packet: u32,
    /// Slot of the flow in question.
    pub flow: u32,
    /// 0 to the server ("up"), 1 to the client ("down").
    pub direction: u32,
    /// Stream buffer that holds the direction's bytes, with its generation.
    pub stream: u32,
    pub stream_generation: u32,
    /// Bytes that arrived with this event, at the end of the stream.
    pub fresh: u32,
    /// Whether the stream has ended (FIN in order).
    pub finished: u32,
    /// Code of the fault, for `protocol_error` and handshake policies.
    pub detail: u32,
    /// Number of the stream's piece with which this event's bytes begin.
    pub piece: u32,
    /// Length of the text that an operation gave the address of.
    pub length: u32,
    /// Not zero: the bytes of this event, all of them new, are not in the
    /// stream yet; the operation `piece_show` puts them there. A number that
    /// no other event has had.
    pub loose: u32,
}

impl Current {
    /// The direction in question.
    pub fn way(&self) -> Direction {
        match self.direction {
            0 => Direction::ToServer,
            _ => Direction::ToClient,
        }
    }
}

/// What the engine calls for every event that somebody hears.
///
/// The engine holds no reference into its own state while it calls, so an
/// implementation may reach the state through the handle it was made with.
pub trait Hooks {
    /// Delivers one event. `Err` means that a listener failed: the engine
    /// then applies the failure policy to the event's subject. The flag says
    /// that the listener was stopped at a budget.
    fn fire(&mut self, kind: EventKind, subject: u32) -> Result<(), (ListenerFailed, bool)>;

    /// Delivers the event that [`Hooks::fire`] failed in to the listeners
    /// behind the one that failed. The result is as there.
    fn resume(&mut self, _: EventKind, _: u32) -> Result<(), (ListenerFailed, bool)> {
        Ok(())
    }
}

/// A listener raised an error or was stopped. It has been reported already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerFailed {
    /// An error with a message, or a runaway that was stopped.
    Error,
    /// `haka.abort()`: processing stops silently.
    Abort,
}
