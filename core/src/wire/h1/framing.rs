//! The rules that decide where a message ends and what becomes of its connection
//! (RFC 9112 6 and 9, RFC 9110 7.6.1, 7.8, 8.6 and 10.1.1).

use super::names::{is_tchar, members, tag, trim};
use super::target::split_host;
use crate::message::{Cause, Connection, Field, Framing, Method, Tag, Upgrade, Version};

/// More `Connection` options than any real sender lists; bounds the search for nominated fields.
const MAX_OPTIONS: usize = 64;

/// What the fields of one head say about framing and connection, gathered line by line.
#[derive(Debug, Default)]
pub(super) struct Gathered<'b> {
    response: bool,
    pub(super) host: Option<&'b [u8]>,
    pub(super) te_trailers: bool,
    length: Option<u64>,
    coding: Coding,
    options: usize,
    close: bool,
    keep_alive: bool,
    upgrade_option: bool,
    nominated: bool,
    upgrade: Option<&'b [u8]>,
    upgrades: usize,
    expect: bool,
    bad_expect: bool,
}

/// The transfer codings listed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coding {
    /// No Transfer-Encoding field.
    #[default]
    Absent,
    /// A field without members.
    Empty,
    /// Exactly `chunked`.
    Chunked,
    /// Codings other than chunked.
    Other,
    /// Other codings, then chunked.
    OtherChunked,
}

impl<'b> Gathered<'b> {
    /// Nothing yet; of a response or of a request.
    pub(super) fn new(response: bool) -> Self {
        Self { response, ..Self::default() }
    }

    /// Takes note of one line that has a meaning here; may change its tag.
    pub(super) fn field(&mut self, field: &mut Field<'b>) -> Result<(), Cause> {
        let value = field.value;
        match field.tag {
            Tag::Host if !self.response => {
                // RFC 9112 3.2: more than one Host is an error even with equal values.
                if self.host.is_some() || split_host(value).is_none() {
                    return Err(Cause::BadHost);
                }
                self.host = Some(value);
            }
            Tag::ContentLength => {
                let length = content_length(value)?;
                match self.length {
                    None => self.length = Some(length),
                    // RFC 9110 8.6 allows to collapse equal values; from a client it is a probe.
                    Some(first) if first == length && self.response => field.tag = Tag::Dropped,
                    Some(_) => return Err(Cause::BadLength),
                }
            }
            Tag::TransferEncoding => self.transfer_encoding(value)?,
            Tag::Connection => self.connection_options(value)?,
            Tag::Te => self.te_trailers |= members(value).any(is_trailers),
            Tag::Upgrade => {
                self.upgrades += 1;
                self.upgrade = Some(value);
            }
            Tag::Expect if value.eq_ignore_ascii_case(b"100-continue") => self.expect = true,
            Tag::Expect => self.bad_expect = true,
            _ => {}
        }
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Cause> {
        if self.coding == Coding::Absent {
            self.coding = Coding::Empty;
        }
        for member in members(value) {
            if !member.iter().all(|&b| is_tchar(b)) {
                return Err(Cause::BadTransferEncoding);
            }
            let chunked = member.eq_ignore_ascii_case(b"chunked");
            self.coding = match (self.coding, chunked) {
                // RFC 9112 6.1: chunked once, and last.
                (Coding::Chunked | Coding::OtherChunked, _) => {
                    return Err(Cause::BadTransferEncoding);
                }
                (Coding::Other, true) => Coding::OtherChunked,
                (_, true) => Coding::Chunked,
                (_, false) => Coding::Other,
            };
        }
        Ok(())
    }

    fn connection_options(&mut self, value: &[u8]) -> Result<(), Cause> {
        for option in members(value) {
            self.options += 1;
            if self.options > MAX_OPTIONS {
                return Err(Cause::TooManyFields);
            }
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade_option = true;
            } else {
                self.nominated |= tag(option) == Tag::Other;
            }
        }
        Ok(())
    }

