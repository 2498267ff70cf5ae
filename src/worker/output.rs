//! Writes what workers say: text, alerts and packets, each to its place.
//!
//! Log lines and printed text go to standard output in the order in which
//! they arose, with the alerts if they are not sent elsewhere; what is fatal,
//! and refusals if they are asked for, go to standard error. Alerts get their
//! ids here, so that they count from 1 however many workers raise them.
//!
//! When the reader of standard output goes away, text is dropped and the run
//! goes on: the capture that is written may matter more.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};

use super::journal::{Entry, Journal};
use crate::alert::Alert;
use crate::capture::file::{CaptureError, CaptureWriter};
use crate::event::{DropReason, Level, StoreRequest};
use crate::sink::elasticsearch::{Elasticsearch, Limits};
use crate::sink::{AlertText, LogLines, alert_json};

/// Alerts of one worker that can still be updated or referred to. An update
/// of an older one stands as an alert of its own.
const REMEMBERED_ALERTS: usize = 1 << 20;

/// How alerts look.
#[derive(Clone, Copy, Debug)]
pub enum AlertForm {
    Text(AlertText),
    /// One JSON object a line.
    Json,
}

/// Where something could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("cannot write to standard output: {0}")]
    Text(io::Error),
    #[error("cannot write '{0}': {1}")]
    Alerts(String, io::Error),
    #[error("cannot start sending documents: {0}")]
    Documents(io::Error),
    #[error(transparent)]
    Capture(#[from] CaptureError),
}

/// The open ends of a run.
pub struct Output {
    text: Box<dyn Write>,
    text_closed: bool,
    /// Flush what was written before anybody waits for it.
    interactive: bool,
    lines: LogLines,
    alert_form: AlertForm,
    alert_file: Option<(String, BufWriter<File>)>,
    packets: Option<CaptureWriter>,
    /// Started by the first document.
    documents: Option<Elasticsearch>,
    /// Refused packets are told on standard error.
    pub tell_refusals: bool,
    ids: Vec<AlertIds>,
    alerts: u64,
    updates: u64,
    /// What went wrong where nobody could be told.
    failed: Option<OutputError>,
}

impl Output {
    /// Writes text to standard output; `colour` is for terminals.
    pub fn new(colour: bool, alert_form: AlertForm) -> Output {
        Output {
            // Standard output by itself would flush at every line end.
            text: Box::new(BufWriter::with_capacity(64 << 10, io::stdout())),
            text_closed: false,
            interactive: io::stdout().is_terminal(),
            lines: LogLines::new(colour),
            alert_form,
            alert_file: None,
            packets: None,
            documents: None,
            tell_refusals: false,
            ids: Vec::new(),
            alerts: 0,
            updates: 0,
            failed: None,
        }
    }

    /// Stands for an output that is elsewhere for a while.
    pub(super) fn away() -> Output {
        let mut output = Output::new(false, AlertForm::Json);
        output.text = Box::new(io::sink());
        output
    }

    /// The next write gives this error.
    pub(super) fn fail_later(&mut self, error: OutputError) {
        self.failed.get_or_insert(error);
    }

    /// Sends alerts to a file that is open for appending.
    pub fn alerts_to(&mut self, name: &str, file: File) {
        self.alert_file = Some((name.to_owned(), BufWriter::new(file)));
    }

    /// Sends packets that leave to a capture file.
    pub fn packets_to(&mut self, writer: CaptureWriter) {
        self.packets = Some(writer);
    }

    /// Whether packets that leave are wanted.
    pub fn takes_packets(&self) -> bool {
        self.packets.is_some()
    }

    /// Alerts written, updates not counted.
    pub fn alerts(&self) -> u64 {
        self.alerts
    }

