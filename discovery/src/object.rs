//! The objects that discovery knows, with just the fields it reads, and already checked.
//!
//! They are Kubernetes' and the Gateway API's; `services:` and DNS are lowered to them.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ringway_config::Ports;
use ringway_core::snapshot::{Balancer, Filters, Redirect};
use ringway_core::time::Duration;

mod note;
mod policy;
mod route;

pub use policy::{BackendTlsPolicy, BackendTrafficPolicy, PolicyTarget, Retry, RetryBudget};
pub use route::{Backend, ParentKind, ParentRef, Route, RouteKind, RouteMirror, RouteRule};

/// The name of an object within its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespacedName {
    /// The namespace; empty for names of DNS, which have none.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl NamespacedName {
    /// `namespace/name`.
    #[must_use]
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The kinds of objects. All kinds of routes are one to the index, but may have the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// [`Service`]
    Service,
    /// [`EndpointSlice`]
    Slice,
    /// An HTTPRoute.
    HttpRoute,
    /// A GRPCRoute.
    GrpcRoute,
    /// A TLSRoute.
    TlsRoute,
    /// A TCPRoute.
    TcpRoute,
    /// [`BackendTlsPolicy`]
    BackendTlsPolicy,
    /// [`BackendTrafficPolicy`]
    BackendTrafficPolicy,
    /// [`Addresses`]
    Addresses,
}

impl Kind {
    /// The first in their order.
    pub(crate) const FIRST: Self = Self::Service;

    /// Its name in manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Slice => "EndpointSlice",
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
            Self::TlsRoute => "TLSRoute",
            Self::TcpRoute => "TCPRoute",
            Self::BackendTlsPolicy => "BackendTLSPolicy",
            Self::BackendTrafficPolicy => "XBackendTrafficPolicy",
            Self::Addresses => "Addresses",
        }
    }
}

/// Any object.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// A named set of ports.
    Service(Service),
    /// Some of a service's endpoints.
    Slice(EndpointSlice),
    /// Rules for requests.
    Route(Route),
    /// Services that are to be spoken to over TLS.
    BackendTlsPolicy(BackendTlsPolicy),
    /// How traffic to services is to be handled.
    BackendTrafficPolicy(BackendTrafficPolicy),
    /// What a DNS name resolves to.
    Addresses(Addresses),
}

impl Object {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Service(_) => Kind::Service,
            Self::Slice(_) => Kind::Slice,
            Self::Route(route) => match route.kind {
                RouteKind::Http => Kind::HttpRoute,
                RouteKind::Grpc => Kind::GrpcRoute,
                RouteKind::Tls => Kind::TlsRoute,
                RouteKind::Tcp => Kind::TcpRoute,
            },
            Self::BackendTlsPolicy(_) => Kind::BackendTlsPolicy,
            Self::BackendTrafficPolicy(_) => Kind::BackendTrafficPolicy,
            Self::Addresses(_) => Kind::Addresses,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> NamespacedName {
        match self {
            Self::Service(service) => service.name.clone(),
            Self::Slice(slice) => slice.name.clone(),
            Self::Route(route) => route.name.clone(),
            Self::BackendTlsPolicy(policy) => policy.name.clone(),
            Self::BackendTrafficPolicy(policy) => policy.name.clone(),
            Self::Addresses(addresses) => NamespacedName::new("", addresses.host.clone()),
        }
    }
}

/// A service.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Namespace and name.
    pub name: NamespacedName,
    /// What it stands for.
    pub kind: ServiceKind,
    /// Its ports. Never empty, except for an ExternalName without ports.
    pub ports: Vec<ServicePort>,
    /// The virtual addresses, that of its first family first; empty when it has none, and in
    /// manifests that never saw an API server.
    pub cluster_ips: Vec<IpAddr>,
    /// `internalTrafficPolicy: Local`: only endpoints on the client's own node. Default no.
    pub local: bool,
    /// Endpoints that are known by DNS name only.
    pub externals: Vec<External>,
    /// How endpoints are chosen: annotation `balancer.ringway.io/kind`.
    pub balancer: Balancer,
    /// Annotation `balancer.ringway.io/connect-timeout`; `None` is the configuration's.
    pub connect_timeout: Option<Duration>,
    /// Ports whose connections are opaque: annotation `config.linkerd.io/opaque-ports`; `None` are
    /// the listener's.
    pub opaque_ports: Option<Ports>,
    /// Whether ringways stand before its endpoints: annotation `ringway.io/meshed`.
    pub meshed: bool,
    /// Annotations `retry.linkerd.io/*`.
    pub retry: Option<Box<Retry>>,
}

/// What a service stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServiceKind {
    /// A virtual address in front of its endpoints; also NodePort and LoadBalancer.
    #[default]
    ClusterIp,
    /// `clusterIP: None`: its endpoints themselves, each with a name if it wants one. No parent of
    /// routes (GEP-1294).
    Headless,
    /// A DNS name. No parent of routes either.
    ExternalName,
}

/// One port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name, by which slices refer to it; may be empty when it is the only one.
    pub name: Arc<str>,
    /// The number that clients use.
    pub port: u16,
    /// The number at the endpoints where it is a number; only read for ExternalName.
    pub target: Option<u16>,
    /// `appProtocol`.
    pub protocol: Option<Arc<str>>,
}

/// An endpoint known by its DNS name: `externalName`, or a host name under `services:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// The name, lower case, without a trailing dot.
    pub host: Arc<str>,
    /// The port; `None` is the service's target port.
    pub port: Option<u16>,
    /// Weight of each of its addresses.
    pub weight: u32,
}

/// What a DNS name resolves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// The name, lower case, without a trailing dot.
    pub host: Arc<str>,
    /// Sorted, none twice.
    pub addresses: Vec<IpAddr>,
}

/// Some endpoints of a service that share their ports.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointSlice {
    /// Namespace and name of the slice.
    pub name: NamespacedName,
    /// The label `kubernetes.io/service-name`, in the same namespace.
    pub service: Arc<str>,
    /// Its ports.
    pub ports: Vec<SlicePort>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// One port of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlicePort {
    /// The name of the service's port it belongs to.
    pub name: Arc<str>,
    /// The number at these endpoints.
    pub port: u16,
}

/// One endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its first address; the API calls the others interchangeable and means one.
    pub address: IpAddr,
    /// `conditions.ready`; unknown counts as ready.
    pub ready: bool,
    /// `conditions.serving`; unknown is as `ready`.
    pub serving: bool,
    /// `conditions.terminating`; unknown is no.
    pub terminating: bool,
    /// `targetRef.name`: the pod's. Endpoints of one pod have the same.
    pub target: Option<Arc<str>>,
    /// `hostname`: its name below that of a headless service.
    pub hostname: Option<Arc<str>>,
    /// `zone`
    pub zone: Option<Arc<str>>,
    /// `nodeName`
    pub node: Option<Arc<str>>,
    /// `hints`: which clients it is meant for.
    pub hints: Option<Arc<Hints>>,
    /// Share relative to its siblings. Default 1; only `services:` can say otherwise.
    pub weight: u32,
    /// Whether a ringway stands before it: annotation `ringway.io/meshed` of its slice.
    pub meshed: bool,
}

/// Which clients an endpoint is meant for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hints {
    /// `forZones`
    pub zones: Vec<Arc<str>>,
    /// `forNodes`
    pub nodes: Vec<Arc<str>>,
}
