//! Frames (RFC 9113, 4): written one after the other into a buffer, read from whatever pieces they
//! arrive in. Bodies are handed on as they come; other frames are whole.

use crate::protocol::Malformed;

/// What a client's connection begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The largest frame that a peer may send, in bytes: we never ask for more than the default.
pub const FRAME: usize = 16 * 1024;

/// The window of a connection, and of a stream unless the settings say otherwise, in bytes.
pub const WINDOW: i64 = 65_535;

/// The windows that we open: so large that a peer never waits for one.
pub const OPEN: u32 = (1 << 30) - 1;

/// Bytes of a frame's header.
pub const HEAD: usize = 9;

/// The longest header block.
const BLOCK: usize = 256 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END: u8 = 0x1;
const ACK: u8 = 0x1;
const WHOLE: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// A frame's header.
#[derive(Clone, Copy, Debug)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Head {
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.length as u32).to_be_bytes()[1..]);
        out.extend_from_slice(&[self.kind, self.flags]);
        out.extend_from_slice(&self.stream.to_be_bytes());
    }

    fn read(bytes: [u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = bytes;
        Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
        }
    }

    const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Writes the header of a HEADERS frame; `end` when no body follows.
pub fn headers(out: &mut Vec<u8>, stream: u32, length: usize, end: bool) {
    let flags = WHOLE | if end { END } else { 0 };
    Head { length, kind: HEADERS, flags, stream }.write(out);
}

/// Writes the header of a DATA frame; `end` when nothing follows.
pub fn data(out: &mut Vec<u8>, stream: u32, length: usize, end: bool) {
    Head { length, kind: DATA, flags: if end { END } else { 0 }, stream }.write(out);
}

/// Writes our settings: no pushes, an open window for each stream; and opens the connection's.
pub fn settings(out: &mut Vec<u8>, streams: Option<u32>) {
    let mut values = vec![(2_u16, 0), (4, OPEN)];
    values.extend(streams.map(|streams| (3, streams)));
    Head { length: values.len() * 6, kind: SETTINGS, flags: 0, stream: 0 }.write(out);
    for (name, value) in values {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
    window(out, OPEN - WINDOW as u32);
}

/// Takes note of the peer's settings.
pub fn acknowledge(out: &mut Vec<u8>) {
    Head { length: 0, kind: SETTINGS, flags: ACK, stream: 0 }.write(out);
}

/// Answers a PING.
pub fn pong(out: &mut Vec<u8>, ping: &[u8]) {
    Head { length: ping.len(), kind: PING, flags: ACK, stream: 0 }.write(out);
    out.extend_from_slice(ping);
}

/// Opens the connection's window by so many bytes.
pub fn window(out: &mut Vec<u8>, by: u32) {
    Head { length: 4, kind: WINDOW_UPDATE, flags: 0, stream: 0 }.write(out);
    out.extend_from_slice(&by.to_be_bytes());
}

/// Gives a stream up (CANCEL).
pub fn cancel(out: &mut Vec<u8>, stream: u32) {
    Head { length: 4, kind: RESET, flags: 0, stream }.write(out);
    out.extend_from_slice(&8_u32.to_be_bytes());
}

/// What has arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A header block; `end` when nothing follows.
    Headers {
        /// Of this stream.
        stream: u32,
        /// Its bytes.
        block: &'a [u8],
        /// Whether the stream ends with it.
        end: bool,
    },
    /// A piece of a body.
    Data {
        /// Of this stream.
        stream: u32,
        /// Its bytes.
        bytes: &'a [u8],
        /// What it counts against windows.
        counts: usize,
        /// Whether the stream ends with it.
        end: bool,
    },
    /// The peer's settings: names of two bytes, values of four.
    Settings(&'a [u8]),
    /// A PING to be answered.
    Ping(&'a [u8]),
    /// More room for what we send: on a stream, or on the connection (0).
    Window {
        /// The stream.
        stream: u32,
        /// By so many bytes.
        by: u32,
    },
    /// The peer has given a stream up.
    Reset(u32),
    /// The peer takes no more streams; those up to this one it has.
    Goaway(u32),
}

/// Takes frames out of what arrives.
#[derive(Debug, Default)]
pub struct Reader {
    head: [u8; HEAD],
    /// Bytes of the header that are here.
    have: usize,
    current: Option<Head>,
    /// Bytes of the frame that are still to come.
    left: usize,
    /// A frame that did not arrive in one piece.
    held: Vec<u8>,
    used: bool,
    /// A header block that goes on in further frames, its stream, whether that ends.
    block: Option<(Vec<u8>, u32, bool)>,
}

const CUT: Malformed = Malformed("a frame that is too short");

impl Reader {
    /// The next thing in `bytes`, which are taken from the front; none when more has to come.
    pub fn next<'a, 'b: 'a>(
        &'a mut self,
        bytes: &mut &'b [u8],
    ) -> Result<Option<Event<'a>>, Malformed> {
        if std::mem::take(&mut self.used) {
            self.held.clear();
        }
        loop {
            let Some(head) = self.head(bytes)? else { return Ok(None) };
            if head.kind == DATA && !head.has(PADDED) {
                if bytes.is_empty() && self.left > 0 {
                    return Ok(None);
                }
                let piece = take(bytes, self.left);
                self.left -= piece.len();
                let over = self.left == 0;
                if over {
                    self.current = None;
                }
                let (stream, end) = (head.stream, over && head.has(END));
                return Ok(Some(Event::Data { stream, bytes: piece, counts: piece.len(), end }));
            }
            let whole = self.held.is_empty() && bytes.len() >= self.left;
            let piece = take(bytes, self.left);
            self.left -= piece.len();
            if !whole {
                self.held.extend_from_slice(piece);
                if self.left > 0 {
                    return Ok(None);
                }
                self.used = true;
            }
            self.current = None;
            if !matters(head) {
                self.drop_held();
                continue;
            }
            if head.kind == CONTINUATION || (head.kind == HEADERS && !head.has(WHOLE)) {
                let payload = if whole { piece } else { &self.held };
                if !gather(&mut self.block, head, payload)? {
                    self.drop_held();
                    continue;
                }
                self.used = true;
                let Some((block, stream, end)) = self.block.take() else { return Err(CUT) };
                self.held = block;
                return Ok(Some(Event::Headers { stream, block: &self.held, end }));
            }
            return event(head, if whole { piece } else { &self.held }).map(Some);
        }
    }

    fn drop_held(&mut self) {
        self.held.clear();
        self.used = false;
    }

    /// The header of the frame that bytes belong to.
    fn head(&mut self, bytes: &mut &[u8]) -> Result<Option<Head>, Malformed> {
        if self.current.is_none() {
            let piece = take(bytes, HEAD - self.have);
            self.head[self.have..self.have + piece.len()].copy_from_slice(piece);
            self.have += piece.len();
            if self.have < HEAD {
                return Ok(None);
            }
            let head = Head::read(self.head);
            if head.length > FRAME {
                return Err(Malformed("a frame of more than 16 KiB"));
            }
            (self.have, self.left, self.current) = (0, head.length, Some(head));
        }
        Ok(self.current)
    }
}

