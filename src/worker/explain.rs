//! Replays captures until the way of one packet, or of one flow, is known.
//!
//! The run is that of `replay` with one worker; only rules and engine are
//! listened to. It ends as soon as nothing more is to be told.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;

use super::captures::{Captures, Frame};
use super::nanoseconds;
use super::replay::{Plan, ReplayError, load};
use crate::alert::Alert;
use crate::analysis::explain::{Arrival, Listening, Recorder, Target, Told};
use crate::capture::file::CaptureError;
use crate::engine::{self, Shared};
use crate::event::{Level, Notice, Outward, StoreRequest};
use crate::rule::{Runtime, Watch};

/// What came of it.
#[derive(Debug, Default)]
pub struct Explained {
    pub told: Told,
    /// Packets that were read.
    pub packets: u64,
    /// Captures that were damaged.
    pub faults: Vec<CaptureError>,
}

/// Runs the plan and tells of the target. Without `times` no durations are
/// measured.
///
/// # Errors
/// When the engine cannot be started or the rules do not load.
pub fn explain(
    plan: &Plan,
    captures: Captures,
    target: Target,
    times: bool,
) -> Result<Explained, ReplayError> {
    let clock = times.then_some(nanoseconds as fn() -> u64);
    let recorder = Rc::new(RefCell::new(Recorder::new(target, clock)));
    let ear = Rc::new(RefCell::new(Ear(Rc::clone(&recorder))));
    let (engine, rules) = load(plan, 0, ear.clone(), &Watch::Observer)?;
    engine.borrow_mut().core.observer = Some(Box::new(Listening(Rc::clone(&recorder))));
    let mut run = Run {
        engine,
        rules,
        recorder,
    };
    run.rules.started();
    run.finish_work();

    let mut packets = 0;
    let (read, broken) = captures.read(|frame| {
        packets = frame.number;
        run.frame(&frame);
        match run.recorder.borrow().is_done() || run.rules.take_exit() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    if broken.is_none() || !run.recorder.borrow().is_done() {
        run.finish();
    }
    let told = run.recorder.borrow_mut().take();
    Ok(Explained {
        told,
        packets,
        faults: read.faults,
    })
}

struct Run {
    engine: Shared,
    rules: Runtime,
    recorder: Rc<RefCell<Recorder>>,
}

impl Run {
    fn frame(&mut self, frame: &Frame<'_>) {
        self.recorder.borrow_mut().arrives(&Arrival {
            number: frame.number,
            timestamp: frame.timestamp.0,
            link: frame.link,
            bytes: frame.bytes,
            wire_len: frame.wire_len,
        });
        // Outputs are taken after every frame, so there is a slot.
        let _ = self.engine.borrow_mut().handle_packet(
            frame.timestamp,
            frame.number,
            frame.link,
            frame.bytes,
            frame.wire_len,
        );
        self.finish_work();
        self.end_turn();
    }

    fn finish(&mut self) {
        self.recorder.borrow_mut().capture_ends();
        self.rules.exiting();
        self.finish_work();
        self.engine.borrow_mut().shutdown();
        self.finish_work();
        self.end_turn();
    }

    fn finish_work(&mut self) {
        let recorder = &self.recorder;
        engine::run(&self.engine, &mut self.rules, &mut |notice| {
            let mut recorder = recorder.borrow_mut();
            match notice {
                Notice::Log { section, text, .. } => {
                    recorder.said("log", &format!("{section}: {text}"));
                }
                Notice::Alert(alert) => recorder.said("alert", &alert.description),
            }
        });
        loop {
            let Some(output) = self.engine.borrow_mut().poll_output() else {
                break;
            };
            let mut engine = self.engine.borrow_mut();
            self.recorder
                .borrow_mut()
                .departs(&engine.departure(&output));
            engine.release_output(&output);
        }
    }

    fn end_turn(&self) {
        let engine = self.engine.borrow();
        let streams = |flow| engine.stream_states(flow);
        self.recorder.borrow_mut().turn_ends(streams, &engine.core);
    }
}

/// Hears what rules and engine say.
struct Ear(Rc<RefCell<Recorder>>);

impl Outward for Ear {
    fn log(&mut self, level: Level, section: &str, text: &str) {
        let text = format!("{} {section}: {text}", level.name());
        self.0.borrow_mut().said("log", &text);
    }

    fn alert(&mut self, alert: &Alert) {
        let text = alert.description.as_deref().unwrap_or("(no description)");
        self.0.borrow_mut().said("alert", text);
    }

    fn print(&mut self, text: &[u8], _: bool) {
        let text = String::from_utf8_lossy(text);
        self.0.borrow_mut().said("print", &text);
    }

    /// Explaining changes nothing anywhere.
    fn store(&mut self, _: StoreRequest) {}

    fn nonce(&self) -> [u8; 16] {
        [0; 16]
    }
}
