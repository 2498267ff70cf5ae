//! One Lua state: made, guarded and entered here.
//!
//! The host opens LuaJIT with its own allocator (`heap`), puts a watchdog
//! on the thread, loads the Lua library and calls it: once per event, with
//! two integers. It knows no protocol; what the library can reach of the
//! engine is handed in as pointers and tables.

use std::ffi::{CStr, c_int};
use std::io;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mlua::ffi::{self, lua_State};
use mlua::{Function, Lua, Table};

use super::heap::{self, Heap};
use super::pause::Pause;
use super::profile::{Profiler, Sampler};
use super::watchdog::{self, Watchdog};

/// The self-test has passed in this process.
static PROVEN: AtomicBool = AtomicBool::new(false);

/// A chunk of the Lua library, compiled into the program.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    pub name: &'static str,
    pub source: &'static str,
}

/// What one call of rules may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// CPU time of one event.
    pub event_time: Duration,
    /// CPU time of loading the rule files.
    pub load_time: Duration,
    /// Bytes of the Lua state and of the buffers that rules make.
    pub memory: usize,
}

impl Limits {
    /// Bytes that buffers made by rules may hold: a quarter of all.
    pub fn buffer_memory(&self) -> usize {
        self.memory / 4
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            event_time: Duration::from_millis(20),
            load_time: Duration::from_secs(5),
            memory: 256 << 20,
        }
    }
}

/// Why a call into Lua did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An error with its message.
    Error(String),
    /// The nil error of `haka.abort()`.
    Abort,
    /// Stopped at the time budget.
    TimeBudget(String),
    /// Stopped at the memory cap.
    MemoryCap(String),
}

impl Failure {
    /// The message, if there is one.
    pub fn message(&self) -> Option<&str> {
        match self {
            Failure::Error(text) | Failure::TimeBudget(text) | Failure::MemoryCap(text) => {
                Some(text)
            }
            Failure::Abort => None,
        }
    }
}

/// A function kept in the registry, called without any handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(c_int);

/// One Lua state and its guards. Stays on the thread that made it.
pub struct Host {
    lua: ManuallyDrop<Lua>,
    state: *mut lua_State,
    heap: Box<Heap>,
    watchdog: Rc<Watchdog>,
    limits: Limits,
    /// Stack index of the function that formats errors, kept at the bottom
    /// of the main stack.
    on_error: c_int,
    /// Collect before the next call once more than this is in use.
    collect_at: usize,
}

impl Host {
    /// Opens a state with the standard libraries. The first one of a process
    /// proves that this build can stop runaway code.
    ///
    /// # Errors
    /// When memory, the timer or the self-test fails.
    pub fn open(limits: Limits) -> io::Result<Host> {
        let mut heap = Heap::new(usize::MAX);
        // SAFETY: the heap is boxed and outlives the state (see Drop).
        let state = unsafe {
            ffi::lua_newstate(heap::allocate, std::ptr::from_mut::<Heap>(&mut heap).cast())
        };
        if state.is_null() {
            return Err(io::Error::other(
                "LuaJIT did not accept its memory (needs addresses below 2^47)",
            ));
        }
        // SAFETY: the state is fresh; openlibs needs one free slot. mlua is
        // told of the state but does not own it: Drop closes it.
        let lua = unsafe {
            ffi::luaL_openlibs(state);
            Lua::get_or_init_from_ptr(state).clone()
        };
        // SAFETY: the state lives until Drop, after the watchdog.
        let watchdog = unsafe { Rc::new(Watchdog::start(state, limits.load_time)?) };
        let mut host = Host {
            lua: ManuallyDrop::new(lua),
            state,
            heap,
            watchdog,
            limits,
            on_error: 0,
            collect_at: usize::MAX,
        };
        host.keep_error_function()?;
        if !PROVEN.load(Ordering::Relaxed) {
            host.self_test()?;
            PROVEN.store(true, Ordering::Relaxed);
        }
        Ok(host)
    }

    /// The state through mlua, for set-up and everything off the packet path.
    pub fn lua(&self) -> &Lua {
        &self.lua
    }

