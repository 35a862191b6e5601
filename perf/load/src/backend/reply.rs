//! Answers in HTTP/2: from a request to the frames of its response.

use super::body::Bodies;
use super::path::{Path, USAGE};
use super::streams::Asked;
use crate::fnv::{Fnv, hex};
use crate::h2::frame;
use crate::h2::hpack::{self, Keep};
use crate::h2::message::prefixed;

/// Where `:status 200` and `:status 404` are in the static table.
const OK: usize = 8;
const NOT_FOUND: usize = 13;

/// An answer whose head was written.
#[derive(Debug)]
pub struct Reply {
    /// What is sent first: a text, or what stands before a message of gRPC.
    text: Vec<u8>,
    /// Then so many bytes of the block, over and over.
    period: u64,
    /// Bytes of all that, and how many were written.
    length: u64,
    at: u64,
    /// Whether trailers follow.
    grpc: bool,
}

impl Reply {
    /// Writes the head.
    pub fn begin(stream: u32, asked: &Asked, bodies: &mut Bodies, out: &mut Vec<u8>) -> Self {
        let (text, period, total) = match asked.path {
            Path::Fixed { size, .. } if asked.grpc => {
                // What is sent behind it is the message.
                let mut prefix = prefixed(&[]);
                prefix[1..].copy_from_slice(&(size as u32).to_be_bytes());
                (prefix, size, size)
            }
            Path::Fixed { size, .. } => (Vec::new(), size, size),
            Path::Stream { chunks, size, .. } => (Vec::new(), size, chunks * size),
            Path::Echo => {
                let digits = hex(asked.received.hash.value());
                let hash = String::from_utf8_lossy(&digits);
                (format!("length={} hash={hash}\n", asked.received.length).into_bytes(), 1, 0)
            }
            Path::Unknown => (USAGE.as_bytes().to_vec(), 1, 0),
        };
        let mut length = text.len() as u64 + total;
        let mut block = Vec::with_capacity(128);
        hpack::indexed(&mut block, if asked.path == Path::Unknown { NOT_FOUND } else { OK });
        if asked.grpc {
            hpack::field(&mut block, Keep::No, "content-type", b"application/grpc");
        } else {
            hpack::field(&mut block, Keep::No, "content-length", length.to_string().as_bytes());
        }
        if let Some(id) = &asked.id {
            let hash = bodies.hash_behind(&text, total / period.max(1), period);
            let uploaded = asked.received.length.to_string();
            for (name, value) in [
                ("x-request-id", id.as_bytes()),
                ("x-body-hash", &hex(hash)),
                ("x-body-length", length.to_string().as_bytes()),
                ("x-upload-hash", &hex(asked.received.hash.value())),
                ("x-upload-length", uploaded.as_bytes()),
            ] {
                hpack::field(&mut block, Keep::No, name, value);
            }
        }
        if asked.headless {
            length = 0;
        }
        frame::headers(out, stream, block.len(), length == 0);
        out.extend_from_slice(&block);
        Self { text, period, length, at: 0, grpc: asked.grpc }
    }

    /// Bytes of the body that are still to be written.
    pub fn left(&self) -> usize {
        usize::try_from(self.length - self.at).unwrap_or(usize::MAX)
    }

    /// Whether all of it was written.
    pub const fn is_done(&self) -> bool {
        self.at == self.length
    }

    /// Writes the next `n` bytes as a frame, and behind the last ones what ends the stream.
    pub fn write(&mut self, stream: u32, n: usize, bodies: &Bodies, out: &mut Vec<u8>) {
        let end = self.at + n as u64;
        frame::data(out, stream, n, end == self.length && !self.grpc);
        while self.at < end {
            let text = self.text.len() as u64;
            if self.at < text {
                let (from, to) = (self.at as usize, end.min(text) as usize);
                out.extend_from_slice(&self.text[from..to]);
                self.at = to as u64;
                continue;
            }
            let from = (self.at - text) % self.period;
            let piece = bodies.piece(from, (self.period - from).min(end - self.at));
            out.extend_from_slice(&piece);
            self.at += piece.len() as u64;
        }
        if end == self.length && self.grpc {
            let mut block = Vec::with_capacity(16);
            hpack::field(&mut block, Keep::No, "grpc-status", b"0");
            frame::headers(out, stream, block.len(), true);
            out.extend_from_slice(&block);
        }
    }
}

impl Bodies {
    /// The hash of `text` and, behind it, of `times` the body of `size` bytes.
    fn hash_behind(&mut self, text: &[u8], times: u64, size: u64) -> u64 {
        if text.is_empty() {
            return self.hash(times, size);
        }
        let mut hash = Fnv::default();
        hash.add(text);
        let mut left = times * size;
        while left > 0 {
            let piece = self.piece(times * size - left, left);
            hash.add(&piece);
            left -= piece.len() as u64;
        }
        hash.value()
    }
}
