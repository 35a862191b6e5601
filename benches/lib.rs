//! Messages that the benchmarks share: what wrk, a browser and a typical service really send.

use ringway_core::message::RequestHead;
use ringway_core::wire::h1::head::{FieldTable, Limits, Parsed, request};

/// wrk's request: the smallest that occurs.
pub const SHORT: &[u8] = b"GET /64 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

/// A browser's request with its cookies.
pub const BROWSER: &[u8] = b"GET /catalogue/books/17?sort=price&page=2 HTTP/1.1\r\n\
Host: shop.example.com\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: en-GB,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Referer: http://shop.example.com/catalogue\r\n\
Connection: keep-alive\r\n\
Cookie: session=5f1c6b0c2f9e4f6d8f0a1b2c3d4e5f60; theme=dark; basket=17,23,42\r\n\
Upgrade-Insecure-Requests: 1\r\n\
If-None-Match: \"4c-5f1c6b0c2f9e4\"\r\n\
Cache-Control: max-age=0\r\n\r\n";

/// A service's answer with a small body behind it.
pub const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
Server: nginx/1.22.1\r\n\
Date: Mon, 05 Jan 2026 10:00:00 GMT\r\n\
Content-Type: application/octet-stream\r\n\
Content-Length: 64\r\n\
Last-Modified: Mon, 05 Jan 2026 09:00:00 GMT\r\n\
Connection: keep-alive\r\n\
ETag: \"695b8a10-40\"\r\n\
Accept-Ranges: bytes\r\n\r\n";

/// Reads a request that is known to be whole, and hands its head to `see`.
///
/// # Panics
/// When `bytes` is no complete request head.
pub fn with_head<T>(bytes: &[u8], see: impl FnOnce(&RequestHead<'_>) -> T) -> T {
    let mut table = FieldTable::new();
    match request(bytes, &mut table, &Limits::default()) {
        Ok(Parsed::Complete((head, _))) => see(&head),
        other => unreachable!("a benchmark's request is valid, but: {other:?}"),
    }
}
