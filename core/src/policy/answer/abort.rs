//! When a client's stream in HTTP/2 is reset, before or in the middle of its response, and how.

use crate::message::{Blame, Cause, Fault};

/// The code that a stream is reset with (RFC 9113 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// CANCEL: whoever ends the stream does not need it any more. A gRPC client knows by it that
    /// the call was cancelled, or its own deadline.
    Cancel,
    /// INTERNAL_ERROR: the rest of the response is missing.
    Internal,
}

impl Abort {
    /// What takes the place of an answer: an endpoint that has cancelled has decided so, and nothing
    /// has failed; who has left is not told anything.
    #[must_use]
    pub const fn instead(fault: Fault) -> Option<Self> {
        let cancelled =
            matches!(fault.blame, Blame::Upstream) && matches!(fault.cause, Cause::Cancelled);
        if cancelled || fault.has_left() { Some(Self::Cancel) } else { None }
    }

    /// What ends a response that has begun and cannot be completed.
    #[must_use]
    pub const fn midway(fault: Fault) -> Self {
        match fault.cause {
            Cause::Cancelled | Cause::RequestTimeout => Self::Cancel,
            _ => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Stage;

    #[test]
    fn every_row() {
        let client = |cause| Fault::client(Stage::Reply, cause);
        let upstream = |cause| Fault::upstream(Stage::Reply, cause);
        let rows = [
            (upstream(Cause::Cancelled), Some(Abort::Cancel), Abort::Cancel),
            (upstream(Cause::StreamReset), None, Abort::Internal),
            (upstream(Cause::Reset), None, Abort::Internal),
            (upstream(Cause::Closed), None, Abort::Internal),
            (upstream(Cause::IdleTimeout), None, Abort::Internal),
            (Fault::us(Stage::Reply, Cause::RequestTimeout), None, Abort::Cancel),
            (client(Cause::Cancelled), Some(Abort::Cancel), Abort::Cancel),
            (client(Cause::StreamReset), Some(Abort::Cancel), Abort::Internal),
            (client(Cause::Reset), Some(Abort::Cancel), Abort::Internal),
            (client(Cause::Closed), Some(Abort::Cancel), Abort::Internal),
            (client(Cause::BadField), None, Abort::Internal),
        ];
        for (fault, instead, midway) in rows {
            assert_eq!(
                (Abort::instead(fault), Abort::midway(fault)),
                (instead, midway),
                "{fault:?}"
            );
        }
    }
}
