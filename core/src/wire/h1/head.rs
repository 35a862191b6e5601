//! Reads message heads: httparse finds the tokens, the rules here refuse what it tolerates (bare
//! LF, several empty lines) and decide the framing. Nothing is copied.

use std::mem::MaybeUninit;

use arrayvec::ArrayVec;
use httparse::{Error, Header, Request, Response, Status};

use super::framing::Gathered;
use super::{names, target};
use crate::message::{
    Cause, Fault, Field, Framing, Method, RequestHead, ResponseHead, Stage, Tag, Upgrade, Version,
};

/// The most fields a head may have, whatever the limits say.
pub const MAX_FIELDS: usize = 100;

/// What a head may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole head. Default 65,536 (as Linkerd and Envoy within a factor of two).
    pub head_bytes: usize,
    /// Bytes of the request-target. Default 16,384; RFC 9112 3 asks for at least 8,000 for the
    /// request line.
    pub target_bytes: usize,
    /// Field lines. Default and at most [`MAX_FIELDS`].
    pub fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes: 65_536, target_bytes: 16_384, fields: MAX_FIELDS }
    }
}

/// The outcome of looking at the bytes received so far.
#[derive(Clone, Copy, Debug)]
pub enum Parsed<T> {
    /// The head is complete.
    Complete(T),
    /// Nothing wrong so far; more bytes are needed.
    Partial,
}

/// The caller's stack space for the fields of one head. Only as much of it is ever touched as the
/// head has fields.
#[derive(Debug, Default)]
pub struct FieldTable<'b>(ArrayVec<Field<'b>, MAX_FIELDS>);

impl<'b> FieldTable<'b> {
    /// An empty table.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self(ArrayVec::new_const())
    }

    /// Adds a field, of `most` at the most.
    pub(in crate::wire) fn push(&mut self, field: Field<'b>, most: usize) -> Result<(), Cause> {
        if self.0.len() >= most {
            return Err(Cause::TooManyFields);
        }
        self.0.try_push(field).map_err(|_| Cause::TooManyFields)
    }

    /// What was added.
    pub(in crate::wire) fn fields(&self) -> &[Field<'b>] {
        &self.0
    }
}

/// httparse fills only as many slots as the head has fields; the rest stays uninitialised.
type Slots<'b> = [MaybeUninit<Header<'b>>; MAX_FIELDS];

/// Reads a request head from the front of `buf`; with it comes the number of bytes it took,
/// including one tolerated empty line before it (RFC 9112 2.2).
///
/// # Errors
/// The first rule broken, blamed on the client. Errors are found as early as the bytes allow;
/// once one is returned, no further byte can repair the message.
#[inline]
pub fn request<'t, 'b: 't>(
    buf: &'b [u8],
    table: &'t mut FieldTable<'b>,
    limits: &Limits,
) -> Result<Parsed<(RequestHead<'t>, usize)>, Fault> {
    try_request(buf, table, limits).map_err(|cause| Fault::client(Stage::Head, cause))
}

fn try_request<'t, 'b: 't>(
    buf: &'b [u8],
    table: &'t mut FieldTable<'b>,
    limits: &Limits,
) -> Result<Parsed<(RequestHead<'t>, usize)>, Cause> {
    let window = &buf[..buf.len().min(limits.head_bytes)];
    let Some(skipped) = leading_crlf(window)? else {
        return Ok(Parsed::Partial);
    };
    let head = &window[skipped..];
    let mut slots: Slots<'b> = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let slots = &mut slots[..limits.fields.min(MAX_FIELDS)];
    let mut parsed = Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, slots) {
        Ok(Status::Complete(used)) => {
            let (Some(method), Some(path)) = (parsed.method, parsed.path) else {
                return Err(Cause::BadStartLine);
            };
            let line = StartLine {
                method: method.as_bytes(),
                target: path.as_bytes(),
                version: version_of(parsed.version),
            };
            let end = line.method.len() + line.target.len() + b"  HTTP/1.1".len();
            finish_request(&line, &head[..used], end, parsed.headers, table, limits)
                .map(|done| Parsed::Complete((done, skipped + used)))
        }
        Ok(Status::Partial) => {
            room_for_target(head, limits)?;
            room(window, limits)
        }
        Err(Error::Version) => later_minor_request(head, skipped, table, limits),
        Err(error) => Err(cause_of(error, head)),
    }
}

