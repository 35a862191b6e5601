//! Heads between core's slices and the types of the `http` crate.

use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue,
    SERVER, TE, USER_AGENT, VIA,
};
use http::{Response, StatusCode};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

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
        if let (Some(name), Some(value)) = (name_of(name), value_of(value)) {
            let _ = headers.try_append(name, value);
        }
    });
}

/// The name of a field. The proxy's own and the most common ones are not parsed once more.
fn name_of(name: &[u8]) -> Option<HeaderName> {
    Some(match name {
        b"te" => TE,
        b"via" => VIA,
        b"date" | b"Date" => DATE,
        b"accept" | b"Accept" => ACCEPT,
        b"server" | b"Server" => SERVER,
        b"user-agent" | b"User-Agent" => USER_AGENT,
        b"content-type" | b"Content-Type" => CONTENT_TYPE,
        b"cache-control" | b"Cache-Control" => CACHE_CONTROL,
        b"content-length" => CONTENT_LENGTH,
        b"x-forwarded-for" => FORWARDED_FOR,
        b"x-forwarded-host" => FORWARDED_HOST,
        b"x-forwarded-proto" => FORWARDED_PROTO,
        _ => return HeaderName::from_bytes(name).ok(),
    })
}

/// The value of a field; what the proxy itself says in every message takes no memory.
fn value_of(value: &[u8]) -> Option<HeaderValue> {
    Some(match value {
        b"http" => HeaderValue::from_static("http"),
        b"trailers" => HeaderValue::from_static("trailers"),
        b"1.1 ringway" => HeaderValue::from_static("1.1 ringway"),
        b"2.0 ringway" => HeaderValue::from_static("2.0 ringway"),
        _ => return HeaderValue::from_bytes(value).ok(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_what_would_have_been_parsed() {
        let names = [
            "te",
            "via",
            "date",
            "accept",
            "server",
            "user-agent",
            "content-type",
            "Content-Type",
            "cache-control",
            "content-length",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "Date",
            "Server",
            "X-Other",
        ];
        for name in names {
            let parsed = HeaderName::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(name_of(name.as_bytes()), Some(parsed));
        }
        for value in ["http", "trailers", "1.1 ringway", "2.0 ringway", "", "x y"] {
            assert_eq!(value_of(value.as_bytes()).unwrap().as_bytes(), value.as_bytes());
        }
        assert_eq!((name_of(b"a b"), name_of(b"")), (None, None));
        assert_eq!(value_of(b"a\r\nb: c"), None);
    }
}
