//! A global allocator that counts, for builds with the feature `count-allocations`: the proof that
//! a request allocates nothing comes from here, and not from reading the code.

#![allow(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's allocator, counted. All threads count into the same cells: what is measured is
/// how often, not how fast.
#[derive(Debug)]
pub struct Counting;

/// What the process allocated since it began. Nothing, unless [`Counting`] is its allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Blocks taken.
    pub allocations: u64,
    /// Blocks made larger or smaller, moved or not.
    pub reallocations: u64,
    /// Blocks given back.
    pub deallocations: u64,
    /// Bytes asked for; a reallocation counts its new size, which may all have been copied.
    pub bytes: u64,
}

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static REALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static DEALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// The counts now.
#[must_use]
pub fn so_far() -> Counts {
    let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
    Counts {
        allocations: read(&ALLOCATIONS),
        reallocations: read(&REALLOCATIONS),
        deallocations: read(&DEALLOCATIONS),
        bytes: read(&BYTES),
    }
}

fn count(event: &AtomicU64, bytes: usize) {
    event.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
}

// SAFETY: every call goes to `System` with the arguments it came with, so `System`'s guarantees
// are this allocator's; counting touches only atomics and neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(&ALLOCATIONS, layout.size());
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(&ALLOCATIONS, layout.size());
        // SAFETY: the caller keeps `alloc_zeroed`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(&REALLOCATIONS, size);
        // SAFETY: the caller keeps `realloc`'s contract; `block` came from `System`.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(&DEALLOCATIONS, 0);
        // SAFETY: the caller keeps `dealloc`'s contract; `block` came from `System`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_counts_once_with_its_bytes() {
        let before = so_far();
        let layout = Layout::new::<[u64; 8]>();
        // SAFETY: the block is used by its layout, freed once by the layout it last had.
        unsafe {
            let block = Counting.alloc(layout);
            let block = Counting.realloc(block, layout, 128);
            Counting.dealloc(block, Layout::new::<[u64; 16]>());
            Counting.dealloc(Counting.alloc_zeroed(layout), layout);
        }
        // The test's own allocations go uncounted: here `Counting` is not the global allocator.
        let expected = Counts {
            allocations: before.allocations + 2,
            reallocations: before.reallocations + 1,
            deallocations: before.deallocations + 2,
            bytes: before.bytes + 64 + 128 + 64,
        };
        assert_eq!(so_far(), expected);
    }
}
