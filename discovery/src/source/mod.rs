//! The sources. Each is a module that turns what it watches into [`crate::event::Event`]s and
//! into complaints.

pub(crate) mod files;
pub(crate) mod fixed;
pub(crate) mod kubernetes;
pub(crate) mod names;
pub(crate) mod resolve;
pub(crate) mod scan;

use tokio::sync::mpsc::UnboundedSender;

use crate::demand::Heard;
use crate::event::{Event, SourceId};

/// What a source tells the thread.
#[derive(Debug)]
pub(crate) enum Told {
    /// Changes, between which nothing is published.
    Events(Vec<Event>),
    /// What was found about what is wanted on demand.
    Heard(Heard),
    /// All that is wrong with the source now, one line each; empty when all is well.
    Errors(SourceId, Vec<String>),
}

/// Where sources tell it.
pub(crate) type Tell = UnboundedSender<Told>;

/// Tells it; the thread is gone only when the source is about to be, too.
pub(crate) fn tell(to: &Tell, told: Told) {
    let _ = to.send(told);
}
