//! Step 2 of the way of a request: reads a connection's first bytes until they show which protocol
//! it speaks. They stay in the buffer that the first request is then parsed from.

use ringway_core::wire::sniff::{Expect, Sniffed, Sniffer};

use super::Connection;
use crate::clock;
use crate::worker::Worker;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detected {
    /// HTTP/1, be it malformed.
    Http1,
    /// HTTP/2 with prior knowledge: its preface has been received.
    Http2,
    /// The client has left, or said nothing in time.
    Gone,
}

impl Connection {
    /// Waits for the first bytes, without a buffer, and for as many of them as it takes. It only
    /// ever waits as an idle connection does, so that none gets larger by it.
    pub(crate) async fn detect(&mut self, worker: &Worker) -> Detected {
        let until = clock::recent() + worker.settings().timeouts.head;
        let mut sniffer = Sniffer::new(Expect::Http);
        while self.idle(worker, until.since(clock::recent())).await {
            match self.ask.receive_now() {
                Ok(Some(1..)) => {}
                Ok(None) => {
                    self.release();
                    continue;
                }
                Ok(Some(0)) | Err(_) => break,
            }
            match sniffer.look(self.ask.unread()) {
                Sniffed::NeedMore => {}
                Sniffed::Http2 => return Detected::Http2,
                Sniffed::Http1 | Sniffed::Tls | Sniffed::Opaque => return Detected::Http1,
            }
        }
        // What is there will not become more: its parser is to say what it lacks.
        if self.ask.is_empty() { Detected::Gone } else { Detected::Http1 }
    }
}
