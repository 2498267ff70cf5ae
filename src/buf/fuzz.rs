//! A fuzz body: random edits on the store and on a plain model of it.
//!
//! The model knows every byte by a number of its own and keeps buffers as
//! vectors, so that bytes, control nodes, positions and pieces can all be
//! compared after every step. It also walks the store's links.

use super::list::Kind;
use super::slab::NIL;
use super::{BufError, BufId, Limits, Pos, Selection, Span, Store};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Item {
    Byte {
        id: u32,
        value: u8,
    },
    Mark(usize),
    /// A selection's hole and which part of it.
    Hole(usize, u32),
    Seam(usize, u32),
    /// The end of piece so many.
    Boundary(usize),
}

struct Model {
    buf: BufId,
    items: Vec<Item>,
    stream: bool,
}

/// What a stored position is tied to.
#[derive(Clone, Copy)]
enum Anchor {
    Before(u32),
    Behind(u32),
}

struct World<'a> {
    data: &'a [u8],
    store: Store,
    models: Vec<Model>,
    /// What each piece held when it was pushed, if all of it was there.
    pieces: Vec<Option<Vec<Item>>>,
    marks: Vec<Option<Pos>>,
    holes: Vec<Option<Selection>>,
    positions: Vec<(Pos, Anchor)>,
    next_id: u32,
}

/// Runs the edits that `data` spells and checks each against the model.
pub fn fuzz_buffer(data: &[u8]) {
    let limits = Limits {
        nodes_per_buffer: 64,
        buffers: 16,
        ..Limits::default()
    };
    let mut world = World {
        data,
        store: Store::new(limits),
        models: Vec::new(),
        pieces: Vec::new(),
        marks: Vec::new(),
        holes: Vec::new(),
        positions: Vec::new(),
        next_id: 0,
    };
    let stream = world.store.stream_new().expect("the store is empty");
    world.models.push(Model {
        buf: stream,
        items: Vec::new(),
        stream: true,
    });
    while !world.data.is_empty() {
        world.turn();
        world.compare();
    }
    for model in std::mem::take(&mut world.models) {
        world.store.free(model.buf);
    }
    assert_eq!(world.store.live_buffers(), 0);
    let popped = world
        .store
        .stream_new()
        .map(|stream| world.store.stream_pop(stream));
    assert_eq!(popped, Ok(None), "which also lets go of the last pop");
    assert_eq!(world.store.live_nodes(), 0);
    assert_eq!(world.store.extents.live(), 0);
}

