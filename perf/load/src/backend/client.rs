//! One client's connection: what it is at, and what is still to be sent to it.

use std::io::{self, IoSlice};

use rustix::fd::OwnedFd;

use super::body::Bodies;
use super::inbound::{Ask, Upload};
use super::streams::Session;
use crate::fnv::Fnv;
use crate::socket::{self, Moved};

/// What a connection is at.
#[derive(Clone, Copy, Debug)]
pub enum State {
    /// A request head is to come.
    Head,
    /// A request's body is to come.
    Body(Ask, Received),
    /// The answer, or its next chunk, is due later.
    Waiting(Ask, Received),
    /// What was begun does not fit the socket.
    Sending(Ask),
}

/// What has come of an upload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Received {
    /// Bytes of body.
    pub length: u64,
    /// Their hash, unless nobody wants it.
    pub hash: Fnv,
}

/// What is still to be sent: head, then bytes of the block, then tail.
#[derive(Debug, Default)]
pub struct Output {
    head: Vec<u8>,
    at: u64,
    left: u64,
    tail: &'static [u8],
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    /// Its socket.
    pub socket: OwnedFd,
    /// What it is at.
    pub state: State,
    /// Input that could not be used yet.
    pub held: Vec<u8>,
    /// Whether the socket may hold input that nobody was free to read.
    pub unread: bool,
    /// Chunks of the answer that are still to be begun.
    pub chunks: u64,
    /// Its place among the connections of its thread.
    pub slot: usize,
    /// Tells this connection from others that had its place.
    pub life: u32,
    /// What takes the place of all that when it speaks HTTP/2.
    pub session: Option<Box<Session>>,
    output: Output,
}

impl Client {
    /// Waiting for its first request.
    pub fn new(socket: OwnedFd, slot: usize, life: u32) -> Self {
        Self {
            socket,
            state: State::Head,
            held: Vec::new(),
            unread: false,
            chunks: 0,
            slot,
            life,
            session: None,
            output: Output::default(),
        }
    }

    /// Begins to send: all of it in one call, if it fits. Whether it did.
    pub fn send(
        &mut self,
        head: &[u8],
        body: u64,
        tail: &'static [u8],
        bodies: &Bodies,
    ) -> io::Result<bool> {
        let pieces = [IoSlice::new(head), bodies.piece(0, body), IoSlice::new(tail)];
        let whole = head.len() + pieces[1].len() + tail.len();
        let moved = if body == 0 && tail.is_empty() {
            socket::send(&self.socket, head)?
        } else if pieces[1].len() as u64 == body {
            socket::send_all(&self.socket, &pieces)?
        } else {
            socket::send_all(&self.socket, &pieces[..2])?
        };
        let sent = match moved {
            Moved::Bytes(n) if n == whole && pieces[1].len() as u64 == body => return Ok(true),
            Moved::Bytes(n) => n,
            Moved::Nothing => 0,
        };
        self.output.head.extend_from_slice(head);
        (self.output.at, self.output.left, self.output.tail) = (0, body, tail);
        self.output.drop_sent(sent);
        self.flush(bodies)
    }

    /// Goes on with what did not fit. Whether all of it was sent.
    pub fn flush(&mut self, bodies: &Bodies) -> io::Result<bool> {
        while !self.output.is_empty() {
            let piece = bodies.piece(self.output.at, self.output.left);
            // The tail may only follow when the piece is the last one.
            let last = piece.len() as u64 == self.output.left;
            let tail = if last { self.output.tail } else { &[] };
            let pieces = [IoSlice::new(&self.output.head), piece, IoSlice::new(tail)];
            match socket::send_all(&self.socket, &pieces)? {
                Moved::Bytes(n) => self.output.drop_sent(n),
                Moved::Nothing => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Takes `bytes` of an upload: how many belonged to it, and whether it is whole now. Chunks
    /// that are none end the connection.
    pub fn upload(
        ask: &mut Ask,
        received: &mut Received,
        bytes: &[u8],
    ) -> io::Result<(usize, bool)> {
        let hashed = ask.wants_hash();
        let mut take = |data: &[u8]| {
            received.length += data.len() as u64;
            if hashed {
                received.hash.add(data);
            }
        };
        match &mut ask.upload {
            Upload::Length(left) => {
                let n = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                take(&bytes[..n]);
                *left -= n as u64;
                Ok((n, *left == 0))
            }
            Upload::Chunked(decoder) => {
                let used = decoder
                    .feed(bytes, take)
                    .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
                Ok((used, decoder.is_done()))
            }
        }
    }
}

impl Output {
    fn is_empty(&self) -> bool {
        self.head.is_empty() && self.left == 0 && self.tail.is_empty()
    }

    fn drop_sent(&mut self, sent: usize) {
        let of_head = sent.min(self.head.len());
        self.head.drain(..of_head);
        let rest = sent - of_head;
        let of_body = self.left.min(rest as u64);
        self.at += of_body;
        self.left -= of_body;
        let of_tail = rest - usize::try_from(of_body).unwrap_or(rest);
        self.tail = self.tail.get(of_tail..).unwrap_or_default();
    }
}
