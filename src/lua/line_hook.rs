//! The hook of the debugger: each line that runs is told to a Lua function.
//!
//! LuaJIT has one hook for all coroutines of a state, and none runs while one
//! runs. Compiled code is not hooked: the debugger turns the compiler off.
//!
//! The prompt of the debugger must not be taken for a running hook, or nothing
//! could stop what is typed there. So the function leaves the hook, as far as
//! LuaJIT is concerned (`lib/debugger.lua`), and then ends with the nil error:
//! a protected call that fails puts back what was before it.

use std::ffi::{c_int, c_void};
use std::ptr;

use mlua::ffi::{self, lua_Debug, lua_State};
use mlua::{Function, Lua};

use super::interrupt;
use super::watchdog::Hook;

/// The hook and the events that it is for.
pub const HOOK: Hook = (on_event, ffi::LUA_MASKLINE | ffi::LUA_MASKRET);

/// Its address is the registry's key of the function.
static KEY: u8 = 0;

fn key() -> *mut c_void {
    ptr::from_ref(&KEY).cast_mut().cast()
}

/// Keeps the function that the hook calls.
///
/// # Errors
/// When Lua is out of memory.
pub fn keep(lua: &Lua, function: Option<Function>) -> mlua::Result<()> {
    // SAFETY: exec_raw runs protected with the function, or nil, on top of
    // the stack; the registry takes it and the stack is empty again.
    unsafe {
        lua.exec_raw::<()>(function, |state| {
            ffi::lua_pushlightuserdata(state, key());
            ffi::lua_insert(state, -2);
            ffi::lua_rawset(state, ffi::LUA_REGISTRYINDEX);
        })
    }
}

/// Calls the function with the event, the line and whether ^C was hit. Its
/// nil error is no error.
unsafe extern "C-unwind" fn on_event(state: *mut lua_State, event: *mut lua_Debug) {
    // SAFETY: Lua calls the hook in the state that runs, with LUA_MINSTACK
    // free slots, and allows it to call and to raise errors. Nothing here
    // needs to be dropped when it does.
    unsafe {
        ffi::lua_pushlightuserdata(state, key());
        ffi::lua_rawget(state, ffi::LUA_REGISTRYINDEX);
        if ffi::lua_isfunction(state, -1) == 0 {
            ffi::lua_pop(state, 1);
            return;
        }
        ffi::lua_pushinteger(state, (*event).event as ffi::lua_Integer);
        ffi::lua_pushinteger(state, (*event).currentline as ffi::lua_Integer);
        ffi::lua_pushboolean(state, c_int::from(interrupt::pending()));
        let status = ffi::lua_pcall(state, 3, 0, 0);
        if status == ffi::LUA_OK {
            return;
        }
        if ffi::lua_isnil(state, -1) == 0 {
            ffi::lua_error(state);
        }
        ffi::lua_pop(state, 1);
    }
}