/// A request line taken apart.
struct StartLine<'b> {
    method: &'b [u8],
    target: &'b [u8],
    version: Version,
}

fn finish_request<'t, 'b: 't>(
    line: &StartLine<'b>,
    head: &'b [u8],
    line_end: usize,
    headers: &[Header<'b>],
    table: &'t mut FieldTable<'b>,
    limits: &Limits,
) -> Result<RequestHead<'t>, Cause> {
    if line.target.len() > limits.target_bytes {
        return Err(Cause::TargetTooLong);
    }
    let method = Method::of(line.method);
    let target = target::parse(method, line.target)?;
    let mut seen = Gathered::new(false);
    let fields = fill(head, line_end, headers, table, &mut seen)?;
    let version = line.version;
    // RFC 9112 3.2: a Host is required of HTTP/1.1, whatever the form of the target.
    if seen.host.is_none() && version == Version::Http11 {
        return Err(Cause::BadHost);
    }
    let framing = seen.request_framing(version)?;
    let body = !matches!(framing, Framing::None | Framing::Length(0));
    let expect_continue = seen.expectation(version, body)?;
    let upgrade =
        if body || method == Method::Connect { Upgrade::None } else { seen.upgrade(version) };
    Ok(RequestHead {
        method,
        method_token: line.method,
        authority: target.authority.or(seen.host).unwrap_or_default(),
        target: target.path,
        absolute: target.authority.is_some() && method != Method::Connect,
        version,
        fields,
        lines: head,
        framing,
        connection: seen.connection(version),
        expect_continue,
        upgrade,
        te_trailers: seen.te_trailers,
    })
}

/// Reads a response head from the front of `buf`; `method` is that of the request it answers.
///
/// # Errors
/// The first rule broken, blamed on the upstream endpoint.
#[inline]
pub fn response<'t, 'b: 't>(
    buf: &'b [u8],
    table: &'t mut FieldTable<'b>,
    limits: &Limits,
    method: Method,
) -> Result<Parsed<(ResponseHead<'t>, usize)>, Fault> {
    try_response(buf, table, limits, method).map_err(|c| Fault::upstream(Stage::Reply, c))
}

fn try_response<'t, 'b: 't>(
    buf: &'b [u8],
    table: &'t mut FieldTable<'b>,
    limits: &Limits,
    method: Method,
) -> Result<Parsed<(ResponseHead<'t>, usize)>, Cause> {
    let window = &buf[..buf.len().min(limits.head_bytes)];
    if matches!(window.first(), Some(b'\r' | b'\n')) {
        return Err(Cause::BadStartLine);
    }
    let mut slots: Slots<'b> = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let slots = &mut slots[..limits.fields.min(MAX_FIELDS)];
    let mut parsed = Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, window, slots) {
        Ok(Status::Complete(used)) => {
            let version = version_of(parsed.version);
            finish_response(version, &window[..used], parsed.headers, table, method)
                .map(|done| Parsed::Complete((done, used)))
        }
        Ok(Status::Partial) => room(window, limits),
        Err(Error::Version) => later_minor_response(window, table, limits, method),
        Err(error) => Err(cause_of(error, window)),
    }
}

fn finish_response<'t, 'b: 't>(
    version: Version,
    head: &'b [u8],
    headers: &[Header<'b>],
    table: &'t mut FieldTable<'b>,
    method: Method,
) -> Result<ResponseHead<'t>, Cause> {
    let line_end = line_end(head).ok_or(Cause::BadStartLine)?;
    let (status, reason) = status_and_reason(&head[..line_end])?;
    let mut seen = Gathered::new(true);
    let fields = fill(head, line_end, headers, table, &mut seen)?;
    let framing = seen.response_framing(version, status, method)?;
    let mut connection = seen.connection(version);
    connection.persistent &= framing != Framing::Close && status != 101;
    let upgrade = if status == 101 { seen.upgrade(version) } else { Upgrade::None };
    Ok(ResponseHead { status, reason, version, fields, lines: head, framing, connection, upgrade })
}

