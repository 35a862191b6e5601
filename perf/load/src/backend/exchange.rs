//! Answers: from a request to the bytes of its response.

use std::io::{self, Write as _};

use super::body::Bodies;
use super::client::{Client, Received};
use super::inbound::{Ask, Upload};
use super::path::{Path, USAGE};
use crate::fnv::hex;

/// What a client whose request cannot be read is told before the connection ends.
pub const BAD: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What a client that waits for it is told.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Ask {
    /// Whether anybody will look at the hash of its upload.
    pub fn wants_hash(&self) -> bool {
        self.id.is_some() || self.path == Path::Echo
    }

    /// How many of the next bytes belong to an upload that nobody looks at.
    pub fn droppable(&self) -> u64 {
        match self.upload {
            Upload::Length(left) if !self.wants_hash() => left,
            _ => 0,
        }
    }

    /// Milliseconds before its answer begins.
    pub fn wait(&self) -> u64 {
        match self.path {
            Path::Fixed { wait, .. } => wait,
            _ => 0,
        }
    }

    /// Milliseconds between the chunks of its answer.
    pub fn pause(&self) -> u64 {
        match self.path {
            Path::Stream { wait, .. } => wait,
            _ => 0,
        }
    }
}

/// Begins the answer. Whether all that was begun is sent.
pub fn answer(
    client: &mut Client,
    ask: &Ask,
    received: &Received,
    bodies: &mut Bodies,
    scratch: &mut Vec<u8>,
) -> io::Result<bool> {
    scratch.clear();
    match ask.path {
        Path::Fixed { size, .. } => {
            let plain = ask.id.is_none() && !ask.close && !ask.old && !ask.headless;
            if plain && let Some(whole) = bodies.whole(size) {
                // Borrowed from `bodies`, which sending needs, too: only for a body, and there
                // is none beside this one.
                let moved = crate::socket::send(&client.socket, whole)?;
                if moved == crate::socket::Moved::Bytes(whole.len()) {
                    return Ok(true);
                }
                let sent = match moved {
                    crate::socket::Moved::Bytes(n) => n,
                    crate::socket::Moved::Nothing => 0,
                };
                scratch.extend_from_slice(&whole[sent..]);
                return client.send(scratch, 0, b"", bodies);
            }
            let hash = ask.id.map(|_| bodies.hash(1, size));
            write!(scratch, "HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n")?;
            fields(scratch, ask, received, hash.map(|h| (size, h)))?;
            client.send(scratch, if ask.headless { 0 } else { size }, b"", bodies)
        }
        Path::Stream { .. } if ask.old => {
            text(client, ask, received, bodies, scratch, ("505 HTTP Version Not Supported", ""))
        }
        Path::Stream { chunks, size, .. } => {
            let hash = ask.id.map(|_| bodies.hash(chunks, size));
            write!(scratch, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n")?;
            fields(scratch, ask, received, hash.map(|h| (chunks * size, h)))?;
            client.chunks = if ask.headless { 0 } else { chunks };
            if ask.headless {
                return client.send(scratch, 0, b"", bodies);
            }
            chunk(client, ask, bodies, scratch)
        }
        Path::Echo => {
            let digits = hex(received.hash.value());
            let hash = String::from_utf8_lossy(&digits);
            let body = format!("length={} hash={hash}\n", received.length);
            text(client, ask, received, bodies, scratch, ("200 OK", &body))
        }
        Path::Unknown => text(client, ask, received, bodies, scratch, ("404 Not Found", USAGE)),
    }
}

/// Sends the next chunk of a stream behind what `scratch` holds.
pub fn chunk(
    client: &mut Client,
    ask: &Ask,
    bodies: &Bodies,
    scratch: &mut Vec<u8>,
) -> io::Result<bool> {
    let Path::Stream { size, .. } = ask.path else { return Ok(true) };
    client.chunks = client.chunks.saturating_sub(1);
    write!(scratch, "{size:x}\r\n")?;
    let tail: &[u8] = if client.chunks == 0 { b"\r\n0\r\n\r\n" } else { b"\r\n" };
    client.send(scratch, size, tail, bodies)
}

/// A short answer in words.
fn text(
    client: &mut Client,
    ask: &Ask,
    received: &Received,
    bodies: &Bodies,
    scratch: &mut Vec<u8>,
    (status, body): (&str, &str),
) -> io::Result<bool> {
    write!(scratch, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len())?;
    let hash = crate::fnv::Fnv::of(body.as_bytes());
    fields(scratch, ask, received, Some((body.len() as u64, hash)))?;
    if !ask.headless {
        scratch.extend_from_slice(body.as_bytes());
    }
    client.send(scratch, 0, b"", bodies)
}

/// What depends on the request, and the empty line.
fn fields(
    out: &mut Vec<u8>,
    ask: &Ask,
    received: &Received,
    body: Option<(u64, u64)>,
) -> io::Result<()> {
    if ask.close {
        out.extend_from_slice(b"connection: close\r\n");
    } else if ask.old {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    if let (Some(id), Some((length, hash))) = (&ask.id, body) {
        out.extend_from_slice(b"x-request-id: ");
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(b"\r\nx-body-hash: ");
        out.extend_from_slice(&hex(hash));
        write!(out, "\r\nx-body-length: {length}\r\nx-upload-hash: ")?;
        out.extend_from_slice(&hex(received.hash.value()));
        write!(out, "\r\nx-upload-length: {}\r\n", received.length)?;
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}
