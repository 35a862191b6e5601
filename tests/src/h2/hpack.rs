//! HPACK (RFC 7541), written apart from the proxy's: literals out, everything in.

use std::collections::VecDeque;

/// Names and values.
pub type Fields = Vec<(String, String)>;

/// A header block of literals that are not indexed and not compressed.
#[must_use]
pub fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        string(name, &mut out);
        string(value, &mut out);
    }
    out
}

fn string(text: &str, out: &mut Vec<u8>) {
    let bytes = crate::text::bytes(text);
    let mut length = bytes.len();
    if length < 127 {
        out.push(length as u8);
    } else {
        out.push(127);
        length -= 127;
        while length >= 128 {
            out.push((length % 128) as u8 | 128);
            length /= 128;
        }
        out.push(length as u8);
    }
    out.extend_from_slice(&bytes);
}

/// The state of one direction of a connection.
#[derive(Debug, Default)]
pub struct Decoder {
    entries: VecDeque<(String, String)>,
    size: usize,
}

/// The table's largest size: the protocol's default.
const MOST: usize = 4096;

impl Decoder {
    /// Decodes one header block.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(&mut self, block: &[u8]) -> Result<Fields, String> {
        let mut at = Input { bytes: block, at: 0 };
        let mut fields = Fields::new();
        while let Some(first) = at.peek() {
            match first {
                0x80.. => {
                    let index = at.integer(7)?;
                    fields.push(self.entry(index)?);
                }
                0x40..0x80 => {
                    let field = self.literal(&mut at, 6)?;
                    self.insert(field.clone());
                    fields.push(field);
                }
                0x20..0x40 => {
                    let most = at.integer(5)?;
                    if most > MOST {
                        return Err(format!("a table of {most} bytes"));
                    }
                    self.shrink(most);
                }
                _ => fields.push(self.literal(&mut at, 4)?),
            }
        }
        Ok(fields)
    }

    fn literal(&self, at: &mut Input<'_>, bits: u32) -> Result<(String, String), String> {
        let name = match at.integer(bits)? {
            0 => at.string()?,
            index => self.entry(index)?.0,
        };
        Ok((name, at.string()?))
    }

    fn entry(&self, index: usize) -> Result<(String, String), String> {
        let fixed = index.checked_sub(1).and_then(|at| STATIC.get(at));
        if let Some((name, value)) = fixed {
            return Ok(((*name).to_owned(), (*value).to_owned()));
        }
        let dynamic = index.checked_sub(STATIC.len() + 1).and_then(|at| self.entries.get(at));
        dynamic.cloned().ok_or_else(|| format!("no entry {index}"))
    }

    fn insert(&mut self, field: (String, String)) {
        self.size += cost(&field);
        self.entries.push_front(field);
        self.shrink(MOST);
    }

    fn shrink(&mut self, most: usize) {
        while self.size > most {
            self.size -= self.entries.pop_back().map_or(self.size, |field| cost(&field));
        }
    }
}

fn cost((name, value): &(String, String)) -> usize {
    name.len() + value.len() + 32
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Input<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, String> {
        let byte = self.peek().ok_or("the block ends too early")?;
        self.at += 1;
        Ok(byte)
    }

    fn integer(&mut self, bits: u32) -> Result<usize, String> {
        let most = (1_usize << bits) - 1;
        let mut value = usize::from(self.next()?) & most;
        if value == most {
            for shift in (0..35).step_by(7) {
                let byte = usize::from(self.next()?);
                value += (byte & 127) << shift;
                if byte < 128 {
                    return Ok(value);
                }
            }
            return Err("an integer without end".into());
        }
        Ok(value)
    }

    fn string(&mut self) -> Result<String, String> {
        let huffman = self.peek().is_some_and(|byte| byte >= 128);
        let length = self.integer(7)?;
        let bytes = self.bytes.get(self.at..self.at + length).ok_or("a string without end")?;
        self.at += length;
        let bytes = if huffman { expand(bytes)? } else { bytes.to_vec() };
        Ok(crate::text::latin1(&bytes))
    }
}

/// Undoes the Huffman code, which is the canonical one for [`LENGTHS`].
fn expand(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let (mut code, mut length) = (0_u32, 0_u8);
    for at in 0..bytes.len() * 8 {
        code = code << 1 | u32::from(bytes[at / 8] >> (7 - at % 8) & 1);
        length += 1;
        if length > 30 {
            return Err("no such code".into());
        }
        if let Some(symbol) = symbol(code, length) {
            out.push(u8::try_from(symbol).map_err(|_| "the end within a string")?);
            (code, length) = (0, 0);
        }
    }
    if length >= 8 || code != (1 << length) - 1 { Err("bad padding".into()) } else { Ok(out) }
}

fn symbol(code: u32, length: u8) -> Option<usize> {
    // The first code of this length: the codes of all shorter ones come before it.
    let mut first = 0_u32;
    for shorter in 1..=length {
        let so_many = LENGTHS.iter().filter(|&&l| l == shorter - 1).count() as u32;
        first = (first + if shorter > 1 { so_many } else { 0 }) << 1;
    }
    let nth = code.checked_sub(first)? as usize;
    LENGTHS.iter().enumerate().filter(|(_, l)| **l == length).map(|(s, _)| s).nth(nth)
}

/// Bits of each byte's code, and of the end (RFC 7541 appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30
];

/// RFC 7541 appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7541 C.4.1 and C.6.1.
    #[test]
    fn the_examples_of_the_rfc() {
        let request = [
            0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab,
            0x90, 0xf4, 0xff,
        ];
        let mut decoder = Decoder::default();
        let fields = decoder.decode(&request).expect("decodes");
        assert_eq!(fields[3], (":authority".into(), "www.example.com".into()));
        let again = decoder.decode(&[0xbe]).expect("it was indexed");
        assert_eq!(again[0], fields[3]);
        let block = literals(&[("a", "b"), ("name", &"x".repeat(300))]);
        let back = Decoder::default().decode(&block).expect("decodes");
        assert_eq!(back[1].1.len(), 300);
    }
}
