//! Regular expressions as the Lua library sees them: C functions over
//! `regexp`.
//!
//! The rules are those of `buf_api`: numbers and typed pointers, no
//! unwinding, no call of Lua, and a bounded amount of work. A search that
//! takes longer is gone on with by calling again, from Lua, where the
//! watchdog can end it. A negative result is an error, whose text is in the
//! result slot.

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::buf_api::text;
use crate::buf::Key;
use crate::regexp::Options;
use crate::regexp::store::{Error, Status, Store};

type Num = f64;
type Text = *const u8;
type Out = *mut RegexpOut;

/// Results that do not fit the return value. Offsets are -1 where there is
/// nothing.
#[derive(Debug)]
#[repr(C)]
pub struct RegexpOut {
    /// The match, final if `done` is not zero.
    pub first: f64,
    pub last: f64,
    /// Where the oldest match that is still possible starts.
    pub candidate: f64,
    pub done: f64,
    pub partial: f64,
    /// The text of an error, valid until the next call.
    pub p: *const u8,
    pub len: f64,
}

impl RegexpOut {
    fn set(&mut self, status: Status) -> f64 {
        let (first, last) = status
            .best
            .map_or((-1.0, -1.0), |(first, last)| (first as f64, last as f64));
        (self.first, self.last) = (first, last);
        self.candidate = status.candidate.map_or(-1.0, |start| start as f64);
        self.done = f64::from(status.done);
        self.partial = f64::from(status.partial);
        status.taken as f64
    }
}

/// The store of a worker, with the text of its last error.
#[derive(Default)]
pub struct Regexps {
    store: Store,
    error: String,
}

/// A regular expression as a finalizer gets it: never an address, never
/// dereferenced.
#[repr(C)]
pub struct RegexpHandle {
    _opaque: [u8; 0],
}

fn options(flags: f64) -> Options {
    let flags = flags as u32;
    Options {
        case_insensitive: flags & 1 != 0,
        extended: flags & 2 != 0,
    }
}

fn key(number: f64) -> Key {
    Key::from_f64(number)
}

/// Runs an operation with what may go wrong turned into an error text. A
/// panic would be a bug here; it must not unwind into compiled Lua either way.
fn guard(
    regexps: &mut Regexps,
    out: &mut RegexpOut,
    operation: impl FnOnce(&mut Store, &mut RegexpOut) -> Result<f64, Error>,
) -> f64 {
    let store = &mut regexps.store;
    let result = catch_unwind(AssertUnwindSafe(|| operation(store, &mut *out)));
    let error = match result {
        Ok(Ok(result)) => return result,
        Ok(Err(error)) => error,
        Err(_) => Error::Internal,
    };
    regexps.error = error.to_string();
    (out.p, out.len) = (regexps.error.as_ptr(), regexps.error.len() as f64);
    // What the collector could help with is told apart.
    if matches!(error, Error::Memory | Error::TooMany) {
        -2.0
    } else {
        -1.0
    }
}

macro_rules! c_type {
    (Num) => {
        "double"
    };
    (Text) => {
        "const char *"
    };
}

