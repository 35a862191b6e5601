//! What a scripted origin does about a request: bytes, pauses, endings.

use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// One step of an origin's script.
pub enum Act {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Send these bytes `size` at a time, each followed by a pause.
    Drip {
        /// What to send.
        bytes: Vec<u8>,
        /// Bytes at a time.
        size: usize,
        /// The pause after each piece.
        every: Duration,
    },
    /// Send this many bytes of the test pattern.
    Pattern(u64),
    /// Do nothing for a while.
    Pause(Duration),
    /// Wait until the test opens the gate.
    Await(Gate),
    /// Close.
    Close,
    /// Close with a reset.
    Reset,
    /// Close only the sending direction.
    HalfClose,
    /// Hand the connection, and what was read beyond the request, to this function.
    Take(Box<dyn FnOnce(TcpStream, Vec<u8>) + Send>),
}

/// A latch that a test opens once.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Lets everyone pass from now on.
    ///
    /// # Panics
    /// When a waiter panicked.
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits for it to open, 20 s at the most.
    ///
    /// # Panics
    /// When another waiter panicked.
    pub fn pass(&self) {
        let guard = self.0.0.lock().unwrap();
        drop(self.0.1.wait_timeout_while(guard, Duration::from_secs(20), |open| !*open).unwrap());
    }
}

/// A response with Content-Length.
#[must_use]
pub fn reply(status: u16, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut out = head(status, fields);
    out.truncate(out.len() - 2);
    out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    out.extend_from_slice(body);
    out
}

/// A response head with these fields only.
#[must_use]
pub fn head(status: u16, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} Scripted\r\n");
    for (name, value) in fields {
        text += &format!("{name}: {value}\r\n");
    }
    (text + "\r\n").into_bytes()
}
