//! The `ringway.yaml` of a test: short time-outs, ephemeral ports, and what the test adds.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::ports;

/// One listener of the proxy under test.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: SocketAddr,
    /// More keys, as `key: value`.
    pub keys: Vec<String>,
}

/// Everything that becomes `ringway.yaml`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Event loops.
    pub workers: usize,
    /// The admin server's address.
    pub admin: SocketAddr,
    /// Listeners, in order.
    pub listeners: Vec<Listener>,
    /// Services: name and the YAML after the colon.
    pub services: Vec<(String, String)>,
    /// The time-outs, as `key: value`; the tests' own defaults are a fifth of ringway's.
    pub timeouts: Vec<(String, String)>,
    /// A watched directory of manifests.
    pub manifests: Option<PathBuf>,
    /// More top-level YAML.
    pub more: String,
}

/// How much faster than by default time runs in the tests' settings.
pub const TIME_SCALE: u32 = 5;

impl Default for Settings {
    fn default() -> Self {
        let timeouts = [
            ("head", "2s"),
            ("idle_client", "4s"),
            ("idle_upstream", "4s"),
            ("body_idle", "3s"),
            ("connect", "500ms"),
        ];
        Self {
            workers: 1,
            admin: ports::free(),
            listeners: Vec::new(),
            services: Vec::new(),
            timeouts: timeouts.map(|(k, v)| (k.into(), v.into())).into(),
            manifests: None,
            more: String::new(),
        }
    }
}

impl Settings {
    /// One listener called `web` in front of these endpoints.
    #[must_use]
    pub fn front(endpoints: &[SocketAddr]) -> Self {
        Self::default().service("app", endpoints).listener("web", &["service: app"])
    }

    /// The same in front of endpoints that speak HTTP/2.
    #[must_use]
    pub fn h2c(endpoints: &[SocketAddr]) -> Self {
        let list: Vec<String> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
        let text = format!("{{endpoints: [{}], protocol: h2c}}", list.join(", "));
        Self::default().service_yaml("app", &text).listener("web", &["service: app"])
    }

    /// Adds a listener on a free port.
    #[must_use]
    pub fn listener(mut self, name: &str, keys: &[&str]) -> Self {
        let keys = keys.iter().map(|&k| k.into()).collect();
        self.listeners.push(Listener { name: name.into(), address: ports::free(), keys });
        self
    }

    /// Adds a service with these endpoints.
    #[must_use]
    pub fn service(mut self, name: &str, endpoints: &[SocketAddr]) -> Self {
        let list: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
        self.services.push((name.into(), format!("[{}]", list.join(", "))));
        self
    }

    /// Adds a service in its long form.
    #[must_use]
    pub fn service_yaml(mut self, name: &str, yaml: &str) -> Self {
        self.services.push((name.into(), yaml.into()));
        self
    }

    /// Sets a time-out.
    #[must_use]
    pub fn timeout(mut self, key: &str, value: &str) -> Self {
        self.timeouts.retain(|(k, _)| k != key);
        self.timeouts.push((key.into(), value.into()));
        self
    }

    /// Sets the number of event loops.
    #[must_use]
    pub const fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// Watches a directory of manifests.
    #[must_use]
    pub fn manifests(mut self, directory: impl Into<PathBuf>) -> Self {
        self.manifests = Some(directory.into());
        self
    }

    /// Watches a namespace of the API server that `kubeconfig` leads to.
    #[must_use]
    pub fn kubernetes(self, namespace: &str, kubeconfig: &Path) -> Self {
        self.more(&format!(
            "discovery:\n  namespace: {namespace}\n  kubernetes:\n    \
             scope: {{namespaces: [{namespace}]}}\n    kubeconfig: \"{}\"",
            kubeconfig.display()
        ))
    }

    /// Adds top-level YAML.
    #[must_use]
    pub fn more(mut self, yaml: &str) -> Self {
        self.more += yaml;
        self.more += "\n";
        self
    }

    /// These settings with a second proxy before every endpoint, and the settings of that one.
    ///
    /// # Panics
    /// When a service is not in its short form.
    #[must_use]
    pub fn meshed(mut self) -> (Self, Self) {
        let mut far =
            Self { workers: self.workers, timeouts: self.timeouts.clone(), ..Self::default() };
        // It is the near one that the test is about.
        far.timeouts.retain(|(key, _)| key != "response");
        for (service, yaml) in &mut self.services {
            let list = yaml.strip_prefix('[').and_then(|yaml| yaml.strip_suffix(']'));
            let list = list.unwrap_or_else(|| panic!("{service}: {yaml} is no list"));
            let mut doors = Vec::new();
            for (number, endpoint) in list.split(", ").enumerate() {
                let name = format!("{service}-{number}");
                let keys = [&*format!("service: {name}"), "peers: 127.0.0.0/8", "via: false"];
                far = far.service(&name, &[endpoint.parse().unwrap()]).listener(&name, &keys);
                doors.push(far.address(&name).to_string());
            }
            *yaml = format!("{{endpoints: [\"{}\"], meshed: true}}", doors.join("\", \""));
        }
        (self, far)
    }

    /// The address of the listener called `name`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn address(&self, name: &str) -> SocketAddr {
        let found = self.listeners.iter().find(|l| l.name == name);
        found.unwrap_or_else(|| panic!("no listener {name}")).address
    }

    /// The file's text.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut out = format!(
            "workers: {{ count: {} }}\nadmin: {{ address: {} }}\n",
            self.workers, self.admin
        );
        out += "timeouts:\n";
        for (key, value) in &self.timeouts {
            let _ = writeln!(out, "  {key}: {value}");
        }
        out += "listeners:\n";
        for listener in &self.listeners {
            let _ = writeln!(out, "  - name: {}\n    address: {}", listener.name, listener.address);
            for key in &listener.keys {
                let _ = writeln!(out, "    {key}");
            }
        }
        if !self.services.is_empty() {
            out += "services:\n";
        }
        for (name, yaml) in &self.services {
            let _ = writeln!(out, "  {name}: {yaml}");
        }
        if let Some(directory) = &self.manifests {
            let _ = writeln!(out, "discovery:\n  manifests: {}", directory.display());
        }
        out + &self.more
    }
}