/// Takes `HTTP/1.1 200[ reason]` apart.
fn status_and_reason(line: &[u8]) -> Result<(u16, &[u8]), Cause> {
    let (status, reason) = match &line[b"HTTP/1.1".len()..] {
        [b' ', a, b, c] => ([*a, *b, *c], &line[line.len()..]),
        [b' ', a, b, c, b' ', reason @ ..] => ([*a, *b, *c], reason),
        _ => return Err(Cause::BadStartLine),
    };
    let text = |b: &u8| *b == b'\t' || (*b >= b' ' && *b != 0x7F);
    if !status.iter().all(u8::is_ascii_digit) || status[0] == b'0' || !reason.iter().all(text) {
        return Err(Cause::BadStartLine);
    }
    let status = status.iter().fold(0, |n, b| n * 10 + u16::from(b - b'0'));
    Ok((status, reason))
}

/// Walks the lines that httparse found: insists on CRLF, tags each field and gathers what they
/// say. `head` ends with the empty line; `at` is the end of the start line.
#[inline]
fn fill<'t, 'b>(
    head: &'b [u8],
    mut at: usize,
    headers: &[Header<'b>],
    table: &'t mut FieldTable<'b>,
    seen: &mut Gathered<'b>,
) -> Result<&'t [Field<'b>], Cause> {
    if !crlf_at(head, at) {
        return Err(Cause::BadStartLine);
    }
    at += 2;
    let fields = &mut table.0;
    fields.clear();
    for header in headers {
        let name = header.name.as_bytes();
        let (start, after_colon) = (at, at + name.len() + 1);
        // Nearly every line is `name: value`, and then it may be forwarded as it is.
        let spaced = head.get(after_colon) == Some(&b' ');
        at = after_colon + usize::from(spaced) + header.value.len();
        let tidy = crlf_at(head, at);
        if !tidy {
            at = skip_blanks(head, skip_blanks(head, after_colon) + header.value.len());
            if !crlf_at(head, at) {
                return Err(Cause::BadField);
            }
        }
        at += 2;
        // No buffer for a head comes near 4 GiB.
        let line = if tidy { (start as u32, at as u32) } else { (0, 0) };
        let mut field = Field { name, value: header.value, line, tag: names::tag(name) };
        if field.tag != Tag::Other {
            seen.field(&mut field)?;
        }
        fields.try_push(field).map_err(|_| Cause::TooManyFields)?;
    }
    if !crlf_at(head, at) || at + 2 != head.len() {
        return Err(Cause::BadField);
    }
    seen.drop_nominated(fields);
    Ok(fields)
}

#[inline]
fn skip_blanks(head: &[u8], mut at: usize) -> usize {
    while matches!(head.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    at
}

#[inline]
fn crlf_at(head: &[u8], at: usize) -> bool {
    head.get(at..at + 2) == Some(b"\r\n")
}

fn line_end(head: &[u8]) -> Option<usize> {
    let lf = head.iter().position(|&b| b == b'\n')?;
    (lf > 0 && head[lf - 1] == b'\r').then_some(lf - 1)
}

const fn version_of(minor: Option<u8>) -> Version {
    if matches!(minor, Some(0)) { Version::Http10 } else { Version::Http11 }
}

/// One CRLF before a request is tolerated: 0 or 2 bytes; `None` until it is known.
fn leading_crlf(buf: &[u8]) -> Result<Option<usize>, Cause> {
    match buf {
        [] | [b'\r'] | [b'\r', b'\n'] => Ok(None),
        [b'\r', b'\n', b'\r' | b'\n', ..] => Err(Cause::BadStartLine),
        [b'\r', b'\n', ..] => Ok(Some(2)),
        [b'\r' | b'\n', ..] => Err(Cause::BadStartLine),
        _ => Ok(Some(0)),
    }
}

fn room<T>(window: &[u8], limits: &Limits) -> Result<Parsed<T>, Cause> {
    if window.len() >= limits.head_bytes {
        return Err(Cause::HeadTooLarge);
    }
    Ok(Parsed::Partial)
}

/// Refuses a request line that is too long before it ends.
fn room_for_target(head: &[u8], limits: &Limits) -> Result<(), Cause> {
    let Some(rest) = head.get(limits.target_bytes..) else {
        return Ok(());
    };
    let line = head.iter().position(|&b| b == b'\n').map_or(head, |lf| &head[..lf]);
    let mut words = line.split(|&b| b == b' ');
    let target = words.nth(1).unwrap_or_default();
    if rest.is_empty() || target.len() <= limits.target_bytes {
        return Ok(());
    }
    Err(Cause::TargetTooLong)
}

/// httparse knows HTTP/1.0 and 1.1; a later minor version is read as 1.1 (RFC 9110 2.5).
fn later_minor_request<'t, 'b: 't>(
    head: &'b [u8],
    skipped: usize,
    table: &'t mut FieldTable<'b>,
    limits: &Limits,
) -> Result<Parsed<(RequestHead<'t>, usize)>, Cause> {
    let mut words = head.splitn(3, |&b| b == b' ');
    let (Some(method), Some(target), Some(rest)) = (words.next(), words.next(), words.next())
    else {
        return Err(Cause::BadStartLine);
    };
    if !later_minor(rest)? {
        return Ok(Parsed::Partial);
    }
    let line = StartLine { method, target, version: Version::Http11 };
    let end = method.len() + target.len() + b"  HTTP/1.1".len();
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    match field_section(head, end, &mut slots[..limits.fields.min(MAX_FIELDS)])? {
        Some((used, headers)) => finish_request(&line, &head[..used], end, headers, table, limits)
            .map(|done| Parsed::Complete((done, skipped + used))),
        None => room(head, limits),
    }
}

