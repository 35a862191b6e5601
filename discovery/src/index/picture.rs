//! What one source says, whole.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::subject::{Changes, Subject, subjects};
use crate::object::{Kind, NamespacedName, Object};

type Key = (Kind, NamespacedName);

/// What one source says: objects by kind and name, and by what they are about.
#[derive(Debug, Default, Clone)]
pub(super) struct Picture {
    objects: BTreeMap<Key, Object>,
    about: BTreeSet<(Subject, Key)>,
    /// What is to be said of objects.
    notes: BTreeMap<Key, String>,
}

impl Picture {
    /// Puts an object; whether it is new or differs. What has changed is added to `changes`.
    pub(super) fn apply(&mut self, object: Object, changes: &mut Changes) -> bool {
        let key = (object.kind(), object.name());
        if self.objects.get(&key) == Some(&object) {
            return false;
        }
        self.delete(key.0, &key.1, changes);
        for subject in subjects(&object) {
            changes.insert(subject.clone());
            self.about.insert((subject, key.clone()));
        }
        if let Some(note) = object.note() {
            self.notes.insert(key.clone(), note);
        }
        self.objects.insert(key, object);
        true
    }

    /// Takes an object away; whether it was there.
    pub(super) fn delete(
        &mut self,
        kind: Kind,
        name: &NamespacedName,
        changes: &mut Changes,
    ) -> bool {
        let key = (kind, name.clone());
        let Some(object) = self.objects.remove(&key) else { return false };
        self.notes.remove(&key);
        for subject in subjects(&object) {
            let entry = (subject, key.clone());
            self.about.remove(&entry);
            changes.insert(entry.0);
        }
        true
    }

    /// Adds all that differs in `other` to `changes`; whether anything does.
    pub(super) fn differ(&self, other: &Self, changes: &mut Changes) -> bool {
        let mut any = false;
        for (one, two) in [(self, other), (other, self)] {
            for (key, object) in &one.objects {
                if two.objects.get(key) != Some(object) {
                    changes.extend(subjects(object));
                    any = true;
                }
            }
        }
        any
    }

    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    /// What is to be said of objects, one line each.
    pub(super) fn notes(&self) -> impl Iterator<Item = &str> {
        self.notes.values().map(String::as_str)
    }

    pub(super) fn get(&self, kind: Kind, name: &NamespacedName) -> Option<&Object> {
        self.objects.get(&(kind, name.clone()))
    }

    /// The names of all objects of a kind.
    pub(super) fn names(&self, kind: Kind) -> impl Iterator<Item = &NamespacedName> {
        let from = (kind, NamespacedName::new("", ""));
        self.objects
            .range(from..)
            .map(|(key, _)| key)
            .take_while(move |key| key.0 == kind)
            .map(|key| &key.1)
    }

    /// The objects that are about something.
    pub(super) fn about(&self, subject: &Subject) -> impl Iterator<Item = &Object> + use<'_> {
        let subject = subject.clone();
        let from = (subject.clone(), (Kind::FIRST, NamespacedName::new("", "")));
        let entries = self.about.range((Bound::Included(from), Bound::Unbounded));
        entries
            .take_while(move |(about, _)| *about == subject)
            .filter_map(|(_, key)| self.objects.get(key))
    }

    /// The DNS names of endpoints, and the services they belong to.
    pub(super) fn externals(&self) -> impl Iterator<Item = (&Arc<str>, &NamespacedName)> {
        let from = (Subject::External("".into()), (Kind::FIRST, NamespacedName::new("", "")));
        self.about.range(from..).map_while(|(subject, key)| match subject {
            Subject::External(host) => Some((host, &key.1)),
            _ => None,
        })
    }
}
