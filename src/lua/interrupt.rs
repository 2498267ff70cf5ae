//! ^C while the debugger is attached: the first one breaks into the rules,
//! the second one ends the program as ever.
//!
//! One flag for the process: debugged runs have one worker.

use std::cell::Cell;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

static PENDING: AtomicBool = AtomicBool::new(false);

/// Whether ^C was hit and the debugger has not stopped since.
pub fn pending() -> bool {
    PENDING.load(Ordering::Relaxed)
}

/// The debugger has stopped.
pub fn clear() {
    PENDING.store(false, Ordering::Relaxed);
}

thread_local! {
    /// Who had ^C before.
    static BEFORE: Cell<Option<libc::sigaction>> = const { Cell::new(None) };
}

/// Takes ^C over, or gives it back to whoever had it.
pub fn listen(on: bool) {
    clear();
    // SAFETY: a zeroed sigaction is valid; the handler is one that may run at
    // any time, and what is put back was in place before.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        match (on, BEFORE.take()) {
            (true, None) => {
                let mut before = action;
                action.sa_sigaction = on_interrupt as extern "C" fn(c_int) as usize;
                action.sa_flags = libc::SA_RESTART;
                if libc::sigaction(libc::SIGINT, &action, &mut before) == 0 {
                    BEFORE.set(Some(before));
                }
            }
            (true, before) => BEFORE.set(before),
            (false, Some(before)) => {
                libc::sigaction(libc::SIGINT, &before, ptr::null_mut());
            }
            (false, None) => {}
        }
    }
}

extern "C" fn on_interrupt(signal: c_int) {
    const TEXT: &[u8] = b"break (hit ^C again to kill)\n";
    // SAFETY: all of these may be called in a signal handler.
    unsafe {
        let errno = *libc::__errno_location();
        if PENDING.swap(true, Ordering::Relaxed) {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        } else {
            libc::write(2, TEXT.as_ptr().cast(), TEXT.len());
        }
        *libc::__errno_location() = errno;
    }
}
