//! One object as an API server tells it: read by the same decoders as a manifest.

use std::sync::Arc;

use ringway_config::Problem;

use super::cursor::{Cursor, Report};
use super::{json, object};
use crate::object::{NamespacedName, Object};

/// The kind that is expected of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'e> {
    /// `v1`, `gateway.networking.k8s.io/v1`
    pub(crate) version: &'e str,
    /// `Service`
    pub(crate) kind: &'e str,
}

/// One object of an API server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) name: NamespacedName,
    /// Its `resourceVersion`; empty when it has none.
    pub(crate) version: Arc<str>,
    /// The object; `None` when it is right and not used; or all that is wrong with it.
    pub(crate) object: Result<Option<Object>, String>,
}

/// Reads one object. Items of a list say neither kind nor version; what they do say must be what is
/// expected.
///
/// # Errors
/// When it is no JSON, or has no name by which it could be told from others.
pub(crate) fn item(bytes: &[u8], expected: Expected<'_>) -> Result<Item, String> {
    let node = json::read(bytes)?;
    let report = Report::default();
    let root = Cursor::root(&node, &report);
    let metadata = root.map("metadata");
    let text = |key| metadata.as_ref().and_then(|metadata| metadata.text(key));
    let name = text("name").filter(|name| !name.is_empty()).ok_or("an object without a name")?;
    let namespace = text("namespace").unwrap_or_else(|| "".into());
    let version = text("resourceVersion").unwrap_or_else(|| "".into());
    let object = match root.text("kind") {
        Some(kind) if *kind != *expected.kind => {
            root.at_key("kind", &format!("`{kind}`"), expected.kind, "");
            None
        }
        _ => object(&root, expected.version, expected.kind, &namespace),
    };
    let (problems, _) = report.finish();
    let object = if problems.is_empty() { Ok(object) } else { Err(described(&problems)) };
    Ok(Item { name: NamespacedName { namespace, name }, version, object })
}

/// The first problems, in one line.
fn described(problems: &[Problem]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = problems.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = problems.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    shown.join("; ") + &more
}
