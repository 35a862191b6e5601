//! The endpoints of a service's port: the union of its slices, and what its DNS names resolve to.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ringway_core::snapshot::Endpoint;

use super::Known;
use crate::event::SourceId;
use crate::object::{self, Addresses, EndpointSlice, ServicePort};

/// The slices by service, and the addresses of DNS names.
#[derive(Debug)]
pub(crate) struct Endpoints<'i> {
    slices: BTreeMap<(SourceId, &'i str, &'i str), Vec<&'i EndpointSlice>>,
    addresses: BTreeMap<&'i str, &'i [IpAddr]>,
}

impl<'i> Endpoints<'i> {
    pub(super) fn new<S: Iterator<Item = &'i EndpointSlice>>(
        sources: impl Iterator<Item = (SourceId, S)>,
        addresses: impl Iterator<Item = &'i Addresses>,
    ) -> Self {
        let mut slices: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (source, said) in sources {
            for slice in said {
                let key = (source, &*slice.name.namespace, &*slice.service);
                slices.entry(key).or_default().push(slice);
            }
        }
        Self { slices, addresses: addresses.map(|a| (&*a.host, &*a.addresses)).collect() }
    }

    /// The endpoints of a port: those that are ready, or else those that still serve while they
    /// terminate (as kube-proxy does). Sorted by address, none twice.
    pub(crate) fn of(&self, known: Known<'_>, port: &ServicePort) -> Vec<Endpoint> {
        let mut ready = Vec::new();
        let mut last_resort = Vec::new();
        for (address, endpoint) in self.sliced(known, port) {
            let into = if endpoint.ready {
                &mut ready
            } else if endpoint.serving && endpoint.terminating {
                &mut last_resort
            } else {
                continue;
            };
            into.push(Endpoint {
                address,
                weight: endpoint.weight,
                name: endpoint.name.clone(),
                meshed: endpoint.meshed || known.service.meshed,
            });
        }
        ready.extend(self.resolved(known, port));
        unique(if ready.is_empty() { last_resort } else { ready })
    }

    /// What the slices of the service say about the port, matched by name.
    fn sliced<'s>(
        &'s self,
        known: Known<'s>,
        port: &'s ServicePort,
    ) -> impl Iterator<Item = (SocketAddr, &'i object::Endpoint)> + use<'s, 'i> {
        let name = &known.service.name;
        let key = (known.source, &*name.namespace, &*name.name);
        let slices = self.slices.get(&key).map_or(&[][..], Vec::as_slice);
        slices.iter().flat_map(|slice| {
            let ports = slice.ports.iter().filter(|p| p.name == port.name);
            ports.flat_map(|p| {
                slice.endpoints.iter().map(move |e| (SocketAddr::new(e.address, p.port), e))
            })
        })
    }

    /// What the DNS names of the service resolve to.
    fn resolved<'s>(
        &'s self,
        known: Known<'s>,
        port: &'s ServicePort,
    ) -> impl Iterator<Item = Endpoint> + use<'s, 'i> {
        known.service.externals.iter().flat_map(move |external| {
            let number = external.port.or(port.target).unwrap_or(port.port);
            let addresses = self.addresses.get(&*external.host).copied().unwrap_or_default();
            addresses.iter().map(move |&address| Endpoint {
                address: SocketAddr::new(address, number),
                weight: external.weight,
                name: external.host.clone(),
                meshed: known.service.meshed,
            })
        })
    }
}

/// Sorted by address. Of two with one address the first by name stays, whoever came first.
fn unique(mut endpoints: Vec<Endpoint>) -> Vec<Endpoint> {
    // Quick, because slices tend to be in order already.
    endpoints.sort_by(|a, b| (a.address, &a.name, a.weight).cmp(&(b.address, &b.name, b.weight)));
    endpoints.dedup_by_key(|endpoint| endpoint.address);
    endpoints
}
