//! The URL of a run, taken apart, and the address it stands for.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The URL as it was given.
    pub url: String,
    /// Host and port as the `Host` field has them.
    pub authority: String,
    /// Host and port to connect to.
    pub address: String,
    /// Path and query.
    pub path: String,
}

impl Target {
    /// Takes an `http://` URL apart.
    pub fn parse(url: &str) -> Result<Self, String> {
        if url.starts_with("https://") {
            return Err("https is not supported yet: give an http:// URL".to_owned());
        }
        let rest = url
            .strip_prefix("http://")
            .ok_or_else(|| format!("{url:?} is no URL: it begins with http://"))?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) if rest[at..].starts_with('/') => (&rest[..at], rest[at..].to_owned()),
            Some(at) => (&rest[..at], format!("/{}", &rest[at..])),
            None => (rest, "/".to_owned()),
        };
        if authority.is_empty() || authority.contains('@') {
            return Err(format!("{url:?} needs a host, and no user"));
        }
        if !rest.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("{url:?} has bytes that do not belong into a URL"));
        }
        let port = match authority.rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => Some(port),
            _ => None,
        };
        let address = match port {
            Some(port) if port.parse::<u16>().is_ok() => authority.to_owned(),
            Some(port) => return Err(format!("{port:?} is no port")),
            None => format!("{authority}:80"),
        };
        Ok(Self { url: url.to_owned(), authority: authority.to_owned(), address, path })
    }

    /// Finds an address that accepts connections now; within `limit` for each candidate.
    pub fn resolve(&self, limit: Duration) -> Result<SocketAddr, String> {
        let cannot = |error: io::Error| format!("unable to connect to {}: {error}", self.address);
        let mut last = io::Error::other("the name has no address");
        for address in self.address.to_socket_addrs().map_err(cannot)? {
            match TcpStream::connect_timeout(&address, limit) {
                Ok(_) => return Ok(address),
                Err(error) => last = error,
            }
        }
        Err(cannot(last))
    }
}

#[cfg(test)]
#[allow(clippy::panic, reason = "a failed expectation is a failed test")]
mod tests {
    use super::Target;

    fn parts(url: &str) -> (String, String, String) {
        let target = Target::parse(url).unwrap_or_else(|e| panic!("{e}"));
        (target.authority, target.address, target.path)
    }

    #[test]
    fn urls() {
        let wanted = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(parts("http://a:1/b?c=d#e"), wanted("a:1", "a:1", "/b?c=d"));
        assert_eq!(parts("http://a"), wanted("a", "a:80", "/"));
        assert_eq!(parts("http://a?b"), wanted("a", "a:80", "/?b"));
        assert_eq!(parts("http://[::1]:8080/x"), wanted("[::1]:8080", "[::1]:8080", "/x"));
        assert_eq!(parts("http://[::1]/"), wanted("[::1]", "[::1]:80", "/"));
    }

    #[test]
    fn what_is_none() {
        for url in ["a:80", "https://a/", "http://", "http:///x", "http://a:x/", "http://a/b c"] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }
}
