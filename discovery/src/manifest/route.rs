//! HTTPRoute, and what the other kinds of routes share with it.

use std::sync::Arc;

use ringway_core::policy::route::{Match, PathMatch};
use ringway_core::snapshot::{PathRewrite, Timeouts};

use super::cursor::Cursor;
use super::filter::{self, Decoded};
use super::{matches, metadata, retry, value};
use crate::object::{Backend, NamespacedName, ParentKind, ParentRef, Route, RouteKind, RouteRule};

/// The group of gateways and routes.
const GROUP: &str = "gateway.networking.k8s.io";
const HTTP_FILTERS: &[&str] = &[
    "RequestHeaderModifier",
    "ResponseHeaderModifier",
    "RequestRedirect",
    "URLRewrite",
    "RequestMirror",
];
/// What may stand at a backend: the rest would have to be decided before one is chosen.
const BACKEND_FILTERS: &[&str] = &["RequestHeaderModifier", "ResponseHeaderModifier", "URLRewrite"];

pub(super) fn decode(root: &Cursor<'_>, namespace: &str) -> Option<Route> {
    let every = Match::default();
    let rule = |rule: &Cursor<'_>, namespace: &str| {
        let found: Vec<_> = rule.maps("matches").iter().filter_map(matches::decode).collect();
        let decoded = filter::decode(rule, namespace, HTTP_FILTERS);
        prefixed(
            rule,
            if found.is_empty() { std::slice::from_ref(&every) } else { &found },
            &decoded,
        );
        self::rule(rule, namespace, found, decoded)
    };
    let mut route = shared(root, namespace, RouteKind::Http, &rule)?;
    if route.rules.is_empty() && root.get("spec")?.get("rules").is_none() {
        // The API server's default: one rule for everything.
        route.rules.push(RouteRule::default());
    }
    Some(route)
}

/// What all kinds have, with rules read by `rule`.
pub(super) fn shared(
    root: &Cursor<'_>,
    namespace: &str,
    kind: RouteKind,
    rule: &dyn Fn(&Cursor<'_>, &str) -> RouteRule,
) -> Option<Route> {
    let name = metadata::name(root, namespace)?;
    let spec = root.need_map("spec")?;
    let parents = spec.maps("parentRefs");
    let parents =
        parents.iter().filter_map(|parent| self::parent(parent, &name.namespace)).collect();
    let hostnames = spec.list("hostnames");
    let hostnames = hostnames.iter().filter_map(|host| value::hostname(host, true)).collect();
    let rules = spec.maps("rules");
    let mut rules: Vec<_> = rules.iter().map(|r| rule(r, &name.namespace)).collect();
    if let Some(retry) = retry::annotated(root) {
        rules.iter_mut().for_each(|rule| _ = rule.retry.get_or_insert_with(|| retry.clone()));
    }
    Some(Route { kind, name, created: metadata::created(root), parents, hostnames, rules })
}

/// A rule with what has been read of it.
pub(super) fn rule(
    cursor: &Cursor<'_>,
    namespace: &str,
    matches: Vec<Match>,
    decoded: Decoded,
) -> RouteRule {
    if let Some(cursor) = cursor.get("sessionPersistence") {
        cursor.note("has no effect yet");
    }
    let backends = cursor.maps("backendRefs");
    RouteRule {
        name: cursor.text("name"),
        matches,
        filters: decoded.filters,
        redirect: decoded.redirect,
        mirrors: decoded.mirrors,
        backends: backends.iter().filter_map(|b| backend(b, namespace)).collect(),
        timeouts: cursor.map("timeouts").map(|t| timeouts(&t)).unwrap_or_default(),
        retry: retry::of_rule(cursor),
    }
}

fn parent(cursor: &Cursor<'_>, namespace: &str) -> Option<ParentRef> {
    let name = cursor.need_text("name")?;
    let group = cursor.text("group").unwrap_or_else(|| GROUP.into());
    let kind = cursor.text("kind").unwrap_or_else(|| "Gateway".into());
    let namespace: Arc<str> = cursor.text("namespace").unwrap_or_else(|| namespace.into());
    let kind = match (&*group, &*kind) {
        (GROUP, "Gateway") => ParentKind::Gateway,
        ("" | "core", "Service") => ParentKind::Service,
        (GROUP, "Service") if cursor.get("group").is_none() => {
            cursor.wrong("a group for kind Service", "add `group: \"\"`");
            return None;
        }
        _ => {
            cursor.note(&format!("a parent of kind {kind} is not used"));
            return None;
        }
    };
    let name = NamespacedName { namespace, name };
    Some(ParentRef { kind, name, section: cursor.text("sectionName"), port: cursor.port("port") })
}

fn backend(cursor: &Cursor<'_>, namespace: &str) -> Option<Backend> {
    let weight = match cursor.get("weight") {
        Some(weight) => weight.as_number(0, 1_000_000)?,
        None => 1,
    };
    let decoded = filter::decode(cursor, namespace, BACKEND_FILTERS);
    let service = value::backend(cursor, namespace)?;
    Some(Backend { service, weight: u32::try_from(weight).ok()?, filters: decoded.filters })
}

fn timeouts(cursor: &Cursor<'_>) -> Timeouts {
    let read = |key| cursor.get(key).and_then(|value| value::duration(&value)).flatten();
    let timeouts = Timeouts { request: read("request"), backend_request: read("backendRequest") };
    if let (Some(request), Some(backend)) = (timeouts.request, timeouts.backend_request)
        && backend > request
        && let Some(cursor) = cursor.get("backendRequest")
    {
        cursor.wrong("at most the time of `request`", "one attempt cannot outlast the whole");
    }
    timeouts
}

/// ReplacePrefixMatch has a meaning only where each match is a prefix.
fn prefixed(rule: &Cursor<'_>, matches: &[Match], decoded: &Decoded) {
    let redirect = decoded.redirect.as_ref().and_then(|redirect| redirect.path.as_ref());
    let replaces = [decoded.filters.path.as_ref(), redirect]
        .into_iter()
        .flatten()
        .any(|p| matches!(p, PathRewrite::Prefix(_)));
    if replaces && !matches.iter().all(|m| matches!(m.path, PathMatch::Prefix(_))) {
        rule.at_key(
            "matches",
            "a match that is not a PathPrefix",
            "only PathPrefix matches beside ReplacePrefixMatch",
            "use ReplaceFullPath, or split the rule",
        );
    }
}
