//! A socket as the `h2` crate wants it, by direct system calls: bytes are received into its buffer,
//! and what it writes is gathered and sent in the second half of the worker's turn. What passes is
//! counted and watched.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ringway_core::time::Instant;
use ringway_core::wire::h2::flood::{Flood, Frames};
use ringway_core::wire::h2::sent::Sent;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::outbox::Outbox;
use crate::buffer::Buffers;
use crate::clock;
use crate::socket::{Reader, Writer};
use crate::turn::Outlet;

/// Reads without a wait before the other connections get their turn.
const BURST: u8 = 8;
/// Less room than this is none: bodies are not sent crumb by crumb.
pub(super) const WORTHWHILE: usize = 4 << 10;

/// What is watched on a connection.
pub(crate) struct Watch {
    /// What the peer sends.
    pub(crate) frames: Frames,
    /// What it is sent.
    pub(crate) sent: Sent,
    /// It carries the requests of many: a flood is to end it in good order.
    pub(crate) shared: bool,
}

/// What is known of a connection beside its streams.
pub(crate) struct Link {
    reader: RefCell<Reader>,
    writer: Writer,
    outbox: RefCell<Outbox>,
    /// Somebody sees to it that what is gathered is sent.
    driven: Cell<bool>,
    /// It will be sent in the second half of this turn.
    asked: Cell<bool>,
    /// Who drives it, to be told when that has failed.
    driver: RefCell<Option<Waker>>,
    failed: Cell<Option<io::ErrorKind>>,
    told: Cell<bool>,
    /// What was received before the protocol was known.
    early: RefCell<Vec<u8>>,
    frames: RefCell<Frames>,
    frames_sent: RefCell<Sent>,
    shared: bool,
    flood: Cell<Option<Flood>>,
    /// A flood on a shared connection.
    overdone: Cell<Option<Flood>>,
    /// Streams ever that were reset for what the peer did on them.
    provoked: Cell<u32>,
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
        watch: Watch,
        (most_queued, buffers): (usize, &Buffers),
    ) -> Rc<Self> {
        Rc::new(Self {
            reader: RefCell::new(reader),
            writer,
            outbox: RefCell::new(Outbox::new(buffers.clone())),
            driven: Cell::new(false),
            asked: Cell::new(false),
            driver: RefCell::default(),
            failed: Cell::new(None),
            told: Cell::new(false),
            early: RefCell::new(early),
            frames: RefCell::new(watch.frames),
            frames_sent: RefCell::new(watch.sent),
            shared: watch.shared,
            flood: Cell::new(None),
            overdone: Cell::new(None),
            provoked: Cell::new(0),
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

    /// What a shared connection has to end for, though all that it carries is to be finished.
    pub(crate) const fn overdone(&self) -> Option<Flood> {
        self.overdone.get()
    }

    /// Streams ever that were reset for what the peer did on them.
    pub(crate) const fn provoked(&self) -> u32 {
        self.provoked.get()
    }

    fn flooded(&self, flood: Flood) {
        let kind = if self.shared { &self.overdone } else { &self.flood };
        kind.set(kind.get().or(Some(flood)));
    }

    /// Follows `length` bytes that were sent.
    fn follow_sent(&self, parts: &[IoSlice<'_>], mut length: usize) {
        let mut provoked = 0;
        let mut sent = self.frames_sent.borrow_mut();
        for part in parts {
            let piece = &part[..part.len().min(length)];
            provoked += sent.follow(piece);
            length -= piece.len();
        }
        if provoked > 0 {
            self.provoked.set(self.provoked.get().saturating_add(provoked));
            if let Err(flood) = self.frames.borrow_mut().erred(provoked) {
                self.flooded(flood);
            }
        }
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
            self.flooded(flood);
        }
    }

    /// From now on whoever drives the connection calls [`Self::poll_rest`] whenever it has been
    /// polled, and [`Self::send_rest`] at the end.
    pub(crate) fn drive(&self) {
        self.driven.set(true);
    }

    /// Sends what the socket has not taken before, when it takes more. Whether the connection has
    /// to be polled once more.
    pub(crate) fn poll_rest(&self, cx: &mut Context<'_>) -> bool {
        if self.stalled.get().is_none() || self.outbox.borrow().is_empty() {
            return self.failed.get().is_some() && !self.told.replace(true);
        }
        while self.writer.poll_writable(cx).is_ready() {
            match self.send_now() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // There is room again for what was refused, or somebody to be told.
                _ => return true,
            }
        }
        false
    }

    /// Sends what is left as far as the socket takes it.
    pub(crate) fn send_rest(&self) {
        let _ = self.send_now();
    }

    fn send_now(&self) -> io::Result<()> {
        let mut outbox = self.outbox.borrow_mut();
        let sent = outbox.send(|bytes| {
            let sent = self.writer.try_write(&[IoSlice::new(bytes)])?;
            self.sent.set(self.sent.get() + sent as u64);
            self.stalled.set(None);
            Ok(sent)
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if self.stalled.get().is_none() {
                    self.stalled.set(Some(clock::recent()));
                }
                Err(error)
            }
            Err(error) => {
                self.failed.set(Some(error.kind()));
                Err(error)
            }
            Ok(_) => Ok(()),
        }
    }

    /// Gathers what is to be sent; when there is no room for any of it, what is there is sent.
    fn poll_gather(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(kind) = self.failed.get() {
            return Poll::Ready(Err(kind.into()));
        }
        let mut taken = self.outbox.borrow_mut().gather(parts);
        if taken == 0 {
            std::task::ready!(self.poll_send(cx))?;
            taken = self.outbox.borrow_mut().gather(parts);
        }
        self.follow_sent(parts, taken);
        if !self.asked.replace(true) {
            let driver = &mut *self.driver.borrow_mut();
            if driver.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
                *driver = Some(cx.waker().clone());
            }
            self.writer.send_last(Rc::clone(self) as Rc<dyn Outlet>);
        }
        Poll::Ready(Ok(taken))
    }

    /// Sends all that is gathered.
    fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.send_now() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::task::ready!(self.writer.poll_writable(cx));
                }
                other => return Poll::Ready(other),
            }
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

impl Outlet for Link {
    fn send(&self) {
        self.asked.set(false);
        if self.send_now().is_err()
            && let Some(driver) = self.driver.take()
        {
            // It waits for room, or ends.
            driver.wake();
        }
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
        if let Some(kind) = link.failed.get() {
            return Poll::Ready(Err(kind.into()));
        }
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
            link.flooded(flood);
            if link.flood.get().is_some() {
                buffer.set_filled(before);
                return Poll::Pending;
            }
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
        if link.driven.get() {
            return link.poll_gather(cx, parts);
        }
        let Poll::Ready(written) = link.writer.poll_write(cx, parts) else {
            if link.stalled.get().is_none() {
                link.stalled.set(Some(clock::recent()));
            }
            return Poll::Pending;
        };
        link.stalled.set(None);
        let n = written?;
        link.sent.set(link.sent.get() + n as u64);
        link.follow_sent(parts, n);
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.0.poll_send(cx))?;
        self.0.writer.shutdown();
        Poll::Ready(Ok(()))
    }
}
