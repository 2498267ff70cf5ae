//! Stops rules that run too long, compiled traces included.
//!
//! Each worker thread has a timer on its own CPU clock, so a preempted
//! worker is not blamed for the time of others. The timer ticks a few times
//! per budget and sends a real-time signal to that thread; the handler sees
//! whether the same call is still running and, past the budget, installs a
//! count hook that raises an error at every instruction. The tick before, a
//! hook that only takes itself away tells whether Lua runs at all: a long
//! pause in C, when LuaJIT collects or grows a table, is not the fault of the
//! rule that it happens to, which gets one whole tick more to end. The hook stays
//! until the call has ended, so `pcall` and coroutines cannot swallow it; it
//! notes the lines of the rule file that it struck first ([`take_stack`]).
//! Arming costs no system call per event: a call is a store of an odd
//! number, its end the next even one. While a call waits for a person it is
//! no call ([`Watchdog::interrupt`]); a hook of the debugger's stands while
//! none of the watchdog's is needed ([`Watchdog::rest_on`]).
//!
//! LuaJIT must be built with `LUAJIT_ENABLE_CHECKHOOK`; a self-test in
//! the host proves it. C code is not interrupted: what Lua can call is
//! step-bounded instead (`pattern`).

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use mlua::ffi::{self, lua_Debug, lua_State};

/// Ticks per budget: a runaway ends between one budget and 6/4 of it.
const TICKS: u32 = 4;
/// Ticks after which a call that nothing stops is taken for hopeless, only
/// while the self-test runs.
const HOPELESS: u32 = 100;

/// What the signal handler looks at. Atomics only: the handler interrupts
/// the very thread that writes them.
struct Watch {
    state: AtomicPtr<lua_State>,
    /// Odd while a call runs; each call has a number of its own.
    call: AtomicU64,
    seen: AtomicU64,
    ticks: AtomicU32,
    /// At the last tick past the budget it was C that ran.
    paused: AtomicBool,
    doomed: AtomicBool,
    /// A debugger's hook is in place, which no other may take away.
    rested: AtomicBool,
    testing: AtomicBool,
}

/// A hook and the events it is for, as `lua_sethook` takes them.
pub type Hook = (
    unsafe extern "C-unwind" fn(*mut lua_State, *mut lua_Debug),
    c_int,
);

/// What is timed, and against which budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timed {
    /// A call of rules.
    Call,
    /// Nobody: a person is waited for.
    Nobody,
    /// What a person asked for.
    Request,
}

/// What [`Watchdog::interrupt`] found, for [`Watchdog::resume`].
#[must_use]
pub struct Interrupted {
    running: bool,
    timed: Timed,
}

/// The watchdog of one Lua state. Belongs to the thread that made it.
pub struct Watchdog {
    watch: Box<Watch>,
    timer: libc::timer_t,
    budget: Cell<Duration>,
    /// The CPU time of what a person asks for, and of events that one steps
    /// through.
    patience: Duration,
    /// The debugger's hook, while it is attached.
    rest: Cell<Option<Hook>>,
    timed: Cell<Timed>,
}