impl World<'_> {
    fn next(&mut self) -> usize {
        let Some((&first, rest)) = self.data.split_first() else {
            return 0;
        };
        self.data = rest;
        usize::from(first)
    }

    fn pick(&mut self) -> usize {
        self.next() % self.models.len()
    }

    fn turn(&mut self) {
        match self.next() % 16 {
            0 | 1 => self.create(),
            2 | 3 => self.insert(),
            4 => self.erase(),
            5 => self.replace(),
            6 => self.set_string(),
            7 => self.select(),
            8 => self.restore(),
            9 => self.split(),
            10 => self.mark(),
            11 => self.unmark(),
            12 | 13 => self.push(),
            14 => self.pop(),
            _ => self.free(),
        }
    }

    fn fresh(&mut self, len: usize) -> (Vec<u8>, Vec<Item>) {
        let bytes: Vec<u8> = (0..len)
            .map(|i| (self.next_id as usize + i) as u8)
            .collect();
        let first = self.next_id;
        self.next_id += len as u32;
        let items = (first..)
            .zip(&bytes)
            .map(|(id, &value)| Item::Byte { id, value })
            .collect();
        (bytes, items)
    }

    fn create(&mut self) {
        let len = self.next() % 9;
        let (bytes, items) = self.fresh(len);
        if let Ok(buf) = self.store.new_from(&bytes) {
            self.models.push(Model {
                buf,
                items,
                stream: false,
            });
        }
    }

    /// A place in a buffer: by offset or by a stored position.
    fn place(&mut self, at: usize) -> Option<(Pos, usize)> {
        let model = &self.models[at];
        let bytes = count(&model.items);
        let offset = self.next() % (bytes + 2);
        let model = &self.models[at];
        let pos = self.store.position(model.buf, Some(offset as u64)).ok()?;
        let byte = |index: usize| model.items.iter().filter_map(id_of).nth(index);
        let anchor = match pos {
            Pos::Head { .. } => byte(offset).map(Anchor::Before),
            Pos::Tail { .. } => byte(offset.wrapping_sub(1)).map(Anchor::Behind),
            _ => None,
        };
        if let Some(anchor) = anchor {
            self.positions.push((pos, anchor));
        }
        Some((pos, insertion_index(model, offset)))
    }

    fn insert(&mut self) {
        let (to, from) = (self.pick(), self.pick());
        let Some((pos, at)) = self.place(to) else {
            return;
        };
        if self.models[from].stream {
            return;
        }
        match self.store.insert(pos, self.models[from].buf) {
            Ok(inserted) => {
                let items = std::mem::take(&mut self.models[from].items);
                assert_eq!(inserted.len as usize, count(&items));
                self.check_span(inserted.span, &items);
                self.models[to].items.splice(at..at, items);
            }
            Err(BufError::Circular) => assert_eq!(from, to),
            Err(error) => assert_eq!(error, BufError::TooManyPieces),
        }
    }

    /// A range of bytes as a span, and the indexes of its first item and of
    /// the one behind its last.
    fn range(&mut self, at: usize) -> (Span, usize, usize) {
        let bytes = count(&self.models[at].items);
        let offset = self.next() % (bytes + 2);
        let len = self.next() % 7;
        let model = &self.models[at];
        let span = self.store.sub(model.buf, offset as u64, Some(len as u64));
        let span = span.expect("the buffer is alive");
        let len = len.min(bytes.saturating_sub(offset));
        if len == 0 {
            let index = insertion_index(model, offset);
            return (span, index, index);
        }
        (
            span,
            byte_index(model, offset),
            byte_index(model, offset + len - 1) + 1,
        )
    }

    fn erase(&mut self) {
        let at = self.pick();
        let (span, first, end) = self.range(at);
        match self.store.erase(span) {
            Ok(()) => {
                let kept = controls(&self.models[at].items[first..end]);
                self.models[at].items.splice(first..end, kept);
            }
            Err(error) => assert_eq!(error, BufError::TooManyPieces),
        }
    }

    fn replace(&mut self) {
        let (at, from) = (self.pick(), self.pick());
        let (span, first, end) = self.range(at);
        if self.models[from].stream {
            return;
        }
        match self.store.replace(span, self.models[from].buf) {
            Ok((new, len)) => {
                let mut items = std::mem::take(&mut self.models[from].items);
                assert_eq!(len as usize, count(&items));
                self.check_span(new, &items);
                items.extend(controls(&self.models[at].items[first..end]));
                self.models[at].items.splice(first..end, items);
            }
            Err(BufError::Circular) => assert_eq!(from, at),
            Err(error) => assert_eq!(error, BufError::TooManyPieces),
        }
    }

    fn set_string(&mut self) {
        let at = self.pick();
        let (span, first, end) = self.range(at);
        let len = self.next() % 5;
        let (bytes, mut items) = self.fresh(len);
        match self.store.set_string(span, &bytes) {
            Ok((new, len)) => {
                assert_eq!(len as usize, items.len());
                self.check_span(new, &items);
                items.extend(controls(&self.models[at].items[first..end]));
                self.models[at].items.splice(first..end, items);
            }
            Err(error) => assert_eq!(error, BufError::TooManyPieces),
        }
    }

    fn select(&mut self) {
        let at = self.pick();
        let (span, first, end) = self.range(at);
        match self.store.select(span) {
            Ok(selection) => {
                let hole = self.holes.len();
                let (mut left, mut taken) = (vec![Item::Hole(hole, 0)], Vec::new());
                let mut part = 0;
                for item in self.models[at].items[first..end].iter().copied() {
                    if let Item::Boundary(_) = item {
                        part += 1;
                        left.extend([item, Item::Hole(hole, part)]);
                        taken.push(Item::Seam(hole, part));
                    } else {
                        taken.push(item);
                    }
                }
                self.models[at].items.splice(first..end, left);
                let buf = selection.content;
                self.models.push(Model {
                    buf,
                    items: taken,
                    stream: false,
                });
                self.holes.push(Some(selection));
            }
            Err(error) => {
                assert!(matches!(
                    error,
                    BufError::TooManyPieces | BufError::TooManyBuffers
                ));
            }
        }
    }

    fn restore(&mut self) {
        let from = self.pick();
        if self.holes.is_empty() || self.models[from].stream {
            return;
        }
        let hole = self.next() % self.holes.len();
        let Some(selection) = self.holes[hole] else {
            return;
        };
        let to = self
            .models
            .iter()
            .position(|m| m.items.contains(&Item::Hole(hole, 0)));
        match self.store.restore(selection.place, self.models[from].buf) {
            Ok(()) => {
                let to = to.expect("the hole was found");
                let mut target = Item::Hole(hole, 0);
                for item in std::mem::take(&mut self.models[from].items) {
                    // A part may have been moved to another buffer.
                    if let Item::Seam(of, part) = item
                        && of == hole
                        && self.find(Item::Hole(hole, part)).is_some()
                    {
                        target = Item::Hole(hole, part);
                        continue;
                    }
                    let (model, index) = self.find(target).unwrap_or((to, 0));
                    self.models[model].items.insert(index, item);
                }
                self.drop_hole(hole);
            }
            Err(BufError::Circular) => assert_eq!(to, Some(from)),
            Err(BufError::NotReference) => assert_eq!(to, None),
            Err(error) => assert_eq!(error, BufError::TooManyPieces),
        }
    }

    fn find(&self, item: Item) -> Option<(usize, usize)> {
        self.models.iter().enumerate().find_map(|(model, found)| {
            found
                .items
                .iter()
                .position(|other| *other == item)
                .map(|index| (model, index))
        })
    }

    fn drop_hole(&mut self, hole: usize) {
        for model in &mut self.models {
            model
                .items
                .retain(|item| !matches!(item, Item::Hole(of, _) if *of == hole));
        }
        self.holes[hole] = None;
    }

    fn split(&mut self) {
        let at = self.pick();
        let Some((pos, _)) = self.place(at) else {
            return;
        };
        let split = self.store.split_at(pos);
        assert!(matches!(split, Ok(()) | Err(BufError::TooManyPieces)));
    }

    fn mark(&mut self) {
        let at = self.pick();
        let Some((pos, _)) = self.place(at) else {
            return;
        };
        // Unlike an insertion, a mark at the end of a stream is for what comes.
        let model = &self.models[at];
        let index = match pos {
            Pos::End { .. } => model.items.len(),
            _ => match self.positions.last() {
                Some((_, Anchor::Before(id))) => index_of(&model.items, *id),
                Some((_, Anchor::Behind(id))) => index_of(&model.items, *id) + 1,
                None => return,
            },
        };
        match self.store.mark(pos, false) {
            Ok(mark) => {
                self.models[at]
                    .items
                    .insert(index, Item::Mark(self.marks.len()));
                self.marks.push(Some(mark));
            }
            Err(error) => assert_eq!(error, BufError::TooManyPieces),
        }
    }

    fn unmark(&mut self) {
        if self.marks.is_empty() {
            return;
        }
        let mark = self.next() % self.marks.len();
        let Some(pos) = self.marks[mark].take() else {
            return;
        };
        let place = self.find(Item::Mark(mark));
        let done = self.store.unmark(pos);
        assert_eq!(
            done.is_ok(),
            place.is_some(),
            "marks live as long as their buffer"
        );
        if let Some((model, index)) = place {
            self.models[model].items.remove(index);
        }
    }

    fn push(&mut self) {
        let from = self.pick();
        if self.models[from].stream {
            return;
        }
        match self
            .store
            .stream_push_buffer(self.models[0].buf, self.models[from].buf)
        {
            Ok(_) => {
                let items = std::mem::take(&mut self.models[from].items);
                // What comes back into a hole pushed along is no modification.
                let holes = items.iter().any(|item| matches!(item, Item::Hole(..)));
                let bytes = items.iter().filter(|item| id_of(item).is_some());
                self.pieces.push((!holes).then(|| bytes.copied().collect()));
                self.models[0].items.extend(items);
                self.models[0]
                    .items
                    .push(Item::Boundary(self.pieces.len() - 1));
            }
            Err(error) => assert_eq!(error, BufError::TooManyPieces),
        }
    }

    fn pop(&mut self) {
        let stream = self.models[0].buf;
        let items = &self.models[0].items;
        let end = items
            .iter()
            .position(|item| matches!(item, Item::Boundary(_)));
        let held = |item: &Item| matches!(item, Item::Mark(_) | Item::Hole(..));
        let end = end.filter(|end| !items[..*end].iter().any(held));
        assert_eq!(self.store.poppable(stream), end.is_some());
        let as_buffer = self.next().is_multiple_of(2);
        if as_buffer && self.models.len() >= 15 {
            return;
        }
        let Some(end) = end else {
            assert_eq!(self.store.stream_pop(stream), None);
            return;
        };
        let mut piece: Vec<Item> = self.models[0].items.drain(..=end).collect();
        let Some(Item::Boundary(number)) = piece.pop() else {
            return;
        };
        let bytes: Vec<Item> = piece
            .iter()
            .filter(|i| id_of(i).is_some())
            .copied()
            .collect();
        let changed = self.pieces[number]
            .as_ref()
            .is_some_and(|pushed| *pushed != bytes);
        if as_buffer {
            let buf = self.store.stream_pop_buffer(stream).expect("there is room");
            let buf = buf.expect("the piece is not held");
            assert!(self.store.is_modified(buf) || !changed);
            self.models.push(Model {
                buf,
                items: piece,
                stream: false,
            });
            return;
        }
        let popped = self
            .store
            .stream_pop(stream)
            .expect("the piece is not held");
        assert_eq!(popped.piece as usize, number);
        assert_eq!(popped.len, bytes.len());
        assert!(popped.modified || !changed);
        assert!(!popped.whole || !changed);
        if !popped.whole {
            let mut copy = Vec::new();
            self.store.popped_copy(&mut copy);
            assert_eq!(copy, values(&bytes));
        }
        let gone: Vec<u32> = bytes.iter().filter_map(id_of).collect();
        self.positions
            .retain(|(_, anchor)| !gone.contains(&id_of_anchor(*anchor)));
    }

    fn free(&mut self) {
        let at = self.pick();
        if self.models[at].stream {
            return;
        }
        let model = self.models.remove(at);
        self.store.free(model.buf);
        for item in &model.items {
            if let Item::Hole(hole, 0) = item {
                self.drop_hole(*hole);
            }
        }
        let owned = |hole: &Option<Selection>| hole.is_some_and(|hole| hole.content == model.buf);
        if let Some(hole) = self.holes.iter().position(owned) {
            self.drop_hole(hole);
        }
    }

    fn check_span(&mut self, span: Span, items: &[Item]) {
        let found = self.store.bytes(span).expect("the span was just made");
        assert_eq!(found, values(items));
    }

    fn compare(&mut self) {
        for model in &self.models {
            let mut bytes = Vec::new();
            self.store
                .copy_out(model.buf, &mut bytes)
                .expect("the buffer is alive");
            assert_eq!(bytes, values(&model.items));
            assert_eq!(self.store.len(model.buf), Ok(bytes.len() as u64));
            audit(&self.store, model.buf);
        }
        for (pos, anchor) in &self.positions {
            let (id, behind) = match *anchor {
                Anchor::Before(id) => (id, 0),
                Anchor::Behind(id) => (id, 1),
            };
            let place = self.models.iter().find_map(|model| {
                let rest = model
                    .items
                    .iter()
                    .skip_while(|item| id_of(item) != Some(id));
                let left = rest.filter_map(id_of).count();
                (left > 0).then(|| (model.buf, (left - behind) as u64))
            });
            match place {
                Some((buf, left)) => {
                    assert_eq!(self.store.available(*pos, u64::MAX), Ok(left));
                    assert_eq!(self.store.buffer_of(*pos), Ok(buf));
                }
                // Behind an erased byte there may be something left to rest on.
                None if behind == 1 => {}
                None => {
                    let gone = Err(BufError::InvalidIterator);
                    assert_eq!(self.store.available(*pos, u64::MAX), gone);
                }
            }
        }
    }
}

