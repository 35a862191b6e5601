//! Bodies too large to keep: sent and checked as they stream, byte by byte, as [`Pattern`].

use std::io::{BufWriter, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::text::Pattern;

const BLOCK: usize = 128 << 10;

/// GET `path` and compare its body of `length` bytes with the pattern.
///
/// # Errors
/// What is wrong with the response.
pub fn download(address: SocketAddr, path: &str, length: u64) -> Result<(), String> {
    let mut stream = connect(address)?;
    let ask = format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n");
    stream.write_all(ask.as_bytes()).map_err(|e| e.to_string())?;
    let (head, early) = read_head(&mut stream)?;
    let lower = head.to_ascii_lowercase();
    if !head.starts_with("HTTP/1.1 200") || !lower.contains(&format!("content-length: {length}")) {
        return Err(format!("unexpected head {head:?}"));
    }
    let pattern = Pattern::default();
    if !pattern.matches(0, &early) {
        return Err("the body's beginning is wrong".into());
    }
    let mut at = early.len() as u64;
    let mut block = vec![0; BLOCK];
    while at < length {
        let n = stream.read(&mut block).map_err(|e| format!("{e} after {at} bytes"))?;
        if n == 0 {
            return Err(format!("closed after {at} of {length} bytes"));
        }
        if !pattern.matches(at, &block[..n]) {
            return Err(format!("wrong bytes in {at}..{}", at + n as u64));
        }
        at += n as u64;
    }
    if at == length { Ok(()) } else { Err(format!("{at} bytes instead of {length}")) }
}

/// Sends `length` bytes of the pattern in chunks of changing size; returns the answer's head.
///
/// # Errors
/// What went wrong.
pub fn upload_chunked(
    address: SocketAddr,
    method: &str,
    path: &str,
    length: u64,
) -> Result<String, String> {
    let mut stream = connect(address)?;
    let mut out = BufWriter::with_capacity(BLOCK, &stream);
    let failed = |e: std::io::Error| format!("upload: {e}");
    write!(out, "{method} {path} HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        .map_err(failed)?;
    let pattern = Pattern::default();
    let (mut at, mut size) = (0, 1);
    while at < length {
        let rest = usize::try_from(length - at).unwrap_or(usize::MAX);
        let part = pattern.at(at, size.min(rest));
        write!(out, "{:x}\r\n", part.len()).map_err(failed)?;
        out.write_all(part).and_then(|()| out.write_all(b"\r\n")).map_err(failed)?;
        at += part.len() as u64;
        size = (size * 3 + 7) % (200 << 10) + 1;
    }
    out.write_all(b"0\r\n\r\n").and_then(|()| out.flush()).map_err(failed)?;
    drop(out);
    read_head(&mut stream).map(|(head, _)| head)
}

/// Writes a file of the pattern.
///
/// # Panics
/// When that fails.
pub fn write_file(path: &Path, length: u64) {
    let mut file = std::fs::File::create(path).unwrap();
    let pattern = Pattern::default();
    let mut at = 0;
    while at < length {
        let part = pattern.at(at, usize::try_from(length - at).unwrap_or(usize::MAX).min(BLOCK));
        file.write_all(part).unwrap();
        at += part.len() as u64;
    }
}

/// Whether a file is the pattern, all of it.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn file_matches(path: &Path, length: u64) -> bool {
    let mut file = std::fs::File::open(path).unwrap();
    let pattern = Pattern::default();
    let mut block = vec![0; BLOCK];
    let mut at = 0;
    loop {
        let n = file.read(&mut block).unwrap();
        if n == 0 {
            return at == length;
        }
        if !pattern.matches(at, &block[..n]) {
            return false;
        }
        at += n as u64;
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).map_err(|e| e.to_string())?;
    let patience = Some(Duration::from_secs(30));
    stream
        .set_read_timeout(patience)
        .and_then(|()| stream.set_write_timeout(patience))
        .map_err(|e| e.to_string())?;
    Ok(stream)
}

/// The head as text, and what came with it.
fn read_head(stream: &mut TcpStream) -> Result<(String, Vec<u8>), String> {
    let mut data = Vec::new();
    let mut block = [0; 4096];
    loop {
        if let Some(end) = data.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = data.split_off(end + 4);
            return Ok((crate::text::latin1(&data), rest));
        }
        match stream.read(&mut block) {
            Ok(0) => {
                return Err(format!("closed in the head: {:?}", crate::text::latin1(&data)));
            }
            Ok(n) => data.extend_from_slice(&block[..n]),
            Err(e) => return Err(e.to_string()),
        }
    }
}
