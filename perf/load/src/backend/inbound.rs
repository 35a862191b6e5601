//! Reads request heads: what is asked, how its body is framed, whether the connection lasts.

use std::mem::MaybeUninit;

use super::path::Path;
use crate::chunked::Decoder;
use crate::response::decimal;

/// The longest head, in bytes.
pub const LONGEST: usize = 64 * 1024;

const FIELDS: usize = 96;

/// A request's `x-request-id`, at most 64 bytes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    bytes: [u8; 64],
    length: usize,
}

impl Id {
    /// None for a longer one.
    pub fn new(value: &[u8]) -> Option<Self> {
        let mut bytes = [0; 64];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        Some(Self { bytes, length: value.len() })
    }

    /// As it was received.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The body that follows a head.
#[derive(Clone, Copy, Debug)]
pub enum Upload {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Decoder),
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// What is asked for.
    pub path: Path,
    /// Its id, to be echoed.
    pub id: Option<Id>,
    /// Whether the connection ends with the response.
    pub close: bool,
    /// Whether it is HTTP/1.0, which knows no chunks and has to be told of keep-alive.
    pub old: bool,
    /// Whether the response has no body (HEAD).
    pub headless: bool,
    /// Whether the client waits for `100 Continue`.
    pub waits: bool,
    /// Its body.
    pub upload: Upload,
}

/// Why a head cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadHead;

/// Reads the head at the front of `bytes` and says where it ends; nothing while it is incomplete.
pub fn read(bytes: &[u8]) -> Result<Option<(Ask, usize)>, BadHead> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut head = httparse::Request::new(&mut []);
    let at = match head.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(at)) => at,
        Ok(httparse::Status::Partial) if bytes.len() > LONGEST => return Err(BadHead),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(BadHead),
    };
    let old = head.version == Some(0);
    let mut ask = Ask {
        path: Path::parse(head.path.unwrap_or_default().as_bytes()),
        id: None,
        close: old,
        old,
        headless: head.method == Some("HEAD"),
        waits: false,
        upload: Upload::Length(0),
    };
    for field in head.headers.iter() {
        take(&mut ask, field.name, field.value)?;
    }
    Ok(Some((ask, at)))
}

fn take(ask: &mut Ask, name: &str, value: &[u8]) -> Result<(), BadHead> {
    let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
    match name.len() {
        6 if is("expect") => ask.waits = value.eq_ignore_ascii_case(b"100-continue"),
        10 if is("connection") => {
            for token in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
                if token.eq_ignore_ascii_case(b"close") {
                    ask.close = true;
                } else if token.eq_ignore_ascii_case(b"keep-alive") && ask.old {
                    ask.close = false;
                }
            }
        }
        12 if is("x-request-id") => ask.id = Id::new(value),
        14 if is("content-length") => {
            let length = decimal(value).ok_or(BadHead)?;
            match ask.upload {
                Upload::Length(0) => ask.upload = Upload::Length(length),
                Upload::Length(other) if other == length => {}
                _ => return Err(BadHead),
            }
        }
        17 if is("transfer-encoding") => {
            if !value.eq_ignore_ascii_case(b"chunked") || !matches!(ask.upload, Upload::Length(0)) {
                return Err(BadHead);
            }
            ask.upload = Upload::Chunked(Decoder::default());
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::panic, reason = "a failed expectation is a failed test")]
mod tests {
    use super::{Ask, BadHead, Upload, read};
    use crate::backend::path::Path;

    fn ask(head: &str) -> Ask {
        let read = read(head.as_bytes());
        let Ok(Some((ask, at))) = read else { panic!("{read:?}: {head}") };
        assert_eq!(at, head.len());
        ask
    }

    #[test]
    fn a_usual_request() {
        let found = ask("GET /64 HTTP/1.1\r\nHost: a\r\nX-Request-ID: ab\r\n\r\n");
        assert_eq!(found.path, Path::Fixed { size: 64, wait: 0 });
        assert_eq!(found.id.as_ref().map(super::Id::as_bytes), Some(&b"ab"[..]));
        assert!(!found.close && !found.old && !found.headless && !found.waits);
        assert!(matches!(found.upload, Upload::Length(0)));
    }

    #[test]
    fn how_connections_end() {
        assert!(ask("GET / HTTP/1.1\r\nConnection: foo, close\r\n\r\n").close);
        assert!(ask("GET / HTTP/1.0\r\n\r\n").close);
        assert!(!ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").close);
    }

    #[test]
    fn uploads() {
        let found = ask("POST /echo HTTP/1.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n");
        assert!(matches!(found.upload, Upload::Length(9)) && found.waits);
        let found = ask("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert!(matches!(found.upload, Upload::Chunked(_)));
    }

    #[test]
    fn bad_and_incomplete_heads() {
        for head in [
            "GET /\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        ] {
            assert!(matches!(read(head.as_bytes()), Err(BadHead)), "{head}");
        }
        assert!(matches!(read(b"GET / HTTP/1.1\r\nHost"), Ok(None)));
    }
}
