//! Did an exchange succeed, as the success rate counts it?

use crate::message::Fault;
use crate::record::Classification;

/// Linkerd's default: 5xx is a failure, every other status a success; of gRPC its own status
/// decides. An answer that was not completed (a fault after the upstream's head) and one that was
/// never given are failures too. A `local` answer is complete by itself, so its status alone counts.
#[must_use]
pub const fn classify(
    status: Option<u16>,
    grpc: Option<u8>,
    local: bool,
    fault: Option<Fault>,
) -> Classification {
    match (status, grpc) {
        (Some(_), Some(grpc)) if is_failure(grpc) => Classification::Failure,
        (Some(status), _) if status < 500 && (local || fault.is_none()) => Classification::Success,
        (Some(_) | None, _) => Classification::Failure,
    }
}

/// Linkerd's: Unknown, DeadlineExceeded, PermissionDenied, Internal, Unavailable, DataLoss.
const fn is_failure(grpc: u8) -> bool {
    matches!(grpc, 2 | 4 | 7 | 13 | 14 | 15)
}

#[cfg(test)]
mod tests {
    use super::classify;
    use crate::message::{Cause, Fault, Stage};
    use crate::record::Classification::{Failure, Success};

    #[test]
    fn every_row() {
        let cut = Some(Fault::upstream(Stage::Relay, Cause::Closed));
        let bad = Some(Fault::client(Stage::Head, Cause::BadField));
        let rows = [
            (Some(101), false, None, Success),
            (Some(200), false, None, Success),
            (Some(404), false, None, Success),
            (Some(499), false, None, Success),
            (Some(500), false, None, Failure),
            (Some(599), false, None, Failure),
            (Some(200), false, cut, Failure),
            (Some(400), true, bad, Success),
            (Some(503), true, cut, Failure),
            (None, false, None, Failure),
            (None, false, cut, Failure),
        ];
        for (status, local, fault, expected) in rows {
            assert_eq!(
                classify(status, None, local, fault),
                expected,
                "{status:?} {local} {fault:?}"
            );
        }
    }

    #[test]
    fn grpc_has_its_own() {
        for code in 0..=17 {
            let failure = [2, 4, 7, 13, 14, 15].contains(&code);
            let expected = if failure { Failure } else { Success };
            assert_eq!(classify(Some(200), Some(code), false, None), expected, "{code}");
        }
        assert_eq!(classify(Some(503), Some(0), false, None), Failure);
    }
}
