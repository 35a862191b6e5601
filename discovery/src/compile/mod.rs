//! From what is known to what the workers need. What has not changed is not compiled again, and
//! shared with the snapshot before.
//!
//! ```text
//! index ─► lower (rules of a service or listener, which refer to clusters by id) ─► route tables
//!      └─► endpoints (of a service's port) ─► clusters
//! ```

mod changed;
mod clusters;
mod endpoints;
mod hosts;
mod lower;
mod protocol;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringway_config::{Kind, Listener, Scope};
use ringway_core::policy::route::{RouteTable, RouteTableBuilder};
use ringway_core::snapshot::{ListenerRoutes, Listeners, Protocol, Snapshot, Usage};
use ringway_core::time::Duration;

use crate::event::SourceId;
use crate::index::{Changes, Index, Subject};
use crate::object::NamespacedName;
use crate::settings::Settings;
use changed::{Owner, Users};
use clusters::ClusterTable;
use lower::{Fragment, Lower};

/// The snapshot of that generation. Equal indexes give snapshots that differ in nothing but the
/// ids of clusters.
#[must_use]
pub fn compile(index: &Index, settings: &Settings, generation: u64) -> Snapshot {
    Compiler::default().compile(index, &Changes::default(), settings, generation)
}

/// Compiles one snapshot after another, at the cost of what has changed.
#[derive(Debug, Default)]
pub struct Compiler {
    /// Those of the last snapshot.
    settings: Option<Settings>,
    clusters: ClusterTable,
    /// The rules by host name of each service, if any listener wants them.
    services: BTreeMap<NamespacedName, Fragment>,
    /// Those of them that something is wrong with.
    faulty: BTreeSet<NamespacedName>,
    listeners: Vec<Compiled>,
    users: Users,
    routes: Listeners,
    /// Which services are used, where that decides whether they are kept.
    usages: BTreeMap<NamespacedName, Usage>,
}

/// A listener as it was compiled last.
#[derive(Debug)]
struct Compiled {
    /// Whether its rules are those of all services.
    by_host: bool,
    /// Rules of its own.
    fragment: Fragment,
    routes: Arc<ListenerRoutes>,
}

impl Compiler {
    /// The next snapshot, of all that `index` says. To be given the same index each time.
    pub fn update(&mut self, index: &mut Index, settings: &Settings, generation: u64) -> Snapshot {
        let changes = index.take_changes();
        self.compile(index, &changes, settings, generation)
    }

    /// What is wrong with the services and routes of a source, which are used all the same: one line each.
    pub fn complaints(&self, source: SourceId) -> impl Iterator<Item = &str> {
        let fragments = self.faulty.iter().filter_map(|name| self.services.get(name));
        let fragments = fragments.chain(self.listeners.iter().map(|known| &known.fragment));
        let fragments = fragments.filter(move |fragment| fragment.source == Some(source));
        fragments.flat_map(|fragment| &fragment.complaints).map(String::as_str)
    }

    /// The services that were used since this was asked the last time.
    pub(crate) fn take_used(&self) -> Vec<NamespacedName> {
        let used = self.usages.iter().filter(|(_, usage)| usage.take());
        used.map(|(name, _)| name.clone()).collect()
    }

    fn compile(
        &mut self,
        index: &Index,
        changes: &Changes,
        settings: &Settings,
        generation: u64,
    ) -> Snapshot {
        let anew = self.settings.as_ref() != Some(settings);
        if anew {
            self.settings = Some(settings.clone());
            self.clusters.touch_all();
        }
        // `None`: whatever there is has to be made anew. What comes out the same is shared even so.
        let changes = (!anew).then_some(changes);
        let by_host = self.plan(index, settings, changes);
        let services_changed = self.lower_services(index, settings, changes, &by_host);
        self.lower_listeners(index, settings, changes, &by_host, services_changed);
        let Some(changes) = changes else {
            return self.snapshot(index, settings, generation);
        };
        for name in changed::clusters(index, changes) {
            self.clusters.touch(&name);
        }
        self.snapshot(index, settings, generation)
    }

    fn snapshot(&mut self, index: &Index, settings: &Settings, generation: u64) -> Snapshot {
        let clusters = self.clusters.refresh(index, settings);
        Snapshot {
            generation,
            listeners: Arc::clone(&self.routes),
            clusters,
            ..Snapshot::default()
        }
    }

    /// Whether each listener has the rules of all services: those with an outbound view, and
    /// gateways that are told nothing else.
    fn plan(&self, index: &Index, settings: &Settings, changes: Option<&Changes>) -> Vec<bool> {
        if changes.is_some_and(|changes| !changes.contains(&Subject::Gateways)) {
            return self.listeners.iter().map(|known| known.by_host).collect();
        }
        let routes = index.routes(&Subject::Gateways);
        let by_host = |listener: &Listener| match listener.kind {
            Kind::Outbound => true,
            Kind::Inbound => false,
            Kind::Gateway => {
                listener.service.is_none()
                    && settings.services.len() != 1
                    && routes.of_gateway(&listener.name, listener.address.port()).is_empty()
            }
        };
        settings.listeners.iter().map(by_host).collect()
    }

