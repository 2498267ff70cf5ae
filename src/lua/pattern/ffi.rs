//! The matcher's C border, called from Lua through LuaJIT's FFI.
//!
//! Arguments are numbers and pointers to memory that Lua keeps alive during
//! the call: strings, compiled patterns and the result record. Nothing here
//! unwinds, allocates for longer than the call, or calls Lua.

use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;

use super::compile;
use super::matcher::{Matcher, Program};
use super::{Capture, MAX_CAPTURES, PatternError, is_plain};

/// Longest pattern that Lua may have compiled, in bytes. Only absurd ones
/// are longer, and the words are made in memory that Lua does not count.
const MAX_PATTERN: u32 = 1 << 20;

/// C declarations of everything in [`PatternApi`], for `ffi.cdef`.
pub const CDEF: &str = "
typedef struct { uint32_t count; uint32_t reserved; uint64_t words[?]; } wero_pattern;
typedef struct { int32_t start; int32_t stop; } wero_pattern_capture;
typedef struct {
  int32_t start; int32_t stop; int32_t level; int32_t open;
  wero_pattern_capture capture[32];
} wero_pattern_match;
typedef struct {
  int32_t (*plain)(const char *pattern, uint32_t length);
  int32_t (*find)(const char *subject, uint32_t length,
                  const char *text, uint32_t text_length, uint32_t init);
  int32_t (*compile)(const char *pattern, uint32_t length, int32_t anchors,
                     uint64_t *words, uint32_t capacity);
  int32_t (*search)(const wero_pattern *pattern, const char *subject, uint32_t length,
                    uint32_t init, double steps, wero_pattern_match *result);
  const char *(*message)(int32_t code);
} wero_pattern_api;
";

/// Head of a compiled pattern in Lua's memory; `count` words follow it.
#[repr(C)]
#[derive(Debug)]
pub struct PatternHead {
    /// Number of words.
    pub count: u32,
    /// Keeps the words aligned.
    pub reserved: u32,
}

/// A match as Lua reads it. Offsets count bytes from zero.
#[repr(C)]
#[derive(Debug)]
pub struct MatchResult {
    /// Where the match starts.
    pub start: i32,
    /// Where it ends.
    pub stop: i32,
    /// Number of captures.
    pub level: i32,
    /// How many of them were never closed.
    pub open: i32,
    /// The captures.
    pub capture: [Capture; MAX_CAPTURES],
}

/// The functions that Lua calls; declared to it by [`CDEF`].
#[repr(C)]
#[derive(Debug)]
pub struct PatternApi {
    /// 1 when `string.find` takes the pattern literally, else 0.
    pub plain: unsafe extern "C" fn(*const c_char, u32) -> i32,
    /// Byte offset of a literal text at or behind `init`; -1 when absent.
    pub find: unsafe extern "C" fn(*const c_char, u32, *const c_char, u32, u32) -> i32,
    /// Compiles a pattern and says how many words it takes; writes them when
    /// `words` is not null and `capacity` suffices.
    pub compile: unsafe extern "C" fn(*const c_char, u32, i32, *mut u64, u32) -> i32,
    /// Searches from `init` on: 1 found, 0 not, negative an error code.
    pub search: unsafe extern "C" fn(
        *const PatternHead,
        *const c_char,
        u32,
        u32,
        f64,
        *mut MatchResult,
    ) -> i32,
    /// Text of a (negative) error code; never freed.
    pub message: unsafe extern "C" fn(i32) -> *const c_char,
}

/// The one table there is; hand Lua a `const wero_pattern_api *` to it.
pub static PATTERN_API: PatternApi = PatternApi {
    plain,
    find,
    compile,
    search,
    message,
};

/// Borrows a Lua string for the length of a call.
///
/// # Safety
/// `text` must point to `length` readable bytes that stay put during `'a`.
unsafe fn bytes<'a>(text: *const c_char, length: u32) -> &'a [u8] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: the caller vouches for the bytes; null was excluded above.
    unsafe { slice::from_raw_parts(text.cast(), length as usize) }
}

/// Runs `body`; a panic in it becomes `failed` rather than unwinding into C.
fn guarded<T>(failed: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(failed)
}

