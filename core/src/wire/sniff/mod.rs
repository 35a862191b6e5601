//! Tells from a connection's first bytes which protocol it speaks: as soon as they decide it, and
//! never by how they happened to arrive.
//!
//! ```text
//! 24 bytes `PRI * HTTP/2.0 …`          HTTP/2 (RFC 9113 3.4)
//! 22, 3, 0…4, length, 1                TLS: a handshake record that begins a ClientHello
//! token, blank, … blank `HTTP/`        HTTP/1, well-formed or not: its parser is to answer
//! anything else                        opaque
//! ```
//! A line that begins like a request but ends, or has a control character, before `HTTP/` is none:
//! Redis' `PING`, SMTP's `EHLO host`, memcached's `get key` are opaque at their CR or LF.

mod hello;

use crate::wire::h1::names::is_tchar;

pub use hello::{MAX_HELLO, ServerName, server_name};

/// What an HTTP/2 client says first (RFC 9113 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A longer token is no method; the longest registered one has 17 bytes.
const MAX_METHOD: u8 = 64;
/// A line that has looked like a request for so long is one: HTTP/1 has a limit for it, and an
/// answer. Bytes.
const MAX_LINE: usize = 16 * 1024;

/// What the bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// HTTP/1, or something so like it that its parser is to refuse it.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// A TLS ClientHello; [`server_name`] reads on.
    Tls,
    /// None of these.
    Opaque,
    /// Not decided yet.
    NeedMore,
}

/// What a connection may turn out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Anything.
    Anything,
    /// HTTP: what is not HTTP/2 is HTTP/1, be it malformed.
    Http,
    /// HTTP/2, be it malformed: whoever reads the preface is to refuse what is none.
    Http2,
}

/// One connection's first bytes, looked at as they come. Each byte is looked at once.
#[derive(Clone, Copy, Debug)]
pub struct Sniffer {
    expect: Expect,
    /// Bytes that were looked at.
    at: u32,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// At the first byte.
    Start,
    /// In the one empty line that may precede a request (RFC 9112 2.2).
    EmptyLine,
    /// After it.
    AfterEmptyLine,
    /// In the method, so many bytes of it seen.
    Method(u8),
    /// In a later word: so many bytes of it are `HTTP/`'s; `None` when it is another.
    Word(Option<u8>),
    /// In the head of a TLS record.
    Record,
    Decided(Sniffed),
}

impl Sniffer {
    /// Nothing seen yet.
    #[must_use]
    pub const fn new(expect: Expect) -> Self {
        Self { expect, at: 0, state: State::Start }
    }

    /// What the connection may turn out to be.
    #[must_use]
    pub const fn expected(&self) -> Expect {
        self.expect
    }

    /// Looks at all bytes received so far: those of the last look and what has come since. Once
    /// decided, it stays so.
    pub fn look(&mut self, bytes: &[u8]) -> Sniffed {
        if let State::Decided(sniffed) = self.state {
            return sniffed;
        }
        let same = bytes.iter().zip(PREFACE).take_while(|(byte, wanted)| byte == wanted).count();
        let sniffed = if same == PREFACE.len() {
            Sniffed::Http2
        } else if same == bytes.len() {
            return Sniffed::NeedMore;
        } else {
            match self.expect {
                Expect::Anything => self.read_on(bytes),
                Expect::Http => Sniffed::Http1,
                Expect::Http2 => Sniffed::Http2,
            }
        };
        if sniffed != Sniffed::NeedMore {
            self.state = State::Decided(sniffed);
        }
        sniffed
    }

    fn read_on(&mut self, bytes: &[u8]) -> Sniffed {
        while let Some(&byte) = bytes.get(self.at as usize) {
            self.state = self.state.next(bytes, byte, self.at as usize);
            if let State::Decided(sniffed) = self.state {
                return sniffed;
            }
            self.at += 1;
        }
        Sniffed::NeedMore
    }
}

impl State {
    /// The state after `byte`, which is number `at` of `bytes`.
    fn next(self, bytes: &[u8], byte: u8, at: usize) -> Self {
        const OPAQUE: State = State::Decided(Sniffed::Opaque);
        match self {
            Self::Start if byte == hello::HANDSHAKE => Self::Record,
            Self::Start if byte == b'\r' => Self::EmptyLine,
            Self::EmptyLine if byte == b'\n' => Self::AfterEmptyLine,
            Self::Start | Self::AfterEmptyLine if is_tchar(byte) => Self::Method(1),
            Self::Start | Self::EmptyLine | Self::AfterEmptyLine => OPAQUE,
            Self::Method(_) if is_blank(byte) => Self::Word(Some(0)),
            Self::Method(length) if is_tchar(byte) && length < MAX_METHOD => {
                Self::Method(length + 1)
            }
            Self::Method(_) => OPAQUE,
            Self::Word(_) if at >= MAX_LINE => Self::Decided(Sniffed::Http1),
            Self::Word(_) if is_blank(byte) => Self::Word(Some(0)),
            Self::Word(_) if byte.is_ascii_control() => OPAQUE,
            Self::Word(seen) => Self::word(seen, byte),
            Self::Record => match hello::begins(&bytes[..=at]) {
                None => Self::Record,
                Some(true) => Self::Decided(Sniffed::Tls),
                Some(false) => OPAQUE,
            },
            Self::Decided(_) => self,
        }
    }

