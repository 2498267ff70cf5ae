//! The alert record: what a rule reports, before any sink puts it into words.
//!
//! Every field but the id and the time of raising may be missing. An update
//! is an alert of its own with the id of the first, holding only what changed.
//! Not here: giving out ids (`rule`), writing alerts (`sink`).

use std::net::IpAddr;

use crate::time::Timestamp;

/// One alert, or an update of an earlier one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alert {
    /// From 1, unique in the process; an update has that of its alert.
    pub id: u64,
    pub update: bool,
    /// When it was raised.
    pub time: Timestamp,
    /// When what is reported began; zero counts as absent.
    pub start_time: Option<Timestamp>,
    /// When it ended; zero counts as absent.
    pub end_time: Option<Timestamp>,
    pub severity: Option<Severity>,
    pub confidence: Option<Confidence>,
    pub completion: Option<Completion>,
    pub description: Option<String>,
    pub method: Option<Method>,
    /// `None` says nothing of sources, an empty list that there are none.
    pub sources: Option<Vec<Node>>,
    /// As with `sources`.
    pub targets: Option<Vec<Node>>,
    /// Ids of related alerts.
    pub refs: Vec<u64>,
    /// The packet being judged when it was raised, by number in the capture.
    pub packet: Option<u64>,
    /// The flow that packet belongs to.
    pub flow: Option<FlowContext>,
    /// Where the rule that raised it stands, as `file:line`.
    pub rule: Option<String>,
}

/// How grave the reported thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Low,
    Medium,
    High,
}

/// How sure the rule is: in the words of [`Severity`], or on a scale of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Confidence {
    Level(Severity),
    Number(f64),
}

/// Whether an attack reached its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    Failed,
    Successful,
}

/// How an attack is done. Says nothing when both parts are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Method {
    pub description: Option<String>,
    /// Names in catalogues, such as `cve/2014-0160`.
    pub refs: Vec<String>,
}

/// One end of what is reported, under all the names it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub kind: NodeKind,
    pub values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    Address,
    Service,
}

/// The flow an alert was raised in, as seen from its opener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowContext {
    pub id: u64,
    pub source: IpAddr,
    pub destination: IpAddr,
    /// Absent where the protocol has no ports.
    pub source_port: Option<u16>,
    pub destination_port: Option<u16>,
    /// IP protocol number.
    pub protocol: u8,
}

impl Severity {
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
        }
    }

    /// The severity of that name.
    pub fn parse(name: &str) -> Option<Severity> {
        [Severity::Low, Severity::Medium, Severity::High]
            .into_iter()
            .find(|severity| severity.name() == name)
    }
}

impl Completion {
    pub const fn name(self) -> &'static str {
        match self {
            Completion::Failed => "failed",
            Completion::Successful => "successful",
        }
    }

    /// The completion of that name.
    pub fn parse(name: &str) -> Option<Completion> {
        [Completion::Failed, Completion::Successful]
            .into_iter()
            .find(|completion| completion.name() == name)
    }
}

impl NodeKind {
    pub const fn name(self) -> &'static str {
        match self {
            NodeKind::Address => "address",
            NodeKind::Service => "service",
        }
    }
}

impl Method {
    /// Whether there is anything to say.
    pub fn is_empty(&self) -> bool {
        self.description.is_none() && self.refs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_written() {
        assert_eq!(Severity::parse("medium"), Some(Severity::Medium));
        assert_eq!(Severity::parse("Medium"), None);
        assert_eq!(
            Completion::parse("successful"),
            Some(Completion::Successful)
        );
        assert_eq!(Completion::parse("low"), None);
        assert!(Severity::Low < Severity::High);
    }
}
