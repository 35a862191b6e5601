//! What an API server sends: the events of a watch, and what stands around the items of a list.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::failure::{Failure, Status};

/// The annotation of the bookmark after which a streaming list is whole.
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// One event of a watch.
#[derive(Debug)]
pub(crate) enum Event<'b> {
    /// The object exists and looks like this.
    Put(&'b [u8]),
    /// It is gone; this is how it looked.
    Gone(&'b [u8]),
    /// So far everything has been told.
    Bookmark { version: String, initial_end: bool },
}

#[derive(Deserialize)]
struct Envelope<'b> {
    r#type: &'b str,
    #[serde(borrow)]
    object: &'b RawValue,
}

/// `metadata` of a bookmark or of a list.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
    r#continue: String,
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Bookmark {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    kind: String,
    metadata: Metadata,
}

/// The end of one page of a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// The version that the list shows.
    pub(crate) version: String,
    /// By what to ask for the next page; `None` at the last.
    pub(crate) next: Option<String>,
}

/// Reads a line of a watch.
///
/// # Errors
/// What is no event, and what the API server says is wrong.
pub(crate) fn event(line: &[u8]) -> Result<Event<'_>, Failure> {
    let Envelope { r#type, object } = read(line)?;
    let object = object.get().as_bytes();
    match r#type {
        "ADDED" | "MODIFIED" => Ok(Event::Put(object)),
        "DELETED" => Ok(Event::Gone(object)),
        "BOOKMARK" => {
            let Bookmark { metadata } = read(object)?;
            let initial_end = metadata.annotations.get(INITIAL_END).is_some_and(|v| v == "true");
            Ok(Event::Bookmark { version: metadata.resource_version, initial_end })
        }
        "ERROR" => Err(Failure::of_status(read::<Status>(object)?)),
        other => Err(Failure::Malformed(format!("an event of type {}", shown(other)))),
    }
}

/// Reads what stands around the items of a list of `kind`.
///
/// # Errors
/// What is no such list.
pub(crate) fn page(envelope: &[u8], kind: &str) -> Result<Page, Failure> {
    let list: List = read(envelope)?;
    if list.kind.strip_suffix("List") != Some(kind) {
        let found = shown(&list.kind);
        return Err(Failure::Malformed(format!("found {found}, expected {kind}List")));
    }
    let Metadata { resource_version: version, r#continue: next, .. } = list.metadata;
    Ok(Page { version, next: (!next.is_empty()).then_some(next) })
}

fn read<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| Failure::Malformed(error.to_string()))
}

fn shown(text: &str) -> String {
    format!("`{}`", text.chars().take(48).flat_map(char::escape_debug).collect::<String>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn events_are_told_apart() {
        let put = br#"{"type":"MODIFIED","object":{"metadata":{"name":"a"}}}"#;
        assert!(matches!(event(put).unwrap(), Event::Put(br#"{"metadata":{"name":"a"}}"#)));
        let gone = br#"{"object":{},"type":"DELETED"}"#;
        assert!(matches!(event(gone).unwrap(), Event::Gone(b"{}")));
        let mark = |annotations: &str| {
            let text = format!(
                r#"{{"type":"BOOKMARK","object":{{"kind":"Service","metadata":{{"resourceVersion":"12"{annotations}}},"spec":{{}}}}}}"#
            );
            match event(text.as_bytes()).unwrap() {
                Event::Bookmark { version, initial_end } => (version, initial_end),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(mark(""), (String::from("12"), false));
        let end = r#","annotations":{"k8s.io/initial-events-end":"true"}"#;
        assert_eq!(mark(end), (String::from("12"), true));
    }

    #[test]
    fn what_is_no_event_is_a_failure() {
        let gone = br#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old","reason":"Expired"}}"#;
        let Failure::Refused { status, message, .. } = event(gone).unwrap_err() else { panic!() };
        assert_eq!((status, message.as_str()), (StatusCode::GONE, "too old"));
        for line in [&b"{"[..], b"[]", br#"{"type":"OTHER","object":{}}"#, br#"{"type":"ADDED"}"#] {
            assert!(matches!(event(line), Err(Failure::Malformed(_))));
        }
    }

    #[test]
    fn a_list_says_where_it_stands() {
        let list = br#"{"kind":"ServiceList","metadata":{"resourceVersion":"7","continue":"x=="},"items":[]}"#;
        let next = Some(String::from("x=="));
        assert_eq!(page(list, "Service").unwrap(), Page { version: String::from("7"), next });
        let error = page(list, "EndpointSlice").unwrap_err();
        assert_eq!(
            error.to_string(),
            "not understood: found `ServiceList`, expected EndpointSliceList"
        );
        let last = br#"{"kind":"ServiceList","metadata":{"resourceVersion":"7"}}"#;
        assert_eq!(page(last, "Service").unwrap().next, None);
    }
}
