//! Each flow as a stream of its own.

use std::collections::HashMap;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use futures_core::Stream;

use super::channel::{Receiver, Sender, bounded};
use super::{CAPACITY, Outcome, next};
use crate::analysis::driver::{ConversationDriver, ConversationItem};
use crate::analysis::extract::{FlowExtractor, L4};
use crate::capture::views::{Events, Progress, Source};
use crate::time::Timestamp;

/// The conversations of a capture, as they begin.
pub struct Conversations<K>(Receiver<Outcome<Conversation<K>>>);

impl<K> Conversations<K> {
    /// The next conversation; `None` at the end of the capture.
    pub async fn next(&mut self) -> Option<Outcome<Conversation<K>>> {
        next(self).await
    }
}

impl<K> Stream for Conversations<K> {
    type Item = Outcome<Conversation<K>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(context)
    }
}

/// What both sides of one flow say, in order. What it has to say after it is
/// dropped is discarded.
pub struct Conversation<K> {
    pub key: K,
    pub l4: Option<L4>,
    /// When it began.
    pub started: Timestamp,
    items: Receiver<(Timestamp, ConversationItem)>,
}

impl<K: Unpin> Conversation<K> {
    /// The next piece and its time; `None` behind
    /// [`ConversationItem::Closed`].
    pub async fn next(&mut self) -> Option<(Timestamp, ConversationItem)> {
        next(self).await
    }
}

impl<K: Unpin> Stream for Conversation<K> {
    type Item = (Timestamp, ConversationItem);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.items).poll_next(context)
    }
}

/// Reads on a thread of its own.
pub(super) fn start<E>(source: Box<dyn Source + Send>, extractor: E) -> Conversations<E::Key>
where
    E: FlowExtractor<Key: Send> + Send + 'static,
{
    let (sender, receiver) = bounded(CAPACITY);
    thread::spawn(move || {
        let mut hub = Hub {
            begun: sender,
            under_way: HashMap::new(),
        };
        let mut events = Events::over(source, ConversationDriver::new(extractor));
        while let Some(progress) = events.advance() {
            let wanted = match progress {
                Progress::Event(Ok(event)) => hub.pass(event.key, event.timestamp, event.item),
                Progress::Event(Err(error)) => hub.begun.send(Err(error)).is_ok(),
                Progress::Nothing => hub.is_wanted(),
            };
            if !wanted && hub.under_way.is_empty() {
                break;
            }
        }
    });
    Conversations(receiver)
}

/// Where each conversation goes.
struct Hub<K> {
    begun: Sender<Outcome<Conversation<K>>>,
    under_way: HashMap<K, Sender<(Timestamp, ConversationItem)>>,
}

impl<K: Clone + Eq + Hash> Hub<K> {
    /// Whether anybody wants conversations that are still to come; those that
    /// nobody reads any more are forgotten.
    fn is_wanted(&mut self) -> bool {
        self.under_way.retain(|_, sender| !sender.is_closed());
        !self.begun.is_closed()
    }

    /// Whether anybody wants conversations, as far as this piece shows.
    fn pass(&mut self, key: K, timestamp: Timestamp, item: ConversationItem) -> bool {
        if let ConversationItem::Opened { l4 } = item {
            let (sender, items) = bounded(CAPACITY);
            let conversation = Conversation {
                key: key.clone(),
                l4,
                started: timestamp,
                items,
            };
            let wanted = self.begun.send(Ok(conversation)).is_ok();
            if wanted {
                self.under_way.insert(key, sender);
            }
            return wanted;
        }
        let ends = matches!(item, ConversationItem::Closed { .. });
        if let Some(sender) = self.under_way.get(&key) {
            let dropped = sender.send((timestamp, item)).is_err();
            if ends || dropped {
                self.under_way.remove(&key);
            }
        }
        true
    }
}