    /// Marks the fields that `Connection` nominates. Only end-to-end fields can be nominated
    /// away: those with a meaning here (Host, X-Forwarded-For, …) have rules of their own.
    pub(super) fn drop_nominated(&self, fields: &mut [Field<'b>]) {
        if !self.nominated {
            return;
        }
        for at in 0..fields.len() {
            if fields[at].tag != Tag::Connection {
                continue;
            }
            for option in members(fields[at].value) {
                for field in fields.iter_mut().filter(|f| f.tag == Tag::Other) {
                    if field.name.eq_ignore_ascii_case(option) {
                        field.tag = Tag::Dropped;
                    }
                }
            }
        }
    }

    /// How a request's body ends (RFC 9112 6.3). `Length(0)` is an explicit `content-length: 0`.
    pub(super) const fn request_framing(&self, version: Version) -> Result<Framing, Cause> {
        match (self.coding, self.length) {
            (Coding::Absent, None) => Ok(Framing::None),
            (Coding::Absent, Some(n)) => Ok(Framing::Length(n)),
            (_, Some(_)) => Err(Cause::BadLength),
            _ if matches!(version, Version::Http10) => Err(Cause::BadTransferEncoding),
            (coding, None) => coding.framing(),
        }
    }

    /// How a response's body ends (RFC 9112 6.3), given what was asked.
    pub(super) fn response_framing(
        &self,
        version: Version,
        status: u16,
        method: Method,
    ) -> Result<Framing, Cause> {
        let framing = match (self.coding, self.length) {
            (Coding::Absent, None) => Framing::Close,
            (Coding::Absent, Some(n)) => Framing::Length(n),
            // Both at once is an attempt to split responses; TE in HTTP/1.0 is faulty framing.
            (_, Some(_)) => return Err(Cause::BadTransferEncoding),
            _ if version == Version::Http10 => return Err(Cause::BadTransferEncoding),
            (coding, None) => coding.framing()?,
        };
        let bodiless = method == Method::Head
            || matches!(status, 100..=199 | 204 | 304)
            || (method == Method::Connect && matches!(status, 200..=299));
        Ok(if bodiless { Framing::None } else { framing })
    }

    /// The connection after this message (RFC 9112 9.3).
    pub(super) fn connection(&self, version: Version) -> Connection {
        let persistent = !self.close && (version == Version::Http11 || self.keep_alive);
        Connection { persistent, upgrade: self.upgrade_option }
    }

    /// The protocol to upgrade to (RFC 9110 7.8), if this hop can tunnel it.
    pub(super) fn upgrade(&self, version: Version) -> Upgrade<'b> {
        match self.upgrade {
            Some(value)
                if self.upgrades == 1
                    && self.upgrade_option
                    && version == Version::Http11
                    && members(value).next().is_some()
                    && !members(value).any(is_http) =>
            {
                Upgrade::To(value)
            }
            _ => Upgrade::None,
        }
    }

    /// Whether the client waits for 100 (RFC 9110 10.1.1); HTTP/1.0 cannot ask for it.
    pub(super) const fn expectation(&self, version: Version, body: bool) -> Result<bool, Cause> {
        match version {
            Version::Http10 => Ok(false),
            _ if self.bad_expect => Err(Cause::BadExpectation),
            _ => Ok(self.expect && body),
        }
    }
}

impl Coding {
    const fn framing(self) -> Result<Framing, Cause> {
        match self {
            Self::Chunked => Ok(Framing::Chunked),
            Self::OtherChunked => Err(Cause::UnknownTransferCoding),
            Self::Absent | Self::Empty | Self::Other => Err(Cause::BadTransferEncoding),
        }
    }
}

/// HTTP/2 over cleartext would leave this parser behind: never forwarded.
fn is_http(protocol: &[u8]) -> bool {
    let starts = |prefix: &[u8]| {
        protocol.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    };
    starts(b"h2") || starts(b"http/")
}

fn is_trailers(member: &[u8]) -> bool {
    let name = member.split(|&b| b == b';').next().unwrap_or_default();
    trim(name).eq_ignore_ascii_case(b"trailers")
}

/// `1*DIGIT` (RFC 9110 8.6): no sign, no list; leading zeros mean nothing.
///
/// # Errors
/// `BadLength` for anything else, and for values above 2^64 - 1.
#[inline]
pub fn content_length(value: &[u8]) -> Result<u64, Cause> {
    if value.is_empty() {
        return Err(Cause::BadLength);
    }
    value.iter().try_fold(0_u64, |length, &b| {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return Err(Cause::BadLength);
        }
        let length = length.checked_mul(10).and_then(|n| n.checked_add(digit.into()));
        length.ok_or(Cause::BadLength)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(content_length(b"010"), Ok(10));
        assert_eq!(content_length(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(content_length(&[b'0'; 40]), Ok(0));
        for bad in [&b""[..], b"18446744073709551616", b"-1", b"+1", b"1 ", b"5, 5", b"0x5", b"1_0"]
        {
            assert_eq!(content_length(bad), Err(Cause::BadLength), "{}", bad.escape_ascii());
        }
    }
}
