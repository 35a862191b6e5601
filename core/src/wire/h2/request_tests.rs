//! Every rule of a request's header list, and that what is accepted is read back by our own
//! HTTP/1.1 parser as the one request that it was.

use proptest::prelude::*;

use super::*;
use crate::policy::forward::{Applied, ForwardedMode, Hop, request_edits};
use crate::wire::h1::encode;
use crate::wire::h1::head::{self, Parsed};

type Fields<'a> = &'a [(&'a [u8], &'a [u8])];

fn get<'a>(path: &'a [u8], authority: Option<&'a [u8]>) -> Pseudo<'a> {
    Pseudo { method: b"GET", scheme: Some(b"http"), authority, path: Some(path), protocol: None }
}

/// The request as it would go to an HTTP/1.1 endpoint, or why it is refused.
fn written(pseudo: &Pseudo<'_>, fields: Fields<'_>, ended: bool) -> Result<Vec<u8>, Cause> {
    let mut table = FieldTable::new();
    let limits = Limits::default();
    let head = request(pseudo, fields.iter().copied(), ended, &mut table, &limits)
        .map_err(|fault| fault.cause)?;
    let hop = Hop { via: None, forwarded: ForwardedMode::Off, client: None, scheme: "http" };
    let edits =
        request_edits(&head, &hop, Applied::default(), b"192.0.2.1").map_err(|f| f.cause)?;
    let mut out = Vec::new();
    encode::request(&head, &edits, &mut out);
    Ok(out)
}

fn text(pseudo: &Pseudo<'_>, fields: Fields<'_>, ended: bool) -> String {
    match written(pseudo, fields, ended) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(cause) => cause.as_str().to_owned(),
    }
}

#[test]
fn what_http_1_1_can_say_is_said() {
    let host = Some(&b"a.test:8080"[..]);
    let plain = get(b"/x?y", host);
    let rows: [(Pseudo<'_>, Fields<'_>, bool, &str); 9] = [
        (plain, &[], true, "GET /x?y HTTP/1.1\r\nhost: a.test:8080\r\n\r\n"),
        (get(b"/", None), &[(b"host", b"b.test")], true, "GET / HTTP/1.1\r\nhost: b.test\r\n\r\n"),
        (
            plain,
            &[(b"host", b"A.test:8080"), (b"x", b"1")],
            true,
            "GET /x?y HTTP/1.1\r\nhost: a.test:8080\r\nx: 1\r\n\r\n",
        ),
        (
            plain,
            &[(b"te", b"trailers")],
            false,
            "GET /x?y HTTP/1.1\r\nhost: a.test:8080\r\ntransfer-encoding: chunked\r\n\
             connection: te\r\nte: trailers\r\n\r\n",
        ),
        (
            Pseudo { method: b"POST", ..plain },
            &[],
            true,
            "POST /x?y HTTP/1.1\r\nhost: a.test:8080\r\ncontent-length: 0\r\n\r\n",
        ),
        (
            Pseudo { method: b"POST", ..plain },
            &[(b"content-length", b"7"), (b"expect", b"100-continue")],
            false,
            "POST /x?y HTTP/1.1\r\nhost: a.test:8080\r\nexpect: 100-continue\r\n\
             content-length: 7\r\n\r\n",
        ),
        (
            Pseudo { method: b"OPTIONS", ..get(b"*", host) },
            &[],
            true,
            "OPTIONS * HTTP/1.1\r\nhost: a.test:8080\r\n\r\n",
        ),
        (
            Pseudo {
                method: b"CONNECT",
                scheme: None,
                path: None,
                ..get(b"", Some(b"a.test:443"))
            },
            &[],
            false,
            "CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443\r\n\r\n",
        ),
        (
            Pseudo { method: b"CONNECT", protocol: Some(b"websocket"), ..plain },
            &[],
            false,
            "GET /x?y HTTP/1.1\r\nhost: a.test:8080\r\nconnection: upgrade\r\n\
             upgrade: websocket\r\n\r\n",
        ),
    ];
    for (pseudo, fields, ended, expected) in rows {
        assert_eq!(text(&pseudo, fields, ended), expected);
    }
}