    /// Updates of alerts written.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// A log line of the program itself.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn log(&mut self, level: Level, section: &str, text: &str) -> Result<(), OutputError> {
        let line = self.lines.line(level, section, text);
        if level == Level::Fatal {
            self.put_error(line.as_bytes());
            return Ok(());
        }
        self.put_text(line.as_bytes())
    }

    /// Writes some entries of a worker's journal.
    ///
    /// # Errors
    /// When a place cannot be written.
    pub fn write(
        &mut self,
        worker: usize,
        journal: &Journal,
        entries: &[Entry],
    ) -> Result<(), OutputError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        for entry in entries {
            match entry {
                Entry::Log {
                    level,
                    section,
                    text,
                } => self.log(*level, section, text)?,
                Entry::Alert(alert) => self.alert(worker, alert)?,
                Entry::NativeAlert(alert) => {
                    self.alerts += 1;
                    self.show(&Alert {
                        id: self.alerts,
                        ..Alert::clone(alert)
                    })?;
                }
                Entry::Print {
                    text,
                    to_error: true,
                } => self.put_error(journal.bytes(text)),
                Entry::Print {
                    text,
                    to_error: false,
                } => self.put_text(journal.bytes(text))?,
                Entry::Packet {
                    timestamp,
                    link,
                    wire_len,
                    bytes,
                } => {
                    if let Some(writer) = &mut self.packets {
                        writer.write(*timestamp, *link, journal.bytes(bytes), *wire_len)?;
                    }
                }
                Entry::Refused {
                    frame,
                    reason,
                    rule,
                } => self.refusal(*frame, *reason, rule.as_deref()),
                Entry::Store(request) => self.store(request)?,
            }
        }
        if let Some(documents) = &self.documents {
            let notices = documents.take_notices();
            self.log_documents(&notices)?;
        }
        if self.interactive && !entries.is_empty() {
            self.flush_text()?;
        }
        Ok(())
    }

    /// Writes and closes everything.
    ///
    /// # Errors
    /// When a place cannot take the rest of what was written.
    pub fn finish(mut self) -> Result<(), OutputError> {
        if let Some(documents) = self.documents.take() {
            // The screen may wait for the server, but not with old text.
            self.flush_text()?;
            self.log_documents(&documents.close())?;
        }
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.flush_text()?;
        if let Some((name, mut file)) = self.alert_file.take() {
            file.flush()
                .map_err(|error| OutputError::Alerts(name, error))?;
        }
        match self.packets.take() {
            Some(writer) => Ok(writer.finish()?),
            None => Ok(()),
        }
    }

    fn store(&mut self, request: &StoreRequest) -> Result<(), OutputError> {
        if self.documents.is_none() {
            self.documents =
                Some(Elasticsearch::start(Limits::default()).map_err(OutputError::Documents)?);
        }
        if let Some(documents) = &self.documents {
            documents.add(request.clone());
        }
        Ok(())
    }

    fn log_documents(&mut self, notices: &[String]) -> Result<(), OutputError> {
        notices
            .iter()
            .try_for_each(|text| self.log(Level::Error, "elasticsearch", text))
    }

    fn alert(&mut self, worker: usize, alert: &Alert) -> Result<(), OutputError> {
        while self.ids.len() <= worker {
            self.ids.push(AlertIds::default());
        }
        let Some(ids) = self.ids.get_mut(worker) else {
            return Ok(());
        };
        let known = alert.update.then(|| ids.global(alert.id)).flatten();
        let id = known.unwrap_or(self.alerts + 1);
        let mut shown = Alert {
            id,
            update: known.is_some(),
            ..alert.clone()
        };
        shown.refs = alert
            .refs
            .iter()
            .filter_map(|&local| ids.global(local))
            .collect();
        if known.is_some() {
            self.updates += 1;
        } else {
            ids.learn(alert.id, id);
            self.alerts += 1;
        }
        self.show(&shown)
    }

    fn show(&mut self, alert: &Alert) -> Result<(), OutputError> {
        let mut text = match self.alert_form {
            AlertForm::Text(layout) => layout.render(alert),
            AlertForm::Json => alert_json(alert),
        };
        text.push('\n');
        match &mut self.alert_file {
            Some((name, file)) => file
                .write_all(text.as_bytes())
                .map_err(|error| OutputError::Alerts(name.clone(), error)),
            None => self.put_text(text.as_bytes()),
        }
    }

    fn refusal(&mut self, frame: u64, reason: DropReason, rule: Option<&str>) {
        let place = rule.map(|rule| format!(" by {rule}")).unwrap_or_default();
        self.put_error(format!("frame {frame}: dropped, {reason}{place}\n").as_bytes());
    }

    fn put_text(&mut self, text: &[u8]) -> Result<(), OutputError> {
        if self.text_closed {
            return Ok(());
        }
        let written = self.text.write_all(text);
        self.note_text(written)
    }

    /// What was written is seen, text and alerts.
    ///
    /// # Errors
    /// When a place cannot be written.
    pub fn flush(&mut self) -> Result<(), OutputError> {
        if let Some((name, file)) = &mut self.alert_file {
            file.flush()
                .map_err(|error| OutputError::Alerts(name.clone(), error))?;
        }
        self.flush_text()
    }

    pub(super) fn flush_text(&mut self) -> Result<(), OutputError> {
        if self.text_closed {
            return Ok(());
        }
        let flushed = self.text.flush();
        self.note_text(flushed)
    }

    fn note_text(&mut self, outcome: io::Result<()>) -> Result<(), OutputError> {
        match outcome {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.text_closed = true;
                Ok(())
            }
            other => other.map_err(OutputError::Text),
        }
    }

    /// Standard error has no reader who could be told that it fails.
    fn put_error(&mut self, text: &[u8]) {
        // What was said before stands before, also where both are one screen.
        let _ = self.flush_text();
        let _ = io::stderr().write_all(text);
    }
}

