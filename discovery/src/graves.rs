//! Old snapshots, freed here, so that no request pays for it.

use std::sync::Arc;

use ringway_core::snapshot::{Listeners, Snapshot};

/// The routes of old snapshots that exchanges may still be on.
#[derive(Debug, Default)]
pub struct Graves(Vec<Listeners>);

impl Graves {
    /// Takes an old snapshot that a worker is done with. Its clusters are of no use to anybody;
    /// its routes may be, for as long as an exchange that was opened on them lives.
    pub(crate) fn bury(&mut self, snapshot: &Arc<Snapshot>) {
        if !self.0.iter().any(|known| Arc::ptr_eq(known, &snapshot.listeners)) {
            self.0.push(Arc::clone(&snapshot.listeners));
        }
    }

    /// Frees what nobody uses any more, `present` being in use; whether anything is left.
    pub(crate) fn free(&mut self, present: &Listeners) -> bool {
        self.0.retain(|old| !Arc::ptr_eq(old, present) && Arc::strong_count(old) > 1);
        !self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_stay_until_their_last_exchange_has_ended() {
        let (mut graves, present) = (Graves::default(), Listeners::default());
        let old = Arc::new(Snapshot { listeners: Arc::new([]), ..Snapshot::default() });
        let exchange = Arc::clone(&old.listeners);
        let weak = Arc::downgrade(&old.listeners);
        // Both workers give the same snapshot back.
        graves.bury(&old);
        graves.bury(&old);
        drop(old);
        assert!(graves.free(&present));
        drop(exchange);
        assert!(weak.upgrade().is_some(), "not freed by the worker");
        assert!(!graves.free(&present));
        assert!(weak.upgrade().is_none());
    }

    #[test]
    fn routes_that_the_present_snapshot_shares_are_not_kept_track_of() {
        let mut graves = Graves::default();
        let old = Arc::new(Snapshot::default());
        graves.bury(&old);
        assert!(!graves.free(&old.listeners));
    }
}
