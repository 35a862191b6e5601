//! Messages going out over one socket: a head is queued and leaves in one call with the first
//! part of its body; body bytes are sent from the buffer they were received into.

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::Duration;

use ringway_core::message::{Blame, Cause, Fault, Framing, Stage};
use ringway_core::wire::h1::encode::chunk_size;

use crate::buffer::Buffers;
use crate::pace::{Limit, Pace};
use crate::socket::Writer;
use crate::stream::{PIECES, Part, Sink, Upload};

/// Pieces of a part, and around them: queued head, chunk size, CRLF with the last chunk, trailers,
/// final CRLF.
const SLICES: usize = PIECES + 5;

/// What is longer is sent at once: it would be out of the cache when everybody else had been read.
const BRIEF: u64 = 16 * 1024;

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

    /// Sends the queued bytes and `part`, except for the first `skip` bytes of all that.
    fn try_send(&self, part: Option<&Part<'_>>, skip: usize) -> io::Result<(usize, usize)> {
        let mut size = [0_u8; 18];
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        let mut total = 0;
        let mut add = |bytes| {
            let bytes: &[u8] = bytes;
            if !bytes.is_empty() {
                slices[count] = IoSlice::new(bytes);
                count += 1;
                total += bytes.len();
            }
        };
        add(&self.queued);
        if let Some(part) = part {
            let chunked = self.framing == Framing::Chunked;
            let length = part.len();
            let digits = if chunked && length > 0 { chunk_size(length, &mut size) } else { 0 };
            add(&size[..digits]);
            part.pieces().for_each(&mut add);
            if chunked {
                match (length > 0, part.last) {
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
        let mut rest = &mut slices[..count];
        IoSlice::advance_slices(&mut rest, skip);
        if rest.is_empty() {
            return Ok((0, total));
        }
        self.writer.try_write(rest).map(|n| (n, total))
    }

    async fn send(&mut self, part: Option<&Part<'_>>) -> Result<(), Fault> {
        let mut done = 0;
        if part.is_none_or(|part| part.len() <= BRIEF) {
            self.writer.second_half().await;
        }
        loop {
            match self.try_send(part, done) {
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
