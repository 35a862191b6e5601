//! What objects are about, beside themselves: the key by which compiling finds them, and by which
//! it is told what has changed.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::object::{NamespacedName, Object, ParentKind, PolicyTarget};

/// What an object is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// What a service is.
    Service(NamespacedName),
    /// A service's endpoints, as slices say.
    Endpoints(NamespacedName),
    /// A service's routes.
    Routes(NamespacedName),
    /// The routes of gateways.
    Gateways,
    /// A service's policies.
    Policies(NamespacedName),
    /// Which services have this virtual address.
    ClusterIp(IpAddr),
    /// Which services have endpoints of this DNS name.
    External(Arc<str>),
    /// What this DNS name resolves to.
    Resolved(Arc<str>),
}

/// The subjects of which something has changed.
pub(crate) type Changes = BTreeSet<Subject>;

/// All that an object is about.
pub(super) fn subjects(object: &Object) -> Vec<Subject> {
    match object {
        Object::Service(service) => {
            let addresses = service.cluster_ips.iter().map(|ip| Subject::ClusterIp(*ip));
            let hosts = service.externals.iter().map(|e| Subject::External(e.host.clone()));
            let itself = std::iter::once(Subject::Service(service.name.clone()));
            itself.chain(addresses).chain(hosts).collect()
        }
        Object::Slice(slice) => vec![Subject::Endpoints(NamespacedName {
            namespace: slice.name.namespace.clone(),
            name: slice.service.clone(),
        })],
        Object::Route(route) => {
            let parents = route.parents.iter().map(|parent| match parent.kind {
                ParentKind::Gateway => Subject::Gateways,
                ParentKind::Service => Subject::Routes(parent.name.clone()),
            });
            parents.collect()
        }
        Object::BackendTlsPolicy(policy) => targeted(&policy.targets),
        Object::BackendTrafficPolicy(policy) => targeted(&policy.targets),
        Object::Addresses(addresses) => vec![Subject::Resolved(addresses.host.clone())],
    }
}

fn targeted(targets: &[PolicyTarget]) -> Vec<Subject> {
    targets.iter().map(|target| Subject::Policies(target.service.clone())).collect()
}