#[test]
fn every_rule_refuses() {
    let host = Some(&b"a.test"[..]);
    let plain = get(b"/", host);
    let connect =
        Pseudo { method: b"CONNECT", scheme: None, path: None, ..get(b"", Some(b"a.test:443")) };
    let pseudo: [(Pseudo<'_>, Cause); 25] = [
        (Pseudo { method: b"", ..plain }, Cause::BadStartLine),
        (Pseudo { method: b"G T", ..plain }, Cause::BadStartLine),
        (Pseudo { method: b"GET\r\n", ..plain }, Cause::BadStartLine),
        (Pseudo { scheme: None, ..plain }, Cause::BadTarget),
        (Pseudo { scheme: Some(b"ftp"), ..plain }, Cause::BadTarget),
        (Pseudo { path: None, ..plain }, Cause::BadTarget),
        (get(b"", host), Cause::BadTarget),
        (get(b"x", host), Cause::BadTarget),
        (get(b"*", host), Cause::BadTarget),
        (get(b"http://a.test/", host), Cause::BadTarget),
        (get(b"/ HTTP/1.1\r\nx: y", host), Cause::BadTarget),
        (get(b"/a b", host), Cause::BadTarget),
        (get(b"/a\0", host), Cause::BadTarget),
        (get(b"/a#b", host), Cause::BadTarget),
        (get(b"/\xff", host), Cause::BadTarget),
        (get(b"/", None), Cause::BadHost),
        (get(b"/", Some(b"")), Cause::BadHost),
        (get(b"/", Some(b"u@a.test")), Cause::BadHost),
        (get(b"/", Some(b"a.test\r\nx: y")), Cause::BadHost),
        (get(b"/", Some(b"a.test/")), Cause::BadHost),
        (Pseudo { path: Some(b"/"), ..connect }, Cause::BadTarget),
        (Pseudo { scheme: Some(b"http"), ..connect }, Cause::BadTarget),
        (Pseudo { authority: Some(b"a.test"), ..connect }, Cause::BadTarget),
        (Pseudo { protocol: Some(b"websocket"), ..plain }, Cause::BadStartLine),
        (Pseudo { method: b"CONNECT", protocol: Some(b"a\r\nb"), ..plain }, Cause::BadStartLine),
    ];
    for (pseudo, cause) in pseudo {
        assert_eq!(written(&pseudo, &[], true), Err(cause), "{pseudo:?}");
    }
    let fields: [(Fields<'_>, bool, Cause); 9] = [
        (&[(b"host", b"b.test")], true, Cause::BadHost),
        (&[(b"content-length", b"1")], true, Cause::BadLength),
        (&[(b"content-length", b"-1")], false, Cause::BadLength),
        (&[(b"content-length", b"18446744073709551616")], false, Cause::BadLength),
        (&[(b"content-length", b"1"), (b"content-length", b"1")], false, Cause::BadLength),
        (&[(b"expect", b"x")], false, Cause::BadExpectation),
        (&[(b"transfer-encoding", b"chunked")], false, Cause::BadField),
        (&[(b"x", b"1\r\ny: 2")], true, Cause::BadField),
        (&[(&b"x"[..], &b"1"[..]); 101], true, Cause::TooManyFields),
    ];
    for (fields, ended, cause) in fields {
        assert_eq!(written(&plain, fields, ended), Err(cause), "{fields:?}");
    }
    let twice: Fields<'_> = &[(b"host", b"a.test"), (b"host", b"a.test")];
    assert_eq!(written(&get(b"/", None), twice, true), Err(Cause::BadHost));
}

#[test]
fn cookies_are_joined() {
    let crumbs: [&[u8]; 3] = [b"a=1", b"b=2", b"c"];
    assert_eq!(join_cookies(crumbs.into_iter()), b"a=1; b=2; c");
}

/// Bytes that are mostly harmless, with the ones that could split a message among them.
fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        20 => proptest::sample::select(b"abcz09-./:_%?=".to_vec()),
        1 => proptest::sample::select(b" \t\r\n\0\x7f@#,;*A\xff".to_vec()),
    ];
    proptest::collection::vec(byte, 0..most)
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<Vec<u8>> =
        ["host", "content-length", "te", "expect", "cookie", "via", "trailer"]
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
    prop_oneof![3 => bytes(6), 2 => proptest::sample::select(known)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_reads_back_as_one_request(
        method in prop_oneof![4 => Just(b"GET".to_vec()), 2 => Just(b"POST".to_vec()), 1 => bytes(5)],
        path in bytes(12).prop_map(|mut path| { path.insert(0, b'/'); path }),
        authority in proptest::option::of(prop_oneof![4 => Just(b"a.test".to_vec()), 1 => bytes(8)]),
        fields in proptest::collection::vec((name(), bytes(8)), 0..5),
        ended in any::<bool>(),
    ) {
        let pseudo = Pseudo {
            method: &method,
            scheme: Some(b"http"),
            authority: authority.as_deref(),
            path: Some(&path),
            protocol: None,
        };
        let fields: Vec<(&[u8], &[u8])> = fields.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        if let Ok(bytes) = written(&pseudo, &fields, ended) {
            let mut table = FieldTable::new();
            let parsed = head::request(&bytes, &mut table, &Limits::default());
            prop_assert!(
                matches!(parsed, Ok(Parsed::Complete(_))),
                "not read back: {} {:?}", bytes.escape_ascii(), parsed
            );
            let Ok(Parsed::Complete((head, used))) = parsed else { return Ok(()) };
            prop_assert_eq!(used, bytes.len());
            prop_assert_eq!(head.method_token, &method[..]);
            prop_assert_eq!(head.target, &path[..]);
            let came = |name: &[u8]| fields.iter().find(|f| f.0 == name).map(|f| f.1);
            prop_assert_eq!(Some(head.authority), authority.as_deref().or_else(|| came(b"host")));
            let others = |fields: &mut dyn Iterator<Item = (&[u8], &[u8])>| -> Vec<(Vec<u8>, Vec<u8>)> {
                fields.filter(|f| crate::wire::h1::names::tag(f.0) == Tag::Other)
                    .map(|f| (f.0.to_vec(), f.1.to_vec())).collect()
            };
            prop_assert_eq!(
                others(&mut head.fields.iter().map(|f| (f.name, f.value))),
                others(&mut fields.iter().copied())
            );
        }
    }
}
