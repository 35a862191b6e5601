//! The only table that says whether a failed attempt is followed by another one.

use crate::message::{Blame, Cause, Fault, Method};

/// Attempts an exchange makes at the most: the first, and two more.
pub const MAX_ATTEMPTS: u8 = 3;

/// What one attempt had written and read when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// How much of the request was written.
    pub written: Written,
    /// Whether the connection had carried an exchange before (it came from the pool).
    pub reused: bool,
    /// Whether any byte of a response had arrived, be it only part of a head.
    pub answered: bool,
}

impl Sent {
    /// Nothing was written, nothing was read.
    #[must_use]
    pub const fn nothing(reused: bool) -> Self {
        Self { written: Written::Nothing, reused, answered: false }
    }

    /// Some of the request was written, nothing was read.
    #[must_use]
    pub const fn some(replayable: bool, reused: bool) -> Self {
        Self { written: Written::Some { replayable }, reused, answered: false }
    }
}

/// How much of a request was written to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Not one byte: the endpoint cannot have seen the request.
    Nothing,
    /// At least one byte.
    Some {
        /// Whether the whole request so far can be sent again: no body, or a body still held.
        replayable: bool,
    },
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Nothing: the exchange has failed.
    Stop,
    /// Another attempt.
    Again {
        /// On a new connection, not one from the pool.
        fresh: bool,
        /// On an endpoint that has not failed yet.
        other: bool,
    },
}

/// A connection failed before it was of use: try elsewhere.
const ELSEWHERE: Retry = Retry::Again { fresh: false, other: true };
/// A pooled connection was dead: the endpoint may be fine.
const FRESH: Retry = Retry::Again { fresh: true, other: false };

/// Whether and how to go on after `fault`. The number of attempts is the caller's to bound.
///
/// - Nothing written: any method may be sent elsewhere; the endpoint has seen nothing.
/// - A reused connection that dies before its first response byte is the keep-alive race: the
///   endpoint closed it while the request was under way. Sent again on a new connection if the
///   method is idempotent (RFC 9110 9.2.2, RFC 9112 9.3.1) and its bytes are still at hand.
/// - A time limit that ran out is never extended by a further attempt, and nothing is repeated
///   once a byte of a response was seen.
#[must_use]
pub const fn retry(fault: Fault, sent: Sent, method: Method) -> Retry {
    if sent.answered || !matches!(fault.blame, Blame::Upstream) {
        return Retry::Stop;
    }
    match fault.cause {
        Cause::Refused | Cause::Unreachable | Cause::ConnectTimeout => match sent.written {
            Written::Nothing => ELSEWHERE,
            Written::Some { .. } => Retry::Stop,
        },
        Cause::Closed | Cause::Reset | Cause::Unsolicited => match (sent.written, sent.reused) {
            (Written::Nothing, true) => FRESH,
            (Written::Nothing, false) => ELSEWHERE,
            (Written::Some { replayable: true }, true) if method.is_idempotent() => FRESH,
            (Written::Some { .. }, _) => Retry::Stop,
        },
        // The connection lives on, so that this is no keep-alive race. Nothing was written when the
        // endpoint says that it has not looked at it (REFUSED_STREAM, RFC 9113 8.7).
        Cause::StreamReset => match sent.written {
            Written::Nothing => ELSEWHERE,
            Written::Some { .. } => Retry::Stop,
        },
        // The answer is there and wrong, or time is up, or it was not the endpoint's doing.
        Cause::BadStartLine
        | Cause::BadField
        | Cause::BadHost
        | Cause::BadTarget
        | Cause::BadLength
        | Cause::BadTransferEncoding
        | Cause::UnknownTransferCoding
        | Cause::BadChunk
        | Cause::BadVersion
        | Cause::BadExpectation
        | Cause::HeadTooLarge
        | Cause::TargetTooLong
        | Cause::TooManyFields
        | Cause::ConnectRefused
        | Cause::Loop
        | Cause::NoRoute
        | Cause::NoBackend
        | Cause::NoEndpoint
        | Cause::TlsDemanded
        | Cause::LookupTimeout
        | Cause::NotReady
        | Cause::Exhausted
        | Cause::RequestTimeout
        | Cause::IdleTimeout
        | Cause::Cancelled
        | Cause::Draining
        | Cause::Panic => Retry::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::{ELSEWHERE, FRESH, Retry, Sent, Written, retry};
    use crate::message::{Blame, Cause, Fault, Method, Stage};

    const NONE: Sent = Sent::nothing(false);
    const NONE_REUSED: Sent = Sent::nothing(true);
    const LOST: Sent = Sent::some(false, true);
    const HELD: Sent = Sent::some(true, true);
    const HELD_NEW: Sent = Sent::some(true, false);

    #[test]
    fn every_row() {
        use Cause::{Closed, ConnectTimeout, Refused, Reset, Unreachable, Unsolicited};
        use Method::{Delete, Get, Other, Post};
        let rows = [
            (Refused, NONE, Post, ELSEWHERE),
            (Unreachable, NONE, Post, ELSEWHERE),
            (ConnectTimeout, NONE, Get, ELSEWHERE),
            (Refused, HELD, Get, Retry::Stop),
            (Closed, NONE, Post, ELSEWHERE),
            (Reset, NONE, Post, ELSEWHERE),
            (Closed, NONE_REUSED, Post, FRESH),
            (Reset, NONE_REUSED, Other, FRESH),
            (Unsolicited, NONE_REUSED, Get, FRESH),
            (Closed, HELD, Get, FRESH),
            (Reset, HELD, Delete, FRESH),
            (Closed, HELD, Post, Retry::Stop),
            (Closed, HELD, Other, Retry::Stop),
            (Closed, LOST, Get, Retry::Stop),
            (Closed, HELD_NEW, Get, Retry::Stop),
            (Reset, HELD_NEW, Get, Retry::Stop),
            (Cause::StreamReset, NONE, Post, ELSEWHERE),
            (Cause::StreamReset, HELD, Get, Retry::Stop),
            (Cause::Cancelled, NONE, Get, Retry::Stop),
            (Cause::Cancelled, HELD, Get, Retry::Stop),
            (Cause::RequestTimeout, NONE, Get, Retry::Stop),
            (Cause::IdleTimeout, HELD, Get, Retry::Stop),
            (Cause::Exhausted, NONE, Get, Retry::Stop),
            (Cause::BadStartLine, HELD, Get, Retry::Stop),
            (Cause::BadLength, NONE, Get, Retry::Stop),
            (Cause::Draining, NONE, Get, Retry::Stop),
        ];
        for (cause, sent, method, expected) in rows {
            let fault = Fault::upstream(Stage::Reply, cause);
            assert_eq!(retry(fault, sent, method), expected, "{cause:?} {sent:?} {method:?}");
        }
    }

    #[test]
    fn nothing_is_repeated_after_a_response_byte_or_for_another_s_fault() {
        for cause in [Cause::Closed, Cause::Reset, Cause::Refused] {
            let fault = Fault::upstream(Stage::Reply, cause);
            let answered = Sent { written: Written::Nothing, reused: true, answered: true };
            assert_eq!(retry(fault, answered, Method::Get), Retry::Stop);
            for blame in [Blame::Client, Blame::Us] {
                assert_eq!(retry(Fault { blame, ..fault }, NONE, Method::Get), Retry::Stop);
            }
        }
    }
}