    /// Measures this state's memory for a profiler and begins to sample it.
    /// The sampler must be gone before the host.
    pub fn sample(&self, profiler: &Rc<Profiler>) -> Sampler {
        profiler.attach(self.heap.allocated());
        // SAFETY: the state is alive and this thread's own; the caller drops
        // the sampler first.
        unsafe { Sampler::start(self.state, profiler) }
    }

    /// What lets calls of rules wait for a person.
    pub fn pause(&mut self) -> Pause {
        // SAFETY: the heap is boxed, and like the state it outlives every
        // call that a pause is for.
        unsafe { Pause::new(self.state, &mut *self.heap, Rc::clone(&self.watchdog)) }
    }

    /// Bytes in use by the state.
    pub fn memory(&self) -> usize {
        self.heap.used()
    }

    /// Runs library chunks in order: each is called with `host` and `lib`,
    /// and what it returns becomes `lib[name]`.
    ///
    /// # Errors
    /// When a chunk does not compile or run: a defect of the library.
    pub fn load_library(&self, modules: &[Module], host: &Table, lib: &Table) -> mlua::Result<()> {
        for module in modules {
            let value: mlua::Value = self
                .lua
                .load(module.source)
                .set_name(format!("=[wero]/{}", module.name))
                .call((host.clone(), lib.clone()))?;
            lib.set(module.name, value)?;
        }
        Ok(())
    }

    /// Keeps a function for calls by [`Host::call`].
    ///
    /// # Errors
    /// When the registry cannot grow.
    pub fn entry(&self, function: &Function) -> mlua::Result<Entry> {
        // SAFETY: luaL_ref pops the argument that exec_raw pushed and
        // leaves its number in the registry; nothing is returned.
        let mut reference = 0;
        unsafe {
            self.lua.exec_raw::<()>(function, |state| {
                reference = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
            })?;
        }
        Ok(Entry(reference))
    }

    /// From now on every call gets the budgets of an event, and the memory
    /// cap holds.
    ///
    /// # Errors
    /// When the kernel refuses the timer's interval.
    pub fn arm(&mut self) -> io::Result<()> {
        self.watchdog.set_budget(self.limits.event_time)?;
        self.cap_memory();
        Ok(())
    }

    /// The memory cap holds from now on, for the rule files too.
    pub fn cap_memory(&mut self) {
        let memory = self.limits.memory - self.limits.buffer_memory();
        let limit = memory.max(self.heap.used() + (1 << 20));
        self.heap.cap(limit, self.state);
        self.collect_at = limit / 4 * 3;
    }

    /// What filled the state runs no more, but may still be held. Gives the
    /// others room again: a quarter of the cap, however much is in use. Each
    /// time takes a rule out of service, so that this comes to an end.
    pub fn make_room(&mut self) {
        self.collect();
        let share = (self.limits.memory - self.limits.buffer_memory()) / 4;
        let limit = self
            .heap
            .limit()
            .max(self.heap.used().saturating_add(share));
        self.heap.cap(limit, self.state);
        self.collect();
    }

    /// Calls an entry with two integers. Nothing of the caller's state may
    /// be borrowed: Lua calls back into the engine.
    ///
    /// # Errors
    /// When Lua raised an error or was stopped.
    #[inline]
    pub fn call(&mut self, entry: Entry, first: u32, second: u32) -> Result<(), Failure> {
        if self.heap.used() > self.collect_at {
            self.collect();
        }
        self.enter();
        // SAFETY: the main state has room (LUA_MINSTACK is kept free by
        // mlua), the entry is a function, and lua_pcall stops every unwind.
        let status = unsafe {
            ffi::lua_rawgeti_(self.state, ffi::LUA_REGISTRYINDEX, entry.0);
            ffi::lua_pushinteger(self.state, first as ffi::lua_Integer);
            ffi::lua_pushinteger(self.state, second as ffi::lua_Integer);
            ffi::lua_pcall(self.state, 2, 0, self.on_error)
        };
        let stopped = self.leave();
        if status == ffi::LUA_OK && !stopped && !self.heap.overrun() {
            return Ok(());
        }
        self.failed(status, stopped)
    }

    #[inline(always)]
    fn enter(&mut self) {
        self.heap.set_in_rules(true);
        self.watchdog.enter();
    }

