//! The recorder as the engine's observer: puts what it is told into words.

use std::cell::RefCell;
use std::rc::Rc;

use super::facts::{event_about, fingerprint, flow_id_of, flow_of};
use super::recorder::{Recorder, Target};
use super::spans::{Open, event_name};
use super::story::{About, By, Decision, Line, Read, Step};
use crate::core::{Cap, Core, Observer, Span, StreamState};
use crate::event::DropReason;
use crate::flow::Direction;
use crate::packet::Malformed;
use crate::packet::record::flag;
use crate::proto::tcp::cause;
use crate::stream::assembler::Piece;

/// Listens for a recorder that somebody else reads.
pub struct Listening(pub Rc<RefCell<Recorder>>);

impl Observer for Listening {
    fn opened(&mut self, core: &Core, flow: u32) {
        let mut recorder = self.0.borrow_mut();
        recorder.meet(core, flow, None);
        let about = recorder.about_flow(core, flow);
        recorder.engine(about, format!("flow {} begins", about.flow));
    }

    fn packet(&mut self, core: &Core, flow: u32, direction: Direction, _: u32) {
        let to_server = direction == Direction::ToServer;
        self.0.borrow_mut().meet(core, flow, Some(to_server));
    }

    fn bytes(&mut self, core: &Core, flow: u32, _: Direction, bytes: &[u8], _: usize) {
        let mut recorder = self.0.borrow_mut();
        let about = recorder.about_flow(core, flow);
        recorder.engine(about, format!("{} bytes are in order", bytes.len()));
    }

    fn conflict(&mut self, core: &Core, flow: u32, _: Direction) {
        let mut recorder = self.0.borrow_mut();
        let about = recorder.about_flow(core, flow);
        let text = "bytes came again that differ: the first ones are kept".to_owned();
        recorder.engine(about, text);
    }

    fn gap(&mut self, core: &Core, flow: u32, _: Direction, beyond: &[Piece]) {
        let mut recorder = self.0.borrow_mut();
        let about = recorder.about_flow(core, flow);
        let text = format!(
            "the stream ends with a hole before {} segments",
            beyond.len()
        );
        recorder.engine(about, text);
    }

    fn reset(&mut self, core: &Core, flow: u32, _: Direction, credible: bool) {
        let mut recorder = self.0.borrow_mut();
        let about = recorder.about_flow(core, flow);
        let text = if credible {
            "an RST ends the connection"
        } else {
            "an RST without the expected number has no effect"
        };
        recorder.engine(about, text.to_owned());
    }

    fn closed(&mut self, core: &Core, flow: u32, _: u8) {
        let mut recorder = self.0.borrow_mut();
        let about = recorder.about_flow(core, flow);
        recorder.flows.remove(&about.flow);
        recorder.flow_is_over |= recorder.target == Target::Flow(about.flow);
        recorder.engine(about, format!("flow {} is forgotten", about.flow));
    }

    fn streams(&mut self, _: &Core, _: u32, states: [StreamState; 2]) {
        let mut recorder = self.0.borrow_mut();
        let account = recorder.current.as_mut();
        if let Some(flow) = account.and_then(|account| account.flow.as_mut()) {
            flow.before = Some(states.map(Into::into));
        }
    }

    fn malformed(&mut self, core: &Core, packet: u32, malformed: Malformed) {
        let mut recorder = self.0.borrow_mut();
        recorder.malformed = Some(malformed);
        let about = recorder.about_packet(core, packet);
        recorder.engine(about, format!("malformed: {malformed}"));
    }

    fn capped(&mut self, core: &Core, flow: Option<u32>, cap: Cap) {
        let mut recorder = self.0.borrow_mut();
        recorder.cap = Some(cap);
        let about = flow.map_or(About::default(), |flow| recorder.about_flow(core, flow));
        let text = format!("cap {} = {} is reached", cap.name, cap.limit);
        recorder.engine(about, text);
    }

    fn refused(&mut self, core: &Core, packet: u32, reason: DropReason) {
        let mut recorder = self.0.borrow_mut();
        if let Some((flow, direction)) = flow_of(core, packet) {
            let to_server = direction == Direction::ToServer;
            recorder.meet(core, flow, Some(to_server));
        }
        let id = core.packet(packet).id;
        let held = core.packet(packet).flags & flag::HELD != 0 && reason == DropReason::Rule;
        recorder.spans.effect("dropped the packet");
        let known = recorder.decisions.contains_key(&id);
        let by = recorder.decide(core, packet, reason);
        let decided = match reason {
            DropReason::FlowDropped | DropReason::FlowReset => flow_id_of(core, packet)
                .and_then(|flow| recorder.flows.get(&flow))
                .map_or(recorder.now, |decision| decision.packet),
            _ => recorder.now,
        };
        if !known && id != 0 {
            let decision = Decision {
                by,
                packet: decided,
            };
            recorder.decisions.insert(id, decision);
        }
        let text = match held {
            true => "the packet is refused, and ends when its bytes are let go".to_owned(),
            false => format!("the packet is refused: {reason}"),
        };
        recorder.engine(
            About {
                packet: id,
                flow: 0,
            },
            text,
        );
    }

