//! The chunked transfer coding (RFC 9112, section 7.1): an incremental decoder and an encoder.

/// Why a body cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadChunk;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { value: u64, digits: u8 },
    Extension { value: u64 },
    SizeEnd { value: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer { empty: bool },
    Done,
}

/// Reads a chunked body piece by piece.
#[derive(Clone, Copy, Debug)]
pub struct Decoder(State);

impl Default for Decoder {
    fn default() -> Self {
        Self(State::Size { value: 0, digits: 0 })
    }
}

impl Decoder {
    /// Whether the last chunk and its trailers were read.
    pub fn is_done(&self) -> bool {
        self.0 == State::Done
    }

    /// Takes bytes until the body ends, hands body bytes to `data` and returns how many were
    /// taken. Anything that is not a chunk is an error.
    pub fn feed(&mut self, bytes: &[u8], mut data: impl FnMut(&[u8])) -> Result<usize, BadChunk> {
        let mut at = 0;
        while at < bytes.len() && self.0 != State::Done {
            if let State::Data { left } = self.0 {
                let rest = &bytes[at..];
                let n = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                data(&rest[..n]);
                at += n;
                let left = left - n as u64;
                self.0 = if left == 0 { State::DataCr } else { State::Data { left } };
            } else {
                self.0 = self.step(bytes[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    fn step(&self, byte: u8) -> Result<State, BadChunk> {
        Ok(match (self.0, byte) {
            (State::Size { value, digits }, c) if c.is_ascii_hexdigit() && digits < 15 => {
                let digit = u64::from((c as char).to_digit(16).unwrap_or(0));
                State::Size { value: value << 4 | digit, digits: digits + 1 }
            }
            (State::Size { value, digits: 1.. }, b'\r') => State::SizeEnd { value },
            (State::Size { value, digits: 1.. }, b';' | b' ' | b'\t') => State::Extension { value },
            (State::Extension { value }, b'\r') => State::SizeEnd { value },
            (State::Extension { value }, c) if c != b'\n' => State::Extension { value },
            (State::SizeEnd { value: 0 }, b'\n') => State::Trailer { empty: true },
            (State::SizeEnd { value }, b'\n') => State::Data { left: value },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { value: 0, digits: 0 },
            (State::Trailer { empty: true }, b'\n') => State::Done,
            (State::Trailer { empty: false }, b'\n') => State::Trailer { empty: true },
            (State::Trailer { empty }, b'\r') => State::Trailer { empty },
            (State::Trailer { .. }, _) => State::Trailer { empty: false },
            _ => return Err(BadChunk),
        })
    }
}

/// `body` in chunks of at most `size` bytes, with the last chunk.
pub fn encode(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + body.len() / size * 10 + 16);
    for chunk in body.chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::{BadChunk, Decoder, encode};

    fn decode(wire: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), BadChunk> {
        let (mut decoder, mut body, mut taken) = (Decoder::default(), Vec::new(), 0);
        for piece in wire.chunks(step) {
            taken += decoder.feed(piece, |b| body.extend_from_slice(b))?;
        }
        Ok((body, taken, decoder.is_done()))
    }

    #[test]
    fn however_it_is_cut() {
        let body: Vec<u8> = (0..100u8).collect();
        let wire = encode(&body, 7);
        for step in 1..=wire.len() {
            assert_eq!(decode(&wire, step), Ok((body.clone(), wire.len(), true)), "step {step}");
        }
    }

    #[test]
    fn extensions_trailers_and_what_follows() {
        let wire = b"3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\nHTTP/1.1";
        assert_eq!(decode(wire, 1000), Ok((b"abc".to_vec(), wire.len() - 8, true)));
    }

    #[test]
    fn what_is_no_chunk() {
        for wire in [&b"\r\n"[..], b"g\r\n", b"3\r\nabcd\r\n", b"3\nabc", b"1000000000000000\r\n"] {
            assert_eq!(decode(wire, 1), Err(BadChunk), "{}", wire.escape_ascii());
        }
        assert_eq!(decode(b"5\r\nab", 1).map(|d| d.2), Ok(false));
    }
}
