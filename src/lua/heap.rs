//! The memory of one Lua state: allocator, accounting and cap.
//!
//! LuaJIT asks here for every table, string and coroutine. At the cap the
//! state is doomed: the watchdog's hook ends the whole call at the next
//! instruction, so that `pcall` cannot swallow it and the line is known.
//! The allocation itself is still granted out of a small reserve; beyond,
//! it fails (Lua raises "not enough memory"). Between calls of rules the
//! library may use the reserve twice over, so that it can report and suspend
//! a rule that filled the state. Machine code of the JIT is outside the cap;
//! LuaJIT limits that itself (`maxmcode`). Bytes of rule-made buffers are
//! capped by their own pool.

use std::ffi::c_void;
use std::ptr;

use mlua::ffi::lua_State;

use super::pool::Pool;
use super::watchdog;

/// What is granted beyond the cap while a call is being ended.
const RESERVE: usize = 1 << 20;

/// Accounting of one state's memory, in bytes.
pub struct Heap {
    pool: Pool,
    used: usize,
    /// Bytes asked for since the start, those given back included.
    allocated: u64,
    limit: usize,
    /// Rules run: they answer for what is asked for.
    in_rules: bool,
    /// The cap was passed since the last [`Heap::take_overrun`].
    overrun: bool,
    state: *mut lua_State,
}

impl Heap {
    pub fn new(limit: usize) -> Box<Heap> {
        Box::new(Heap {
            pool: Pool::new(),
            used: 0,
            allocated: 0,
            limit,
            in_rules: false,
            overrun: false,
            state: ptr::null_mut(),
        })
    }

    pub fn used(&self) -> usize {
        self.used
    }

    /// Where the count of all bytes ever asked for stands.
    pub fn allocated(&self) -> *const u64 {
        &raw const self.allocated
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether the cap was hit and not yet taken note of.
    #[inline(always)]
    pub fn overrun(&self) -> bool {
        self.overrun
    }

    /// Sets the cap of a state that is in use already.
    pub fn cap(&mut self, limit: usize, state: *mut lua_State) {
        self.limit = limit;
        self.state = state;
    }

    /// Rules begin or have ended.
    #[inline(always)]
    pub fn set_in_rules(&mut self, on: bool) {
        self.in_rules = on;
    }

    /// Whether an allocation that leads to `used` bytes must fail. Ends the
    /// running call of rules if it passes the cap.
    #[cold]
    fn refuses(&mut self, used: usize) -> bool {
        if self.state.is_null() || !self.in_rules {
            return used > self.limit.saturating_add(2 * RESERVE);
        }
        if !self.overrun {
            self.overrun = true;
            // SAFETY: the state is alive, since it is asking for memory.
            unsafe { watchdog::doom(self.state) };
        }
        used > self.limit.saturating_add(RESERVE)
    }

    /// Whether the cap was hit since the last call of this function.
    pub fn take_overrun(&mut self) -> bool {
        std::mem::take(&mut self.overrun)
    }
}

/// The allocator handed to `lua_newstate`; `user` is a `*mut Heap`.
///
/// # Safety
/// `user` must be the heap that the state was made with, and `block` what
/// this function returned before for `old_size` bytes, as Lua guarantees.
pub unsafe extern "C" fn allocate(
    user: *mut c_void,
    block: *mut c_void,
    old_size: usize,
    new_size: usize,
) -> *mut c_void {
    // SAFETY: the host passes its boxed heap, which outlives the state; Lua
    // calls from the state's own thread only, and no other reference to the
    // heap is alive while Lua runs.
    let heap = unsafe { &mut *user.cast::<Heap>() };
    let old_size = if block.is_null() { 0 } else { old_size };
    let used = heap.used.saturating_sub(old_size).saturating_add(new_size);
    // Lua relies on shrinking never to fail.
    if used > heap.limit && new_size > old_size && heap.refuses(used) {
        return ptr::null_mut();
    }
    // SAFETY: Lua gives back what this function returned for `old_size`.
    let block = unsafe { heap.pool.resize(block, old_size, new_size) };
    if new_size == 0 || !block.is_null() {
        heap.used = used;
        heap.allocated += new_size.saturating_sub(old_size) as u64;
    }
    block
}
