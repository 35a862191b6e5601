//! The control plane as one thing: started with what a suite asks for, broken in its ways.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::kube::api::Api;
use crate::kube::certificates::Certificates;
use crate::kube::daemon::Daemon;
use crate::kube::etcd::{Etcd, Version};
use crate::kube::kubeconfig::{self, Credential};
use crate::kube::kubectl::Kubectl;
use crate::kube::kubelet::Kubelet;
use crate::kube::tools;
use crate::scratch::Scratch;
use crate::{network, ports};

/// The token of the administrator, who may do everything.
const ADMINISTRATOR: &str = "administrator";
/// The token of the user `ringway`, who may do what a test grants.
pub const TOKEN: &str = "ringway-first";
/// The API server has this many addresses, 10.77.0.1 and up; the first is the harness's own.
const SIDES: u8 = 64;

/// What a suite needs of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Which etcd keeps its state.
    pub etcd: Version,
    /// Run kube-controller-manager, a node and its kubelet, so that Deployments become pods with
    /// origins, and Services get their slices. Without, slices are applied by hand.
    pub controllers: bool,
}

/// A running control plane; ended when dropped.
pub struct Cluster {
    /// The kubelet of its node, when it has controllers.
    pub kubelet: Option<Kubelet>,
    controllers: Option<Daemon>,
    proxy: Daemon,
    server: Mutex<Daemon>,
    etcd: Mutex<Etcd>,
    /// The administrator's kubectl.
    pub kubectl: Kubectl,
    /// The administrator's API.
    pub api: Api,
    port: u16,
    certificates: Certificates,
    files: AtomicUsize,
    sides: AtomicU8,
    directory: Scratch,
}

impl Cluster {
    /// The cluster that the tests of this process share: the first one starts it, the last one
    /// that uses it ends it. The calling thread enters the network namespace.
    ///
    /// # Panics
    /// When it does not get ready, or an earlier one did not.
    #[must_use]
    pub fn shared(options: Options) -> Arc<Self> {
        static CLUSTERS: Mutex<Vec<(Options, Weak<Cluster>)>> = Mutex::new(Vec::new());
        network::enter();
        let mut clusters = CLUSTERS.lock().unwrap();
        clusters.retain(|(_, cluster)| cluster.strong_count() > 0);
        let found = clusters.iter().find(|(o, _)| *o == options).and_then(|(_, c)| c.upgrade());
        found.unwrap_or_else(|| {
            let cluster = Arc::new(Self::start(options));
            clusters.push((options, Arc::downgrade(&cluster)));
            cluster
        })
    }

    /// Starts one. The calling thread enters the network namespace.
    ///
    /// # Panics
    /// When it does not get ready.
    #[must_use]
    pub fn start(options: Options) -> Self {
        network::enter();
        let directory = Scratch::new();
        let at = directory.path();
        let sides: Vec<String> = (1..=SIDES).map(|last| format!("10.77.0.{last}")).collect();
        let certificates = Certificates::new(at, &sides);
        directory.put("tokens.csv", &tokens(TOKEN));
        let port = ports::free().port();
        let administrator = Credential::Token(ADMINISTRATOR.into());
        let own = format!("https://10.77.0.1:{port}");
        let text = kubeconfig::text(&own, Some(&certificates.authority), &administrator);
        directory.put("admin.kubeconfig", &text);
        let etcd = Etcd::start(options.etcd, at);
        let kubectl = Kubectl::new(at);
        let (proxy, api) = start_proxy(&kubectl, at);
        let server = start_server(&etcd, &certificates, port, at, api);
        let mut cluster = Self {
            kubelet: None,
            controllers: None,
            proxy,
            server: Mutex::new(server),
            etcd: Mutex::new(etcd),
            kubectl,
            api,
            port,
            certificates,
            files: AtomicUsize::new(0),
            sides: AtomicU8::new(2),
            directory,
        };
        cluster.install_routes();
        if options.controllers {
            cluster.controllers = Some(cluster.start_controllers());
            cluster.kubelet = Some(Kubelet::start(api));
        }
        cluster
    }

