//! Request-targets and hosts (RFC 9112 3.2, RFC 3986 3.2).

use crate::message::{Cause, Method};

/// A request-target taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'b> {
    /// Path with query, `*`, or for CONNECT the authority.
    pub path: &'b [u8],
    /// The authority of an absolute-form or authority-form target.
    pub authority: Option<&'b [u8]>,
}

/// Takes a request-target apart and checks that its method allows its form.
///
/// # Errors
/// `BadTarget` for a form the method does not allow, a fragment, bytes outside visible ASCII, a
/// scheme other than `http` and `https`, userinfo, or a bad port.
#[inline]
pub fn parse(method: Method, target: &[u8]) -> Result<Target<'_>, Cause> {
    if target.iter().any(|&b| !TARGET[b as usize]) {
        return Err(Cause::BadTarget);
    }
    match (method, target) {
        (Method::Connect, _) => match port(target)? {
            Some(1..) => Ok(Target { path: target, authority: Some(target) }),
            _ => Err(Cause::BadTarget),
        },
        (_, [b'/', ..]) => Ok(Target { path: target, authority: None }),
        (Method::Options, b"*") => Ok(Target { path: target, authority: None }),
        _ => absolute(method, target),
    }
}

/// Absolute-form: an `http_proxy` request.
fn absolute(method: Method, target: &[u8]) -> Result<Target<'_>, Cause> {
    let rest = [&b"http://"[..], b"https://"]
        .into_iter()
        .find_map(|scheme| {
            let (head, rest) = target.split_at_checked(scheme.len())?;
            head.eq_ignore_ascii_case(scheme).then_some(rest)
        })
        .ok_or(Cause::BadTarget)?;
    let end = rest.iter().position(|&b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    port(authority)?;
    let path: &[u8] = match path {
        // RFC 9112 3.2.4: OPTIONS without a path asks the server as a whole.
        [] if method == Method::Options => b"*",
        [] => b"/",
        // A query without a path would need bytes that are not there; no client sends it.
        [b'?', ..] => return Err(Cause::BadTarget),
        _ => path,
    };
    Ok(Target { path, authority: Some(authority) })
}

fn port(authority: &[u8]) -> Result<Option<u16>, Cause> {
    split_host(authority).map(|(_, port)| port).ok_or(Cause::BadTarget)
}

/// Splits `host[:port]`; `None` when it is not a host with an optional port. Hosts are letters,
/// digits, `-`, `.` and `_`, or an IPv6 address in brackets: the other characters that RFC 3986
/// allows in a registered name occur in attacks only. An empty port counts as none.
#[inline]
#[must_use]
pub fn split_host(authority: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let end = if authority.first() == Some(&b'[') {
        let close = authority.iter().position(|&b| b == b']')?;
        let address = std::str::from_utf8(&authority[1..close]).ok()?;
        address.parse::<std::net::Ipv6Addr>().ok()?;
        close + 1
    } else {
        authority.iter().position(|&b| !HOST[b as usize]).unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(end);
    if host.is_empty() {
        return None;
    }
    match rest {
        [] | [b':'] => Some((host, None)),
        [b':', digits @ ..] => Some((host, Some(decimal_port(digits)?))),
        _ => None,
    }
}

fn decimal_port(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 {
        return None;
    }
    digits.iter().try_fold(0_u16, |port, &b| {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 { None } else { port.checked_mul(10)?.checked_add(digit.into()) }
    })
}

const HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128 {
        let c = b as u8;
        table[b] = c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_');
        b += 1;
    }
    table
};

/// Visible ASCII without `#`: anything else has to be percent-encoded (RFC 3986 2).
const TARGET: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0x21;
    while b < 0x7F {
        table[b] = b as u8 != b'#';
        b += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        assert_eq!(split_host(b"a.test:80"), Some((&b"a.test"[..], Some(80))));
        assert_eq!(split_host(b"a.test:"), Some((&b"a.test"[..], None)));
        assert_eq!(split_host(b"[::1]:65535"), Some((&b"[::1]"[..], Some(65535))));
        for bad in [
            &b""[..],
            b":80",
            b"a:65536",
            b"a:1x",
            b"a:+1",
            b"u@a",
            b"a/b",
            b"[::1",
            b"[]",
            b"a b",
            b"[::1]x",
            b"a:000080",
        ] {
            assert_eq!(split_host(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn forms() {
        let get = |t| parse(Method::Get, t);
        assert_eq!(get(b"/a?b"), Ok(Target { path: b"/a?b", authority: None }));
        assert_eq!(get(b"HTTP://a:1"), Ok(Target { path: b"/", authority: Some(b"a:1") }));
        assert_eq!(get(b"https://a/x"), Ok(Target { path: b"/x", authority: Some(b"a") }));
        assert_eq!(parse(Method::Options, b"http://a").map(|t| t.path), Ok(&b"*"[..]));
        assert_eq!(parse(Method::Options, b"*").map(|t| t.path), Ok(&b"*"[..]));
        for bad in [
            &b"*"[..],
            b"a:80",
            b"ftp://a/",
            b"http:///x",
            b"http://u@a/",
            b"/#f",
            b"/\x80",
            b"http://a?q",
        ] {
            assert_eq!(get(bad), Err(Cause::BadTarget), "{}", bad.escape_ascii());
        }
        let connect = |t| parse(Method::Connect, t).is_ok();
        assert!(
            connect(b"a:443")
                && !connect(b"a")
                && !connect(b"a:0")
                && !connect(b"/")
                && !connect(b"a:99999")
        );
    }
}