    fn ending(&mut self, core: &Core, flow: u32, cause: u8) {
        let mut recorder = self.0.borrow_mut();
        let about = recorder.about_flow(core, flow);
        let (effect, text) = match cause {
            cause::DROPPED => (Some("dropped the flow"), "is dropped"),
            cause::RESET_BY_RULE => (Some("reset the connection"), "is reset by a rule"),
            cause::RST_SEEN => (None, "is ended by an RST"),
            cause::REOPENED => (None, "gives way to a new connection of the same ends"),
            cause::EXPIRED => (None, "has been idle for too long"),
            cause::EVICTED => (None, "gives way to another: the flow table is full"),
            cause::CLOSED => (None, "was closed by both ends"),
            cause::SHUTDOWN => (None, "ends with the capture"),
            _ => (None, "failed"),
        };
        if let Some(effect) = effect {
            recorder.spans.effect(effect);
        }
        if effect.is_some() || cause == cause::FAILED {
            let cap = recorder.cap.map(|cap| By::Cap {
                setting: cap.name,
                limit: cap.limit,
            });
            let by = recorder
                .spans
                .deciding(None)
                .or_else(|| recorder.failed.clone())
                .or(cap)
                .unwrap_or_else(|| By::Engine {
                    cause: text.to_owned(),
                });
            let packet = recorder.now;
            recorder.flows.insert(about.flow, Decision { by, packet });
        }
        recorder.engine(about, format!("flow {} {text}", about.flow));
    }

    fn assembled(&mut self, core: &Core, whole: u32, fragments: &[u32]) {
        let mut recorder = self.0.borrow_mut();
        let mut ids: Vec<u64> = fragments.iter().map(|&slot| core.packet(slot).id).collect();
        ids.sort_unstable();
        ids.dedup();
        let names: Vec<String> = ids.iter().map(u64::to_string).collect();
        let text = format!("packets {} are one datagram", names.join(", "));
        let about = recorder.about_packet(core, whole);
        if recorder.is_telling() {
            recorder.datagrams.insert(about.packet, ids);
        }
        recorder.engine(about, text);
    }

    fn begin(&mut self, core: &Core, span: &Span, subject: u32) -> u32 {
        let mut recorder = self.0.borrow_mut();
        let about = match span {
            Span::Event(kind) => event_about(core, *kind, subject),
            _ => recorder.spans.about(),
        };
        let rule = |name: &Option<String>, location: &String, member| Step::Rule {
            name: name.clone(),
            location: location.clone(),
            member,
            result: String::new(),
            nanoseconds: None,
            reads: Vec::new(),
        };
        let step = match span {
            Span::Rule { name, location, .. } => rule(name, location, false),
            Span::Member { location } => rule(&None, location, true),
            Span::Policy {
                policy,
                entry,
                location,
            } => Step::Policy {
                policy: policy.clone(),
                entry: entry.clone(),
                location: location.clone(),
            },
            event => Step::Event {
                event: event_name(event).unwrap_or_default(),
            },
        };
        let line = recorder.push_about(about, step);
        let before = line.map_or(0, |_| fingerprint(core, about.packet));
        let open = Open {
            span: span.clone(),
            about,
            line,
            started: recorder.time(),
            before,
            effects: Vec::new(),
        };
        recorder.spans.push(open)
    }

    fn done(&mut self, core: &Core, token: u32, result: Option<&str>) {
        let mut recorder = self.0.borrow_mut();
        while let Some(open) = recorder.spans.pop_above(token) {
            recorder.close(&open, core, Some("raised an error".to_owned()));
        }
        if let Some(open) = recorder.spans.pop_above(token.saturating_sub(1)) {
            recorder.close(&open, core, None);
            let line = open.line.and_then(|line| recorder.turn.get_mut(line));
            if let (
                Some(returned),
                Some(Line {
                    step: Step::Rule { result, .. },
                    ..
                }),
            ) = (result, line)
            {
                result.push_str(&format!(", returned {returned}"));
            }
        }
    }

    fn read(&mut self, _: &Core, object: &str, field: &str, value: &str) {
        let mut recorder = self.0.borrow_mut();
        let line = recorder.spans.innermost_rule_line();
        if let Some(Line {
            step: Step::Rule { reads, .. },
            ..
        }) = line.and_then(|line| recorder.turn.get_mut(line))
        {
            let read = Read {
                field: format!("{object}.{field}"),
                value: value.to_owned(),
            };
            // A field that the object inherits is told by both.
            let again = reads.last().is_some_and(|last| {
                last.value == read.value && last.field.ends_with(&format!(".{field}"))
            });
            if !again && !reads.contains(&read) {
                reads.push(read);
            }
        }
    }

    fn failed(&mut self, core: &Core, message: Option<&str>) {
        let mut recorder = self.0.borrow_mut();
        recorder.failed = recorder.spans.deciding(message);
        let mut told = Some(match message {
            Some(message) => format!("failed: {message}"),
            None => "aborted".to_owned(),
        });
        while let Some(open) = recorder.spans.pop_above(0) {
            let own = match open.span {
                Span::Rule { .. } | Span::Member { .. } => told.take(),
                _ => None,
            };
            let result = own.unwrap_or_else(|| "ended by the error".to_owned());
            recorder.close(&open, core, Some(result));
        }
    }
}
