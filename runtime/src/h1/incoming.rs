//! Messages coming in over one socket: bytes are received into a pooled buffer, and the body is
//! handed on as slices of it. Between messages there is no buffer.

mod receive;

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ringway_core::message::{Blame, Cause, Fault, Framing, Stage};
use ringway_core::wire::h1::chunked::{Decoder, Event};

use crate::buffer::{Buffer, Buffers, LARGE, SMALL, Size};
use crate::pace::{Limit, Pace};
use crate::socket::Reader;
use crate::stream::{Part, Pieces, Source};

/// Chunks smaller than this are moved together, so that thousands of them do not become thousands
/// of system calls: that costs less than a slice each.
const SMALL_PIECE: usize = 128;
/// Reads that filled the whole buffer before a large one takes its place.
const FULL_READS: u8 = 2;
/// Reads without a wait before the other connections get their turn.
const BURST: u8 = 8;

/// The receiving side of a connection.
pub(crate) struct Incoming {
    reader: Reader,
    buffers: Buffers,
    /// Whose fault it is when the peer fails.
    peer: Blame,
    buffer: Option<Buffer>,
    /// The bytes of `buffer` that were received and not yet taken.
    start: usize,
    end: usize,
    /// A message head that is kept for another attempt: where it is, in `kept` once the body has
    /// moved on to another buffer, else in `buffer`.
    head: Option<(usize, usize)>,
    kept: Option<Buffer>,
    /// Small chunks were moved together, so what came cannot be taken a second time.
    moved: bool,
    framing: Framing,
    body: Body,
    trailers: Vec<u8>,
    full_reads: u8,
    burst: u8,
    /// All bytes ever received, for the TCP metrics.
    received: u64,
    pace: Option<(Rc<Pace>, Limit, Duration)>,
}

enum Body {
    Done,
    Length(u64),
    Chunked(Decoder),
    Close,
    /// Everything until the end of a tunnel.
    Tunnel,
    /// Nothing more comes, but the last part was not taken yet.
    Ended,
}

impl Body {
    fn new(framing: Framing, peer: Blame) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(n) => Self::Length(n),
            Framing::Chunked => Self::Chunked(Decoder::new(peer)),
            Framing::Close => Self::Close,
        }
    }
}

impl Incoming {
    pub(crate) const fn new(reader: Reader, buffers: Buffers, peer: Blame) -> Self {
        Self {
            reader,
            buffers,
            peer,
            buffer: None,
            start: 0,
            end: 0,
            head: None,
            kept: None,
            moved: false,
            framing: Framing::None,
            body: Body::Done,
            trailers: Vec::new(),
            full_reads: 0,
            burst: 0,
            received: 0,
            pace: None,
        }
    }

    /// From now on, waiting for the peer's body counts against `limit`.
    pub(crate) fn under(&mut self, pace: &Rc<Pace>, limit: Limit, span: Duration) {
        self.pace = Some((Rc::clone(pace), limit, span));
    }

