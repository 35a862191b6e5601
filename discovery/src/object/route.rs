//! Routes of all kinds, lowered to one shape.

use std::sync::Arc;

use ringway_core::policy::route::Match;
use ringway_core::snapshot::Timeouts;

use super::{Filters, NamespacedName, Redirect, Retry};

/// A route.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Which kind.
    pub kind: RouteKind,
    /// Namespace and name.
    pub name: NamespacedName,
    /// `metadata.creationTimestamp` (RFC 3339, UTC), by which the older of two routes wins; empty
    /// in manifests that never saw an API server, which is older than any.
    pub created: Arc<str>,
    /// What it applies to.
    pub parents: Vec<ParentRef>,
    /// The hosts it applies to, lower case; empty is any. Of a TLSRoute they are server names. Only
    /// read for gateways.
    pub hostnames: Vec<Arc<str>>,
    /// In order.
    pub rules: Vec<RouteRule>,
}

/// The kind of a route; where several apply to a service, the first wins (GEP-1426).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteKind {
    /// GRPCRoute
    Grpc,
    /// HTTPRoute
    Http,
    /// TLSRoute
    Tls,
    /// TCPRoute
    Tcp,
}

/// What a route applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentRef {
    /// A gateway or a service.
    pub kind: ParentKind,
    /// Namespace and name; the namespace of a gateway is not looked at.
    pub name: NamespacedName,
    /// Part of it: a gateway's listener, or a service's port by name.
    pub section: Option<Arc<str>>,
    /// Part of it: the port by number.
    pub port: Option<u16>,
}

/// The kinds of parents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParentKind {
    /// `gateway.networking.k8s.io` Gateway: listeners of kind `gateway`.
    Gateway,
    /// Service: listeners of kind `outbound`.
    Service,
}

/// One rule of a route.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RouteRule {
    /// Its name, if it has one.
    pub name: Option<Arc<str>>,
    /// Any of them, each tried out; empty matches every request.
    pub matches: Vec<Match>,
    /// Edits for every backend.
    pub filters: Filters,
    /// A redirect instead of a backend.
    pub redirect: Option<Redirect>,
    /// Copies of the request.
    pub mirrors: Vec<RouteMirror>,
    /// Where requests go.
    pub backends: Vec<Backend>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// `retry`, or else the route's annotations `retry.linkerd.io/*`.
    pub retry: Option<Retry>,
}

/// One weighted destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// The service and its port; `None` when the reference is of a kind that cannot resolve.
    pub service: Option<(NamespacedName, u16)>,
    /// Default 1.
    pub weight: u32,
    /// Edits for this backend only.
    pub filters: Filters,
}

/// RequestMirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteMirror {
    /// The service and its port; `None` when the reference is of a kind that cannot resolve.
    pub service: Option<(NamespacedName, u16)>,
    /// Mirrored share: `numerator` of `denominator` requests.
    pub numerator: u32,
    /// See `numerator`; never 0.
    pub denominator: u32,
}