    /// In a word that is none of the method. In lower case it is as much a version, and as wrong.
    fn word(seen: Option<u8>, byte: u8) -> Self {
        const VERSION: &[u8] = b"HTTP/";
        match seen {
            Some(seen) if VERSION.get(usize::from(seen)) == Some(&byte.to_ascii_uppercase()) => {
                if usize::from(seen) + 1 == VERSION.len() {
                    Self::Decided(Sniffed::Http1)
                } else {
                    Self::Word(Some(seen + 1))
                }
            }
            _ => Self::Word(None),
        }
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::{Expect, MAX_LINE, PREFACE, Sniffed, Sniffer};

    /// The decision and how many bytes it took.
    fn decided(bytes: &[u8], expect: Expect) -> (Sniffed, usize) {
        let mut sniffer = Sniffer::new(expect);
        for end in 0..=bytes.len() {
            let sniffed = sniffer.look(&bytes[..end]);
            if sniffed != Sniffed::NeedMore {
                return (sniffed, end);
            }
        }
        (Sniffed::NeedMore, bytes.len())
    }

    #[test]
    fn each_protocol_is_decided_by_its_first_deciding_byte() {
        let rows: [(&[u8], Sniffed, usize); 33] = [
            (b"GET / HTTP/1.1\r\n", Sniffed::Http1, 11),
            (b"\r\nGET / HTTP/1.1\r\n", Sniffed::Http1, 13),
            (b"get\t/ http/0.1\r\n", Sniffed::Http1, 11),
            (b"GET  /  HTTP/1.1\r\n", Sniffed::Http1, 13),
            (b"GET HTTP/1.1\r\n", Sniffed::Http1, 9),
            (b"GET /a b HTTP/1.1\r\n", Sniffed::Http1, 14),
            (b"PRI * HTTP/1.1\r\n", Sniffed::Http1, 12),
            (b"PRI * HTTP/2.0\r\nX", Sniffed::Http1, 17),
            (PREFACE, Sniffed::Http2, 24),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", Sniffed::Tls, 6),
            (b"\x16\x03\x04\x00\x01\x01", Sniffed::Tls, 6),
            (b"\x16\x02\x01", Sniffed::Opaque, 2),
            (b"\x16\x03\x05", Sniffed::Opaque, 3),
            (b"\x16\x03\x01\x00\x00\x01", Sniffed::Opaque, 5),
            (b"\x16\x03\x01\x40\x01\x01", Sniffed::Opaque, 5),
            (b"\x16\x03\x01\x02\x00\x02", Sniffed::Opaque, 6),
            (b"\x80\x2e\x01\x00\x02", Sniffed::Opaque, 1),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", Sniffed::Opaque, 1),
            (b"*1\r\n$4\r\nPING\r\n", Sniffed::Opaque, 3),
            (b"PING\r\n", Sniffed::Opaque, 5),
            (b"GET key\r\n", Sniffed::Opaque, 8),
            (b"GET /\n", Sniffed::Opaque, 6),
            (b"GET / HTTP\r\n", Sniffed::Opaque, 11),
            (b"EHLO example.test\r\n", Sniffed::Opaque, 18),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Sniffed::Opaque, 20),
            (b"USER guest 0 * :Ronnie Reagan\r\n", Sniffed::Opaque, 30),
            (b"GET /\0 HTTP/1.1\r\n", Sniffed::Opaque, 6),
            (b"\r\n\r\nGET / HTTP/1.1\r\n", Sniffed::Opaque, 3),
            (b"\n", Sniffed::Opaque, 1),
            (b"<policy/>", Sniffed::Opaque, 1),
            (b"{\"a\": 1}", Sniffed::Opaque, 1),
            (b"PRI", Sniffed::NeedMore, 3),
            (b"GET / HTT", Sniffed::NeedMore, 9),
        ];
        for (bytes, sniffed, at) in rows {
            let shown = bytes.escape_ascii().to_string();
            assert_eq!(decided(bytes, Expect::Anything), (sniffed, at), "{shown}");
        }
    }

    #[test]
    fn where_http_is_expected_what_is_not_http2_is_http1() {
        let rows: [(&[u8], Sniffed, usize); 6] = [
            (b"GET", Sniffed::Http1, 1),
            (b"POST", Sniffed::Http1, 2),
            (b"\x16\x03", Sniffed::Http1, 1),
            (b"PRI * HTTP/2.0\r\n\r\nXX", Sniffed::Http1, 19),
            (b"PRI *", Sniffed::NeedMore, 5),
            (PREFACE, Sniffed::Http2, 24),
        ];
        for (bytes, sniffed, at) in rows {
            assert_eq!(decided(bytes, Expect::Http), (sniffed, at), "{bytes:?}");
        }
    }

    #[test]
    fn where_http2_is_expected_nothing_else_is_taken_for_anything() {
        let rows: [(&[u8], Sniffed, usize); 4] = [
            (b"GET / HTTP/1.1\r\n", Sniffed::Http2, 1),
            (b"PRI * HTTP/1.1\r\n", Sniffed::Http2, 12),
            (b"PRI *", Sniffed::NeedMore, 5),
            (PREFACE, Sniffed::Http2, 24),
        ];
        for (bytes, sniffed, at) in rows {
            assert_eq!(decided(bytes, Expect::Http2), (sniffed, at), "{bytes:?}");
        }
    }

    #[test]
    fn what_never_ends_is_decided_all_the_same() {
        let method = vec![b'A'; 100];
        assert_eq!(decided(&method, Expect::Anything), (Sniffed::Opaque, 65));
        let line = [&b"GET /"[..], &vec![b'a'; 2 * MAX_LINE]].concat();
        assert_eq!(decided(&line, Expect::Anything), (Sniffed::Http1, MAX_LINE + 1));
        let blanks = [&b"GET"[..], &vec![b' '; 2 * MAX_LINE]].concat();
        assert_eq!(decided(&blanks, Expect::Anything).0, Sniffed::Http1);
    }
}