    /// Returns whether the watchdog stopped the call.
    #[inline(always)]
    fn leave(&mut self) -> bool {
        self.heap.set_in_rules(false);
        self.watchdog.leave()
    }

    #[cold]
    fn failed(&mut self, status: c_int, stopped: bool) -> Result<(), Failure> {
        let mut message = None;
        if status != ffi::LUA_OK {
            // SAFETY: lua_pcall left the error value on top.
            unsafe {
                if ffi::lua_isnil(self.state, -1) == 0 {
                    message = Some(error_text(self.state));
                }
                ffi::lua_pop(self.state, 1);
            }
        }
        if let Some(failure) = self.stopped(stopped, message.as_deref()) {
            return Err(failure);
        }
        match (status, message) {
            (ffi::LUA_OK, _) => Ok(()),
            (_, None) => Err(Failure::Abort),
            (_, Some(message)) => Err(Failure::Error(message)),
        }
    }

    /// The failure of a call that was stopped for its time or its memory,
    /// whatever it made of that.
    #[cold]
    fn stopped(&mut self, timed_out: bool, message: Option<&str>) -> Option<Failure> {
        let overrun = self.heap.take_overrun();
        if overrun {
            // The allocator may have set the hook.
            self.watchdog.unhook();
        }
        let stack = watchdog::take_stack();
        let (at, callers) = told_stack(&stack, || place_in(message?));
        if overrun {
            self.collect();
            let text = format!(
                "{at}not enough memory: over the cap of {} bytes",
                self.heap.limit()
            );
            return Some(Failure::MemoryCap(text));
        }
        timed_out.then(|| {
            let text = format!(
                "{at}stopped: used more than {:?} of CPU time{callers}",
                self.watchdog.budget()
            );
            Failure::TimeBudget(text)
        })
    }

    /// Runs `body` as one guarded call through mlua (rule files, console).
    ///
    /// # Errors
    /// What `body` returns, or that it was stopped.
    pub fn guarded<R>(&mut self, body: impl FnOnce(&Lua) -> mlua::Result<R>) -> Result<R, Failure> {
        self.enter();
        let result = body(&self.lua);
        let stopped = self.leave();
        let message = result.as_ref().err().map(plain_message);
        if let Some(failure) = self.stopped(stopped, message.as_ref().and_then(Option::as_deref)) {
            return Err(failure);
        }
        match (result, message) {
            (Ok(value), _) => Ok(value),
            (Err(_), Some(Some(text))) => Err(Failure::Error(text)),
            (Err(_), _) => Err(Failure::Abort),
        }
    }

    /// Runs a short `body` of the library's between calls of rules. It has
    /// the time of an event, for rules can change what it reads, and the
    /// reserve of memory. `None` when it failed.
    pub fn ask<R>(&self, body: impl FnOnce(&Lua) -> mlua::Result<R>) -> Option<R> {
        self.watchdog.enter();
        let result = body(&self.lua);
        let stopped = self.watchdog.leave();
        if stopped {
            watchdog::take_stack();
        }
        result.ok().filter(|_| !stopped)
    }

    /// Collects garbage fully; a cap hit with garbage around is not a leak.
    pub fn collect(&mut self) {
        // SAFETY: no call runs.
        unsafe { ffi::lua_gc(self.state, ffi::LUA_GCCOLLECT, 0) };
        let limit = self.heap.limit();
        self.collect_at = (limit / 4 * 3).max(self.heap.used().saturating_add(limit / 8));
    }

    /// Collects some garbage, for a fraction of a millisecond.
    pub fn collect_some(&mut self) {
        // SAFETY: no call runs.
        unsafe { ffi::lua_gc(self.state, ffi::LUA_GCSTEP, 64) };
    }

    /// Leaves the traceback function at the bottom of the stack, where
    /// `call` finds it by index.
    fn keep_error_function(&mut self) -> io::Result<()> {
        let function: Function = self
            .lua
            .load("local slot = {} ; return function (e) local f = slot.format ; if f then return f(e) end ; return e end, slot")
            .set_name("=[wero]/on_error")
            .eval::<(Function, Table)>()
            .and_then(|(function, slot)| {
                self.lua.set_named_registry_value("wero.on_error", slot)?;
                Ok(function)
            })
            .map_err(as_io)?;
        let entry = self.entry(&function).map_err(as_io)?;
        // SAFETY: one slot of the main stack is used for good; mlua
        // restores the stack to where it found it, never below.
        unsafe {
            ffi::lua_rawgeti_(self.state, ffi::LUA_REGISTRYINDEX, entry.0);
            self.on_error = ffi::lua_gettop(self.state);
        }
        Ok(())
    }

