//! What leaves this hop: which fields are dropped, replaced or added to a head on its way
//! (RFC 9110 7.6). A description only; the wire writes it.

use std::net::IpAddr;

use crate::message::{
    Cause, Fault, Field, Framing, RequestHead, ResponseHead, Stage, Tag, Upgrade, Version,
};
use crate::snapshot::{Filters, HeaderEdits, PathRewrite};
use crate::time::Duration;

/// More `Via` entries than this mean a loop. Linkerd 1.x allows 1,000; a path of 100 proxies is
/// none either.
pub const MAX_VIA: usize = 100;

/// Which fields tell the next hop about the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedMode {
    /// None are written; those that came pass.
    Off,
    /// `X-Forwarded-For` is appended to; `-Proto` and `-Host` are set when absent.
    #[default]
    XForwarded,
    /// An element is appended to `Forwarded` (RFC 7239).
    Rfc7239,
    /// Both of them.
    Both,
}

impl ForwardedMode {
    /// Whether `X-Forwarded-*` is written.
    #[must_use]
    pub const fn x_forwarded(self) -> bool {
        matches!(self, Self::XForwarded | Self::Both)
    }

    /// Whether `Forwarded` is written.
    #[must_use]
    pub const fn rfc7239(self) -> bool {
        matches!(self, Self::Rfc7239 | Self::Both)
    }
}

/// What a listener says about this hop.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// The pseudonym in `Via`; `None` writes none. Default `ringway` (Linkerd 1.x: `linkerd`).
    pub via: Option<&'a str>,
    /// Which fields tell about the client.
    pub forwarded: ForwardedMode,
    /// The client's address, when it is known.
    pub client: Option<IpAddr>,
    /// `http` or `https`: how the client reached this hop.
    pub scheme: &'a str,
}

/// The filters that apply to an exchange: the rule's, then the backend's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Applied<'a> {
    /// Of the rule.
    pub rule: Option<&'a Filters>,
    /// Of the chosen backend.
    pub backend: Option<&'a Filters>,
    /// Length of the path prefix that the route matched, for `PathRewrite::Prefix`.
    pub matched_prefix: usize,
}

/// What to write of a request head. Upstream is always spoken to in HTTP/1.1 and origin-form.
#[derive(Clone, Copy, Debug)]
pub struct RequestEdits<'a> {
    /// A rewrite of the path, with the length of the prefix that the route matched.
    pub path: Option<(&'a PathRewrite, usize)>,
    /// The Host to write; `None` keeps the field as it came.
    pub host: Option<&'a [u8]>,
    /// The framing to write.
    pub framing: Framing,
    /// The protocol to ask for.
    pub upgrade: Option<&'a [u8]>,
    /// The key of a WebSocket's handshake, in place of the one that came, if any: an HTTP/2 client
    /// sends none (RFC 8441 5.1). Default none.
    pub websocket_key: Option<&'a [u8]>,
    /// Keep `Expect: 100-continue`.
    pub expect: bool,
    /// Write `te: trailers`.
    pub te_trailers: bool,
    /// Replaces the client's `grpc-timeout`: what is left of it (`policy::deadline`).
    pub time_left: Option<Duration>,
    /// Ask the upstream to close after its response. Default false.
    pub close: bool,
    /// See [`Hop`].
    pub hop: Hop<'a>,
    /// Header modifiers: the rule's, the backend's.
    pub headers: Modifiers<'a>,
}

/// What to write of a response head. Clients are always answered in HTTP/1.1.
#[derive(Clone, Copy, Debug)]
pub struct ResponseEdits<'a> {
    /// The framing to write, and the one the body has to be relayed in. `None` keeps the
    /// Content-Length where it describes the body not sent (HEAD, 304).
    pub framing: Framing,
    /// Keep Content-Length though there is no body.
    pub keep_length: bool,
    /// Write `connection: close`: the connection ends after this response.
    pub close: bool,
    /// Write `connection: keep-alive`, which an HTTP/1.0 client has to be told.
    pub keep_alive: bool,
    /// The pseudonym in `Via`.
    pub via: Option<&'a str>,
    /// The protocol switched to.
    pub upgrade: Option<&'a [u8]>,
    /// Header modifiers: the rule's, the backend's.
    pub headers: Modifiers<'a>,
}

/// Header modifiers in the order in which they apply.
#[derive(Clone, Copy, Debug, Default)]
pub struct Modifiers<'a>([Option<&'a HeaderEdits>; 2]);

impl<'a> Modifiers<'a> {
    /// The rule's modifier, then the backend's; empty ones cost nothing later.
    #[must_use]
    pub fn new(rule: Option<&'a HeaderEdits>, backend: Option<&'a HeaderEdits>) -> Self {
        let present = |edits: Option<&'a HeaderEdits>| edits.filter(|edits| !edits.is_empty());
        Self([present(rule), present(backend)])
    }

    /// Whether there is nothing to modify.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0[0].is_none() && self.0[1].is_none()
    }

    /// Whether lines called `name` that came with the message are replaced or removed.
    #[must_use]
    pub fn drops(&self, name: &[u8]) -> bool {
        self.0.iter().flatten().any(|edits| sets(edits, name) || removes(edits, name))
    }

    /// Whether any modifier names `name`.
    #[must_use]
    pub fn names(&self, name: &[u8]) -> bool {
        let adds = |edits: &&HeaderEdits| edits.add.iter().any(|(n, _)| same(n, name));
        self.drops(name) || self.0.iter().flatten().any(adds)
    }

    /// The lines to add at the end: what is left after set, add and remove of both modifiers.
    pub fn lines(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let [rule, backend] = self.0;
        let first = rule.into_iter().flat_map(own_lines).filter(move |(name, _)| {
            let name = name.as_bytes();
            backend.is_none_or(|edits| !sets(edits, name) && !removes(edits, name))
        });
        first.chain(backend.into_iter().flat_map(own_lines))
    }
}

