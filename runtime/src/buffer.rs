//! Pooled buffers: what is being read or relayed right now has one, what waits has none.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

// Sizes are a few cache lines off a power of two: the beginnings of many buffers, which is all that
// small messages touch, would else fall into the same few sets of the cache. It shows: 5 % of the
// CPU of a small request with 64 connections.

/// Holds a request's head and a small body.
pub(crate) const SMALL: usize = 16 * 1024 + 3 * 64;
/// Holds most responses with their head, so that they take one read and one write.
pub(crate) const MEDIUM: usize = 65 * 1024 + 3 * 64;
/// For bodies that stream: fewer system calls per byte. Also holds the largest allowed head.
pub(crate) const LARGE: usize = 256 * 1024;

/// Free memory kept for the next user at the most, whatever the last second needed.
const KEEP_SMALL: usize = 4096;
const KEEP_MEDIUM: usize = 1024;
const KEEP_LARGE: usize = 64;

/// A worker's free buffers, last in first out so that the one handed out is still in the cache.
#[derive(Clone, Default)]
pub(crate) struct Buffers(Rc<RefCell<Free>>);

#[derive(Default)]
struct Free {
    small: Shelf<Box<[u8]>>,
    medium: Shelf<Box<[u8]>>,
    large: Shelf<Box<[u8]>>,
    heads: Shelf<Vec<u8>>,
}

/// Free things of one kind.
struct Shelf<T> {
    free: Vec<T>,
    /// The fewest there were since the last trim: so many were not needed.
    spare: usize,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { free: Vec::new(), spare: 0 }
    }
}

impl<T> Shelf<T> {
    fn take(&mut self) -> Option<T> {
        let taken = self.free.pop();
        self.spare = self.spare.min(self.free.len());
        taken
    }

    fn put(&mut self, thing: T, most: usize) {
        if self.free.len() < most {
            self.free.push(thing);
        }
    }

    /// Drops what was not needed since the last time.
    fn trim(&mut self) -> usize {
        let spare = self.spare;
        self.free.drain(..spare);
        self.spare = self.free.len();
        spare
    }
}

/// How large a buffer is to begin with.
#[derive(Clone, Copy)]
pub(crate) enum Size {
    Small,
    Medium,
}

impl Buffers {
    /// A buffer of that size with arbitrary content.
    pub(crate) fn of(&self, size: Size) -> Buffer {
        match size {
            Size::Small => self.small(),
            Size::Medium => self.medium(),
        }
    }

    /// A buffer of [`SMALL`] bytes with arbitrary content.
    pub(crate) fn small(&self) -> Buffer {
        let bytes = self.0.borrow_mut().small.take();
        self.wrap(bytes.unwrap_or_else(|| vec![0; SMALL].into_boxed_slice()))
    }

    /// A buffer of [`MEDIUM`] bytes with arbitrary content.
    pub(crate) fn medium(&self) -> Buffer {
        let bytes = self.0.borrow_mut().medium.take();
        self.wrap(bytes.unwrap_or_else(|| vec![0; MEDIUM].into_boxed_slice()))
    }

    /// A buffer of [`LARGE`] bytes with arbitrary content.
    pub(crate) fn large(&self) -> Buffer {
        let bytes = self.0.borrow_mut().large.take();
        self.wrap(bytes.unwrap_or_else(|| vec![0; LARGE].into_boxed_slice()))
    }

    /// An empty vector to write a head into; give it back with [`Self::put_back`].
    pub(crate) fn scratch(&self) -> Vec<u8> {
        self.0.borrow_mut().heads.take().unwrap_or_default()
    }

    /// Takes back what [`Self::scratch`] gave.
    pub(crate) fn put_back(&self, mut scratch: Vec<u8>) {
        if (1..=SMALL).contains(&scratch.capacity()) {
            scratch.clear();
            self.0.borrow_mut().heads.put(scratch, KEEP_SMALL);
        }
    }

    /// Frees what nobody has needed since the last trim; how many buffers that were.
    pub(crate) fn trim(&self) -> usize {
        let free = &mut *self.0.borrow_mut();
        free.small.trim() + free.medium.trim() + free.large.trim() + free.heads.trim()
    }

    /// Bytes in free buffers.
    pub(crate) fn free_bytes(&self) -> usize {
        let free = self.0.borrow();
        let free_of = |shelf: &Shelf<Box<[u8]>>, size| shelf.free.len() * size;
        free_of(&free.small, SMALL) + free_of(&free.medium, MEDIUM) + free_of(&free.large, LARGE)
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
            SMALL => free.small.put(bytes, KEEP_SMALL),
            MEDIUM => free.medium.put(bytes, KEEP_MEDIUM),
            _ => free.large.put(bytes, KEEP_LARGE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Buffers, SMALL};

    #[test]
    fn what_was_not_needed_for_a_while_is_freed() {
        let buffers = Buffers::default();
        let burst: Vec<_> = (0..10).map(|_| buffers.small()).collect();
        drop(burst);
        assert_eq!(buffers.trim(), 0, "all were needed since the last trim");
        drop((buffers.small(), buffers.small()));
        assert_eq!(buffers.trim(), 8);
        assert_eq!(buffers.free_bytes(), 2 * SMALL);
        assert_eq!(buffers.trim(), 2);
        assert_eq!(buffers.trim(), 0);
    }
}