fn later_minor_response<'t, 'b: 't>(
    head: &'b [u8],
    table: &'t mut FieldTable<'b>,
    limits: &Limits,
    method: Method,
) -> Result<Parsed<(ResponseHead<'t>, usize)>, Cause> {
    if !later_minor(head)? {
        return Ok(Parsed::Partial);
    }
    let Some(end) = line_end(head) else {
        return room(head, limits);
    };
    status_and_reason(&head[..end])?;
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    match field_section(head, end, &mut slots[..limits.fields.min(MAX_FIELDS)])? {
        Some((used, headers)) => {
            finish_response(Version::Http11, &head[..used], headers, table, method)
                .map(|done| Parsed::Complete((done, used)))
        }
        None => room(head, limits),
    }
}

/// Whether `version` begins with `HTTP/1.2` to `HTTP/1.9`; `false` while it is too short to say.
fn later_minor(version: &[u8]) -> Result<bool, Cause> {
    let known = version.len().min(b"HTTP/".len());
    if version[..known] != b"HTTP/"[..known] {
        return Err(Cause::BadStartLine);
    }
    match version.get(known..).unwrap_or_default() {
        [b'1', b'.', b'0'..=b'9', ..] => Ok(true),
        [b'0'..=b'9', b'.', b'0'..=b'9', after, ..] if !after.is_ascii_digit() => {
            Err(Cause::BadVersion)
        }
        [] | [b'0'..=b'9'] | [b'0'..=b'9', b'.'] | [b'0'..=b'9', b'.', b'0'..=b'9'] => Ok(false),
        _ => Err(Cause::BadStartLine),
    }
}

/// The fields after a start line that ends at `line_end`.
fn field_section<'b, 's>(
    head: &'b [u8],
    line_end: usize,
    slots: &'s mut [Header<'b>],
) -> Result<Option<(usize, &'s [Header<'b>])>, Cause> {
    let Some(rest) = head.get(line_end + 2..) else {
        return Ok(None);
    };
    if !crlf_at(head, line_end) {
        return Err(Cause::BadStartLine);
    }
    match httparse::parse_headers(rest, slots) {
        Ok(Status::Complete((used, headers))) => Ok(Some((line_end + 2 + used, headers))),
        Ok(Status::Partial) => Ok(None),
        Err(error) => Err(cause_of(error, head)),
    }
}

fn cause_of(error: Error, head: &[u8]) -> Cause {
    match error {
        Error::HeaderName | Error::HeaderValue => Cause::BadField,
        Error::TooManyHeaders => Cause::TooManyFields,
        Error::NewLine if line_end(head).is_some() => Cause::BadField,
        _ => Cause::BadStartLine,
    }
}
