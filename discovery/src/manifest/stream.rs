//! TCPRoute and TLSRoute: where connections go that are passed on as they come.

use super::cursor::Cursor;
use super::filter::Decoded;
use super::route;
use crate::object::{ParentKind, Route, RouteKind, RouteRule};

pub(super) fn decode(root: &Cursor<'_>, namespace: &str, kind: RouteKind) -> Option<Route> {
    let rule = |rule: &Cursor<'_>, namespace: &str| -> RouteRule {
        route::rule(rule, namespace, Vec::new(), Decoded::default())
    };
    let mut route = route::shared(root, namespace, kind, &rule)?;
    let gateway = route.parents.iter().any(|parent| parent.kind == ParentKind::Gateway);
    if kind == RouteKind::Tls && gateway {
        root.note("a TLSRoute of a Gateway is not used: TLS is not told apart by server name");
    }
    // What a connection matches is known from its parent alone; a further rule can match nothing.
    if route.rules.len() > 1 {
        root.note("only the first rule can match");
        route.rules.truncate(1);
    }
    Some(route)
}
