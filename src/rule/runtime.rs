//! The rule runtime: one Lua state with its library and its rule file.
//!
//! Makes the state, gives the library its tables, runs the rule file inside
//! the sandbox, and delivers each event of the engine with one call. What a
//! listener raises is logged here; what then happens to the packet is the
//! engine's to decide. Not here: reading files, writing lines (`Loader`,
//! `Outward`).

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{Function, LightUserData, Table};

use super::services::{self, Services};
use super::watch::Watch;
use super::{alerts, bind, console};
use crate::buf::BufError;
use crate::engine::{Shared, ops};
use crate::event::{EVENTS, EventKind, Hooks, Level, ListenerFailed, Loader, Outward, Subject};
use crate::lua::host::place_in;
use crate::lua::pattern::{self, PATTERN_API};
use crate::lua::profile::{self, Abort, Sampler};
use crate::lua::{Entry, Failure, Host, Limits, Module, buf_api, embed, regexp_api};
use crate::misc::{self, Surroundings};
use crate::packet::decode::protocol;
use crate::proto::{PROTOCOLS, api};
use crate::time::Timestamp;

/// How rules are to be run.
#[derive(Clone, Debug)]
pub struct Options {
    pub rule_file: PathBuf,
    /// Searched by `require` before the folder of the rule file.
    pub module_dirs: Vec<PathBuf>,
    pub limits: Limits,
    /// Number of the worker, as `haka.current_thread()` gives it.
    pub thread: u32,
    /// Standard output is a terminal: pretty-printing is in colour.
    pub colour: bool,
    /// Local time in the layout of `ctime`, for `tostring` of times.
    pub time_text: fn(Timestamp) -> String,
}

