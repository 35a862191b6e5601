//! Header blocks of HPACK (RFC 7541): a decoder with its dynamic table, and the forms that fields
//! are written in here.

use std::collections::VecDeque;

use super::huffman::Huffman;
use super::statics::STATIC;
use crate::protocol::Malformed;

/// Bytes that a dynamic table may hold unless its decoder says otherwise.
pub const TABLE: usize = 4_096;

/// What an entry of a table counts beside its bytes.
const OVERHEAD: usize = 32;

/// The longest name or value.
const LONGEST: usize = 64 * 1024;

/// Index of `:status` in the static table, of the first of its values.
const STATUS: std::ops::RangeInclusive<usize> = 8..=14;

/// Reads the header blocks of one direction of a connection.
#[derive(Debug, Default)]
pub struct Decoder {
    huffman: Huffman,
    /// The newest first; of each the bytes of name and value, and how many are the name's.
    table: VecDeque<(Vec<u8>, usize)>,
    size: usize,
    limit: Option<usize>,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    /// Shows `take` the fields of a block. Unless `all` are wanted, `:status` is the only one of
    /// those that are spelled out.
    pub fn decode(
        &mut self,
        mut block: &[u8],
        all: bool,
        mut take: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Malformed> {
        while let Some(&first) = block.first() {
            if first & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                let (name, value) = self.entry(index)?;
                take(name, value);
            } else if first & 0xe0 == 0x20 {
                self.limit = Some(integer(&mut block, 5)?);
                self.evict(0);
            } else {
                let keep = first & 0x40 != 0;
                let index = integer(&mut block, if keep { 6 } else { 4 })?;
                let wanted = all || keep || STATUS.contains(&index);
                self.literal(&mut block, index, wanted)?;
                if wanted {
                    take(&self.name, &self.value);
                }
                if keep {
                    self.insert();
                }
            }
        }
        Ok(())
    }

    /// Reads a field into `name` and `value`, or past it.
    fn literal(&mut self, block: &mut &[u8], index: usize, wanted: bool) -> Result<(), Malformed> {
        self.name.clear();
        self.value.clear();
        if index == 0 {
            let (coded, bytes) = string(block)?;
            if wanted {
                plain(&self.huffman, coded, bytes, &mut self.name)?;
            }
        } else if wanted {
            let mut name = std::mem::take(&mut self.name);
            name.extend_from_slice(self.entry(index)?.0);
            self.name = name;
        }
        let (coded, bytes) = string(block)?;
        if wanted {
            plain(&self.huffman, coded, bytes, &mut self.value)?;
        }
        Ok(())
    }

    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), Malformed> {
        const NONE: Malformed = Malformed("an index beyond the table");
        let index = index.checked_sub(1).ok_or(NONE)?;
        if let Some((name, value)) = STATIC.get(index) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        let (bytes, name) = self.table.get(index - STATIC.len()).ok_or(NONE)?;
        Ok(bytes.split_at(*name))
    }

    fn insert(&mut self) {
        let size = self.name.len() + self.value.len() + OVERHEAD;
        self.evict(size);
        if size <= self.limit.unwrap_or(TABLE) {
            self.table.push_front(([&*self.name, &*self.value].concat(), self.name.len()));
            self.size += size;
        }
    }

    /// Makes room for `more` bytes.
    fn evict(&mut self, more: usize) {
        while self.size + more > self.limit.unwrap_or(TABLE)
            && let Some((bytes, _)) = self.table.pop_back()
        {
            self.size -= bytes.len() + OVERHEAD;
        }
    }
}

fn plain(huffman: &Huffman, coded: bool, from: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    if coded {
        return huffman.decode(from, out);
    }
    out.extend_from_slice(from);
    Ok(())
}

/// Takes an integer with a prefix of so many bits off the front.
fn integer(block: &mut &[u8], bits: u32) -> Result<usize, Malformed> {
    const CUT: Malformed = Malformed("a header block that breaks off");
    let mask = (1 << bits) - 1;
    let (&first, mut rest) = block.split_first().ok_or(CUT)?;
    let mut value = usize::from(first) & mask;
    let mut shift = 0;
    while value >= mask {
        let (&next, more) = rest.split_first().ok_or(CUT)?;
        rest = more;
        value += (usize::from(next) & 0x7f) << shift;
        shift += 7;
        if next & 0x80 == 0 {
            break;
        }
        if shift > 21 {
            return Err(Malformed("an integer that is too large"));
        }
    }
    *block = rest;
    Ok(value)
}

/// Takes a string off the front: whether it is Huffman-coded, and its bytes.
fn string<'a>(block: &mut &'a [u8]) -> Result<(bool, &'a [u8]), Malformed> {
    let coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(block, 7)?;
    if length > LONGEST || length > block.len() {
        return Err(Malformed("a string that is longer than its block"));
    }
    let (bytes, rest) = block.split_at(length);
    *block = rest;
    Ok((coded, bytes))
}

