//! Follows a chunked body (RFC 9112 7.1) over any partition of its bytes: says where the data is,
//! drops extensions and keeps the trailers that may be forwarded.

use super::names::is_tchar;
use super::trailers::Trailers;
use crate::message::{Blame, Cause, Fault, Stage};

/// Bytes that extensions and superfluous zeros may take beyond the data they come with. The
/// same as Go's limit; without one, chunks of one byte could carry kilobytes of noise.
const SPARE_BYTES: u32 = 16 * 1024;

/// What the front of the input was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// No data; all input was consumed.
    NeedMore,
    /// Body data: `len` bytes of the input from `start`, within what was consumed.
    Data {
        /// Index into the input.
        start: usize,
        /// Never 0.
        len: usize,
    },
    /// The message is complete; nothing after it was consumed.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    Start,
    Size,
    /// Blanks after the size: an extension has to follow.
    SizeBlank,
    /// After `;`.
    ExtensionStart,
    Extension,
    Quoted,
    Escaped,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
}

/// The place within one chunked body.
#[derive(Debug)]
pub struct Decoder {
    left: u64,
    spare: u32,
    state: State,
    blame: Blame,
    trailers: Trailers,
}

impl Decoder {
    /// At the start of a body. Faults are put on `blame`: the client for a request's body, the
    /// upstream for a response's.
    #[must_use]
    pub const fn new(blame: Blame) -> Self {
        Self { left: 0, spare: SPARE_BYTES, state: State::Start, blame, trailers: Trailers::new() }
    }

    /// Whether the end of the message was seen.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Consumes from the front of `input` up to the end of one piece of data: the event and the
    /// number of bytes consumed. Forwardable trailer lines, each with its CRLF, are appended to
    /// `trailers`, which stays untouched when there are none.
    ///
    /// # Errors
    /// `BadChunk` for a malformed size, extension, terminator or trailer and when extensions or
    /// trailers exceed 16 KiB. The decoder must not be used after that.
    #[inline]
    pub fn next(&mut self, input: &[u8], trailers: &mut Vec<u8>) -> Result<(Event, usize), Fault> {
        let mut at = 0;
        while at < input.len() {
            match self.state {
                State::Data => {
                    let room = input.len() - at;
                    let len = usize::try_from(self.left).map_or(room, |left| left.min(room));
                    self.left -= len as u64;
                    let earned = u32::try_from(len).unwrap_or(SPARE_BYTES);
                    self.spare = self.spare.saturating_add(earned).min(SPARE_BYTES);
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok((Event::Data { start: at, len }, at + len));
                }
                State::Trailers => {
                    let (used, done) =
                        self.trailers.take(&input[at..], trailers).ok_or_else(|| self.fault())?;
                    at += used;
                    if done {
                        self.state = State::Done;
                        return Ok((Event::End, at));
                    }
                }
                State::Done => return Ok((Event::End, at)),
                _ => {
                    self.state = self.step(input[at]).ok_or_else(|| self.fault())?;
                    at += 1;
                }
            }
        }
        Ok((if self.is_done() { Event::End } else { Event::NeedMore }, at))
    }

    /// One byte of a chunk's header or terminator; `None` if it cannot stand here.
    #[inline]
    fn step(&mut self, byte: u8) -> Option<State> {
        match (self.state, byte) {
            (State::Start | State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.digit(byte)
            }
            (State::Size, b'\r') => Some(State::SizeLf),
            (State::Size | State::SizeBlank, b' ' | b'\t') => self.spend(State::SizeBlank),
            (State::Size | State::SizeBlank, b';') => self.spend(State::ExtensionStart),
            (State::SizeLf, b'\n') if self.left == 0 => Some(State::Trailers),
            (State::SizeLf, b'\n') => Some(State::Data),
            (State::DataCr, b'\r') => Some(State::DataLf),
            (State::DataLf, b'\n') => Some(State::Start),
            (State::ExtensionStart, b' ' | b'\t') => self.spend(State::ExtensionStart),
            (State::ExtensionStart, b) if is_tchar(b) => self.spend(State::Extension),
            (State::Extension, b'\r') => Some(State::SizeLf),
            (State::Extension, b';') => self.spend(State::ExtensionStart),
            (State::Extension, b'"') => self.spend(State::Quoted),
            (State::Extension, b) if is_tchar(b) || matches!(b, b'=' | b' ' | b'\t') => {
                self.spend(State::Extension)
            }
            (State::Quoted, b'"') => self.spend(State::Extension),
            (State::Quoted, b'\\') => self.spend(State::Escaped),
            (State::Quoted | State::Escaped, b) if is_text(b) => self.spend(State::Quoted),
            _ => None,
        }
    }

    /// One more digit of the size. Sizes above 2^63 - 1 are refused: no body is that long, and
    /// signed counters behind us would wrap.
    fn digit(&mut self, byte: u8) -> Option<State> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            _ => (byte | 0x20) - b'a' + 10,
        };
        if self.state == State::Start {
            self.left = 0;
        } else if self.left == 0 {
            // A leading zero adds nothing.
            self.spend(State::Size)?;
        }
        if self.left >> 59 != 0 {
            return None;
        }
        self.left = self.left << 4 | u64::from(digit);
        Some(State::Size)
    }

    fn spend(&mut self, next: State) -> Option<State> {
        self.spare = self.spare.checked_sub(1)?;
        Some(next)
    }

    const fn fault(&self) -> Fault {
        let stage = match self.blame {
            Blame::Client => Stage::Body,
            Blame::Upstream | Blame::Us => Stage::Relay,
        };
        Fault { stage, blame: self.blame, cause: Cause::BadChunk }
    }
}

const fn is_text(b: u8) -> bool {
    b == b'\t' || (b >= b' ' && b != 0x7F)
}
