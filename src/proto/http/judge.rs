//! What becomes of messages that are wrong, or can be read in two ways.
//!
//! Rules that extended the policy `anomaly` are asked; otherwise its
//! built-in entries hold, which the engine knows without asking.

use super::anomaly::{Anomaly, Fault, Nature};
use super::reader::{Outcome, Reader, stage};
use crate::event::EventKind;
use crate::proto::application::{Seat, Turn};

/// Bytes behind a fault that the log shows.
const SHOWN: usize = 100;

impl Reader {
    /// Decides about what is ambiguous in the head that was read, then shows
    /// it to the rules.
    pub(super) fn decide_head(&mut self, seat: &mut Seat<'_>) -> Outcome {
        let serial = self.session.message_under_way(seat.direction());
        while let Some(anomaly) = self
            .session
            .message_mut(serial)
            .and_then(|message| message.open.take())
        {
            let core = seat.core();
            core.stats.http_anomalies += 1;
            if core.extended.hears(EventKind::HttpAnomaly) {
                return Ok(seat.ask(EventKind::HttpAnomaly, anomaly as u32, stage::DECIDED));
            }
            if !core.settings.defaults.http_lenient || anomaly.row().refused_by_haka {
                return Ok(refuse(seat, anomaly));
            }
        }
        self.show_head(seat)
    }

    /// What cannot be read is refused, unless rules let it pass unread.
    pub(super) fn fault(&mut self, seat: &mut Seat<'_>, fault: &Fault) -> Turn {
        self.log_fault(seat, fault);
        let core = seat.core();
        core.stats.http_anomalies += 1;
        if core.extended.hears(EventKind::HttpAnomaly) {
            let then = match fault.anomaly.row().nature {
                Nature::Error => stage::ERROR_DECIDED,
                Nature::Ambiguity => stage::DECIDED,
            };
            return seat.ask(EventKind::HttpAnomaly, fault.anomaly as u32, then);
        }
        refuse(seat, fault.anomaly)
    }

    /// What could not be read, in the words of Haka's grammar.
    fn log_fault(&mut self, seat: &mut Seat<'_>, fault: &Fault) {
        let Some(rule) = fault.anomaly.row().alert.strip_prefix("invalid http ") else {
            return;
        };
        let behind = self.session.bytes_behind(seat.direction(), fault);
        let core = seat.core();
        let (at, field) = (fault.at, fault.field);
        core.debug("grammar", || {
            format!("parse error at byte {at} for field {field} in {rule}: unexpected bytes")
        });
        core.debug("grammar", || {
            let shown: String = behind
                .iter()
                .take(SHOWN)
                .flat_map(|&byte| std::ascii::escape_default(byte))
                .map(char::from)
                .collect();
            format!("parse error context: {shown}...")
        });
    }
}

/// An alert, and the connection is dropped.
fn refuse(seat: &mut Seat<'_>, anomaly: Anomaly) -> Turn {
    seat.core().alert(anomaly.row().alert, true, None);
    Turn::Refuse
}
