//! Buffers as the Lua library sees them: C functions over `buf`.
//!
//! LuaJIT compiles calls of these into its traces, so they take numbers and
//! typed pointers only, never unwind, never call Lua and do a bounded amount
//! of work. Ids and positions travel as numbers below 2^53. Every function
//! returns a number; a negative one is the code of a [`BufError`], and more
//! results go to a [`BufOut`] that the library allocated once.
//!
//! Buffers that rules make are freed by a finalizer, which LuaJIT gives
//! nothing but a pointer. That pointer is a number in disguise (store and
//! buffer), meaningless as an address, so that even a rule that got hold of
//! one could do nothing with it; see [`Registration`].

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::buf::{BufError, BufId, CloneMode, Endian, Key, Pos, Span, Store};

// The types of the C declarations below, as single names that the macro can
// translate.
type Num = f64;
type Text = *const u8;
type Out = *mut BufOut;

/// Results that do not fit the return value.
#[derive(Debug)]
#[repr(C)]
pub struct BufOut {
    /// A position, as id and code; or the start of a span.
    pub a: f64,
    pub c: f64,
    /// The end of a span: a position, or zero and a count.
    pub e: f64,
    pub n: f64,
    /// A second position.
    pub a2: f64,
    pub c2: f64,
    /// Bytes, valid until the next call.
    pub p: *const u8,
    pub len: f64,
}

impl Default for BufOut {
    fn default() -> Self {
        BufOut {
            a: 0.0,
            c: 0.0,
            e: 0.0,
            n: 0.0,
            a2: 0.0,
            c2: 0.0,
            p: std::ptr::null(),
            len: 0.0,
        }
    }
}

impl BufOut {
    fn set_pos(&mut self, pos: Pos) {
        (self.a, self.c) = pos.to_numbers();
    }

    fn set_second(&mut self, pos: Pos) {
        (self.a2, self.c2) = pos.to_numbers();
    }

    fn set_span(&mut self, span: Span) {
        match span {
            Span::Between(start, end) => {
                (self.a, self.c) = start.to_numbers();
                (self.e, self.n) = end.to_numbers();
            }
            Span::Counted(start, count) => {
                (self.a, self.c) = start.to_numbers();
                (self.e, self.n) = (0.0, count as f64);
            }
        }
    }

    fn set_bytes(&mut self, bytes: &[u8]) {
        (self.p, self.len) = (bytes.as_ptr(), bytes.len() as f64);
    }
}

/// A buffer as a finalizer gets it: never an address, never dereferenced.
#[repr(C)]
pub struct BufHandle {
    _opaque: [u8; 0],
}

fn buf(id: f64) -> BufId {
    BufId(Key::from_f64(id))
}

fn pos(a: f64, c: f64) -> Pos {
    Pos::from_numbers(a, c)
}

/// A span of four numbers: start, and either an end or zero and a count.
fn span(a: f64, c: f64, e: f64, n: f64) -> Span {
    if e == 0.0 {
        Span::Counted(pos(a, c), n as u64)
    } else {
        Span::Between(pos(a, c), pos(e, n))
    }
}

/// A count; negative means all.
fn count(n: f64) -> Option<u64> {
    if n < 0.0 { None } else { Some(n as u64) }
}

fn endian(little: f64) -> Endian {
    if little == 0.0 {
        Endian::Big
    } else {
        Endian::Little
    }
}

/// # Safety
/// `text` is readable for `len` bytes, as LuaJIT guarantees for a string and
/// its length, or `len` is zero.
pub(super) unsafe fn text<'a>(text: *const u8, len: f64) -> &'a [u8] {
    if text.is_null() || len <= 0.0 {
        return &[];
    }
    // SAFETY: the caller's promise; the slice does not outlive the call that
    // the string was passed to.
    unsafe { std::slice::from_raw_parts(text, len as usize) }
}

/// Runs an operation with what may go wrong turned into a code. A panic
/// would be a bug here; it must not unwind into compiled Lua either way.
#[inline]
fn guard(operation: impl FnOnce() -> Result<f64, BufError>) -> f64 {
    match catch_unwind(AssertUnwindSafe(operation)) {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => -f64::from(error as i32),
        Err(_) => -f64::from(BufError::Internal as i32),
    }
}

macro_rules! c_type {
    (Num) => {
        "double"
    };
    (Text) => {
        "const char *"
    };
    (Out) => {
        "wero_buf_out *"
    };
}

