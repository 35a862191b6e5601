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

/// Free blocks kept: a burst's worth.
const KEEP: usize = 256;

/// Blocks for futures of one type (more exactly: of one layout).
#[derive(Clone, Default)]
pub(crate) struct Blocks(Rc<Free>);

#[derive(Default)]
struct Free {
    layout: Cell<Option<Layout>>,
    blocks: RefCell<Vec<NonNull<u8>>>,
}

impl Blocks {
    /// Moves `future` into a block.
    pub(crate) fn place<F: Future>(&self, future: F) -> Placed<F> {
        let layout = Layout::new::<F>();
        assert!(layout.size() > 0, "a future that waits has a size");
        if self.0.layout.get().is_none() {
            self.0.layout.set(Some(layout));
        }
        let reused = if self.0.layout.get() == Some(layout) {
            self.0.blocks.borrow_mut().pop()
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
        unsafe { place.write(future) };
        Placed { place, home: self.clone() }
    }
}

impl Drop for Free {
    fn drop(&mut self) {
        let Some(layout) = self.layout.get() else { return };
        for block in self.blocks.get_mut().drain(..) {
            // SAFETY: every kept block was allocated with this layout.
            unsafe { dealloc(block.as_ptr(), layout) };
        }
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
