//! A process of the control plane: its output in a file, ended by its pid.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::{network, sys, wait};

/// A running process; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command` in the test process's network; its output is appended to
    /// `directory/name.log`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, mut command: Command, directory: &Path) -> Self {
        let log = directory.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child = spawn(command).unwrap_or_else(|e| panic!("start {name}: {e}"));
        Self { name: name.into(), child, log }
    }

    /// The end of what it printed.
    #[must_use]
    pub fn log(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(4000)..]).into_owned()
    }

    /// Waits until `ready` holds.
    ///
    /// # Panics
    /// When that takes more than two minutes, or the process ends before.
    pub fn await_ready(&mut self, mut ready: impl FnMut() -> bool) {
        let found = wait::poll(Duration::from_secs(120), || {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(Err(status));
            }
            let now = ready();
            // Looking costs time that a busy machine needs to get ready.
            (!now).then(|| thread::sleep(Duration::from_millis(50)));
            now.then_some(Ok(()))
        });
        match found {
            Some(Ok(())) => {}
            Some(Err(status)) => panic!("{} ended: {status}\n{}", self.name, self.log()),
            None => panic!("{} is not ready in time\n{}", self.name, self.log()),
        }
    }

    /// Stops it where it is: the kernel still accepts its connections, nobody answers.
    pub fn freeze(&self) {
        sys::kill(self.child.id(), libc::SIGSTOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        sys::kill(self.child.id(), libc::SIGCONT);
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

type Order = (Command, SyncSender<io::Result<Child>>);

/// Starts a process that dies with this one. The kernel takes the thread that started it for its
/// parent, and a test's thread may end before its cluster: so a thread that never ends does it.
fn spawn(command: Command) -> io::Result<Child> {
    static STARTER: OnceLock<Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (orders, taken) = mpsc::channel();
        thread::spawn(move || serve(&taken));
        orders
    });
    let (answer, started) = sync_channel(1);
    starter.send((command, answer)).unwrap();
    started.recv().unwrap()
}

fn serve(orders: &Receiver<Order>) {
    network::enter();
    for (mut command, answer) in orders {
        sys::end_with_parent(&mut command);
        let _ = answer.send(command.spawn());
    }
}
