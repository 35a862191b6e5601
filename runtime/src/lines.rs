//! Lines on their way out of the process: a bounded channel and one thread that writes, so that a
//! slow terminal, pipe or disk never holds back who has something to say.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use ringway_config::Sink;

/// The giving end; clones feed the same writer.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    full: Sender<Message>,
    empty: Receiver<Vec<u8>>,
}

/// The writing end: ends with [`Writer::close`].
#[derive(Debug)]
pub(crate) struct Writer {
    full: Sender<Message>,
    done: Receiver<()>,
    reopen: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Message {
    Block(Vec<u8>),
    Close,
}

/// Opens `sink` and starts its writer thread called `name`. At most `blocks` blocks wait.
///
/// # Errors
/// When the file cannot be opened or the thread not be started.
pub(crate) fn start(name: &str, sink: &Sink, blocks: usize) -> io::Result<(Lines, Writer)> {
    let output = Output::open(sink)?;
    let (full, to_write) = bounded(blocks);
    let (give_back, empty) = bounded(blocks);
    let (finished, done) = bounded(1);
    let reopen = Arc::new(AtomicBool::new(false));
    let target = Target { sink: sink.clone(), output, reopen: Arc::clone(&reopen) };
    thread::Builder::new().name(String::from(name)).spawn(move || {
        target.run(&to_write, &give_back);
        let _ = finished.try_send(());
    })?;
    Ok((Lines { full: full.clone(), empty }, Writer { full, done, reopen }))
}

impl Lines {
    /// Hands over what `block` holds and leaves it empty. Never waits: `false` when the writer is
    /// behind and the lines are lost.
    pub(crate) fn give(&self, block: &mut Vec<u8>) -> bool {
        let next = self.empty.try_recv().unwrap_or_default();
        match self.full.try_send(Message::Block(std::mem::replace(block, next))) {
            Ok(()) => true,
            Err(refused) => {
                if let Message::Block(mut lost) = refused.into_inner() {
                    lost.clear();
                    *block = lost;
                }
                false
            }
        }
    }
}

impl Writer {
    /// Opens the file anew before the next write, after a rotation.
    pub(crate) fn reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }

    /// Writes what was handed over and ends; gives up after `patience`, as a pipe that nobody
    /// reads would hold the process for ever. `false` when it gave up.
    pub(crate) fn close(self, patience: Duration) -> bool {
        self.full.send_timeout(Message::Close, patience).is_ok()
            && self.done.recv_timeout(patience).is_ok()
    }
}

#[derive(Debug)]
enum Output {
    Stdout,
    Stderr,
    File(File),
}

impl Output {
    fn open(sink: &Sink) -> io::Result<Self> {
        match sink {
            Sink::Stdout => Ok(Self::Stdout),
            Sink::Stderr => Ok(Self::Stderr),
            Sink::File(path) => append(path).map(Self::File),
        }
    }

    fn write(&mut self, block: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(block).and_then(|()| stdout.flush())
            }
            Self::Stderr => io::stderr().lock().write_all(block),
            Self::File(file) => file.write_all(block),
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

struct Target {
    sink: Sink,
    output: Output,
    reopen: Arc<AtomicBool>,
}

impl Target {
    fn run(mut self, to_write: &Receiver<Message>, give_back: &Sender<Vec<u8>>) {
        while let Ok(Message::Block(mut block)) = to_write.recv() {
            if self.reopen.swap(false, Ordering::Relaxed)
                && let Ok(output) = Output::open(&self.sink)
            {
                self.output = output;
            }
            // A full disk or a closed pipe: the lines are lost, the proxy goes on.
            let _ = self.output.write(&block);
            block.clear();
            let _ = give_back.try_send(block);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
mod tests {
    use super::*;

    #[test]
    fn lines_reach_the_file_in_order_and_survive_a_rotation() {
        let place = std::env::temp_dir().join(format!("ringway-lines-{}", std::process::id()));
        let rotated = place.with_extension("1");
        let (lines, writer) = start("lines", &Sink::File(place.clone()), 4).unwrap();
        let mut block = b"one\n".to_vec();
        assert!(lines.give(&mut block) && block.is_empty());
        // The block comes back once it is written.
        let written = lines.empty.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(written.is_empty() && written.capacity() > 0);
        std::fs::rename(&place, &rotated).unwrap();
        writer.reopen();
        block.extend_from_slice(b"two\n");
        assert!(lines.give(&mut block));
        assert!(writer.close(Duration::from_secs(5)));
        assert_eq!(std::fs::read(&rotated).unwrap(), b"one\n");
        assert_eq!(std::fs::read(&place).unwrap(), b"two\n");
        std::fs::remove_file(place).unwrap();
        std::fs::remove_file(rotated).unwrap();
    }

    #[test]
    fn a_writer_that_is_behind_costs_lines_and_no_time() {
        let (full, _stuck) = bounded(1);
        let lines = Lines { full, empty: bounded(1).1 };
        let mut block = b"first".to_vec();
        assert!(lines.give(&mut block));
        block.extend_from_slice(b"second");
        assert!(!lines.give(&mut block));
        assert!(block.is_empty());
    }
}
