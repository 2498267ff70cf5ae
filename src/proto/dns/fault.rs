//! What can be wrong with a message.

use std::fmt;

/// A message that cannot be read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// Offset in the message.
    pub at: usize,
}

/// Kinds of faults; [`FaultKind::name`] is the `event` of anomalies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The message ends before what it announces.
    Truncated,
    /// A compression pointer that does not go back to a name: a loop, a
    /// pointer forward, or one into the header.
    Pointer,
    /// A label of a kind that is not in use.
    Label,
    /// A name of more than 255 bytes.
    LongName,
    /// The data of a record do not fit its type.
    RecordData,
    /// More text than is shown of one message.
    TooMuch,
    /// A frame of a stream that is too short for a message.
    Frame,
}

impl FaultKind {
    pub fn at(self, at: usize) -> Fault {
        Fault { kind: self, at }
    }

    /// Name in anomalies and alerts.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Truncated => "truncated",
            FaultKind::Pointer => "bad_pointer",
            FaultKind::Label => "bad_label",
            FaultKind::LongName => "name_too_long",
            FaultKind::RecordData => "bad_record_data",
            FaultKind::TooMuch => "too_much",
            FaultKind::Frame => "bad_frame",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            FaultKind::Truncated => "message ends early",
            FaultKind::Pointer => "compression pointer that does not go back to a name",
            FaultKind::Label => "label of an unknown kind",
            FaultKind::LongName => "name longer than 255 bytes",
            FaultKind::RecordData => "data that do not fit the record's type",
            FaultKind::TooMuch => "more text than is shown of one message",
            FaultKind::Frame => "frame too short for a message",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind.meaning(), self.at)
    }
}
