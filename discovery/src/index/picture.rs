//! What one source says, whole.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::object::{Addresses, EndpointSlice, Kind, NamespacedName, Object, Route, Service};

/// What one source says: objects by kind and name.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Picture(BTreeMap<(Kind, NamespacedName), Object>);

impl Picture {
    /// Puts an object; whether it is new or differs.
    pub(super) fn apply(&mut self, object: Object) -> bool {
        match self.0.entry((object.kind(), object.name())) {
            Entry::Occupied(known) if *known.get() == object => false,
            Entry::Occupied(mut known) => {
                known.insert(object);
                true
            }
            Entry::Vacant(free) => {
                free.insert(object);
                true
            }
        }
    }

    /// Takes an object away; whether it was there.
    pub(super) fn delete(&mut self, kind: Kind, name: &NamespacedName) -> bool {
        self.0.remove(&(kind, name.clone())).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &Service> {
        self.0.values().filter_map(|object| match object {
            Object::Service(service) => Some(service),
            _ => None,
        })
    }

    pub(super) fn slices(&self) -> impl Iterator<Item = &EndpointSlice> {
        self.0.values().filter_map(|object| match object {
            Object::Slice(slice) => Some(slice),
            _ => None,
        })
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.0.values().filter_map(|object| match object {
            Object::Route(route) => Some(route),
            _ => None,
        })
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = &Addresses> {
        self.0.values().filter_map(|object| match object {
            Object::Addresses(addresses) => Some(addresses),
            _ => None,
        })
    }
}
