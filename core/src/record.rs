//! The facts of one exchange, or of one opaque connection: what metrics, access log and (later)
//! traces and tap read.

use crate::cluster::EndpointId;
use crate::message::{Fault, Method};
use crate::time::{Duration, Instant};

/// Exactly one per exchange.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// The endpoint that was tried last.
    pub endpoint: Option<EndpointId>,
    /// The request's method.
    pub method: Method,
    /// The status sent to the client; `None` when nothing was sent.
    pub status: Option<u16>,
    /// The gRPC status sent to the client, if it was one.
    pub grpc: Option<u8>,
    /// Whether the answer was made by the proxy itself.
    pub local: bool,
    /// Why it failed, if it did.
    pub fault: Option<Fault>,
    /// Success or failure (`policy::classify`).
    pub classification: Classification,
    /// When the request head was complete.
    pub start: Instant,
    /// From `start` to the response's first byte (Linkerd's `response_latency_ms`).
    pub latency: Option<Duration>,
    /// From `start` to the end.
    pub total: Duration,
    /// Attempts made: 0 when answered without an endpoint, 2 and more after retries.
    pub attempts: u8,
    /// Request body bytes taken from the client.
    pub received: u64,
    /// Response body bytes given to the client.
    pub sent: u64,
}

/// Exactly one per opaque connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The endpoint that was tried last.
    pub endpoint: Option<EndpointId>,
    /// Why it was not carried to the end that both sides gave it; `None` when it was.
    pub fault: Option<Fault>,
    /// When its protocol was decided.
    pub start: Instant,
    /// From `start` until the endpoint was reached; `None` when none was.
    pub connected: Option<Duration>,
    /// From `start` to the end.
    pub total: Duration,
    /// Attempts made: 0 when it had nowhere to go, 2 and more after connects that failed.
    pub attempts: u8,
    /// Bytes taken from the client.
    pub received: u64,
    /// Bytes given to the client.
    pub sent: u64,
}

impl Closing {
    pub(crate) const fn new(record: &Record, connected: Option<Duration>) -> Self {
        Self {
            endpoint: record.endpoint,
            fault: record.fault,
            start: record.start,
            connected,
            total: record.total,
            attempts: record.attempts,
            received: record.received,
            sent: record.sent,
        }
    }
}

/// Linkerd's `classification` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Classification {
    /// The answer counts for the success rate.
    Success,
    /// The answer counts against it: 5xx, or no complete answer.
    Failure,
}
