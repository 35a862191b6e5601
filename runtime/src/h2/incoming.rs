//! A body coming in over a stream: each DATA frame is a part, and its room in the windows is given
//! back when its bytes have left on the other side. The beginning of a request's body is held, so
//! that it can be sent again.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use ringway_core::message::{Blame, Cause, Fault, Stage};
use ringway_core::wire::h2::trailers;

use super::fault::fault;
use super::head::fields;
use super::held::Held;
use crate::pace::{Limit, Pace};
use crate::stream::{Part, Pieces, Source};

/// The receiving side of a stream.
pub(crate) struct Incoming {
    stream: RecvStream,
    /// Whose fault it is when the peer fails.
    peer: Blame,
    /// What was received and not yet taken.
    next: Option<Bytes>,
    /// What was taken last, and how much room in the windows is to be given back for it.
    current: Bytes,
    owed: usize,
    held: Held,
    /// There is no body, nor trailers.
    bare: bool,
    trailers: Vec<u8>,
    /// Nothing more comes.
    ended: bool,
    done: bool,
    pace: Option<(Rc<Pace>, Limit, Duration)>,
}

impl Incoming {
    pub(crate) fn new(stream: RecvStream, peer: Blame) -> Self {
        let ended = stream.is_end_stream();
        let mut held = Held::default();
        if peer == Blame::Upstream {
            // Responses are never sent again.
            held.forget();
        }
        Self {
            stream,
            peer,
            next: None,
            current: Bytes::new(),
            owed: 0,
            held,
            bare: ended,
            trailers: Vec::new(),
            ended,
            done: ended,
            pace: None,
        }
    }

    /// From now on, waiting for the peer's body counts against `limit`.
    pub(crate) fn under(&mut self, pace: &Rc<Pace>, limit: Limit, span: Duration) {
        self.pace = Some((Rc::clone(pace), limit, span));
    }

    /// Whether [`Self::rewind`] would succeed.
    pub(crate) const fn can_rewind(&self) -> bool {
        self.held.is_whole()
    }

    /// Goes back to the beginning of the body, if all of it that was taken is still here.
    pub(crate) fn rewind(&mut self) -> bool {
        if self.held.is_whole() {
            self.held.rewind();
            self.done = self.bare;
        }
        self.held.is_whole()
    }

    /// What was taken has left.
    fn give_back(&mut self) {
        self.current = Bytes::new();
        let length = std::mem::take(&mut self.owed);
        if length > 0 {
            // Fails only when the stream is gone, and its windows with it.
            let _ = self.stream.flow_control().release_capacity(length);
        }
    }

    /// Takes all that comes and forgets it; ready at the end, be it a good one or not.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.done {
            self.give_back();
            if std::task::ready!(self.poll_next(cx)).is_err() {
                break;
            }
            self.owed = self.next.take().map_or(0, |come| come.len());
            self.done = self.ended;
        }
        self.give_back();
        Poll::Ready(())
    }

    /// Looks for the next frame of the body.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if self.held.has_next() || self.next.is_some() || self.ended {
            return Poll::Ready(Ok(()));
        }
        match std::task::ready!(self.stream.poll_data(cx)) {
            Some(Ok(bytes)) => {
                self.next = Some(bytes);
                self.ended = self.stream.is_end_stream();
                Poll::Ready(Ok(()))
            }
            Some(Err(error)) => Poll::Ready(Err(self.fault(&error))),
            None => self.poll_trailers(cx),
        }
    }

    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        match std::task::ready!(self.stream.poll_trailers(cx)) {
            Ok(None) => {}
            Ok(Some(map)) => trailers::read(fields(&map), &mut self.trailers)
                .map_err(|cause| self.broken(cause))?,
            Err(error) => return Poll::Ready(Err(self.fault(&error))),
        }
        self.ended = true;
        Poll::Ready(Ok(()))
    }

    fn fault(&self, error: &h2::Error) -> Fault {
        fault(error, self.broken(Cause::Closed).stage, self.peer)
    }

    const fn broken(&self, cause: Cause) -> Fault {
        let stage = if matches!(self.peer, Blame::Client) { Stage::Body } else { Stage::Relay };
        Fault { stage, blame: self.peer, cause }
    }
}

impl Source for Incoming {
    fn take(&mut self) -> Result<Option<Part<'_>>, Fault> {
        self.give_back();
        // Who waits for it, if it is not here, is told by `more`.
        let mut nobody = Context::from_waker(Waker::noop());
        match self.poll_next(&mut nobody) {
            Poll::Pending => return Ok(None),
            Poll::Ready(looked) => looked?,
        }
        self.current = match self.held.next() {
            Some(again) => again,
            None => {
                let come = self.next.take().unwrap_or_default();
                self.owed = come.len();
                self.held.keep(&come);
                come
            }
        };
        self.done = self.ended && self.next.is_none() && !self.held.has_next();
        let mut pieces = Pieces::default();
        if !self.current.is_empty() {
            pieces.push(0, self.current.len());
        }
        Ok(Some(Part {
            buffer: &self.current,
            pieces,
            last: self.done,
            trailers: if self.done { &self.trailers } else { &[] },
        }))
    }

    async fn more(&mut self) -> Result<(), Fault> {
        self.give_back();
        if let Some((pace, limit, span)) = &self.pace {
            pace.within(*limit, *span, self.broken(Cause::IdleTimeout));
        }
        let come = poll_fn(|cx| self.poll_next(cx)).await;
        if let Some((pace, limit, _)) = &self.pace {
            pace.clear(*limit);
        }
        come
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn open_tunnel(&mut self) {
        self.held.forget();
        self.pace = None;
    }
}
