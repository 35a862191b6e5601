//! A message going out over a stream: the head leaves with the first part of its body, and a body
//! waits for the peer's windows and for its share of what the connection may queue.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, Response};
use ringway_core::message::{Blame, Cause, Fault, Stage};
use ringway_core::wire::h2::trailers;

use super::chunk::Chunk;
use super::fault::{fault, reset};
use super::head::append;
use super::link::{Link, WORTHWHILE};
use crate::pace::{Limit, Pace};
use crate::stream::{Part, Sink, Upload};

/// The sending side of a stream as it is shared with who watches for its reset.
pub(crate) struct Sender(RefCell<Side>);

enum Side {
    /// The response has not begun.
    Respond(SendResponse<Chunk>),
    /// A head was sent.
    Stream(SendStream<Chunk>),
}

impl Sender {
    /// A response that is to be made.
    pub(crate) fn respond(respond: SendResponse<Chunk>) -> Rc<Self> {
        Rc::new(Self(RefCell::new(Side::Respond(respond))))
    }

    /// A request whose head was sent.
    pub(super) fn stream(stream: SendStream<Chunk>) -> Rc<Self> {
        Rc::new(Self(RefCell::new(Side::Stream(stream))))
    }

    /// Completes when the peer has given the stream up, or is gone.
    pub(crate) fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<Result<Reason, h2::Error>> {
        match &mut *self.0.borrow_mut() {
            Side::Respond(respond) => respond.poll_reset(cx),
            Side::Stream(stream) => stream.poll_reset(cx),
        }
    }

    /// Whether the peer has given the stream up, or is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.poll_reset(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// Sends an interim head.
    fn interim(&self, head: Response<()>) {
        if let Side::Respond(respond) = &mut *self.0.borrow_mut() {
            // Fails when the stream is gone, which whoever waits for it is told.
            let _ = respond.send_informational(head);
        }
    }

    fn head(&self, head: Response<()>, last: bool) -> Result<(), h2::Error> {
        let side = &mut *self.0.borrow_mut();
        if let Side::Respond(respond) = side {
            *side = Side::Stream(respond.send_response(head, last)?);
        }
        Ok(())
    }

    /// Gives the stream up.
    fn reset(&self, reason: Reason) {
        match &mut *self.0.borrow_mut() {
            Side::Respond(respond) => respond.send_reset(reason),
            Side::Stream(stream) => stream.send_reset(reason),
        }
    }

    fn with<R>(&self, act: impl FnOnce(&mut SendStream<Chunk>) -> R) -> Option<R> {
        match &mut *self.0.borrow_mut() {
            Side::Respond(_) => None,
            Side::Stream(stream) => Some(act(stream)),
        }
    }
}

/// The sending side of a stream.
pub(crate) struct Outgoing {
    sender: Rc<Sender>,
    link: Rc<Link>,
    /// Whose fault it is when the peer fails.
    peer: Blame,
    /// A head that was not sent yet, and whether nothing follows it.
    queued: Option<(Response<()>, bool)>,
    begun: bool,
    ended: bool,
    /// Waits for room, or did when it was given up.
    waits: bool,
    /// A limit is running, and how much room there has been since.
    timed: bool,
    gained: usize,
    pace: Option<(Rc<Pace>, Limit, Duration)>,
}

impl Outgoing {
    pub(crate) const fn new(sender: Rc<Sender>, link: Rc<Link>, peer: Blame) -> Self {
        Self {
            sender,
            link,
            peer,
            queued: None,
            begun: false,
            ended: false,
            waits: false,
            timed: false,
            gained: 0,
            pace: None,
        }
    }

    /// A message whose head was sent; `ended` when nothing follows.
    pub(super) fn begun(sender: Rc<Sender>, link: Rc<Link>, peer: Blame, ended: bool) -> Self {
        Self { begun: true, ended, ..Self::new(sender, link, peer) }
    }

    /// From now on, waiting for room counts against `limit`.
    pub(crate) fn under(&mut self, pace: &Rc<Pace>, limit: Limit, span: Duration) {
        self.pace = Some((Rc::clone(pace), limit, span));
    }

    /// Queues a final head; `last` when no body follows.
    pub(crate) fn queue_head(&mut self, head: Response<()>, last: bool) {
        self.queued = Some((head, last));
    }

    /// Sends an interim head.
    pub(crate) fn interim(&self, head: Response<()>) {
        self.link.frames(|frames| frames.sent(0));
        self.sender.interim(head);
    }

    /// Drops a head that was not sent yet.
    pub(crate) fn discard(&mut self) {
        self.queued = None;
    }

    /// The stream itself.
    pub(super) const fn sender(&self) -> &Rc<Sender> {
        &self.sender
    }

    /// Whether a final head was sent.
    pub(crate) const fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether the message was sent to its end.
    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Ends the stream so that the peer can tell that the message is not whole.
    pub(crate) fn cut(&mut self, reason: Reason) {
        self.queued = None;
        let mut nobody = Context::from_waker(Waker::noop());
        if self.waits && self.sender.poll_reset(&mut nobody).is_pending() {
            self.link.starved();
        }
        self.sender.reset(reason);
    }

