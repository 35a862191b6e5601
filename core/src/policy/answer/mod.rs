//! The only table from a fault to what the client is told.

mod abort;
mod grpc;
mod redirect;

pub use abort::Abort;
pub use grpc::{grpc_status, is_grpc};
pub use redirect::{Scheme, location};

use crate::message::{Blame, Cause, Fault};

/// An answer that the proxy makes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Why; `None` for a redirect, whose `location` comes from `Flow::location`.
    pub fault: Option<Fault>,
    /// Whether the client's connection ends after the answer, because its bytes can no longer be
    /// trusted or are not wanted.
    pub close: bool,
    /// How the stream of a client in HTTP/2 is ended instead of being answered.
    pub abort: Option<Abort>,
}

impl Answer {
    /// The answer to `fault`.
    #[must_use]
    pub const fn to(fault: Fault) -> Self {
        let (status, close, abort) = (status(fault), closes(fault), Abort::instead(fault));
        Self { status, fault: Some(fault), close, abort }
    }

    /// A redirect of the rule.
    #[must_use]
    pub const fn redirect(status: u16) -> Self {
        Self { status, fault: None, close: false, abort: None }
    }
}

/// The status for `fault`: causes that either side can have become 4xx when they are the
/// client's and 502 or 504 when they are the upstream's.
const fn status(fault: Fault) -> u16 {
    match fault.cause {
        Cause::BadStartLine
        | Cause::BadField
        | Cause::BadHost
        | Cause::BadTarget
        | Cause::BadLength
        | Cause::BadTransferEncoding
        | Cause::BadChunk
        | Cause::Unsolicited
        | Cause::Closed
        | Cause::Reset
        | Cause::Cancelled
        | Cause::StreamReset => by_blame(fault.blame, 400),
        Cause::UnknownTransferCoding => by_blame(fault.blame, 501),
        Cause::BadVersion => by_blame(fault.blame, 505),
        Cause::BadExpectation => by_blame(fault.blame, 417),
        Cause::HeadTooLarge | Cause::TooManyFields => by_blame(fault.blame, 431),
        Cause::TargetTooLong => by_blame(fault.blame, 414),
        Cause::ConnectRefused => 405,
        Cause::Loop => 400,
        Cause::NoRoute => 404,
        Cause::NoBackend | Cause::Panic => 500,
        Cause::NoEndpoint
        | Cause::LookupTimeout
        | Cause::NotReady
        | Cause::Exhausted
        | Cause::Draining => 503,
        Cause::Refused | Cause::Unreachable | Cause::TlsDemanded => 502,
        Cause::ConnectTimeout => 504,
        Cause::RequestTimeout | Cause::IdleTimeout => match fault.blame {
            Blame::Client => 408,
            Blame::Upstream | Blame::Us => 504,
        },
    }
}

/// `client` when it was the client's doing, else 502.
const fn by_blame(blame: Blame, client: u16) -> u16 {
    match blame {
        Blame::Client => client,
        Blame::Upstream | Blame::Us => 502,
    }
}

/// A client that broke the protocol, or is too slow, loses its connection: where its next
/// request starts is unknown. Faults behind the proxy leave the client's connection alone.
const fn closes(fault: Fault) -> bool {
    match fault.blame {
        Blame::Client => true,
        Blame::Upstream => false,
        Blame::Us => {
            matches!(
                fault.cause,
                Cause::Draining | Cause::Panic | Cause::ConnectRefused | Cause::Loop
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;
    use crate::message::{Blame, Cause, Fault, Stage};

    /// cause, status when the client / the upstream / the proxy is to blame.
    const TABLE: [(Cause, u16, u16, u16); 34] = [
        (Cause::BadStartLine, 400, 502, 502),
        (Cause::BadField, 400, 502, 502),
        (Cause::BadHost, 400, 502, 502),
        (Cause::BadTarget, 400, 502, 502),
        (Cause::BadLength, 400, 502, 502),
        (Cause::BadTransferEncoding, 400, 502, 502),
        (Cause::UnknownTransferCoding, 501, 502, 502),
        (Cause::BadChunk, 400, 502, 502),
        (Cause::BadVersion, 505, 502, 502),
        (Cause::BadExpectation, 417, 502, 502),
        (Cause::HeadTooLarge, 431, 502, 502),
        (Cause::TargetTooLong, 414, 502, 502),
        (Cause::TooManyFields, 431, 502, 502),
        (Cause::ConnectRefused, 405, 405, 405),
        (Cause::Loop, 400, 400, 400),
        (Cause::NoRoute, 404, 404, 404),
        (Cause::NoBackend, 500, 500, 500),
        (Cause::NoEndpoint, 503, 503, 503),
        (Cause::TlsDemanded, 502, 502, 502),
        (Cause::LookupTimeout, 503, 503, 503),
        (Cause::NotReady, 503, 503, 503),
        (Cause::Refused, 502, 502, 502),
        (Cause::Unreachable, 502, 502, 502),
        (Cause::Exhausted, 503, 503, 503),
        (Cause::Closed, 400, 502, 502),
        (Cause::Reset, 400, 502, 502),
        (Cause::Cancelled, 400, 502, 502),
        (Cause::StreamReset, 400, 502, 502),
        (Cause::ConnectTimeout, 504, 504, 504),
        (Cause::RequestTimeout, 408, 504, 504),
        (Cause::IdleTimeout, 408, 504, 504),
        (Cause::Unsolicited, 400, 502, 502),
        (Cause::Draining, 503, 503, 503),
        (Cause::Panic, 500, 500, 500),
    ];

    #[test]
    fn status_row_by_row() {
        for (cause, client, upstream, us) in TABLE {
            for (blame, expected) in
                [(Blame::Client, client), (Blame::Upstream, upstream), (Blame::Us, us)]
            {
                let answer = Answer::to(Fault { stage: Stage::Reply, blame, cause });
                assert_eq!(answer.status, expected, "{cause:?} by {blame:?}");
            }
        }
    }

    #[test]
    fn the_client_keeps_its_connection_unless_it_cannot_be_trusted() {
        let rows = [
            (Fault::client(Stage::Head, Cause::BadField), true),
            (Fault::client(Stage::Head, Cause::IdleTimeout), true),
            (Fault::upstream(Stage::Reply, Cause::BadField), false),
            (Fault::upstream(Stage::Connect, Cause::Refused), false),
            (Fault::us(Stage::Route, Cause::NoRoute), false),
            (Fault::us(Stage::Pick, Cause::NoEndpoint), false),
            (Fault::us(Stage::Route, Cause::ConnectRefused), true),
            (Fault::us(Stage::Route, Cause::Loop), true),
            (Fault::us(Stage::Accept, Cause::Draining), true),
            (Fault::us(Stage::Relay, Cause::Panic), true),
        ];
        for (fault, close) in rows {
            assert_eq!(Answer::to(fault).close, close, "{fault:?}");
        }
    }
}
