//! Sends documents to Elasticsearch and OpenSearch servers.
//!
//! One thread sends what the queue holds, in order: documents in bulk
//! requests, new indices by themselves. A request that gets no answer, or
//! whose server is busy, is tried again with growing pauses; one that the
//! server refuses is not. Documents have ids, so that one that is sent twice
//! is stored once. Trouble is logged once a kind.

mod bulk;
mod queue;

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use ureq::Agent;

use crate::event::{StoreAction, StoreRequest};
pub use queue::Limits;
use queue::{Queue, Trouble};

/// The longest answer that is read.
const LONGEST_ANSWER: u64 = 16 << 20;

/// The sending thread and its queue.
pub struct Elasticsearch {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl Elasticsearch {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no room for another thread.
    pub fn start(limits: Limits) -> std::io::Result<Elasticsearch> {
        let queue = Arc::new(Queue::new(limits));
        let own = Arc::clone(&queue);
        let thread = thread::Builder::new()
            .name("elasticsearch".to_owned())
            .spawn(move || {
                // Also when a request panics, nobody may wait for the rest.
                let _end = End(&own);
                Sender::new(&own).run();
            })?;
        Ok(Elasticsearch {
            queue,
            thread: Some(thread),
        })
    }

    /// Queues a request. Waits for room only while the server keeps up.
    pub fn add(&self, request: StoreRequest) {
        self.queue.add(request);
    }

    /// What is to be logged, as errors of section `elasticsearch`.
    pub fn take_notices(&self) -> Vec<String> {
        self.queue.take_notices()
    }

    /// Sends the rest, as long as `Limits::closing` allows; returns what is
    /// still to be logged.
    pub fn close(mut self) -> Vec<String> {
        let (ended, lost) = self.queue.close();
        if let Some(thread) = self.thread.take().filter(|_| ended) {
            // What it panicked with has been told on standard error.
            let _ = thread.join();
        }
        let mut notices = self.queue.take_notices();
        if lost > 0 {
            notices.push(format!("{lost} documents were not stored"));
        }
        notices
    }
}

impl Drop for Elasticsearch {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

struct End<'a>(&'a Queue);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Why a request did not do its work.
enum Failure {
    /// Again later, perhaps.
    Passing(Trouble, String),
    /// It would fail again.
    Lasting(Trouble, String),
}

struct Sender<'a> {
    queue: &'a Queue,
    agent: Agent,
}

impl<'a> Sender<'a> {
    fn new(queue: &'a Queue) -> Sender<'a> {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // What is no answer of the server that rules name is an error.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("wero/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Sender { queue, agent }
    }

    fn run(&self) {
        while let Some(batch) = self.queue.take() {
            let lost = self.deliver(&batch);
            self.queue.done(&batch, lost);
        }
    }

    /// Sends requests that belong together until they are through or given
    /// up; how many are not stored.
    fn deliver(&self, batch: &[StoreRequest]) -> u64 {
        let limits = self.queue.limits();
        let mut left: Vec<&StoreRequest> = batch.iter().collect();
        let (mut lost, mut pause) = (0, limits.back_off);
        for attempt in 1..=limits.tries.max(1) {
            match self.send(&left) {
                Ok(items) => {
                    self.queue.set_failing(!items.busy.is_empty());
                    lost += items.refused;
                    if let Some(reason) = items.reason {
                        self.queue.tell(Trouble::Documents, || {
                            format!("document refused: {reason}; its fields must fit the index")
                        });
                    }
                    left = items
                        .busy
                        .into_iter()
                        .filter_map(|place| left.get(place).copied())
                        .collect();
                }
                Err(Failure::Lasting(trouble, text)) => {
                    self.queue.set_failing(false);
                    self.queue.tell(trouble, || text);
                    break;
                }
                Err(Failure::Passing(trouble, text)) => {
                    self.queue.set_failing(true);
                    self.queue.tell(trouble, || text);
                }
            }
            if left.is_empty() || attempt == limits.tries || !self.queue.pause(pause) {
                break;
            }
            pause = (pause * 2).min(limits.longest_back_off);
        }
        lost + left.len() as u64
    }

    fn send(&self, requests: &[&StoreRequest]) -> Result<bulk::Items, Failure> {
        let Some(first) = requests.first() else {
            return Ok(bulk::Items::default());
        };
        let (server, authorization) = bulk::credentials(&first.server);
        let authorization = authorization.as_deref();
        if first.action == StoreAction::NewIndex {
            let url = format!("{server}/{}", first.index);
            let (status, answer) = self.exchange("PUT", &url, authorization, &first.body)?;
            // An index that is there already is what was asked for.
            let there = status == 400 && String::from_utf8_lossy(&answer).contains("xists");
            return match there {
                true => Ok(bulk::Items::default()),
                false => accept(status, &url).map(|()| bulk::Items::default()),
            };
        }
        let url = format!("{server}/_bulk");
        let mut body = String::new();
        for request in requests {
            bulk::lines(request, &mut body);
        }
        let (status, answer) = self.exchange("POST", &url, authorization, &body)?;
        accept(status, &url)?;
        Ok(bulk::items(&answer))
    }

    fn exchange(
        &self,
        method: &str,
        url: &str,
        authorization: Option<&str>,
        body: &str,
    ) -> Result<(u16, Vec<u8>), Failure> {
        let request = match method {
            "PUT" => self.agent.put(url),
            _ => self.agent.post(url),
        };
        let mut request = request
            .config()
            .timeout_global(Some(self.queue.time_for_request()))
            .build()
            .header("Content-Type", content_type(method));
        if let Some(value) = authorization {
            request = request.header("Authorization", value);
        }
        let failed = |error: ureq::Error| no_answer(url, &error);
        let mut response = request.send(body).map_err(failed)?;
        let answer = response
            .body_mut()
            .with_config()
            .limit(LONGEST_ANSWER)
            .read_to_vec();
        Ok((response.status().as_u16(), answer.map_err(failed)?))
    }
}

fn content_type(method: &str) -> &'static str {
    match method {
        "PUT" => "application/json",
        _ => "application/x-ndjson",
    }
}

fn accept(status: u16, url: &str) -> Result<(), Failure> {
    let trouble = Trouble::Status(status);
    let text = |advice: &str| format!("request failed: {url} return error {status}{advice}");
    match status {
        200..300 => Ok(()),
        401 | 403 => Err(Failure::Lasting(
            trouble,
            text("; write name and password into the address: http://name:password@host:9200"),
        )),
        429 | 502..=504 => Err(Failure::Passing(trouble, text("; it is tried again"))),
        _ => Err(Failure::Lasting(trouble, text(""))),
    }
}

fn no_answer(url: &str, error: &ureq::Error) -> Failure {
    let text = format!("request failed: {url}: {error}");
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::BodyExceedsLimit(_) => {
            Failure::Lasting(Trouble::Connection, text)
        }
        _ => Failure::Passing(
            Trouble::Connection,
            format!("{text}; it is tried again: is the server up, and this its address?"),
        ),
    }
}

#[cfg(test)]
mod tests;
