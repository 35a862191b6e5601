//! A strict reader of HTTP/1 requests, independent of the proxy's own: CRLF only, token names,
//! one framing, one Host, origin-form targets. What it refuses must never reach an upstream.

mod rules;

use rules::{chunk_size, field, framing};

use crate::text::{Fields, Pattern, is_token, latin1, value, values};

/// How far a request came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Still arriving.
    Partial,
    /// All of it is there.
    Complete,
    /// A strict recipient refuses it, for this reason.
    Bad(String),
    /// The connection ended before the request did.
    Cut(End),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer closed.
    Fin,
    /// The peer reset.
    Reset,
    /// This side closed.
    Us,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Order of arrival at this origin, over all its connections.
    pub sequence: usize,
    /// Which connection of the origin carried it, from 0.
    pub connection: usize,
    /// How far it came.
    pub state: State,
    /// The method.
    pub method: String,
    /// The request target.
    pub target: String,
    /// The version, `HTTP/1.1`.
    pub version: String,
    /// The head's fields.
    pub fields: Fields,
    /// The first [`KEEP`] bytes of the body.
    pub body: Vec<u8>,
    /// Bytes of the body so far.
    pub length: u64,
    /// Whether the body so far is [`Pattern`].
    pub patterned: bool,
    /// The trailer fields.
    pub trailers: Fields,
    /// The first [`KEEP`] bytes as they came.
    pub raw: Vec<u8>,
    /// Whether the head is complete.
    pub head_done: bool,
    /// Whether it has a body by its framing.
    pub framed: bool,
}

/// How many bytes of a body and of a message are kept.
pub const KEEP: usize = 64 << 10;

impl Recorded {
    /// All values of a field.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        values(&self.fields, name)
    }

    /// The only value of a field, or nothing.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        value(&self.fields, name)
    }

    /// Method, target and state, for messages.
    #[must_use]
    pub fn brief(&self) -> String {
        format!("{} {} ({:?})", self.method, crate::text::brief(&self.target, 60), self.state)
    }
}

/// What one call of [`Reader::next`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The head of the current request is complete.
    Head,
    /// The current request is complete, or refused.
    End,
    /// More bytes are needed.
    Nothing,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Start,
    Fields,
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    Dead,
}

/// The incremental reader of one connection.
pub struct Reader {
    connection: usize,
    pending: Vec<u8>,
    at: usize,
    phase: Phase,
    pattern: Pattern,
    /// Finished requests.
    pub done: Vec<Recorded>,
    /// The request under way.
    pub current: Option<Recorded>,
}

impl Reader {
    /// A reader for connection number `connection`.
    #[must_use]
    pub fn new(connection: usize) -> Self {
        Self {
            connection,
            pending: Vec::new(),
            at: 0,
            phase: Phase::Start,
            pattern: Pattern::default(),
            done: Vec::new(),
            current: None,
        }
    }

