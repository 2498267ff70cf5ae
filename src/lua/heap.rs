//! The memory of one Lua state: allocator, accounting and cap.
//!
//! LuaJIT asks here for every table, string and coroutine. At the cap an
//! allocation fails (Lua raises "not enough memory") and the state is
//! doomed: the watchdog's hook then ends the whole call, so that `pcall`
//! cannot swallow the failure. Machine code of the JIT is outside the cap;
//! LuaJIT limits that itself (`maxmcode`). Bytes of rule-made buffers are
//! counted in by their own pool.

use std::ffi::c_void;
use std::ptr;

use mlua::ffi::lua_State;

use super::watchdog;

/// Accounting of one state's memory, in bytes.
#[derive(Debug)]
pub struct Heap {
    used: usize,
    limit: usize,
    /// An allocation failed since the last [`Heap::take_overrun`].
    overrun: bool,
    state: *mut lua_State,
}

impl Heap {
    pub fn new(limit: usize) -> Box<Heap> {
        Box::new(Heap { used: 0, limit, overrun: false, state: ptr::null_mut() })
    }

    pub fn used(&self) -> usize {
        self.used
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
    if new_size == 0 {
        heap.used = heap.used.saturating_sub(old_size);
        // SAFETY: `block` came from `realloc` below, or is null.
        unsafe { libc::free(block) };
        return ptr::null_mut();
    }
    let used = heap.used.saturating_sub(old_size).saturating_add(new_size);
    // Lua relies on shrinking never to fail.
    if used > heap.limit && new_size > old_size {
        heap.overrun = true;
        if !heap.state.is_null() {
            // SAFETY: the state is alive, since it is asking for memory.
            unsafe { watchdog::doom(heap.state) };
        }
        return ptr::null_mut();
    }
    // SAFETY: as above.
    let grown = unsafe { libc::realloc(block, new_size) };
    if !grown.is_null() {
        heap.used = used;
    }
    grown
}
