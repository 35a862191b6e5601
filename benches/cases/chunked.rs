//! Following a chunked body of 64 KiB, in chunks of different sizes.

use ringway_core::message::Blame;
use ringway_core::wire::h1::chunked::{Decoder, Event};

use crate::{Meter, Work};

const BODY: usize = 64 * 1024;

pub(super) fn cases(meter: &mut impl Meter) {
    for size in [16, 1024, 16 * 1024] {
        meter.measure(
            &format!("chunked/{size}"),
            Work::Bytes(BODY),
            || {
                let input = encoded(size);
                assert_eq!(decode(&input), BODY);
                input
            },
            |input| decode(input),
        );
    }
}

/// The body, written in chunks of `size` bytes.
fn encoded(size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..BODY / size {
        out.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        out.resize(out.len() + size, b'x');
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// The number of data bytes found, which has to be all of them.
fn decode(mut input: &[u8]) -> usize {
    let (mut decoder, mut trailers, mut seen) = (Decoder::new(Blame::Client), Vec::new(), 0);
    while let Ok((event, used)) = decoder.next(input, &mut trailers) {
        input = &input[used..];
        match event {
            Event::Data { len, .. } => seen += len,
            Event::NeedMore | Event::End => break,
        }
    }
    seen
}