    /// Takes bytes in; call [`Reader::next`] until it finds nothing. `sequence` numbers a request
    /// that begins with these bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.pending.drain(..self.at);
        self.at = 0;
        self.pending.extend_from_slice(bytes);
    }

    /// Goes on to the next event.
    pub fn next(&mut self, sequence: &mut dyn FnMut() -> usize) -> Found {
        loop {
            if matches!(self.phase, Phase::Dead) {
                self.at = self.pending.len();
                return Found::Nothing;
            }
            if self.current.is_none() {
                if self.at == self.pending.len() {
                    return Found::Nothing;
                }
                self.current = Some(self.fresh(sequence()));
            }
            match self.step() {
                Ok(Some(Found::End)) => return self.finish(State::Complete),
                Ok(Some(found)) => return found,
                Ok(None) => {}
                Err(why) if why.is_empty() => return Found::Nothing,
                Err(why) => {
                    self.phase = Phase::Dead;
                    let rest = self.pending[self.at..].to_vec();
                    self.keep_raw(&rest);
                    return self.finish(State::Bad(why));
                }
            }
        }
    }

    /// Bytes after the last complete request that were not read yet.
    #[must_use]
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.pending.split_off(self.at);
        self.current = None;
        rest
    }

    /// The connection ended: a request under way is cut.
    pub fn end(&mut self, how: End) {
        if let Some(mut request) = self.current.take() {
            if request.state == State::Partial {
                request.state = State::Cut(how);
            }
            self.done.push(request);
        }
    }

    fn fresh(&self, sequence: usize) -> Recorded {
        Recorded {
            sequence,
            connection: self.connection,
            state: State::Partial,
            method: String::new(),
            target: String::new(),
            version: String::new(),
            fields: Vec::new(),
            body: Vec::new(),
            length: 0,
            patterned: true,
            trailers: Vec::new(),
            raw: Vec::new(),
            head_done: false,
            framed: false,
        }
    }

    fn finish(&mut self, state: State) -> Found {
        if let Some(mut request) = self.current.take() {
            request.state = state;
            self.done.push(request);
        }
        Found::End
    }

    /// `Err("")` means that more bytes are needed.
    fn step(&mut self) -> Result<Option<Found>, String> {
        match self.phase {
            Phase::Start => self.start_line().map(|()| None),
            Phase::Fields => self.field_line(),
            Phase::Length(0) => Ok(Some(self.whole())),
            Phase::Length(left) => {
                let taken = self.take_body(left)?;
                self.phase = Phase::Length(left - taken);
                Ok(None)
            }
            Phase::ChunkSize => {
                let line = self.line()?;
                self.phase = match chunk_size(&line)? {
                    0 => Phase::Trailers,
                    size => Phase::ChunkData(size),
                };
                Ok(None)
            }
            Phase::ChunkData(left) => {
                let taken = self.take_body(left)?;
                self.phase =
                    if left == taken { Phase::ChunkEnd } else { Phase::ChunkData(left - taken) };
                Ok(None)
            }
            Phase::ChunkEnd => match self.line()?.is_empty() {
                true => {
                    self.phase = Phase::ChunkSize;
                    Ok(None)
                }
                false => Err("no CRLF after chunk data".into()),
            },
            Phase::Trailers => {
                let line = self.line()?;
                if line.is_empty() {
                    return Ok(Some(self.whole()));
                }
                let field = field(&line)?;
                self.request().trailers.push(field);
                Ok(None)
            }
            Phase::Dead => Err(String::new()),
        }
    }

    fn whole(&mut self) -> Found {
        self.phase = Phase::Start;
        Found::End
    }

    fn request(&mut self) -> &mut Recorded {
        self.current.as_mut().expect("a request is under way")
    }

    fn keep_raw(&mut self, bytes: &[u8]) {
        let request = self.request();
        let room = KEEP.saturating_sub(request.raw.len());
        request.raw.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.pending[self.at..];
        let Some(end) = rest.iter().position(|&b| b == b'\n') else {
            return Err(if rest.len() > 1 << 20 { "endless line".into() } else { String::new() });
        };
        let line = rest[..=end].to_vec();
        self.at += end + 1;
        self.keep_raw(&line);
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err("bare LF".into());
        };
        if line.iter().any(|b| matches!(b, b'\r' | 0)) {
            return Err("bare CR or NUL".into());
        }
        Ok(latin1(line))
    }

    fn take_body(&mut self, left: u64) -> Result<u64, String> {
        let here = self.pending.len() - self.at;
        let n = here.min(usize::try_from(left).unwrap_or(usize::MAX));
        if n == 0 {
            return Err(String::new());
        }
        let part = self.pending[self.at..self.at + n].to_vec();
        self.at += n;
        self.keep_raw(&part);
        let length = self.request().length;
        let fits = self.pattern.matches(length, &part);
        let request = self.request();
        request.patterned &= fits;
        let room = KEEP.saturating_sub(request.body.len());
        request.body.extend_from_slice(&part[..n.min(room)]);
        request.length += n as u64;
        Ok(n as u64)
    }

    fn start_line(&mut self) -> Result<(), String> {
        let line = self.line()?;
        let parts: Vec<&str> = line.split(' ').collect();
        let [method, target, version] = parts[..] else {
            return Err(format!("request line {line:?}"));
        };
        if !is_token(method) || !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
            return Err(format!("request line {line:?}"));
        }
        let visible = target.chars().all(|c| c > ' ' && c != '\u{7f}' && c != '#');
        if !visible || !(target.starts_with('/') || (target == "*" && method == "OPTIONS")) {
            return Err(format!("target {target:?} is not in origin-form"));
        }
        let request = self.current.as_mut().expect("a request is under way");
        request.method = method.into();
        request.target = target.into();
        request.version = version.into();
        self.phase = Phase::Fields;
        Ok(())
    }

    fn field_line(&mut self) -> Result<Option<Found>, String> {
        let line = self.line()?;
        if !line.is_empty() {
            let field = field(&line)?;
            self.request().fields.push(field);
            return Ok(None);
        }
        let request = self.request();
        let phase = framing(request)?;
        request.head_done = true;
        request.framed = !matches!(phase, Phase::Length(0));
        self.phase = phase;
        Ok(Some(Found::Head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &str) -> Vec<State> {
        let mut reader = Reader::new(0);
        for piece in crate::text::bytes(bytes).chunks(3) {
            reader.feed(piece);
            while reader.next(&mut || 0) != Found::Nothing {}
        }
        reader.end(End::Fin);
        reader.done.into_iter().map(|r| r.state).collect()
    }

    #[test]
    fn takes_what_is_valid() {
        let two = "GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /x HTTP/1.1\r\nHost: a\r\n\
                   Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: 1\r\n\r\n";
        assert_eq!(read(two), [State::Complete, State::Complete]);
    }

    #[test]
    fn refuses_what_is_not() {
        for bad in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
        ] {
            assert!(matches!(read(bad)[..], [State::Bad(_), ..]), "{bad:?}: {:?}", read(bad));
        }
    }

    #[test]
    fn cut_is_not_complete() {
        assert_eq!(
            read("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell"),
            [State::Cut(End::Fin)]
        );
    }
}
