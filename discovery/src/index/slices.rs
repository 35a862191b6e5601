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
        let mut ready = BTreeMap::new();
        let mut last_resort = BTreeMap::new();
        for (address, endpoint) in self.sliced(known, port) {
            let into = if endpoint.ready {
                &mut ready
            } else if endpoint.serving && endpoint.terminating {
                &mut last_resort
            } else {
                continue;
            };
            let new = Endpoint { address, weight: endpoint.weight, name: endpoint.name.clone() };
            add(into, new);
        }
        self.resolved(known, port, &mut ready);
        let chosen = if ready.is_empty() { last_resort } else { ready };
        chosen.into_values().collect()
    }

    /// What the slices of the service say about the port, matched by name.
    fn sliced(
        &self,
        known: Known<'_>,
        port: &ServicePort,
    ) -> impl Iterator<Item = (SocketAddr, &'i object::Endpoint)> {
        let name = &known.service.name;
        let key = (known.source, &*name.namespace, &*name.name);
        let slices = self.slices.get(&key).map_or(&[][..], Vec::as_slice);
        let mut found = Vec::new();
        for slice in slices {
            for slice_port in slice.ports.iter().filter(|p| p.name == port.name) {
                let address =
                    |e: &'i object::Endpoint| (SocketAddr::new(e.address, slice_port.port), e);
                found.extend(slice.endpoints.iter().map(address));
            }
        }
        found.into_iter()
    }

    /// What the DNS names of the service resolve to.
    fn resolved(
        &self,
        known: Known<'_>,
        port: &ServicePort,
        into: &mut BTreeMap<SocketAddr, Endpoint>,
    ) {
        for external in &known.service.externals {
            let number = external.port.or(port.target).unwrap_or(port.port);
            let addresses = self.addresses.get(&*external.host).copied().unwrap_or_default();
            for address in addresses {
                let address = SocketAddr::new(*address, number);
                add(
                    into,
                    Endpoint { address, weight: external.weight, name: external.host.clone() },
                );
            }
        }
    }
}

/// Adds an endpoint. Of two with one address the first by name stays, whoever came first.
fn add(into: &mut BTreeMap<SocketAddr, Endpoint>, new: Endpoint) {
    let kept = into.entry(new.address).or_insert_with(|| new.clone());
    if (&new.name, new.weight) < (&kept.name, kept.weight) {
        *kept = new;
    }
}
