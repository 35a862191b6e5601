//! etcd: started, saved and put back, compacted.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kube::api;
use crate::kube::daemon::Daemon;
use crate::kube::tools;
use crate::ports;

/// Which etcd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// 3.6, built from its module.
    #[default]
    Current,
    /// Debian's, too old for streaming lists (3.4.23 on Debian 12).
    Debian,
}

/// A running etcd; killed when dropped.
#[derive(Debug)]
pub struct Etcd {
    /// Where it serves clients.
    pub address: SocketAddr,
    peers: SocketAddr,
    version: Version,
    directory: PathBuf,
    daemon: Daemon,
}

impl Etcd {
    /// Starts one with its data below `directory`.
    ///
    /// # Panics
    /// When it does not get ready.
    #[must_use]
    pub fn start(version: Version, directory: &Path) -> Self {
        let (address, peers) = (ports::free(), ports::free());
        let daemon = launch(version, directory, address, peers);
        Self { address, peers, version, directory: directory.into(), daemon }
    }

    fn data(&self) -> PathBuf {
        self.directory.join("etcd")
    }

    /// Keeps the present state under `name`.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn save(&self, name: &str) {
        // Frozen, its files are what a crash would leave, which etcd recovers from.
        self.daemon.freeze();
        copy(&self.data(), &self.directory.join(name));
        self.daemon.thaw();
    }

    /// Ends it, puts the state kept under `name` back and starts it again.
    ///
    /// # Panics
    /// When that fails.
    pub fn restore(&mut self, name: &str) {
        self.daemon.kill();
        std::fs::remove_dir_all(self.data()).unwrap();
        copy(&self.directory.join(name), &self.data());
        self.daemon = launch(self.version, &self.directory, self.address, self.peers);
    }

    /// Forgets all history: whoever asks for changes since an earlier revision is told 410.
    ///
    /// # Panics
    /// When etcd refuses.
    pub fn compact(&self) {
        let found = self.call("/v3/kv/range", &serde_json::json!({"key": "AA=="}));
        let revision = found["header"]["revision"].clone();
        self.call(
            "/v3/kv/compaction",
            &serde_json::json!({"revision": revision, "physical": true}),
        );
    }

    fn call(&self, path: &str, body: &serde_json::Value) -> serde_json::Value {
        let answer = api::ask(self.address, "POST", path, "application/json", &body.to_string());
        answer.unwrap_or_else(|why| panic!("etcd {path}: {why}"))
    }
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-r").arg(from).arg(to).status();
    assert!(done.unwrap().success(), "copy {} to {}", from.display(), to.display());
}

fn launch(version: Version, directory: &Path, address: SocketAddr, peers: SocketAddr) -> Daemon {
    let program = match version {
        Version::Current => tools::path("etcd"),
        Version::Debian => "/usr/bin/etcd".into(),
    };
    let mut command = Command::new(program);
    let (clients, peers) = (format!("http://{address}"), format!("http://{peers}"));
    command.arg("--data-dir").arg(directory.join("etcd"));
    command.args(["--name", "one", "--log-level", "warn"]);
    command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
    command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
    command.args(["--initial-cluster", &format!("one={peers}")]);
    match version {
        // A test's data need not survive the machine.
        Version::Current => drop(command.arg("--unsafe-no-fsync")),
        Version::Debian => drop(command.args(["--logger", "zap"])),
    }
    let mut daemon = Daemon::start("etcd", command, directory);
    daemon.await_ready(|| api::ask(address, "GET", "/health", "", "").is_ok());
    daemon
}
