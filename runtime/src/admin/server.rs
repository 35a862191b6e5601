//! The admin server's sockets: one thread accepts, a few short-lived ones answer one request each,
//! so that a slow scraper holds up nobody else.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringway_core::message::{Framing, RequestHead};
use ringway_core::wire::h1::head::{self, FieldTable, Limits, Parsed};

use super::State;
use super::pages::{self, Answer, Request};

/// Connections answered at the same time; further ones get 503 at once.
const CONNECTIONS: usize = 16;

/// Most bytes of a request, head and body.
const REQUEST_BYTES: usize = 16 * 1024;

/// Time for a client to send its request.
const READ_PATIENCE: Duration = Duration::from_secs(5);

/// Time for a client to take a piece of the answer.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// Time for it to take the whole.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// The answer goes out in pieces of this size, so that the time is looked at in between.
const PIECE: usize = 64 * 1024;

/// A running admin server; stops accepting when dropped.
#[derive(Debug)]
pub(crate) struct Admin {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
}

/// Listens on `address` and serves `state`.
///
/// # Errors
/// When the address cannot be bound or the thread not be started.
pub(crate) fn start(address: SocketAddr, state: Arc<dyn State>) -> io::Result<Admin> {
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let accept = move || accept(&listener, &state, &stopped);
    thread::Builder::new().name(String::from("admin")).spawn(accept)?;
    Ok(Admin { address, stop })
}

impl Admin {
    /// Where it listens: tells the port when it was asked for port 0.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let mut own = self.address;
        if own.ip().is_unspecified() {
            own.set_ip(if own.is_ipv4() {
                Ipv4Addr::LOCALHOST.into()
            } else {
                Ipv6Addr::LOCALHOST.into()
            });
        }
        // Wakes the accepting thread; if it cannot be reached it ends with the process.
        let _ = TcpStream::connect_timeout(&own, Duration::from_secs(1));
    }
}

fn accept(listener: &TcpListener, state: &Arc<dyn State>, stop: &AtomicBool) {
    let busy = Arc::new(AtomicUsize::new(0));
    loop {
        let accepted = listener.accept();
        if stop.load(Ordering::Acquire) {
            return;
        }
        let Ok((stream, peer)) = accepted else {
            // Most likely no descriptor is left: others need a moment to close theirs.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        let Some(slot) = Slot::take(&busy) else {
            turn_away(&stream);
            continue;
        };
        let state = Arc::clone(state);
        let serve = move || {
            let _slot = slot;
            // The client is gone or too slow: nothing to tell it.
            let _ = serve(&stream, peer, &*state);
        };
        // No thread to be had: the connection is dropped with the closure.
        let _ = thread::Builder::new().name(String::from("admin-answer")).spawn(serve);
    }
}

/// A place among the connections; given back when dropped, by a panic too.
#[derive(Debug)]
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(busy: &Arc<AtomicUsize>) -> Option<Self> {
        // Only the accepting thread takes, so there is no race between looking and taking.
        if busy.load(Ordering::Acquire) >= CONNECTIONS {
            return None;
        }
        busy.fetch_add(1, Ordering::AcqRel);
        Some(Self(Arc::clone(busy)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn turn_away(mut stream: &TcpStream) {
    let busy = render(&Answer::text(503, "too many admin connections\n"), false);
    let _ = stream.set_nonblocking(true);
    let _ = stream.write(&busy);
}

fn serve(stream: &TcpStream, peer: SocketAddr, state: &dyn State) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let deadline = Instant::now() + READ_PATIENCE;
    let mut bytes = Vec::new();
    let (answer, head_only) = loop {
        match respond(&bytes, peer, state) {
            Some(done) => break done,
            None if bytes.len() >= REQUEST_BYTES => {
                break (Answer::text(413, "request too large\n"), false);
            }
            None => {}
        }
        if !read_more(stream, &mut bytes, deadline)? {
            return Ok(());
        }
    };
    write_all(stream, &render(&answer, head_only))?;
    linger(stream)
}

/// The answer, and whether only its head is wanted; `None` while the request is incomplete.
fn respond(bytes: &[u8], peer: SocketAddr, state: &dyn State) -> Option<(Answer, bool)> {
    if bytes.is_empty() {
        return None;
    }
    let limits = Limits { head_bytes: REQUEST_BYTES, ..Limits::default() };
    let mut table = FieldTable::new();
    let (head, used) = match head::request(bytes, &mut table, &limits) {
        Ok(Parsed::Complete(parsed)) => parsed,
        Ok(Parsed::Partial) => return None,
        Err(fault) => {
            return Some((Answer::text(400, format!("{}\n", fault.cause.as_str())), false));
        }
    };
    let head_only = head.method_token == b"HEAD";
    let body = match body(&head, &bytes[used..]) {
        Ok(body) => body?,
        Err(refusal) => return Some((refusal, head_only)),
    };
    let request = Request {
        method: head.method_token,
        path: head.path(),
        body,
        local: peer.ip().to_canonical().is_loopback(),
    };
    Some((pages::answer(&request, state), head_only))
}

/// The body among the bytes after the head; `None` while it is incomplete.
fn body<'b>(head: &RequestHead<'_>, rest: &'b [u8]) -> Result<Option<&'b [u8]>, Answer> {
    match head.framing {
        Framing::None => Ok(Some(&[])),
        Framing::Length(length) => match usize::try_from(length) {
            Ok(length) if length < REQUEST_BYTES => Ok(rest.get(..length)),
            _ => Err(Answer::text(413, "request too large\n")),
        },
        Framing::Chunked | Framing::Close => Err(Answer::text(411, "send a content-length\n")),
    }
}

/// Reads once; `false` at the end of the stream.
fn read_more(mut stream: &TcpStream, bytes: &mut Vec<u8>, deadline: Instant) -> io::Result<bool> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    stream.set_read_timeout(Some(left))?;
    let mut piece = [0; 2048];
    let n = stream.read(&mut piece)?;
    bytes.extend_from_slice(&piece[..n]);
    Ok(n > 0)
}

fn write_all(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    let deadline = Instant::now() + ANSWER_PATIENCE;
    stream.set_write_timeout(Some(WRITE_PATIENCE))?;
    for piece in bytes.chunks(PIECE) {
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.write_all(piece)?;
    }
    Ok(())
}

/// Ends our side and waits a moment for the client's end: closing over unread bytes would reset
/// the connection and might take the answer with it (RFC 9112 9.6).
fn linger(mut stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut rest = [0; 2048];
    for _ in 0..REQUEST_BYTES / rest.len() {
        if stream.read(&mut rest)? == 0 {
            break;
        }
    }
    Ok(())
}

fn render(answer: &Answer, head_only: bool) -> Vec<u8> {
    let Answer { status, content_type, content, allow } = answer;
    let reason = match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        503 => "Service Unavailable",
        _ => "",
    };
    let mut text = format!("HTTP/1.1 {status} {reason}\r\nconnection: close\r\n");
    if *status != 204 {
        let length = content.len();
        text.push_str(&format!("content-type: {content_type}\r\ncontent-length: {length}\r\n"));
    }
    if let Some(allow) = allow {
        text.push_str(&format!("allow: {allow}\r\n"));
    }
    text.push_str("cache-control: no-store\r\n\r\n");
    if !head_only {
        text.push_str(content);
    }
    text.into_bytes()
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
