//! One HTTP/2 connection to the proxy, for requests that are meant well.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::hpack::literals;
use super::wire::{self, BEGIN, END_HEADERS, END_STREAM, Message, Said, frame, kind};
use crate::client::{Client, PATIENCE};
use crate::wait;

/// A connection.
pub struct Session {
    /// The connection beneath.
    pub client: Client,
    next: u32,
    /// Bytes of DATA sent: by stream, and under 0 all of them.
    sent: BTreeMap<u32, u64>,
}

impl Session {
    /// Connects with windows that never fill.
    ///
    /// # Panics
    /// When it cannot connect.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        let session = Self::bare(address);
        // SETTINGS_INITIAL_WINDOW_SIZE and the connection's window: as large as they get.
        let most: &[u8] = &[0, 4, 0x7F, 0xFF, 0xFF, 0xFF];
        session.client.send(frame(kind::SETTINGS, 0, 0, most));
        session.client.send(frame(kind::WINDOW_UPDATE, 0, 0, &0x7FFF_0000_u32.to_be_bytes()));
        session
    }

    /// Connects with the windows of the protocol.
    ///
    /// # Panics
    /// When it cannot connect.
    #[must_use]
    pub fn bare(address: SocketAddr) -> Self {
        let client = Client::connect(address);
        client.send(BEGIN);
        Self { client, next: 1, sent: BTreeMap::new() }
    }

    /// Begins a request; the stream it goes by.
    pub fn open(&mut self, method: &str, path: &str, more: &[(&str, &str)], end: bool) -> u32 {
        let mut fields = vec![
            (":method", method),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", path),
        ];
        fields.extend_from_slice(more);
        self.raw(END_HEADERS | if end { END_STREAM } else { 0 }, &literals(&fields))
    }

    /// Begins a stream with this header block; the stream.
    pub fn raw(&mut self, flags: u8, block: &[u8]) -> u32 {
        let stream = self.next;
        self.next += 2;
        self.client.send(frame(kind::HEADERS, flags, stream, block));
        stream
    }

    /// Sends a piece of a body.
    ///
    /// # Panics
    /// When the proxy leaves no room for it.
    pub fn data(&mut self, stream: u32, bytes: &[u8], end: bool) -> bool {
        let mut pieces = bytes.chunks(16 << 10).peekable();
        if pieces.peek().is_none() {
            return self.client.send(frame(kind::DATA, u8::from(end), stream, b""));
        }
        while let Some(piece) = pieces.next() {
            self.await_room(stream, piece.len() as u64);
            let flags = u8::from(end && pieces.peek().is_none());
            if !self.client.send(frame(kind::DATA, flags, stream, piece)) {
                return false;
            }
        }
        true
    }

    /// Waits until the windows have room for so many bytes, or the stream has ended.
    fn await_room(&mut self, stream: u32, bytes: u64) {
        let of_stream = self.sent.get(&stream).copied().unwrap_or(0) + bytes;
        let of_all = self.sent.get(&0).copied().unwrap_or(0) + bytes;
        wait::until(PATIENCE, "room in the windows", || {
            let said = self.said();
            let first = u64::from(said.window.unwrap_or(65_535));
            let given = |id| said.windows.get(&id).copied().unwrap_or(0);
            let room = first + given(stream) >= of_stream && 65_535 + given(0) >= of_all;
            room || said.stream(stream).is_over()
        });
        self.sent.insert(stream, of_stream);
        self.sent.insert(0, of_all);
    }

    /// Ends a request with trailers.
    pub fn trailers(&self, stream: u32, fields: &[(&str, &str)]) {
        let flags = END_HEADERS | END_STREAM;
        self.client.send(frame(kind::HEADERS, flags, stream, &literals(fields)));
    }

    /// Gives a stream up.
    pub fn reset(&self, stream: u32, code: u32) {
        self.client.send(frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes()));
    }

    /// Makes room for more of the connection's or a stream's DATA.
    pub fn widen(&self, stream: u32, bytes: u32) {
        self.client.send(frame(kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes()));
    }

    /// Answers the PINGs that have come so far.
    pub fn pong(&self) {
        for ping in self.said().pings {
            self.client.send(frame(kind::PING, 1, 0, &ping));
        }
    }

    /// All that the proxy has said.
    ///
    /// # Panics
    /// When it cannot be decoded.
    #[must_use]
    pub fn said(&self) -> Said {
        let said = Said::of(&self.client.data());
        assert_eq!(said.bad, None, "what the proxy says decodes");
        said
    }

    /// Waits for the end of a stream.
    ///
    /// # Panics
    /// When it does not come.
    #[must_use]
    pub fn answer(&self, stream: u32) -> Message {
        let over =
            wait::poll(PATIENCE, || Some(self.said().stream(stream)).filter(Message::is_over));
        over.unwrap_or_else(|| panic!("stream {stream}: {:?}", self.said().stream(stream)))
    }

    /// Waits for a final head.
    ///
    /// # Panics
    /// When it does not come.
    #[must_use]
    pub fn head(&self, stream: u32) -> Message {
        let begun = wait::poll(PATIENCE, || {
            Some(self.said().stream(stream)).filter(|m| m.status().is_some() || m.is_over())
        });
        begun.unwrap_or_else(|| panic!("no head on stream {stream}"))
    }

    /// A request without a body, and what it is answered.
    ///
    /// # Panics
    /// When it is not answered.
    pub fn get(&mut self, path: &str) -> Message {
        let stream = self.open("GET", path, &[], true);
        self.answer(stream)
    }

    /// A request with a body, and what it is answered.
    ///
    /// # Panics
    /// When it is not answered.
    pub fn post(&mut self, path: &str, more: &[(&str, &str)], body: &[u8]) -> Message {
        let stream = self.open("POST", path, more, false);
        self.data(stream, body, true);
        self.answer(stream)
    }

    /// Whether the connection has ended, after this long at the most.
    #[must_use]
    pub fn ends_within(&self, limit: Duration) -> bool {
        self.client.ends_within(limit).is_some()
    }

    /// The code of the last GOAWAY.
    #[must_use]
    pub fn goaway(&self) -> Option<u32> {
        self.said().goaways.last().map(|&(_, code)| code)
    }
}

/// Names of error codes (RFC 9113 7).
pub mod code {
    #![allow(missing_docs, reason = "the names are the protocol's")]
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// The bytes that a stream of such frames is.
#[must_use]
pub fn bytes(frames: &[wire::Frame]) -> Vec<u8> {
    frames.iter().flat_map(|f| frame(f.kind, f.flags, f.stream, &f.payload)).collect()
}
