//! An allocator that counts, and hands on to the system's.
// An allocator cannot be written without `unsafe`.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

struct Counting;

thread_local! {
    /// Allocations of this thread, so that tests beside this one do not count.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Allocations of threads that are called as workers are.
static OF_WORKERS: AtomicU64 = AtomicU64::new(0);

fn count() {
    let mut name = [0_u8; 16];
    // SAFETY: PR_GET_NAME writes at most 16 bytes.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    if name.starts_with(b"worker-") {
        OF_WORKERS.fetch_add(1, SeqCst);
    }
    // A thread that is ending has no counter any more.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `run` allocates.
pub(crate) fn allocations<R>(run: impl FnOnce() -> R) -> u64 {
    let before = ALLOCATIONS.get();
    black_box(run());
    ALLOCATIONS.get() - before
}

/// How often threads of workers have allocated so far.
pub(crate) fn worker_allocations() -> u64 {
    OF_WORKERS.load(SeqCst)
}
