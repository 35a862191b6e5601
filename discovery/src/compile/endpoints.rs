//! The endpoints of a service's port, from its slices and from what its DNS names resolve to.
//!
//! In this order, as in kube-proxy where it has a rule: ports by name; `internalTrafficPolicy`;
//! readiness; topology hints; one address family for each pod.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use ringway_config::Discovery;
use ringway_core::snapshot::Endpoint;

use crate::index::{Index, Known};
use crate::object::{self, Hints, ServicePort};

/// An endpoint of a slice, and one of the slice's ports.
type Candidate<'i> = (SocketAddr, &'i object::Endpoint);

/// What has no name.
static NAMELESS: LazyLock<Arc<str>> = LazyLock::new(|| "".into());

/// The endpoints of a port, sorted by address, none twice; with `hostname`, those of that pod.
pub(super) fn endpoints(
    index: &Index,
    known: Known<'_>,
    port: &ServicePort,
    hostname: Option<&Arc<str>>,
    here: &Discovery,
) -> Vec<Endpoint> {
    let mut found: Vec<Candidate<'_>> = sliced(index, &known, port).collect();
    if let Some(hostname) = hostname {
        found.retain(|(_, endpoint)| endpoint.hostname.as_ref() == Some(hostname));
    }
    if known.service.local
        && let Some(node) = &here.node
    {
        found.retain(|(_, endpoint)| endpoint.node.as_deref() == Some(node));
    }
    let mut found = usable(found);
    follow_hints(&mut found, here);
    drop_twins(&mut found, &known);
    let mut endpoints: Vec<_> = found
        .into_iter()
        .map(|(address, e)| Endpoint {
            address,
            weight: e.weight,
            name: name(e),
            meshed: e.meshed || known.service.meshed,
        })
        .collect();
    endpoints.extend(resolved(index, known, port));
    unique(endpoints)
}

/// The host names of a service's pods.
pub(super) fn hostnames<'i>(index: &'i Index, known: &Known<'_>) -> BTreeSet<&'i Arc<str>> {
    index
        .slices(known)
        .flat_map(|slice| &slice.endpoints)
        .filter_map(|e| e.hostname.as_ref())
        .collect()
}

/// What the slices of the service say about the port, matched by name: each slice may have
/// another number for it.
fn sliced<'i>(
    index: &'i Index,
    known: &Known<'_>,
    port: &ServicePort,
) -> impl Iterator<Item = Candidate<'i>> {
    index.slices(known).flat_map(move |slice| {
        let ports = slice.ports.iter().filter(|p| p.name == port.name);
        ports.flat_map(|p| {
            slice.endpoints.iter().map(move |e| (SocketAddr::new(e.address, p.port), e))
        })
    })
}

/// Those that are ready, or else those that still serve while they terminate.
fn usable(mut found: Vec<Candidate<'_>>) -> Vec<Candidate<'_>> {
    if found.iter().any(|(_, endpoint)| endpoint.ready) {
        found.retain(|(_, endpoint)| endpoint.ready);
    } else {
        found.retain(|(_, endpoint)| endpoint.serving && endpoint.terminating);
    }
    found
}

/// Those that are meant for clients on this node, or else in this zone.
fn follow_hints(found: &mut Vec<Candidate<'_>>, here: &Discovery) {
    // The last resort is for everybody.
    if found.iter().all(|(_, endpoint)| endpoint.ready) {
        let on_node = here.node.as_ref().is_some_and(|node| narrow(found, node, |h| &h.nodes));
        if let Some(zone) = &here.zone
            && !on_node
        {
            narrow(found, zone, |hints| &hints.zones);
        }
    }
}

/// Leaves those that are meant for a place; whether there are any, and every endpoint is meant for
/// some place. Otherwise hints do not count, as too few would get all the traffic.
fn narrow(
    found: &mut Vec<Candidate<'_>>,
    place: &str,
    list: impl Fn(&Hints) -> &[Arc<str>],
) -> bool {
    let of = |endpoint: &object::Endpoint, is: &dyn Fn(&[Arc<str>]) -> bool| {
        endpoint.hints.as_deref().is_some_and(|hints| is(list(hints)))
    };
    let ours = |(_, endpoint): &Candidate<'_>| of(endpoint, &|l| l.iter().any(|p| **p == *place));
    let hinted = |(_, endpoint): &Candidate<'_>| of(endpoint, &|l| !l.is_empty());
    let counts = found.iter().all(hinted) && found.iter().any(ours);
    if counts {
        found.retain(ours);
    }
    counts
}

/// Of a pod with addresses of both families keeps that of the service's first family, or IPv4.
fn drop_twins(found: &mut Vec<Candidate<'_>>, known: &Known<'_>) {
    let first_v4 = known.service.cluster_ips.first().is_none_or(IpAddr::is_ipv4);
    let of_first = |address: &SocketAddr| address.is_ipv4() == first_v4;
    if found.iter().all(|(address, _)| of_first(address)) {
        return;
    }
    let pods: BTreeSet<Arc<str>> = found
        .iter()
        .filter(|(address, _)| of_first(address))
        .filter_map(|(_, endpoint)| endpoint.target.clone())
        .collect();
    found.retain(|(address, endpoint)| {
        of_first(address) || endpoint.target.as_ref().is_none_or(|pod| !pods.contains(pod))
    });
}

fn name(endpoint: &object::Endpoint) -> Arc<str> {
    let name = endpoint.target.as_ref().or(endpoint.hostname.as_ref());
    name.unwrap_or(&NAMELESS).clone()
}

/// What the DNS names of the service resolve to.
fn resolved<'i>(
    index: &'i Index,
    known: Known<'i>,
    port: &ServicePort,
) -> impl Iterator<Item = Endpoint> {
    known.service.externals.iter().flat_map(move |external| {
        let number = external.port.or(port.target).unwrap_or(port.port);
        index.resolved(&external.host).iter().map(move |&address| Endpoint {
            address: SocketAddr::new(address, number),
            weight: external.weight,
            name: external.host.clone(),
            meshed: known.service.meshed,
        })
    })
}

/// Sorted by address. Of two with one address the first by name stays, whoever came first.
fn unique(mut endpoints: Vec<Endpoint>) -> Vec<Endpoint> {
    // Quick, because slices tend to be in order already.
    endpoints.sort_by(|a, b| (a.address, &a.name, a.weight).cmp(&(b.address, &b.name, b.weight)));
    endpoints.dedup_by_key(|endpoint| endpoint.address);
    endpoints
}