fn id_of(item: &Item) -> Option<u32> {
    if let Item::Byte { id, .. } = item {
        Some(*id)
    } else {
        None
    }
}

fn id_of_anchor(anchor: Anchor) -> u32 {
    match anchor {
        Anchor::Before(id) | Anchor::Behind(id) => id,
    }
}

fn values(items: &[Item]) -> Vec<u8> {
    let value = |item: &Item| {
        if let Item::Byte { value, .. } = item {
            Some(*value)
        } else {
            None
        }
    };
    items.iter().filter_map(value).collect()
}

fn count(items: &[Item]) -> usize {
    items.iter().filter_map(id_of).count()
}

fn controls(items: &[Item]) -> Vec<Item> {
    items
        .iter()
        .filter(|item| id_of(item).is_none())
        .copied()
        .collect()
}

fn index_of(items: &[Item], id: u32) -> usize {
    items
        .iter()
        .position(|item| id_of(item) == Some(id))
        .unwrap_or(items.len())
}

fn byte_index(model: &Model, offset: usize) -> usize {
    let bytes = model
        .items
        .iter()
        .enumerate()
        .filter(|(_, item)| id_of(item).is_some());
    bytes
        .map(|(index, _)| index)
        .nth(offset)
        .unwrap_or(model.items.len())
}

