//! What a client may ask of one HTTP/2 connection.

use serde::Serialize;

use crate::keys::{MANY, bytes, key, number};
use crate::shape::Preset::Value;
use crate::shape::{Key, Shape};

/// What one HTTP/2 connection may cost; `limits` and `timeouts` hold as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Http2 {
    /// Streams at a time; more are refused. Default 100.
    pub streams: u32,
    /// Bytes of one request's body that may come in before they are passed on. Default 256 KiB.
    pub stream_window: usize,
    /// The same for all streams together. Default 1 MiB.
    pub connection_window: usize,
    /// Bytes of all responses' bodies that may wait for a client. Default 256 KiB.
    pub send_bytes: usize,
    /// PING, SETTINGS, PRIORITY, WINDOW_UPDATE and unknown frames at once, of each. Default 1,000.
    pub control_frames: u32,
    /// RST_STREAM frames at once. Default 200.
    pub resets: u32,
    /// Streams that are reset because they break the protocol or are too many, at once. Default
    /// 1,024.
    pub stream_errors: u32,
    /// Streams at a time on the connection of a peer. Default 4,096.
    pub peer_streams: u32,
    /// `connection_window` of a connection from a peer or to an endpoint. Default 64 MiB.
    pub peer_window: usize,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            streams: 100,
            stream_window: 256 << 10,
            connection_window: 1 << 20,
            send_bytes: 256 << 10,
            control_frames: 1000,
            resets: 200,
            stream_errors: 1024,
            peer_streams: 4096,
            peer_window: 64 << 20,
        }
    }
}

/// The keys of the section.
pub(crate) const KEYS: &[Key] = &[
    key(
        "streams",
        Shape::of(number(1, 10_000)),
        Value("100"),
        "The most streams at a time (SETTINGS_MAX_CONCURRENT_STREAMS); more are refused.",
        "The least that RFC 9113 section 6.5.2 recommends; gRPC libraries open further connections beyond it.",
    ),
    key(
        "stream_window",
        bytes(65_535, 1 << 30),
        Value("256KiB"),
        "How much of one request's body may come in before it is passed on.",
        "Fills a link of 200 Mbit/s at 10 ms; the protocol's own 64 KiB would fill a quarter of that.",
    ),
    key(
        "connection_window",
        bytes(65_535, 1 << 30),
        Value("1MiB"),
        "The same for all streams of a connection: the most memory that its requests take.",
        "Four stalled streams, until others wait too (Linkerd's is 1 MiB).",
    ),
    key(
        "send_bytes",
        bytes(16 << 10, 1 << 30),
        Value("256KiB"),
        "How much of all responses of a connection may wait for a client that does not take it.",
        "As much as one buffer of a response that streams: more would only wait longer.",
    ),
    key(
        "control_frames",
        Shape::of(number(100, MANY)),
        Value("1000"),
        "PING, SETTINGS, PRIORITY, WINDOW_UPDATE and unknown frames at once, of each; a tenth of it comes back each second, and more with the traffic they belong to. Beyond it the connection is closed with ENHANCE_YOUR_CALM.",
        "gRPC sends a PING each round trip while it measures bandwidth; floods (CVE-2019-9512 to 9518) send thousands for nothing. Envoy allows 1,000 in its queue.",
    ),
    key(
        "resets",
        Shape::of(number(10, MANY)),
        Value("200"),
        "Requests that a client may cancel at once; a tenth of it comes back each second, and one with each response. Beyond it the connection is closed with ENHANCE_YOUR_CALM.",
        "Rapid reset (CVE-2023-44487) cancels all of thousands; hedging clients cancel half of theirs at the most. Envoy begins to count at 500.",
    ),
    key(
        "stream_errors",
        Shape::of(number(10, MANY)),
        Value("1024"),
        "Streams that are reset at once because they break the protocol or are too many; a tenth of it comes back each second, and one with each response. Beyond it the connection is closed with ENHANCE_YOUR_CALM.",
        "MadeYouReset (CVE-2025-8671) provokes resets by the thousand; the h2 crate allows 1,024 in a connection's life, which one that many clients share for days would come to.",
    ),
    key(
        "peer_streams",
        Shape::of(number(1, 1_000_000)),
        Value("4096"),
        "`streams` for the peers of a listener; as many may be given up at once.",
        "One connection takes the place of as many of HTTP/1.1 as a worker's clients have.",
    ),
    key(
        "peer_window",
        bytes(65_535, 1 << 30),
        Value("64MiB"),
        "`connection_window` for the peers of a listener, and for endpoints: the most memory that the responses of one such connection take.",
        "256 stalled streams, until others wait too: the clients who share the connection know nothing of each other, and without it each would hold its own buffer.",
    ),
];