/// Defines each function, the table of them, and their C declaration.
macro_rules! buf_api {
    ($(
        $(#[$doc:meta])*
        fn $name:ident($store:ident $(, $arg:ident: $ty:ident)*) $body:block
    )*) => {
        $(
            unsafe extern "C" fn $name(store: *mut Store $(, $arg: $ty)*) -> f64 {
                // SAFETY: the host hands the library one store pointer, which
                // outlives the Lua state, and keeps no reference into the
                // store while Lua runs. Null is answered below.
                let Some($store) = (unsafe { store.as_mut() }) else {
                    return -f64::from(BufError::Internal as i32);
                };
                guard(|| $body)
            }
        )*

        /// The functions in the order of their C declaration.
        #[repr(C)]
        pub struct BufApi {
            $(
                $(#[$doc])*
                pub $name: unsafe extern "C" fn(*mut Store $(, $ty)*) -> f64,
            )*
            /// Makes the handle of a buffer, for the finalizer; null if the
            /// store is not registered.
            pub own: unsafe extern "C" fn(*mut Store, f64) -> *mut BufHandle,
            /// The finalizer: frees the buffer.
            pub release: extern "C" fn(*mut BufHandle),
        }

        /// The functions for the host to hand to the library.
        pub static BUF_API: BufApi = BufApi { $($name,)* own, release };

        /// The C declarations, for `ffi.cdef`, once per Lua state.
        pub const CDEF: &str = concat!(
            "typedef struct wero_store wero_store;\n",
            "typedef struct wero_buf_handle wero_buf_handle;\n",
            "typedef struct { double a, c, e, n, a2, c2; const char *p; double len; } wero_buf_out;\n",
            "typedef struct {\n",
            $("  double (*", stringify!($name), ")(wero_store *" $(, ", ", c_type!($ty))*, ");\n",)*
            "  wero_buf_handle *(*own)(wero_store *, double);\n",
            "  void (*release)(wero_buf_handle *);\n",
            "} wero_buf_api;\n",
        );

        #[cfg(test)]
        const NAMES: &[&str] = &[$(stringify!($name),)* "own", "release"];
    };
}

/// The result slot. Null would be a bug in the library, not in a rule.
///
/// # Safety
/// `out` is null or the library's own `wero_buf_out`.
unsafe fn slot<'a>(out: Out) -> Result<&'a mut BufOut, BufError> {
    // SAFETY: the caller's promise; the library uses one slot at a time.
    unsafe { out.as_mut() }.ok_or(BufError::Internal)
}

buf_api! {
    /// The text of an error code, in `p` and `len`.
    fn error_text(_store, code: Num, out: Out) {
        let error = BufError::from_code(code as usize).unwrap_or(BufError::Internal);
        // SAFETY: `out` is the library's slot.
        unsafe { slot(out)? }.set_bytes(error.text().as_bytes());
        Ok(0.0)
    }

    /// A buffer with a copy of a string; gives its id.
    fn new_from(store, p: Text, len: Num) {
        // SAFETY: a Lua string with its length.
        Ok(store.new_from(unsafe { text(p, len) })?.0.to_f64())
    }
    /// A buffer of zero bytes; gives its id.
    fn new_zero(store, len: Num) {
        Ok(store.new_zero(len as usize)?.0.to_f64())
    }
    fn clone_of(store, id: Num, mode: Num) {
        let mode = match mode as u32 {
            0 => CloneMode::Shared,
            1 => CloneMode::Copy,
            2 => CloneMode::FreezeOriginal,
            _ => CloneMode::FreezeClone,
        };
        Ok(store.clone_buffer(buf(id), mode)?.0.to_f64())
    }
    fn free(store, id: Num) {
        store.free(buf(id));
        Ok(0.0)
    }
    fn length(store, id: Num) {
        Ok(store.len(buf(id))? as f64)
    }
    /// Whether the buffer is modified: 0 or 1.
    fn modified(store, id: Num) {
        store.len(buf(id))?;
        Ok(f64::from(store.is_modified(buf(id))))
    }
    fn append(store, id: Num, from: Num) {
        store.append(buf(id), buf(from))?;
        Ok(0.0)
    }
    /// The position `n` bytes into a buffer, or its end if `n` is negative.
    fn position(store, id: Num, n: Num, out: Out) {
        // SAFETY: `out` is the library's slot.
        unsafe { slot(out)? }.set_pos(store.position(buf(id), count(n))?);
        Ok(0.0)
    }
    /// The span of `n` bytes from an offset, or of all if `n` is negative.
    fn sub(store, id: Num, offset: Num, n: Num, out: Out) {
        // SAFETY: `out` is the library's slot.
        unsafe { slot(out)? }.set_span(store.sub(buf(id), offset as u64, count(n))?);
        Ok(0.0)
    }

    /// Skips `n` bytes, all if negative: where they start in `a`, `c`, where
    /// they end in `a2`, `c2`; gives how many they are.
    fn advance(store, a: Num, c: Num, n: Num, out: Out) {
        let step = store.advance(pos(a, c), count(n))?;
        // SAFETY: `out` is the library's slot.
        let out = unsafe { slot(out)? };
        out.set_pos(step.from);
        out.set_second(step.to);
        Ok(step.count as f64)
    }
    /// As `advance`, for bytes that lie side by side; gives zero, and changes
    /// nothing, for others.
    fn advance_within(store, a: Num, c: Num, n: Num, out: Out) {
        let Some(step) = store.advance_within(pos(a, c), n as u64)? else { return Ok(0.0) };
        // SAFETY: `out` is the library's slot.
        let out = unsafe { slot(out)? };
        out.set_pos(step.from);
        out.set_second(step.to);
        Ok(step.count as f64)
    }
    /// Bytes up to the end, counted up to `limit`; all if negative.
    fn available(store, a: Num, c: Num, limit: Num) {
        Ok(store.available(pos(a, c), count(limit).unwrap_or(u64::MAX))? as f64)
    }
    /// Where a position is: 0 in the buffer, 1 at an end that may grow, 2 at
    /// the end for good.
    fn at_end(store, a: Num, c: Num) {
        let at = pos(a, c);
        Ok(if !store.is_end(at)? { 0.0 } else if store.is_eof(at)? { 2.0 } else { 1.0 })
    }
    fn split(store, a: Num, c: Num) {
        store.split_at(pos(a, c))?;
        Ok(0.0)
    }
    fn mark(store, a: Num, c: Num, readonly: Num, out: Out) {
        let mark = store.mark(pos(a, c), readonly != 0.0)?;
        // SAFETY: `out` is the library's slot.
        unsafe { slot(out)? }.set_pos(mark);
        Ok(0.0)
    }
    fn unmark(store, a: Num, c: Num, out: Out) {
        let left = store.unmark(pos(a, c))?;
        // SAFETY: `out` is the library's slot.
        unsafe { slot(out)? }.set_pos(left);
        Ok(0.0)
    }
    /// Moves a buffer in front of a position: the span it covers now, and
    /// the position behind it in `a2`, `c2`.
    fn insert(store, a: Num, c: Num, from: Num, out: Out) {
        let inserted = store.insert(pos(a, c), buf(from))?;
        // SAFETY: `out` is the library's slot.
        let out = unsafe { slot(out)? };
        out.set_span(inserted.span);
        out.set_second(inserted.after);
        Ok(inserted.len as f64)
    }
    /// Puts a selection back, or a shared copy of it if `clone` is not zero.
    fn restore(store, a: Num, c: Num, from: Num, clone: Num) {
        if clone == 0.0 {
            store.restore(pos(a, c), buf(from))?;
        } else {
            store.restore_clone(pos(a, c), buf(from))?;
        }
        Ok(0.0)
    }
    /// Puts a sub-stream's piece back: its span, if the result is 1.
    fn restore_piece(store, a: Num, c: Num, piece: Num, out: Out) {
        let Some(span) = store.restore_piece(pos(a, c), buf(piece))? else { return Ok(0.0) };
        // SAFETY: `out` is the library's slot.
        unsafe { slot(out)? }.set_span(span);
        Ok(1.0)
    }

    /// The span with its ends tied to its own bytes, as far as it has any.
    fn settle(store, a: Num, c: Num, e: Num, n: Num, out: Out) {
        let settled = store.settle(span(a, c, e, n));
        // SAFETY: `out` is the library's slot.
        unsafe { slot(out)? }.set_span(settled);
        Ok(0.0)
    }
    fn span_length(store, a: Num, c: Num, e: Num, n: Num) {
        Ok(store.span_len(span(a, c, e, n))? as f64)
    }
    fn span_position(store, a: Num, c: Num, e: Num, n: Num, offset: Num, out: Out) {
        let at = store.sub_position(span(a, c, e, n), count(offset))?;
        // SAFETY: `out` is the library's slot.
        unsafe { slot(out)? }.set_pos(at);
        Ok(0.0)
    }
    fn span_sub(store, a: Num, c: Num, e: Num, n: Num, offset: Num, len: Num, out: Out) {
        let sub = store.sub_span(span(a, c, e, n), offset as u64, count(len))?;
        // SAFETY: `out` is the library's slot.
        unsafe { slot(out)? }.set_span(sub);
        Ok(0.0)
    }
    /// The bytes, in `p` and `len`.
    fn bytes(store, a: Num, c: Num, e: Num, n: Num, out: Out) {
        let bytes = store.bytes(span(a, c, e, n))?;
        // SAFETY: `out` is the library's slot.
        unsafe { slot(out)? }.set_bytes(bytes);
        Ok(0.0)
    }
    fn number(store, a: Num, c: Num, e: Num, n: Num, little: Num) {
        store.number(span(a, c, e, n), endian(little))
    }
    fn set_number(store, a: Num, c: Num, e: Num, n: Num, value: Num, little: Num) {
        store.set_number(span(a, c, e, n), value, endian(little))?;
        Ok(0.0)
    }
    fn bits(store, a: Num, c: Num, e: Num, n: Num, offset: Num, size: Num, little: Num) {
        store.bits(span(a, c, e, n), offset as u64, size as u64, endian(little))
    }
    fn set_bits(
        store, a: Num, c: Num, e: Num, n: Num, offset: Num, size: Num, value: Num, little: Num
    ) {
        let at = span(a, c, e, n);
        store.set_bits(at, offset as u64, size as u64, value, endian(little))?;
        Ok(0.0)
    }
    /// One byte, or 256 outside the span.
    fn byte(store, a: Num, c: Num, e: Num, n: Num, index: Num) {
        Ok(store.byte_at(span(a, c, e, n), index as u64)?.map_or(256.0, f64::from))
    }
    fn set_byte(store, a: Num, c: Num, e: Num, n: Num, index: Num, value: Num) {
        store.set_byte(span(a, c, e, n), index as u64, value as u8)?;
        Ok(0.0)
    }
    fn zero(store, a: Num, c: Num, e: Num, n: Num) {
        store.zero(span(a, c, e, n))?;
        Ok(0.0)
    }
    fn erase(store, a: Num, c: Num, e: Num, n: Num) {
        store.erase(span(a, c, e, n))?;
        Ok(0.0)
    }
    /// Replaces the bytes by a buffer: the new span; gives its length.
    fn replace(store, a: Num, c: Num, e: Num, n: Num, from: Num, out: Out) {
        let (new, len) = store.replace(span(a, c, e, n), buf(from))?;
        // SAFETY: `out` is the library's slot.
        unsafe { slot(out)? }.set_span(new);
        Ok(len as f64)
    }
    /// Replaces the bytes by a string: the new span; gives its length.
    fn set_string(store, a: Num, c: Num, e: Num, n: Num, p: Text, len: Num, out: Out) {
        // SAFETY: a Lua string with its length.
        let (new, len) = store.set_string(span(a, c, e, n), unsafe { text(p, len) })?;
        // SAFETY: `out` is the library's slot.
        unsafe { slot(out)? }.set_span(new);
        Ok(len as f64)
    }
    fn set_fixed(store, a: Num, c: Num, e: Num, n: Num, p: Text, len: Num) {
        // SAFETY: a Lua string with its length.
        store.set_fixed(span(a, c, e, n), unsafe { text(p, len) })?;
        Ok(0.0)
    }
    /// Takes the bytes out: the hole's position; gives the new buffer's id.
    fn select(store, a: Num, c: Num, e: Num, n: Num, out: Out) {
        let selection = store.select(span(a, c, e, n))?;
        // SAFETY: `out` is the library's slot.
        unsafe { slot(out)? }.set_pos(selection.place);
        Ok(selection.content.0.to_f64())
    }
    fn is_flat(store, a: Num, c: Num, e: Num, n: Num) {
        Ok(f64::from(store.is_flat(span(a, c, e, n))?))
    }
    fn flatten(store, a: Num, c: Num, e: Num, n: Num, out: Out) {
        let (new, len) = store.flatten(span(a, c, e, n))?;
        // SAFETY: `out` is the library's slot.
        unsafe { slot(out)? }.set_span(new);
        Ok(len as f64)
    }
    /// Offset of a string, or 2^53 if it is not there.
    fn find(store, a: Num, c: Num, e: Num, n: Num, p: Text, len: Num, init: Num) {
        // SAFETY: a Lua string with its length.
        let needle = unsafe { text(p, len) };
        let found = store.find(span(a, c, e, n), needle, init as u64)?;
        Ok(found.map_or(9_007_199_254_740_992.0, |at| at as f64))
    }
    fn count_byte(store, a: Num, c: Num, e: Num, n: Num, byte: Num) {
        Ok(store.count(span(a, c, e, n), byte as u8)? as f64)
    }
    fn sum(store, a: Num, c: Num, e: Num, n: Num) {
        Ok(store.sum(span(a, c, e, n))? as f64)
    }

    /// An empty stream; gives its id.
    fn stream_new(store) {
        Ok(store.stream_new()?.0.to_f64())
    }
    /// Moves a buffer into a stream as a piece: the position of its start.
    fn stream_push(store, id: Num, from: Num, out: Out) {
        let start = store.stream_push_buffer(buf(id), buf(from))?;
        // SAFETY: `out` is the library's slot.
        unsafe { slot(out)? }.set_pos(start);
        Ok(0.0)
    }
    /// Takes the oldest piece out; gives its id, or zero.
    fn stream_pop(store, id: Num) {
        Ok(store.stream_pop_buffer(buf(id))?.map_or(0.0, |piece| piece.0.to_f64()))
    }
    fn stream_finish(store, id: Num) {
        store.stream_finish(buf(id))?;
        Ok(0.0)
    }
    fn stream_finished(store, id: Num) {
        Ok(f64::from(store.stream_finished(buf(id))))
    }
    /// Everything from a piece on, as a span, and how many bytes that is.
    fn piece_span(store, id: Num, piece: Num, out: Out) {
        let new = store.piece_span(buf(id), piece as u64)?;
        // SAFETY: `out` is the library's slot.
        unsafe { slot(out)? }.set_span(new);
        Ok(store.span_len(new)? as f64)
    }
    /// As `piece_span`; an error once the piece has left.
    fn present_piece(store, id: Num, piece: Num, out: Out) {
        let new = store.present_piece(buf(id), piece as u64)?;
        // SAFETY: `out` is the library's slot.
        unsafe { slot(out)? }.set_span(new);
        Ok(0.0)
    }
}

thread_local! {
    /// The stores that finalizers on this thread may refer to, by number.
    static STORES: RefCell<Vec<*mut Store>> = const { RefCell::new(Vec::new()) };
}

/// Bits of a handle that a packed buffer id takes.
const HANDLE_ID_BITS: u32 = 53;
const MAX_STORES: usize = 1 << 10;

/// Lets finalizers of one thread's Lua states find a store. Once this is
/// dropped, finalizers that still run do nothing.
pub struct Registration {
    store: *mut Store,
}

impl Registration {
    /// # Safety
    /// The store stays at its address until the registration is dropped, and
    /// no reference into it is alive while Lua runs on this thread.
    pub unsafe fn new(store: *mut Store) -> Registration {
        STORES.with_borrow_mut(
            |stores| match stores.iter_mut().find(|slot| slot.is_null()) {
                Some(slot) => *slot = store,
                None => stores.push(store),
            },
        );
        Registration { store }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        STORES.with_borrow_mut(|stores| {
            if let Some(slot) = stores.iter_mut().find(|slot| **slot == self.store) {
                *slot = std::ptr::null_mut();
            }
        });
    }
}

unsafe extern "C" fn own(store: *mut Store, id: f64) -> *mut BufHandle {
    let number = STORES.with_borrow(|stores| stores.iter().position(|&slot| slot == store));
    match number {
        Some(number) if number + 1 < MAX_STORES => {
            let handle = (number as u64 + 1) << HANDLE_ID_BITS | buf(id).0.to_bits();
            std::ptr::without_provenance_mut(handle as usize)
        }
        _ => std::ptr::null_mut(),
    }
}

extern "C" fn release(handle: *mut BufHandle) {
    let handle = handle.addr() as u64;
    let store = STORES.with_borrow(|stores| {
        let number = (handle >> HANDLE_ID_BITS) as usize;
        number
            .checked_sub(1)
            .and_then(|number| stores.get(number).copied())
    });
    // SAFETY: registered stores are alive and unborrowed while Lua runs, by
    // the contract of `Registration::new`; freed slots are null.
    let Some(store) = store.and_then(|store| unsafe { store.as_mut() }) else {
        return;
    };
    let id = Key::from_bits(handle & ((1 << HANDLE_ID_BITS) - 1));
    guard(|| {
        store.free(BufId(id));
        Ok(0.0)
    });
}

#[cfg(test)]
#[path = "buf_api_tests.rs"]
mod tests;
