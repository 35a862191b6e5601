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
    let mesh = route.parents.iter().any(|parent| parent.kind == ParentKind::Service);
    if kind == RouteKind::Tls && mesh && !route.hostnames.is_empty() {
        // Who asks for a service has said which one before the first byte of TLS.
        root.note("hostnames are only looked at for listeners, not for the service");
    }
    // What a connection matches is known from its route alone; a further rule can match nothing.
    if route.rules.len() > 1 {
        root.note("only the first rule can match");
        route.rules.truncate(1);
    }
    Some(route)
}