    /// Gateway API's standard kinds of routes, and the policies of both channels.
    fn install_routes(&self) {
        let group = "gateway.networking.k8s.io";
        let crds = tools::path("crds");
        let mut arguments = vec!["apply".to_owned(), "--server-side".into()];
        for kind in ["httproutes", "grpcroutes", "tlsroutes", "tcproutes", "backendtlspolicies"] {
            let file = crds.join(format!("standard/{group}_{kind}.yaml"));
            arguments.extend(["-f".into(), file.display().to_string()]);
        }
        let policy = "experimental/gateway.networking.x-k8s.io_xbackendtrafficpolicies.yaml";
        arguments.extend(["-f".into(), crds.join(policy).display().to_string()]);
        self.kubectl.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        self.kubectl.run(&["wait", "--for=condition=Established", "--all", "crd", "--timeout=60s"]);
    }

    fn start_controllers(&self) -> Daemon {
        let mut command = Command::new(tools::path("kube-controller-manager"));
        command.arg("--kubeconfig").arg(self.directory.path().join("admin.kubeconfig"));
        command.arg("--service-account-private-key-file").arg(&self.certificates.signer);
        command.arg("--root-ca-file").arg(&self.certificates.authority);
        command.args(["--use-service-account-credentials=false", "--leader-elect=false"]);
        command.args(["--secure-port=0", "--concurrent-gc-syncs=2"]);
        command.arg(
            "--controllers=deployment-controller,replicaset-controller,endpointslice-controller,\
             serviceaccount-controller,namespace-controller,garbage-collector-controller",
        );
        Daemon::start("kube-controller-manager", command, self.directory.path())
    }

    /// An address of the API server that nobody else uses: it can be blocked.
    ///
    /// # Panics
    /// When all are used.
    #[must_use]
    pub fn side(&self) -> SocketAddr {
        let last = self.sides.fetch_add(1, Ordering::Relaxed);
        assert!(last <= SIDES, "no more addresses of the API server");
        SocketAddr::from(([10, 77, 0, last], self.port))
    }

    /// A kubeconfig that leads to the API server at `side`.
    #[must_use]
    pub fn kubeconfig(&self, side: SocketAddr, credential: &Credential) -> PathBuf {
        let authority = Some(self.certificates.authority.as_path());
        self.put_kubeconfig(&format!("https://{side}"), authority, credential)
    }

    /// A kubeconfig that leads to a scripted server, which speaks plain HTTP.
    #[must_use]
    pub fn kubeconfig_by_way_of(&self, faults: SocketAddr) -> PathBuf {
        self.put_kubeconfig(&format!("http://{faults}"), None, &Credential::Token(TOKEN.into()))
    }

    fn put_kubeconfig(&self, server: &str, authority: Option<&Path>, who: &Credential) -> PathBuf {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let text = kubeconfig::text(server, authority, who);
        self.directory.put(&format!("{number}.kubeconfig"), &text)
    }

