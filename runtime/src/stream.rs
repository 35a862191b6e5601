//! The seam between protocols: parts of a body come out of a source and go into a sink, whatever
//! carries them.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};

use ringway_core::message::{Fault, Method, RequestHead, ResponseHead};
use ringway_core::policy::answer::Answer;
use ringway_core::wire::h1::head::Limits;

use crate::exchange::Exchange;
use crate::pace::Pace;

/// Pieces of a body that are sent on together; no more system calls for many small chunks.
pub(crate) const PIECES: usize = 16;

/// Where in a buffer the pieces of a part are.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pieces {
    ranges: [(u32, u32); PIECES],
    count: usize,
}

impl Pieces {
    /// Adds `length` bytes from `start`.
    pub(crate) const fn push(&mut self, start: usize, length: usize) {
        self.ranges[self.count] = (start as u32, (start + length) as u32);
        self.count += 1;
    }

    /// Makes the last piece longer by `length` bytes; where they have to be.
    pub(crate) const fn grow(&mut self, length: usize) -> usize {
        let (_, end) = &mut self.ranges[self.count - 1];
        let at = *end as usize;
        *end += length as u32;
        at
    }

    /// Whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether there is no room for another one.
    pub(crate) const fn is_full(&self) -> bool {
        self.count == PIECES
    }
}

/// The next part of a body, as slices of the buffer it was received into.
pub(crate) struct Part<'a> {
    pub(crate) buffer: &'a [u8],
    pub(crate) pieces: Pieces,
    /// Nothing follows.
    pub(crate) last: bool,
    /// Trailer lines, each with its CRLF; empty unless `last`.
    pub(crate) trailers: &'a [u8],
}

impl<'a> Part<'a> {
    /// All of `bytes`, with more to follow.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        let mut pieces = Pieces::default();
        pieces.push(0, bytes.len());
        Self { buffer: bytes, pieces, last: false, trailers: &[] }
    }

    /// The pieces in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        let ranges = &self.pieces.ranges[..self.pieces.count];
        ranges.iter().map(|&(start, end)| &self.buffer[start as usize..end as usize])
    }

    /// Bytes in all pieces.
    pub(crate) fn len(&self) -> u64 {
        let ranges = &self.pieces.ranges[..self.pieces.count];
        ranges.iter().map(|&(start, end)| u64::from(end - start)).sum()
    }
}

/// Where a body comes from.
pub(crate) trait Source {
    /// The next part of what has been received; `None` when that takes [`Self::more`]. Not to be
    /// called again after the last part.
    fn take(&mut self) -> Result<Option<Part<'_>>, Fault>;

    /// Waits until more was received. What [`Self::take`] gave is then no longer valid.
    async fn more(&mut self) -> Result<(), Fault>;

    /// Whether the last part was taken.
    fn is_done(&self) -> bool;

    /// A tunnel begins: whatever comes from now on, to its end, is the body.
    fn open_tunnel(&mut self);
}

/// Where a body goes to. What was queued before (a head) leaves with the first part.
pub(crate) trait Sink {
    /// Sends a part on; returns when its bytes are no longer needed.
    async fn put(&mut self, part: &Part<'_>) -> Result<(), Fault>;

    /// Sends what is queued.
    async fn flush(&mut self) -> Result<(), Fault>;

    /// A tunnel begins: parts are sent as they are.
    fn open_tunnel(&mut self);

    /// Ends the tunnel's direction.
    fn end_tunnel(&mut self);
}

/// The request on its way to an endpoint.
pub(crate) trait Upload: Sink {
    /// Whether the endpoint was given anything of it.
    fn has_started(&self) -> bool;
}

/// The response of an endpoint.
pub(crate) trait Download: Source {
    /// Waits for a head and shows it to `judge`; what follows is its body. A head for which `judge`
    /// has nothing to say is interim. `answered` becomes true with the first sign of a response.
    async fn head<R>(
        &mut self,
        method: Method,
        limits: &Limits,
        answered: &Cell<bool>,
        judge: impl FnMut(&ResponseHead<'_>) -> Option<R>,
    ) -> Result<Option<R>, Fault>;
}

/// The client's side of an exchange.
pub(crate) trait Client {
    /// Where the request's body comes from.
    type Request: Request;
    /// Where the response goes to.
    type Response: Response;

    /// Both directions, to be driven at once.
    fn halves(&mut self) -> (&mut Self::Request, &mut Self::Response);

    /// The time limits the connection is under.
    fn pace(&self) -> &Rc<Pace>;

    /// Whether the client was sent a byte of a final response.
    fn has_begun(&self) -> bool;

    /// Ends the response so that the client can tell that it is not whole, because of `fault`.
    fn cut(&mut self, fault: Fault);

    /// Answers instead of an endpoint.
    async fn answer(&mut self, exchange: &mut Exchange, answer: Answer);
}

/// The request of an exchange.
pub(crate) trait Request: Source {
    /// Shows the head once more; it is kept until the exchange is over.
    fn head<R>(&self, read: impl FnOnce(&RequestHead<'_>) -> R) -> Option<R>;

    /// Goes back to the beginning of the body; whether all of it was still at hand.
    fn rewind(&mut self) -> bool;

    /// Whether [`Self::rewind`] would succeed.
    fn can_rewind(&self) -> bool;

    /// All of the body, without its framing, if it was received and is still at hand.
    fn whole_body(&mut self) -> Option<Vec<u8>> {
        if !self.is_done() || !self.rewind() {
            return None;
        }
        let mut body = Vec::new();
        while !self.is_done() {
            let part = self.take().ok()??;
            part.pieces().for_each(|piece| body.extend_from_slice(piece));
        }
        Some(body)
    }

    /// Completes with an error when the client is gone, with true when it will send no more, with
    /// false when it has sent more already and cannot be watched.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Fault>>;

    /// The same, looked at now and in spite of what it has sent.
    fn hung_up(&self) -> Result<bool, Fault>;
}

/// The response of an exchange.
pub(crate) trait Response: Sink {
    /// Queues a final head, or a 101. Unless the request was taken `whole`, the connection is not
    /// used again.
    fn head(&mut self, head: &ResponseHead<'_>, exchange: &Exchange, whole: bool);

    /// Queues an interim head, if the client understands such.
    fn interim(&mut self, head: &ResponseHead<'_>);

    /// Queues the answer to a CONNECT whose endpoint was reached.
    fn established(&mut self);

    /// Takes back a head of which nothing was sent.
    fn discard(&mut self);
}