/// The ids that a worker gave to its latest alerts, and those they go by.
#[derive(Default)]
struct AlertIds {
    /// Ids of the process; the first belongs to the worker's id `first`.
    known: VecDeque<u64>,
    first: u64,
}

impl AlertIds {
    fn learn(&mut self, local: u64, global: u64) {
        if local != self.first + self.known.len() as u64 {
            // Ids were passed over while the worker was muted.
            self.known.clear();
            self.first = local;
        }
        if self.known.len() == REMEMBERED_ALERTS {
            self.known.pop_front();
            self.first += 1;
        }
        self.known.push_back(global);
    }

    fn global(&self, local: u64) -> Option<u64> {
        let place = usize::try_from(local.checked_sub(self.first)?).ok()?;
        self.known.get(place).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    struct Screen(Rc<RefCell<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(says: impl FnOnce(&mut Output)) -> String {
        let screen = Screen::default();
        let mut output = Output::new(false, AlertForm::Json);
        output.text = Box::new(screen.clone());
        says(&mut output);
        drop(output);
        String::from_utf8(screen.0.take()).expect("text")
    }

    fn alert(output: &mut Output, worker: usize, id: u64, update: bool, refs: &[u64]) {
        let mut journal = Journal::default();
        let alert = Alert {
            id,
            update,
            refs: refs.to_vec(),
            ..Alert::default()
        };
        journal.push(Entry::Alert(Box::new(alert)));
        output
            .write(worker, &journal, journal.entries())
            .expect("the screen takes it");
    }

    fn ids(text: &str) -> Vec<(u64, bool)> {
        let line = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
            (
                value["alert"]["id"].as_u64().unwrap_or(0),
                value["alert"]["update"] == true,
            )
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn alerts_of_all_workers_are_numbered_together() {
        let text = written(|output| {
            alert(output, 0, 1, false, &[]);
            alert(output, 1, 1, false, &[]);
            alert(output, 0, 2, false, &[]);
            alert(output, 1, 1, true, &[]);
            assert_eq!((output.alerts(), output.updates()), (3, 1));
        });
        assert_eq!(ids(&text), [(1, false), (2, false), (3, false), (2, true)]);
    }

    #[test]
    fn the_engines_alerts_take_a_number_too() {
        let text = written(|output| {
            let mut journal = Journal::default();
            journal.push(Entry::NativeAlert(Box::default()));
            output
                .write(0, &journal, journal.entries())
                .expect("the screen takes it");
            alert(output, 0, 1, false, &[]);
            alert(output, 0, 2, false, &[1]);
        });
        assert_eq!(ids(&text), [(1, false), (2, false), (3, false)]);
        assert!(text.ends_with("\"refs\":[2]}}\n"), "{text}");
    }

    #[test]
    fn ids_given_while_muted_are_passed_over() {
        let text = written(|output| {
            alert(output, 1, 5, false, &[]);
            alert(output, 1, 6, false, &[4, 5]);
        });
        assert_eq!(ids(&text), [(1, false), (2, false)]);
        assert!(text.ends_with("\"refs\":[1]}}\n"), "{text}");
    }

    #[test]
    fn text_comes_in_order() {
        let text = written(|output| {
            let mut journal = Journal::default();
            crate::event::Outward::print(&mut journal, b"first\n", false);
            crate::event::Outward::log(&mut journal, Level::Warn, "core", "second");
            output
                .write(0, &journal, journal.entries())
                .expect("the screen takes it");
        });
        assert_eq!(text, "first\nwarn  core: second\n");
    }
}
