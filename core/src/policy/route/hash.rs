//! A hash map for tables that are built once from trusted configuration: fast, and the same in
//! every process. Requests only look up, so they cannot fill it with collisions.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub(super) type Map<V> = HashMap<Box<[u8]>, V, BuildHasherDefault<Folded>>;

const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// Multiplies and folds, eight bytes at a time.
#[derive(Default, Debug)]
pub(super) struct Folded(u64);

impl Folded {
    const fn mix(&mut self, word: u64) {
        let product = (self.0 ^ word) as u128 * FACTOR as u128;
        self.0 = (product as u64 ^ (product >> 64) as u64).wrapping_add(FACTOR);
    }
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for &word in words {
            self.mix(u64::from_le_bytes(word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last));
    }

    fn write_usize(&mut self, length: usize) {
        self.mix(length as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
