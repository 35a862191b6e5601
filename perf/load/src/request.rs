//! Requests, written once before the run: sending one is sending bytes that are there already.

use crate::chunked::encode;
use crate::fnv::{Fnv, hex};
use crate::h2::message::{Message, prefixed};
use crate::mix::{Ask, Mix};
use crate::target::Target;

/// Body bytes of one chunk of an upload with `--chunked`.
const CHUNK: usize = 16 * 1024;

/// One request as it is on the wire.
#[derive(Clone, Debug)]
pub struct Wire {
    bytes: Vec<u8>,
    /// Where the 16 digits of the request's id are.
    id_at: Option<usize>,
    head: usize,
}

/// A request of the book.
#[derive(Clone, Debug)]
pub struct Entry {
    keep: Wire,
    /// The same with `Connection: close`; written only for runs that end connections.
    close: Option<Wire>,
    /// The same in HTTP/2.
    pub message: Message,
    /// Hash of the body it uploads.
    pub upload_hash: u64,
    /// Length of the body it uploads, in bytes.
    pub upload_length: u64,
    weight: u64,
}

/// Every request that a thread may send, in its own copy, because ids are written into them.
#[derive(Clone, Debug)]
pub struct Book {
    entries: Vec<Entry>,
    weights: u64,
    random: u64,
}

/// What all requests have in common.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// Further header fields, in order; a `Host` here replaces the one from the URL.
    pub headers: Vec<(String, String)>,
    /// Whether uploads are chunked instead of having a content-length.
    pub chunked: bool,
    /// Whether requests carry an id, `x-request-id`.
    pub verify: bool,
    /// Whether some requests announce the end of their connection.
    pub closing: bool,
    /// Whether they are calls of gRPC, which only HTTP/2 carries.
    pub grpc: bool,
    /// Decides the upload bodies and the order of a mix.
    pub seed: u64,
}

impl Book {
    /// Writes all requests of `mix` for `target`.
    pub fn new(target: &Target, mix: &Mix, shape: &Shape) -> Self {
        let entries: Vec<Entry> = mix.asks.iter().map(|a| Entry::new(target, a, shape)).collect();
        let weights = entries.iter().map(|e| e.weight).sum();
        Self { entries, weights, random: shape.seed }
    }

    /// Has another thread's requests come in another order.
    pub fn for_thread(&self, thread: u64) -> Self {
        let mut book = self.clone();
        book.random = splitmix(&mut (book.random ^ thread.wrapping_mul(0x9e37_79b9)));
        book
    }

    /// Picks a request by weight.
    pub fn pick(&mut self) -> usize {
        if self.entries.len() == 1 {
            return 0;
        }
        let mut ticket = splitmix(&mut self.random) % self.weights;
        for (index, entry) in self.entries.iter().enumerate() {
            if ticket < entry.weight {
                return index;
            }
            ticket -= entry.weight;
        }
        0
    }

    /// Whether there is one request only.
    pub fn is_uniform(&self) -> bool {
        self.entries.len() == 1
    }

    /// The request at `index`.
    pub fn entry(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    /// The bytes of request `index` from `sent` on, with `id` in them.
    pub fn bytes(&mut self, index: usize, id: u64, last: bool, sent: usize) -> &[u8] {
        let Some(entry) = self.entries.get_mut(index) else { return &[] };
        let wire = match &mut entry.close {
            Some(close) if last => close,
            _ => &mut entry.keep,
        };
        if let Some(at) = wire.id_at
            && sent < wire.head
        {
            wire.bytes[at..at + 16].copy_from_slice(&hex(id));
        }
        wire.bytes.get(sent..).unwrap_or_default()
    }
}

impl Entry {
    fn new(target: &Target, ask: &Ask, shape: &Shape) -> Self {
        let content = content(ask.body, shape.seed);
        let body = if shape.grpc { prefixed(&content) } else { content };
        let wire = |close| Wire::new(target, ask, shape, &body, close);
        Self {
            keep: wire(false),
            close: shape.closing.then(|| wire(true)),
            upload_hash: Fnv::of(&body),
            upload_length: body.len() as u64,
            weight: ask.weight,
            message: Message::new(target, ask, shape, body),
        }
    }
}

impl Wire {
    fn new(target: &Target, ask: &Ask, shape: &Shape, body: &[u8], close: bool) -> Self {
        let path = ask.path.as_deref().unwrap_or(&target.path);
        let mut head = format!("{} {path} HTTP/1.1\r\n", ask.method);
        if !shape.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("Host: {}\r\n", target.authority);
        }
        for (name, value) in &shape.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if close {
            head += "Connection: close\r\n";
        }
        let uploads = !body.is_empty() || matches!(ask.method.as_str(), "POST" | "PUT" | "PATCH");
        let chunked = uploads && shape.chunked;
        if chunked {
            head += "Transfer-Encoding: chunked\r\n";
        } else if uploads {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut id_at = None;
        if shape.verify {
            head += "x-request-id: ";
            id_at = Some(head.len());
            head += "0000000000000000\r\n";
        }
        head += "\r\n";
        let length = head.len();
        let mut bytes = head.into_bytes();
        if chunked {
            bytes.extend_from_slice(&encode(body, CHUNK));
        } else {
            bytes.extend_from_slice(body);
        }
        Self { bytes, id_at, head: length }
    }
}

/// `length` pseudo-random bytes, always the same for a seed.
fn content(length: usize, seed: u64) -> Vec<u8> {
    let mut random = seed;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        out.extend_from_slice(&splitmix(&mut random).to_le_bytes());
    }
    out.truncate(length);
    out
}

