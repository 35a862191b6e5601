//! HTTP/1.1 on one connection: one request at a time, without pipelining.

use crate::protocol::{Finished, Malformed, Progress, Protocol, Wants};
use crate::request::Book;
use crate::response::Response;

/// The request under way and its response.
#[derive(Debug)]
pub struct Http1 {
    index: usize,
    id: u64,
    last: bool,
    /// How much of the request has left; nothing is under way at `usize::MAX`.
    sent: usize,
    response: Response,
}

impl Protocol for Http1 {
    fn new(verify: bool) -> Self {
        Self { index: 0, id: 0, last: false, sent: usize::MAX, response: Response::new(verify) }
    }

    fn begin(&mut self, index: usize, id: u64, last: bool) {
        (self.index, self.id, self.last, self.sent) = (index, id, last, 0);
    }

    fn outgoing<'a>(&self, book: &'a mut Book) -> &'a [u8] {
        book.bytes(self.index, self.id, self.last, self.sent)
    }

    fn sent(&mut self, n: usize) {
        self.sent = self.sent.saturating_add(n);
    }

    fn wants(&self) -> Wants {
        self.response.wants()
    }

    fn skipped(&mut self, n: u64) -> Progress {
        self.response.skipped(n)
    }

    fn arrived(&mut self, bytes: &[u8]) -> Result<Progress, Malformed> {
        self.response.arrived(bytes)
    }

    fn ended(&mut self) -> Option<Finished> {
        self.response.ended()
    }
}
