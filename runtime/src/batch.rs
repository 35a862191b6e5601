//! Non-blocking operations made together, by one system call on a ring of their own where there is
//! one, else by one call each. None is on its way afterwards, so no memory has to outlive the call.

#![allow(unsafe_code, reason = "the entries of a ring point at memory of whoever made them")]

use std::cell::RefCell;
use std::io;
use std::ops::Range;

use io_uring::{IoUring, squeue};

/// Operations handed to the kernel by one call: the entries of the ring.
pub(crate) const ENTRIES: u32 = 128;

/// What is to be made together.
pub(crate) trait Operations {
    /// How many there are.
    fn count(&self) -> usize;

    /// Whether this one's result is there.
    fn is_made(&self, at: usize) -> bool;

    /// One of them for a ring. What it points at must neither move nor go before its result is
    /// there.
    fn entry(&mut self, at: usize) -> squeue::Entry;

    /// The same by a call of its own; its result as of [`Self::made`].
    fn call(&mut self, at: usize) -> i32;

    /// It was made: what the call has returned, or an error's number below zero.
    fn made(&mut self, at: usize, result: i32);
}

/// Where they are made.
pub(crate) struct Batch {
    ring: RefCell<Option<IoUring>>,
}

impl Batch {
    /// With `ring`, there; it must have been made on this thread.
    pub(crate) const fn new(ring: Option<IoUring>) -> Self {
        Self { ring: RefCell::new(ring) }
    }

    /// Makes them all. One alone costs less without a ring.
    pub(crate) fn make(&self, operations: &mut impl Operations) {
        let mut ring = self.ring.borrow_mut();
        let (count, mut at) = (operations.count(), 0);
        while let (Some(some), true) = (ring.as_mut(), count > at + 1) {
            let end = count.min(at + some.params().sq_entries() as usize);
            if submit(some, at..end, operations).is_err() {
                // With it goes what it had not taken.
                *ring = None;
                break;
            }
            at = end;
        }
        for at in 0..count {
            if !operations.is_made(at) {
                let result = operations.call(at);
                operations.made(at, result);
            }
        }
    }
}

/// Makes these by one call.
fn submit(
    ring: &mut IoUring,
    these: Range<usize>,
    operations: &mut impl Operations,
) -> io::Result<()> {
    let mut left = these.len();
    let mut queue = ring.submission();
    for at in these {
        let entry = operations.entry(at).user_data(at as u64);
        // SAFETY: what the entry points at stays until its result is there, which is below.
        unsafe { queue.push(&entry) }.map_err(|_| io::ErrorKind::QuotaExceeded)?;
    }
    drop(queue);
    while left > 0 {
        let submitted = ring.submit_and_wait(left);
        // Also after an error: what was made must not be made again.
        for completion in ring.completion() {
            operations.made(completion.user_data() as usize, completion.result());
            left -= 1;
        }
        match submitted {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
