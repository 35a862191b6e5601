//! The way of a question from a worker to discovery: bounded, never waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::{Receiver, Sender, channel};

/// So many questions may be on their way.
const ROOM: usize = 256;

/// By which workers ask for hosts that they do not know. Clones are the same way.
#[derive(Debug, Clone)]
pub struct Asker {
    questions: Sender<Box<str>>,
    refused: Arc<AtomicU64>,
}

/// Discovery's end.
#[derive(Debug)]
pub struct Asked {
    pub(crate) questions: Receiver<Box<str>>,
    pub(crate) refused: Arc<AtomicU64>,
}

/// Both ends.
#[must_use]
pub fn asker() -> (Asker, Asked) {
    let (sender, receiver) = channel(ROOM);
    let refused = Arc::<AtomicU64>::default();
    let asker = Asker { questions: sender, refused: Arc::clone(&refused) };
    (asker, Asked { questions: receiver, refused })
}

impl Asked {
    /// How many questions nobody has taken yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.questions.len()
    }
}

impl Asker {
    /// Asks for a host in plain form; its answer is a snapshot. False when too much is asked for
    /// already: then there is no answer.
    #[must_use]
    pub fn ask(&self, host: &str) -> bool {
        let asked = self.questions.try_send(host.into()).is_ok();
        if !asked {
            self.refuse();
        }
        asked
    }

    /// Counts a question that was not even asked.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_room_for_is_refused_and_counted() {
        let (asker, mut asked) = asker();
        let taken = (0..ROOM + 10).filter(|n| asker.ask(&n.to_string())).count();
        assert_eq!((taken, asked.refused.load(Ordering::Relaxed)), (ROOM, 10));
        assert_eq!(asked.questions.try_recv().as_deref(), Ok("0"));
        assert!(asker.ask("again"));
    }
}
