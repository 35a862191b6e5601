//! The way of a snapshot to a worker: the newest wins, and waiting costs nothing.
//!
//! A slot of one snapshot (a crossbeam channel of capacity 1) and a socket pair: a byte on it says
//! "look again". The snapshot is put first and the byte sent second, so that a worker that looks
//! before it waits never misses one. What a worker is done with goes back and is freed here, so
//! that no request pays for it.

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded, unbounded};
use ringway_core::snapshot::Snapshot;

use crate::graves::Graves;

/// Discovery's end.
#[derive(Debug)]
pub struct Publisher {
    slot: Sender<Arc<Snapshot>>,
    /// Takes back what the worker has not fetched.
    stale: Receiver<Arc<Snapshot>>,
    wake: UnixStream,
    graveyard: Receiver<Arc<Snapshot>>,
}

/// The worker's end.
#[derive(Debug)]
pub struct Mailbox {
    /// Readable when there may be something to take: read (and throw away) what is in it, then
    /// call [`Mailbox::take`]. At its end, discovery has stopped. Non-blocking.
    pub wake: UnixStream,
    /// The slot and the graveyard, for when `wake` has been given to the event loop.
    pub slot: Slot,
}

/// The part of a [`Mailbox`] without the socket.
#[derive(Debug, Clone)]
pub struct Slot {
    newest: Receiver<Arc<Snapshot>>,
    graveyard: Sender<Arc<Snapshot>>,
}

/// Both ends of a new mailbox.
///
/// # Errors
/// When there is no file descriptor left for the socket pair.
pub fn pair() -> io::Result<(Publisher, Mailbox)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    let (slot, newest) = bounded(1);
    let (bury, graveyard) = unbounded();
    let publisher = Publisher { slot, stale: newest.clone(), wake: ours, graveyard };
    let mailbox = Mailbox { wake: theirs, slot: Slot { newest, graveyard: bury } };
    Ok((publisher, mailbox))
}

impl Publisher {
    /// Puts a snapshot in place of one not yet taken, and wakes the worker.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        let mut next = snapshot;
        while let Err(TrySendError::Full(back)) = self.slot.try_send(next) {
            // The worker may have been faster; then there is room now.
            drop(self.stale.try_recv());
            next = back;
        }
        // A full pipe means that a wake is pending; a closed one that the worker is gone.
        let _ = (&self.wake).write(&[1]);
    }

    /// Frees what the worker has buried, but for routes that may be in use; whether the worker is
    /// still there.
    pub fn sweep(&self, graves: &mut Graves) -> bool {
        loop {
            match self.graveyard.try_recv() {
                Ok(snapshot) => graves.bury(&snapshot),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }
}

impl Mailbox {
    /// The newest snapshot not yet taken.
    #[must_use]
    pub fn take(&self) -> Option<Arc<Snapshot>> {
        self.slot.take()
    }

    /// Gives a snapshot back, to be freed on the discovery thread.
    pub fn bury(&self, snapshot: Arc<Snapshot>) {
        self.slot.bury(snapshot);
    }

    /// The socket for the event loop, and the rest.
    #[must_use]
    pub fn split(self) -> (UnixStream, Slot) {
        (self.wake, self.slot)
    }
}

impl Slot {
    /// The newest snapshot not yet taken.
    #[must_use]
    pub fn take(&self) -> Option<Arc<Snapshot>> {
        self.newest.try_recv().ok()
    }

    /// Gives a snapshot back, to be freed on the discovery thread.
    pub fn bury(&self, snapshot: Arc<Snapshot>) {
        // Without a discovery thread it is freed here.
        drop(self.graveyard.send(snapshot));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::io::Read as _;

    use super::*;

    fn snapshot(generation: u64) -> Arc<Snapshot> {
        Arc::new(Snapshot { generation, ..Snapshot::default() })
    }

    #[test]
    fn only_the_newest_is_taken() {
        let (publisher, mailbox) = pair().unwrap();
        assert!(mailbox.take().is_none());
        for generation in 1..=1000 {
            publisher.publish(snapshot(generation));
        }
        assert_eq!(mailbox.take().unwrap().generation, 1000);
        assert!(mailbox.take().is_none());
    }

    #[test]
    fn a_wake_is_pending_after_each_publication_and_the_pipe_never_blocks() {
        let (publisher, mailbox) = pair().unwrap();
        let mut bytes = [0; 64];
        assert_eq!((&mailbox.wake).read(&mut bytes).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        for generation in 0..100_000 {
            publisher.publish(snapshot(generation));
        }
        assert!((&mailbox.wake).read(&mut bytes).unwrap() > 0);
        assert_eq!(mailbox.take().unwrap().generation, 99_999);
        drop(publisher);
        while (&mailbox.wake).read(&mut bytes).unwrap() > 0 {}
    }

    #[test]
    fn the_buried_are_freed_by_the_sweep() {
        let (publisher, mailbox) = pair().unwrap();
        publisher.publish(snapshot(1));
        let taken = mailbox.take().unwrap();
        let weak = Arc::downgrade(&taken);
        mailbox.bury(taken);
        assert!(weak.upgrade().is_some(), "not freed by the worker");
        let mut graves = Graves::default();
        assert!(publisher.sweep(&mut graves));
        assert!(weak.upgrade().is_none());
        drop(mailbox);
        assert!(!publisher.sweep(&mut graves));
    }
}
