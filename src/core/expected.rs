//! Connections that another connection has announced, such as those that FTP
//! sends files over: found when they open, and tied to who announced them.
//!
//! Both tables are capped: the oldest announcement makes room, and ties whose
//! flow is gone are dropped when there are many.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use crate::addr::Addr;
use crate::time::Timestamp;

/// Announcements that wait at a time.
const WAITING: usize = 4096;
/// How long one waits.
const PATIENCE: Duration = Duration::from_secs(120);
/// Ties above which those of flows that are gone are looked for.
const MANY: usize = 4096;

/// Where a connection is expected: to that end, from wherever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Expectation {
    pub to: Addr,
    pub port: u16,
    pub vlan: u32,
    pub tunnel: u32,
}

/// Slot and generation of a flow.
pub type FlowName = (u32, u32);

/// Announcements that wait, by where the connection will lead, each with who
/// made it.
#[derive(Debug)]
pub struct Waiting<Place, By> {
    waiting: HashMap<Place, (By, Timestamp)>,
    order: VecDeque<Place>,
}

impl<Place, By> Default for Waiting<Place, By> {
    fn default() -> Self {
        Waiting {
            waiting: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<Place: Clone + Eq + Hash, By> Waiting<Place, By> {
    /// A connection is announced. One that was before is announced anew.
    pub fn add(&mut self, place: Place, by: By, now: Timestamp) {
        if self.waiting.len() >= WAITING
            && let Some(oldest) = self.order.pop_front()
        {
            self.waiting.remove(&oldest);
        }
        if self.waiting.insert(place.clone(), (by, now)).is_none() {
            self.order.push_back(place);
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A connection opens: who announced it, unless that is too long ago.
    pub fn take(&mut self, place: &Place, now: Timestamp) -> Option<By> {
        let (by, since) = self.waiting.remove(place)?;
        self.order.retain(|other| other != place);
        (now <= since + PATIENCE).then_some(by)
    }
}

/// What is expected, and what came of it.
#[derive(Debug, Default)]
pub struct Expected {
    waiting: Waiting<Expectation, FlowName>,
    /// Flow by slot: its generation, and who announced it.
    parents: HashMap<u32, (u32, FlowName)>,
}

impl Expected {
    /// A flow announces a connection.
    pub fn add(&mut self, expectation: Expectation, by: FlowName, now: Timestamp) {
        self.waiting.add(expectation, by, now);
    }

    /// Whether anything is expected.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A connection opens: true if it was announced. `is_live` says which
    /// flows are.
    pub fn opened(
        &mut self,
        expectation: &Expectation,
        flow: FlowName,
        now: Timestamp,
        is_live: impl Fn(FlowName) -> bool,
    ) -> bool {
        let Some(by) = self.waiting.take(expectation, now) else {
            return false;
        };
        if self.parents.len() >= MANY {
            self.parents
                .retain(|&slot, &mut (generation, _)| is_live((slot, generation)));
        }
        self.parents.insert(flow.0, (flow.1, by));
        true
    }

    /// Who announced a flow.
    pub fn parent(&self, flow: FlowName) -> Option<FlowName> {
        let (generation, by) = self.parents.get(&flow.0)?;
        (*generation == flow.1).then_some(*by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(port: u16) -> Expectation {
        Expectation {
            to: Addr::v4([10, 0, 0, 1]),
            port,
            vlan: 0,
            tunnel: 0,
        }
    }

    #[test]
    fn an_announced_connection_knows_its_parent_once() {
        let mut expected = Expected::default();
        expected.add(to(1025), (3, 1), Timestamp(0));
        assert!(!expected.opened(&to(1026), (4, 1), Timestamp(5), |_| true));
        assert!(expected.opened(&to(1025), (5, 1), Timestamp(5), |_| true));
        assert!(!expected.opened(&to(1025), (6, 1), Timestamp(5), |_| true));
        assert_eq!(expected.parent((5, 1)), Some((3, 1)));
        assert_eq!(expected.parent((5, 3)), None, "another flow in the slot");
        assert!(expected.is_empty());
    }

    #[test]
    fn announcements_grow_old_and_few() {
        let mut expected = Expected::default();
        expected.add(to(1), (3, 1), Timestamp(0));
        let late = Timestamp(0) + PATIENCE + Duration::from_secs(1);
        assert!(!expected.opened(&to(1), (5, 1), late, |_| true));
        for port in 0..=WAITING as u16 {
            expected.add(to(port), (3, 1), Timestamp(0));
        }
        assert_eq!(expected.waiting.waiting.len(), WAITING);
        assert!(!expected.opened(&to(0), (5, 1), Timestamp(0), |_| true));
    }
}
