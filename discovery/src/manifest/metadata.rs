//! `metadata`: what every object has.

use std::sync::Arc;

use super::cursor::Cursor;
use crate::object::NamespacedName;

/// The object's namespace and name.
pub(super) fn name(root: &Cursor<'_>, namespace: &str) -> Option<NamespacedName> {
    let metadata = root.need_map("metadata")?;
    let name = metadata.need("name")?;
    let text = name.as_text()?;
    if !is_name(&text) {
        name.wrong("a name of a-z, 0-9, `-` and `.`", "");
        return None;
    }
    let namespace = metadata.text("namespace").unwrap_or_else(|| namespace.into());
    Some(NamespacedName { namespace, name: text })
}

/// The value of a label.
pub(super) fn label(root: &Cursor<'_>, label: &str) -> Option<Arc<str>> {
    root.map("metadata")?.map("labels")?.text(label)
}

/// An annotation with its place.
pub(super) fn annotation<'n>(root: &Cursor<'n>, name: &str) -> Option<Cursor<'n>> {
    root.map("metadata")?.map("annotations")?.get(name)
}

/// Annotation `ringway.io/meshed`: whether ringways stand before the object's endpoints.
pub(super) fn meshed(root: &Cursor<'_>) -> bool {
    let Some(annotation) = annotation(root, "ringway.io/meshed") else { return false };
    match annotation.as_text().as_deref() {
        Some("true") => true,
        Some("false") | None => false,
        Some(_) => {
            annotation.wrong("\"true\" or \"false\"", "");
            false
        }
    }
}

/// `creationTimestamp`; empty when there is none.
pub(super) fn created(root: &Cursor<'_>) -> Arc<str> {
    let timestamp = root.map("metadata").and_then(|metadata| metadata.text("creationTimestamp"));
    timestamp.unwrap_or_else(|| "".into())
}

/// Whether it is a DNS subdomain (RFC 1123), as names of objects are.
pub(super) fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}
