//! Where a redirect points (Gateway API HTTPRequestRedirectFilter): a pure function of the rule
//! and the request's head.

use crate::message::RequestHead;
use crate::policy::route::{rewrite, split_port};
use crate::snapshot::Redirect;

/// The scheme in which the request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// The scheme's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Appends the value of `location` to `out`: always an absolute URI, unless the request named no
/// host and the redirect does not either; then only the path.
///
/// `prefix` is how much of the path the rule matched. The port is the redirect's; else none when
/// the redirect changes the scheme; else the request's. A scheme's own port is not written. The
/// query is kept.
pub fn location(
    redirect: &Redirect,
    head: &RequestHead<'_>,
    scheme: Scheme,
    prefix: usize,
    out: &mut Vec<u8>,
) {
    let (request_host, request_port) = split_port(head.authority);
    let host = redirect.hostname.as_deref().map_or(request_host, str::as_bytes);
    let start = if host.is_empty() {
        out.len()
    } else {
        let name = redirect.scheme.as_deref().unwrap_or(scheme.as_str());
        let inherited = if redirect.scheme.is_none() { request_port } else { None };
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"://");
        out.extend_from_slice(host);
        if let Some(port) = redirect.port.or(inherited).filter(|&port| !is_default(name, port)) {
            out.push(b':');
            out.extend_from_slice(port.to_string().as_bytes());
        }
        out.len()
    };
    match &redirect.path {
        Some(path) => rewrite(path, head.path(), prefix, out),
        None if head.target.first() == Some(&b'/') => out.extend_from_slice(head.path()),
        None => out.push(b'/'),
    }
    if host.is_empty() {
        // Without an authority in front, "//x" would name another host.
        while out[start..].starts_with(b"//") {
            out.remove(start);
        }
    }
    if let Some(query) = head.query() {
        out.push(b'?');
        out.extend_from_slice(query);
    }
}

fn is_default(scheme: &str, port: u16) -> bool {
    matches!((scheme, port), ("http", 80) | ("https", 443))
}
