//! Reading and writing by polls, as HTTP/2 connections and others that multiplex need it.

#![allow(unsafe_code, reason = "the kernel fills memory that was never initialised")]

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use super::calls::recv_uninit;
use super::{Reader, Writer};

impl Reader {
    /// Reads into `buffer` when something comes: how many bytes from its start were filled; 0 is
    /// the end.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.drained {
                ready!(self.shared.watch.poll_readable(cx));
            }
            match recv_uninit(self.shared.raw(), buffer, libc::MSG_DONTWAIT) {
                Ok(n) => {
                    // Less than there is room for: nothing is left, so asking again is in vain.
                    self.drained = n < buffer.len();
                    return Poll::Ready(Ok(n));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.drained = true,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// The same into a buffer that knows how much of it is filled.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        // SAFETY: nothing that is initialised is made uninitialised: the kernel writes bytes.
        let room = unsafe { buffer.unfilled_mut() };
        let n = ready!(self.poll_read(cx, room))?;
        // SAFETY: the read has filled so many.
        unsafe { buffer.assume_init(n) };
        buffer.advance(n);
        Poll::Ready(Ok(n))
    }
}

impl Writer {
    /// Another handle on the same half, for who takes it over.
    pub(crate) fn share(&self) -> Self {
        Self { shared: Rc::clone(&self.shared) }
    }

    /// Waits until the socket takes more, as [`Self::writable`] does.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.watch.poll_writable(cx)
    }

    /// Sends what the socket takes, when it takes any.
    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(parts) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.shared.watch.poll_writable(cx));
                }
                other => return Poll::Ready(other),
            }
        }
    }
}
