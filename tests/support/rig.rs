//! Rules on an engine in memory: what they say, and every packet that comes
//! out, with its verdict.

// Each test file takes this module in as its own and uses a part of it.
#![allow(dead_code)]

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use wero::alert::Alert;
use wero::capture::file::CaptureReader;
use wero::engine::{self, Engine, Shared};
use wero::event::{Level, Loader, Outward, Settings, StoreRequest, Verdict};
use wero::lua::Limits;
use wero::packet::LinkType;
use wero::rule::{LoadError, Options, Runtime, report};
use wero::time::Timestamp;

/// Collects what is said.
#[derive(Default)]
pub struct Said {
    /// `level section: text`.
    pub lines: Vec<String>,
    pub alerts: Vec<Alert>,
    pub printed: String,
}

impl Said {
    pub fn errors(&self) -> Vec<&str> {
        let lines = self.lines.iter().map(String::as_str);
        lines.filter(|line| line.starts_with("error")).collect()
    }
}

impl Outward for Said {
    fn log(&mut self, level: Level, section: &str, text: &str) {
        self.lines
            .push(format!("{} {section}: {text}", level.name()));
    }
    fn alert(&mut self, alert: &Alert) {
        self.alerts.push(alert.clone());
    }
    fn print(&mut self, text: &[u8], _to_error: bool) {
        self.printed.push_str(&String::from_utf8_lossy(text));
    }
    fn store(&mut self, _: StoreRequest) {}
    fn nonce(&self) -> [u8; 16] {
        [0; 16]
    }
}

/// Files of a rule set, in memory.
struct Files(Vec<(String, String)>);

impl Loader for Files {
    fn read(&mut self, path: &str) -> std::io::Result<Vec<u8>> {
        let path = path.trim_start_matches("./");
        let found = self.0.iter().find(|(name, _)| name == path);
        found
            .map(|(_, text)| text.clone().into_bytes())
            .ok_or(std::io::ErrorKind::NotFound.into())
    }
}

/// A packet that came out of the engine, or was refused by it.
pub struct Gone {
    pub id: u64,
    pub verdict: Verdict,
    pub bytes: Vec<u8>,
    /// The rest of its flow may skip the queue.
    pub bypass: bool,
}

impl Gone {
    pub fn refused(&self) -> bool {
        matches!(self.verdict, Verdict::Drop(_))
    }
}

/// An engine with the rule file `rules.lua`.
pub struct Rig {
    pub engine: Shared,
    rules: Runtime,
    said: Rc<RefCell<Said>>,
}

impl Rig {
    /// `modules` are further files that the rules may load.
    pub fn load(
        rules: &str,
        modules: &[(&str, String)],
        settings: Settings,
        limits: Limits,
    ) -> Result<Rig, (LoadError, Said)> {
        let engine: Shared = Rc::new(RefCell::new(Engine::new(settings).expect("address space")));
        let said = Rc::new(RefCell::new(Said::default()));
        let mut files = vec![("rules.lua".to_owned(), rules.to_owned())];
        let own = |(name, text): &(&str, String)| ((*name).to_owned(), text.clone());
        files.extend(modules.iter().map(own));
        let options = Options {
            rule_file: PathBuf::from("rules.lua"),
            module_dirs: Vec::new(),
            limits,
            thread: 0,
            colour: false,
            time_text: |time| format!("t{}", time.secs()),
        };
        match Runtime::load(&engine, &options, Box::new(Files(files)), said.clone()) {
            Ok(rules) => Ok(Rig {
                engine,
                rules,
                said,
            }),
            Err(error) => Err((error, said.take())),
        }
    }

    /// What was said so far.
    pub fn said(&self) -> std::cell::Ref<'_, Said> {
        self.said.borrow()
    }

    /// The rules learn that packets will come.
    pub fn started(&mut self) -> Vec<Gone> {
        self.rules.started();
        self.work()
    }

    /// Takes a packet through the engine.
    pub fn packet(&mut self, id: u64, time: Timestamp, link: LinkType, bytes: &[u8]) -> Vec<Gone> {
        let length = bytes.len() as u32;
        let taken = self
            .engine
            .borrow_mut()
            .handle_packet(time, id, link, bytes, length);
        assert!(taken, "outputs are taken after every packet");
        self.work()
    }

    /// When the engine has work again if no packet comes.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        self.engine.borrow().poll_timeout()
    }

    /// Time passes without a packet.
    pub fn wake(&mut self, time: Timestamp) -> Vec<Gone> {
        self.engine.borrow_mut().handle_timeout(time);
        self.work()
    }

    /// The rules learn that no more packets will come.
    pub fn exiting(&mut self) -> Vec<Gone> {
        self.rules.exiting();
        self.work()
    }

    /// Everything still open is closed.
    pub fn shutdown(&mut self) -> Vec<Gone> {
        self.engine.borrow_mut().shutdown();
        self.work()
    }

    /// Ends the rules: what was said in all.
    pub fn into_said(self) -> Said {
        drop(self.rules);
        self.said.take()
    }

    fn work(&mut self) -> Vec<Gone> {
        let (engine, said) = (&self.engine, &self.said);
        let now = engine.borrow().core.now;
        engine::run(engine, &mut self.rules, &mut |notice| {
            report(notice, now, 0, &mut *said.borrow_mut())
        });
        let mut gone = Vec::new();
        loop {
            let Some(output) = engine.borrow_mut().poll_output() else {
                return gone;
            };
            {
                let engine = engine.borrow();
                let departure = engine.departure(&output);
                gone.push(Gone {
                    id: departure.id,
                    verdict: departure.verdict,
                    bytes: departure.bytes.to_vec(),
                    bypass: departure.bypass,
                });
            }
            engine.borrow_mut().release_output(&output);
        }
    }
}

/// A capture of the project's: link type, then times and bytes.
pub fn read_capture(path: &Path) -> (LinkType, Vec<(Timestamp, Vec<u8>)>) {
    let mut reader =
        CaptureReader::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut link, mut packets) = (LinkType::ETHERNET, Vec::new());
    while let Some(record) = reader.next().expect("an undamaged capture") {
        link = record.link;
        packets.push((record.timestamp, record.bytes.to_vec()));
    }
    (link, packets)
}
