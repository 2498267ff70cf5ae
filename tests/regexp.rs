//! Regular expressions as rules use them, in a sealed Lua state.
//!
//! `tests/lua/regexp.lua` holds the requirements, one function each, named
//! after their lines. It is run as a rule file.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use wero::alert::Alert;
use wero::engine::{Engine, Shared};
use wero::event::{Level, Loader, Outward, Profile, Settings, StoreRequest};
use wero::lua::Limits;
use wero::rule::{Options, Runtime};

#[derive(Default)]
struct Printed(String);

impl Outward for Printed {
    fn log(&mut self, _level: Level, section: &str, text: &str) {
        self.0.push_str(&format!("{section}: {text}\n"));
    }
    fn alert(&mut self, _alert: &Alert) {}
    fn print(&mut self, text: &[u8], _to_error: bool) {
        self.0.push_str(&String::from_utf8_lossy(text));
    }
    fn store(&mut self, _: StoreRequest) {}
    fn nonce(&self) -> [u8; 16] {
        [0; 16]
    }
}

struct OneFile(&'static str);

impl Loader for OneFile {
    fn read(&mut self, _path: &str) -> std::io::Result<Vec<u8>> {
        Ok(self.0.as_bytes().to_vec())
    }
}

/// What a rule file prints and logs.
fn run(rules: &'static str) -> String {
    let engine: Shared = Rc::new(RefCell::new(
        Engine::new(Settings::new(Profile::Wero)).expect("address space"),
    ));
    let out = Rc::new(RefCell::new(Printed::default()));
    let options = Options {
        rule_file: PathBuf::from("regexp.lua"),
        module_dirs: Vec::new(),
        limits: Limits::default(),
        thread: 0,
        colour: false,
        time_text: |time| time.secs().to_string(),
    };
    let loaded = Runtime::load(&engine, &options, Box::new(OneFile(rules)), out.clone());
    if let Err(error) = loaded {
        out.borrow_mut()
            .0
            .push_str(&format!("not loaded: {error:?}"));
    }
    out.take().0
}

#[test]
fn what_the_specification_lists() {
    let said = run(include_str!("lua/regexp.lua"));
    let passed = said.lines().filter(|line| line.starts_with("ok ")).count();
    let failed: Vec<_> = said
        .lines()
        .filter(|line| line.contains("FAILED") || line.contains("error"))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let listed = include_str!("lua/regexp.lua")
        .matches("\nfunction test.")
        .count();
    assert_eq!(passed, listed, "{said}");
}
