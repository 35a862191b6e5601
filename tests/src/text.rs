//! Bytes as text, one character per byte (latin-1), so that what crossed the wire can be compared
//! and printed without loss.

/// Each byte as the character of the same number.
#[must_use]
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&b| char::from(b)).collect()
}

/// The reverse of [`latin1`]; characters over U+00FF are a mistake in the test.
#[must_use]
pub fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).expect("latin-1 text")).collect()
}

/// The first `limit` characters, escaped, for messages.
#[must_use]
pub fn brief(text: &str, limit: usize) -> String {
    let cut: String = text.chars().take(limit).collect();
    let more = if text.chars().nth(limit).is_some() { "…" } else { "" };
    format!("{}{more}", cut.escape_debug())
}

/// Field lines: name and value, in order.
pub type Fields = Vec<(String, String)>;

/// All values of the field `name`, in order.
#[must_use]
pub fn values<'a>(fields: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
}

/// The only value of the field `name`, or nothing.
#[must_use]
pub fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    match values(fields, name)[..] {
        [only] => Some(only),
        _ => None,
    }
}

/// The list elements of the field `name`, lower-case, without empty ones.
#[must_use]
pub fn tokens(fields: &[(String, String)], name: &str) -> Vec<String> {
    values(fields, name)
        .iter()
        .flat_map(|v| v.split(','))
        .map(|t| t.trim().to_ascii_lowercase())
        .filter(|t| !t.is_empty())
        .collect()
}

/// Whether this is a token of RFC 9110 5.6.2.
#[must_use]
pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A body whose every byte tells its position: byte `i` of the repeating pattern, whose period
/// is a prime, so that a lost, doubled or swapped block shows.
pub struct Pattern {
    block: Vec<u8>,
}

const PERIOD: usize = 65_521;

impl Default for Pattern {
    fn default() -> Self {
        let mut state = 0x9e37_79b9_u32;
        let mut block: Vec<u8> = Vec::with_capacity(PERIOD * 5);
        for _ in 0..PERIOD {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            block.push(b'a' + u8::try_from((state >> 24) % 26).unwrap_or(0));
        }
        for _ in 0..4 {
            block.extend_from_within(..PERIOD);
        }
        Self { block }
    }
}

impl Pattern {
    /// The bytes from `offset` on; at most 256 KiB.
    #[must_use]
    pub fn at(&self, offset: u64, len: usize) -> &[u8] {
        let start = usize::try_from(offset % PERIOD as u64).unwrap_or(0);
        &self.block[start..start + len.min(PERIOD * 4)]
    }

    /// Whether `bytes` are those at `offset`.
    #[must_use]
    pub fn matches(&self, offset: u64, bytes: &[u8]) -> bool {
        let mut at = offset;
        bytes.chunks(PERIOD).all(|part| {
            let same = self.at(at, part.len()) == part;
            at += part.len() as u64;
            same
        })
    }
}
