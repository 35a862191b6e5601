//! What tells a running proxy to change: signals, and the configuration file being saved.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::cli::FAILED;

/// A wish from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// SIGTERM or SIGINT: finish what is under way, then end. A second one ends the process at
    /// once, from within the signal handler, so that it works however stuck the process is.
    Drain,
    /// SIGHUP, or the configuration file has new content.
    Reload,
}

/// Starts listening for signals on a thread of its own.
///
/// SIGPIPE needs nothing here: Rust's start-up code ignores it.
///
/// # Errors
/// When the handlers cannot be installed.
pub(crate) fn listen(wishes: Sender<Wish>) -> io::Result<()> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: the first signal finds the flag still down, the second finds it up.
        flag::register_conditional_shutdown(signal, FAILED.into(), Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&asked))?;
    }
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    thread::Builder::new().name(String::from("signals")).spawn(move || {
        for signal in signals.forever() {
            let wish = if signal == SIGHUP { Wish::Reload } else { Wish::Drain };
            if wishes.send(wish).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// How long the directory has to be quiet before the file is read: an editor's save is several
/// events, and a half-written file would only be reported as an error.
const QUIET: Duration = Duration::from_millis(100);

/// Watches the content of a file until dropped.
#[derive(Debug)]
pub(crate) struct FileWatch {
    _watcher: RecommendedWatcher,
}

/// Sends [`Wish::Reload`] whenever `file` has other content than before; `loaded` is what was
/// read last.
///
/// The directory is watched, not the file: editors and Kubernetes replace files by renaming, and
/// a ConfigMap's file changes when its `..data` link does.
///
/// # Errors
/// When the directory cannot be watched.
pub(crate) fn watch(file: &Path, loaded: Vec<u8>, wishes: Sender<Wish>) -> io::Result<FileWatch> {
    let (events, changed) = unbounded();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the file ourselves is an event too.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            let _ = events.send(());
        }
    })
    .map_err(io::Error::other)?;
    let parent = file.parent().filter(|p| !p.as_os_str().is_empty());
    watcher
        .watch(parent.unwrap_or_else(|| Path::new(".")), RecursiveMode::NonRecursive)
        .map_err(io::Error::other)?;
    let file = file.to_owned();
    thread::Builder::new()
        .name(String::from("config-watch"))
        .spawn(move || compare(&file, loaded, &changed, &wishes))?;
    Ok(FileWatch { _watcher: watcher })
}

/// Ends when the watcher is dropped or nobody listens any more.
fn compare(file: &Path, mut before: Vec<u8>, changed: &Receiver<()>, wishes: &Sender<Wish>) {
    while changed.recv().is_ok() {
        loop {
            match changed.recv_timeout(QUIET) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        // A file that is missing for a moment is being replaced.
        let Ok(content) = fs::read(file) else {
            continue;
        };
        if content != before {
            before = content;
            if wishes.send(Wish::Reload).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn a_file_replaced_through_a_link_is_noticed_and_other_files_are_not() {
        let dir = std::env::temp_dir().join(format!("ringway-watch-{}", std::process::id()));
        fs::create_dir_all(dir.join("one")).unwrap();
        fs::create_dir_all(dir.join("two")).unwrap();
        fs::write(dir.join("one/ringway.yaml"), "a").unwrap();
        fs::write(dir.join("two/ringway.yaml"), "b").unwrap();
        std::os::unix::fs::symlink("one", dir.join("..data")).unwrap();
        let file = dir.join("ringway.yaml");
        std::os::unix::fs::symlink("..data/ringway.yaml", &file).unwrap();

        let (wishes, wished) = unbounded();
        let watch = watch(&file, fs::read(&file).unwrap(), wishes).unwrap();
        fs::write(dir.join("other"), "x").unwrap();
        assert_eq!(wished.recv_timeout(QUIET * 4), Err(RecvTimeoutError::Timeout));
        std::os::unix::fs::symlink("two", dir.join("..new")).unwrap();
        fs::rename(dir.join("..new"), dir.join("..data")).unwrap();
        assert_eq!(wished.recv_timeout(LONG), Ok(Wish::Reload));
        drop(watch);
        assert_eq!(wished.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
        fs::remove_dir_all(&dir).unwrap();
    }
}
