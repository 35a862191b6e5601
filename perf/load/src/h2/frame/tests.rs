use super::{Event, Reader, acknowledge, data, headers, pong, settings, window};

/// A frame written by hand.
fn raw(length: u8, kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// What a reader makes of `bytes` in pieces of `step`: one line an event, bodies joined.
fn seen(bytes: &[u8], step: usize) -> Result<Vec<String>, &'static str> {
    let mut reader = Reader::default();
    let (mut out, mut body) = (Vec::new(), String::new());
    for mut piece in bytes.chunks(step) {
        while let Some(event) = reader.next(&mut piece).map_err(|bad| bad.0)? {
            match event {
                Event::Data { stream, bytes, end, .. } => {
                    body += &String::from_utf8_lossy(bytes);
                    if end {
                        out.push(format!("data {stream} {}", std::mem::take(&mut body)));
                    }
                }
                other => out.push(format!("{other:?}")),
            }
        }
    }
    Ok(out)
}

#[test]
fn frames_in_pieces_of_any_size() {
    let mut bytes = Vec::new();
    settings(&mut bytes, Some(7));
    acknowledge(&mut bytes);
    headers(&mut bytes, 1, 2, false);
    bytes.extend(b"ab");
    pong(&mut bytes, b"12345678");
    data(&mut bytes, 1, 5, false);
    bytes.extend(b"hello");
    data(&mut bytes, 1, 0, true);
    window(&mut bytes, 9);
    // Padded DATA, padded HEADERS with a priority, a block in three frames, an unknown frame.
    bytes.extend(raw(6, 0, 0x9, 3, b"\x02abc\0\0"));
    bytes.extend(raw(9, 1, 0x2d, 5, b"\x01\0\0\0\0\0xy\0"));
    bytes.extend(raw(1, 1, 0x1, 7, b"k"));
    bytes.extend(raw(1, 9, 0, 7, b"l"));
    bytes.extend(raw(0, 9, 0, 7, b""));
    bytes.extend(raw(1, 9, 0x4, 7, b"m"));
    bytes.extend(raw(3, 77, 0, 0, b"???"));
    bytes.extend(raw(4, 3, 0, 9, b"\0\0\0\x08"));
    bytes.extend(raw(8, 7, 0, 0, b"\0\0\0\x05\0\0\0\0"));
    let whole = seen(&bytes, usize::MAX);
    let lines = whole.as_ref().map_or(&[][..], Vec::as_slice);
    assert_eq!(
        lines[1..],
        [
            "Window { stream: 0, by: 1073676288 }",
            "Headers { stream: 1, block: [97, 98], end: false }",
            "data 1 hello",
            "Window { stream: 0, by: 9 }",
            "data 3 abc",
            "Headers { stream: 5, block: [120, 121], end: true }",
            "Headers { stream: 7, block: [107, 108, 109], end: true }",
            "Reset(9)",
            "Goaway(5)",
        ]
    );
    for step in 1..40 {
        assert_eq!(seen(&bytes, step), whole, "in pieces of {step}");
    }
}

#[test]
fn what_is_malformed() {
    for (bytes, said) in [
        (raw(1, 9, 0x4, 7, b"m"), "CONTINUATION of nothing"),
        (raw(2, 8, 0, 0, b"ab"), "too short"),
        (raw(2, 0, 0x8, 1, b"\x05a"), "too short"),
        (raw(4, 5, 0x4, 1, b"abcd"), "push"),
        (b"\0\x40\x01\0\0\0\0\0\x01".to_vec(), "16 KiB"),
    ] {
        let bad = seen(&bytes, usize::MAX).err().unwrap_or_default();
        assert!(bad.contains(said), "{bad}");
    }
}
