//! GRPCRoute: methods become paths of POST requests.

use ringway_core::policy::route::{Match, PathMatch};

use super::cursor::Cursor;
use super::{filter, matches, route};
use crate::object::{Route, RouteKind, RouteRule};

const FILTERS: &[&str] = &["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror"];

pub(super) fn decode(root: &Cursor<'_>, namespace: &str) -> Option<Route> {
    let rule = |rule: &Cursor<'_>, namespace: &str| -> RouteRule {
        let mut found: Vec<_> = rule.maps("matches").iter().filter_map(one).collect();
        if found.is_empty() {
            found.push(Match { method: Some("POST".into()), ..Match::default() });
        }
        let decoded = filter::decode(rule, namespace, FILTERS);
        route::rule(rule, namespace, found, decoded)
    };
    route::shared(root, namespace, RouteKind::Grpc, &rule)
}

fn one(cursor: &Cursor<'_>) -> Option<Match> {
    let path = match cursor.map("method") {
        Some(method) => path(&method)?,
        None => PathMatch::default(),
    };
    let headers = matches::headers(cursor);
    Some(Match { path, method: Some("POST".into()), headers, query: Vec::new() })
}

/// `/service/method` (gRPC over HTTP/2, Requests).
fn path(cursor: &Cursor<'_>) -> Option<PathMatch> {
    let kind = cursor.text("type").unwrap_or_else(|| "Exact".into());
    let word = |key| -> Option<Option<Box<str>>> {
        let Some(value) = cursor.get(key) else { return Some(None) };
        if &*kind == "RegularExpression" {
            return matches::pattern(&value).map(Some);
        }
        let text = value.as_text()?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._".contains(&b);
        if text.is_empty() || !text.bytes().all(allowed) {
            value.wrong("a name of letters, digits, `.` and `_`", "");
            return None;
        }
        Some(Some((*text).into()))
    };
    let (service, method) = (word("service")?, word("method")?);
    match (&*kind, service, method) {
        (_, None, None) => {
            cursor.wrong("`service`, `method` or both", "");
            None
        }
        ("Exact", Some(service), Some(method)) => {
            Some(PathMatch::Exact(format!("/{service}/{method}").into()))
        }
        ("Exact", Some(service), None) => Some(PathMatch::Prefix(format!("/{service}").into())),
        // Names have only one character that means something in a pattern.
        ("Exact", None, Some(method)) => {
            Some(PathMatch::Regex(format!("/[^/]+/{}", method.replace('.', "\\.")).into()))
        }
        ("RegularExpression", service, method) => {
            let any = || Box::from("[^/]+");
            let (service, method) = (service.unwrap_or_else(any), method.unwrap_or_else(any));
            Some(PathMatch::Regex(format!("/(?:{service})/(?:{method})").into()))
        }
        _ => {
            cursor.get("type")?.wrong("Exact or RegularExpression", "");
            None
        }
    }
}