/// Where bytes inserted at an offset go: behind the byte before it, in front
/// of the first one, or at the end, which on a stream is in the last piece.
fn insertion_index(model: &Model, offset: usize) -> usize {
    let bytes = count(&model.items);
    if bytes > 0 && offset == 0 {
        return byte_index(model, 0);
    }
    if offset > 0 && offset <= bytes {
        return byte_index(model, offset - 1) + 1;
    }
    let end = model.items.len();
    let not_mark = model
        .items
        .iter()
        .rposition(|item| !matches!(item, Item::Mark(_)));
    match not_mark.map(|index| (index, model.items[index])) {
        Some((index, Item::Boundary(_))) if model.stream => index,
        _ => end,
    }
}

/// Checks a buffer's links, counts and runs.
fn audit(store: &Store, buf: BufId) {
    let buffer = store.buffer(buf).expect("the buffer is alive");
    let (mut node, mut prev, mut nodes, mut bytes) = (buffer.head, NIL, 0, 0);
    while node != NIL {
        let entry = store.node(node);
        assert_eq!((entry.prev, entry.buf), (prev, buf.0.index));
        if let Kind::Data(data) = &entry.kind {
            if let Some(before) = (data.run_prev != NIL).then(|| store.node(data.run_prev)) {
                let before = before.data().expect("runs link data nodes");
                assert_eq!(before.run_next, node);
                assert_eq!(before.run, data.run);
                assert!(before.at + before.len <= data.at, "a run is in order");
            }
            assert_ne!(store.runs.at(data.run).hint, NIL);
        }
        nodes += 1;
        bytes += u64::from(entry.len());
        prev = node;
        node = entry.next;
    }
    assert_eq!(
        (buffer.tail, buffer.nodes, buffer.len),
        (prev, nodes, bytes)
    );
    assert!(nodes <= store.limits.nodes_per_buffer + 1);
}
