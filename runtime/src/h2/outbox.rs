//! What a connection has to say, gathered until it is time to send: one send carries the frames of
//! many streams, and large bodies leave in pieces larger than a frame.

use std::io::{self, IoSlice};

use crate::buffer::{Buffer, Buffers};

/// Bytes that were written and not sent yet; no memory while there are none.
pub(super) struct Outbox {
    buffers: Buffers,
    buffer: Option<Buffer>,
    start: usize,
    end: usize,
}

impl Outbox {
    pub(super) const fn new(buffers: Buffers) -> Self {
        Self { buffers, buffer: None, start: 0, end: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.buffer.is_none()
    }

    /// Takes as much of `parts` as there is room for: how much that was.
    pub(super) fn gather(&mut self, parts: &[IoSlice<'_>]) -> usize {
        let buffer = self.buffer.get_or_insert_with(|| self.buffers.medium());
        let before = self.end;
        for part in parts {
            let length = part.len().min(buffer.len() - self.end);
            buffer[self.end..self.end + length].copy_from_slice(&part[..length]);
            self.end += length;
        }
        self.end - before
    }

    /// Has `send` take what there is, until that is nothing or an error: how much it took.
    pub(super) fn send(&mut self, send: impl Fn(&[u8]) -> io::Result<usize>) -> io::Result<usize> {
        let before = self.start;
        while let Some(buffer) = &self.buffer {
            self.start += send(&buffer[self.start..self.end])?;
            if self.start == self.end {
                let sent = self.end - before;
                self.buffer = None;
                (self.start, self.end) = (0, 0);
                return Ok(sent);
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::buffer::MEDIUM;

    #[test]
    fn what_is_gathered_is_sent_in_order_and_leaves_no_memory() {
        let buffers = Buffers::default();
        let mut outbox = Outbox::new(buffers.clone());
        let all: Vec<u8> = (0..MEDIUM * 3).map(|n| (n / 7) as u8).collect();
        let sent = RefCell::new(Vec::new());
        let mut at = 0;
        while at < all.len() || !outbox.is_empty() {
            let (one, two) = all[at..].split_at(1000.min(all.len() - at));
            let taken = outbox.gather(&[IoSlice::new(one), IoSlice::new(two)]);
            at += taken;
            assert!(taken > 0 || at == all.len() || !outbox.is_empty());
            // A socket that takes some of it, then nothing for once.
            let calls = std::cell::Cell::new(0);
            let result = outbox.send(|bytes| {
                calls.set(calls.get() + 1);
                if calls.get() == 3 {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                let n = bytes.len().min(20_000);
                sent.borrow_mut().extend_from_slice(&bytes[..n]);
                Ok(n)
            });
            assert!(result.is_ok() || result.unwrap_err().kind() == io::ErrorKind::WouldBlock);
        }
        assert!(*sent.borrow() == all);
        assert_eq!(buffers.free_bytes(), MEDIUM);
    }
}