/// Whether it has to be looked at: not what acknowledges, nor what is unknown.
const fn matters(head: Head) -> bool {
    match head.kind {
        SETTINGS | PING => !head.has(ACK),
        DATA | HEADERS | RESET | PUSH | GOAWAY | WINDOW_UPDATE | CONTINUATION => true,
        _ => false,
    }
}

/// Adds to a header block of several frames; whether it is whole.
fn gather(
    block: &mut Option<(Vec<u8>, u32, bool)>,
    head: Head,
    payload: &[u8],
) -> Result<bool, Malformed> {
    if head.kind == HEADERS {
        *block = Some((unpadded(head, payload)?.to_vec(), head.stream, head.has(END)));
        return Ok(false);
    }
    let Some((bytes, ..)) = block.as_mut().filter(|(_, stream, _)| *stream == head.stream) else {
        return Err(Malformed("a CONTINUATION of nothing"));
    };
    bytes.extend_from_slice(payload);
    if bytes.len() > BLOCK {
        return Err(Malformed("a header block of more than 256 KiB"));
    }
    Ok(head.has(WHOLE))
}

fn event(head: Head, payload: &[u8]) -> Result<Event<'_>, Malformed> {
    let stream = head.stream;
    let number = |at: usize| {
        let bytes = payload.get(at..).and_then(<[u8]>::first_chunk).ok_or(CUT)?;
        Ok(u32::from_be_bytes(*bytes) & 0x7fff_ffff)
    };
    Ok(match head.kind {
        HEADERS => Event::Headers { stream, block: unpadded(head, payload)?, end: head.has(END) },
        DATA => Event::Data {
            stream,
            bytes: unpadded(head, payload)?,
            counts: payload.len(),
            end: head.has(END),
        },
        SETTINGS => Event::Settings(payload),
        PING => Event::Ping(payload),
        WINDOW_UPDATE => Event::Window { stream, by: number(0)? },
        RESET => Event::Reset(stream),
        GOAWAY => Event::Goaway(number(0)?),
        _ => return Err(Malformed("a push nobody asked for")),
    })
}

/// The payload of HEADERS or DATA without padding and priority.
fn unpadded(head: Head, mut payload: &[u8]) -> Result<&[u8], Malformed> {
    if head.has(PADDED) {
        let (&padding, rest) = payload.split_first().ok_or(CUT)?;
        payload = rest.len().checked_sub(padding.into()).map(|end| &rest[..end]).ok_or(CUT)?;
    }
    if head.kind == HEADERS && head.has(PRIORITY) {
        payload = payload.get(5..).ok_or(CUT)?;
    }
    Ok(payload)
}

/// Takes up to `most` bytes off the front.
fn take<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (front, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    front
}

#[cfg(test)]
mod tests;
