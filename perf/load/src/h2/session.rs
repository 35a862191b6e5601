//! A client's connection: streams are begun in places, and end with what was answered. No socket
//! and no clock: bytes come in and go out.

use std::collections::VecDeque;

use super::frame::{self, Event, OPEN, PREFACE, Reader};
use super::hpack::{self, Decoder};
use super::message::Form;
use super::outflow::Outflow;
use crate::fnv::{Fnv, unhex};
use crate::protocol::{Finished, Malformed};
use crate::request::Book;
use crate::response::decimal;

/// Bodies are written into the buffer up to here; the rest follows when that has left.
const AHEAD: usize = 256 * 1024;

/// A place without a stream.
const NOBODY: usize = usize::MAX;

/// How a stream has ended.
pub type Ending = Option<Finished>;

/// A connection.
#[derive(Debug)]
pub struct Session {
    reader: Reader,
    rest: Rest,
}

#[derive(Debug)]
struct Rest {
    decoder: Decoder,
    verify: bool,
    grpc: bool,
    /// What is to be sent, from `at` on.
    out: Vec<u8>,
    at: usize,
    places: Vec<Place>,
    /// The places of streams from `oldest` on, two numbers apart.
    streams: VecDeque<usize>,
    oldest: u32,
    active: usize,
    outflow: Outflow,
    settled: bool,
    /// A request has filled the server's table.
    filled: bool,
    leaving: bool,
    /// Bytes received since the window was opened again.
    taken: u32,
    /// Places whose upload waits for room.
    uploads: VecDeque<usize>,
    /// Places whose streams have ended.
    ended: Vec<(usize, Ending)>,
}

/// What is known of one stream.
#[derive(Clone, Debug, Default)]
struct Place {
    stream: u32,
    index: usize,
    window: i64,
    /// The upload's length, and how much of it was written.
    length: usize,
    sent: usize,
    found: Finished,
    hash: Fnv,
    /// `grpc-status`, if there was one.
    grpc: Option<u64>,
}

impl Session {
    /// A new connection for as many streams at once as there are `places`.
    pub fn new(places: usize, verify: bool, grpc: bool) -> Self {
        let mut out = PREFACE.to_vec();
        frame::settings(&mut out, None);
        let rest = Rest {
            decoder: Decoder::default(),
            verify,
            grpc,
            out,
            at: 0,
            places: vec![Place::default(); places],
            streams: VecDeque::with_capacity(places),
            oldest: 1,
            active: 0,
            outflow: Outflow::default(),
            settled: false,
            filled: false,
            leaving: false,
            taken: 0,
            uploads: VecDeque::new(),
            ended: Vec::new(),
        };
        Self { reader: Reader::default(), rest }
    }

    /// Whether the server has said what it allows.
    pub const fn is_settled(&self) -> bool {
        self.rest.settled
    }

    /// How many streams it allows.
    pub const fn allowed(&self) -> usize {
        self.rest.outflow.streams
    }

    /// Whether a stream may be begun now.
    pub fn has_room(&self) -> bool {
        self.rest.settled && !self.rest.leaving && self.rest.active < self.rest.outflow.streams
    }

    /// Whether a stream was ever begun.
    pub const fn has_begun(&self) -> bool {
        self.rest.filled
    }

    /// Whether the server wants the connection to end, and nothing is under way any more.
    pub const fn is_over(&self) -> bool {
        self.rest.leaving && self.rest.active == 0
    }

    /// Begins request `index` of the book in a free `place`.
    pub fn begin(&mut self, place: usize, book: &Book, index: usize, id: u64) {
        let rest = &mut self.rest;
        let Some(entry) = book.entry(index) else { return };
        let stream = rest.oldest + 2 * rest.streams.len() as u32;
        rest.streams.push_back(place);
        rest.active += 1;
        // Numbers are used up after a billion requests: then it takes another connection.
        rest.leaving |= stream > i32::MAX as u32 - 2;
        let window = rest.outflow.initial;
        let length = entry.message.body.len();
        rest.places[place] = Place { stream, index, window, length, ..Place::default() };
        let small = rest.outflow.table < hpack::TABLE;
        let form = match (book.is_uniform() && !small, rest.filled) {
            (true, true) => Form::Later,
            (true, false) => Form::First,
            (false, false) if small => Form::Tableless,
            (false, _) => Form::Plain,
        };
        rest.filled = true;
        entry.message.write(form, stream, id, &mut rest.out);
        if length > 0 {
            rest.uploads.push_back(place);
            rest.upload(book);
        }
    }

    /// Gives up what is under way in `place`.
    pub fn cancel(&mut self, place: usize) {
        let stream = self.rest.places[place].stream;
        frame::cancel(&mut self.rest.out, stream);
        self.rest.forget(stream);
    }

    /// What is to be sent next.
    pub fn outgoing(&self) -> &[u8] {
        &self.rest.out[self.rest.at..]
    }

    /// So much of it was sent.
    pub fn sent(&mut self, n: usize, book: &Book) {
        let rest = &mut self.rest;
        rest.at += n;
        if rest.at == rest.out.len() {
            rest.out.clear();
            rest.at = 0;
            rest.upload(book);
        }
    }

    /// Takes in `bytes`, and adds the places whose streams have ended to `ended`.
    pub fn arrived(
        &mut self,
        mut bytes: &[u8],
        book: &Book,
        ended: &mut Vec<(usize, Ending)>,
    ) -> Result<(), Malformed> {
        while let Some(event) = self.reader.next(&mut bytes)? {
            self.rest.event(event)?;
        }
        self.rest.upload(book);
        ended.append(&mut self.rest.ended);
        Ok(())
    }
}

