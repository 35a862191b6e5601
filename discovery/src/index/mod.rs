//! All that the sources have said: a pure fold over their events.

mod picture;
mod routes;
mod services;
mod slices;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::event::{Event, SourceId};

use picture::Picture;
pub(crate) use routes::Routes;
pub(crate) use services::{Known, Services};
pub(crate) use slices::Endpoints;

/// All that the sources have said. The order of events of different objects leaves no trace.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Index {
    pictures: BTreeMap<SourceId, Picture>,
    /// Pictures between `Init` and `InitDone`.
    staged: BTreeMap<SourceId, Picture>,
    complete: BTreeSet<SourceId>,
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
                    staged.apply(object);
                    false
                }
                None => self.pictures.entry(source).or_default().apply(object),
            },
            Event::Delete(source, kind, name) => match self.staged.get_mut(&source) {
                Some(staged) => {
                    staged.delete(kind, &name);
                    false
                }
                None => self.pictures.entry(source).or_default().delete(kind, &name),
            },
            Event::InitDone(source) => {
                let first = self.complete.insert(source);
                let Some(new) = self.staged.remove(&source) else { return first };
                let old = self.pictures.insert(source, new);
                first || old.as_ref() != self.pictures.get(&source)
            }
        }
    }

    /// Forgets a source that is no longer in use; whether it had anything.
    pub fn forget(&mut self, source: SourceId) -> bool {
        self.staged.remove(&source);
        self.complete.remove(&source);
        self.pictures.remove(&source).is_some_and(|picture| picture.len() > 0)
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

    /// The DNS names that endpoints of services are known by.
    #[must_use]
    pub fn wanted_names(&self) -> BTreeSet<Arc<str>> {
        let services = self.services();
        let externals = services.iter().flat_map(|known| &known.service.externals);
        externals.map(|external| external.host.clone()).collect()
    }

    /// The services, each as the first source knows it.
    pub(crate) fn services(&self) -> Services<'_> {
        let pictures = self.pictures.iter();
        Services::new(pictures.map(|(source, picture)| (*source, picture.services())))
    }

    /// The endpoints of services.
    pub(crate) fn endpoints(&self) -> Endpoints<'_> {
        let slices = self.pictures.iter().map(|(source, picture)| (*source, picture.slices()));
        Endpoints::new(slices, self.pictures.values().flat_map(Picture::addresses))
    }

    /// The routes in the order of their precedence.
    pub(crate) fn routes(&self) -> Routes<'_> {
        Routes::new(self.pictures.values().flat_map(Picture::routes))
    }
}
