//! What a source says: the same events whatever it watches.

use std::fmt;

use crate::object::{Kind, NamespacedName, Object};

/// Where an object comes from. When two sources know an object of the same kind and name, the
/// first in this order is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceId {
    /// `services:` of the configuration.
    Fixed,
    /// The directory of manifests.
    Files,
    /// The Kubernetes API server.
    Kubernetes,
    /// DNS.
    Names,
}

impl SourceId {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fixed, Self::Files, Self::Kubernetes, Self::Names];

    /// Its name for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "services",
            Self::Files => "manifests",
            Self::Kubernetes => "kubernetes",
            Self::Names => "dns",
        }
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One change of one source.
///
/// `Init`, any number of `Apply`, `InitDone` is a whole picture: nothing of it is visible before
/// `InitDone`, and then it replaces all that the source had said before. A source may start
/// anew at any time.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A whole picture begins.
    Init(SourceId),
    /// The object exists and looks like this.
    Apply(SourceId, Object),
    /// The object is gone.
    Delete(SourceId, Kind, NamespacedName),
    /// The picture is whole.
    InitDone(SourceId),
}