    /// Lets the user `ringway` read what it needs of all namespaces, by the role in `deploy`.
    ///
    /// # Panics
    /// When the role is refused.
    pub fn grant(&self) {
        let role =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes/rbac/cluster.yaml");
        self.kubectl.apply(&std::fs::read_to_string(role).unwrap());
        let binding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\n\
                       metadata: {name: ringway-user}\n\
                       roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ringway-discovery}\n\
                       subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: ringway}]\n";
        self.kubectl.apply(binding);
    }

    /// A namespace of this name.
    ///
    /// # Panics
    /// When it exists already.
    pub fn namespace(&self, name: &str) {
        self.kubectl.run(&["create", "namespace", name]);
    }

    /// Ends the API server at once; connections to its address are refused.
    ///
    /// # Panics
    /// When another user of the cluster panicked at it.
    pub fn kill_server(&self) {
        self.server.lock().unwrap().kill();
    }

    /// Starts the API server again, with the state it had.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn start_server(&self) {
        let at = self.directory.path();
        let etcd = self.etcd.lock().unwrap();
        *self.server.lock().unwrap() =
            start_server(&etcd, &self.certificates, self.port, at, self.api);
    }

    /// Makes the API server silent: it still accepts connections and never answers.
    ///
    /// # Panics
    /// When another user of the cluster panicked at it.
    pub fn freeze_server(&self) {
        self.server.lock().unwrap().freeze();
    }

    /// Ends its silence.
    ///
    /// # Panics
    /// When another user of the cluster panicked at it.
    pub fn thaw_server(&self) {
        self.server.lock().unwrap().thaw();
    }

    /// Makes `token` the only one of the user `ringway` and restarts the API server.
    ///
    /// # Panics
    /// When that fails.
    pub fn replace_token(&self, token: &str) {
        self.directory.put("tokens.csv", &tokens(token));
        self.kill_server();
        self.start_server();
    }

    /// Keeps the present state of all objects under `name`.
    ///
    /// # Panics
    /// When that fails.
    pub fn save(&self, name: &str) {
        self.etcd.lock().unwrap().save(name);
    }

    /// Puts the state kept under `name` back: revisions go backwards.
    ///
    /// # Panics
    /// When that fails.
    pub fn restore(&self, name: &str) {
        self.kill_server();
        self.etcd.lock().unwrap().restore(name);
        self.start_server();
    }

    /// Makes etcd forget the history of all objects.
    ///
    /// # Panics
    /// When it refuses.
    pub fn compact(&self) {
        self.etcd.lock().unwrap().compact();
    }

    /// The ends of the logs of its parts, for failures.
    ///
    /// # Panics
    /// When another user of the cluster panicked at it.
    #[must_use]
    pub fn logs(&self) -> String {
        let controllers = self.controllers.as_ref().map(Daemon::log).unwrap_or_default();
        format!("{}\n{}\n{controllers}", self.server.lock().unwrap().log(), self.proxy.log())
    }
}

fn tokens(ringway: &str) -> String {
    format!("{ADMINISTRATOR},administrator,1,\"system:masters\"\n{ringway},ringway,2,\"proxies\"\n")
}

fn start_proxy(kubectl: &Kubectl, directory: &Path) -> (Daemon, Api) {
    let address = ports::free();
    let mut command = kubectl.command();
    command.args(["proxy", "--accept-hosts=.*", "--address=127.0.0.1"]);
    command.arg(format!("--port={}", address.port()));
    let mut daemon = Daemon::start("kubectl-proxy", command, directory);
    daemon.await_ready(|| std::net::TcpStream::connect(address).is_ok());
    (daemon, Api { address })
}

fn start_server(
    etcd: &Etcd,
    certificates: &Certificates,
    port: u16,
    directory: &Path,
    api: Api,
) -> Daemon {
    let mut command = Command::new(tools::path("kube-apiserver"));
    command.arg(format!("--etcd-servers=http://{}", etcd.address));
    command.args(["--bind-address=0.0.0.0", "--advertise-address=10.77.0.1"]);
    command.arg(format!("--secure-port={port}"));
    command.arg("--tls-cert-file").arg(&certificates.certificate);
    command.arg("--tls-private-key-file").arg(&certificates.key);
    command.arg("--cert-dir").arg(directory);
    command.args(["--authorization-mode=RBAC", "--allow-privileged"]);
    command.arg("--token-auth-file").arg(directory.join("tokens.csv"));
    command.arg("--service-cluster-ip-range=10.96.0.0/16");
    command.arg("--service-account-issuer=https://kubernetes.default.svc");
    command.arg("--service-account-key-file").arg(&certificates.signer);
    command.arg("--service-account-signing-key-file").arg(&certificates.signer);
    let mut daemon = Daemon::start("kube-apiserver", command, directory);
    daemon.await_ready(|| api.get("/readyz").is_ok());
    daemon
}
