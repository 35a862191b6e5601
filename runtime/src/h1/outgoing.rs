//! Messages going out over one socket: a head is queued and leaves in one call with the first
//! part of its body; body bytes are sent from the buffer they were received into.

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::Duration;

use ringway_core::message::{Blame, Cause, Fault, Framing, Stage};
use ringway_core::wire::h1::encode::chunk_size;

use crate::buffer::Buffers;
use crate::pace::{Limit, Pace};
use crate::sends;
use crate::socket::Writer;
use crate::stream::{PIECES, Part, Sink, Upload};

/// Pieces of a part, and around them: queued head, chunk size, CRLF with the last chunk, trailers,
/// final CRLF.
const SLICES: usize = PIECES + 5;

/// What is longer is sent at once: it would be out of the cache when everybody else had been read.
const BRIEF: usize = 16 * 1024;

/// The sending side of a connection.
pub(crate) struct Outgoing {
    writer: Writer,
    buffers: Buffers,
    /// Whose fault it is when the peer fails.
    peer: Blame,
    queued: Vec<u8>,
    framing: Framing,
    trailers: bool,
    /// Whether the peer was given any byte of the current message.
    started: bool,
    /// All bytes ever sent, for the TCP metrics.
    sent: u64,
    pace: Option<(Rc<Pace>, Limit, Duration)>,
}

impl Outgoing {
    pub(crate) const fn new(writer: Writer, buffers: Buffers, peer: Blame) -> Self {
        Self {
            writer,
            buffers,
            peer,
            queued: Vec::new(),
            framing: Framing::None,
            trailers: true,
            started: false,
            sent: 0,
            pace: None,
        }
    }

    /// From now on, waiting for room counts against `limit`.
    pub(crate) fn under(&mut self, pace: &Rc<Pace>, limit: Limit, span: Duration) {
        self.pace = Some((Rc::clone(pace), limit, span));
    }

    /// No limit any more.
    pub(crate) fn free(&mut self) {
        self.pace = None;
    }

    /// No limit and no memory: the connection goes idle.
    pub(crate) fn release(&mut self) {
        self.free();
        self.give_back();
    }

    /// Begins a message: `write` appends its head, to be sent with the first part of the body.
    pub(crate) fn queue_head(&mut self, framing: Framing, write: impl FnOnce(&mut Vec<u8>)) {
        if self.queued.capacity() == 0 {
            self.queued = self.buffers.scratch();
        }
        self.framing = framing;
        self.started = false;
        write(&mut self.queued);
    }

    /// Whether the peer is sent trailers; they are left out otherwise (RFC 9110 6.5.1).
    pub(crate) const fn trailers(&mut self, wanted: bool) {
        self.trailers = wanted;
    }

    /// Whether any byte of the current message has left.
    pub(crate) const fn started(&self) -> bool {
        self.started
    }

    /// Whether the peer was given only the beginning of what is queued.
    pub(crate) const fn is_torn(&self) -> bool {
        self.started && !self.queued.is_empty()
    }

    /// All bytes sent since the connection began.
    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Drops what is queued and not yet sent.
    pub(crate) fn discard(&mut self) {
        self.queued.clear();
    }

    /// Gives the socket's half up.
    pub(crate) fn into_writer(self) -> Writer {
        self.writer.share()
    }

    /// The socket's half, for the end.
    pub(crate) const fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    fn give_back(&mut self) {
        if self.queued.capacity() > 0 {
            self.buffers.put_back(std::mem::take(&mut self.queued));
        }
    }

    fn fault(&self, error: &io::Error) -> Fault {
        let cause = match error.kind() {
            io::ErrorKind::BrokenPipe => Cause::Closed,
            io::ErrorKind::ConnectionReset => Cause::Reset,
            io::ErrorKind::TimedOut => Cause::IdleTimeout,
            _ => Cause::Unreachable,
        };
        let stage = if self.peer == Blame::Client { Stage::Relay } else { Stage::Send };
        Fault { stage, blame: self.peer, cause }
    }

