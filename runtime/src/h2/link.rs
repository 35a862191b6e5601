//! A socket as the `h2` crate wants it, by direct system calls: bytes are received into its buffer
//! and sent from its frames, and nothing is copied in between. What passes is counted and watched.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ringway_core::time::Instant;
use ringway_core::wire::h2::flood::{Flood, Frames};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock;
use crate::socket::{Reader, Writer};

/// Reads without a wait before the other connections get their turn.
const BURST: u8 = 8;
/// Less room than this is none: bodies are not sent crumb by crumb.
const WORTHWHILE: usize = 4 << 10;

/// What is known of a connection beside its streams.
pub(crate) struct Link {
    reader: RefCell<Reader>,
    writer: Writer,
    /// What was received before the protocol was known.
    early: RefCell<Vec<u8>>,
    frames: RefCell<Frames>,
    flood: Cell<Option<Flood>>,
    burst: Cell<u8>,
    /// All bytes ever received and sent, for the TCP metrics.
    received: Cell<u64>,
    sent: Cell<u64>,
    /// Since when the peer takes nothing.
    stalled: Cell<Option<Instant>>,
    /// Bytes of bodies that wait to be sent, and how many there may be.
    queued: Cell<usize>,
    most_queued: usize,
    /// Who waits for there to be less.
    waiting: RefCell<Vec<Waker>>,
}

impl Link {
    /// Takes a socket, of which `early` was read already; `most_queued` bytes of bodies may wait to
    /// be sent on it.
    pub(crate) fn new(
        (reader, writer): (Reader, Writer),
        early: Vec<u8>,
        frames: Frames,
        most_queued: usize,
    ) -> Rc<Self> {
        Rc::new(Self {
            reader: RefCell::new(reader),
            writer,
            early: RefCell::new(early),
            frames: RefCell::new(frames),
            flood: Cell::new(None),
            burst: Cell::new(0),
            received: Cell::new(0),
            sent: Cell::new(0),
            stalled: Cell::new(None),
            queued: Cell::new(0),
            most_queued,
            waiting: RefCell::default(),
        })
    }

    /// What the frames say so far.
    pub(crate) fn frames<R>(&self, look: impl FnOnce(&mut Frames) -> R) -> R {
        look(&mut self.frames.borrow_mut())
    }

    /// The peer has flooded the connection: nothing more is read from it.
    pub(crate) const fn flood(&self) -> Option<Flood> {
        self.flood.get()
    }

    /// Bytes received and sent.
    pub(crate) const fn passed(&self) -> (u64, u64) {
        (self.received.get(), self.sent.get())
    }

    /// Since when the peer takes nothing though there is something for it.
    pub(crate) const fn stalled(&self) -> Option<Instant> {
        self.stalled.get()
    }

    /// How much more of a body may be queued, of `wanted` bytes; waits until that is worthwhile.
    pub(super) fn poll_room(&self, wanted: usize, cx: &Context<'_>) -> Poll<usize> {
        let room = self.most_queued.saturating_sub(self.queued.get());
        if room >= wanted.min(WORTHWHILE) {
            return Poll::Ready(room.min(wanted));
        }
        self.waiting.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }

    /// So much of a body was queued.
    pub(super) fn queue(&self, bytes: usize) {
        self.queued.set(self.queued.get() + bytes);
        self.frames.borrow_mut().sent(bytes);
    }

    /// So much of it has left, or is given up.
    pub(super) fn unqueue(&self, bytes: usize) {
        self.queued.set(self.queued.get() - bytes);
        if self.queued.get() + WORTHWHILE <= self.most_queued {
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
    }

    /// A response was given up because the peer left no room for it.
    pub(super) fn starved(&self) {
        if let Err(flood) = self.frames.borrow_mut().starved() {
            self.flood.set(Some(flood));
        }
    }

    /// Ends our direction.
    pub(crate) fn shutdown(&self) {
        self.writer.shutdown();
    }

    /// Makes the coming close a reset.
    pub(crate) fn reset_on_close(&self) {
        self.writer.reset_on_close();
    }

    /// Reads something and forgets it; 0 is the end.
    pub(crate) async fn throw_away(&self) -> io::Result<usize> {
        std::future::poll_fn(|cx| {
            let mut buffer = [const { std::mem::MaybeUninit::uninit() }; 4096];
            self.reader.borrow_mut().poll_read(cx, &mut buffer)
        })
        .await
    }

    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let mut early = self.early.borrow_mut();
        if !early.is_empty() {
            let n = early.len().min(buffer.remaining());
            buffer.put_slice(&early[..n]);
            early.drain(..n);
            return Poll::Ready(Ok(n));
        }
        drop(early);
        self.reader.borrow_mut().poll_fill(cx, buffer)
    }
}

/// The handle on a link that the `h2` crate owns.
pub(crate) struct Wire(pub(crate) Rc<Link>);

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let link = &self.0;
        if link.flood.get().is_some() {
            return Poll::Pending;
        }
        if link.burst.get() >= BURST {
            // One busy connection must not keep the others waiting: go round the loop once.
            link.burst.set(0);
            link.reader.borrow_mut().expect_nothing();
        }
        let before = buffer.filled().len();
        let n = match link.poll_read(cx, buffer) {
            Poll::Pending => {
                link.burst.set(0);
                return Poll::Pending;
            }
            Poll::Ready(read) => read?,
        };
        link.burst.set(link.burst.get() + 1);
        link.received.set(link.received.get() + n as u64);
        let followed = link.frames.borrow_mut().follow(&buffer.filled()[before..], clock::recent());
        if let Err(flood) = followed {
            buffer.set_filled(before);
            link.flood.set(Some(flood));
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let link = &self.0;
        let Poll::Ready(written) = link.writer.poll_write(cx, parts) else {
            if link.stalled.get().is_none() {
                link.stalled.set(Some(clock::recent()));
            }
            return Poll::Pending;
        };
        link.stalled.set(None);
        let n = written?;
        link.sent.set(link.sent.get() + n as u64);
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.writer.shutdown();
        Poll::Ready(Ok(()))
    }
}
