//! Flows in the order of their latest packets, as a list through their slab.

use slab::Slab;

use super::Entry;

/// A flow's neighbours in the list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Links {
    older: Option<usize>,
    newer: Option<usize>,
}

impl Links {
    pub fn newer(&self) -> Option<usize> {
        self.newer
    }
}

/// The ends of the list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recent {
    oldest: Option<usize>,
    newest: Option<usize>,
}

impl Recent {
    pub fn oldest(&self) -> Option<usize> {
        self.oldest
    }

    /// A flow that is not in the list becomes its newest.
    pub fn push<K, S>(&mut self, flows: &mut Slab<Entry<K, S>>, place: usize) {
        if let Some(entry) = flows.get_mut(place) {
            entry.links = Links {
                older: self.newest,
                newer: None,
            };
        }
        match self.newest.and_then(|newest| flows.get_mut(newest)) {
            Some(before) => before.links.newer = Some(place),
            None => self.oldest = Some(place),
        }
        self.newest = Some(place);
    }

    pub fn remove<K, S>(&mut self, flows: &mut Slab<Entry<K, S>>, place: usize) {
        let Some(Links { older, newer }) = flows.get(place).map(|entry| entry.links) else {
            return;
        };
        match older.and_then(|older| flows.get_mut(older)) {
            Some(before) => before.links.newer = newer,
            None => self.oldest = newer,
        }
        match newer.and_then(|newer| flows.get_mut(newer)) {
            Some(behind) => behind.links.older = older,
            None => self.newest = older,
        }
    }

    /// A flow of the list becomes its newest.
    pub fn touch<K, S>(&mut self, flows: &mut Slab<Entry<K, S>>, place: usize) {
        if self.newest != Some(place) {
            self.remove(flows, place);
            self.push(flows, place);
        }
    }
}