    /// What was received and not yet taken.
    pub(crate) fn unread(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], |b| &b[self.start..self.end])
    }

    /// The reader, with what it has read and nobody has taken.
    pub(crate) fn into_reader(mut self) -> (Reader, Vec<u8>) {
        let _ = self.take_fetched();
        let unread = self.unread().to_vec();
        (self.reader, unread)
    }

    /// All bytes received since the connection began.
    pub(crate) const fn received(&self) -> u64 {
        self.received
    }

    /// Lets the others have a turn before the next read.
    pub(crate) fn yield_next(&mut self) {
        self.reader.expect_nothing();
    }

    /// Forgets the head, and gives the buffers back unless something unread is in them.
    pub(crate) fn release(&mut self) {
        self.head = None;
        self.kept = None;
        if self.start == self.end {
            self.buffer = None;
            (self.start, self.end) = (0, 0);
        }
        self.trailers = Vec::new();
        self.full_reads = 0;
        self.burst = 0;
    }

    /// Forgets everything that is left.
    pub(crate) fn discard(&mut self) {
        self.start = self.end;
        self.release();
    }

    /// Takes a head of `length` bytes: what follows is a body of that framing.
    pub(crate) fn begin(&mut self, length: usize, framing: Framing, keep_head: bool) {
        self.moved = false;
        self.head = keep_head.then_some((self.start, self.start + length));
        self.start += length;
        self.framing = framing;
        self.body = Body::new(framing, self.peer);
        self.trailers.clear();
    }

    /// The head that was kept.
    pub(crate) fn head(&self) -> &[u8] {
        match (self.head, self.kept.as_ref().or(self.buffer.as_ref())) {
            (Some((start, end)), Some(buffer)) => &buffer[start..end],
            _ => &[],
        }
    }

    /// Goes back to the beginning of the body, if all of it that was taken is still here.
    pub(crate) fn rewind(&mut self) -> bool {
        let Some((_, end)) = self.head else { return false };
        if self.kept.is_some() || self.moved {
            return false;
        }
        self.start = end;
        self.body = Body::new(self.framing, self.peer);
        self.trailers.clear();
        true
    }

    /// Whether [`Self::rewind`] would succeed.
    pub(crate) const fn can_rewind(&self) -> bool {
        self.head.is_some() && self.kept.is_none() && !self.moved
    }

    /// Completes with an error when the peer is gone; with true when it has ended its sending
    /// direction but may still read; with false when it has sent more, behind which neither would
    /// be seen: see [`Self::hung_up`].
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Fault>> {
        if self.start < self.end {
            return Poll::Ready(Ok(false));
        }
        loop {
            std::task::ready!(self.reader.poll_readable(cx));
            match self.reader.peek() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(self.fault(&error))),
                Ok(n) => {
                    self.reader.expect_data();
                    return Poll::Ready(Ok(n == 0));
                }
            }
        }
    }

    /// Like [`Self::poll_gone`], now and in spite of what is still to be read.
    pub(crate) fn hung_up(&self) -> Result<bool, Fault> {
        match self.reader.hung_up() {
            None => Ok(false),
            Some(Ok(())) => Ok(true),
            Some(Err(error)) => Err(self.fault(&error)),
        }
    }

    /// Waits until the peer is gone; that it has ended its sending direction is not that.
    pub(crate) async fn lost(&self) -> Fault {
        poll_fn(|cx| self.reader.poll_broken(cx)).await;
        self.broken(Cause::Reset)
    }

    fn fault(&self, error: &io::Error) -> Fault {
        let cause = match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Cause::Reset,
            io::ErrorKind::UnexpectedEof => Cause::Closed,
            io::ErrorKind::TimedOut => Cause::IdleTimeout,
            _ => Cause::Unreachable,
        };
        self.broken(cause)
    }

    /// A fault of the peer while its message was being received.
    pub(crate) const fn broken(&self, cause: Cause) -> Fault {
        let stage = match (self.peer, self.head) {
            (Blame::Client, None) => Stage::Head,
            (Blame::Client, Some(_)) => Stage::Body,
            _ => Stage::Relay,
        };
        Fault { stage, blame: self.peer, cause }
    }

    /// How large a buffer is to begin with. Endpoints send more than clients ask.
    const fn size(&self) -> Size {
        match self.peer {
            Blame::Client => Size::Small,
            _ => Size::Medium,
        }
    }

    fn page(&self) -> Buffer {
        self.buffers.of(self.size())
    }

    /// Sees to it that there is room for more of the body, without touching a head that is kept.
    fn turn_page(&mut self) {
        let size = self.buffer.as_ref().map_or(0, |b| b.len());
        let head_is_here = self.head.is_some() && self.kept.is_none();
        let unread = self.end - self.start;
        if self.end < size && (head_is_here || unread > 0) {
            return;
        }
        let grow = (1..LARGE).contains(&size) && self.full_reads >= FULL_READS;
        if size > 0 && !head_is_here && !grow && unread < size {
            if let Some(buffer) = &mut self.buffer {
                buffer.copy_within(self.start..self.end, 0);
            }
        } else {
            let large = grow || unread >= SMALL;
            let mut next = if large { self.buffers.large() } else { self.page() };
            // What is left is the beginning of a chunk's header: a few bytes.
            next[..unread].copy_from_slice(self.unread());
            let last = self.buffer.replace(next);
            if head_is_here {
                self.kept = last;
            }
        }
        (self.start, self.end) = (0, unread);
    }

    /// Decodes the chunks that are here.
    fn take_chunks(&mut self) -> Result<Pieces, Fault> {
        let mut pieces = Pieces::default();
        let Body::Chunked(decoder) = &mut self.body else { return Ok(pieces) };
        let buffer: &mut [u8] = self.buffer.as_deref_mut().unwrap_or(&mut []);
        while !pieces.is_full() {
            let input = &buffer[self.start..self.end];
            let (event, used) = decoder.next(input, &mut self.trailers)?;
            let at = self.start;
            self.start += used;
            match event {
                Event::Data { start, len } if len < SMALL_PIECE && !pieces.is_empty() => {
                    let to = pieces.grow(len);
                    buffer.copy_within(at + start..at + start + len, to);
                    self.moved = true;
                }
                Event::Data { start, len } => pieces.push(at + start, len),
                Event::NeedMore => break,
                Event::End => {
                    self.body = Body::Done;
                    break;
                }
            }
        }
        Ok(pieces)
    }
}