    /// What a chunk begins with; nothing when `part` is no chunk.
    fn chunk_head(&self, part: Option<&Part<'_>>, room: &mut [u8; 18]) -> usize {
        match part.map(Part::len) {
            Some(length) if length > 0 && self.framing == Framing::Chunked => {
                chunk_size(length, room)
            }
            _ => 0,
        }
    }

    /// The queued bytes and `part`, with its chunk's head, as slices; and how many there are.
    fn gather<'a>(
        &'a self,
        part: Option<&'a Part<'_>>,
        chunk: &'a [u8],
    ) -> ([IoSlice<'a>; SLICES], usize) {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        let mut add = |bytes: &'a [u8]| {
            if !bytes.is_empty() {
                slices[count] = IoSlice::new(bytes);
                count += 1;
            }
        };
        add(&self.queued);
        if let Some(part) = part {
            add(chunk);
            part.pieces().for_each(&mut add);
            if self.framing == Framing::Chunked {
                match (part.len() > 0, part.last) {
                    (true, true) => add(b"\r\n0\r\n"),
                    (true, false) => add(b"\r\n"),
                    (false, true) => add(b"0\r\n"),
                    (false, false) => {}
                }
                if part.last {
                    if self.trailers {
                        add(part.trailers);
                    }
                    add(b"\r\n");
                }
            }
        }
        (slices, count)
    }

    /// Sends all that now, except for the first `skip` bytes. Returns how much it was, and is.
    fn try_send(
        &self,
        part: Option<&Part<'_>>,
        chunk: &[u8],
        skip: usize,
    ) -> io::Result<(usize, usize)> {
        let (mut slices, count) = self.gather(part, chunk);
        let mut rest = &mut slices[..count];
        let total = rest.iter().map(|slice| slice.len()).sum();
        IoSlice::advance_slices(&mut rest, skip);
        if rest.is_empty() {
            return Ok((0, total));
        }
        self.writer.try_write(rest).map(|n| (n, total))
    }

    /// Sends it in the second half of the worker's turn, if it is brief.
    async fn send_in_turn(
        &self,
        part: Option<&Part<'_>>,
        chunk: &[u8],
    ) -> io::Result<(usize, usize)> {
        let (sending, total) = {
            let (slices, count) = self.gather(part, chunk);
            let all = &slices[..count];
            let total = all.iter().map(|slice| slice.len()).sum::<usize>();
            if total == 0 {
                return Ok((0, 0));
            }
            if total > BRIEF || count > sends::PARTS {
                return self.writer.try_write(all).map(|n| (n, total));
            }
            (self.writer.queue(all), total)
        };
        sending.await.map(|n| (n, total))
    }

    async fn send(&mut self, part: Option<&Part<'_>>) -> Result<(), Fault> {
        let mut room = [0_u8; 18];
        let digits = self.chunk_head(part, &mut room);
        let chunk = &room[..digits];
        let mut done = 0;
        let mut tried = self.send_in_turn(part, chunk).await;
        loop {
            match tried {
                Ok((n, total)) => {
                    done += n;
                    self.started |= n > 0;
                    self.sent += n as u64;
                    if done == total {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_for_room().await;
                }
                Err(error) => return Err(self.fault(&error)),
            }
            tried = self.try_send(part, chunk, done);
        }
        // The next head, whosever it is, is written where this one still is in the cache.
        self.give_back();
        Ok(())
    }

    async fn wait_for_room(&mut self) {
        if let Some((pace, limit, span)) = &self.pace {
            let fault = Fault { stage: Stage::Relay, blame: self.peer, cause: Cause::IdleTimeout };
            pace.within(*limit, *span, fault);
        }
        self.writer.writable().await;
        if let Some((pace, limit, _)) = &self.pace {
            pace.clear(*limit);
        }
    }
}

impl Sink for Outgoing {
    async fn put(&mut self, part: &Part<'_>) -> Result<(), Fault> {
        self.send(Some(part)).await
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        if self.queued.is_empty() { Ok(()) } else { self.send(None).await }
    }

    fn open_tunnel(&mut self) {
        self.free();
        self.framing = Framing::Close;
    }

    fn end_tunnel(&mut self) {
        self.writer.shutdown();
    }
}

impl Upload for Outgoing {
    fn has_started(&self) -> bool {
        self.started
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.give_back();
    }
}
