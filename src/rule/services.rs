//! What the Lua library asks of the program: logs, alerts, time, files.
//!
//! Each service is a Lua function over one shared [`Services`]. The engine
//! is borrowed for the length of one call and never while Lua runs.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use mlua::{IntoLuaMulti, Lua, MultiValue, Table, Value};

use super::alerts::{context, from_table, report};
use crate::engine::Shared;
use crate::event::{Level, Loader, Notice, Outward, StoreRequest};
use crate::misc::Surroundings;
use crate::time::Timestamp;

/// Turns seconds since the epoch into local time in the layout of `ctime`.
pub type TimeText = fn(Timestamp) -> String;

/// Coroutines of streamed listeners that may wait at a time: the collector
/// walks all of them at once.
const MAX_PARKED: u32 = 32_768;

/// What the functions share.
pub struct Services {
    pub engine: Shared,
    pub out: Rc<RefCell<dyn Outward>>,
    pub loader: RefCell<Box<dyn Loader>>,
    pub time_text: TimeText,
    pub exit: Cell<bool>,
    parked: Cell<u32>,
    last_alert: Cell<u64>,
}

impl Surroundings for Services {
    fn data_file(&self, path: &str) -> io::Result<Arc<[u8]>> {
        self.loader.borrow_mut().data(path)
    }

    fn store(&self, request: StoreRequest) {
        self.out.borrow_mut().store(request);
    }

    fn nonce(&self) -> [u8; 16] {
        self.out.borrow().nonce()
    }
}

const LEVELS: [Level; 6] = [
    Level::Fatal,
    Level::Error,
    Level::Warn,
    Level::Info,
    Level::Debug,
    Level::Trace,
];

fn level(number: usize) -> Level {
    LEVELS.get(number).copied().unwrap_or(Level::Trace)
}

impl Services {
    pub fn new(
        engine: Shared,
        out: Rc<RefCell<dyn Outward>>,
        loader: Box<dyn Loader>,
        time_text: TimeText,
    ) -> Services {
        Services {
            engine,
            out,
            loader: RefCell::new(loader),
            time_text,
            exit: Cell::new(false),
            parked: Cell::new(0),
            last_alert: Cell::new(0),
        }
    }

    /// Passes on what the engine has said so far, so that lines keep their
    /// order.
    pub fn flush(&self) {
        loop {
            let mut engine = self.engine.borrow_mut();
            let now = engine.core.now;
            let Some(notice) = engine.take_notice() else {
                return;
            };
            drop(engine);
            let id = if matches!(notice, Notice::Alert(_)) {
                self.next_alert()
            } else {
                0
            };
            report(notice, now, id, &mut *self.out.borrow_mut());
        }
    }

    /// Alerts are numbered from 1 in their worker.
    fn next_alert(&self) -> u64 {
        self.last_alert.set(self.last_alert.get() + 1);
        self.last_alert.get()
    }

    pub fn log(&self, level: Level, section: &str, text: &str) {
        self.flush();
        if self.engine.borrow().core.log.enabled(level, section) {
            self.out.borrow_mut().log(level, section, text);
        }
    }

    fn alert(&self, id: Option<u64>, record: &Table) -> mlua::Result<u64> {
        self.flush();
        let mut alert = from_table(record)?;
        {
            let engine = self.engine.borrow();
            alert.time = engine.core.now.max(Timestamp(0));
            (alert.packet, alert.flow) = context(&engine.core);
        }
        alert.update = id.is_some();
        alert.id = id.unwrap_or_else(|| self.next_alert());
        self.out.borrow_mut().alert(&alert);
        Ok(alert.id)
    }

    fn set_level(&self, name: &str, section: Option<&str>) -> bool {
        let level = if name == "default" {
            None
        } else {
            name.parse().ok()
        };
        self.engine
            .borrow_mut()
            .core
            .log
            .set(level, section)
            .is_ok()
    }

    /// The text of the first file that exists among the patterns of `path`;
    /// otherwise what was tried.
    fn find_module(&self, name: &str, path: &str) -> Result<(Vec<u8>, String), String> {
        let mut tried = String::new();
        for pattern in path.split(';').filter(|pattern| !pattern.is_empty()) {
            let file = pattern.replace('?', name);
            match self.loader.borrow_mut().read(&file) {
                Ok(text) => return Ok((text, format!("@{file}"))),
                Err(_) => tried.push_str(&format!("\n\tno file '{file}'")),
            }
        }
        Err(tried)
    }

    fn park(&self, change: i32) -> bool {
        let parked = self.parked.get().saturating_add_signed(change);
        if change > 0 && parked > MAX_PARKED {
            return false;
        }
        self.parked.set(parked);
        true
    }
}

/// Where `require` looks: the given folders, then that of the rule file.
pub fn package_path(folders: &[PathBuf], rule_file: &Path) -> String {
    let own = match rule_file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut path = String::new();
    for folder in folders.iter().map(PathBuf::as_path).chain([own]) {
        let folder = folder.display();
        path.push_str(&format!("{folder}/?.lua;{folder}/?/init.lua;"));
    }
    path.push_str("./?.lua;./?/init.lua");
    path
}

