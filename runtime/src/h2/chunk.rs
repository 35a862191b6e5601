//! A piece of a body on its way out: it tells its connection when it has left.

use std::rc::Rc;

use bytes::{Buf, Bytes};

use super::link::Link;

/// Bytes that were given to the `h2` crate.
pub(crate) struct Chunk {
    bytes: Bytes,
    /// None for what the proxy says itself.
    link: Option<Rc<Link>>,
}

impl Chunk {
    /// A piece that counts against what may be queued on `link`.
    pub(super) fn new(bytes: Bytes, link: &Rc<Link>) -> Self {
        link.queue(bytes.len());
        Self { bytes, link: Some(Rc::clone(link)) }
    }

    /// Nothing: the end of a stream.
    pub(super) const fn empty() -> Self {
        Self { bytes: Bytes::new(), link: None }
    }

    fn left(&self, bytes: usize) {
        if let Some(link) = &self.link
            && bytes > 0
        {
            link.unqueue(bytes);
        }
    }
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
        self.left(bytes);
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.left(self.bytes.remaining());
    }
}
