//! The seam between a connection and what it speaks: [`crate::http1::Http1`] today.
//!
//! A protocol sees bytes and requests, never a socket or a clock, so it can sit on a socket as
//! well as on a TLS session.

use crate::request::Book;

/// A response that was read to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// The status code.
    pub status: u16,
    /// Whether another request may follow on this connection.
    pub reusable: bool,
    /// Bytes of the whole response, head and framing included.
    pub bytes: u64,
    /// What it said about itself and what was seen; filled in only when responses are verified.
    pub seen: Seen,
}

/// What verification compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The body's length in bytes.
    pub length: u64,
    /// The body's hash.
    pub hash: u64,
    /// `x-request-id`, if it is one of ours.
    pub id: Option<u64>,
    /// `x-body-hash`: what the body's hash should be.
    pub body_hash: Option<u64>,
    /// `x-body-length`: what the body's length should be.
    pub body_length: Option<u64>,
    /// `x-upload-hash`: the hash of the body that the server received.
    pub upload_hash: Option<u64>,
    /// `x-upload-length`: the length in bytes of the body that the server received.
    pub upload_length: Option<u64>,
}

/// Why bytes are not the response they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// How far the bytes that arrived have brought a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More has to come.
    Partial,
    /// The response is whole.
    Whole(Finished),
}

/// How the next bytes are best received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Into a small buffer: a head, perhaps with a small body.
    Head,
    /// Into a large buffer.
    Body,
    /// Not at all: so many bytes are only counted.
    Skip(u64),
}

/// What a connection speaks.
pub trait Protocol {
    /// Whatever a new connection starts with. `verify` has bodies hashed.
    fn new(verify: bool) -> Self;

    /// Queues request `index` of the book under `id`; `last` announces the connection's end.
    fn begin(&mut self, index: usize, id: u64, last: bool);

    /// The bytes that are to be sent next; empty when there are none.
    fn outgoing<'a>(&self, book: &'a mut Book) -> &'a [u8];

    /// `n` of them were sent.
    fn sent(&mut self, n: usize);

    /// How the next bytes are best received.
    fn wants(&self) -> Wants;

    /// `n` bytes were dropped, no more than [`Wants::Skip`] allows.
    fn skipped(&mut self, n: u64) -> Progress;

    /// Bytes arrived.
    fn arrived(&mut self, bytes: &[u8]) -> Result<Progress, Malformed>;

    /// The peer has ended its direction. A response that only its end delimits is whole now.
    fn ended(&mut self) -> Option<Finished>;
}
