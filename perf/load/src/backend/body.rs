//! Response bodies: one block of fixed content that all of them are cut from, and small
//! responses that are written once and sent many times.

use std::collections::HashMap;
use std::io::IoSlice;

use crate::fnv::Fnv;

/// Length of the block; larger bodies repeat it.
const BLOCK: usize = 1 << 20;

/// Bodies up to this are kept together with their head.
const SMALL: u64 = 64 << 10;

/// So many sizes are kept; a client that asks for more different ones has them made.
const KEPT: usize = 256;

/// The content of bodies, and what was computed from it.
#[derive(Debug)]
pub struct Bodies {
    block: Box<[u8]>,
    whole: HashMap<u64, Box<[u8]>>,
    hashes: HashMap<(u64, u64), u64>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self { block: content(), whole: HashMap::new(), hashes: HashMap::new() }
    }
}

/// Letters in no visible order, the same in every process.
fn content() -> Box<[u8]> {
    let mut state = 1u32;
    let letter = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"abcdefghijklmnopqrstuvwxyzABCDEF"[(state >> 27) as usize]
    };
    (0..BLOCK).map(letter).collect()
}

impl Bodies {
    /// The whole response for a small body; `None` for one that is to be sent from the block.
    pub fn whole(&mut self, size: u64) -> Option<&[u8]> {
        if size > SMALL || (self.whole.len() >= KEPT && !self.whole.contains_key(&size)) {
            return None;
        }
        let block = &self.block;
        Some(self.whole.entry(size).or_insert_with(|| {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
            let body = &block[..usize::try_from(size).unwrap_or(0)];
            [head.as_bytes(), body].concat().into()
        }))
    }

    /// As much as one piece holds of a body from `at` on, of which `left` bytes are left.
    pub fn piece(&self, at: u64, left: u64) -> IoSlice<'_> {
        let from = usize::try_from(at % BLOCK as u64).unwrap_or(0);
        let length = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK - from);
        IoSlice::new(&self.block[from..from + length])
    }

    /// The hash of `chunks` times the body of `size` bytes.
    pub fn hash(&mut self, chunks: u64, size: u64) -> u64 {
        if self.hashes.len() >= KEPT {
            self.hashes.clear();
        }
        let block = &self.block;
        *self.hashes.entry((chunks, size)).or_insert_with(|| {
            let mut hash = Fnv::default();
            for _ in 0..chunks {
                let mut left = usize::try_from(size).unwrap_or(0);
                while left > 0 {
                    let n = left.min(BLOCK);
                    hash.add(&block[..n]);
                    left -= n;
                }
            }
            hash.value()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Bodies};
    use crate::fnv::Fnv;

    #[test]
    fn small_responses_are_whole() {
        let mut bodies = Bodies::default();
        let whole = bodies.whole(5).expect("small").to_vec();
        let body = bodies.piece(0, 5).to_vec();
        assert_eq!(whole, [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", &body[..]].concat());
        assert!(bodies.whole(1 << 20).is_none());
    }

    #[test]
    fn large_ones_repeat_and_hash_alike() {
        let mut bodies = Bodies::default();
        let size = 2 * BLOCK as u64 + 7;
        let (mut at, mut body) = (0, Vec::new());
        while at < size {
            let piece = bodies.piece(at, size - at);
            body.extend_from_slice(&piece);
            at += piece.len() as u64;
        }
        assert_eq!(body.len() as u64, size);
        assert_eq!(bodies.hash(1, size), Fnv::of(&body));
        let three = [&body[..9], &body[..9], &body[..9]].concat();
        assert_eq!(bodies.hash(3, 9), Fnv::of(&three));
    }
}