/// What one modifier adds: set, then add, less remove.
fn own_lines(edits: &HeaderEdits) -> impl Iterator<Item = (&str, &str)> {
    let lines = edits.set.iter().chain(&edits.add);
    let lines = lines.map(|(name, value)| (&**name, &**value));
    lines.filter(|(name, _)| !removes(edits, name.as_bytes()))
}

fn sets(edits: &HeaderEdits, name: &[u8]) -> bool {
    edits.set.iter().any(|(n, _)| same(n, name))
}

fn removes(edits: &HeaderEdits, name: &[u8]) -> bool {
    edits.remove.iter().any(|n| same(n, name))
}

const fn same(a: &str, b: &[u8]) -> bool {
    a.as_bytes().eq_ignore_ascii_case(b)
}

/// Decides what to write of a request. `fallback_host` (the endpoint's address) becomes the Host
/// of an HTTP/1.0 request that has none.
///
/// # Errors
/// `Loop` when the request has passed more than [`MAX_VIA`] proxies.
#[inline]
pub fn request_edits<'a>(
    head: &RequestHead<'a>,
    hop: &Hop<'a>,
    applied: Applied<'a>,
    fallback_host: &'a [u8],
) -> Result<RequestEdits<'a>, Fault> {
    if via_entries(head.fields) > MAX_VIA {
        return Err(Fault::client(Stage::Head, Cause::Loop));
    }
    let by_filter = |filters: Option<&'a Filters>| filters.and_then(|f| f.hostname.as_deref());
    let hostname = by_filter(applied.backend).or_else(|| by_filter(applied.rule));
    let host = match hostname {
        Some(name) => Some(name.as_bytes()),
        None if head.authority.is_empty() => Some(fallback_host),
        None if head.absolute || head.target == head.authority => Some(head.authority),
        None => None,
    };
    let rewrite = |filters: Option<&'a Filters>| filters.and_then(|f| f.path.as_ref());
    let path = rewrite(applied.backend).or_else(|| rewrite(applied.rule));
    Ok(RequestEdits {
        path: path.filter(|_| head.target.starts_with(b"/")).map(|p| (p, applied.matched_prefix)),
        host,
        framing: head.framing,
        upgrade: protocol(head.upgrade),
        websocket_key: None,
        expect: head.expect_continue,
        te_trailers: head.te_trailers,
        time_left: None,
        close: false,
        hop: *hop,
        headers: Modifiers::new(
            applied.rule.map(|f| &f.request),
            applied.backend.map(|f| &f.request),
        ),
    })
}

/// What a response needs to know of the client it goes to.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The version of its request.
    pub version: Version,
    /// Whether the connection may stay open: the client wants it and nothing here forbids it.
    pub persistent: bool,
}

/// Decides what to write of a response, and how its body is to be relayed.
#[inline]
#[must_use]
pub fn response_edits<'a>(
    head: &ResponseHead<'a>,
    client: Client,
    via: Option<&'a str>,
    applied: Applied<'a>,
) -> ResponseEdits<'a> {
    let framing = match (head.framing, client.version) {
        // HTTP/1.0 knows no chunks: the end of the connection ends the body.
        (Framing::Chunked | Framing::Close, Version::Http10) => Framing::Close,
        // A close would cost the client its connection; chunks end the body as well.
        (Framing::Close, Version::Http11) => Framing::Chunked,
        (framing, _) => framing,
    };
    let interim = matches!(head.status, 100..=199);
    let stays = client.persistent && framing != Framing::Close;
    ResponseEdits {
        framing,
        keep_length: framing == Framing::None && !interim && head.status != 204,
        close: !interim && !stays,
        keep_alive: !interim && stays && client.version == Version::Http10,
        via,
        upgrade: protocol(head.upgrade).filter(|_| head.status == 101),
        headers: Modifiers::new(
            applied.rule.map(|f| &f.response),
            applied.backend.map(|f| &f.response),
        ),
    }
}

const fn protocol<'a>(upgrade: Upgrade<'a>) -> Option<&'a [u8]> {
    match upgrade {
        Upgrade::None => None,
        Upgrade::To(protocol) => Some(protocol),
    }
}

fn via_entries(fields: &[Field<'_>]) -> usize {
    let entries = |field: &Field<'_>| 1 + field.value.iter().filter(|&&b| b == b',').count();
    fields.iter().filter(|field| field.tag == Tag::Via).map(entries).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_modifier_wins_over_the_rules() {
        let edits = |set: &[&str], add: &[&str], remove: &[&str]| HeaderEdits {
            set: set.iter().map(|n| ((*n).into(), "set".into())).collect(),
            add: add.iter().map(|n| ((*n).into(), "add".into())).collect(),
            remove: remove.iter().map(|n| (*n).into()).collect(),
        };
        let rule = edits(&["a", "b"], &["c"], &["d"]);
        let backend = edits(&["A"], &["d"], &["c"]);
        let modifiers = Modifiers::new(Some(&rule), Some(&backend));
        let lines: Vec<_> = modifiers.lines().collect();
        assert_eq!(lines, [("b", "set"), ("A", "set"), ("d", "add")]);
        assert!(modifiers.drops(b"D") && !modifiers.drops(b"x"));
    }
}
