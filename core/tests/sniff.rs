//! Protocol detection: how bytes are split never matters, and a ClientHello gives up its name.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use proptest::prelude::*;
use ringway_core::fuzzing::sniff;
use ringway_core::wire::sniff::{
    Expect, MAX_HELLO, PREFACE, ServerName, Sniffed, Sniffer, server_name,
};

/// OpenSSL's, for `db.example.test`, in one record.
fn hello() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fuzz/corpus/sniff/tls-hello");
    std::fs::read(path).unwrap().split_off(1)
}

/// The same message in records of `size` bytes.
fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
    let records = hello[5..].chunks(size).flat_map(|part| {
        let length = u16::try_from(part.len()).unwrap().to_be_bytes();
        [&[22, 3, 1], &length[..], part].concat()
    });
    records.collect()
}

/// A hello without a session, with one cipher and these extensions.
fn hello_with(extensions: &[u8]) -> Vec<u8> {
    let length = u16::try_from(extensions.len()).unwrap().to_be_bytes();
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0], &length[..], extensions].concat();
    let message = [&[1, 0], &u16::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat();
    [&[22, 3, 1], &u16::try_from(message.len()).unwrap().to_be_bytes()[..], &message].concat()
}

/// A server name extension.
fn named(kind: u8, name: &[u8]) -> Vec<u8> {
    let length = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
    let entry = [&[kind], &length(name.len())[..], name].concat();
    let list = [&length(entry.len())[..], &entry].concat();
    [&[0, 0], &length(list.len())[..], &list].concat()
}

fn found(bytes: &[u8]) -> Option<String> {
    match server_name(bytes) {
        ServerName::Found(name) => Some(name.into()),
        ServerName::Absent | ServerName::NeedMore => None,
    }
}

#[test]
fn the_name_is_found_however_the_hello_is_cut_into_records() {
    let whole = hello();
    for size in [1, 2, 5, 64, 200, whole.len()] {
        let bytes = in_records(&whole, size);
        assert_eq!(found(&bytes).as_deref(), Some("db.example.test"), "records of {size}");
        assert_eq!(Sniffer::new(Expect::Anything).look(&bytes), Sniffed::Tls);
        sniff(&[&[3], &bytes[..]].concat());
    }
    assert_eq!(server_name(&whole[..60]), ServerName::NeedMore);
}

#[test]
fn a_hello_without_a_usable_name_has_none() {
    let rows = [
        hello_with(&[]),
        hello_with(&[0, 23, 0, 0]),
        hello_with(&named(1, b"a.test")),
        hello_with(&named(0, b"")),
        hello_with(&named(0, b"a b")),
        hello_with(&named(0, &[b'a'; 254])),
        // Lengths that do not fit into each other.
        hello_with(&[0, 0, 0, 9, 0, 7, 0, 0, 9, b'a', b'b', b'c', b'd']),
        hello_with(&[0, 0, 0xff, 0xff, 0, 1]),
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00".to_vec(),
        [&b"\x16\x03\x01\x00\x04\x01\x00\x40\x00"[..], &[23, 3, 3, 0, 1, 0]].concat(),
    ];
    for (row, bytes) in rows.iter().enumerate() {
        assert_eq!(server_name(bytes), ServerName::Absent, "row {row}");
    }
    assert_eq!(found(&hello_with(&named(0, &[b'a'; 253]))).map(|name| name.len()), Some(253));
}

#[test]
fn a_name_is_not_looked_for_without_end() {
    let padding = [&[0xfe, 0xed, 0x3f, 0x00][..], &[0; 0x3f00]].concat();
    let bytes = hello_with(&[padding, named(0, b"late.test")].concat());
    assert!(bytes.len() > 0x3f00 && bytes.len() < MAX_HELLO);
    assert_eq!(found(&bytes).as_deref(), Some("late.test"));
    let bytes = in_records(&bytes, 50);
    assert_eq!(server_name(&bytes[..MAX_HELLO - 1]), ServerName::NeedMore);
    assert_eq!(server_name(&bytes), ServerName::Absent);
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        &b"GET"[..],
        b" ",
        b"\t",
        b"/",
        b"HTTP/",
        b"http/1.1",
        b"\r\n",
        b"\r",
        b"\n",
        b"PRI * HTTP/2.0",
        b"PING",
        b"\x16",
        b"\x03\x01",
        b"\0\x05\x01",
        b"a",
        b"\0",
        b"\x80",
        b"SM\r\n\r\n",
        b"*1",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_decision_does_not_depend_on_reads(step in any::<u8>(), bytes in pieces()) {
        sniff(&[&[step], &bytes[..]].concat());
    }

    #[test]
    fn nor_does_a_name(step in any::<u8>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = hello();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        sniff(&[&[step], &bytes[..]].concat());
        sniff(&[&[step], &in_records(&bytes, usize::from(step).max(1))[..]].concat());
    }

    #[test]
    fn a_beginning_of_the_preface_waits(end in 0..PREFACE.len()) {
        for expect in [Expect::Anything, Expect::Http, Expect::Http2] {
            prop_assert_eq!(Sniffer::new(expect).look(&PREFACE[..end]), Sniffed::NeedMore);
        }
    }
}
