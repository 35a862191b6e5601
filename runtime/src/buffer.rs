//! Pooled buffers: what is being read or relayed right now has one, what waits has none.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// Holds a head and a small body. Most exchanges need one for each side.
pub(crate) const SMALL: usize = 16 * 1024;
/// For bodies that stream: fewer system calls per byte. Also holds the largest allowed head.
pub(crate) const LARGE: usize = 256 * 1024;

/// Free buffers kept for the next user: enough for a burst, little enough to give memory back.
const KEEP_SMALL: usize = 64;
const KEEP_LARGE: usize = 4;

/// A worker's free buffers, last in first out so that the one handed out is still in the cache.
#[derive(Clone, Default)]
pub(crate) struct Buffers(Rc<RefCell<Free>>);

#[derive(Default)]
struct Free {
    small: Vec<Box<[u8]>>,
    large: Vec<Box<[u8]>>,
    heads: Vec<Vec<u8>>,
}

impl Buffers {
    /// A buffer of [`SMALL`] bytes with arbitrary content.
    pub(crate) fn small(&self) -> Buffer {
        let bytes = self.0.borrow_mut().small.pop();
        self.wrap(bytes.unwrap_or_else(|| vec![0; SMALL].into_boxed_slice()))
    }

    /// A buffer of [`LARGE`] bytes with arbitrary content.
    pub(crate) fn large(&self) -> Buffer {
        let bytes = self.0.borrow_mut().large.pop();
        self.wrap(bytes.unwrap_or_else(|| vec![0; LARGE].into_boxed_slice()))
    }

    /// An empty vector to write a head into; give it back with [`Self::put_back`].
    pub(crate) fn scratch(&self) -> Vec<u8> {
        self.0.borrow_mut().heads.pop().unwrap_or_default()
    }

    /// Takes back what [`Self::scratch`] gave.
    pub(crate) fn put_back(&self, mut scratch: Vec<u8>) {
        let mut free = self.0.borrow_mut();
        if free.heads.len() < KEEP_SMALL && (1..=SMALL).contains(&scratch.capacity()) {
            scratch.clear();
            free.heads.push(scratch);
        }
    }

    fn wrap(&self, bytes: Box<[u8]>) -> Buffer {
        Buffer { bytes, home: Self(Rc::clone(&self.0)) }
    }
}

/// A buffer on loan; it goes home when dropped.
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    home: Buffers,
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut free = self.home.0.borrow_mut();
        match bytes.len() {
            SMALL if free.small.len() < KEEP_SMALL => free.small.push(bytes),
            LARGE if free.large.len() < KEEP_LARGE => free.large.push(bytes),
            _ => {}
        }
    }
}