/// Puts the functions into the table `host`.
///
/// # Errors
/// When Lua is out of memory.
pub fn install(lua: &Lua, host: &Table, services: &Rc<Services>) -> mlua::Result<()> {
    let share = || Rc::clone(services);

    let own = share();
    host.set(
        "log",
        lua.create_function(
            move |_, (number, section, text): (usize, mlua::LuaString, mlua::LuaString)| {
                own.log(
                    level(number),
                    &section.to_string_lossy(),
                    &text.to_string_lossy(),
                );
                Ok(())
            },
        )?,
    )?;
    let own = share();
    host.set(
        "log_enabled",
        lua.create_function(move |_, (number, section): (usize, mlua::LuaString)| {
            Ok(own
                .engine
                .borrow()
                .core
                .log
                .enabled(level(number), &section.to_string_lossy()))
        })?,
    )?;
    let own = share();
    host.set(
        "set_log_level",
        lua.create_function(move |_, (name, section): (String, Option<String>)| {
            Ok(own.set_level(&name, section.as_deref()))
        })?,
    )?;
    let own = share();
    host.set(
        "alert",
        lua.create_function(move |_, (id, record): (Option<u64>, Table)| own.alert(id, &record))?,
    )?;
    let own = share();
    host.set(
        "write_to",
        lua.create_function(move |_, (descriptor, text): (u32, mlua::LuaString)| {
            own.flush();
            own.out
                .borrow_mut()
                .print(&text.as_bytes(), descriptor == 2);
            Ok(())
        })?,
    )?;
    let own = share();
    host.set(
        "now",
        lua.create_function(move |_, ()| {
            // Before the first packet there is no time yet.
            let now = own.engine.borrow().core.now.max(Timestamp(0));
            Ok((now.secs(), now.subsec_nanos()))
        })?,
    )?;
    let own = share();
    host.set(
        "time_text",
        lua.create_function(move |_, secs: f64| {
            Ok((own.time_text)(Timestamp::new(secs as i64, 0)))
        })?,
    )?;
    let own = share();
    host.set(
        "exit",
        lua.create_function(move |_, ()| {
            own.exit.set(true);
            Ok(())
        })?,
    )?;
    let own = share();
    host.set(
        "flow_slots",
        lua.create_function(move |_, ()| Ok(own.engine.borrow().core.flows.newest_first()))?,
    )?;
    let own = share();
    host.set(
        "coroutine_parked",
        lua.create_function(move |_, change: i32| Ok(own.park(change)))?,
    )?;
    files(lua, host, services)?;
    graphs(lua, host, services)
}

/// Dumps of graphs, which only the operator can ask for: rules choose names.
fn graphs(lua: &Lua, host: &Table, services: &Rc<Services>) -> mlua::Result<()> {
    if !services.engine.borrow().core.settings.dump_graphs {
        return Ok(());
    }
    let own = Rc::clone(services);
    host.set(
        "write_graph",
        lua.create_function(move |_, (name, text): (String, mlua::LuaString)| {
            let name = plain_name(&name);
            let written = own.loader.borrow_mut().write_graph(&name, &text.as_bytes());
            if let Err(error) = written {
                own.log(
                    Level::Error,
                    "core",
                    &format!("cannot write {name}: {error}"),
                );
            }
            Ok(())
        })?,
    )
}

/// A file name that stays in its folder and is not hidden.
fn plain_name(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: String = name.chars().map(plain).collect();
    match name.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => name,
    }
}

fn files(lua: &Lua, host: &Table, services: &Rc<Services>) -> mlua::Result<()> {
    let own = Rc::clone(services);
    host.set(
        "read_file",
        lua.create_function(move |lua, name: String| {
            let text = own.loader.borrow_mut().read(&name);
            match text {
                Ok(text) => (lua.create_string(text)?, format!("@{name}")).into_lua_multi(lua),
                Err(error) => {
                    (Value::Nil, format!("cannot open {name}: {error}")).into_lua_multi(lua)
                }
            }
        })?,
    )?;
    let own = Rc::clone(services);
    host.set(
        "read_module",
        lua.create_function(
            move |lua, (name, path): (String, String)| -> mlua::Result<MultiValue> {
                match own.find_module(&name, &path) {
                    Ok((text, chunk)) => (lua.create_string(text)?, chunk).into_lua_multi(lua),
                    Err(tried) => (Value::Nil, tried).into_lua_multi(lua),
                }
            },
        )?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphs_stay_in_their_folder() {
        assert_eq!(plain_name("dns-grammar.dot"), "dns-grammar.dot");
        assert_eq!(plain_name("../../etc/x.dot"), "_._.._etc_x.dot");
    }

    #[test]
    fn modules_are_searched_in_the_given_folders_first() {
        let folders = [PathBuf::from("/opt/wero")];
        let path = package_path(&folders, Path::new("rules/main.lua"));
        let places: Vec<&str> = path.split(';').collect();
        assert_eq!(
            places[..3],
            ["/opt/wero/?.lua", "/opt/wero/?/init.lua", "rules/?.lua"]
        );
        assert!(package_path(&[], Path::new("main.lua")).starts_with("./?.lua;"));
    }
}
