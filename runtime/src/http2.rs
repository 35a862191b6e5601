//! HTTP/2 is recognised and not served yet: a client that begins with its preface is told to use
//! HTTP/1.1.

/// An empty SETTINGS, which a server has to begin with (RFC 9113 3.4), and a GOAWAY that says
/// HTTP_1_1_REQUIRED and that nothing was processed (RFC 9113 6.8, 7).
pub(crate) const REFUSAL: &[u8] = b"\
    \x00\x00\x00\x04\x00\x00\x00\x00\x00\
    \x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0d";
