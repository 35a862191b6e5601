//! Retries by status: `retry` of a route's rule (GEP-1731), and Linkerd's annotations.

use ringway_config::duration;

use super::cursor::Cursor;
use super::{metadata, value};
use crate::object::Retry;

/// What is said of what is read here.
const UNUSED: &str = "accepted, not applied by this version";

/// `retry` of a rule.
pub(super) fn of_rule(rule: &Cursor<'_>) -> Option<Retry> {
    let retry = rule.map("retry")?;
    retry.note(UNUSED);
    let mut found = Retry::default();
    for code in retry.list("codes") {
        let Some(code) = code.as_number(400, 599).and_then(|n| u16::try_from(n).ok()) else {
            continue;
        };
        if found.statuses.contains(&(code, code)) {
            retry.at_key("codes", &format!("`{code}` twice"), "each code once", "");
        }
        found.statuses.push((code, code));
    }
    if let Some(attempts) = retry.get("attempts") {
        found.attempts = number(&attempts)?;
    }
    found.backoff = retry.get("backoff").and_then(|backoff| value::duration(&backoff)).flatten();
    Some(found)
}

/// `retry.linkerd.io/http`, `grpc`, `limit` and `timeout` of a Service or route.
pub(super) fn annotated(root: &Cursor<'_>) -> Option<Retry> {
    let annotation = |name| metadata::annotation(root, &format!("retry.linkerd.io/{name}"));
    let (http, grpc) = (annotation("http"), annotation("grpc"));
    http.as_ref().or(grpc.as_ref())?.note(UNUSED);
    let mut found = Retry::default();
    if let Some(http) = http {
        each(&http, "5xx, gateway-error, a status or a range of them", |word| {
            found.statuses.push(statuses(word)?);
            Some(())
        });
    }
    if let Some(grpc) = grpc {
        each(&grpc, "gRPC statuses such as unavailable", |word| {
            found.grpc.push(grpc_status(word)?);
            Some(())
        });
    }
    if let Some(limit) = annotation("limit") {
        each(&limit, "a number", |word| {
            found.attempts = word.parse().ok()?;
            Some(())
        });
    }
    if let Some(timeout) = annotation("timeout") {
        each(&timeout, "a duration such as 10s", |word| {
            found.timeout = Some(duration::parse(word)?);
            Some(())
        });
    }
    Some(found)
}

fn number(cursor: &Cursor<'_>) -> Option<u16> {
    cursor.as_number(1, i64::from(u16::MAX)).and_then(|n| u16::try_from(n).ok())
}

/// The words of a list with commas, each taken by `take`. As in Linkerd, an annotation that is not
/// understood does not cost its object.
fn each(cursor: &Cursor<'_>, expected: &str, mut take: impl FnMut(&str) -> Option<()>) {
    let Some(text) = cursor.as_text() else { return };
    for word in text.split(',').map(str::trim) {
        if take(word).is_none() {
            cursor.note(&format!("`{}` is not used: expected {expected}", word.escape_debug()));
        }
    }
}

fn statuses(word: &str) -> Option<(u16, u16)> {
    let status = |text: &str| text.parse().ok().filter(|n| (100..=599).contains(n));
    match word {
        "5xx" => Some((500, 599)),
        "gateway-error" => Some((502, 504)),
        _ => {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            let (first, last) = (status(first)?, status(last)?);
            (first <= last).then_some((first, last))
        }
    }
}

fn grpc_status(word: &str) -> Option<u8> {
    Some(match word {
        "cancelled" => 1,
        "deadline-exceeded" => 4,
        "resource-exhausted" => 8,
        "internal" => 13,
        "unavailable" => 14,
        _ => return None,
    })
}
