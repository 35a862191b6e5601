//! HTTP/1.1 over a blocking socket for the demo's services and clients; the parsing is core's.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use ringway_core::message::{Blame, Fault, Framing, Method};
use ringway_core::wire::h1::chunked::{Decoder, Event};
use ringway_core::wire::h1::head::{self, FieldTable, Limits, Parsed};

/// One end of a connection with the bytes that have arrived and are not used yet.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What a service needs to know of a request.
pub(super) struct Request {
    /// A HEAD request gets no body.
    pub(super) head_only: bool,
    /// Another request may follow.
    pub(super) persistent: bool,
    framing: Framing,
    expect_continue: bool,
}

/// What a client needs to know of a response.
pub(super) struct Response {
    /// The status code.
    pub(super) status: u16,
    /// The value of [`INSTANCE`]; `None` when the proxy itself answered.
    pub(super) instance: Option<String>,
    /// The connection may be used again.
    pub(super) persistent: bool,
}

/// The field in which an instance states its name.
pub(super) const INSTANCE: &str = "x-instance";

impl Connection {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next request with its body thrown away; `None` when the peer closed before one began.
    pub(super) fn request(&mut self) -> io::Result<Option<Request>> {
        loop {
            if let Some((request, used)) = parse_request(&self.buffer)? {
                self.buffer.drain(..used);
                if request.expect_continue {
                    self.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                }
                self.skip(request.framing)?;
                return Ok(Some(request));
            }
            if self.fill()? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(cut()) };
            }
        }
    }

    /// The final response to a GET, with its body thrown away.
    pub(super) fn response(&mut self) -> io::Result<Response> {
        loop {
            if let Some((response, framing, used)) = parse_response(&self.buffer)? {
                self.buffer.drain(..used);
                if (100..200).contains(&response.status) {
                    continue;
                }
                self.skip(framing)?;
                return Ok(response);
            }
            if self.fill()? == 0 {
                return Err(cut());
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut part = [0; 4096];
        let read = self.stream.read(&mut part)?;
        self.buffer.extend_from_slice(&part[..read]);
        Ok(read)
    }

    fn skip(&mut self, framing: Framing) -> io::Result<()> {
        match framing {
            Framing::None => Ok(()),
            Framing::Length(length) => self.skip_length(length),
            Framing::Chunked => self.skip_chunked(),
            Framing::Close => {
                while self.fill()? > 0 {
                    self.buffer.clear();
                }
                Ok(())
            }
        }
    }

    fn skip_length(&mut self, mut length: u64) -> io::Result<()> {
        loop {
            let here = usize::try_from(length).unwrap_or(usize::MAX).min(self.buffer.len());
            self.buffer.drain(..here);
            length -= here as u64;
            if length == 0 {
                return Ok(());
            }
            if self.fill()? == 0 {
                return Err(cut());
            }
        }
    }

    fn skip_chunked(&mut self) -> io::Result<()> {
        let mut decoder = Decoder::new(Blame::Client);
        let mut trailers = Vec::new();
        loop {
            let (event, used) =
                decoder.next(&self.buffer, &mut trailers).map_err(|fault| malformed(&fault))?;
            self.buffer.drain(..used);
            match event {
                Event::End => return Ok(()),
                Event::Data { .. } => {}
                Event::NeedMore => {
                    if self.fill()? == 0 {
                        return Err(cut());
                    }
                }
            }
        }
    }
}

fn parse_request(bytes: &[u8]) -> io::Result<Option<(Request, usize)>> {
    let mut table = FieldTable::new();
    let parsed = head::request(bytes, &mut table, &Limits::default());
    let Parsed::Complete((head, used)) = parsed.map_err(|fault| malformed(&fault))? else {
        return Ok(None);
    };
    let request = Request {
        head_only: head.method == Method::Head,
        persistent: head.connection.persistent,
        framing: head.framing,
        expect_continue: head.expect_continue,
    };
    Ok(Some((request, used)))
}

fn parse_response(bytes: &[u8]) -> io::Result<Option<(Response, Framing, usize)>> {
    let mut table = FieldTable::new();
    let parsed = head::response(bytes, &mut table, &Limits::default(), Method::Get);
    let Parsed::Complete((head, used)) = parsed.map_err(|fault| malformed(&fault))? else {
        return Ok(None);
    };
    let instance = head.fields.iter().find(|f| f.name.eq_ignore_ascii_case(INSTANCE.as_bytes()));
    let response = Response {
        status: head.status,
        instance: instance.map(|f| String::from_utf8_lossy(f.value).into_owned()),
        persistent: head.connection.persistent && head.framing != Framing::Close,
    };
    Ok(Some((response, head.framing, used)))
}

fn cut() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

fn malformed(fault: &Fault) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault.cause.as_str())
}
