//! Lists, events and faults in the orders in which they can come.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use super::*;
use crate::manifest::{Expected, item};

fn service(name: &str, port: &str) -> Item {
    let json = format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"shop","resourceVersion":"1"}},"spec":{{"ports":[{{"port":{port}}}]}}}}"#
    );
    item(json.as_bytes(), Expected { version: "v1", kind: "Service" }).unwrap()
}

fn name(name: &str) -> NamespacedName {
    NamespacedName::new("shop", name)
}

/// What an event does, in short.
fn short(events: impl IntoIterator<Item = Event>) -> Vec<String> {
    let one = |event| match event {
        Event::Apply(_, object) => format!("+{}", object.name().name),
        Event::Delete(_, _, name) => format!("-{}", name.name),
        other => panic!("{other:?}"),
    };
    events.into_iter().map(one).collect()
}

fn listed(known: &mut Known, items: Vec<Item>) -> Vec<String> {
    known.begin();
    for item in items {
        assert_eq!(known.put(item), None, "nothing is told before the list has ended");
    }
    short(known.end())
}

#[test]
fn a_list_tells_what_is_gone_at_its_end() {
    let mut known = Known::new(Kind::Service);
    assert_eq!(listed(&mut known, vec![service("a", "1"), service("b", "1")]), ["+a", "+b"]);
    assert_eq!(listed(&mut known, vec![service("b", "1"), service("c", "1")]), ["+b", "+c", "-a"]);
    assert_eq!(known.len(), 2);
    assert_eq!(short(known.clear()), ["-b", "-c"]);
}

#[test]
fn a_list_that_breaks_off_changes_nothing() {
    let mut known = Known::new(Kind::Service);
    listed(&mut known, vec![service("a", "1"), service("b", "1")]);
    known.begin();
    known.put(service("c", "1"));
    assert_eq!(listed(&mut known, vec![service("a", "1"), service("b", "1")]), ["+a", "+b"]);
}

#[test]
fn what_is_not_right_keeps_its_last_good_state() {
    let mut known = Known::new(Kind::Service);
    listed(&mut known, vec![service("a", "1"), service("b", "70000")]);
    assert_eq!(known.faults().len(), 1, "{:?}", known.faults());
    assert!(known.faults()[0].starts_with("Service shop/b: spec.ports[0].port: found `70000`"));
    assert_eq!(known.put(service("a", "0")), None);
    assert_eq!((known.len(), known.faults().len()), (1, 2));
    assert_eq!(listed(&mut known, vec![service("a", "0")]), Vec::<String>::new());
    assert_eq!((known.len(), known.faults().len()), (1, 1), "b is gone, a stays");
    assert_eq!(short(known.put(service("a", "2"))), ["+a"]);
    assert_eq!(known.faults(), Vec::<String>::new());
    known.put(service("a", "0"));
    assert_eq!(short(known.gone(&name("a"))), ["-a"]);
    assert_eq!((known.len(), known.faults().len()), (0, 0));
}

#[test]
fn nothing_is_gone_when_part_of_a_list_cannot_be_read() {
    let mut known = Known::new(Kind::Service);
    listed(&mut known, vec![service("a", "1"), service("b", "1")]);
    known.begin();
    known.put(service("c", "1"));
    known.unread("no JSON");
    assert_eq!(short(known.end()), ["+c"]);
    assert_eq!(known.len(), 3);
    assert_eq!(known.faults(), ["Service: an object cannot be read: no JSON"]);
    assert_eq!(listed(&mut known, vec![service("c", "1")]), ["+c", "-a", "-b"]);
}

#[test]
fn an_object_that_is_not_used_any_more_is_gone() {
    let slice = |labels: &str| {
        let json = format!(
            r#"{{"metadata":{{"name":"a-1","namespace":"shop","labels":{{{labels}}}}},"addressType":"IPv4","endpoints":[]}}"#
        );
        item(json.as_bytes(), Expected { version: "discovery.k8s.io/v1", kind: "EndpointSlice" })
            .unwrap()
    };
    let mut known = Known::new(Kind::Slice);
    let labelled = r#""kubernetes.io/service-name":"a""#;
    assert_eq!(short(known.put(slice(labelled))), ["+a-1"]);
    assert_eq!(short(known.put(slice(""))), ["-a-1"]);
    assert_eq!(known.put(slice("")), None);
    assert_eq!(listed(&mut known, vec![slice(labelled)]), ["+a-1"]);
    assert_eq!(listed(&mut known, vec![slice("")]), ["-a-1"]);
}
