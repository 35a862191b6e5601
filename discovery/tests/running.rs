//! The thread itself: directories that change under it, names that are resolved, reloads.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod directory;
mod worker;

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use directory::Directory;
use ringway_config::{Config, Host, HostPort, Kind, Listener, StaticEndpoint, StaticService};
use ringway_core::snapshot::Balancer;
use ringway_discovery::{Settings, check};
use worker::{Worker, endpoints};

fn manifest(address: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{ports: [{{port: 80}}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: web-1, labels: {{kubernetes.io/service-name: web}}}}\naddressType: IPv4\n\
         ports: [{{port: 8080}}]\nendpoints: [{{addresses: [{address}]}}]\n",
    )
}

fn settings(manifests: Option<&Path>) -> Settings {
    let mut config = Config::default();
    let mut listener = Listener::new("http", ([127, 0, 0, 1], 4140).into(), Kind::Gateway);
    listener.service = Some(String::from("web"));
    config.listeners.push(listener);
    config.discovery.manifests = manifests.map(Path::to_owned);
    Settings::from(&config)
}

fn fixed(host: Host) -> StaticService {
    StaticService {
        name: String::from("web"),
        port: 80,
        endpoints: vec![StaticEndpoint { address: HostPort { host, port: 8080 }, weight: 1 }],
        balancer: Balancer::RoundRobin,
        protocol: ringway_core::snapshot::HttpProtocol::Http1,
        meshed: false,
        connect_timeout: Duration::from_secs(1),
    }
}

/// The worker of these settings.
fn start(settings: Settings) -> Worker {
    Worker::start(settings, Duration::from_secs(10))
}

impl Worker {
    /// Waits for a snapshot with exactly these endpoints.
    fn until(&self, wanted: &[&str]) {
        while endpoints(&self.next()) != wanted {}
    }
}

#[test]
fn a_renamed_manifest_moves_traffic() {
    let directory = Directory::new();
    directory.put("web.yaml", &manifest("10.0.0.1"));
    let worker = start(settings(Some(directory.path())));
    assert_eq!(endpoints(&worker.next()), ["10.0.0.1:8080"]);
    directory.put("web.yaml", &manifest("10.0.0.2"));
    assert_eq!(endpoints(&worker.next()), ["10.0.0.2:8080"], "nothing between old and new");
    fs::remove_file(directory.path().join("web.yaml")).unwrap();
    worker.until(&[]);
}

#[test]
fn a_config_map_is_swapped() {
    let directory = Directory::new();
    let version = |name: &str, address: &str| {
        fs::create_dir(directory.path().join(name)).unwrap();
        fs::write(directory.path().join(name).join("web.yaml"), manifest(address)).unwrap();
        symlink(name, directory.path().join("..new")).unwrap();
        fs::rename(directory.path().join("..new"), directory.path().join("..data")).unwrap();
    };
    version("..1", "10.0.0.1");
    symlink("..data/web.yaml", directory.path().join("web.yaml")).unwrap();
    let worker = start(settings(Some(directory.path())));
    assert_eq!(endpoints(&worker.next()), ["10.0.0.1:8080"]);
    version("..2", "10.0.0.2");
    assert_eq!(endpoints(&worker.next()), ["10.0.0.2:8080"]);
}

