//! What a test of ringway before a real API server begins with: a namespace of its own, ringway
//! watching it, and how traffic is looked at.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::kube::cluster::{Cluster, Options, TOKEN};
use crate::kube::kubeconfig::Credential;
use crate::kube::objects;
use crate::load::{Load, Plan};
use crate::matrix::Cell;
use crate::network;
use crate::origin::Origin;
use crate::proxy::{self, Proxy};
use crate::settings::Settings;
use crate::wait;

/// How long changes may take to be seen, on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A namespace of a cluster.
pub struct Stage {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// The namespace.
    pub namespace: String,
    /// The API server's address that only this test uses.
    pub side: SocketAddr,
}

impl Stage {
    /// A new namespace of the cluster that the tests of this process share; ringway may read it.
    ///
    /// # Panics
    /// When the cluster or the namespace cannot be had.
    #[must_use]
    pub fn new(options: Options, namespace: &str) -> Self {
        // Before this thread enters the namespace: a build may need the network outside.
        let _ = proxy::binary();
        let cluster = Cluster::shared(options);
        cluster.namespace(namespace);
        cluster.grant();
        let side = cluster.side();
        Self { cluster, namespace: namespace.into(), side }
    }

    /// Applies manifests to the namespace.
    pub fn apply(&self, manifests: &str) {
        self.cluster.kubectl.apply_to(&self.namespace, manifests);
    }

    /// Runs kubectl in the namespace.
    pub fn kubectl(&self, arguments: &[&str]) {
        self.cluster.kubectl.run(&[&["-n", &self.namespace], arguments].concat());
    }

    /// The Host of a service.
    #[must_use]
    pub fn host(&self, service: &str) -> String {
        format!("{service}.{}.svc.cluster.local", self.namespace)
    }

    /// Settings of a ringway that watches the namespace from the test's own side, by its token.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings_by(&self.cluster.kubeconfig(self.side, &Credential::Token(TOKEN.into())))
    }

    /// The same with another kubeconfig.
    #[must_use]
    pub fn settings_by(&self, kubeconfig: &Path) -> Settings {
        let settings = Settings::default().workers(2).listener("web", &[]);
        settings.kubernetes(&self.namespace, kubeconfig)
    }

    /// A steady load on a service.
    #[must_use]
    pub fn load(&self, proxy: &Proxy, service: &str) -> Load {
        let pause = Duration::from_millis(5);
        Load::start(proxy.web(), &Plan { host: self.host(service), pause, ..Plan::default() })
    }

    /// Asks a service `count` times, each on a connection of its own, so that all workers are
    /// asked; the answers by the name of their origin.
    ///
    /// # Panics
    /// When one is not answered by 200.
    #[must_use]
    pub fn ask(&self, proxy: &Proxy, service: &str, count: usize) -> BTreeMap<String, usize> {
        let mut by_origin = BTreeMap::new();
        for _ in 0..count {
            let name =
                self.try_ask(proxy, service).unwrap_or_else(|why| panic!("{service}: {why}"));
            *by_origin.entry(name).or_default() += 1;
        }
        by_origin
    }

    /// Asks a service once, on a new connection; the name of the origin.
    ///
    /// # Errors
    /// What came instead of an answer of an origin.
    pub fn try_ask(&self, proxy: &Proxy, service: &str) -> Result<String, String> {
        let mut client = Client::try_connect(proxy.web()).map_err(|e| e.to_string())?;
        client.send(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", self.host(service)));
        let answer = client.response_to("GET")?;
        let name =
            answer.origin().and_then(|id| id.rsplit_once('-')).map(|(name, _)| name.to_owned());
        name.filter(|_| answer.status == 200)
            .ok_or_else(|| format!("{} {}", answer.status, answer.text()))
    }

    /// Waits until a service is answered by exactly these origins, several times in a row; how
    /// long that took.
    ///
    /// # Panics
    /// When it is not.
    pub fn await_origins(&self, proxy: &Proxy, service: &str, wanted: &[&str]) -> Duration {
        let start = Instant::now();
        let mut seen = BTreeMap::new();
        let found = wait::poll(PATIENCE, || {
            seen.clear();
            for _ in 0..wanted.len() * 12 {
                let name = self.try_ask(proxy, service).unwrap_or_else(|why| why);
                *seen.entry(name).or_insert(0) += 1;
            }
            seen.keys().map(String::as_str).eq(wanted.iter().copied()).then_some(())
        });
        assert!(
            found.is_some(),
            "{service}: {wanted:?} wanted, {seen:?} answered\n{}",
            proxy.output()
        );
        start.elapsed()
    }

    /// Starts ringway for this cell.
    #[must_use]
    pub fn start(&self, cell: Cell) -> Proxy {
        Proxy::start(cell, self.settings())
    }
}

/// A file below `deploy/kubernetes`.
///
/// # Panics
/// When there is none of that name.
#[must_use]
pub fn deployed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes").join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// An origin at an address of its own, port 8080.
#[must_use]
pub fn origin(name: &str) -> Origin {
    Origin::at(SocketAddr::new(network::fresh_address(), 8080), name, |_, _| None)
}

/// A service with these origins, by hand.
#[must_use]
pub fn service(name: &str, origins: &[&Origin]) -> String {
    objects::service(name, &origins.iter().map(|o| o.address).collect::<Vec<_>>())
}
