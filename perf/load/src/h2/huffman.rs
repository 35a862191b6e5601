//! The Huffman code of HPACK (RFC 7541, appendix B). It is canonical, so the lengths of its codes
//! are all that has to be written down.

use crate::protocol::Malformed;

/// Bits of each byte's code.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// The longest code.
const LONGEST: usize = 30;

/// What decodes: of each length of codes the first one, where its bytes are, and how many.
#[derive(Clone, Debug)]
pub struct Huffman {
    lengths: [(u32, usize, u32); LONGEST + 1],
    bytes: Vec<u8>,
}

impl Default for Huffman {
    fn default() -> Self {
        let mut lengths = [(0, 0, 0); LONGEST + 1];
        let mut bytes = Vec::with_capacity(256);
        let mut code = 0;
        for (bits, place) in lengths.iter_mut().enumerate().skip(1) {
            code <<= 1;
            let of_length = (0..=255_u8).filter(|&b| usize::from(LENGTHS[usize::from(b)]) == bits);
            let from = bytes.len();
            bytes.extend(of_length);
            let count = u32::try_from(bytes.len() - from).unwrap_or(0);
            *place = (code, from, count);
            code += count;
        }
        Self { lengths, bytes }
    }
}

impl Huffman {
    /// Appends what `coded` stands for.
    pub fn decode(&self, coded: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let (mut code, mut bits) = (0_u32, 0);
        for bit in coded.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
            code = code << 1 | u32::from(bit);
            bits += 1;
            let (first, from, count) = self.lengths[bits];
            if code.wrapping_sub(first) < count {
                out.push(self.bytes[from + (code - first) as usize]);
                (code, bits) = (0, 0);
            } else if bits == LONGEST {
                return Err(Malformed("a Huffman code that is none"));
            }
        }
        // What fills the last byte is the beginning of a code of ones.
        if bits < 8 && code == (1 << bits) - 1 {
            return Ok(());
        }
        Err(Malformed("bad padding of a Huffman code"))
    }
}

#[cfg(test)]
mod tests {
    use super::Huffman;

    #[test]
    fn the_examples_of_the_rfc() {
        let huffman = Huffman::default();
        for (coded, text) in [
            (&b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..], "www.example.com"),
            (b"\xa8\xeb\x10\x64\x9c\xbf", "no-cache"),
            (b"\x64\x02", "302"),
            (b"\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff",
                "Mon, 21 Oct 2013 20:13:21 GMT"),
        ] {
            let mut out = Vec::new();
            assert_eq!(huffman.decode(coded, &mut out), Ok(()), "{text}");
            assert_eq!(String::from_utf8_lossy(&out), text);
        }
    }

    #[test]
    fn bad_codes() {
        let huffman = Huffman::default();
        for coded in [&b"\xff\xff\xff\xff"[..], b"\x00", b"\xff\xff"] {
            assert!(huffman.decode(coded, &mut Vec::new()).is_err(), "{coded:?}");
        }
    }
}