    /// Brings the rules of services up to date; whether any has changed.
    fn lower_services(
        &mut self,
        index: &Index,
        settings: &Settings,
        changes: Option<&Changes>,
        by_host: &[bool],
    ) -> bool {
        let wanted = by_host.contains(&true);
        let had = self.listeners.iter().any(|listener| listener.by_host);
        let dirty = match changes {
            Some(changes) if had && wanted => self.users.services(index, changes),
            _ => {
                let mut all = if wanted { index.services() } else { BTreeSet::new() };
                all.extend(self.services.keys().cloned());
                all
            }
        };
        let mut changed = false;
        for name in dirty {
            let known = wanted.then(|| index.service(&name)).flatten();
            let usage = self.usage(&name, known.is_some() && patience(settings).is_some());
            let new = known.map(|known| {
                let mut lower = Lower::new(index, settings, &mut self.clusters, Some(&name));
                lower.service(known, usage);
                lower.finish()
            });
            if new.as_ref() != self.services.get(&name) {
                changed = true;
                self.install(&Owner::Service(name), new);
            }
        }
        changed
    }

    /// Where it is noted that a service is used, if that is to be noted.
    fn usage(&mut self, name: &NamespacedName, noted: bool) -> Option<Usage> {
        if noted {
            return Some(self.usages.entry(name.clone()).or_default().clone());
        }
        self.usages.remove(name);
        None
    }

    /// Brings the listeners up to date.
    fn lower_listeners(
        &mut self,
        index: &Index,
        settings: &Settings,
        changes: Option<&Changes>,
        by_host: &[bool],
        services_changed: bool,
    ) {
        let mut any = changes.is_none();
        for (number, (listener, &by_host)) in settings.listeners.iter().zip(by_host).enumerate() {
            let known = self.listeners.get(number).filter(|known| known.by_host == by_host);
            let services_changed = by_host && services_changed;
            let stale = services_changed
                || changes.is_none_or(|changes| self.users.concerns(listener, number, changes));
            if !stale && known.is_some() {
                continue;
            }
            let mut lower = Lower::new(index, settings, &mut self.clusters, None);
            let (protocol, opaque) =
                if by_host { (Protocol::Http, None) } else { lower.listener(listener) };
            let fragment = lower.finish();
            let same = known.is_some_and(|known| {
                known.fragment == fragment
                    && *known.routes.name == *listener.name
                    && known.routes.protocol == protocol
                    && known.routes.opaque == opaque
                    && known.routes.on_demand == patience(settings).filter(|_| by_host)
            });
            if same && !services_changed {
                continue;
            }
            any = true;
            let table = self.table(by_host, &fragment);
            let (name, names) = (listener.name.as_str().into(), fragment.names());
            let on_demand = patience(settings).filter(|_| by_host);
            let routes =
                Arc::new(ListenerRoutes { name, table, protocol, names, opaque, on_demand });
            match self.listeners.get_mut(number) {
                Some(known) => (known.by_host, known.routes) = (by_host, routes),
                None => {
                    self.listeners.push(Compiled {
                        by_host,
                        fragment: Fragment::default(),
                        routes,
                    });
                }
            }
            self.install(&Owner::Listener(number), Some(fragment));
        }
        while self.listeners.len() > settings.listeners.len() {
            self.install(&Owner::Listener(self.listeners.len() - 1), None);
            self.listeners.pop();
        }
        if any {
            self.routes = self.listeners.iter().map(|known| Arc::clone(&known.routes)).collect();
        }
    }

    /// The routes of all services, or a listener's own.
    fn table(&self, by_host: bool, own: &Fragment) -> RouteTable {
        let mut table = RouteTableBuilder::new();
        if by_host {
            self.services.values().for_each(|fragment| fragment.add_to(&mut table));
        } else {
            own.add_to(&mut table);
        }
        table.build()
    }

    /// Puts rules in the place of their owner's earlier ones, and counts who refers to what.
    fn install(&mut self, owner: &Owner, new: Option<Fragment>) {
        let there = new.is_some();
        let new = new.unwrap_or_default();
        // Before the old ones are released, so that what both refer to is kept.
        self.clusters.hold(&new.clusters);
        let uses = new.uses.clone();
        let old = match owner {
            Owner::Service(name) => {
                if new.complaints.is_empty() {
                    self.faulty.remove(name);
                } else {
                    self.faulty.insert(name.clone());
                }
                if there {
                    self.services.insert(name.clone(), new)
                } else {
                    self.services.remove(name)
                }
            }
            Owner::Listener(number) => {
                let known = self.listeners.get_mut(*number);
                known.map(|known| std::mem::replace(&mut known.fragment, new))
            }
        };
        let old = old.unwrap_or_default();
        self.clusters.release(&old.clusters);
        self.users.replace(owner, &old.uses, &uses);
    }
}

/// How long requests wait for services to be looked up, where they are.
fn patience(settings: &Settings) -> Option<Duration> {
    let kubernetes = settings.discovery.kubernetes.as_ref();
    kubernetes.filter(|k| k.scope == Scope::OnDemand).map(|k| k.lookup_timeout)
}