/// Why the rules could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The Lua state could not be made: a defect or a lack of memory.
    State(String),
    /// The rule file cannot be read.
    File(String),
    /// The rule file failed; the text begins with `file:line:`.
    Rules(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::State(text) => write!(f, "cannot start Lua: {text}"),
            LoadError::File(text) | LoadError::Rules(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for LoadError {}

/// Functions of the library that are called now and then.
struct Library {
    fault: Function,
    location: Function,
    suspend: Function,
    resume: Function,
    /// Runs a rule file; the debugger sees its errors.
    run: Function,
    /// `haka.context:signal(nil, event)` for the events without a subject.
    started: Function,
    exiting: Function,
    /// What the JIT compiler gave up on, in a state that is profiled.
    aborts: Option<Table>,
}

/// The rules of one worker. Fields are dropped in order: handles first, then
/// the state, then what its finalizers may still reach.
pub struct Runtime {
    watch: Watch,
    _sampler: Option<Sampler>,
    calls: Library,
    entries: Vec<Entry>,
    host: Host,
    _buffers: buf_api::Registration,
    _regexps: regexp_api::Registration,
    services: Rc<Services>,
    engine: Shared,
    log_location: bool,
    /// The listener that failed last, in the event that it failed in.
    failed_at: Option<(EventKind, u32)>,
    /// How often listeners were stopped at their time budget.
    overruns: HashMap<(EventKind, u32), u32>,
    /// After so many a listener is taken out of service; 0 for never.
    max_overruns: u32,
}

impl Runtime {
    /// Opens a state and runs the rule file in it.
    ///
    /// # Errors
    /// When the state cannot be made or the rule file fails. The failure of
    /// a rule file has been logged.
    pub fn load(
        engine: &Shared,
        options: &Options,
        loader: Box<dyn Loader>,
        out: Rc<RefCell<dyn Outward>>,
    ) -> Result<Runtime, LoadError> {
        Runtime::load_watched(engine, options, loader, out, &Watch::Nobody)
    }

    /// As [`Runtime::load`], with somebody who watches rules at work.
    ///
    /// # Errors
    /// As [`Runtime::load`].
    pub fn load_watched(
        engine: &Shared,
        options: &Options,
        loader: Box<dyn Loader>,
        out: Rc<RefCell<dyn Outward>>,
        watch: &Watch,
    ) -> Result<Runtime, LoadError> {
        let services = Rc::new(Services::new(
            Rc::clone(engine),
            out,
            loader,
            options.time_text,
        ));
        let source = read_rules(&services, options)?;
        let mut runtime =
            Runtime::open(engine, options, services, watch).map_err(LoadError::State)?;
        runtime.run_rules(&source, options)?;
        runtime
            .host
            .arm()
            .map_err(|error| LoadError::State(error.to_string()))?;
        Ok(runtime)
    }

    /// A state with the library in it, sealed.
    fn open(
        engine: &Shared,
        options: &Options,
        services: Rc<Services>,
        watch: &Watch,
    ) -> Result<Runtime, String> {
        let mut host = Host::open(options.limits).map_err(|error| error.to_string())?;
        let buffer_memory = options.limits.buffer_memory();
        engine
            .borrow_mut()
            .core
            .bufs
            .extents
            .set_rule_cap(buffer_memory);
        // SAFETY: the store lies in the engine, which this runtime keeps
        // alive and which its cell never moves; nobody holds a borrow of the
        // engine while Lua runs.
        let buffers = unsafe { buf_api::Registration::new(&raw mut (*engine.as_ptr()).core.bufs) };
        let regexps = regexp_api::Registration::default();
        let (library, entries) = prepare(&mut host, engine, options, &services, watch, &regexps)
            .map_err(|error| error.to_string())?;
        let settings = engine.borrow().core.settings.clone();
        let sampler = match watch {
            Watch::Profiler(profiler) => Some(host.sample(profiler)),
            _ => None,
        };
        Ok(Runtime {
            watch: watch.clone(),
            _sampler: sampler,
            calls: library,
            entries,
            host,
            _buffers: buffers,
            _regexps: regexps,
            services,
            engine: Rc::clone(engine),
            log_location: settings.defaults.log_location,
            failed_at: None,
            overruns: HashMap::new(),
            max_overruns: settings.max_overruns,
        })
    }

    fn run_rules(&mut self, source: &[u8], options: &Options) -> Result<(), LoadError> {
        self.host.cap_memory();
        let name = format!("@{}", options.rule_file.display());
        let run = self.calls.run.clone();
        let result = self.host.guarded(|lua| {
            let chunk = lua
                .load(source)
                .set_name(name)
                .set_mode(ChunkMode::Text)
                .into_function()?;
            run.call::<()>(chunk)?;
            let summary: Function = lua
                .load("return haka.rule_summary")
                .set_name("=[wero]")
                .eval()?;
            summary.call::<()>(())
        });
        result.map_err(|failure| {
            let mut text = failure.message().unwrap_or("(null)").to_owned();
            let stopped = !matches!(failure, Failure::Error(_) | Failure::Abort);
            if stopped && place_in(&text).is_none() {
                text = format!("{}: {text}", options.rule_file.display());
            }
            self.services.log(Level::Error, "lua", &text);
            LoadError::Rules(text)
        })
    }

    /// Runs a chunk of the program's own, which may call rule code, under the
    /// budget of one event.
    ///
    /// # Errors
    /// What `body` raises, or that it was stopped.
    pub fn guarded<R>(
        &mut self,
        body: impl FnOnce(&mlua::Lua) -> mlua::Result<R>,
    ) -> Result<R, Failure> {
        self.host.guarded(body)
    }

    /// Raises `haka.events.started`.
    pub fn started(&mut self) {
        let event = self.calls.started.clone();
        self.signal(&event);
    }

    /// Raises `haka.events.exiting`.
    pub fn exiting(&mut self) {
        let event = self.calls.exiting.clone();
        self.signal(&event);
    }

    /// Nothing happens for a while: time for the collector.
    pub fn idle(&mut self) {
        self.host.collect_some();
    }

    fn signal(&mut self, event: &Function) {
        let result = self.host.guarded(|_| event.call::<()>(()));
        let Err(failure) = result else { return };
        if matches!(failure, Failure::MemoryCap(_)) {
            // It does not run again.
            self.host.make_room();
        }
        // An abort has no message and is silent.
        let Some(text) = failure.message() else {
            return;
        };
        self.services
            .log(Level::Error, "lua", &format!("lua: {text}"));
        self.engine.borrow_mut().core.stats.rule_errors += 1;
    }

    /// Where a listener was registered: `rules.lua:12`, with its name if it
    /// has one.
    pub fn location(&self, (kind, place): (EventKind, u32)) -> Option<String> {
        let found: (Option<String>, Option<String>) = self
            .host
            .ask(|_| self.calls.location.call((kind as u8, place)))?;
        let (location, name) = (found.0?, found.1);
        Some(name.map_or_else(|| location.clone(), |name| format!("{location} ({name})")))
    }

    /// Whether a rule has called `haka.exit()` since this was asked last.
    pub fn take_exit(&mut self) -> bool {
        self.services.exit.replace(false)
    }

    /// Bytes that the Lua state uses.
    pub fn memory(&self) -> usize {
        self.host.memory()
    }

    /// What the JIT compiler gave up on, where the rules are profiled.
    pub fn trace_aborts(&self) -> Vec<Abort> {
        let list = self.calls.aborts.as_ref();
        list.map_or_else(Vec::new, |list| profile::aborts_of(&self.host, list))
    }

    fn tell_failure(&self, failure: &Failure) {
        match &self.watch {
            Watch::Nobody => {}
            Watch::Observer => {
                let message = failure.message();
                self.engine
                    .borrow_mut()
                    .core
                    .observe(|observer, core| observer.failed(core, message));
            }
            Watch::Profiler(profiler) => profiler.failed(),
        }
    }

    #[cold]
    fn failed(&mut self, kind: EventKind, failure: Failure) -> Result<(), (ListenerFailed, bool)> {
        self.tell_failure(&failure);
        let message = failure.message().unwrap_or_default().to_owned();
        let fault = &self.calls.fault;
        let (at, place, stopped): (u8, u32, bool) = self
            .host
            .ask(|_| fault.call(message.as_str()))
            .unwrap_or((kind as u8, 0, false));
        let at = EventKind::from_number(at).unwrap_or(kind);
        if failure == Failure::Abort {
            // After a drop or send, an abort only ends the delivery.
            return if stopped {
                Ok(())
            } else {
                Err((ListenerFailed::Abort, false))
            };
        }
        let listener = (at, place);
        if place > 0 {
            self.engine.borrow_mut().core.listener = Some(listener);
        }
        self.log_failure(kind, listener, &message);
        self.failed_at = (at == kind && place > 0).then_some(listener);
        if out_of_memory(&failure) {
            self.suspend(listener, "it ran out of memory");
        } else if matches!(failure, Failure::TimeBudget(_)) {
            self.note_overrun(listener);
        }
        Err((ListenerFailed::Error, !matches!(failure, Failure::Error(_))))
    }

    fn log_failure(&self, kind: EventKind, listener: (EventKind, u32), message: &str) {
        let row = kind.row();
        // Haka's texts name the layer at which the error was contained.
        let (section, mut text) = match (row.subject, row.dissector) {
            (_, "tcp_connection") => ("tcp", message.to_owned()),
            (_, "udp_connection") => ("udp", message.to_owned()),
            (_, "dns") if self.is_over_udp() => ("udp", message.to_owned()),
            (_, "dns") => ("tcp", message.to_owned()),
            (Subject::Script, _) => ("lua", format!("state machine: {message}")),
            (Subject::Packet, "packet") => ("lua", format!("receive: {message}")),
            (_, dissector) => ("lua", format!("{dissector}: {message}")),
        };
        if self.log_location {
            text.push_str(&self.circumstances(listener));
        }
        self.services.log(Level::Error, section, &text);
        if self.log_location
            && let Some(hint) = misspelt(kind, message)
        {
            self.services.log(Level::Error, section, &hint);
        }
    }

    /// Whether the flow of the event under way is one of datagrams.
    fn is_over_udp(&self) -> bool {
        let engine = self.engine.borrow();
        let flow = engine.core.flows.live(engine.core.current.flow);
        flow.is_some_and(|record| record.protocol == protocol::UDP)
    }

    /// The rule, packet and flow in which something failed, in brackets.
    fn circumstances(&self, listener: (EventKind, u32)) -> String {
        let mut parts = Vec::new();
        if let Some(location) = self.location(listener) {
            let row = listener.0.row();
            parts.push(format!("rule {location} on {}:{}", row.dissector, row.name));
        }
        let (packet, flow) = alerts::context(&self.engine.borrow().core);
        if let Some(packet) = packet {
            parts.push(format!("packet {packet}"));
        }
        if let Some(flow) = flow {
            let port =
                |port: Option<u16>| port.map(|port| format!(" port {port}")).unwrap_or_default();
            parts.push(format!(
                "flow {} from {}{} to {}{}",
                flow.id,
                flow.source,
                port(flow.source_port),
                flow.destination,
                port(flow.destination_port)
            ));
        }
        if parts.is_empty() {
            String::new()
        } else {
            format!(" [{}]", parts.join(", "))
        }
    }

    /// A rule that is stopped again and again costs every packet its budget.
    fn note_overrun(&mut self, listener: (EventKind, u32)) {
        let overruns = self.overruns.entry(listener).or_default();
        *overruns += 1;
        if *overruns == self.max_overruns {
            self.suspend(listener, "it was stopped too often at its time budget");
        }
    }

    /// Takes a rule out of service.
    fn suspend(&mut self, listener: (EventKind, u32), why: &str) {
        let (kind, place) = (listener.0 as u8, listener.1);
        let suspend = &self.calls.suspend;
        let suspended = self
            .host
            .ask(|_| suspend.call::<bool>((kind, place)))
            .unwrap_or(false);
        if suspended {
            self.host.make_room();
            let location = self.location(listener).unwrap_or_default();
            self.services.log(
                Level::Warn,
                "lua",
                &format!("rule {location} is suspended: {why}"),
            );
        }
    }
}

impl Hooks for Runtime {
    #[inline]
    fn fire(&mut self, kind: EventKind, subject: u32) -> Result<(), (ListenerFailed, bool)> {
        let Some(&entry) = self.entries.get(kind as usize) else {
            return Ok(());
        };
        match self.host.call(entry, subject, 0) {
            Ok(()) => Ok(()),
            Err(failure) => self.failed(kind, failure),
        }
    }

    fn resume(&mut self, kind: EventKind, subject: u32) -> Result<(), (ListenerFailed, bool)> {
        let Some((_, place)) = self.failed_at.take().filter(|failed| failed.0 == kind) else {
            return Ok(());
        };
        let resume = self.calls.resume.clone();
        let result = self
            .host
            .guarded(|_| resume.call::<()>((kind as u8, place, subject)));
        match result {
            Ok(()) => Ok(()),
            Err(failure) => self.failed(kind, failure),
        }
    }
}

/// What a rule may have meant that read a field that is not there.
fn misspelt(kind: EventKind, message: &str) -> Option<String> {
    let (_, rest) = message.split_once("unknown field '")?;
    let (name, _) = rest.split_once('\'')?;
    api::hint(name, api::names_at(kind.row()))
}

/// Whether a failure is a lack of memory: that of the state, or that of the
/// buffers, which raise a common error.
fn out_of_memory(failure: &Failure) -> bool {
    match failure {
        Failure::MemoryCap(_) => true,
        Failure::Error(text) => text.ends_with(BufError::Memory.text()),
        _ => false,
    }
}

fn read_rules(services: &Services, options: &Options) -> Result<Vec<u8>, LoadError> {
    let file = options.rule_file.to_string_lossy();
    let text = services.loader.borrow_mut().read(&file);
    text.map_err(|error| {
        // Haka's text, which has the error's plain name.
        let reason = match error.kind() {
            std::io::ErrorKind::NotFound => "No such file or directory".to_owned(),
            _ => error.to_string(),
        };
        let text = format!("cannot open {file}: {reason}");
        services.log(Level::Error, "lua", &text);
        LoadError::File(text)
    })
}

/// Loads the library and seals the globals.
fn prepare(
    host: &mut Host,
    engine: &Shared,
    options: &Options,
    services: &Rc<Services>,
    watch: &Watch,
    regexps: &regexp_api::Registration,
) -> mlua::Result<(Library, Vec<Entry>)> {
    let pause = host.pause();
    let lua = host.lua();
    let table = lua.create_table()?;
    services::install(lua, &table, services)?;
    super::watch::install(lua, &table, engine, watch)?;
    console::install(lua, &table, services, &pause)?;
    describe_engine(lua, &table, engine, regexps)?;
    let settings = engine.borrow().core.settings.clone();
    let defaults = &settings.defaults;
    table.set("mode", "normal")?;
    table.set("thread", options.thread)?;
    table.set("passthrough", settings.pass_through)?;
    table.set("recorded", settings.recorded)?;
    table.set("dump_graphs", settings.dump_graphs)?;
    table.set("seed", settings.seed as u32)?;
    table.set("fixed_texts", !defaults.log_location)?;
    table.set("chunk_prefix", "=[wero]")?;
    table.set(
        "package_path",
        services::package_path(&options.module_dirs, &options.rule_file),
    )?;
    let colour = options.colour;
    table.set("isatty", lua.create_function(move |_, ()| Ok(colour))?)?;

    let stances = lua.create_table()?;
    stances.set("drop_unknown_dissector", defaults.drop_unknown_dissector)?;
    stances.set("drop_unknown_connection", defaults.drop_unknown_connection)?;
    stances.set("strict_handshake", defaults.strict_handshake)?;
    stances.set("warn_retransmissions", defaults.warn_retransmissions)?;
    table.set("defaults", stances)?;
    table.set("fields", bind::fields(lua)?)?;
    for bind in bind::OWN {
        bind(lua, &table, &engine.borrow())?;
    }
    table.set("left_out", bind::left_out(lua)?)?;
    let surroundings: Rc<dyn Surroundings> = services.clone();
    table.set("misc", misc::natives(lua, &surroundings)?)?;
    table.set("modules", bind::modules(lua, defaults)?)?;
    let (events, kinds) = bind::events(lua)?;
    table.set("events", events)?;
    table.set("kinds", kinds)?;

    let lib = lua.create_table()?;
    host.load_library(embed::LIBRARY, &table, &lib)?;
    host.load_library(&protocol_chunks(), &table, &lib)?;
    host.load_library(&misc_chunks(), &table, &lib)?;
    host.load_library(embed::SEAL, &table, &lib)?;
    lib.get::<Function>("globals")?.call::<()>(())?;
    // Held against the tables of the API.
    #[cfg(test)]
    lua.set_named_registry_value("library", &lib)?;
    let format_error = lib.get::<Table>("pprint")?.get("format_error")?;
    host.set_error_function(format_error)?;
    let dispatch: Table = lib.get("dispatch")?;
    Ok((library(lua, &lib, &dispatch)?, entries(host, &dispatch)?))
}

/// The protocols' own chunks; some share one.
fn protocol_chunks() -> Vec<Module> {
    let mut chunks: Vec<Module> = Vec::new();
    for protocol in PROTOCOLS {
        if !chunks.iter().any(|chunk| chunk.name == protocol.chunk) {
            let own = (protocol.chunk, protocol.source);
            let all = protocol.parts.iter().copied().chain([own]);
            chunks.extend(all.map(|(name, source)| Module { name, source }));
        }
    }
    chunks
}

fn misc_chunks() -> Vec<Module> {
    let chunk = |module: &misc::Misc| Module {
        name: module.require,
        source: module.source,
    };
    misc::MODULES.iter().map(chunk).collect()
}

fn library(lua: &mlua::Lua, lib: &Table, dispatch: &Table) -> mlua::Result<Library> {
    let signals: Function = lua
        .load(
            "local lib = ...
             local context, events = lib.context.context, lib.event.events
             local protect = lib.debugger.protect
             local function signal(event)
               return function ()
                 protect(function () context:signal(nil, event) end)
               end
             end
             return signal(events.started), signal(events.exiting)",
        )
        .set_name("=[wero]/signals")
        .into_function()?;
    let (started, exiting) = signals.call(lib)?;
    Ok(Library {
        fault: dispatch.get("fault")?,
        location: dispatch.get("location")?,
        suspend: dispatch.get("suspend")?,
        resume: dispatch.get("resume")?,
        run: lib.get::<Table>("debugger")?.get("load")?,
        started,
        exiting,
        aborts: match lib.get::<mlua::Value>("watch")? {
            mlua::Value::Table(watch) => watch.get("aborts")?,
            _ => None,
        },
    })
}

fn entries(host: &Host, dispatch: &Table) -> mlua::Result<Vec<Entry>> {
    let functions: Table = dispatch.get("entries")?;
    EVENTS
        .iter()
        .map(|row| host.entry(&functions.get::<Function>(row.kind as u8)?))
        .collect()
}

/// Addresses and declarations of what the library reads in place.
fn describe_engine(
    lua: &mlua::Lua,
    host: &Table,
    engine: &Shared,
    regexps: &regexp_api::Registration,
) -> mlua::Result<()> {
    let core = engine.as_ptr();
    // SAFETY: only addresses are taken; the engine's cell outlives the state
    // (`Runtime` holds it), and its arenas stay where they are.
    let (current, store) = unsafe { (&raw const (*core).core.current, &raw mut (*core).core.bufs) };
    let (packets, packet_mask) = engine.borrow().core.packets.base();
    let (flows, flow_mask) = engine.borrow().core.flows.base();
    let addresses = lua.create_table()?;
    let address = |name: &str, at: *const c_void| addresses.set(name, LightUserData(at.cast_mut()));
    address("engine", ops::pointer(engine))?;
    address("ops", std::ptr::from_ref(ops::table()).cast())?;
    address("packets", packets.cast())?;
    address("flows", flows.cast())?;
    address("current", current.cast())?;
    address("store", store.cast_const().cast())?;
    address("buf_api", (&raw const buf_api::BUF_API).cast())?;
    address("regexps", regexps.address().cast_const().cast())?;
    address("regexp_api", (&raw const regexp_api::REGEXP_API).cast())?;
    address("pattern_api", (&raw const PATTERN_API).cast())?;
    host.set("addresses", addresses)?;
    host.set(
        "declarations",
        [
            crate::event::ops::cdef().as_str(),
            buf_api::CDEF,
            regexp_api::CDEF,
            pattern::CDEF,
            profile::CDEF,
        ]
        .concat(),
    )?;
    host.set("packet_mask", packet_mask)?;
    host.set("flow_mask", flow_mask)?;
    host.set(
        "buffer_scale",
        crate::buf::Key {
            index: 0,
            generation: 1,
        }
        .to_f64(),
    )
}
