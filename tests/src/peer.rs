//! Real servers as upstreams: nginx, Python's http.server, Node's http, Redis.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::scratch::Scratch;
use crate::{ports, sys, wait};

/// What `tests/setup` puts below `target/tools`.
#[must_use]
pub fn tool(path: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    target.join("tools").join(path)
}

/// The path of a file in `tests/peers`.
#[must_use]
pub fn script(name: &str) -> String {
    format!("{}/peers/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs a client to its end: what it printed, and how it ended.
///
/// # Panics
/// When it cannot be started.
pub fn run(command: &mut Command) -> (String, Output) {
    let out = command
        .env_remove("http_proxy")
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}; tests/setup installs it"));
    (String::from_utf8_lossy(&out.stdout).into_owned(), out)
}

/// A running server; killed when dropped.
pub struct Peer {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its directory; `www` below it is served.
    pub directory: Scratch,
    child: Child,
}

impl Peer {
    /// nginx: serves `www`, takes PUT of any size below /put/.
    #[must_use]
    pub fn nginx() -> Self {
        Self::start(|address, directory| {
            let at = directory.path().display();
            let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|name| format!("{name}_temp_path {at}/{name};\n"))
                .concat();
            let text = format!(
                "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log {at}/error.log;\n\
                 events {{ worker_connections 512; }}\nhttp {{\naccess_log off;\nsendfile on;\n\
                 client_max_body_size 0;\n{temporary}server {{\nlisten {address};\nroot {at}/www;\n\
                 location /put/ {{ dav_methods PUT; create_full_put_path on; }}\n}}\n}}\n"
            );
            let file = directory.put("nginx.conf", &text);
            let mut command = Command::new(if Path::new("/usr/sbin/nginx").exists() {
                "/usr/sbin/nginx"
            } else {
                "nginx"
            });
            command.arg("-p").arg(directory.path()).arg("-c").arg(file);
            command.arg("-e").arg(directory.path().join("error.log"));
            command
        })
    }

    /// `python3 -m http.server`, HTTP/1.0 and close-delimited by nature.
    #[must_use]
    pub fn python() -> Self {
        Self::start(|address, directory| {
            let mut command = Command::new("python3");
            command.args(["-m", "http.server", &address.port().to_string(), "--bind", "127.0.0.1"]);
            command.arg("--directory").arg(directory.path().join("www"));
            command
        })
    }

    /// Node: answers with method, URL and the length of the body; chunked.
    #[must_use]
    pub fn node() -> Self {
        Self::start(|address, _| {
            let script = "require('http').createServer((q, r) => { let n = 0; q.on('data', d => n += d.length); \
                          q.on('end', () => { r.setHeader('x-node', 'yes'); r.write(`${q.method} `); \
                          r.write(`${q.url} ${n}`); r.end(); }); }).listen(+process.argv[1], '127.0.0.1')";
            let mut command = Command::new("node");
            command.args(["-e", script, &address.port().to_string()]);
            command
        })
    }

    /// A server written in Python, whose arguments are these and its port.
    #[must_use]
    pub fn script(text: &str, arguments: &[&str]) -> Self {
        Self::start(|address, _| {
            let mut command = Command::new("python3");
            command.args(["-c", text]).args(arguments).arg(address.port().to_string());
            command
        })
    }

    /// A program whose arguments are these and its port.
    #[must_use]
    pub fn program(program: &Path, arguments: &[&str]) -> Self {
        Self::start(|address, _| {
            let mut command = Command::new(program);
            command.args(arguments).arg(address.port().to_string());
            command
        })
    }

    /// Redis, which keeps nothing.
    #[must_use]
    pub fn redis() -> Self {
        Self::start(|address, directory| {
            let mut command = Command::new("redis-server");
            command.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"]);
            command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(directory.path());
            command
        })
    }

    fn start(command: impl FnOnce(SocketAddr, &Scratch) -> Command) -> Self {
        let (address, directory) = (ports::free(), Scratch::new());
        std::fs::create_dir(directory.path().join("www")).unwrap();
        let mut command = command(address, &directory);
        sys::end_with_parent(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}; tests/setup installs it"));
        let peer = Self { address, directory, child };
        wait::until(Duration::from_secs(10), "the peer listens", || {
            TcpStream::connect(address).is_ok()
        });
        peer
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
