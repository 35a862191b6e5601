//! What a gRPC client is told instead of a status.

/// The gRPC status for an answer with this status (Linkerd's table; the rest by gRPC's own mapping
/// of HTTP statuses).
#[must_use]
pub const fn grpc_status(status: u16) -> u8 {
    match status {
        // Internal: the request, or we, broke the protocol.
        400 | 405 | 417 | 500 | 501 | 505 => 13,
        // PermissionDenied
        403 => 7,
        // NotFound: Linkerd's, where gRPC's own table has Unimplemented.
        404 => 5,
        // DeadlineExceeded
        408 | 504 => 4,
        // ResourceExhausted
        413 | 414 | 429 | 431 => 8,
        // Unavailable: it may be tried again.
        502 | 503 => 14,
        // Aborted
        508 => 10,
        // Unknown
        _ => 2,
    }
}

/// Whether a `content-type` is gRPC's: `application/grpc`, with a suffix or parameters.
#[must_use]
pub fn is_grpc(content_type: &[u8]) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    let Some((start, rest)) = content_type.split_at_checked(TYPE.len()) else { return false };
    start.eq_ignore_ascii_case(TYPE) && matches!(rest, [] | [b'+' | b';' | b' ', ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_of_ours_has_one() {
        let rows = [
            (400, 13),
            (404, 5),
            (405, 13),
            (408, 4),
            (413, 8),
            (431, 8),
            (500, 13),
            (502, 14),
            (503, 14),
            (504, 4),
            (302, 2),
        ];
        for (status, code) in rows {
            assert_eq!(grpc_status(status), code, "{status}");
        }
    }

    #[test]
    fn content_types() {
        for yes in [&b"application/grpc"[..], b"application/grpc+proto", b"Application/GRPC;a=b"] {
            assert!(is_grpc(yes));
        }
        for no in [&b"application/grpc-web"[..], b"application/json", b""] {
            assert!(!is_grpc(no));
        }
    }
}
