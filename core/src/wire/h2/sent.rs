//! Follows the frames that we send, for the resets among them: those that the peer has provoked by
//! breaking the protocol show nowhere else, because the `h2` crate makes them by itself.

const FRAME_HEADER: usize = 9;
/// Bytes of a client's preface before its first frame (RFC 9113 3.4).
const PREFACE: u32 = 24;
const RST_STREAM: u8 = 3;

/// What has been sent on one connection.
#[derive(Debug, Default)]
pub struct Sent {
    /// The next frame's header, and a reset's code.
    begun: [u8; FRAME_HEADER + 4],
    come: usize,
    /// Bytes to pass over before it.
    skip: u32,
}

impl Sent {
    /// As a client, whose preface comes first.
    #[must_use]
    pub fn as_client() -> Self {
        Self { skip: PREFACE, ..Self::default() }
    }

    /// Follows what was sent: how many streams it resets for what the peer did on them.
    pub fn follow(&mut self, mut bytes: &[u8]) -> u32 {
        let mut provoked = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let length = bytes.len().min(self.skip as usize);
                // No more than `skip`.
                self.skip -= length as u32;
                bytes = &bytes[length..];
                continue;
            }
            let reset = self.come >= FRAME_HEADER;
            let wanted = if reset { self.begun.len() } else { FRAME_HEADER };
            let length = bytes.len().min(wanted - self.come);
            if let (FRAME_HEADER, Some(header)) = (length, bytes.first_chunk::<FRAME_HEADER>()) {
                self.begun[..FRAME_HEADER].copy_from_slice(header);
            } else {
                self.begun[self.come..self.come + length].copy_from_slice(&bytes[..length]);
            }
            self.come += length;
            bytes = &bytes[length..];
            if self.come == wanted {
                provoked += self.whole(reset);
            }
        }
        provoked
    }

    fn whole(&mut self, reset: bool) -> u32 {
        let [a, b, c, kind, .., code] = self.begun;
        if !reset && kind == RST_STREAM {
            // Its code is still to come.
            return 0;
        }
        self.come = 0;
        if reset {
            return u32::from(is_provoked(code));
        }
        self.skip = u32::from_be_bytes([0, a, b, c]);
        0
    }
}

/// Codes of protocol, flow-control, closed, size, refused and compression errors (RFC 9113 7). Those
/// that are left are our own doing: a response that came early, an endpoint that broke down.
const fn is_provoked(code: u8) -> bool {
    matches!(code, 1 | 3 | 5 | 6 | 7 | 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        out.extend_from_slice(&[kind, 0, 0, 0, 0, 1]);
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn provoked_resets_are_told_from_our_own_however_frames_are_cut() {
        let mut all = vec![b'p'; 24];
        all.extend(frame(4, b"123456"));
        for code in 0..14 {
            all.extend(frame(RST_STREAM, &[0, 0, 0, code]));
            all.extend(frame(0, &[RST_STREAM; 20]));
            all.extend(frame(4, b""));
        }
        for size in 1..all.len() {
            let mut sent = Sent::as_client();
            let provoked: u32 = all.chunks(size).map(|piece| sent.follow(piece)).sum();
            assert_eq!(provoked, 6, "{size}");
            assert_eq!((sent.skip, sent.come), (0, 0));
        }
    }
}