const INTERNAL: i32 = -(PatternError::TooComplex as i32);

/// # Safety
/// `pattern` must be a Lua string of `length` bytes.
unsafe extern "C" fn plain(pattern: *const c_char, length: u32) -> i32 {
    // SAFETY: LuaJIT keeps a string argument alive during the call.
    let pattern = unsafe { bytes(pattern, length) };
    i32::from(is_plain(pattern))
}

/// # Safety
/// `subject` and `text` must be Lua strings of the lengths given.
unsafe extern "C" fn find(
    subject: *const c_char,
    length: u32,
    text: *const c_char,
    text_length: u32,
    init: u32,
) -> i32 {
    // SAFETY: LuaJIT keeps string arguments alive during the call.
    let (subject, text) = unsafe { (bytes(subject, length), bytes(text, text_length)) };
    guarded(-1, || {
        let rest = subject.get(init as usize..).unwrap_or_default();
        let found = memchr::memmem::find(rest, text).map(|skipped| init as usize + skipped);
        found.and_then(|at| i32::try_from(at).ok()).unwrap_or(-1)
    })
}

/// # Safety
/// `pattern` must be a Lua string of `length` bytes, `words` null or an array
/// of `capacity` words.
unsafe extern "C" fn compile(
    pattern: *const c_char,
    length: u32,
    anchors: i32,
    words: *mut u64,
    capacity: u32,
) -> i32 {
    if length > MAX_PATTERN {
        return INTERNAL;
    }
    // SAFETY: LuaJIT keeps a string argument alive during the call.
    let pattern = unsafe { bytes(pattern, length) };
    guarded(INTERNAL, || {
        let program = compile::compile(pattern, anchors != 0);
        if !words.is_null() && program.len() <= capacity as usize {
            // SAFETY: the caller's array holds `capacity` words, which is
            // enough, and nobody else looks at it during the call.
            let target = unsafe { slice::from_raw_parts_mut(words, program.len()) };
            target.copy_from_slice(&program);
        }
        i32::try_from(program.len()).unwrap_or(INTERNAL)
    })
}

/// # Safety
/// `pattern` must be a `wero_pattern` filled by `compile`, `subject` a Lua
/// string of `length` bytes, `result` a `wero_pattern_match`.
unsafe extern "C" fn search(
    pattern: *const PatternHead,
    subject: *const c_char,
    length: u32,
    init: u32,
    steps: f64,
    result: *mut MatchResult,
) -> i32 {
    // SAFETY: LuaJIT keeps a string argument alive during the call.
    let subject = unsafe { bytes(subject, length) };
    // SAFETY: the Lua library passes a record made by `ffi.new`, with its
    // `count` words right behind the head, both aligned to 8 bytes, and a
    // result record that only this call uses.
    let (words, result) = unsafe {
        let words = slice::from_raw_parts(pattern.add(1).cast::<u64>(), (*pattern).count as usize);
        (words, &mut *result)
    };
    guarded(INTERNAL, || {
        match search_into(words, subject, init as usize, steps as u64, result) {
            Ok(found) => i32::from(found),
            Err(error) => -(error as i32),
        }
    })
}

fn search_into(
    words: &[u64],
    subject: &[u8],
    init: usize,
    steps: u64,
    result: &mut MatchResult,
) -> Result<bool, PatternError> {
    let program = Program::new(words).ok_or(PatternError::TooComplex)?;
    let mut matcher = Matcher::new(&program, subject, steps, &mut result.capture)?;
    let Some(whole) = matcher.search(init)? else {
        return Ok(false);
    };
    let level = matcher.level();
    let open = result
        .capture
        .iter()
        .take(level)
        .filter(|known| known.end == Capture::OPEN);
    result.open = open.count() as i32;
    result.level = level as i32;
    result.start = whole.start as i32;
    result.stop = whole.end as i32;
    Ok(true)
}

unsafe extern "C" fn message(code: i32) -> *const c_char {
    PatternError::from_code(u8::try_from(-i64::from(code)).unwrap_or(0))
        .text()
        .as_ptr()
}
