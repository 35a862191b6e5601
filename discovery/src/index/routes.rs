//! Routes by what they are attached to, in the order of their precedence.

use super::Index;
use crate::event::SourceId;
use crate::object::{NamespacedName, ParentKind, ParentRef, Route, ServicePort};

/// Routes: the oldest first, then by namespace and name (Gateway API).
#[derive(Debug)]
pub(crate) struct Routes<'i>(Vec<&'i Route>);

impl<'i> Routes<'i> {
    pub(super) fn new(routes: impl Iterator<Item = &'i Route>) -> Self {
        let mut routes: Vec<_> = routes.collect();
        routes.sort_by_key(|r| (&r.created, &r.name, r.kind));
        // One that names its parent several times is one route all the same.
        routes.dedup_by(|a, b| std::ptr::eq(*a, *b));
        Self(routes)
    }

    /// The services they lead to that no other source than Kubernetes has.
    pub(crate) fn named(&self, index: &Index) -> Vec<NamespacedName> {
        let rules = self.0.iter().flat_map(|route| &route.rules);
        let named = rules.flat_map(|rule| {
            let backends = rule.backends.iter().map(|backend| &backend.service);
            backends.chain(rule.mirrors.iter().map(|mirror| &mirror.service))
        });
        let elsewhere = |name: &NamespacedName| {
            index.service(name).is_some_and(|known| known.source != SourceId::Kubernetes)
        };
        let names = named.flatten().map(|(name, _)| name.clone());
        names.filter(|name| !elsewhere(name)).collect()
    }

    /// The routes of the gateway listener of that name and port.
    pub(crate) fn of_gateway(&self, listener: &str, port: u16) -> Vec<&'i Route> {
        let attached = |parent: &ParentRef| {
            parent.kind == ParentKind::Gateway
                && (&*parent.name.name == listener || parent.section.as_deref() == Some(listener))
                && parent.port.is_none_or(|number| number == port)
        };
        self.0.iter().filter(|r| r.parents.iter().any(attached)).copied().collect()
    }

    /// The routes of a service's port for clients in `namespace`.
    ///
    /// Routes from the client's namespace (consumer routes) replace those from the service's own
    /// (producer routes); routes from elsewhere do not apply (GEP-1294). Of several kinds the most
    /// specific replaces the others: GRPCRoute, HTTPRoute, TLSRoute, TCPRoute (GEP-1426).
    pub(crate) fn of_service(
        &self,
        service: &NamespacedName,
        port: &ServicePort,
        namespace: &str,
    ) -> Vec<&'i Route> {
        let attached = |parent: &ParentRef| {
            parent.kind == ParentKind::Service
                && parent.name == *service
                && parent.port.is_none_or(|number| number == port.port)
                && parent.section.as_ref().is_none_or(|name| *name == port.name)
        };
        let from = |namespace: &str| -> Vec<&'i Route> {
            let here = self.0.iter().filter(|r| *r.name.namespace == *namespace);
            here.filter(|r| r.parents.iter().any(attached)).copied().collect()
        };
        let mut routes = from(namespace);
        if routes.is_empty() {
            routes = from(&service.namespace);
        }
        let first = routes.iter().map(|route| route.kind).min();
        routes.retain(|route| Some(route.kind) == first);
        routes
    }
}
