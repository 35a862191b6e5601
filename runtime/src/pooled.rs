//! Memory for the futures of exchanges, used again and again: a connection that waits for its
//! next request keeps none of it, and a request does not allocate.

#![allow(unsafe_code, reason = "a future of unnameable type is placed into reused memory")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Free blocks kept at the most.
const KEEP: usize = 4096;

/// Blocks for futures of one type (more exactly: of one layout).
#[derive(Clone, Default)]
pub(crate) struct Blocks(Rc<Free>);

#[derive(Default)]
struct Free {
    layout: Cell<Option<Layout>>,
    blocks: RefCell<Vec<NonNull<u8>>>,
    /// The fewest there were since the last trim: so many were not needed.
    spare: Cell<usize>,
}

impl Blocks {
    /// Makes a future in a block: what `make` returns is written there and not moved again.
    pub(crate) fn place<F: Future>(&self, make: impl FnOnce() -> F) -> Placed<F> {
        let layout = Layout::new::<F>();
        assert!(layout.size() > 0, "a future that waits has a size");
        if self.0.layout.get().is_none() {
            self.0.layout.set(Some(layout));
        }
        let reused = if self.0.layout.get() == Some(layout) {
            let mut blocks = self.0.blocks.borrow_mut();
            let block = blocks.pop();
            self.0.spare.set(self.0.spare.get().min(blocks.len()));
            block
        } else {
            None
        };
        let block = reused.unwrap_or_else(|| {
            // SAFETY: the size is not zero.
            let fresh = unsafe { alloc(layout) };
            NonNull::new(fresh).unwrap_or_else(|| handle_alloc_error(layout))
        });
        let place = block.cast::<F>();
        // SAFETY: the block has F's layout and nobody else uses it.
        unsafe { place.write(make()) };
        Placed { place, home: self.clone() }
    }
}

impl Blocks {
    /// Frees what nobody has needed since the last trim; how many blocks that were.
    pub(crate) fn trim(&self) -> usize {
        let spare = self.0.spare.get();
        self.0.free(spare);
        self.0.spare.set(self.0.blocks.borrow().len());
        spare
    }
}

impl Free {
    fn free(&self, count: usize) {
        let Some(layout) = self.layout.get() else { return };
        for block in self.blocks.borrow_mut().drain(..count) {
            // SAFETY: every kept block was allocated with this layout.
            unsafe { dealloc(block.as_ptr(), layout) };
        }
    }
}

impl Drop for Free {
    fn drop(&mut self) {
        self.free(self.blocks.borrow().len());
    }
}

/// A future in a block; the block goes home when this is dropped.
pub(crate) struct Placed<F> {
    place: NonNull<F>,
    home: Blocks,
}

impl<F: Future> Future for Placed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the future stays in its block until it is dropped there, so it never moves.
        unsafe { Pin::new_unchecked(self.place.as_mut()) }.poll(cx)
    }
}

impl<F> Drop for Placed<F> {
    fn drop(&mut self) {
        let layout = Layout::new::<F>();
        // SAFETY: `place` holds an initialised F that is dropped exactly once.
        unsafe { self.place.drop_in_place() };
        let mut blocks = self.home.0.blocks.borrow_mut();
        if self.home.0.layout.get() == Some(layout) && blocks.len() < KEEP {
            blocks.push(self.place.cast());
        } else {
            // SAFETY: allocated in `place` with this layout.
            unsafe { dealloc(self.place.cast().as_ptr(), layout) };
        }
    }
}