/// Whether a field goes into the peer's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// The index of the newest entry of the dynamic table.
pub const FIRST: usize = STATIC.len() + 1;

/// The index of a field that the static table has as a whole.
pub fn whole(name: &str, value: &[u8]) -> Option<usize> {
    let found = STATIC.iter().position(|(n, v)| *n == name && v.as_bytes() == value);
    found.map(|at| at + 1)
}

/// Writes a field that the table has as a whole.
pub fn indexed(out: &mut Vec<u8>, index: usize) {
    write_integer(out, 0x80, 7, index);
}

/// Writes a field, its name taken from the static table if it is there.
pub fn field(out: &mut Vec<u8>, keep: Keep, name: &str, value: &[u8]) {
    let index = STATIC.iter().position(|(known, _)| *known == name).map_or(0, |at| at + 1);
    match keep {
        Keep::Yes => write_integer(out, 0x40, 6, index),
        Keep::No => write_integer(out, 0, 4, index),
    }
    if index == 0 {
        write_integer(out, 0, 7, name.len());
        out.extend_from_slice(name.as_bytes());
    }
    write_integer(out, 0, 7, value.len());
    out.extend_from_slice(value);
}

fn write_integer(out: &mut Vec<u8>, flags: u8, bits: u32, value: usize) {
    let mask = (1_usize << bits) - 1;
    if value < mask {
        return out.push(flags | value as u8);
    }
    out.push(flags | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Says that the encoder uses no table.
pub fn no_table(out: &mut Vec<u8>) {
    out.push(0x20);
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a failed expectation is a failed test")]
mod tests {
    use super::{Decoder, Keep, field, indexed, no_table};

    fn read(decoder: &mut Decoder, block: &[u8]) -> Vec<(String, String)> {
        let mut out = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        decoder
            .decode(block, true, |name, value| out.push((text(name), text(value))))
            .expect("a header block");
        out
    }

    /// RFC 7541 C.6: responses with Huffman coding and a table of 256 bytes.
    #[test]
    fn the_example_of_the_rfc_with_evictions() {
        let mut decoder = Decoder { limit: Some(256), ..Decoder::default() };
        let first = b"\x48\x82\x64\x02\x58\x85\xae\xc3\x77\x1a\x4b\x61\x96\xd0\x7a\xbe\x94\x10\x54\
            \xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff\x6e\x91\x9d\x29\xad\x17\
            \x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3";
        let fields = read(&mut decoder, first);
        assert_eq!(fields[0], (":status".to_owned(), "302".to_owned()));
        assert_eq!(fields[3], ("location".to_owned(), "https://www.example.com".to_owned()));
        assert_eq!((decoder.size, decoder.table.len()), (222, 4));
        let fields = read(&mut decoder, b"\x48\x83\x64\x0e\xff\xc1\xc0\xbf");
        assert_eq!(fields[0].1, "307");
        assert_eq!(fields[3].1, "https://www.example.com");
        assert_eq!((decoder.size, decoder.table.len()), (222, 4));
    }

    #[test]
    fn what_is_written_is_read() {
        let mut block = Vec::new();
        no_table(&mut block);
        indexed(&mut block, 2);
        let long = "x".repeat(300);
        field(&mut block, Keep::No, ":path", b"/64");
        field(&mut block, Keep::No, "te", long.as_bytes());
        let fields = read(&mut Decoder::default(), &block);
        let wanted = [(":method", "GET"), (":path", "/64"), ("te", &long)];
        assert_eq!(fields, wanted.map(|(n, v)| (n.to_owned(), v.to_owned())));
        let mut decoder = Decoder::default();
        let mut block = Vec::new();
        field(&mut block, Keep::Yes, "te", b"trailers");
        field(&mut block, Keep::Yes, ":authority", b"a");
        read(&mut decoder, &block);
        let mut block = Vec::new();
        indexed(&mut block, 62);
        indexed(&mut block, 63);
        assert_eq!(read(&mut decoder, &block)[1].1, "trailers");
    }

    #[test]
    fn unwanted_fields_are_skipped() {
        let mut block = Vec::new();
        field(&mut block, Keep::No, "date", b"today");
        field(&mut block, Keep::No, ":status", b"418");
        let mut seen = Vec::new();
        let mut decoder = Decoder::default();
        decoder.decode(&block, false, |_, value| seen.push(value.to_vec())).expect("a block");
        assert_eq!(seen, [b"418"]);
    }

    #[test]
    fn what_breaks_off_is_malformed() {
        for block in [&b"\x00"[..], b"\x00\x05ab", b"\xff\xff\xff\xff\xff\x7f", b"\xff", b"\x80"] {
            assert!(Decoder::default().decode(block, true, |_, _| {}).is_err(), "{block:?}");
        }
    }
}
