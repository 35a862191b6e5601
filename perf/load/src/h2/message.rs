//! Requests as they are on the wire, written once before the run. The first one on a connection
//! fills the server's table, so that those that follow are some bytes long, as clients have them.

use super::frame;
use super::hpack::{self, Keep};
use crate::fnv::hex;
use crate::mix::Ask;
use crate::request::Shape;
use crate::target::Target;

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The first one of a connection.
    First,
    /// One that the first one has made short.
    Later,
    /// One of a mix, or for a server without a table.
    Plain,
    /// The first one for such a server.
    Tableless,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Message {
    first: Block,
    later: Block,
    plain: Block,
    /// What follows the header block.
    pub body: Vec<u8>,
    /// Whether it is one of gRPC.
    pub grpc: bool,
}

#[derive(Clone, Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    /// Where the 16 digits of the request's id are.
    id_at: Option<usize>,
}

impl Message {
    /// Writes `ask` for `target`.
    pub fn new(target: &Target, ask: &Ask, shape: &Shape, body: Vec<u8>) -> Self {
        let fields = fields(target, ask, shape, body.len());
        let kept = fields.iter().filter(|(n, v)| hpack::whole(n, v).is_none()).count();
        let block = |form| {
            let mut out = Vec::new();
            let mut number = 0;
            for (name, value) in &fields {
                match (hpack::whole(name, value), form) {
                    (Some(index), _) => hpack::indexed(&mut out, index),
                    (None, Form::First) => hpack::field(&mut out, Keep::Yes, name, value),
                    (None, Form::Plain | Form::Tableless) => {
                        hpack::field(&mut out, Keep::No, name, value)
                    }
                    // The last one that was written is the first one of the table.
                    (None, Form::Later) => {
                        number += 1;
                        hpack::indexed(&mut out, hpack::FIRST + kept - number);
                    }
                }
            }
            let id_at = shape.verify.then(|| {
                hpack::field(&mut out, Keep::No, "x-request-id", b"0000000000000000");
                out.len() - 16
            });
            Block { bytes: out, id_at }
        };
        let (first, later, plain) = (block(Form::First), block(Form::Later), block(Form::Plain));
        Self { first, later, plain, body, grpc: shape.grpc }
    }

    /// Appends its HEADERS frame for `stream`, with `id` in it.
    pub fn write(&self, form: Form, stream: u32, id: u64, out: &mut Vec<u8>) {
        let block = match form {
            Form::First => &self.first,
            Form::Later => &self.later,
            Form::Plain | Form::Tableless => &self.plain,
        };
        let more = usize::from(form == Form::Tableless);
        frame::headers(out, stream, block.bytes.len() + more, self.body.is_empty());
        if more > 0 {
            hpack::no_table(out);
        }
        let start = out.len();
        out.extend_from_slice(&block.bytes);
        if let Some(at) = block.id_at {
            out[start + at..start + at + 16].copy_from_slice(&hex(id));
        }
    }
}

fn fields(target: &Target, ask: &Ask, shape: &Shape, length: usize) -> Vec<(String, Vec<u8>)> {
    let named = |name: &str| shape.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
    let authority = named("host").map_or(&target.authority, |(_, value)| value);
    let path = ask.path.as_ref().unwrap_or(&target.path);
    let mut out = vec![
        (":method", &*ask.method),
        (":scheme", "http"),
        (":authority", authority),
        (":path", path),
    ];
    let digits = length.to_string();
    if shape.grpc {
        out.extend([("content-type", "application/grpc"), ("te", "trailers")]);
    } else if length > 0 {
        out.push(("content-length", &digits));
    }
    let more = shape.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host"));
    out.extend(more.map(|(name, value)| (&**name, &**value)));
    out.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_bytes().to_vec())).collect()
}

/// A message of gRPC: its length before it, not compressed.
pub fn prefixed(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u32).to_be_bytes();
    [&[0], &length[..], message].concat()
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a failed expectation is a failed test")]
mod tests {
    use super::{Form, Message};
    use crate::h2::frame::HEAD;
    use crate::h2::hpack::Decoder;
    use crate::mix::Mix;
    use crate::request::Shape;
    use crate::target::Target;

    #[test]
    fn later_requests_say_the_same_in_fewer_bytes() {
        let target = Target::parse("http://127.0.0.1:8080/a.B/64").expect("a URL");
        let headers = vec![("Host".to_owned(), "a".to_owned()), ("X".to_owned(), "y".to_owned())];
        let shape = Shape { headers, grpc: true, verify: true, ..Shape::default() };
        let message = Message::new(&target, &Mix::one("POST", 0).asks[0], &shape, Vec::new());
        let mut decoder = Decoder::default();
        let mut read = |form, id| {
            let (mut out, mut seen) = (Vec::new(), Vec::new());
            message.write(form, 1, id, &mut out);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            decoder
                .decode(&out[HEAD..], true, |n, v| seen.push((text(n), text(v))))
                .expect("a header block");
            (seen, out.len())
        };
        let (first, long) = read(Form::First, 7);
        let (later, short) = read(Form::Later, 7);
        let (plain, _) = read(Form::Plain, 8);
        assert_eq!(first, later);
        assert!(short + 40 < long, "{short} and {long}");
        let wanted = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/a.B/64"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("x", "y"),
            ("x-request-id", "0000000000000008"),
        ];
        assert_eq!(plain, wanted.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }
}
