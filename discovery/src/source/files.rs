//! The directory of manifests: watched by inotify, looked over now and then all the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use ringway_core::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until};

use super::scan::{self, Scan};
use super::{Tell, Told, tell};
use crate::event::SourceId;
use crate::settle::Settle;
use crate::thread::Clock;

/// Files are read once they have been left alone for so long, so that none is read half written.
const QUIET: Duration = Duration::from_millis(60);
/// And at the latest after this, however busy the directory is.
const LIMIT: Duration = Duration::from_millis(400);
/// A look without an event: for file systems without inotify, and what links lead to.
const RESCAN: Duration = Duration::from_secs(30);
/// The same while the directory is not there or cannot be watched.
const RETRY: Duration = Duration::from_secs(2);

/// A watched directory.
struct Files {
    directory: PathBuf,
    scan: Scan,
    tell: Tell,
    changed: Arc<Notify>,
    /// The watch, and which directory it is on.
    watcher: Option<(RecommendedWatcher, (u64, u64))>,
    /// Whether the directory could be read at all.
    there: bool,
    errors: Vec<String>,
}

/// Watches the directory until it is aborted.
pub(crate) async fn watch(directory: PathBuf, namespace: String, clock: Clock, tell: Tell) {
    let changed = Arc::new(Notify::new());
    let mut files = Files {
        directory,
        scan: Scan::new(namespace),
        tell,
        changed: changed.clone(),
        watcher: None,
        there: false,
        errors: Vec::new(),
    };
    loop {
        // The watch stands before the look, so that nothing between the two is missed.
        files.ensure_watch();
        files.look();
        let pause = if files.watcher.is_some() { RESCAN } else { RETRY };
        tokio::select! {
            () = sleep(pause) => {}
            () = changed.notified() => quiet(&changed, clock).await,
        }
    }
}

/// Waits until the changes have come to rest.
async fn quiet(changed: &Notify, clock: Clock) {
    let mut settle = Settle::new(QUIET, LIMIT);
    settle.touch(clock.now());
    while let Some(due) = settle.due() {
        tokio::select! {
            () = sleep_until(clock.tokio(due)) => {
                settle.take(clock.now().max(due));
            }
            () = changed.notified() => settle.touch(clock.now()),
        }
    }
}

impl Files {
    /// Puts the watch on the directory that is there now.
    fn ensure_watch(&mut self) {
        let now = scan::identity(&self.directory).ok();
        if now.is_some() && self.watcher.as_ref().map(|(_, watched)| *watched) == now {
            return;
        }
        self.watcher = None;
        let Some(identity) = now else { return };
        match start(&self.directory, self.changed.clone()) {
            Ok(watcher) => self.watcher = Some((watcher, identity)),
            Err(error) => tracing::warn!(
                directory = %self.directory.display(), %error,
                "cannot watch the directory; looking every 2 s instead",
            ),
        }
    }

    /// Reads what has changed in the directory, if anything has.
    fn look(&mut self) {
        let changed = self.scan.look(&self.directory);
        let back = !std::mem::replace(&mut self.there, changed.is_ok());
        if matches!(changed, Ok(false)) && !back {
            return;
        }
        match changed.and_then(|_| self.scan.changes()) {
            Ok(events) => {
                tracing::info!(
                    directory = %self.directory.display(),
                    changes = events.len(),
                    "manifests read",
                );
                self.errors.clear();
                tell(&self.tell, Told::Errors(SourceId::Files, Vec::new()));
                tell(&self.tell, Told::Events(events));
            }
            Err(errors) => {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                if errors == self.errors {
                    return;
                }
                for error in &errors {
                    tracing::error!("{error}");
                }
                tracing::error!(
                    directory = %self.directory.display(),
                    errors = errors.len(),
                    "manifests not used; the last good ones stay",
                );
                self.errors.clone_from(&errors);
                tell(&self.tell, Told::Errors(SourceId::Files, errors));
            }
        }
    }
}

/// Reports changes in the directory itself. Reading is none, or our own look would start another.
fn start(directory: &Path, changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let read = event.is_ok_and(|event| match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
            EventKind::Access(_) => true,
            _ => false,
        });
        if !read {
            changed.notify_one();
        }
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