impl Rest {
    fn event(&mut self, event: Event<'_>) -> Result<(), Malformed> {
        match event {
            Event::Headers { stream, block, end } => self.headers(stream, block, end),
            Event::Data { stream, bytes, counts, end } => {
                self.received(counts);
                self.data(stream, bytes, end)
            }
            Event::Settings(payload) => {
                let more = self.outflow.settings(payload)?;
                self.places.iter_mut().for_each(|place| place.window += more);
                frame::acknowledge(&mut self.out);
                self.settled = true;
                Ok(())
            }
            Event::Ping(payload) => {
                frame::pong(&mut self.out, payload);
                Ok(())
            }
            Event::Window { stream: 0, by } => {
                self.outflow.window += i64::from(by);
                Ok(())
            }
            Event::Window { stream, by } => {
                if let Some(place) = self.place(stream) {
                    self.places[place].window += i64::from(by);
                }
                Ok(())
            }
            Event::Reset(stream) => {
                self.fail(stream);
                Ok(())
            }
            Event::Goaway(last) => {
                self.leaving = true;
                let end = self.oldest + 2 * self.streams.len() as u32;
                (self.oldest..end).filter(|&s| s > last && s % 2 == 1).for_each(|s| self.fail(s));
                Ok(())
            }
        }
    }

    fn place(&self, stream: u32) -> Option<usize> {
        let at = stream.checked_sub(self.oldest)? / 2;
        self.streams.get(at as usize).copied().filter(|&place| place != NOBODY)
    }

    fn headers(&mut self, stream: u32, block: &[u8], end: bool) -> Result<(), Malformed> {
        let mut unknown = Place::default();
        let place = match self.place(stream) {
            Some(place) => &mut self.places[place],
            // What was given up still counts for the table.
            None => &mut unknown,
        };
        place.found.bytes += (block.len() + frame::HEAD) as u64;
        let (verify, mut bad) = (self.verify, false);
        self.decoder.decode(block, verify || self.grpc, |name, value| match name {
            b":status" => match decimal(value).and_then(|s| u16::try_from(s).ok()) {
                Some(status) => place.found.status = status,
                None => bad = true,
            },
            b"grpc-status" => place.grpc = decimal(value),
            _ if verify => note(place, name, value),
            _ => {}
        })?;
        if bad || place.found.status == 0 {
            return Err(Malformed("a response without a status"));
        }
        if end {
            self.finish(stream);
        }
        Ok(())
    }

    fn data(&mut self, stream: u32, bytes: &[u8], end: bool) -> Result<(), Malformed> {
        let Some(place) = self.place(stream) else { return Ok(()) };
        let place = &mut self.places[place];
        place.found.bytes += bytes.len() as u64;
        if self.verify {
            place.found.seen.length += bytes.len() as u64;
            place.hash.add(bytes);
        }
        if place.found.status < 200 {
            return Err(Malformed("a body before its head"));
        }
        if end {
            self.finish(stream);
        }
        Ok(())
    }

    /// Opens the connection's window again when half of it is used; that of a stream is larger
    /// than any body.
    fn received(&mut self, bytes: usize) {
        self.taken += bytes as u32;
        if self.taken >= OPEN / 2 {
            frame::window(&mut self.out, self.taken);
            self.taken = 0;
        }
    }

    fn finish(&mut self, stream: u32) {
        let Some(number) = self.place(stream) else { return };
        let place = &mut self.places[number];
        let mut found = std::mem::take(&mut place.found);
        found.reusable = true;
        found.seen.hash = place.hash.value();
        if self.grpc && place.grpc != Some(0) {
            // An error, whatever HTTP calls it.
            found.status = 0;
        }
        if place.sent < place.length {
            // Answered before the upload's end, which is not wanted any more.
            frame::cancel(&mut self.out, stream);
        }
        self.forget(stream);
        self.ended.push((number, Some(found)));
    }

    fn fail(&mut self, stream: u32) {
        if let Some(place) = self.place(stream) {
            self.forget(stream);
            self.ended.push((place, None));
        }
    }

    fn forget(&mut self, stream: u32) {
        let Some(place) = self.place(stream) else { return };
        self.streams[(stream - self.oldest) as usize / 2] = NOBODY;
        self.active -= 1;
        self.uploads.retain(|&waits| waits != place);
        while self.streams.front() == Some(&NOBODY) {
            self.streams.pop_front();
            self.oldest += 2;
        }
    }

    /// Writes as much of the uploads as there is room for, each in turn.
    fn upload(&mut self, book: &Book) {
        for _ in 0..self.uploads.len() {
            if self.out.len() >= AHEAD {
                return;
            }
            let Some(number) = self.uploads.pop_front() else { return };
            let place = &mut self.places[number];
            let body = book.entry(place.index).map_or(&[][..], |entry| &entry.message.body);
            loop {
                let left = body.len() - place.sent;
                let n = self.outflow.fits(place.window, left);
                if n == 0 || self.out.len() >= AHEAD {
                    self.uploads.push_back(number);
                    break;
                }
                frame::data(&mut self.out, place.stream, n, n == left);
                self.out.extend_from_slice(&body[place.sent..place.sent + n]);
                place.sent += n;
                place.window -= n as i64;
                self.outflow.window -= n as i64;
                if n == left {
                    break;
                }
            }
        }
    }
}

/// Keeps what verification compares.
fn note(place: &mut Place, name: &[u8], value: &[u8]) {
    let seen = &mut place.found.seen;
    match name {
        b"x-request-id" => seen.id = unhex(value),
        b"x-body-hash" => seen.body_hash = unhex(value),
        b"x-body-length" => seen.body_length = decimal(value),
        b"x-upload-hash" => seen.upload_hash = unhex(value),
        b"x-upload-length" => seen.upload_length = decimal(value),
        _ => {}
    }
}
