//! FNV-1a, 64 bits: the hash that backend and load generator compare bodies by. It finds errors,
//! not attackers.

/// A running hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> u64 {
        let mut hash = Self::default();
        hash.add(bytes);
        hash.value()
    }

    /// Takes in more bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The hash of everything so far.
    pub fn value(self) -> u64 {
        self.0
    }
}

/// `value` as 16 lower-case hexadecimal digits, the form of all ids and hashes on the wire.
pub fn hex(value: u64) -> [u8; 16] {
    let mut out = [0; 16];
    for (i, digit) in out.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(value >> (60 - 4 * i) & 15) as usize];
    }
    out
}

/// Reads what [`hex`] wrote (shorter forms, too); `None` for anything else.
pub fn unhex(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 16 {
        return None;
    }
    text.iter().try_fold(0, |value, &c| Some(value << 4 | u64::from((c as char).to_digit(16)?)))
}

#[cfg(test)]
mod tests {
    use super::{Fnv, hex, unhex};

    #[test]
    fn known_values() {
        // From the reference implementation of the algorithm's authors.
        assert_eq!(Fnv::of(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(Fnv::of(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(Fnv::of(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn hexadecimal_and_back() {
        assert_eq!(&hex(0x0123_4567_89ab_cdef), b"0123456789abcdef");
        assert_eq!(unhex(&hex(u64::MAX)), Some(u64::MAX));
        assert_eq!(unhex(b""), None);
        assert_eq!(unhex(b"xyz"), None);
        assert_eq!(unhex(b"00000000000000000"), None);
    }
}
