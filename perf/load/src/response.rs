//! Reads HTTP/1.1 responses piece by piece: heads by httparse, bodies by length, chunks or end.

use std::mem::MaybeUninit;

use crate::chunked::Decoder;
use crate::fnv::{Fnv, unhex};
use crate::protocol::{Finished, Malformed, Progress, Wants};

/// The longest head, in bytes.
const LONGEST: usize = 64 * 1024;

/// The most fields a head may have.
const FIELDS: usize = 96;

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    Fixed { left: u64 },
    Chunked(Decoder),
    UntilEnd,
}

/// A reader of one response after the other.
#[derive(Debug)]
pub struct Response {
    state: State,
    /// The beginning of a head that did not arrive in one piece.
    held: Vec<u8>,
    verify: bool,
    hash: Fnv,
    found: Finished,
}

impl Response {
    /// With `verify`, bodies are hashed and the fields that verification needs are kept.
    pub fn new(verify: bool) -> Self {
        let found = Finished::default();
        Self { state: State::Head, held: Vec::new(), verify, hash: Fnv::default(), found }
    }

    /// How the next bytes are best received: a body of known length that nobody looks at need
    /// not be copied.
    pub fn wants(&self) -> Wants {
        match self.state {
            State::Fixed { left } if !self.verify => Wants::Skip(left),
            State::Head if !self.verify => Wants::Head,
            _ => Wants::Body,
        }
    }

    /// `n` bytes of such a body were dropped.
    pub fn skipped(&mut self, n: u64) -> Progress {
        self.found.bytes += n;
        if let State::Fixed { left } = &mut self.state {
            *left = left.saturating_sub(n);
            if *left == 0 {
                return self.finish();
            }
        }
        Progress::Partial
    }

    /// Takes in `bytes`. They end with the response: one request at a time is under way, so
    /// whatever follows is an error.
    pub fn arrived(&mut self, bytes: &[u8]) -> Result<Progress, Malformed> {
        self.found.bytes += bytes.len() as u64;
        if !matches!(self.state, State::Head) {
            return self.body(bytes);
        }
        if self.held.is_empty() {
            return match self.head(bytes)? {
                Some(at) => self.body(&bytes[at..]),
                None => {
                    self.held.extend_from_slice(bytes);
                    Ok(Progress::Partial)
                }
            };
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        match self.head(&held)? {
            Some(at) => self.body(&held[at..]),
            None if held.len() > LONGEST => Err(Malformed("a head of more than 64 KiB")),
            None => {
                self.held = held;
                Ok(Progress::Partial)
            }
        }
    }

    /// The peer has ended: whole, if only that can end it.
    pub fn ended(&mut self) -> Option<Finished> {
        match (&self.state, self.found.status) {
            (State::UntilEnd, _) => match self.finish() {
                Progress::Whole(finished) => Some(finished),
                Progress::Partial => None,
            },
            _ => None,
        }
    }

    fn body(&mut self, bytes: &[u8]) -> Result<Progress, Malformed> {
        let (hash, length, verify) = (&mut self.hash, &mut self.found.seen.length, self.verify);
        let mut take = |data: &[u8]| {
            if verify {
                hash.add(data);
                *length += data.len() as u64;
            }
        };
        let (used, done) = match &mut self.state {
            State::Head => return self.head_again(bytes),
            State::Fixed { left } => {
                let n = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                take(&bytes[..n]);
                *left -= n as u64;
                (n, *left == 0)
            }
            State::Chunked(decoder) => {
                let used = decoder.feed(bytes, take).map_err(|_| Malformed("a bad chunk"))?;
                (used, decoder.is_done())
            }
            State::UntilEnd => {
                take(bytes);
                (bytes.len(), false)
            }
        };
        if used < bytes.len() {
            return Err(Malformed("bytes after the end of the response"));
        }
        Ok(if done { self.finish() } else { Progress::Partial })
    }

    /// An interim response has ended within `bytes`: what follows is a head again.
    fn head_again(&mut self, bytes: &[u8]) -> Result<Progress, Malformed> {
        if bytes.is_empty() {
            return Ok(Progress::Partial);
        }
        match self.head(bytes)? {
            Some(at) => self.body(&bytes[at..]),
            None => {
                self.held.extend_from_slice(bytes);
                Ok(Progress::Partial)
            }
        }
    }

    /// Reads a head at the front of `bytes`: where it ends, or nothing while it is incomplete.
    fn head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
        let mut head = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let read = config.parse_response_with_uninit_headers(&mut head, bytes, &mut fields);
        let at = match read {
            Ok(httparse::Status::Complete(at)) => at,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Malformed("a bad response head")),
        };
        let status = head.code.unwrap_or(0);
        if (100..200).contains(&status) {
            return match status {
                101 => Err(Malformed("a switch of protocols nobody asked for")),
                _ => Ok(Some(at)),
            };
        }
        self.found.status = status;
        self.found.reusable = head.version == Some(1);
        let framing = self.fields(head.headers)?;
        self.state = match framing {
            _ if status == 204 || status == 304 => State::Fixed { left: 0 },
            Framing { chunked: true, .. } => State::Chunked(Decoder::default()),
            Framing { length: Some(left), .. } => State::Fixed { left },
            Framing { .. } => State::UntilEnd,
        };
        Ok(Some(at))
    }

    fn fields(&mut self, fields: &[httparse::Header<'_>]) -> Result<Framing, Malformed> {
        let mut framing = Framing::default();
        let seen = &mut self.found.seen;
        for field in fields {
            let (name, value) = (field.name, field.value);
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
            match name.len() {
                14 if is("content-length") => {
                    let length = decimal(value).ok_or(Malformed("a bad content-length"))?;
                    if framing.length.is_some_and(|l| l != length) {
                        return Err(Malformed("two content-lengths that differ"));
                    }
                    framing.length = Some(length);
                }
                17 if is("transfer-encoding") => {
                    framing.chunked = last_token(value).eq_ignore_ascii_case(b"chunked");
                }
                10 if is("connection") => {
                    if tokens(value).any(|t| t.eq_ignore_ascii_case(b"close")) {
                        self.found.reusable = false;
                    } else if tokens(value).any(|t| t.eq_ignore_ascii_case(b"keep-alive")) {
                        self.found.reusable = true;
                    }
                }
                11..=15 if self.verify => match name {
                    _ if is("x-request-id") => seen.id = unhex(value),
                    _ if is("x-body-hash") => seen.body_hash = unhex(value),
                    _ if is("x-body-length") => seen.body_length = decimal(value),
                    _ if is("x-upload-hash") => seen.upload_hash = unhex(value),
                    _ if is("x-upload-length") => seen.upload_length = decimal(value),
                    _ => {}
                },
                _ => {}
            }
        }
        Ok(framing)
    }

    fn finish(&mut self) -> Progress {
        if matches!(self.state, State::UntilEnd) {
            self.found.reusable = false;
        }
        self.found.seen.hash = self.hash.value();
        self.hash = Fnv::default();
        self.state = State::Head;
        Progress::Whole(std::mem::take(&mut self.found))
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii)
}

fn last_token(value: &[u8]) -> &[u8] {
    tokens(value).last().unwrap_or_default()
}

/// Digits only, as content-length has to be.
pub fn decimal(value: &[u8]) -> Option<u64> {
    let value = value.trim_ascii();
    if value.is_empty() || value.len() > 18 {
        return None;
    }
    value.iter().try_fold(0, |n, &c| c.is_ascii_digit().then(|| n * 10 + u64::from(c - b'0')))
}

#[cfg(test)]
mod tests;
