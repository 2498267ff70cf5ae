//! Samples of the Lua stack by LuaJIT's own profiler.
//!
//! It interrupts the process a thousand times per second of CPU time and
//! calls back at the next instruction, compiled code included. LuaJIT compiles
//! anew when it starts, with a test for it at every line.

use std::ffi::{c_char, c_int, c_void};
use std::rc::Rc;

use mlua::ffi::lua_State;

use super::Profiler;

/// Frames of a stack that are kept, the innermost ones.
const DEPTH: c_int = 64;

type Callback = unsafe extern "C" fn(*mut c_void, *mut lua_State, c_int, c_int);

// From LuaJIT's own `luajit.h`; mlua declares none of these.
unsafe extern "C" {
    fn luaJIT_profile_start(
        state: *mut lua_State,
        mode: *const c_char,
        callback: Callback,
        data: *mut c_void,
    );
    fn luaJIT_profile_stop(state: *mut lua_State);
    fn luaJIT_profile_dumpstack(
        state: *mut lua_State,
        format: *const c_char,
        depth: c_int,
        length: *mut usize,
    ) -> *const c_char;
}

/// Takes samples for as long as it lives.
pub struct Sampler {
    state: *mut lua_State,
    _profiler: Rc<Profiler>,
}

impl Sampler {
    /// Begins to take samples of a state.
    ///
    /// # Safety
    /// `state` must be a live main state that outlives the sampler, and be
    /// used by the calling thread only.
    pub(in crate::lua) unsafe fn start(state: *mut lua_State, profiler: &Rc<Profiler>) -> Sampler {
        // SAFETY: the state is alive; the profiler lives as long as the
        // sampler, which stops the callbacks when it goes.
        unsafe {
            luaJIT_profile_start(
                state,
                c"li1".as_ptr(),
                on_sample,
                Rc::as_ptr(profiler).cast_mut().cast(),
            );
        }
        Sampler {
            state,
            _profiler: Rc::clone(profiler),
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        // SAFETY: the state outlives the sampler.
        unsafe { luaJIT_profile_stop(self.state) };
    }
}

/// LuaJIT calls this between two instructions of the state, not from the
/// signal itself.
unsafe extern "C" fn on_sample(
    data: *mut c_void,
    state: *mut lua_State,
    samples: c_int,
    vmstate: c_int,
) {
    // SAFETY: the data are the profiler that the sampler holds; the text is
    // LuaJIT's until the next call, `length` bytes of it.
    let (profiler, dump) = unsafe {
        let mut length = 0;
        let text = luaJIT_profile_dumpstack(state, c"plZ\n".as_ptr(), -DEPTH, &mut length);
        if text.is_null() {
            return;
        }
        let bytes = std::slice::from_raw_parts(text.cast::<u8>(), length);
        (
            super::profiler(data),
            String::from_utf8_lossy(bytes).into_owned(),
        )
    };
    // The dispatcher's own frames say nothing that spans do not say.
    let mut frames: Vec<String> = dump
        .lines()
        .filter(|frame| !frame.contains("[wero]/dispatch") && !frame.starts_with('@'))
        .map(|frame| frame.trim_start_matches('=').replace(';', ","))
        .collect();
    match u8::try_from(vmstate) {
        Ok(b'G') => frames.push("[garbage collector]".to_owned()),
        Ok(b'J') => frames.push("[JIT compiler]".to_owned()),
        _ => {}
    }
    profiler.sample(&frames, u64::try_from(samples).unwrap_or(0));
}
