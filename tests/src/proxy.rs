//! The binary under test as a child process: started on free ports, watched for panics, ended by
//! its pid.

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use crate::admin::{self, Metrics};
use crate::matrix::{Cell, Driver};
use crate::scratch::Scratch;
use crate::settings::Settings;
use crate::{process, sys, wait};

/// How long the proxy may take to be ready.
pub const START: Duration = Duration::from_secs(10);

/// A running proxy; killed when dropped, and the test fails if it ever panicked.
pub struct Proxy {
    child: Child,
    /// What it was started with; change it and call [`Proxy::write`] to reload.
    pub settings: Settings,
    output: Arc<Mutex<Vec<u8>>>,
    directory: Scratch,
    ended: Option<ExitStatus>,
    /// The second proxy of a cell that is meshed.
    pub far: Option<Box<Self>>,
}

impl Proxy {
    /// Starts `ringway run` and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready.
    #[must_use]
    pub fn start(cell: Cell, settings: Settings) -> Self {
        if cell.meshed {
            let plain = Cell { meshed: false, ..cell };
            let (near, far) = settings.meshed();
            let far = Box::new(Self::start(plain, far));
            let mut near = Self::start(plain, near);
            near.far = Some(far);
            return near;
        }
        let proxy = Self::launch(cell, settings);
        proxy.await_ready();
        proxy
    }

