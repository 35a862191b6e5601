//! Request heads from header lists (RFC 9113 8.3.1): what is accepted is a request that HTTP/1.1
//! can carry as well, so that no rule behind this point depends on how it came.

use super::field::field;
use crate::message::{
    Cause, Connection, Fault, Field, Framing, Method, RequestHead, Stage, Tag, Upgrade, Version,
};
use crate::wire::h1::framing::content_length;
use crate::wire::h1::head::{FieldTable, Limits};
use crate::wire::h1::names::is_tchar;
use crate::wire::h1::target::{self, split_host};

/// The pseudo-header fields; that none is repeated or unknown, and that they come first, was seen
/// to where they were decoded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pseudo<'b> {
    /// `:method`
    pub method: &'b [u8],
    /// `:scheme`; not of a CONNECT.
    pub scheme: Option<&'b [u8]>,
    /// `:authority`
    pub authority: Option<&'b [u8]>,
    /// `:path`; not of a CONNECT.
    pub path: Option<&'b [u8]>,
    /// `:protocol` of an extended CONNECT (RFC 8441).
    pub protocol: Option<&'b [u8]>,
}

/// Reads a request head; `ended` says that no body follows it.
///
/// An extended CONNECT becomes the upgrade that it stands for (RFC 8441 5): a GET with `upgrade`.
///
/// # Errors
/// The first rule broken, blamed on the client.
pub fn request<'t, 'b: 't>(
    pseudo: &Pseudo<'b>,
    fields: impl Iterator<Item = (&'b [u8], &'b [u8])>,
    ended: bool,
    table: &'t mut FieldTable<'b>,
    limits: &Limits,
) -> Result<RequestHead<'t>, Fault> {
    try_request(pseudo, fields, ended, table, limits)
        .map_err(|cause| Fault::client(Stage::Head, cause))
}

fn try_request<'t, 'b: 't>(
    pseudo: &Pseudo<'b>,
    fields: impl Iterator<Item = (&'b [u8], &'b [u8])>,
    ended: bool,
    table: &'t mut FieldTable<'b>,
    limits: &Limits,
) -> Result<RequestHead<'t>, Cause> {
    let (method, target) = start(pseudo, limits)?;
    let mut seen = Seen::new(pseudo.authority)?;
    for (name, value) in fields {
        let field = field(name, value)?;
        seen.field(&field)?;
        table.push(field, limits.fields)?;
    }
    let tunnel = method == Method::Connect || pseudo.protocol.is_some();
    let authority = seen.authority.ok_or(Cause::BadHost)?;
    if method == Method::Connect && !matches!(split_host(authority), Some((_, Some(1..)))) {
        return Err(Cause::BadTarget);
    }
    let framing = if tunnel { Framing::None } else { seen.framing(method, ended)? };
    let body = !matches!(framing, Framing::None | Framing::Length(0));
    Ok(RequestHead {
        method,
        method_token: if pseudo.protocol.is_some() { b"GET" } else { pseudo.method },
        authority,
        target: target.unwrap_or(authority),
        absolute: method != Method::Connect,
        version: Version::Http2,
        fields: table.fields(),
        lines: &[],
        framing,
        connection: Connection { persistent: true, upgrade: pseudo.protocol.is_some() },
        expect_continue: seen.expect && body,
        upgrade: pseudo.protocol.map_or(Upgrade::None, Upgrade::To),
        te_trailers: seen.te_trailers,
    })
}

/// The method, and the target of anything but a CONNECT.
fn start<'b>(pseudo: &Pseudo<'b>, limits: &Limits) -> Result<(Method, Option<&'b [u8]>), Cause> {
    let token = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(|&b| is_tchar(b));
    if !token(pseudo.method) {
        return Err(Cause::BadStartLine);
    }
    let method = match (Method::of(pseudo.method), pseudo.protocol) {
        (Method::Connect, None) => {
            let bare = pseudo.path.is_none() && pseudo.scheme.is_none();
            return if bare { Ok((Method::Connect, None)) } else { Err(Cause::BadTarget) };
        }
        (Method::Connect, Some(protocol)) if token(protocol) => Method::Get,
        (_, Some(_)) => return Err(Cause::BadStartLine),
        (method, None) => method,
    };
    let known = |scheme: &[u8]| {
        scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https")
    };
    let path = pseudo.path.filter(|path| !path.is_empty()).ok_or(Cause::BadTarget)?;
    if !pseudo.scheme.is_some_and(known) {
        return Err(Cause::BadTarget);
    }
    if path.len() > limits.target_bytes {
        return Err(Cause::TargetTooLong);
    }
    match target::parse(method, path)? {
        target::Target { path, authority: None } => Ok((method, Some(path))),
        _ => Err(Cause::BadTarget),
    }
}

/// What the fields say.
struct Seen<'b> {
    authority: Option<&'b [u8]>,
    /// `authority` is the pseudo-header field, which a Host has to agree with.
    stated: bool,
    length: Option<u64>,
    expect: bool,
    te_trailers: bool,
}

impl<'b> Seen<'b> {
    fn new(authority: Option<&'b [u8]>) -> Result<Self, Cause> {
        if authority.is_some_and(|authority| split_host(authority).is_none()) {
            return Err(Cause::BadHost);
        }
        let stated = authority.is_some();
        Ok(Self { authority, stated, length: None, expect: false, te_trailers: false })
    }

    fn field(&mut self, field: &Field<'b>) -> Result<(), Cause> {
        match field.tag {
            Tag::Host => match self.authority {
                None if split_host(field.value).is_some() => self.authority = Some(field.value),
                Some(stated) if self.stated && stated.eq_ignore_ascii_case(field.value) => {}
                _ => return Err(Cause::BadHost),
            },
            Tag::ContentLength => {
                let length = content_length(field.value)?;
                if self.length.replace(length).is_some() {
                    return Err(Cause::BadLength);
                }
            }
            Tag::Expect if !field.value.eq_ignore_ascii_case(b"100-continue") => {
                return Err(Cause::BadExpectation);
            }
            Tag::Expect => self.expect = true,
            Tag::Te => self.te_trailers = true,
            _ => {}
        }
        Ok(())
    }

    /// How HTTP/1.1 would frame the body.
    const fn framing(&self, method: Method, ended: bool) -> Result<Framing, Cause> {
        match (self.length, ended) {
            (Some(1..), true) => Err(Cause::BadLength),
            (Some(n), _) => Ok(Framing::Length(n)),
            (None, false) => Ok(Framing::Chunked),
            // RFC 9110 8.6: where content is usual, that there is none is said.
            (None, true) if matches!(method, Method::Post | Method::Put | Method::Patch) => {
                Ok(Framing::Length(0))
            }
            (None, true) => Ok(Framing::None),
        }
    }
}

/// The crumbs of a cookie as the one field that HTTP/1.1 knows (RFC 9113 8.2.3).
#[must_use]
pub fn join_cookies<'b>(crumbs: impl Iterator<Item = &'b [u8]>) -> Vec<u8> {
    let mut joined = Vec::new();
    for crumb in crumbs {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(crumb);
    }
    joined
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