/// Defines each function, the table of them, and their C declaration. Each
/// takes the store and the result slot besides what is named.
macro_rules! regexp_api {
    ($(
        $(#[$doc:meta])*
        fn $name:ident($store:ident, $out:ident $(, $arg:ident: $ty:ident)*) $body:block
    )*) => {
        $(
            unsafe extern "C" fn $name(store: *mut Regexps, out: Out $(, $arg: $ty)*) -> f64 {
                // SAFETY: the host hands the library one store pointer, which
                // outlives the Lua state, and keeps no reference into it; the
                // slot is the library's own. Null is answered below.
                let (Some(store), Some(out)) = (unsafe { store.as_mut() }, unsafe { out.as_mut() })
                else {
                    return -1.0;
                };
                guard(store, out, |$store, $out| $body)
            }
        )*

        /// The functions in the order of their C declaration.
        #[repr(C)]
        pub struct RegexpApi {
            $(
                $(#[$doc])*
                pub $name: unsafe extern "C" fn(*mut Regexps, Out $(, $ty)*) -> f64,
            )*
            /// Makes the handle of an object, for the finalizer; null if the
            /// store is not registered.
            pub own: unsafe extern "C" fn(*mut Regexps, f64) -> *mut RegexpHandle,
            /// The finalizer: frees the object.
            pub release: extern "C" fn(*mut RegexpHandle),
        }

        /// The functions for the host to hand to the library.
        pub static REGEXP_API: RegexpApi = RegexpApi { $($name,)* own, release };

        /// The C declarations, for `ffi.cdef`, once per Lua state.
        pub const CDEF: &str = concat!(
            "typedef struct wero_regexps wero_regexps;\n",
            "typedef struct wero_regexp_handle wero_regexp_handle;\n",
            "typedef struct { double first, last, candidate, done, partial; ",
            "const char *p; double len; } wero_regexp_out;\n",
            "typedef struct {\n",
            $("  double (*", stringify!($name), ")(wero_regexps *, wero_regexp_out *"
                $(, ", ", c_type!($ty))*, ");\n",)*
            "  wero_regexp_handle *(*own)(wero_regexps *, double);\n",
            "  void (*release)(wero_regexp_handle *);\n",
            "} wero_regexp_api;\n",
        );
    };
}

regexp_api! {
    /// Compiles a pattern as rules write it; gives its number.
    fn compile(store, _out, p: Text, len: Num, flags: Num) {
        // SAFETY: a Lua string with its length.
        Ok(store.compile(unsafe { text(p, len) }, options(flags))?.to_f64())
    }
    /// Searches a text from an offset on, zero or where the last call for it
    /// stopped; gives how many bytes were taken. More calls are needed until
    /// `done`.
    fn search_text(store, out, regexp: Num, p: Text, len: Num, from: Num) {
        // SAFETY: a Lua string with its length.
        let subject = unsafe { text(p, len) };
        Ok(out.set(store.search_text(key(regexp), subject, from as usize)?))
    }
    /// Begins a search for the longest match; gives its number.
    fn begin(store, _out, regexp: Num, anchored: Num) {
        Ok(store.begin(key(regexp), anchored != 0.0)?.to_f64())
    }
    /// Begins a search anew.
    fn restart(store, out, sink: Num, anchored: Num) {
        Ok(out.set(store.restart(key(sink), anchored != 0.0)?))
    }
    /// Searches on; gives how many bytes were taken, fewer than given if that
    /// was enough for one call.
    fn feed(store, out, sink: Num, p: Text, len: Num) {
        // SAFETY: a Lua string or the bytes of a buffer, with their length.
        Ok(out.set(store.feed(key(sink), unsafe { text(p, len) })?))
    }
    /// Ends a search: no more bytes come.
    fn finish(store, out, sink: Num) {
        Ok(out.set(store.finish(key(sink))?))
    }
    /// Begins a set of patterns.
    fn set_draft(store, _out) {
        store.draft(None, Options::default())?;
        Ok(0.0)
    }
    /// Adds a pattern to it.
    fn set_add(store, _out, p: Text, len: Num, flags: Num) {
        // SAFETY: a Lua string with its length.
        store.draft(Some(unsafe { text(p, len) }), options(flags))?;
        Ok(0.0)
    }
    /// Compiles it; gives its number.
    fn set_compile(store, _out) {
        Ok(store.compile_set()?.to_f64())
    }
    /// Begins a pass of a set; gives its number.
    fn scan_begin(store, _out, set: Num) {
        Ok(store.begin_scan(key(set))?.to_f64())
    }
    /// Goes on with a pass; gives how many bytes were taken.
    fn scan_feed(store, out, scan: Num, p: Text, len: Num) {
        // SAFETY: a Lua string or the bytes of a buffer, with their length.
        let (taken, done) = store.scan(key(scan), Some(unsafe { text(p, len) }))?;
        out.done = f64::from(done);
        Ok(taken as f64)
    }
    /// Ends a pass.
    fn scan_finish(store, _out, scan: Num) {
        store.scan(key(scan), None)?;
        Ok(0.0)
    }
    /// The number of a pattern, from one, that the last call found, with the
    /// end of its match in `last`; zero when there are no more.
    fn scan_next(store, out) {
        let Some((pattern, end)) = store.next_hit() else { return Ok(0.0) };
        out.last = end as f64;
        Ok(f64::from(pattern) + 1.0)
    }
    /// Frees a search before the collector does.
    fn free(store, _out, sink: Num) {
        store.free(key(sink));
        Ok(0.0)
    }
}

thread_local! {
    /// The stores that finalizers on this thread may refer to, by number.
    static STORES: RefCell<Vec<*mut Regexps>> = const { RefCell::new(Vec::new()) };
}

/// Bits of a handle that a packed key takes.
const HANDLE_ID_BITS: u32 = 53;
const MAX_STORES: usize = 1 << 10;

/// Owns the store of one Lua state. It must outlive the state; finalizers
/// that run later do nothing.
pub struct Registration {
    store: *mut Regexps,
}

impl Default for Registration {
    fn default() -> Self {
        let store = Box::into_raw(Box::default());
        STORES.with_borrow_mut(
            |stores| match stores.iter_mut().find(|slot| slot.is_null()) {
                Some(slot) => *slot = store,
                None => stores.push(store),
            },
        );
        Registration { store }
    }
}

impl Registration {
    /// The address to hand to the library.
    pub fn address(&self) -> *mut Regexps {
        self.store
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        STORES.with_borrow_mut(|stores| {
            if let Some(slot) = stores.iter_mut().find(|slot| **slot == self.store) {
                *slot = std::ptr::null_mut();
            }
        });
        // SAFETY: made by `Box::into_raw`, freed here only; the Lua state,
        // which had the pointer, is gone, and finalizers find it no more.
        drop(unsafe { Box::from_raw(self.store) });
    }
}

unsafe extern "C" fn own(store: *mut Regexps, id: f64) -> *mut RegexpHandle {
    let number = STORES.with_borrow(|stores| stores.iter().position(|&slot| slot == store));
    match number {
        Some(number) if number + 1 < MAX_STORES => {
            let handle = (number as u64 + 1) << HANDLE_ID_BITS | key(id).to_bits();
            std::ptr::without_provenance_mut(handle as usize)
        }
        _ => std::ptr::null_mut(),
    }
}

extern "C" fn release(handle: *mut RegexpHandle) {
    let handle = handle.addr() as u64;
    let store = STORES.with_borrow(|stores| {
        let number = (handle >> HANDLE_ID_BITS) as usize;
        let slot = number.checked_sub(1)?;
        stores.get(slot).copied()
    });
    // SAFETY: registered stores are alive and unborrowed while Lua runs;
    // freed slots are null.
    let Some(regexps) = store.and_then(|store| unsafe { store.as_mut() }) else {
        return;
    };
    let id = Key::from_bits(handle & ((1 << HANDLE_ID_BITS) - 1));
    let _ = catch_unwind(AssertUnwindSafe(|| regexps.store.free(id)));
}
