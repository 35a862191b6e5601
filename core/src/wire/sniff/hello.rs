//! The ClientHello of TLS (RFC 8446 4.1.2): whether bytes begin one, and the server name in it.

/// The type of a record that carries a handshake (RFC 8446 5.1).
pub(super) const HANDSHAKE: u8 = 22;
/// The type of a handshake message.
const CLIENT_HELLO: u8 = 1;
/// The extension that names the server (RFC 6066 3).
const SERVER_NAME: u16 = 0;
/// A name that is a host's.
const HOST_NAME: u8 = 0;
/// A record's content, in bytes.
const MAX_RECORD: usize = 1 << 14;
/// The longest name of a host (RFC 1035 2.3.4, in text form).
const MAX_NAME: usize = 253;

/// A server name is looked for in so many bytes and no more.
pub const MAX_HELLO: usize = 16 * 1024;

/// Which server a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerName {
    /// The name, as the client wrote it: letters, digits, `-`, `_` and `.`.
    Found(Box<str>),
    /// It names none, or nothing that could be a host; or what it says is no ClientHello.
    Absent,
    /// The bytes end before that is known.
    NeedMore,
}

/// Whether `bytes`, which begin with [`HANDSHAKE`], begin a ClientHello; `None` while they may.
pub(super) fn begins(bytes: &[u8]) -> Option<bool> {
    match record(bytes) {
        Err(Stop::Malformed) => Some(false),
        Err(Stop::NeedMore) => None,
        Ok(_) => bytes.get(5).map(|&message| message == CLIENT_HELLO),
    }
}

/// Looks for the server name in all bytes received so far; where the hello is cut into records or
/// reads makes no difference.
#[must_use]
pub fn server_name(bytes: &[u8]) -> ServerName {
    let window = &bytes[..bytes.len().min(MAX_HELLO)];
    match Reader::new(window).server_name() {
        Ok(Some(name)) => ServerName::Found(name),
        Err(Stop::NeedMore) if window.len() < MAX_HELLO => ServerName::NeedMore,
        Ok(None) | Err(Stop::NeedMore | Stop::Malformed) => ServerName::Absent,
    }
}

/// Why reading stops.
enum Stop {
    NeedMore,
    Malformed,
}

/// The length of the record at the front of `bytes`; what is wrong is said as early as it shows.
fn record(bytes: &[u8]) -> Result<usize, Stop> {
    let valid = |at: usize, test: fn(u8) -> bool| bytes.get(at).is_none_or(|&byte| test(byte));
    // The version is frozen: 3.1 mostly, whatever is spoken (RFC 8446 5.1).
    if !valid(0, |b| b == HANDSHAKE) || !valid(1, |b| b == 3) || !valid(2, |b| b <= 4) {
        return Err(Stop::Malformed);
    }
    match bytes.get(3..5) {
        Some(&[high, low]) => match usize::from(u16::from_be_bytes([high, low])) {
            length @ 1..=MAX_RECORD => Ok(length),
            _ => Err(Stop::Malformed),
        },
        _ => Err(Stop::NeedMore),
    }
}

/// A handshake message, without the heads of the records that carry it.
struct Reader<'b> {
    rest: &'b [u8],
    /// Bytes of the present record still to come.
    record: usize,
    /// Bytes of the message still to come.
    left: usize,
}

impl<'b> Reader<'b> {
    const fn new(rest: &'b [u8]) -> Self {
        Self { rest, record: 0, left: usize::MAX }
    }

    fn server_name(mut self) -> Result<Option<Box<str>>, Stop> {
        if self.byte()? != CLIENT_HELLO {
            return Err(Stop::Malformed);
        }
        self.left = self.number(3)?;
        // Version and random.
        self.skip(2 + 32)?;
        let session = self.number(1)?;
        self.skip(session)?;
        let ciphers = self.number(2)?;
        self.skip(ciphers)?;
        let compressions = self.number(1)?;
        self.skip(compressions)?;
        if self.left == 0 {
            // TLS 1.2 and before need no extensions.
            return Ok(None);
        }
        let extensions = self.number(2)?;
        let end = self.left.checked_sub(extensions).ok_or(Stop::Malformed)?;
        while self.left > end {
            let (kind, length) = (self.number(2)?, self.number(2)?);
            if kind == usize::from(SERVER_NAME) {
                return self.host(length);
            }
            self.skip(length)?;
        }
        Ok(None)
    }

    /// The host in a server name extension of `length` bytes.
    fn host(&mut self, length: usize) -> Result<Option<Box<str>>, Stop> {
        let end = self.left.checked_sub(length).ok_or(Stop::Malformed)?;
        let list = self.number(2)?;
        if self.left.checked_sub(list) != Some(end) {
            return Err(Stop::Malformed);
        }
        while self.left > end {
            let kind = self.byte()?;
            let length = self.number(2)?;
            if self.left < end + length {
                return Err(Stop::Malformed);
            }
            if kind == HOST_NAME {
                return self.name(length);
            }
            self.skip(length)?;
        }
        Ok(None)
    }

    fn name(&mut self, length: usize) -> Result<Option<Box<str>>, Stop> {
        if length == 0 || length > MAX_NAME {
            return Ok(None);
        }
        let mut name = String::with_capacity(length);
        for _ in 0..length {
            let byte = self.byte()?;
            if !byte.is_ascii_alphanumeric() && !b"-_.".contains(&byte) {
                return Ok(None);
            }
            name.push(char::from(byte));
        }
        Ok(Some(name.into()))
    }

    /// A number of `size` bytes.
    fn number(&mut self, size: usize) -> Result<usize, Stop> {
        let mut number = 0;
        for _ in 0..size {
            number = number << 8 | usize::from(self.byte()?);
        }
        Ok(number)
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        let bytes = self.some(1)?;
        bytes.first().copied().ok_or(Stop::NeedMore)
    }

    fn skip(&mut self, mut count: usize) -> Result<(), Stop> {
        if count > self.left {
            return Err(Stop::Malformed);
        }
        while count > 0 {
            count -= self.some(count)?.len();
        }
        Ok(())
    }

    /// The next bytes that lie together: at least one and at most `count`.
    fn some(&mut self, count: usize) -> Result<&'b [u8], Stop> {
        if self.left == 0 {
            return Err(Stop::Malformed);
        }
        if self.record == 0 {
            self.record = record(self.rest)?;
            self.rest = &self.rest[5..];
        }
        let count = count.min(self.record).min(self.rest.len());
        if count == 0 {
            return Err(Stop::NeedMore);
        }
        let (bytes, rest) = self.rest.split_at(count);
        self.rest = rest;
        self.record -= count;
        self.left -= count;
        Ok(bytes)
    }
}
