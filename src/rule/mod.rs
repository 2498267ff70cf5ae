//! Rules.
use crate::{engine::Shared, event::*, lua};
use std::{cell::RefCell, path::PathBuf, rc::Rc};
#[derive(Clone, Debug, Default)]
pub struct Options { pub rule_file: PathBuf, pub module_dirs: Vec<PathBuf>, pub limits: lua::Limits, pub thread: u32 }
pub struct Runtime;
#[derive(Debug)] pub struct LoadError; impl std::fmt::Display for LoadError { fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { write!(f, "stub") } } impl std::error::Error for LoadError {}
impl Runtime { pub fn load(_: &Shared, _: &Options, _: Box<dyn Loader>, _: Rc<RefCell<dyn Outward>>) -> Result<Runtime, LoadError> { Err(LoadError) }
 pub fn started(&mut self) {} pub fn exiting(&mut self) {} pub fn take_exit(&mut self) -> bool { false } pub fn location(&self, _: (EventKind, u32)) -> Option<String> { None } }
impl Hooks for Runtime { fn fire(&mut self, _: EventKind, _: u32) -> Result<(), (ListenerFailed, bool)> { Ok(()) } }
