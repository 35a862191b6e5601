//! Starts the two binaries, and ends them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// A running ringway-backend on a free port.
pub(crate) struct Backend {
    child: Child,
    address: String,
}

impl Backend {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringway-backend"))
            .args(["--listen", "127.0.0.1:0", "--threads", "2"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { child, address }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends `bytes` in pieces of `step`, and returns everything until the connection ends.
    pub(crate) fn talk(&self, bytes: &[u8], step: usize) -> String {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
        for piece in bytes.chunks(step) {
            socket.write_all(piece).unwrap();
        }
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Ends it by a signal: its exit status.
    pub(crate) fn end(mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a run of ringway-load came to.
pub(crate) struct Done {
    /// How long it was to run.
    pub(crate) seconds: u64,
    pub(crate) status: i32,
    pub(crate) text: String,
    pub(crate) error: String,
    pub(crate) json: Value,
}

impl Done {
    /// A whole number of the JSON, by its path; 0 when it is not there.
    pub(crate) fn number(&self, path: &str) -> u64 {
        self.json.pointer(path).and_then(Value::as_u64).unwrap_or_default()
    }

    /// Responses.
    pub(crate) fn requests(&self) -> u64 {
        self.number("/requests")
    }

    /// Responses, and what was due and had none at the end.
    pub(crate) fn due(&self) -> u64 {
        self.requests() + self.number("/unfinished/unsent") + self.number("/unfinished/in_flight")
    }

    /// Everything, for a failed test's message.
    pub(crate) fn all(&self) -> String {
        format!("exit {}\n{}{}\n{:#}", self.status, self.text, self.error, self.json)
    }
}

/// Has `run` make load for some seconds, and for more of them while that is not `enough`: a
/// machine that is busy with other things gets more time, and the same is expected of it.
pub(crate) fn patiently(run: impl Fn(u64) -> Done, enough: impl Fn(&Done) -> bool) -> Done {
    let done = run(1);
    if enough(&done) {
        return done;
    }
    let done = run(4);
    if enough(&done) { done } else { run(16) }
}

/// Runs ringway-load for `seconds` to its end. Nothing is given up unless the options say so.
pub(crate) fn load(url: &str, options: &[&str], connections: usize, seconds: u64) -> Done {
    let json = temporary("json", "");
    let (connections, time) = (format!("-c{connections}"), format!("-d{seconds}s"));
    let mut line = vec![&*connections, &time, "--json", json.to_str().unwrap(), url];
    if !options.contains(&"--timeout") {
        line.extend(["--timeout", "60s"]);
    }
    let mut done = run(&[options, &line].concat());
    done.seconds = seconds;
    done.json = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap_or_default();
    std::fs::remove_file(&json).unwrap();
    done
}

/// Runs it with a command line that it does not take.
pub(crate) fn refused(options: &[&str]) -> Done {
    run(&[options, &["http://127.0.0.1:9/"]].concat())
}

fn run(options: &[&str]) -> Done {
    let out = Command::new(env!("CARGO_BIN_EXE_ringway-load")).args(options).output().unwrap();
    Done {
        seconds: 0,
        status: out.status.code().unwrap_or(-1),
        text: String::from_utf8_lossy(&out.stdout).into_owned(),
        error: String::from_utf8_lossy(&out.stderr).into_owned(),
        json: Value::Null,
    }
}

/// A file of this test process alone.
pub(crate) fn temporary(kind: &str, text: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("ringway-load-{}-{number}.{kind}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, text).unwrap();
    path
}