    /// Sets the function that turns an error value into what is reported.
    ///
    /// # Errors
    /// When the registry is damaged: a defect of the library.
    pub fn set_error_function(&self, function: Function) -> mlua::Result<()> {
        self.lua
            .named_registry_value::<Table>("wero.on_error")?
            .set("format", function)
    }

    /// Proves that compiled endless loops are stopped in this build. They are
    /// compiled long before the first tick.
    fn self_test(&mut self) -> io::Result<()> {
        let run: Function = self
            .lua
            .load("while true do end")
            .set_name("=self-test")
            .into_function()
            .map_err(as_io)?;
        let entry = self.entry(&run).map_err(as_io)?;
        self.watchdog.set_budget(Duration::from_millis(4))?;
        self.watchdog.set_testing(true);
        let result = self.call(entry, 0, 0);
        self.watchdog.set_testing(false);
        self.watchdog.set_budget(self.limits.load_time)?;
        match result {
            Err(Failure::TimeBudget(_)) => Ok(()),
            other => Err(io::Error::other(format!(
                "self-test of the rule watchdog ended with {other:?}"
            ))),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // SAFETY: the handle is dropped once, before the state it refers
        // to; nothing else of mlua's outlives the host (entries are plain
        // numbers). The watchdog only touches the state while a call runs.
        unsafe {
            ManuallyDrop::drop(&mut self.lua);
            ffi::lua_close(self.state);
        }
    }
}

/// The error value on top of the stack as text.
///
/// # Safety
/// The stack of `state` must not be empty.
unsafe fn error_text(state: *mut lua_State) -> String {
    // SAFETY: lua_tolstring only converts strings and numbers in place.
    unsafe {
        let mut length = 0;
        let text = ffi::lua_tolstring(state, -1, &mut length);
        if text.is_null() {
            let name = CStr::from_ptr(ffi::lua_typename(state, ffi::lua_type(state, -1)));
            return format!("(error object is a {} value)", name.to_string_lossy());
        }
        String::from_utf8_lossy(std::slice::from_raw_parts(text.cast(), length)).into_owned()
    }
}

/// mlua's errors cannot cross threads; as text they can.
fn as_io(error: mlua::Error) -> io::Error {
    io::Error::other(error.to_string())
}

/// How a message says where a call was stopped: what stands before it, and
/// who called, which stands behind it.
pub fn told_stack(
    stack: &[String],
    otherwise: impl FnOnce() -> Option<String>,
) -> (String, String) {
    let (place, callers) = match stack.split_first() {
        Some((place, callers)) => (Some(place.clone()), callers),
        None => (otherwise(), Default::default()),
    };
    let at = place.map(|place| place + ": ").unwrap_or_default();
    match callers {
        [] => (at, String::new()),
        callers => (at, format!(", called from {}", callers.join(", "))),
    }
}

/// The `file:line` that an error message begins with.
pub fn place_in(message: &str) -> Option<String> {
    let mut parts = message.splitn(3, ':');
    let (file, line) = (parts.next()?, parts.next()?);
    line.parse::<u32>()
        .ok()
        .map(|line| format!("{file}:{line}"))
}

/// The message of an mlua error without mlua's own frame around it; `None`
/// for the nil error.
pub fn plain_message(error: &mlua::Error) -> Option<String> {
    match error {
        mlua::Error::RuntimeError(text) => {
            let text = text.split("\nstack traceback:").next().unwrap_or(text);
            (text != "nil").then(|| text.to_owned())
        }
        mlua::Error::SyntaxError { message, .. } => Some(message.clone()),
        mlua::Error::MemoryError(text) => Some(text.clone()),
        mlua::Error::CallbackError { cause, .. } => plain_message(cause),
        mlua::Error::ExternalError(error) => Some(error.to_string()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_running(source: &str) -> (Host, Entry) {
        let limits = Limits {
            event_time: Duration::from_millis(5),
            memory: 32 << 20,
            ..Limits::default()
        };
        let mut host = Host::open(limits).expect("a state opens");
        let function = host
            .lua()
            .load(source)
            .into_function()
            .expect("the test chunk compiles");
        let entry = host.entry(&function).expect("room in the registry");
        drop(function);
        host.arm().expect("the timer is ours");
        (host, entry)
    }

    fn failure_of(source: &str) -> Failure {
        let (mut host, entry) = host_running(source);
        let failure = host.call(entry, 0, 0).expect_err("the call must fail");
        let (fine, after) = {
            let function = host
                .lua()
                .load("local n = 0 for i = 1, 100 do n = n + i end assert(n == 5050)")
                .into_function()
                .expect("compiles");
            let after = host.entry(&function).expect("room");
            (host.call(after, 0, 0), after)
        };
        assert_eq!(
            fine,
            Ok(()),
            "the state goes on after {source:?} ({after:?})"
        );
        failure
    }

    #[test]
    fn endless_loop_is_stopped() {
        assert!(matches!(
            failure_of("while true do end"),
            Failure::TimeBudget(_)
        ));
    }

    /// What LuaJIT does by itself, such as growing its table of strings, can
    /// take longer than a budget; the rule under way does not.
    #[test]
    fn a_long_pause_outside_of_lua_stops_nobody() {
        let (mut host, _) = host_running("");
        let pause = host
            .lua()
            .create_function(|_, ()| {
                let since = cpu_time();
                while cpu_time() - since < Duration::from_millis(40) {}
                Ok(())
            })
            .expect("room for a function");
        host.lua().globals().set("pause", pause).expect("room");
        for (source, stopped) in [
            (
                "pause() local n = 0 for i = 1, 1000 do n = n + i end",
                false,
            ),
            ("pause() while true do end", true),
            ("while true do pause() end", true),
        ] {
            let function = host.lua().load(source).into_function().expect("compiles");
            let entry = host.entry(&function).expect("room");
            let outcome = host.call(entry, 0, 0);
            assert_eq!(outcome.is_err(), stopped, "{source}: {outcome:?}");
        }
    }

    fn cpu_time() -> Duration {
        // SAFETY: the pointer is to a live local that the call fills.
        let now = unsafe {
            let mut now: libc::timespec = std::mem::zeroed();
            libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut now);
            now
        };
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    }

    #[test]
    fn endless_pcall_loop_is_stopped() {
        assert!(matches!(
            failure_of("while true do pcall(function () while true do end end) end"),
            Failure::TimeBudget(_)
        ));
    }

    #[test]
    fn endless_coroutines_are_stopped() {
        let source = "while true do coroutine.wrap(function () for i = 1, 3 do coroutine.yield(i) end end)() end";
        assert!(matches!(failure_of(source), Failure::TimeBudget(_)));
    }

    #[test]
    fn table_growth_is_stopped_at_the_cap() {
        let source = "local t = {} while true do pcall(function () for i = 1, 1e9 do t[#t + 1] = {i} end end) end";
        assert!(matches!(
            failure_of(source),
            Failure::MemoryCap(_) | Failure::TimeBudget(_)
        ));
        assert!(matches!(
            failure_of("return ('x'):rep(1e9)"),
            Failure::MemoryCap(_)
        ));
    }

    #[test]
    fn errors_keep_their_message() {
        let (mut host, entry) = host_running("error('boom', 0)");
        assert_eq!(host.call(entry, 0, 0), Err(Failure::Error("boom".into())));
        let (mut host, entry) = host_running("error()");
        assert_eq!(host.call(entry, 0, 0), Err(Failure::Abort));
        let (mut host, entry) = host_running("error({})");
        assert_eq!(
            host.call(entry, 0, 0),
            Err(Failure::Error("(error object is a table value)".into()))
        );
    }

    #[test]
    fn arguments_arrive() {
        let (mut host, entry) =
            host_running("local a, b = ... ; assert(a == 7 and b == 4000000000)");
        assert_eq!(host.call(entry, 7, 4_000_000_000), Ok(()));
    }
}
