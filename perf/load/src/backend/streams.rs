//! A client's connection in HTTP/2: what `client` and `exchange` are for HTTP/1.1, for many
//! requests at once. No socket: bytes come in and go out.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::body::Bodies;
use super::client::Received;
use super::inbound::Id;
use super::path::Path;
use super::reply::Reply;
use crate::h2::frame::{self, Event, OPEN, PREFACE, Reader};
use crate::h2::hpack::Decoder;
use crate::h2::outflow::Outflow;
use crate::protocol::Malformed;

/// Streams that a client may have at once.
const STREAMS: u32 = 4_096;

/// Answers are written into the buffer up to here; the rest follows when that has left.
const AHEAD: usize = 256 * 1024;

/// A connection.
#[derive(Debug)]
pub struct Session {
    reader: Reader,
    /// Bytes of the client's greeting that are still to come.
    preface: usize,
    rest: Rest,
}

#[derive(Debug, Default)]
struct Rest {
    decoder: Decoder,
    /// What is to be sent, from `at` on.
    out: Vec<u8>,
    at: usize,
    outflow: Outflow,
    /// Requests that are not whole yet, or whose answer is due later.
    asking: Vec<(u32, Asked)>,
    /// Answers that wait for room.
    answering: VecDeque<(u32, i64, Reply)>,
    /// Bytes received since the window was opened again.
    taken: u32,
}

/// A request.
#[derive(Debug)]
pub struct Asked {
    /// What is asked for.
    pub path: Path,
    /// Its id, to be echoed.
    pub id: Option<Id>,
    /// Whether it is a call of gRPC.
    pub grpc: bool,
    /// Whether the response has no body (HEAD).
    pub headless: bool,
    /// What has come of its body.
    pub received: Received,
    /// The window for the answer.
    window: i64,
    due: Option<Instant>,
}

impl Session {
    /// A new connection, which begins with our settings.
    pub fn new() -> Self {
        let mut rest = Rest::default();
        frame::settings(&mut rest.out, Some(STREAMS));
        Self { reader: Reader::default(), preface: PREFACE.len(), rest }
    }

    /// Takes in `bytes`.
    pub fn arrived(&mut self, mut bytes: &[u8], bodies: &mut Bodies) -> Result<(), Malformed> {
        let greeting = self.preface.min(bytes.len());
        let from = PREFACE.len() - self.preface;
        if bytes[..greeting] != PREFACE[from..from + greeting] {
            return Err(Malformed("no preface"));
        }
        self.preface -= greeting;
        bytes = &bytes[greeting..];
        while let Some(event) = self.reader.next(&mut bytes)? {
            self.rest.event(event, bodies)?;
        }
        self.rest.go_on(bodies);
        Ok(())
    }

    /// When the next answer is due that was put off.
    pub fn due(&self) -> Option<Instant> {
        self.rest.asking.iter().filter_map(|(_, asked)| asked.due).min()
    }

    /// Answers what is due at `now`.
    pub fn pass(&mut self, now: Instant, bodies: &mut Bodies) {
        let rest = &mut self.rest;
        let is_due = |(_, asked): &(u32, Asked)| asked.due.is_some_and(|due| due <= now);
        while let Some(at) = rest.asking.iter().position(is_due) {
            let (stream, asked) = rest.asking.swap_remove(at);
            rest.answer(stream, &asked, bodies);
        }
        rest.go_on(bodies);
    }