impl Source for Incoming {
    fn take(&mut self) -> Result<Option<Part<'_>>, Fault> {
        let mut pieces = Pieces::default();
        let unread = self.end - self.start;
        match &mut self.body {
            Body::Done => {}
            Body::Ended => self.body = Body::Done,
            Body::Length(left) => {
                let length = usize::try_from(*left).map_or(unread, |left| left.min(unread));
                if length == 0 {
                    return Ok(None);
                }
                pieces.push(self.start, length);
                self.start += length;
                *left -= length as u64;
                if *left == 0 {
                    self.body = Body::Done;
                }
            }
            Body::Close | Body::Tunnel => {
                if unread == 0 {
                    return Ok(None);
                }
                pieces.push(self.start, unread);
                self.start = self.end;
            }
            Body::Chunked(_) => {
                pieces = self.take_chunks()?;
                if pieces.is_empty() && !self.is_done() {
                    return Ok(None);
                }
            }
        }
        let last = self.is_done();
        let trailers: &[u8] = if last { &self.trailers } else { &[] };
        let buffer = self.buffer.as_deref().unwrap_or(&[]);
        Ok(Some(Part { buffer, pieces, last, trailers }))
    }

    async fn more(&mut self) -> Result<(), Fault> {
        self.burst += 1;
        if self.burst > BURST {
            // One busy stream must not keep the others waiting: go round the loop once.
            self.burst = 0;
            self.reader.expect_nothing();
        }
        if matches!(self.body, Body::Tunnel) {
            if self.read_tunnel().await? == 0 {
                self.body = Body::Ended;
            }
            return Ok(());
        }
        if let Some((pace, limit, span)) = &self.pace {
            pace.within(*limit, *span, self.broken(Cause::IdleTimeout));
        }
        self.turn_page();
        let read = self.read_on().await;
        if let Some((pace, limit, _)) = &self.pace {
            pace.clear(*limit);
        }
        let n = read?;
        if n == 0 {
            if !matches!(self.body, Body::Close) {
                return Err(self.broken(Cause::Closed));
            }
            self.body = Body::Ended;
        }
        let full = self.buffer.as_ref().is_some_and(|b| self.end == b.len());
        self.full_reads = if full { self.full_reads.saturating_add(1) } else { 0 };
        Ok(())
    }

    fn is_done(&self) -> bool {
        matches!(self.body, Body::Done)
    }

    fn open_tunnel(&mut self) {
        self.head = None;
        self.kept = None;
        self.body = Body::Tunnel;
        self.trailers.clear();
    }
}
