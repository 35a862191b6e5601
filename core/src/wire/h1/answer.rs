//! Complete responses made by the proxy itself.

use super::encode::decimal;

/// A response of our own.
#[derive(Clone, Copy, Debug)]
pub struct Local<'a> {
    /// The status.
    pub status: u16,
    /// What went wrong (`Cause::as_str`), for `l5d-proxy-error`; `None` when nothing did.
    pub cause: Option<&'a str>,
    /// The content, in plain text; empty for redirects.
    pub content: &'a [u8],
    /// The value of `date`; `None` writes none.
    pub date: Option<&'a str>,
    /// Whether the connection closes after it.
    pub close: bool,
    /// Answers HEAD: the length is stated, the content left out.
    pub head_only: bool,
    /// Further fields: `location` of a redirect, `allow` of a 405. Bytes that could end a line
    /// are left out.
    pub fields: &'a [(&'a str, &'a [u8])],
}

/// Appends the whole response.
pub fn answer(local: &Local<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(local.status.into(), out);
    out.push(b' ');
    out.extend_from_slice(reason(local.status).as_bytes());
    out.extend_from_slice(b"\r\n");
    let mut field = |name: &str, value: &[u8]| {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend(value.iter().filter(|&&b| b >= b' ' && b != 0x7F));
        out.extend_from_slice(b"\r\n");
    };
    if let Some(date) = local.date {
        field("date", date.as_bytes());
    }
    if let Some(cause) = local.cause {
        field("l5d-proxy-error", cause.as_bytes());
    }
    for (name, value) in local.fields {
        field(name, value);
    }
    if local.close {
        field("connection", b"close");
    }
    if !matches!(local.status, 100..=199 | 204 | 304) {
        if !local.content.is_empty() {
            field("content-type", b"text/plain; charset=utf-8");
        }
        out.extend_from_slice(b"content-length: ");
        decimal(local.content.len() as u64, out);
        out.extend_from_slice(b"\r\n\r\n");
        if !local.head_only {
            out.extend_from_slice(local.content);
        }
    } else {
        out.extend_from_slice(b"\r\n");
    }
}

/// The reason phrase of a status that the proxy makes itself (RFC 9110 15).
#[must_use]
pub const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        _ => "",
    }
}
