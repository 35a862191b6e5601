//! A message head as slices of the bytes it arrived in: parsed, judged and written on within one
//! synchronous step, so that nothing is copied or allocated for it.

/// A request method (RFC 9110 9). Unknown methods pass through as `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// CONNECT
    Connect,
    /// OPTIONS
    Options,
    /// TRACE
    Trace,
    /// PATCH
    Patch,
    /// Any other token.
    Other,
}

impl Method {
    /// The method that `token` names; case matters (RFC 9110 9.1).
    #[must_use]
    pub const fn of(token: &[u8]) -> Self {
        match token {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    /// Whether doing it twice has the effect of doing it once (RFC 9110 9.2.2).
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        matches!(
            self,
            Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace
        )
    }
}

/// The version in a start line, or the protocol that needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1, and any later minor version.
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// As in `Via` (RFC 9110 7.6.3).
    #[must_use]
    pub const fn number(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2.0",
        }
    }
}

/// How the end of a body is known (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// Exactly so many bytes.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
    /// Everything until the connection closes; responses only.
    Close,
}

/// What a field means to the proxy. Found once while parsing, so that no later step compares
/// names again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tag {
    /// An end-to-end field that passes untouched.
    Other,
    /// `Host`
    Host,
    /// `Content-Length`
    ContentLength,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Connection`
    Connection,
    /// A field that concerns one hop only and is never forwarded: `Keep-Alive`,
    /// `Proxy-Connection`, `Proxy-Authenticate`, `Proxy-Authorization`, `HTTP2-Settings`.
    HopByHop,
    /// `TE`: only `trailers` may pass.
    Te,
    /// `Trailer`
    Trailer,
    /// `Upgrade`
    Upgrade,
    /// `Expect`
    Expect,
    /// `Via`
    Via,
    /// `X-Forwarded-For`
    ForwardedFor,
    /// `X-Forwarded-Proto`
    ForwardedProto,
    /// `X-Forwarded-Host`
    ForwardedHost,
    /// `Forwarded` (RFC 7239)
    Forwarded,
    /// An identity that only the mesh may state: `l5d-client-id`, `l5d-dst-override`,
    /// `l5d-proxy-error`, `l5d-orig-proto`, `X-Forwarded-Client-Cert`.
    Identity,
    /// Dropped for another reason: nominated by `Connection`, or a repeated Content-Length.
    Dropped,
}

/// One field line.
#[derive(Clone, Copy, Debug)]
pub struct Field<'b> {
    /// The name as it was sent.
    pub name: &'b [u8],
    /// The value without surrounding white space.
    pub value: &'b [u8],
    /// Where in the head's `lines` the whole line with its CRLF is, when it may be forwarded byte
    /// for byte; empty when the line has to be written anew (odd white space).
    pub line: (u32, u32),
    /// What it means to the proxy.
    pub tag: Tag,
}

/// What `Connection` and the version say about the connection after this message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// The sender wants the connection kept (RFC 9112 9.3).
    pub persistent: bool,
    /// `upgrade` is among the options.
    pub upgrade: bool,
}

/// What an acceptable `Upgrade` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade<'b> {
    /// No upgrade, or one that is ignored (h2c, no `Connection: upgrade`, a request with a body).
    None,
    /// A protocol that may be tunnelled: the field's value.
    To(&'b [u8]),
}

/// A request head that has passed every framing rule.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'b> {
    /// The method.
    pub method: Method,
    /// Its token.
    pub method_token: &'b [u8],
    /// The target's authority (absolute-form, authority-form), else the Host field's value.
    /// Empty only for an HTTP/1.0 request without Host. Validated: a host with an optional port.
    pub authority: &'b [u8],
    /// Origin-form path with query, `*`, or for CONNECT the authority. Never empty, no fragment.
    pub target: &'b [u8],
    /// Whether the request-target was in absolute-form (an `http_proxy` request).
    pub absolute: bool,
    /// The version.
    pub version: Version,
    /// All field lines in order.
    pub fields: &'b [Field<'b>],
    /// The bytes that every `Field::line` points into; empty when the lines are not at hand.
    pub lines: &'b [u8],
    /// How the body ends. Never `Close`.
    pub framing: Framing,
    /// The connection's future.
    pub connection: Connection,
    /// `Expect: 100-continue` on an HTTP/1.1 request with a body.
    pub expect_continue: bool,
    /// The upgrade asked for.
    pub upgrade: Upgrade<'b>,
    /// `TE` lists `trailers`.
    pub te_trailers: bool,
}

impl<'b> RequestHead<'b> {
    /// The head of an HTTP/1.1 request that has no fields but its Host.
    #[must_use]
    pub const fn bare(method_token: &'b [u8], authority: &'b [u8], target: &'b [u8]) -> Self {
        Self {
            method: Method::of(method_token),
            method_token,
            authority,
            target,
            absolute: false,
            version: Version::Http11,
            fields: &[],
            lines: &[],
            framing: Framing::None,
            connection: Connection { persistent: true, upgrade: false },
            expect_continue: false,
            upgrade: Upgrade::None,
            te_trailers: false,
        }
    }

    /// The path without the query.
    #[must_use]
    pub fn path(&self) -> &'b [u8] {
        let end = self.target.iter().position(|&b| b == b'?').unwrap_or(self.target.len());
        &self.target[..end]
    }

    /// The query without its question mark.
    #[must_use]
    pub fn query(&self) -> Option<&'b [u8]> {
        let at = self.target.iter().position(|&b| b == b'?')?;
        Some(&self.target[at + 1..])
    }
}

/// A response head that has passed every framing rule.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'b> {
    /// 100 to 999.
    pub status: u16,
    /// The reason phrase, possibly empty.
    pub reason: &'b [u8],
    /// The version.
    pub version: Version,
    /// All field lines in order.
    pub fields: &'b [Field<'b>],
    /// The bytes that every `Field::line` points into; empty when the lines are not at hand.
    pub lines: &'b [u8],
    /// How the body ends, given the request's method (RFC 9112 6.3).
    pub framing: Framing,
    /// The connection's future.
    pub connection: Connection,
    /// What a 101 switches to.
    pub upgrade: Upgrade<'b>,
}
