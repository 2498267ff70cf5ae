//! Waiting for a person in the middle of a call of rules.
//!
//! An interactive rule or the debugger reads lines while a rule runs. Reading
//! is not counted against the rule's time; what the person asks for is a call
//! of its own, with a budget of its own, that is stopped like any runaway
//! while the rule goes on. Not here: where lines come from (`event::Terminal`).

use std::rc::Rc;

use mlua::ffi::{self, lua_State};
use mlua::{Function, Lua, MultiValue};

use super::heap::Heap;
use super::host::{plain_message, told_stack};
use super::watchdog::{self, Timed, Watchdog};
use super::{interrupt, line_hook};

/// Interrupts the running call of one state. Stays on the state's thread.
#[derive(Clone)]
pub struct Pause {
    state: *mut lua_State,
    heap: *mut Heap,
    watchdog: Rc<Watchdog>,
}

impl Pause {
    /// # Safety
    /// State and heap must be alive whenever a method is called.
    pub(super) unsafe fn new(
        state: *mut lua_State,
        heap: *mut Heap,
        watchdog: Rc<Watchdog>,
    ) -> Pause {
        Pause {
            state,
            heap,
            watchdog,
        }
    }

    /// Runs `wait`, which takes as long as it likes.
    pub fn wait<R>(&self, wait: impl FnOnce() -> R) -> R {
        let before = self.watchdog.interrupt(Timed::Nobody);
        let result = wait();
        self.watchdog.resume(before);
        result
    }

    /// Calls `request` as a call of its own. It must not yield.
    ///
    /// # Errors
    /// The message of its error, or that it was stopped.
    pub fn evaluate(
        &self,
        request: &Function,
        arguments: MultiValue,
    ) -> Result<MultiValue, String> {
        let before = self.watchdog.interrupt(Timed::Request);
        let result = request.call::<MultiValue>(arguments);
        let budget = self.watchdog.budget();
        let stopped = self.watchdog.resume(before);
        let stack = watchdog::take_stack();
        if self.take_overrun() {
            return Err("stopped: used up the memory of the rules".to_owned());
        }
        if stopped {
            // Below what was typed lies the rule that asked for it.
            let place = stack.get(..1).unwrap_or_default();
            let (at, _) = told_stack(place, || None);
            return Err(format!(
                "{at}stopped: used more than {budget:?} of CPU time"
            ));
        }
        result.map_err(|error| plain_message(&error).unwrap_or_else(|| "aborted".to_owned()))
    }

    /// After the memory cap was hit: gives back what the request left.
    fn take_overrun(&self) -> bool {
        // SAFETY: by the contract of `new` heap and state are alive; no other
        // reference to the heap is in use while this runs.
        unsafe {
            if !(*self.heap).take_overrun() {
                return false;
            }
            self.watchdog.unhook();
            ffi::lua_gc(self.state, ffi::LUA_GCCOLLECT, 0);
        }
        true
    }

    /// From now on `hook` is called for every line that runs, as
    /// `hook(event, line, interrupted)`, and ^C does not end the program but
    /// is told to the hook. `None` ends that.
    ///
    /// # Errors
    /// When Lua is out of memory.
    pub fn hook_lines(&self, lua: &Lua, hook: Option<Function>) -> mlua::Result<()> {
        interrupt::listen(hook.is_some());
        let hooked = hook.is_some();
        line_hook::keep(lua, hook)?;
        self.watchdog.rest_on(hooked.then_some(line_hook::HOOK));
        Ok(())
    }

    /// The debugger has stopped: the next ^C breaks again.
    pub fn broken(&self) {
        interrupt::clear();
    }
}
