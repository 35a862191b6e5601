//! All that the sources have said: a pure fold over their events, which also notes what they have
//! changed.

mod picture;
mod routes;
mod subject;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::event::{Event, SourceId};
use crate::object::{EndpointSlice, Kind, NamespacedName, Object, Service, ServicePort};

use picture::Picture;
pub(crate) use routes::Routes;
pub(crate) use subject::{Changes, Subject};

/// All that the sources have said. The order of events of different objects leaves no trace.
#[derive(Debug, Default, Clone)]
pub struct Index {
    pictures: BTreeMap<SourceId, Picture>,
    /// Pictures between `Init` and `InitDone`.
    staged: BTreeMap<SourceId, Picture>,
    complete: BTreeSet<SourceId>,
    changes: Changes,
}

/// A service and which source it is believed from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'i> {
    pub(crate) source: SourceId,
    pub(crate) service: &'i Service,
}

impl<'i> Known<'i> {
    /// The port of that number.
    pub(crate) fn port(&self, number: u16) -> Option<&'i ServicePort> {
        self.service.ports.iter().find(|port| port.port == number)
    }
}

impl Index {
    /// Takes one event; whether anything visible has changed by it.
    pub fn apply(&mut self, event: Event) -> bool {
        match event {
            Event::Init(source) => {
                self.staged.insert(source, Picture::default());
                false
            }
            Event::Apply(source, object) => match self.staged.get_mut(&source) {
                Some(staged) => {
                    staged.apply(object, &mut Changes::default());
                    false
                }
                None => self.pictures.entry(source).or_default().apply(object, &mut self.changes),
            },
            Event::Delete(source, kind, name) => match self.staged.get_mut(&source) {
                Some(staged) => {
                    staged.delete(kind, &name, &mut Changes::default());
                    false
                }
                None => {
                    let picture = self.pictures.entry(source).or_default();
                    picture.delete(kind, &name, &mut self.changes)
                }
            },
            Event::InitDone(source) => {
                let first = self.complete.insert(source);
                let Some(new) = self.staged.remove(&source) else { return first };
                let old = self.pictures.entry(source).or_default();
                let changed = old.differ(&new, &mut self.changes);
                if changed {
                    *old = new;
                }
                first || changed
            }
        }
    }

    /// Forgets a source that is no longer in use; whether it had anything.
    pub fn forget(&mut self, source: SourceId) -> bool {
        self.staged.remove(&source);
        self.complete.remove(&source);
        let Some(picture) = self.pictures.remove(&source) else { return false };
        picture.differ(&Picture::default(), &mut self.changes)
    }

    /// Waits for a new whole picture of a source; the old one stays until then.
    pub fn renew(&mut self, source: SourceId) {
        self.staged.remove(&source);
        self.complete.remove(&source);
    }

    /// Whether a source has shown its whole picture.
    #[must_use]
    pub fn is_complete(&self, source: SourceId) -> bool {
        self.complete.contains(&source)
    }

    /// The number of visible objects of a source.
    #[must_use]
    pub fn objects(&self, source: SourceId) -> usize {
        self.pictures.get(&source).map_or(0, Picture::len)
    }

    /// What objects of a source ask for that is accepted and not done, one line each.
    pub fn notes(&self, source: SourceId) -> impl Iterator<Item = &str> {
        self.pictures.get(&source).into_iter().flat_map(Picture::notes)
    }

    /// The DNS names that endpoints of services are known by.
    #[must_use]
    pub fn wanted_names(&self) -> BTreeSet<Arc<str>> {
        let used = self.pictures.iter().flat_map(|(source, picture)| {
            picture
                .externals()
                .filter(|(_, name)| self.service(name).is_some_and(|k| k.source == *source))
        });
        used.map(|(host, _)| host.clone()).collect()
    }

    /// What has changed since this was asked the last time.
    pub(crate) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// The service of that name, as the first source knows it.
    pub(crate) fn service(&self, name: &NamespacedName) -> Option<Known<'_>> {
        self.pictures.iter().find_map(|(source, picture)| match picture.get(Kind::Service, name) {
            Some(Object::Service(service)) => Some(Known { source: *source, service }),
            _ => None,
        })
    }

    /// The names of all services.
    pub(crate) fn services(&self) -> BTreeSet<NamespacedName> {
        let pictures = self.pictures.values();
        pictures.flat_map(|picture| picture.names(Kind::Service)).cloned().collect()
    }

    /// The cluster IPs that any source gives a service.
    pub(crate) fn claims(&self, name: &NamespacedName) -> BTreeSet<IpAddr> {
        let said = self.pictures.values().filter_map(|p| p.get(Kind::Service, name));
        said.flat_map(|object| match object {
            Object::Service(service) => service.cluster_ips.as_slice(),
            _ => &[],
        })
        .copied()
        .collect()
    }

    /// The service that has a cluster IP; where several say so, the first by name.
    pub(crate) fn owner(&self, address: IpAddr) -> Option<NamespacedName> {
        self.named(&Subject::ClusterIp(address)).into_iter().find(|name| {
            self.service(name).is_some_and(|known| known.service.cluster_ips.contains(&address))
        })
    }

    /// The names of the services that are about something, and perhaps of a few that were
    /// superseded by another source.
    pub(crate) fn named(&self, subject: &Subject) -> BTreeSet<NamespacedName> {
        let pictures = self.pictures.values();
        pictures.flat_map(|picture| picture.about(subject)).map(Object::name).collect()
    }

    /// What its source knows of the endpoints of a service.
    pub(crate) fn slices(&self, known: &Known<'_>) -> impl Iterator<Item = &EndpointSlice> {
        let picture = self.pictures.get(&known.source);
        let subject = Subject::Endpoints(known.service.name.clone());
        picture.into_iter().flat_map(move |p| p.about(&subject)).filter_map(|object| match object {
            Object::Slice(slice) => Some(slice),
            _ => None,
        })
    }

    /// Whether a policy demands TLS to the endpoints of a service's port.
    pub(crate) fn demands_tls(&self, service: &NamespacedName, port: &ServicePort) -> bool {
        let subject = Subject::Policies(service.clone());
        self.pictures.values().flat_map(|picture| picture.about(&subject)).any(
            |object| match object {
                Object::BackendTlsPolicy(policy) => {
                    policy.targets.iter().any(|target| target.covers(service, &port.name))
                }
                _ => false,
            },
        )
    }

    /// The source of an object; where several have it, the first.
    pub(crate) fn source_of(&self, kind: Kind, name: &NamespacedName) -> Option<SourceId> {
        let found = self.pictures.iter().find(|(_, picture)| picture.get(kind, name).is_some());
        found.map(|(source, _)| *source)
    }

    /// What a DNS name resolves to.
    pub(crate) fn resolved(&self, host: &Arc<str>) -> &[IpAddr] {
        let name = NamespacedName { namespace: "".into(), name: host.clone() };
        let found = self.pictures.values().find_map(|p| p.get(Kind::Addresses, &name));
        match found {
            Some(Object::Addresses(addresses)) => &addresses.addresses,
            _ => &[],
        }
    }

    /// The routes that are attached to something, in the order of their precedence.
    pub(crate) fn routes(&self, subject: &Subject) -> Routes<'_> {
        let pictures = self.pictures.values();
        Routes::new(pictures.flat_map(|picture| picture.about(subject)).filter_map(|object| {
            match object {
                Object::Route(route) => Some(route),
                _ => None,
            }
        }))
    }
}
