//! The sends of one turn: queued while everybody reads, then made together.

#![allow(unsafe_code, reason = "queued sends point at bytes of tasks that wait for them")]

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::marker::PhantomData;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use io_uring::{opcode, squeue, types};
use slab::Slab;

use crate::batch::{Batch, Operations};
use crate::socket::calls::{SENDING, send};

/// The most parts that one send has; what has more is not worth queueing.
pub(crate) const PARTS: usize = 8;

/// What waits for the second half of a turn.
pub(crate) struct Sends {
    waiting: RefCell<Slab<Waiting>>,
    /// Those that are not made yet, in the order in which they came.
    queue: RefCell<Vec<usize>>,
    batch: Rc<Batch>,
}

/// A send that somebody waits for.
struct Waiting {
    fd: RawFd,
    parts: [libc::iovec; PARTS],
    message: libc::msghdr,
    waker: Option<Waker>,
    /// Once it was made: the bytes sent, or an error's number below zero.
    result: Option<i32>,
}

impl Waiting {
    fn new(fd: RawFd, parts: &[IoSlice<'_>]) -> Self {
        let none = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        let mut iovecs = [none; PARTS];
        for (iovec, part) in iovecs.iter_mut().zip(parts) {
            *iovec = libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() };
        }
        // SAFETY: all-zero is a valid msghdr.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iovlen = parts.len();
        Self { fd, parts: iovecs, message, waker: None, result: None }
    }

    /// The same for a ring. It points into `self`, which must neither move nor go before the
    /// kernel has taken it.
    fn entry(&mut self) -> squeue::Entry {
        let fd = types::Fd(self.fd);
        if self.message.msg_iovlen == 1 {
            let [only, ..] = &self.parts;
            // A brief send is far below 4 GiB.
            opcode::Send::new(fd, only.iov_base.cast(), only.iov_len as u32).flags(SENDING).build()
        } else {
            self.message.msg_iov = self.parts.as_mut_ptr();
            opcode::SendMsg::new(fd, &raw const self.message).flags(SENDING as u32).build()
        }
    }

    /// The same by a call of its own.
    fn call(&self) -> i32 {
        let parts = self.parts[..self.message.msg_iovlen].as_ptr().cast();
        // SAFETY: IoSlice is ABI-compatible with iovec, and the parts are bytes of a task that waits
        // for this and keeps them till then.
        let parts = unsafe { std::slice::from_raw_parts(parts, self.message.msg_iovlen) };
        match send(self.fd, parts) {
            // A brief send is far below 2 GiB.
            Ok(sent) => sent as i32,
            Err(error) => -error.raw_os_error().unwrap_or(libc::EIO),
        }
    }
}

impl Sends {
    /// They are made by `batch`.
    pub(crate) fn new(batch: Rc<Batch>) -> Self {
        Self { waiting: RefCell::default(), queue: RefCell::default(), batch }
    }

    /// Queues a send of at most [`PARTS`] parts to `fd`, which stays open while its result is
    /// waited for. The result must be awaited or dropped, as everything that a task holds is: one
    /// that is forgotten alone would leave the bytes to the kernel.
    pub(crate) fn queue<'a>(&'a self, fd: RawFd, parts: &[IoSlice<'a>]) -> Sending<'a> {
        debug_assert!(parts.len() <= PARTS);
        let key = self.waiting.borrow_mut().insert(Waiting::new(fd, parts));
        self.queue.borrow_mut().push(key);
        Sending { sends: self, key, bytes: PhantomData }
    }

    /// Whether nothing is queued.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// Makes all queued sends, and says whom to wake.
    pub(crate) fn flush(&self, wakers: &mut Vec<Waker>) {
        let (mut queue, mut waiting) = (self.queue.borrow_mut(), self.waiting.borrow_mut());
        self.batch.make(&mut Due { queue: &queue, waiting: &mut waiting, wakers });
        queue.clear();
    }

    /// Frees what a burst has needed.
    pub(crate) fn trim(&self) {
        self.waiting.borrow_mut().shrink_to_fit();
        self.queue.borrow_mut().shrink_to_fit();
    }

    fn forget(&self, key: usize) {
        let gone = self.waiting.borrow_mut().remove(key);
        if gone.result.is_none() {
            self.queue.borrow_mut().retain(|queued| *queued != key);
        }
    }
}

/// The sends of a turn, while they are made.
struct Due<'a> {
    queue: &'a [usize],
    waiting: &'a mut Slab<Waiting>,
    wakers: &'a mut Vec<Waker>,
}

impl Operations for Due<'_> {
    fn count(&self) -> usize {
        self.queue.len()
    }

    fn is_made(&self, at: usize) -> bool {
        self.waiting[self.queue[at]].result.is_some()
    }

    fn entry(&mut self, at: usize) -> squeue::Entry {
        self.waiting[self.queue[at]].entry()
    }

    fn call(&mut self, at: usize) -> i32 {
        self.waiting[self.queue[at]].call()
    }

    fn made(&mut self, at: usize, result: i32) {
        let waiting = &mut self.waiting[self.queue[at]];
        waiting.result = Some(result);
        self.wakers.extend(waiting.waker.take());
    }
}

/// The result of a queued send, as of a non-blocking call; 0 when it should be tried again at once.
/// Dropped before its turn, it is not made.
pub(crate) struct Sending<'a> {
    sends: &'a Sends,
    key: usize,
    bytes: PhantomData<&'a [u8]>,
}

impl Future for Sending<'_> {
    type Output = io::Result<usize>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let waiting = &mut self.sends.waiting.borrow_mut()[self.key];
        let Some(result) = waiting.result else {
            waiting.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        // A signal has come first: the socket takes as much as before.
        let result = if result == -libc::EINTR { 0 } else { result };
        Poll::Ready(usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result)))
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.sends.forget(self.key);
    }
}
