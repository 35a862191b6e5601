//! Responses as servers send them, however they are cut, and what is none.
#![allow(clippy::panic, reason = "a failed expectation is a failed test")]

use super::{Response, decimal};
use crate::fnv::Fnv;
use crate::protocol::{Finished, Malformed, Progress, Wants};

/// Feeds `wire` in pieces of `step` bytes.
fn read(wire: &[u8], step: usize, verify: bool) -> Result<Progress, Malformed> {
    let mut response = Response::new(verify);
    let mut last = Progress::Partial;
    for piece in wire.chunks(step) {
        last = response.arrived(piece)?;
    }
    Ok(last)
}

fn whole(wire: &[u8], step: usize) -> Finished {
    match read(wire, step, true) {
        Ok(Progress::Whole(finished)) => finished,
        other => panic!("{other:?} in steps of {step}: {}", wire.escape_ascii()),
    }
}

#[test]
fn every_framing_however_it_is_cut() {
    for wire in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\ncontent-length: 5\r\n\r\nhello",
    ] {
        for step in 1..=wire.len() {
            let found = whole(wire, step);
            assert_eq!((found.status, found.reusable), (200, true));
            assert_eq!(found.bytes, wire.len() as u64);
            assert_eq!((found.seen.length, found.seen.hash), (5, Fnv::of(b"hello")));
        }
    }
}

#[test]
fn what_ends_a_connection() {
    for wire in [
        &b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        assert!(!whole(wire, 1).reusable, "{}", wire.escape_ascii());
    }
    assert!(whole(b"HTTP/1.1 204 No Content\r\n\r\n", 3).reusable);
    assert!(whole(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 3).reusable);
}

#[test]
fn a_body_without_length_lasts_until_the_end() {
    let mut response = Response::new(true);
    let wire = b"HTTP/1.1 200 OK\r\n\r\nhello";
    assert_eq!(response.arrived(wire), Ok(Progress::Partial));
    let found = response.ended().expect("whole");
    assert_eq!((found.seen.length, found.reusable), (5, false));
}

#[test]
fn an_end_in_the_middle_is_no_end() {
    for wire in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n",
    ] {
        let mut response = Response::new(false);
        assert_eq!(response.arrived(wire), Ok(Progress::Partial));
        assert_eq!(response.ended(), None, "{}", wire.escape_ascii());
    }
}

#[test]
fn bad_responses() {
    for wire in [
        &b"HTTP/2 200 OK\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad field\r\n\r\n",
    ] {
        let found = read(wire, wire.len(), true);
        assert!(matches!(found, Err(Malformed(_))), "{found:?}: {}", wire.escape_ascii());
    }
}

#[test]
fn an_endless_head_is_cut_off() {
    let mut wire = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    wire.resize(70_000, b'y');
    assert_eq!(read(&wire, 1_000, false), Err(Malformed("a head of more than 64 KiB")));
}

#[test]
fn fields_for_verification() {
    let wire = b"HTTP/1.1 200 OK\r\nX-Request-Id: 000000000000002a\r\nx-body-hash: ff\r\n\
        x-body-length: 0\r\nx-upload-hash: 1\r\nx-upload-length: 12\r\ncontent-length: 0\r\n\r\n";
    let seen = whole(wire, 4).seen;
    assert_eq!((seen.id, seen.body_hash, seen.body_length), (Some(42), Some(255), Some(0)));
    assert_eq!((seen.upload_hash, seen.upload_length), (Some(1), Some(12)));
}

#[test]
fn one_after_the_other_and_bodies_that_are_dropped() {
    let mut response = Response::new(false);
    for _ in 0..3 {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(response.wants(), Wants::Head);
        assert_eq!(response.arrived(head), Ok(Progress::Partial));
        assert_eq!(response.wants(), Wants::Skip(5));
        assert_eq!(response.skipped(2), Progress::Partial);
        let Progress::Whole(found) = response.skipped(3) else { panic!("it is whole") };
        assert_eq!(found.bytes, head.len() as u64 + 5);
    }
}

#[test]
fn decimals() {
    assert_eq!(decimal(b" 12 "), Some(12));
    for bad in [&b""[..], b"+1", b"1,2", b"0x1", b"1234567890123456789"] {
        assert_eq!(decimal(bad), None);
    }
}