    fn send_head(&mut self) -> Result<(), Fault> {
        let Some((head, last)) = self.queued.take() else { return Ok(()) };
        self.link.frames(|frames| frames.sent(0));
        self.sender.head(head, last).map_err(|error| self.fault(&error))?;
        self.begun = true;
        self.ended = last;
        Ok(())
    }

    fn data(&mut self, chunk: Chunk, last: bool) -> Result<(), Fault> {
        let sent = self.sender.with(|stream| stream.send_data(chunk, last));
        self.ended |= last;
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(self.fault(&error)),
            None => Err(self.broken(Cause::Panic)),
        }
    }

    /// Waits for room for some of `wanted` bytes. Crumbs do not restart the limit: a peer that reads
    /// byte by byte would hold a stream, and all that waits behind it, for days.
    async fn room(&mut self, wanted: usize) -> Result<usize, Fault> {
        self.waits = true;
        let mut timed = self.timed;
        let room = poll_fn(|cx| {
            let room = self.poll_room(wanted, cx);
            if let (true, false, Some((pace, limit, span))) = (room.is_pending(), timed, &self.pace)
            {
                timed = true;
                pace.within(*limit, *span, self.broken(Cause::IdleTimeout));
            }
            room
        })
        .await;
        self.waits = false;
        let room = room?;
        self.gained += room;
        self.timed = timed;
        if room == wanted || self.gained >= WORTHWHILE {
            self.gained = 0;
            self.timed = false;
            if let (true, Some((pace, limit, _))) = (timed, &self.pace) {
                pace.clear(*limit);
            }
        }
        Ok(room)
    }

    fn poll_room(&self, wanted: usize, cx: &mut Context<'_>) -> Poll<Result<usize, Fault>> {
        let Poll::Ready(share) = self.link.poll_room(wanted, cx) else {
            // Nothing else would tell that nobody wants it any more.
            return self.poll_given_up(cx).map(Err);
        };
        let window = self.sender.with(|stream| {
            stream.reserve_capacity(share);
            match stream.capacity() {
                0 => stream.poll_capacity(cx),
                window => Poll::Ready(Some(Ok(window))),
            }
        });
        match window {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(Some(Ok(window)))) => Poll::Ready(Ok(window.min(share))),
            Some(Poll::Ready(Some(Err(error)))) => Poll::Ready(Err(self.fault(&error))),
            Some(Poll::Ready(None)) => Poll::Ready(Err(match self.poll_given_up(cx) {
                Poll::Ready(fault) => fault,
                Poll::Pending => self.broken(Cause::Closed),
            })),
            None => Poll::Ready(Err(self.broken(Cause::Panic))),
        }
    }

    /// Why the peer does not want it any more.
    fn poll_given_up(&self, cx: &mut Context<'_>) -> Poll<Fault> {
        self.sender.poll_reset(cx).map(|gone| match gone {
            Ok(reason) => self.broken(reset(Some(reason))),
            Err(error) => self.fault(&error),
        })
    }

    fn fault(&self, error: &h2::Error) -> Fault {
        fault(error, self.broken(Cause::Closed).stage, self.peer)
    }

    const fn broken(&self, cause: Cause) -> Fault {
        let stage = if matches!(self.peer, Blame::Client) { Stage::Relay } else { Stage::Send };
        Fault { stage, blame: self.peer, cause }
    }
}

/// `length` bytes of a part from `start`.
fn gather(part: &Part<'_>, mut start: usize, length: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(length);
    for piece in part.pieces() {
        let skipped = start.min(piece.len());
        start -= skipped;
        let rest = &piece[skipped..];
        bytes.extend_from_slice(&rest[..rest.len().min(length - bytes.len())]);
    }
    Bytes::from(bytes)
}

impl Upload for Outgoing {
    fn has_started(&self) -> bool {
        self.begun
    }
}

impl Sink for Outgoing {
    async fn put(&mut self, part: &Part<'_>) -> Result<(), Fault> {
        self.send_head()?;
        let length = part.pieces().map(<[u8]>::len).sum();
        let whole = part.last && part.trailers.is_empty();
        let mut sent = 0;
        while sent < length {
            // Only what there is room for is taken: what waits takes no memory twice.
            let room = self.room(length - sent).await?;
            let chunk = Chunk::new(gather(part, sent, room), &self.link);
            sent += room;
            self.data(chunk, whole && sent == length)?;
        }
        if length == 0 && whole && !self.ended {
            self.data(Chunk::empty(), true)?;
        }
        if part.last && !part.trailers.is_empty() {
            let mut map = HeaderMap::new();
            append(&mut map, |write| {
                trailers::fields(part.trailers).for_each(|(name, value)| write(name, value));
            });
            let sent = self.sender.with(|stream| stream.send_trailers(map));
            self.ended = true;
            if let Some(Err(error)) = sent {
                return Err(self.fault(&error));
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        self.send_head()
    }

    fn open_tunnel(&mut self) {
        self.pace = None;
    }

    fn end_tunnel(&mut self) {
        if !self.ended {
            // Fails when the stream is gone, which the other direction is told.
            let _ = self.data(Chunk::empty(), true);
        }
    }
}
