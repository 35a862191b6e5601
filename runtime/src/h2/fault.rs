//! What errors of the `h2` crate mean.

use std::io;

use h2::Reason;
use ringway_core::message::{Blame, Cause, Fault, Stage};

/// The fault of a peer on whose stream `error` came.
pub(crate) fn fault(error: &h2::Error, stage: Stage, blame: Blame) -> Fault {
    let cause = match error.get_io() {
        Some(error) => match error.kind() {
            io::ErrorKind::ConnectionReset => Cause::Reset,
            io::ErrorKind::TimedOut => Cause::IdleTimeout,
            _ => Cause::Closed,
        },
        None if error.is_reset() && error.is_remote() => reset(error.reason()),
        None if error.is_go_away() && error.is_remote() => Cause::Closed,
        // The crate refuses what breaks the protocol: a field, or the length that was stated.
        None if error.is_library() => Cause::BadField,
        None => Cause::Closed,
    };
    Fault { stage, blame, cause }
}

/// What a peer means who resets a stream.
pub(crate) fn reset(reason: Option<Reason>) -> Cause {
    if reason == Some(Reason::CANCEL) { Cause::Cancelled } else { Cause::StreamReset }
}
