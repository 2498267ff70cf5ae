//! Small blocks of a Lua state, in lists by size.
//!
//! LuaJIT makes and frees tables of a few dozen bytes by the million. Left to
//! the C library, sweeping them fills lists that it then merges all at once:
//! pauses of 20 ms and more in the middle of an event. Here a small block
//! comes from a slab and returns to the list of its size, always in constant
//! time. Larger blocks are the C library's. Slabs are kept until the state
//! is closed, so memory that rules once used stays with the worker.

use std::ffi::c_void;
use std::ptr::{self, NonNull};

/// Blocks are multiples of this many bytes, which is also their alignment.
const GRAIN: usize = 16;
/// The largest block kept in lists.
const LARGEST: usize = 512;
const CLASSES: usize = LARGEST / GRAIN;
const SLAB: usize = 64 << 10;

/// A free block: the first word links to the next one.
struct Free {
    next: Option<NonNull<Free>>,
}

/// The small blocks of one state.
pub(super) struct Pool {
    free: [Option<NonNull<Free>>; CLASSES],
    /// What is left of the newest slab.
    rest: *mut u8,
    left: usize,
    slabs: Vec<*mut c_void>,
}

impl Pool {
    pub fn new() -> Pool {
        Pool {
            free: [None; CLASSES],
            rest: ptr::null_mut(),
            left: 0,
            slabs: Vec::new(),
        }
    }

    /// As `realloc` and `free`, given the size that was asked for before
    /// (0 with a null block). Null when memory is out; the block then stays.
    ///
    /// # Safety
    /// `block` must be null or come from this pool with `old_size`, and must
    /// not be used afterwards, unless null is returned for a size above 0.
    pub unsafe fn resize(
        &mut self,
        block: *mut c_void,
        old_size: usize,
        new_size: usize,
    ) -> *mut c_void {
        // SAFETY: the caller's promise covers each of the calls below; a
        // block's size tells whether it is ours or the C library's.
        unsafe {
            match (class(old_size), class(new_size)) {
                (None, None) if old_size != 0 && new_size != 0 => libc::realloc(block, new_size),
                (old, new) if old == new && old.is_some() => block,
                _ => {
                    let fresh = if new_size == 0 {
                        ptr::null_mut()
                    } else {
                        self.take(new_size)
                    };
                    if new_size != 0 && fresh.is_null() {
                        return fresh;
                    }
                    if old_size != 0 && new_size != 0 {
                        ptr::copy_nonoverlapping(
                            block.cast::<u8>(),
                            fresh.cast(),
                            old_size.min(new_size),
                        );
                    }
                    if old_size != 0 {
                        self.give(block, old_size);
                    }
                    fresh
                }
            }
        }
    }

    fn take(&mut self, size: usize) -> *mut c_void {
        let Some(class) = class(size) else {
            // SAFETY: malloc has no preconditions.
            return unsafe { libc::malloc(size) };
        };
        if let Some(block) = self.free.get(class).copied().flatten() {
            // SAFETY: blocks in the list are free and hold their link.
            self.free[class] = unsafe { block.as_ref().next };
            return block.as_ptr().cast();
        }
        let bytes = (class + 1) * GRAIN;
        if self.left < bytes && !self.new_slab() {
            return ptr::null_mut();
        }
        let block = self.rest;
        // SAFETY: `left` bytes of the slab follow `rest`, and bytes <= left.
        self.rest = unsafe { self.rest.add(bytes) };
        self.left -= bytes;
        block.cast()
    }

    /// The rest of the old slab, less than one block, is given up.
    fn new_slab(&mut self) -> bool {
        // SAFETY: malloc has no preconditions; its blocks are 16-byte aligned.
        let slab = unsafe { libc::malloc(SLAB) };
        if slab.is_null() {
            return false;
        }
        self.slabs.push(slab);
        self.rest = slab.cast();
        self.left = SLAB;
        true
    }

    /// # Safety
    /// As for [`Pool::resize`]; `block` is not null.
    unsafe fn give(&mut self, block: *mut c_void, size: usize) {
        let (Some(class), Some(free)) = (class(size), NonNull::new(block.cast::<Free>())) else {
            // SAFETY: blocks above the classes come from malloc or realloc.
            unsafe { libc::free(block) };
            return;
        };
        // SAFETY: the block is ours, unused, at least 16 bytes and aligned.
        unsafe {
            free.write(Free {
                next: self.free[class],
            })
        };
        self.free[class] = Some(free);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for slab in self.slabs.drain(..) {
            // SAFETY: slabs come from malloc; the state that used them is
            // closed before its heap is dropped.
            unsafe { libc::free(slab) };
        }
    }
}

/// The list for a size, if small blocks of it are kept in lists.
#[inline]
fn class(size: usize) -> Option<usize> {
    (size != 0 && size <= LARGEST).then(|| (size - 1) / GRAIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_keep_their_bytes_and_do_not_overlap(steps in prop::collection::vec((0usize..24, 0usize..1500), 1..200)) {
            let mut pool = Pool::new();
            let mut held: Vec<(*mut c_void, usize, u8)> = vec![(ptr::null_mut(), 0, 0); 24];
            for (number, (slot, size)) in steps.into_iter().enumerate() {
                let (block, old, mark) = held[slot];
                // SAFETY: each slot holds what the pool returned for it.
                let block = unsafe { pool.resize(block, old, size) };
                prop_assert_eq!(block.is_null(), size == 0);
                // SAFETY: the pool granted `size` bytes.
                let bytes = unsafe { std::slice::from_raw_parts_mut(if size == 0 { ptr::NonNull::dangling().as_ptr() } else { block.cast::<u8>() }, size) };
                prop_assert!(bytes.iter().take(old).all(|&byte| byte == mark), "resizing keeps bytes");
                let mark = number as u8;
                bytes.fill(mark);
                held[slot] = (block, size, mark);
                for &(block, size, mark) in held.iter().filter(|(_, size, _)| *size > 0) {
                    // SAFETY: as above.
                    let bytes = unsafe { std::slice::from_raw_parts(block.cast::<u8>(), size) };
                    prop_assert!(bytes.iter().all(|&byte| byte == mark), "no block overlaps another");
                }
            }
            for (block, size, _) in held {
                // SAFETY: as above.
                unsafe { pool.resize(block, size, 0) };
            }
        }
    }

    #[test]
    fn freed_blocks_are_used_again() {
        let mut pool = Pool::new();
        // SAFETY: blocks are freed with the sizes they were asked for.
        unsafe {
            let first = pool.resize(ptr::null_mut(), 0, 40);
            pool.resize(first, 40, 0);
            assert_eq!(
                pool.resize(ptr::null_mut(), 0, 48),
                first,
                "same class, same block"
            );
        }
    }
}
