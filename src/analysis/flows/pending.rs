//! Flows that were not handed out yet, and which is next.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::Open;

pub(super) enum Pending {
    /// Each waits for those before it.
    InOrder {
        /// By number; none under a number that no packet was counted under.
        flows: VecDeque<Option<Box<Open>>>,
        /// Number of the first.
        first: u64,
        handed_out: u64,
    },
    /// None waits for another.
    AsTheyEnd {
        flows: HashMap<u64, Box<Open>>,
        /// The last number of all: what is not here below it was handed out.
        newest: u64,
        opened: u64,
        over: BTreeSet<u64>,
    },
}

impl Default for Pending {
    fn default() -> Pending {
        Pending::InOrder {
            flows: VecDeque::new(),
            first: 0,
            handed_out: 0,
        }
    }
}

impl Pending {
    pub fn as_they_end() -> Pending {
        Pending::AsTheyEnd {
            flows: HashMap::new(),
            newest: 0,
            opened: 0,
            over: BTreeSet::new(),
        }
    }

    pub fn get(&mut self, flow: u64) -> Option<&mut Open> {
        match self {
            Pending::InOrder { flows, first, .. } => {
                let place = usize::try_from(flow.checked_sub(*first)?).ok()?;
                flows.get_mut(place)?.as_deref_mut()
            }
            Pending::AsTheyEnd { flows, .. } => flows.get_mut(&flow).map(Box::as_mut),
        }
    }

    /// The flow with that number, a new one if it was not there. `None` for
    /// one that was handed out already.
    pub fn get_or_open(&mut self, flow: u64, open: impl FnOnce() -> Open) -> Option<&mut Open> {
        match self {
            Pending::InOrder { flows, first, .. } => {
                if flows.is_empty() && flow > *first {
                    *first = flow;
                }
                let place = usize::try_from(flow.checked_sub(*first)?).ok()?;
                while flows.len() <= place {
                    flows.push_back(None);
                }
                let slot = flows.get_mut(place)?;
                Some(slot.get_or_insert_with(|| Box::new(open())))
            }
            Pending::AsTheyEnd {
                flows,
                newest,
                opened,
                ..
            } => {
                if flow > *newest {
                    *newest = flow;
                    *opened += 1;
                    let number = *opened;
                    flows.insert(flow, Box::new(Open { number, ..open() }));
                }
                flows.get_mut(&flow).map(Box::as_mut)
            }
        }
    }

    /// The flow with that number is over.
    pub fn note_over(&mut self, flow: u64) {
        if let Pending::AsTheyEnd { over, .. } = self {
            over.insert(flow);
        }
    }

    /// All numbers, in order.
    pub fn numbers(&self) -> Vec<u64> {
        match self {
            Pending::InOrder { flows, first, .. } => (*first..).take(flows.len()).collect(),
            Pending::AsTheyEnd { flows, .. } => {
                let mut numbers: Vec<u64> = flows.keys().copied().collect();
                numbers.sort_unstable();
                numbers
            }
        }
    }

    /// The next flow that is over and need not wait.
    pub fn take(&mut self) -> Option<Box<Open>> {
        match self {
            Pending::InOrder {
                flows,
                first,
                handed_out,
            } => loop {
                if matches!(flows.front()?, Some(open) if open.ending.is_none()) {
                    return None;
                }
                *first += 1;
                if let Some(mut open) = flows.pop_front()? {
                    *handed_out += 1;
                    open.number = *handed_out;
                    return Some(open);
                }
            },
            Pending::AsTheyEnd { flows, over, .. } => flows.remove(&over.pop_first()?),
        }
    }
}
