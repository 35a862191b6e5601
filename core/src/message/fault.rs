//! What went wrong with an exchange: where, whose doing, and what it was. Meaning is decided
//! elsewhere: `policy::answer` turns a fault into a status, `policy::retry` says whether to go on.

/// One failure, cheap to copy: no strings, no boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where on the way of a request it happened.
    pub stage: Stage,
    /// Whose doing it was.
    pub blame: Blame,
    /// What it was.
    pub cause: Cause,
}

impl Fault {
    /// A fault of the client.
    #[must_use]
    pub const fn client(stage: Stage, cause: Cause) -> Self {
        Self { stage, blame: Blame::Client, cause }
    }

    /// A fault of the upstream endpoint.
    #[must_use]
    pub const fn upstream(stage: Stage, cause: Cause) -> Self {
        Self { stage, blame: Blame::Upstream, cause }
    }

    /// A fault of the proxy: its configuration, its limits, its resources.
    #[must_use]
    pub const fn us(stage: Stage, cause: Cause) -> Self {
        Self { stage, blame: Blame::Us, cause }
    }

    /// Whether the client has left, so that there is nobody to tell.
    #[must_use]
    pub const fn has_left(self) -> bool {
        matches!(self.blame, Blame::Client)
            && matches!(
                self.cause,
                Cause::Closed | Cause::Reset | Cause::Cancelled | Cause::StreamReset
            )
    }
}

/// The step of the way of a request (ARCHITECTURE.md) at which a fault happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Taking the connection.
    Accept,
    /// Reading the request head.
    Head,
    /// Reading the request body.
    Body,
    /// Finding the route.
    Route,
    /// Choosing an endpoint.
    Pick,
    /// Connecting to it.
    Connect,
    /// Sending the request.
    Send,
    /// Reading the response head.
    Reply,
    /// Relaying the response body.
    Relay,
}

/// Whose doing a fault was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The client's.
    Client,
    /// The upstream endpoint's.
    Upstream,
    /// The proxy's own.
    Us,
}

/// What a fault was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The request or status line is not HTTP.
    BadStartLine,
    /// A field line is malformed.
    BadField,
    /// The Host is missing, repeated or malformed (RFC 9112 3.2).
    BadHost,
    /// The request-target is malformed or has a form its method does not allow (RFC 9112 3.2).
    BadTarget,
    /// Content-Length is malformed, repeated with different values, or beside Transfer-Encoding.
    BadLength,
    /// Transfer-Encoding is malformed, not ending in chunked, or in HTTP/1.0.
    BadTransferEncoding,
    /// A transfer coding that is not implemented (RFC 9112 6.1: 501).
    UnknownTransferCoding,
    /// A chunk header, terminator or trailer is malformed.
    BadChunk,
    /// The HTTP version is not supported.
    BadVersion,
    /// An expectation that is not 100-continue (RFC 9110 10.1.1: 417).
    BadExpectation,
    /// The head is larger than the limit.
    HeadTooLarge,
    /// The request line is longer than the limit.
    TargetTooLong,
    /// More fields than the limit.
    TooManyFields,
    /// CONNECT is not allowed on this listener.
    ConnectRefused,
    /// More `Via` entries than the loop guard allows.
    Loop,
    /// No route matches.
    NoRoute,
    /// The route has no usable backend (unresolved reference with weight).
    NoBackend,
    /// The service has no endpoint.
    NoEndpoint,
    /// A policy demands TLS to the backend, which is not spoken yet.
    TlsDemanded,
    /// The service could not be looked up in time: discovery does not get through.
    LookupTimeout,
    /// The worker has no snapshot yet.
    NotReady,
    /// The connection was refused.
    Refused,
    /// The network or host is unreachable, or another connect error.
    Unreachable,
    /// No file descriptor, port or memory left.
    Exhausted,
    /// The peer closed before its message was complete.
    Closed,
    /// The peer reset the connection.
    Reset,
    /// The peer gave the stream up: it was reset with CANCEL (RFC 9113 7).
    Cancelled,
    /// The peer reset the stream with another code.
    StreamReset,
    /// The time for connecting ran out.
    ConnectTimeout,
    /// The time for the whole request, or for one attempt, ran out.
    RequestTimeout,
    /// The peer sent nothing for too long.
    IdleTimeout,
    /// The response does not belong: unsolicited 101, bytes on an idle connection.
    Unsolicited,
    /// The proxy is shutting down.
    Draining,
    /// A bug of ours, caught at the connection's boundary.
    Panic,
}

impl Cause {
    /// A few words for `l5d-proxy-error`, the access log and metrics' `error` label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadStartLine => "malformed start line",
            Self::BadField => "malformed header field",
            Self::BadHost => "missing or malformed host",
            Self::BadTarget => "malformed request target",
            Self::BadLength => "invalid content-length",
            Self::BadTransferEncoding => "invalid transfer-encoding",
            Self::UnknownTransferCoding => "transfer coding not implemented",
            Self::BadChunk => "malformed chunked body",
            Self::BadVersion => "unsupported http version",
            Self::BadExpectation => "unsupported expectation",
            Self::HeadTooLarge => "head too large",
            Self::TargetTooLong => "request target too long",
            Self::TooManyFields => "too many header fields",
            Self::ConnectRefused => "connect is not allowed here",
            Self::Loop => "request loop",
            Self::NoRoute => "no route",
            Self::NoBackend => "route has no backend",
            Self::NoEndpoint => "no endpoint",
            Self::TlsDemanded => "a BackendTLSPolicy demands tls, which is not spoken to endpoints",
            Self::LookupTimeout => "service lookup timed out",
            Self::NotReady => "not ready",
            Self::Refused => "connection refused",
            Self::Unreachable => "endpoint unreachable",
            Self::Exhausted => "out of resources",
            Self::Closed => "connection closed",
            Self::Reset => "connection reset",
            Self::Cancelled => "stream cancelled",
            Self::StreamReset => "stream reset",
            Self::ConnectTimeout => "connect timeout",
            Self::RequestTimeout => "request timeout",
            Self::IdleTimeout => "idle timeout",
            Self::Unsolicited => "unsolicited response",
            Self::Draining => "shutting down",
            Self::Panic => "internal error",
        }
    }
}
