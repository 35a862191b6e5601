//! Services as compiling sees them: one for each name, and which source it is believed from.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::event::SourceId;
use crate::object::{NamespacedName, Service, ServicePort};

/// A service and where it is from.
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

/// All services by name.
#[derive(Debug)]
pub(crate) struct Services<'i>(BTreeMap<&'i NamespacedName, Known<'i>>);

impl<'i> Services<'i> {
    /// From what the sources say, the most believed source first.
    pub(super) fn new<S: Iterator<Item = &'i Service>>(
        sources: impl Iterator<Item = (SourceId, S)>,
    ) -> Self {
        let mut services = BTreeMap::new();
        for (source, said) in sources {
            for service in said {
                if let Entry::Vacant(free) = services.entry(&service.name) {
                    free.insert(Known { source, service });
                }
            }
        }
        Self(services)
    }

    /// The service of that name.
    pub(crate) fn get(&self, name: &NamespacedName) -> Option<Known<'i>> {
        self.0.get(name).copied()
    }

    /// All of them, by namespace and name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Known<'i>> + '_ {
        self.0.values().copied()
    }
}