    /// Starts `ringway run` without waiting.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn launch(cell: Cell, settings: Settings) -> Self {
        let yaml = settings.yaml();
        Self::launch_text(cell, settings, &yaml)
    }

    /// Starts `ringway run` with this text as its configuration, without waiting.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn launch_text(cell: Cell, settings: Settings, yaml: &str) -> Self {
        let directory = Scratch::new();
        let path = directory.put("ringway.yaml", yaml);
        let mut command = Command::new(binary());
        command.arg("run").arg("--config").arg(path);
        Self::spawn(cell, command, settings, directory)
    }

    /// Starts `ringway to` in front of these addresses and waits until it is ready; the listener
    /// is called `web`.
    ///
    /// # Panics
    /// When it does not get ready.
    #[must_use]
    pub fn to(cell: Cell, upstreams: &[SocketAddr], workers: usize) -> Self {
        let settings = Settings::front(upstreams).workers(workers);
        let mut command = Command::new(binary());
        command.arg("to").args(upstreams.iter().map(ToString::to_string));
        command.args(["--listen", &settings.address("web").to_string()]);
        command.args(["--admin", &settings.admin.to_string()]);
        command.args(["--workers", &workers.to_string()]);
        let proxy = Self::spawn(cell, command, settings, Scratch::new());
        proxy.await_ready();
        proxy
    }

    fn spawn(cell: Cell, mut command: Command, settings: Settings, directory: Scratch) -> Self {
        command.env_remove("RINGWAY_DRIVER");
        match cell.driver {
            Driver::Uring => drop(command.env("RINGWAY_DRIVER", "uring")),
            Driver::Epoll => drop(command.env("RINGWAY_DRIVER", "epoll")),
            Driver::Denied => sys::deny_io_uring(&mut command),
        }
        sys::end_with_parent(&mut command);
        command.env("RUST_BACKTRACE", "1").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
        let output = Arc::<Mutex<Vec<u8>>>::default();
        for stream in [child.stdout.take().map(Stream::Out), child.stderr.take().map(Stream::Err)] {
            let into = Arc::clone(&output);
            thread::spawn(move || stream.into_iter().for_each(|s| s.copy(&into)));
        }
        Self { child, settings, output, directory, ended: None, far: None }
    }

    fn await_ready(&self) {
        let ready = wait::poll(START, || {
            let gone = !PathBuf::from(format!("/proc/{}/fd/0", self.pid())).exists();
            let ready =
                admin::get(self.settings.admin, "/ready").is_some_and(|(status, _)| status == 200);
            (gone || ready).then_some(ready)
        });
        assert!(ready == Some(true), "not ready within {START:?}; its output:\n{}", self.output());
    }

    /// The address of the listener called `web`.
    #[must_use]
    pub fn web(&self) -> SocketAddr {
        self.settings.address("web")
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it printed so far.
    ///
    /// # Panics
    /// When the reading thread panicked.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().unwrap()).into_owned()
    }

    /// Its metrics now.
    ///
    /// # Panics
    /// When they cannot be had or read.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let (status, text) = admin::get(self.settings.admin, "/metrics").expect("/metrics answers");
        assert_eq!(status, 200);
        Metrics::parse(&text).unwrap()
    }

    /// Waits until every worker has adopted this or a later snapshot: they do so one by one.
    ///
    /// # Panics
    /// When one has not within five seconds.
    pub fn await_generation(&self, generation: f64) {
        wait::until(Duration::from_secs(5), "every worker has adopted the snapshot", || {
            let adopted = self.metrics().by("ringway_worker_snapshot_generation", &[], "worker");
            !adopted.is_empty() && adopted.iter().all(|(_, worker)| *worker >= generation)
        });
    }

    /// Replaces its configuration file by the present `settings`.
    pub fn write(&self) {
        self.directory.put("ringway.yaml", &self.settings.yaml());
    }

    /// Writes the present `settings` into its configuration file, in place.
    ///
    /// # Panics
    /// When that fails.
    pub fn overwrite(&self) {
        std::fs::write(self.directory.path().join("ringway.yaml"), self.settings.yaml()).unwrap();
    }

    /// Replaces its configuration file by this text.
    pub fn write_text(&self, yaml: &str) {
        self.directory.put("ringway.yaml", yaml);
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        sys::kill(self.pid(), signal);
    }

    /// Waits for it to exit by itself.
    ///
    /// # Panics
    /// When its status cannot be read.
    pub fn exits_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.ended = wait::poll(limit, || self.child.try_wait().unwrap());
        self.ended
    }

    /// Fails the test when the proxy died or panicked.
    ///
    /// # Panics
    /// See above.
    pub fn assert_well(&mut self) {
        let exited = self.child.try_wait().unwrap();
        assert!(exited.is_none(), "the proxy exited: {exited:?}\n{}", self.output());
        assert_eq!(panic_in(&self.output()), None);
    }

    /// Fails the test when it uses more than a twentieth of a core 2 s from now at the latest.
    ///
    /// # Panics
    /// See above.
    pub fn assert_idle(&self) {
        let quiet = wait::poll(Duration::from_secs(2), || {
            let before = process::cpu(self.pid());
            thread::sleep(Duration::from_millis(400));
            (process::cpu(self.pid()) - before <= Duration::from_millis(20)).then_some(())
        });
        assert!(quiet.is_some(), "the proxy's CPU is busy 2 s after the work ended");
    }

    /// Its open files before any work, once it opens no more: the watcher of its configuration
    /// starts beside its readiness.
    #[must_use]
    pub fn files_at_rest(&self) -> usize {
        let mut seen = Vec::new();
        wait::poll(Duration::from_secs(3), || {
            thread::sleep(Duration::from_millis(40));
            seen.push(process::open_files(self.pid()));
            let same = seen.iter().rev().take_while(|&n| Some(n) == seen.last()).count();
            (same >= 10).then_some(())
        });
        seen.last().copied().unwrap_or(0)
    }

    /// Fails the test when its open files are not back to `baseline` within 8 s.
    pub fn assert_files(&self, baseline: usize) {
        let mut now = 0;
        let back = wait::poll(Duration::from_secs(8), || {
            now = process::open_files(self.pid());
            (now <= baseline).then_some(())
        });
        assert!(back.is_some(), "{now} open files, {baseline} before");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let output = self.output();
        if thread::panicking() {
            let tail: Vec<&str> = output.lines().rev().take(40).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            eprintln!("--- the proxy's last lines\n{}\n---", tail.join("\n"));
        } else if let Some(line) = panic_in(&output) {
            panic!("the proxy panicked: {line}");
        }
    }
}

fn panic_in(output: &str) -> Option<String> {
    output.lines().find(|l| l.contains("panicked at")).map(str::to_owned)
}

enum Stream {
    Out(std::process::ChildStdout),
    Err(std::process::ChildStderr),
}

impl Stream {
    fn copy(self, into: &Mutex<Vec<u8>>) {
        let mut source: Box<dyn Read> = match self {
            Self::Out(s) => Box::new(s),
            Self::Err(s) => Box::new(s),
        };
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = source.read(&mut buffer) {
            into.lock().unwrap().extend_from_slice(&buffer[..n]);
        }
    }
}

/// The binary: `RINGWAY_BIN`, or what cargo builds, once.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| std::env::var_os("RINGWAY_BIN").map_or_else(build, PathBuf::from)).clone()
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "ringway", "--profile", "quick"])
        // One binary for all suites: counting changes nothing but the counters, and a second
        // build for one suite would cost every run of the tests a minute.
        .args(["--features", "ringway/count-allocations"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(status.is_ok_and(|s| s.success()), "cargo build -p ringway failed");
    // The test's own executable is <target>/<profile>/deps/<suite>-<hash>.
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(3).unwrap().join("quick").join("ringway")
}