impl Watchdog {
    /// Starts the timer of the calling thread. `budget`, that of loading, is
    /// also what a person's requests may take.
    ///
    /// # Errors
    /// When the kernel refuses the timer or the signal handler.
    ///
    /// # Safety
    /// `state` must stay alive as long as the watchdog, and be used by the
    /// calling thread only.
    pub unsafe fn start(state: *mut lua_State, budget: Duration) -> io::Result<Watchdog> {
        install_handler()?;
        let watch = Box::new(Watch {
            state: AtomicPtr::new(state),
            call: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            ticks: AtomicU32::new(0),
            paused: AtomicBool::new(false),
            doomed: AtomicBool::new(false),
            rested: AtomicBool::new(false),
            testing: AtomicBool::new(false),
        });
        // SAFETY: a zeroed sigevent is valid; the fields that matter are set.
        let mut event: libc::sigevent = unsafe { MaybeUninit::zeroed().assume_init() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal_number();
        event.sigev_value = libc::sigval {
            sival_ptr: ptr::from_ref::<Watch>(&watch) as *mut c_void,
        };
        // SAFETY: gettid has no preconditions.
        event.sigev_notify_thread_id = unsafe { libc::gettid() };
        let mut timer: libc::timer_t = ptr::null_mut();
        // SAFETY: both pointers are to live locals.
        if unsafe { libc::timer_create(libc::CLOCK_THREAD_CPUTIME_ID, &mut event, &mut timer) } != 0
        {
            return Err(io::Error::last_os_error());
        }
        let watchdog = Watchdog {
            watch,
            timer,
            budget: Cell::new(budget),
            patience: budget,
            rest: Cell::new(None),
            timed: Cell::new(Timed::Call),
        };
        watchdog.set_budget(budget)?;
        Ok(watchdog)
    }

    /// Changes the CPU time that one call may take.
    ///
    /// # Errors
    /// When the kernel refuses the interval.
    pub fn set_budget(&self, budget: Duration) -> io::Result<()> {
        self.budget.set(budget);
        self.arm()
    }

    /// The CPU time of what is timed now.
    pub fn budget(&self) -> Duration {
        match (self.timed.get(), self.rest.get()) {
            (Timed::Call, None) => self.budget.get(),
            // Stepping through rules line by line takes its time.
            (Timed::Call, Some(_)) => self.budget.get().max(self.patience),
            (Timed::Nobody, _) => Duration::ZERO,
            (Timed::Request, _) => self.patience,
        }
    }

    fn arm(&self) -> io::Result<()> {
        // A timer of zero does not run.
        let tick = match self.budget() {
            Duration::ZERO => Duration::ZERO,
            budget => (budget / TICKS).max(Duration::from_micros(100)),
        };
        let tick = libc::timespec {
            tv_sec: tick.as_secs() as _,
            tv_nsec: tick.subsec_nanos() as _,
        };
        let spec = libc::itimerspec {
            it_interval: tick,
            it_value: tick,
        };
        // SAFETY: the timer is ours; the pointer is to a live local.
        if unsafe { libc::timer_settime(self.timer, 0, &spec, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    fn arm_again(&self, timed: Timed) {
        self.timed.set(timed);
        self.arm().expect("the timer took an interval before");
    }

    /// Ends the time of the running call for a while: from now on nobody is
    /// timed, or a person's request is, as a call of its own.
    pub fn interrupt(&self, timed: Timed) -> Interrupted {
        let call = self.watch.call.load(Ordering::Relaxed);
        let before = Interrupted {
            running: call & 1 == 1,
            timed: self.timed.get(),
        };
        let step = if timed == Timed::Nobody { 1 } else { 2 };
        self.watch.call.store((call | 1) + step, Ordering::Release);
        self.arm_again(timed);
        before
    }

    /// The interrupted call goes on, with all its time before it. Returns
    /// whether what ran in between was stopped.
    pub fn resume(&self, before: Interrupted) -> bool {
        let call = self.watch.call.load(Ordering::Relaxed);
        let step = if before.running { 2 } else { 1 };
        self.watch.call.store((call | 1) + step, Ordering::Release);
        self.arm_again(before.timed);
        self.watch.doomed.load(Ordering::Acquire) && self.pardon()
    }

    /// Leaves a hook in place whenever no call is being ended; `None` takes
    /// it away. Calls that are stepped through get more time.
    pub fn rest_on(&self, hook: Option<Hook>) {
        self.rest.set(hook);
        self.watch.rested.store(hook.is_some(), Ordering::Release);
        self.arm_again(self.timed.get());
        if !self.watch.doomed.load(Ordering::Acquire) {
            self.unhook();
        }
    }

    /// Takes away the hook that ends a call.
    pub fn unhook(&self) {
        let (hook, mask) = match self.rest.get() {
            Some((hook, mask)) => (Some(hook), mask),
            None => (None, 0),
        };
        // SAFETY: the state is alive and the caller on its thread. LuaJIT
        // skips its work when the mode looks unchanged, hence off first.
        unsafe {
            let state = self.watch.state.load(Ordering::Relaxed);
            ffi::lua_sethook(state, None, 0, 0);
            ffi::lua_sethook(state, hook, mask, 0);
        }
    }

    /// A call into Lua begins.
    #[inline(always)]
    pub fn enter(&self) {
        let call = self.watch.call.load(Ordering::Relaxed);
        self.watch.call.store(call | 1, Ordering::Release);
    }

    /// The call has ended. Returns whether it was stopped.
    #[inline(always)]
    pub fn leave(&self) -> bool {
        let call = self.watch.call.load(Ordering::Relaxed);
        self.watch.call.store((call | 1) + 1, Ordering::Release);
        if self.watch.doomed.load(Ordering::Acquire) {
            self.pardon()
        } else {
            false
        }
    }

    #[cold]
    fn pardon(&self) -> bool {
        let stopped = self.watch.doomed.swap(false, Ordering::AcqRel);
        self.unhook();
        stopped
    }

    /// While testing, a call that cannot be stopped ends the process with a
    /// message instead of hanging it for ever.
    pub fn set_testing(&self, on: bool) {
        self.watch.testing.store(on, Ordering::Release);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // SAFETY: the timer is ours. Its pending signal, if any, was
        // delivered to this thread before the call returns or is discarded
        // by the kernel with the timer.
        unsafe { libc::timer_delete(self.timer) };
    }
}

/// Ends the running call of `state` at its next instruction.
///
/// # Safety
/// `state` must be a live main state, and the caller on its thread.
pub unsafe fn doom(state: *mut lua_State) {
    // SAFETY: lua_sethook neither allocates nor locks; setting it from a
    // signal or from the allocator is what LuaJIT allows for it.
    unsafe { ffi::lua_sethook(state, Some(stop), ffi::LUA_MASKCOUNT, 1) };
}

/// Frames looked through for a line of a rule file. Library code is never
/// nested so deep above one, but rules may recurse.
const FRAMES: c_int = 64;

/// Short names of the library's own chunks begin so.
const LIBRARY: &[u8] = b"[wero]";

/// A chunk's short name and a line, in a fixed place: the hook must not
/// depend on memory. An empty name stands for none.
#[derive(Clone, Copy)]
struct Place {
    chunk: [u8; PLACE],
    length: usize,
    line: c_int,
}

/// Bytes kept of a chunk's name, as many as Lua makes of it (LUA_IDSIZE).
const PLACE: usize = 60;

const NOWHERE: Place = Place {
    chunk: [0; PLACE],
    length: 0,
    line: 0,
};

/// Frames of rule files that are told, from the innermost on.
const DEPTH: usize = 8;

thread_local! {
    /// Where the hook first struck since [`take_stack`].
    static STRUCK: Cell<[Place; DEPTH]> = const { Cell::new([NOWHERE; DEPTH]) };
}

impl Place {
    /// `file:line`; nothing of an empty place.
    fn text(&self) -> Option<String> {
        let chunk = self.chunk.get(..self.length)?;
        let named = !chunk.is_empty();
        named.then(|| format!("{}:{}", String::from_utf8_lossy(chunk), self.line))
    }
}

/// The lines of rule files, as `file:line`, at which the last call was
/// stopped: the innermost first, then those that it was called from.
pub fn take_stack() -> Vec<String> {
    let places = STRUCK.replace([NOWHERE; DEPTH]);
    places.iter().map_while(Place::text).collect()
}

/// The innermost frames of rule files.
///
/// # Safety
/// As for a hook: `state` is running.
unsafe fn stack_of(state: *mut lua_State) -> [Place; DEPTH] {
    let mut places = [NOWHERE; DEPTH];
    let mut free = places.iter_mut();
    for level in 0..FRAMES {
        // SAFETY: a zeroed lua_Debug is valid to be filled; getinfo gets
        // what getstack made, and its texts live as long as the frame.
        let place = unsafe {
            let mut frame: lua_Debug = mem::zeroed();
            if ffi::lua_getstack(state, level, &mut frame) == 0
                || ffi::lua_getinfo(state, c"Sl".as_ptr(), &mut frame) == 0
            {
                break;
            }
            let name = CStr::from_ptr(frame.short_src.as_ptr()).to_bytes();
            let mut chunk = [0; PLACE];
            let length = name.len().min(PLACE);
            chunk[..length].copy_from_slice(&name[..length]);
            Place {
                chunk,
                length,
                line: frame.currentline,
            }
        };
        if place.line > 0 && !place.chunk.starts_with(LIBRARY) {
            let Some(next) = free.next() else { break };
            *next = place;
        }
    }
    places
}

/// The hook that ends a call: an error at every instruction.
unsafe extern "C-unwind" fn stop(state: *mut lua_State, _: *mut lua_Debug) {
    // The sandbox knows this text (`lib/sandbox.lua`).
    const TEXT: &[u8] = b"rule stopped: over its time or memory budget";
    if STRUCK.get()[0].length == 0 {
        // SAFETY: Lua calls the hook in the state that runs.
        STRUCK.set(unsafe { stack_of(state) });
    }
    // SAFETY: Lua calls the hook with a state that may raise errors.
    unsafe {
        ffi::lua_pushlstring_(state, TEXT.as_ptr().cast(), TEXT.len());
        ffi::lua_error(state);
    }
}

/// The hook that shows that Lua runs: it takes itself away.
unsafe extern "C-unwind" fn look(state: *mut lua_State, _: *mut lua_Debug) {
    // SAFETY: hooks may change the hook of the state that called them.
    unsafe { ffi::lua_sethook(state, None, 0, 0) };
}

fn signal_number() -> c_int {
    libc::SIGRTMIN() + 6
}

fn install_handler() -> io::Result<()> {
    static INSTALL: Once = Once::new();
    let mut result = Ok(());
    INSTALL.call_once(|| {
        // SAFETY: a zeroed sigaction is valid; handler and flags are set.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction =
                on_tick as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            if libc::sigaction(signal_number(), &action, ptr::null_mut()) != 0 {
                result = Err(io::Error::last_os_error());
            }
        }
    });
    result
}

extern "C" fn on_tick(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel passes a valid siginfo; the value points at the
    // boxed watch, which lives until its timer is deleted by this thread.
    // Only atomics and lua_sethook are used, and errno is put back.
    unsafe {
        let errno = *libc::__errno_location();
        let watch = (*info).si_value().sival_ptr.cast::<Watch>();
        if !watch.is_null() {
            tick(&*watch);
        }
        *libc::__errno_location() = errno;
    }
}

fn tick(watch: &Watch) {
    let call = watch.call.load(Ordering::Acquire);
    if call & 1 == 0 {
        return;
    }
    // The self-test has no budget: it is to end at any tick.
    let testing = watch.testing.load(Ordering::Acquire);
    if watch.seen.swap(call, Ordering::Relaxed) != call {
        watch.ticks.store(0, Ordering::Relaxed);
        watch.paused.store(false, Ordering::Relaxed);
        if !testing {
            return;
        }
    }
    let ticks = watch.ticks.fetch_add(1, Ordering::Relaxed) + 1;
    if !testing && (ticks < TICKS || is_pardonable(watch, ticks)) {
        return;
    }
    watch.doomed.store(true, Ordering::Release);
    // SAFETY: the call runs on this thread, so the state is alive. A hook
    // update that was lost to an interrupted one is made again next tick:
    // LuaJIT skips its work when the mode looks unchanged, hence off first.
    unsafe {
        let state = watch.state.load(Ordering::Relaxed);
        ffi::lua_sethook(state, None, 0, 0);
        doom(state);
    }
    if testing && ticks > HOPELESS {
        const TEXT: &[u8] =
            b"wero: this build of LuaJIT cannot stop runaway rules; build with the \
            repository's .cargo/config.toml (-DLUAJIT_ENABLE_CHECKHOOK)\n";
        // SAFETY: both calls are async-signal-safe.
        unsafe {
            libc::write(2, TEXT.as_ptr().cast(), TEXT.len());
            libc::_exit(70);
        }
    }
}

/// Whether the call has not run for a whole tick past its budget yet: its first
/// tick there, one at which [`look`] still waits for an instruction, or the
/// next one after such a pause.
fn is_pardonable(watch: &Watch, ticks: u32) -> bool {
    if watch.rested.load(Ordering::Acquire) || ticks > HOPELESS {
        return false;
    }
    // SAFETY: as in `tick`; reading the hook is reading one word.
    unsafe {
        let state = watch.state.load(Ordering::Relaxed);
        if ticks == TICKS {
            ffi::lua_sethook(state, None, 0, 0);
            ffi::lua_sethook(state, Some(look), ffi::LUA_MASKCOUNT, 1);
            return true;
        }
        let waits = ffi::lua_gethook(state)
            .is_some_and(|hook| ptr::fn_addr_eq(hook, look as ffi::lua_Hook));
        watch.paused.swap(waits, Ordering::Relaxed) || waits
    }
}
