//! What one watch knows of its objects, and what a new list of them changes: no object is gone
//! before the list has ended, and what is not right keeps its last good state.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Event, SourceId};
use crate::manifest::Item;
use crate::object::{Kind, NamespacedName};

const SOURCE: SourceId = SourceId::Kubernetes;
/// So many reasons are kept for people.
const MOST_UNREAD: usize = 8;

/// The objects of one watch.
#[derive(Debug)]
pub(crate) struct Known {
    kind: Kind,
    /// Those that have been told to the index.
    told: BTreeSet<NamespacedName>,
    /// What is wrong with objects that are not right.
    faults: BTreeMap<NamespacedName, String>,
    /// Why parts of the last list could not be read.
    unread: Vec<String>,
    listing: Option<Listing>,
}

/// A list that has begun.
#[derive(Debug, Default)]
struct Listing {
    events: Vec<Event>,
    told: BTreeSet<NamespacedName>,
    faults: BTreeMap<NamespacedName, String>,
    /// Why objects could not be read so far as to know their name: any missing one may be among
    /// them.
    unread: Vec<String>,
}

impl Known {
    pub(crate) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            told: BTreeSet::new(),
            faults: BTreeMap::new(),
            unread: Vec::new(),
            listing: None,
        }
    }

    /// A list begins. One that has not ended is forgotten.
    pub(crate) fn begin(&mut self) {
        self.listing = Some(Listing::default());
    }

    /// An object exists and looks like this.
    pub(crate) fn put(&mut self, item: Item) -> Option<Event> {
        let Item { name, object, .. } = item;
        if let Some(listing) = &mut self.listing {
            match object {
                Ok(object) => {
                    if let Some(object) = object {
                        listing.events.push(Event::Apply(SOURCE, object));
                        listing.told.insert(name);
                    }
                }
                Err(why) => {
                    if self.told.contains(&name) {
                        listing.told.insert(name.clone());
                    }
                    self.complain(&name, &why);
                    if let Some(listing) = &mut self.listing {
                        listing.faults.insert(name, why);
                    }
                }
            }
            return None;
        }
        match object {
            Ok(Some(object)) => {
                self.faults.remove(&name);
                self.told.insert(name);
                Some(Event::Apply(SOURCE, object))
            }
            // It is right, but says nothing that is used, any more.
            Ok(None) => self.gone(&name),
            Err(why) => {
                self.complain(&name, &why);
                self.faults.insert(name, why);
                None
            }
        }
    }

    /// An object is gone.
    pub(crate) fn gone(&mut self, name: &NamespacedName) -> Option<Event> {
        self.faults.remove(name);
        let was = self.told.remove(name);
        was.then(|| Event::Delete(SOURCE, self.kind, name.clone()))
    }

    /// Part of the list could not be read.
    pub(crate) fn unread(&mut self, why: &str) {
        let kind = self.kind.as_str();
        tracing::warn!("{kind}: an object cannot be read: {why}; nothing is taken away meanwhile");
        if let Some(listing) = &mut self.listing
            && listing.unread.len() < MOST_UNREAD
        {
            listing.unread.push(why.to_owned());
        }
    }

    /// Whether a list has begun and not ended.
    pub(crate) const fn is_listing(&self) -> bool {
        self.listing.is_some()
    }

    /// The list has ended: all that it changes, at once.
    pub(crate) fn end(&mut self) -> Vec<Event> {
        let Some(mut listing) = self.listing.take() else { return Vec::new() };
        let missing = self.told.difference(&listing.told);
        if listing.unread.is_empty() {
            let gone = |name: &NamespacedName| Event::Delete(SOURCE, self.kind, name.clone());
            listing.events.extend(missing.map(gone));
        } else {
            listing.told.extend(missing.cloned().collect::<Vec<_>>());
        }
        self.told = listing.told;
        self.faults = listing.faults;
        self.unread = listing.unread;
        listing.events
    }

    /// The kind is no longer there: all of its objects are gone.
    pub(crate) fn clear(&mut self) -> Vec<Event> {
        self.begin();
        self.end()
    }

    /// The first by name.
    pub(crate) fn first(&self) -> Option<&NamespacedName> {
        self.told.first()
    }

    pub(crate) fn len(&self) -> usize {
        self.told.len()
    }

    /// What is wrong with objects, one line each.
    pub(crate) fn faults(&self) -> Vec<String> {
        let unread = self
            .unread
            .iter()
            .map(|why| format!("{}: an object cannot be read: {why}", self.kind.as_str()));
        self.faults.iter().map(|(name, why)| self.line(name, why)).chain(unread).collect()
    }

    fn line(&self, name: &NamespacedName, why: &str) -> String {
        format!("{} {name}: {why}", self.kind.as_str())
    }

    /// Says it once for each state of an object.
    fn complain(&self, name: &NamespacedName, why: &str) {
        if self.faults.get(name).is_some_and(|known| known == why) {
            return;
        }
        let line = self.line(name, why);
        if self.told.contains(name) {
            tracing::warn!("{line}; its last good state stays");
        } else {
            tracing::warn!("{line}; it is not used");
        }
    }
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
