//! The beginning of a request's body, held for another attempt: all of it, or nothing once that is
//! too much.

use bytes::Bytes;

/// What is longer is not sent a second time; about the same as HTTP/1.1's first buffer.
const BYTES: usize = 16 << 10;

/// All of a body that was taken so far.
#[derive(Default)]
pub(super) struct Held {
    /// A copy: a frame of some bytes would keep all that was received along with it.
    bytes: Vec<u8>,
    /// It is to be handed out a second time.
    again: bool,
    lost: bool,
}

impl Held {
    /// A frame was taken.
    pub(super) fn keep(&mut self, frame: &[u8]) {
        if self.lost {
            return;
        }
        if self.bytes.len() + frame.len() > BYTES {
            return self.forget();
        }
        self.bytes.extend_from_slice(frame);
    }

    /// Nothing will be sent a second time.
    pub(super) fn forget(&mut self) {
        *self = Self { lost: true, ..Self::default() };
    }

    /// Whether all of what was taken is here.
    pub(super) const fn is_whole(&self) -> bool {
        !self.lost
    }

    /// Whether it is to be handed out a second time.
    pub(super) const fn has_next(&self) -> bool {
        self.again && !self.bytes.is_empty()
    }

    /// What is to be handed out a second time.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        let next = self.has_next().then(|| Bytes::copy_from_slice(&self.bytes));
        self.again = false;
        next
    }

    /// Begins again.
    pub(super) const fn rewind(&mut self) {
        self.again = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_comes_again_or_not_at_all() {
        let mut held = Held::default();
        held.rewind();
        assert_eq!(held.next(), None);
        held.keep(b"one");
        held.keep(b"");
        held.keep(b"two");
        assert!(held.is_whole() && !held.has_next());
        for _ in 0..2 {
            held.rewind();
            assert_eq!(held.next().as_deref(), Some(&b"onetwo"[..]));
            assert_eq!(held.next(), None);
        }
        held.keep(&[0; BYTES]);
        assert!(!held.is_whole());
        held.rewind();
        assert_eq!(held.next(), None);
    }
}
