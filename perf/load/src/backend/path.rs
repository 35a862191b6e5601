//! What a path asks for.

use crate::response::decimal;

/// The largest body and chunk, in bytes.
pub const LARGEST: u64 = 256 << 20;

/// The longest wait, in milliseconds.
const LONGEST: u64 = 3_600_000;

/// The paths, for whoever asked for another one.
pub const USAGE: &str = "paths: /SIZE  /slow/MS/SIZE  /stream/CHUNKS/SIZE[/MS]  /echo\n\
    SIZE is at most 256m: 64, 1k, 16k, 1m\n";

/// What is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// A body of `size` bytes, after `wait` milliseconds.
    Fixed {
        /// Bytes of body.
        size: u64,
        /// Milliseconds before the answer begins.
        wait: u64,
    },
    /// Chunks with `wait` milliseconds between them.
    Stream {
        /// How many, at least one.
        chunks: u64,
        /// Bytes of each, at least one.
        size: u64,
        /// Milliseconds between two.
        wait: u64,
    },
    /// Length and hash of the upload, as text.
    Echo,
    /// 404.
    Unknown,
}

impl Path {
    /// Reads a request target in origin form; a query does not count.
    pub fn parse(target: &[u8]) -> Self {
        let path = target.split(|&b| b == b'?').next().unwrap_or_default();
        Self::known(path).unwrap_or(Self::Unknown)
    }

    fn known(path: &[u8]) -> Option<Self> {
        let path = path.strip_prefix(b"/")?;
        // The usual one first.
        if let Some(size) = size(path) {
            return Some(Self::Fixed { size, wait: 0 });
        }
        if path == b"echo" {
            return Some(Self::Echo);
        }
        let mut parts = path.split(|&b| b == b'/');
        let found = match parts.next()? {
            b"slow" => Self::Fixed { wait: millis(parts.next()?)?, size: size(parts.next()?)? },
            b"stream" => Self::Stream {
                chunks: decimal(parts.next()?).filter(|&n| n > 0)?,
                size: size(parts.next()?).filter(|&n| n > 0)?,
                wait: parts.next().map_or(Some(0), millis)?,
            },
            _ => return None,
        };
        parts.next().is_none().then_some(found)
    }
}

fn millis(text: &[u8]) -> Option<u64> {
    decimal(text).filter(|&n| n <= LONGEST)
}

fn size(text: &[u8]) -> Option<u64> {
    let (digits, shift) = match text.split_last()? {
        (b'k' | b'K', digits) => (digits, 10),
        (b'm' | b'M', digits) => (digits, 20),
        _ => (text, 0),
    };
    let size = decimal(digits)?.checked_mul(1 << shift)?;
    (size <= LARGEST).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::Path;

    #[test]
    fn every_kind() {
        let fixed = |size, wait| Path::Fixed { size, wait };
        let stream = |chunks, size, wait| Path::Stream { chunks, size, wait };
        for (path, wanted) in [
            ("/64", fixed(64, 0)),
            ("/0", fixed(0, 0)),
            ("/16k?x=1", fixed(16_384, 0)),
            ("/1m", fixed(1 << 20, 0)),
            ("/slow/50/64", fixed(64, 50)),
            ("/stream/10/1k", stream(10, 1_024, 0)),
            ("/stream/10/1k/5", stream(10, 1_024, 5)),
            ("/echo", Path::Echo),
        ] {
            assert_eq!(Path::parse(path.as_bytes()), wanted, "{path}");
        }
    }

    #[test]
    fn what_is_unknown() {
        for path in [
            "",
            "/",
            "64",
            "/64/",
            "/x",
            "/1g",
            "/1000m",
            "/slow/50",
            "/slow/x/1",
            "/slow/1/2/3",
            "/stream/0/1",
            "/stream/1/0",
            "/stream/1/1/1/1",
            "/echo/1",
            "/99999999999999999999",
        ] {
            assert_eq!(Path::parse(path.as_bytes()), Path::Unknown, "{path}");
        }
    }
}
