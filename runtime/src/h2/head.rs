//! Heads between core's slices and the types of the `http` crate.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

/// The fields of a header list.
pub(crate) fn fields(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
}

/// A response with the fields that `write` hands over.
pub(crate) fn response_of(
    status: u16,
    write: impl FnOnce(&mut dyn FnMut(&[u8], &[u8])),
) -> Response<()> {
    let mut response = Response::new(());
    // A status is three digits from 100 on: of anything else there would be no head.
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    append(response.headers_mut(), write);
    response
}

/// Adds the fields that `write` hands over.
pub(super) fn append(headers: &mut HeaderMap, write: impl FnOnce(&mut dyn FnMut(&[u8], &[u8]))) {
    write(&mut |name, value| {
        // What was read as a field of either protocol is one for this type too.
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            let _ = headers.try_append(name, value);
        }
    });
}
