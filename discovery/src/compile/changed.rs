//! From what has changed in the index to the rules and clusters that may come out differently.

use std::collections::{BTreeMap, BTreeSet};

use ringway_config::{Kind, Listener};

use crate::index::{Changes, Index, Subject};
use crate::object::{NamespacedName, ServiceKind};

/// Whose rules they are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    Service(NamespacedName),
    Listener(usize),
}

/// Whose rules refer to a service that is not their own.
#[derive(Debug, Default)]
pub(super) struct Users(BTreeMap<NamespacedName, BTreeSet<Owner>>);

impl Users {
    /// The rules of `owner` refer to these services now, and did to those.
    pub(super) fn replace(
        &mut self,
        owner: &Owner,
        old: &[NamespacedName],
        new: &[NamespacedName],
    ) {
        for name in new {
            self.0.entry(name.clone()).or_default().insert(owner.clone());
        }
        for name in old.iter().filter(|name| !new.contains(name)) {
            if let Some(users) = self.0.get_mut(name) {
                users.remove(owner);
                if users.is_empty() {
                    self.0.remove(name);
                }
            }
        }
    }

    /// The services whose own rules may have changed.
    pub(super) fn services(&self, index: &Index, changes: &Changes) -> BTreeSet<NamespacedName> {
        let mut changed = BTreeSet::new();
        for change in changes {
            match change {
                Subject::Service(name) => {
                    changed.insert(name.clone());
                    // Another source may be believed now, which gives it other addresses.
                    for address in index.claims(name) {
                        changed.extend(index.named(&Subject::ClusterIp(address)));
                    }
                    let users = self.0.get(name).into_iter().flatten();
                    changed.extend(users.filter_map(|owner| match owner {
                        Owner::Service(name) => Some(name.clone()),
                        Owner::Listener(_) => None,
                    }));
                }
                Subject::Routes(name) => {
                    changed.insert(name.clone());
                }
                Subject::ClusterIp(_) => changed.extend(index.named(change)),
                // Its pods may have come or gone by name.
                Subject::Endpoints(name) if is_headless(index, name) => {
                    changed.insert(name.clone());
                }
                _ => {}
            }
        }
        changed
    }

    /// Whether the own rules of a listener, the one of that number, may have changed.
    pub(super) fn concerns(&self, listener: &Listener, number: usize, changes: &Changes) -> bool {
        changes.iter().any(|change| match change {
            Subject::Gateways => listener.kind == Kind::Gateway,
            Subject::Service(name) => {
                self.0.get(name).is_some_and(|users| users.contains(&Owner::Listener(number)))
            }
            _ => false,
        })
    }
}

/// The services of which a cluster may have changed.
pub(super) fn clusters(index: &Index, changes: &Changes) -> BTreeSet<NamespacedName> {
    let mut changed = BTreeSet::new();
    for change in changes {
        match change {
            Subject::Service(name) | Subject::Endpoints(name) | Subject::Policies(name) => {
                changed.insert(name.clone());
            }
            Subject::Resolved(host) => {
                changed.extend(index.named(&Subject::External(host.clone())));
            }
            _ => {}
        }
    }
    changed
}

fn is_headless(index: &Index, name: &NamespacedName) -> bool {
    index.service(name).is_some_and(|known| known.service.kind == ServiceKind::Headless)
}
