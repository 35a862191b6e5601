//! Step 2 of the way of a request: reads a connection's first bytes until they show which protocol
//! it speaks. They stay in the buffer that the first request is then parsed from.

use std::pin::pin;

use ringway_core::wire::sniff::{Expect, Sniffed, Sniffer};

use super::Connection;
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
    /// Waits for the first bytes, without a buffer, and for as many of them as it takes.
    pub(crate) async fn detect(&mut self, worker: &Worker) -> Detected {
        let patience = worker.settings().timeouts.head;
        if !self.idle(worker, patience).await {
            return Detected::Gone;
        }
        let mut sniffer = Sniffer::new(Expect::Http);
        loop {
            let received = self.pace.keep(pin!(self.ask.receive())).await;
            if !matches!(received, Ok(Ok(1..))) {
                // What is there will not become more: its parser is to say what it lacks.
                return if self.ask.is_empty() { Detected::Gone } else { Detected::Http1 };
            }
            match sniffer.look(self.ask.unread()) {
                Sniffed::NeedMore => {}
                Sniffed::Http2 => return Detected::Http2,
                Sniffed::Http1 | Sniffed::Tls | Sniffed::Opaque => return Detected::Http1,
            }
        }
    }
}