/// SplitMix64: small, good enough for bodies and for picking.
pub(crate) fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::{Book, Shape};
    use crate::mix::{Ask, Mix};
    use crate::target::Target;

    fn book(mix: Mix, shape: &Shape) -> Book {
        let target = Target::parse("http://127.0.0.1:8080/64").expect("a URL");
        Book::new(&target, &mix, shape)
    }

    fn text(book: &mut Book, index: usize, id: u64, last: bool) -> String {
        String::from_utf8_lossy(book.bytes(index, id, last, 0)).into_owned()
    }

    #[test]
    fn a_plain_request() {
        let mut book = book(Mix::one("GET", 0), &Shape::default());
        assert_eq!(
            text(&mut book, 0, 7, false),
            "GET /64 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
        );
        assert_eq!(book.bytes(0, 7, false, 36), b"80\r\n\r\n");
        assert!(book.bytes(0, 7, false, 1_000).is_empty());
    }

    #[test]
    fn fields_and_the_last_of_a_connection() {
        let headers = vec![("host".to_owned(), "a".to_owned()), ("x".to_owned(), "y".to_owned())];
        let mut book =
            book(Mix::one("GET", 0), &Shape { headers, closing: true, ..Shape::default() });
        assert_eq!(text(&mut book, 0, 7, false), "GET /64 HTTP/1.1\r\nhost: a\r\nx: y\r\n\r\n");
        assert!(text(&mut book, 0, 7, true).contains("Connection: close\r\n"));
    }

    #[test]
    fn uploads_are_the_same_for_a_seed_and_carry_ids() {
        let shape = Shape { verify: true, seed: 5, ..Shape::default() };
        let mut one = book(Mix::one("POST", 100), &shape);
        let mut two = book(Mix::one("POST", 100), &Shape { chunked: true, ..shape.clone() });
        assert!(text(&mut one, 0, 0xab, false).contains("x-request-id: 00000000000000ab\r\n"));
        assert!(text(&mut one, 0, 1, false).contains("Content-Length: 100\r\n"));
        assert!(text(&mut two, 0, 1, false).contains("Transfer-Encoding: chunked\r\n"));
        let hashes = [&one, &two].map(|b| b.entry(0).map(|e| (e.upload_hash, e.upload_length)));
        assert_eq!(hashes[0], hashes[1]);
        assert_ne!(
            hashes[0],
            book(Mix::one("POST", 100), &Shape { seed: 6, ..shape })
                .entry(0)
                .map(|e| (e.upload_hash, e.upload_length))
        );
    }

    #[test]
    fn a_mix_follows_its_weights() {
        let ask = |weight, path: &str| Ask {
            weight,
            method: "GET".to_owned(),
            path: Some(path.to_owned()),
            body: 0,
        };
        let mix = Mix { asks: vec![ask(3, "/a"), ask(1, "/b")] };
        let mut book = book(mix, &Shape::default()).for_thread(1);
        let firsts = (0..4_000).filter(|_| book.pick() == 0).count();
        assert!((2_850..3_150).contains(&firsts), "{firsts}");
        assert!(text(&mut book, 1, 0, false).starts_with("GET /b "));
    }
}