    /// Has `send` send what there is, as long as it takes all of it.
    pub fn flush(
        &mut self,
        bodies: &Bodies,
        mut send: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let rest = &mut self.rest;
        while rest.at < rest.out.len() {
            let whole = rest.out.len() - rest.at;
            let n = send(&rest.out[rest.at..])?;
            rest.at += n;
            if n < whole {
                break;
            }
            rest.out.clear();
            rest.at = 0;
            rest.go_on(bodies);
        }
        Ok(())
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Rest {
    fn event(&mut self, event: Event<'_>, bodies: &mut Bodies) -> Result<(), Malformed> {
        match event {
            Event::Headers { stream, block, end } => self.headers(stream, block, end, bodies)?,
            Event::Data { stream, bytes, counts, end } => {
                self.taken += counts as u32;
                if self.taken >= OPEN / 2 {
                    frame::window(&mut self.out, self.taken);
                    self.taken = 0;
                }
                let Some(at) = self.asking.iter().position(|(known, _)| *known == stream) else {
                    return Ok(());
                };
                let asked = &mut self.asking[at].1;
                asked.received.length += bytes.len() as u64;
                if asked.id.is_some() || asked.path == Path::Echo {
                    asked.received.hash.add(bytes);
                }
                if end {
                    self.begin(at, bodies);
                }
            }
            Event::Settings(payload) => {
                let more = self.outflow.settings(payload)?;
                self.asking.iter_mut().for_each(|(_, asked)| asked.window += more);
                self.answering.iter_mut().for_each(|(_, window, _)| *window += more);
                frame::acknowledge(&mut self.out);
            }
            Event::Ping(payload) => frame::pong(&mut self.out, payload),
            Event::Window { stream: 0, by } => self.outflow.window += i64::from(by),
            Event::Window { stream, by } => {
                let asking =
                    self.asking.iter_mut().map(|(known, asked)| (known, &mut asked.window));
                let answering = self.answering.iter_mut().map(|(known, window, _)| (known, window));
                if let Some((_, window)) = asking.chain(answering).find(|(s, _)| **s == stream) {
                    *window += i64::from(by);
                }
            }
            Event::Reset(stream) => {
                self.asking.retain(|(known, _)| *known != stream);
                self.answering.retain(|(known, ..)| *known != stream);
            }
            Event::Goaway(_) => {}
        }
        Ok(())
    }

    fn headers(
        &mut self,
        stream: u32,
        block: &[u8],
        end: bool,
        bodies: &mut Bodies,
    ) -> Result<(), Malformed> {
        let (mut path, mut id, mut grpc, mut headless) = (Path::Unknown, None, false, false);
        let mut target = Vec::new();
        self.decoder.decode(block, true, |name, value| match name {
            b":path" => target.extend_from_slice(value),
            b":method" => headless = value == b"HEAD",
            b"content-type" => grpc = value.starts_with(b"application/grpc"),
            b"x-request-id" => id = Id::new(value),
            _ => {}
        })?;
        if let Some(at) = self.asking.iter().position(|(known, _)| *known == stream) {
            // Trailers.
            self.begin(at, bodies);
            return Ok(());
        }
        if !target.is_empty() {
            // A call's path has the name of a service before it.
            let from = target.iter().rposition(|&b| b == b'/').filter(|_| grpc).unwrap_or(0);
            path = Path::parse(&target[from..]);
        }
        let (received, window) = (Received::default(), self.outflow.initial);
        self.asking.push((stream, Asked { path, id, grpc, headless, received, window, due: None }));
        if end {
            self.begin(self.asking.len() - 1, bodies);
        }
        Ok(())
    }

    /// A request is whole: it is answered now, or when it is due.
    fn begin(&mut self, at: usize, bodies: &mut Bodies) {
        let asked = &mut self.asking[at].1;
        if let Path::Fixed { wait: wait @ 1.., .. } = asked.path {
            asked.due = Some(Instant::now() + Duration::from_millis(wait));
            return;
        }
        let (stream, asked) = self.asking.swap_remove(at);
        self.answer(stream, &asked, bodies);
    }

    fn answer(&mut self, stream: u32, asked: &Asked, bodies: &mut Bodies) {
        let reply = Reply::begin(stream, asked, bodies, &mut self.out);
        if !reply.is_done() {
            self.answering.push_back((stream, asked.window, reply));
        }
    }

    /// Writes as much of the answers as there is room for, each in turn.
    fn go_on(&mut self, bodies: &Bodies) {
        for _ in 0..self.answering.len() {
            if self.out.len() >= AHEAD {
                return;
            }
            let Some((stream, mut window, mut reply)) = self.answering.pop_front() else { return };
            while self.out.len() < AHEAD && !reply.is_done() {
                let n = self.outflow.fits(window, reply.left());
                if n == 0 {
                    break;
                }
                reply.write(stream, n, bodies, &mut self.out);
                window -= n as i64;
                self.outflow.window -= n as i64;
            }
            if !reply.is_done() {
                self.answering.push_back((stream, window, reply));
            }
        }
    }
}