#[test]
fn a_broken_manifest_is_reported_and_changes_nothing() {
    let directory = Directory::new();
    directory.put("web.yaml", &manifest("10.0.0.1"));
    let worker = start(settings(Some(directory.path())));
    assert_eq!(worker.next().generation, 1);
    // The good change beside the mistake is not taken either.
    directory.put(
        "bad.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: x}]}\n",
    );
    directory.put("web.yaml", &manifest("10.0.0.2"));
    let error = loop {
        let status = worker.handle.status();
        if let Some(error) = status.sources.iter().find_map(|s| s.last_error.clone()) {
            break error;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(error.contains("bad.yaml:4:23: spec.ports[0].port: found `x`, expected"), "{error}");
    assert!(check(&settings(Some(directory.path()))).is_err());
    assert!(worker.mailbox.take().is_none());
    directory.put("bad.yaml", "");
    let snapshot = worker.next();
    assert_eq!((snapshot.generation, endpoints(&snapshot)), (2, vec!["10.0.0.2:8080".into()]));
    assert!(worker.handle.status().sources.iter().all(|s| s.last_error.is_none()));
    assert!(worker.handle.is_running());
    worker.handle.stop();
    assert!(worker.mailbox.take().is_none());
}

#[test]
fn replacing_settings_publishes_anew() {
    let mut settings = settings(None);
    settings.services.push(fixed(Host::Ip([127, 0, 0, 1].into())));
    let worker = start(settings.clone());
    assert_eq!(endpoints(&worker.next()), ["127.0.0.1:8080"]);
    let directory = Directory::new();
    directory.put("web.yaml", &manifest("10.0.0.1"));
    settings.services.clear();
    settings.discovery.manifests = Some(directory.path().to_owned());
    worker.handle.replace(settings.clone());
    assert_eq!(endpoints(&worker.next()), ["10.0.0.1:8080"], "waits for the new source");
    settings.discovery.manifests = None;
    settings.services.push(fixed(Host::Name(String::from("localhost"))));
    worker.handle.replace(settings);
    assert_eq!(endpoints(&worker.next()), ["127.0.0.1:8080"]);
}

/// Answers A queries with 10.0.0.`last` and a TTL of 0 s; 0 is SERVFAIL, 255 no answer at all.
fn dns(last: Arc<AtomicU8>) -> (SocketAddr, mpsc::Receiver<u8>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (asked, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let value = last.load(Ordering::SeqCst);
            if value != 255 {
                let _ = socket.send_to(&reply(&query[..length], value), from);
            }
            if asked.send(value).is_err() {
                return;
            }
        }
    });
    (address, heard)
}

/// The reply to a query with one question (RFC 1035 4.1).
fn reply(query: &[u8], last: u8) -> Vec<u8> {
    let name = 12 + query[12..].iter().position(|&b| b == 0).unwrap() + 1;
    let is_a = query[name..name + 2] == [0, 1];
    let mut reply = query[..name + 4].to_vec();
    let (code, answers) = if last == 0 { (2, 0) } else { (0, u8::from(is_a)) };
    reply[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0]);
    if answers == 1 {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 10, 0, 0, last]);
    }
    reply
}

#[test]
fn names_are_resolved_again_and_keep_their_last_answer() {
    let last = Arc::new(AtomicU8::new(1));
    let (server, asked) = dns(last.clone());
    let mut settings = settings(None);
    settings.resolver = Some(server);
    settings.discovery.dns.min_ttl = Duration::from_millis(20);
    settings.services.push(fixed(Host::Name(String::from("web.test"))));
    let worker = start(settings);
    assert_eq!(endpoints(&worker.next()), ["10.0.0.1:8080"], "the first answer is waited for");
    last.store(0, Ordering::SeqCst);
    while asked.recv_timeout(Duration::from_secs(10)).unwrap() != 0 {}
    last.store(2, Ordering::SeqCst);
    assert_eq!(endpoints(&worker.next()), ["10.0.0.2:8080"], "a failure changed nothing");
}

#[test]
fn a_silent_server_does_not_hold_the_rest_back() {
    let (server, _asked) = dns(Arc::new(AtomicU8::new(255)));
    let mut settings = settings(None);
    settings.resolver = Some(server);
    let mut service = fixed(Host::Name(String::from("web.test")));
    service.endpoints.extend(fixed(Host::Ip([10, 0, 0, 9].into())).endpoints);
    settings.services.push(service);
    let worker = start(settings);
    assert_eq!(endpoints(&worker.next()), ["10.0.0.9:8080"]);
}
