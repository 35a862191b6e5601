//! Values that several kinds share: durations, header names and values, host names, references.

use std::sync::Arc;

use ringway_config::duration;
use ringway_core::time::Duration;

use super::cursor::Cursor;
use super::metadata;
use crate::object::NamespacedName;

/// A duration (GEP-2257); inner `None` is `0s`, which means no limit.
pub(super) fn duration(cursor: &Cursor<'_>) -> Option<Option<Duration>> {
    let text = cursor.as_text()?;
    let Some(duration) = duration::parse(&text) else {
        cursor.wrong("a duration such as 10s, 500ms or 1m30s", "");
        return None;
    };
    Some((!duration.is_zero()).then_some(duration))
}

/// The name of a field (RFC 9110 5.1).
pub(super) fn field_name(cursor: &Cursor<'_>) -> Option<Arc<str>> {
    let text = cursor.as_text()?;
    if !is_token(&text) {
        cursor.wrong("the name of a header field", "");
        return None;
    }
    Some(text)
}

/// The value of a field, which must not be able to end its line.
pub(super) fn field_value(cursor: &Cursor<'_>) -> Option<Arc<str>> {
    let text = cursor.as_text()?;
    if text.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
        cursor.wrong("a value without control characters", "");
        return None;
    }
    Some(text)
}

/// Whether it is a token (RFC 9110 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(allowed)
}

/// A host name in lower case, `*.domain` where `wildcard` is allowed.
pub(super) fn hostname(cursor: &Cursor<'_>, wildcard: bool) -> Option<Arc<str>> {
    let text = cursor.as_text()?.to_ascii_lowercase();
    let name = if wildcard { text.strip_prefix("*.").unwrap_or(&text) } else { &text };
    if !metadata::is_name(name) || name.parse::<std::net::IpAddr>().is_ok() {
        let expected = if wildcard { "a host name or *.domain" } else { "a host name" };
        cursor.wrong(expected, "write it without scheme, port and path");
        return None;
    }
    Some(text.into())
}

/// An absolute path.
pub(super) fn path(cursor: &Cursor<'_>) -> Option<Arc<str>> {
    let text = cursor.as_text()?;
    let clean = text.bytes().all(|b| b > b' ' && b != 0x7f && b != b'?' && b != b'#');
    if !text.starts_with('/') || !clean {
        cursor.wrong("a path that begins with `/`, without query", "");
        return None;
    }
    Some(text)
}

/// The service and port of a backend reference; `Some(None)` when it is of another kind.
pub(super) fn backend(
    cursor: &Cursor<'_>,
    namespace: &str,
) -> Option<Option<(NamespacedName, u16)>> {
    let name = cursor.need_text("name")?;
    let group = cursor.text("group").unwrap_or_else(|| "".into());
    let kind = cursor.text("kind").unwrap_or_else(|| "Service".into());
    let namespace = cursor.text("namespace").unwrap_or_else(|| namespace.into());
    if !group.is_empty() || &*kind != "Service" {
        cursor.note(&format!("a backend of kind {kind} cannot be used; its share gets 500"));
        return Some(None);
    }
    cursor.need("port")?;
    Some(Some((NamespacedName { namespace, name }, cursor.port("port")?)))
}
