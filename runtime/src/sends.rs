//! The sends of one turn: queued while everybody reads, then made together, by one system call on
//! a ring of their own where there is one, else by one call each.

#![allow(unsafe_code, reason = "queued sends point at bytes of tasks that wait for them")]

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::marker::PhantomData;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use io_uring::{IoUring, opcode, squeue, types};
use slab::Slab;

use crate::socket::calls::{SENDING, send};

/// The most parts that one send has; what has more is not worth queueing.
pub(crate) const PARTS: usize = 8;

/// Sends handed to the kernel by one call: the entries of the ring.
pub(crate) const ENTRIES: u32 = 128;

/// What waits for the second half of a turn.
pub(crate) struct Sends {
    waiting: RefCell<Slab<Waiting>>,
    /// Those that are not made yet, in the order in which they came.
    queue: RefCell<Vec<usize>>,
    ring: RefCell<Option<IoUring>>,
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
    fn entry(&mut self, key: usize) -> squeue::Entry {
        let fd = types::Fd(self.fd);
        let entry = if self.message.msg_iovlen == 1 {
            let [only, ..] = &self.parts;
            // A brief send is far below 4 GiB.
            opcode::Send::new(fd, only.iov_base.cast(), only.iov_len as u32).flags(SENDING).build()
        } else {
            self.message.msg_iov = self.parts.as_mut_ptr();
            opcode::SendMsg::new(fd, &raw const self.message).flags(SENDING as u32).build()
        };
        entry.user_data(key as u64)
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

    fn done(&mut self, result: i32, wakers: &mut Vec<Waker>) {
        self.result = Some(result);
        wakers.extend(self.waker.take());
    }
}

impl Sends {
    /// With `ring`, sends go there; it must have been made on this thread.
    pub(crate) fn new(ring: Option<IoUring>) -> Self {
        Self { waiting: RefCell::default(), queue: RefCell::default(), ring: RefCell::new(ring) }
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
        let mut ring = self.ring.borrow_mut();
        while let (Some(some), true) = (ring.as_mut(), queue.len() > 1) {
            let count = queue.len().min(some.params().sq_entries() as usize);
            if submit(some, &queue[..count], &mut waiting, wakers).is_err() {
                // With it goes what it had not taken.
                *ring = None;
            }
            queue.retain(|key| waiting[*key].result.is_none());
        }
        for key in queue.drain(..) {
            let one = &mut waiting[key];
            one.done(one.call(), wakers);
        }
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

/// Makes these sends by one call. None is on its way afterwards.
fn submit(
    ring: &mut IoUring,
    keys: &[usize],
    waiting: &mut Slab<Waiting>,
    wakers: &mut Vec<Waker>,
) -> io::Result<()> {
    let mut queue = ring.submission();
    for key in keys {
        let entry = waiting[*key].entry(*key);
        // SAFETY: what the entry points at lives in `waiting`, which nobody touches before the
        // kernel is done, and in tasks that wait for the result.
        unsafe { queue.push(&entry) }.map_err(|_| io::ErrorKind::QuotaExceeded)?;
    }
    drop(queue);
    let mut left = keys.len();
    while left > 0 {
        match ring.submit_and_wait(left) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for completion in ring.completion() {
            waiting[completion.user_data() as usize].done(completion.result(), wakers);
            left -= 1;
        }
    }
    Ok(())
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
