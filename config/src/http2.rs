//! What a client may ask of one HTTP/2 connection.

use serde::Serialize;

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
    /// Streams that are reset because they break the protocol or are too many, in a connection's
    /// life. Default 1,024.
    pub stream_errors: usize,
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
        }
    }
}
