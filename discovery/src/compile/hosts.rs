//! The names and addresses by which clients ask for a service's port.

use std::net::IpAddr;

use ringway_core::policy::route::HostMatch;

use crate::object::NamespacedName;

/// What DNS has for a service, or, with a host name, for one of its pods. The shortest form only
/// exists for clients in its namespace.
pub(super) fn names(
    name: &NamespacedName,
    hostname: Option<&str>,
    port: u16,
    namespace: &str,
) -> Vec<HostMatch> {
    let home = &name.namespace;
    let service = hostname
        .map_or_else(|| name.name.to_string(), |hostname| format!("{hostname}.{}", name.name));
    let mut names = vec![
        format!("{service}.{home}"),
        format!("{service}.{home}.svc"),
        format!("{service}.{home}.svc.cluster.local"),
    ];
    if **home == *namespace {
        names.push(service);
    }
    let host =
        |name: String| HostMatch::Name { name: name.into(), wildcard: false, port: Some(port) };
    names.into_iter().map(host).collect()
}

/// An address as it stands in a URL.
pub(super) fn literal(address: IpAddr, port: u16) -> HostMatch {
    let name = match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    HostMatch::Name { name: name.into(), wildcard: false, port: Some(port) }
}
