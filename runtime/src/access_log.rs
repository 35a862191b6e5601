//! One line for each exchange and each opaque connection, plain or JSON; off by default. A worker formats into a block of its
//! own and hands full blocks to a writer thread; when that one is behind, lines are dropped and
//! counted, and no exchange waits.

mod escape;
mod line;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use ringway_config::AccessFormat;
use ringway_core::message::{Fault, Version};
use ringway_core::record::{Closing, Record};

use crate::lines::Lines;

/// A block is handed over when it has grown to this size.
const BLOCK_BYTES: usize = 32 * 1024;

/// Entries whose memory is kept for the next exchanges.
const FREE_ENTRIES: usize = 64;

/// What a client speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Spoken {
    /// HTTP of this version.
    Http(Version),
    /// TLS, which is carried as it comes.
    Tls,
    /// Something that is carried as it comes.
    Opaque,
}

/// What the client said and who it is, as slices of the request head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// The client's address.
    pub(crate) client: SocketAddr,
    /// The method's token.
    pub(crate) method: &'a [u8],
    /// The request-target.
    pub(crate) target: &'a [u8],
    /// The protocol.
    pub(crate) spoken: Spoken,
    /// The authority or Host; of TLS the server name.
    pub(crate) host: &'a [u8],
    /// `User-Agent`, else empty.
    pub(crate) user_agent: &'a [u8],
    /// `x-b3-traceid`, `x-request-id` or `x-amzn-trace-id`, else empty.
    pub(crate) trace_id: &'a [u8],
}

impl<'a> Facts<'a> {
    /// Of a connection that is carried as it comes.
    pub(crate) const fn opaque(client: SocketAddr, spoken: Spoken, host: &'a [u8]) -> Self {
        let none = b"-";
        Self { client, method: none, target: none, spoken, host, user_agent: b"", trace_id: b"" }
    }
}

/// How an exchange or an opaque connection ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    status: Option<u16>,
    /// Bytes of bodies, or of all that was carried: the client's, and those for it.
    received: u64,
    sent: u64,
    total: Duration,
    latency: Option<Duration>,
    attempts: u8,
    fault: Option<Fault>,
}

impl From<&Record> for Ending {
    fn from(record: &Record) -> Self {
        let &Record { status, received, sent, total, latency, attempts, fault, .. } = record;
        Self { status, received, sent, total, latency, attempts, fault }
    }
}

impl From<&Closing> for Ending {
    fn from(closing: &Closing) -> Self {
        let &Closing { received, sent, total, connected, attempts, fault, .. } = closing;
        Self { status: None, received, sent, total, latency: connected, attempts, fault }
    }
}

/// The first half of a line, from the request's head. Dropping it forgets the exchange.
#[derive(Debug)]
pub(crate) struct Entry {
    text: Vec<u8>,
    /// Where the second half goes in.
    middle: usize,
}

/// A worker's access log.
#[derive(Debug)]
pub(crate) struct AccessLog {
    json: bool,
    lines: Lines,
    block: Vec<u8>,
    waiting: u64,
    dropped: u64,
    free: Vec<Vec<u8>>,
}

impl AccessLog {
    /// A log that gives its lines to `lines`; `None` for [`AccessFormat::Off`].
    pub(crate) fn new(format: AccessFormat, lines: Lines) -> Option<Self> {
        let json = match format {
            AccessFormat::Off => return None,
            AccessFormat::Plain => false,
            AccessFormat::Json => true,
        };
        Some(Self { json, lines, block: Vec::new(), waiting: 0, dropped: 0, free: Vec::new() })
    }

    /// An exchange begins at `wall`.
    pub(crate) fn begin(&mut self, facts: &Facts<'_>, wall: SystemTime) -> Entry {
        let mut text = self.free.pop().unwrap_or_default();
        let middle = if self.json {
            line::json_begin(&mut text, facts, wall)
        } else {
            line::plain_begin(&mut text, facts, wall)
        };
        Entry { text, middle }
    }

    /// It has ended; `endpoint` is where it went.
    pub(crate) fn end(&mut self, entry: Entry, ending: &Ending, endpoint: Option<SocketAddr>) {
        let (first, second) = entry.text.split_at(entry.middle);
        self.block.extend_from_slice(first);
        if self.json {
            line::json_end(&mut self.block, ending, endpoint);
        } else {
            line::plain_end(&mut self.block, ending, endpoint, second);
        }
        self.block.push(b'\n');
        self.waiting += 1;
        let mut text = entry.text;
        if self.free.len() < FREE_ENTRIES {
            text.clear();
            self.free.push(text);
        }
        if self.block.len() >= BLOCK_BYTES {
            self.hand_over();
        }
    }

    /// Hands over what is there. Returns how many lines were dropped since the last call.
    pub(crate) fn flush(&mut self) -> u64 {
        if self.waiting > 0 {
            self.hand_over();
        }
        std::mem::take(&mut self.dropped)
    }

    fn hand_over(&mut self) {
        if !self.lines.give(&mut self.block) {
            self.dropped += self.waiting;
        }
        self.waiting = 0;
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests;
