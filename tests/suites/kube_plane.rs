//! The control plane that the other suites rely on does what they rely on: pods become endpoints,
//! rights are kept, history can be forgotten and turned back, an old etcd is one. And what
//! `deploy/kubernetes` has is accepted by it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringway_tests::client;
use ringway_tests::kube::cluster::{Cluster, Options};
use ringway_tests::kube::etcd::Version;
use ringway_tests::kube::objects;
use ringway_tests::wait;
use serde_json::{Value, json};

const CONTROLLED: Options = Options { etcd: Version::Current, controllers: true };
/// Room for a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// The addresses of the ready endpoints of a service.
fn ready(cluster: &Cluster, namespace: &str) -> Vec<String> {
    let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
    let slices = cluster.api.get(&path).unwrap();
    let endpoints = slices["items"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default());
    let ready = endpoints.filter(|e| e["conditions"]["ready"] == true);
    ready.map(|e| e["addresses"][0].as_str().unwrap().to_owned()).collect()
}

#[test]
fn pods_become_endpoints_and_leave_in_order() {
    let cluster = Cluster::shared(CONTROLLED);
    let kubelet = cluster.kubelet.as_ref().unwrap();
    cluster.namespace("pods");
    cluster.kubectl.apply_to("pods", &objects::deployment("app", 2));
    wait::until(PATIENCE, "two endpoints", || ready(&cluster, "pods").len() == 2);
    for pod in kubelet.pods("pods") {
        let answer = client::get(pod.origin.address, "/");
        assert!(answer.text().contains(&format!("id={}-", pod.name)), "{}", answer.text());
        assert!(ready(&cluster, "pods").contains(&pod.origin.address.ip().to_string()));
    }
    cluster.kubectl.run(&["-n", "pods", "scale", "deployment/app", "--replicas=1"]);
    wait::until(PATIENCE, "one endpoint less", || ready(&cluster, "pods").len() == 1);
    let told = || kubelet.pods("pods").into_iter().find(|pod| pod.told.is_some());
    let leaving = wait::poll(PATIENCE, told).expect("a pod is told to end");
    let serves = leaving.ended || client::get(leaving.origin.address, "/").status == 200;
    assert!(serves, "a pod serves on after it has been taken out");
    wait::until(PATIENCE, "it ends", || kubelet.pods("pods").iter().any(|p| p.ended));
}

#[test]
fn rights_are_kept() {
    let cluster = Cluster::shared(CONTROLLED);
    let may = |verb: &str, what: &str| {
        let asked = ["auth", "can-i", verb, what, "--all-namespaces", "--as=ringway"];
        cluster.kubectl.attempt(&asked, "").is_ok_and(|said| said.trim() == "yes")
    };
    assert!(!may("list", "services"), "nothing is allowed that was not granted");
    cluster.grant();
    wait::until(PATIENCE, "what was granted is allowed", || may("watch", "services"));
    assert!(may("list", "httproutes.gateway.networking.k8s.io"));
    assert!(!may("list", "secrets") && !may("update", "services"));
}

fn deployed() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes");
    let entries = [root.clone(), root.join("rbac")].map(|d| fs::read_dir(d).unwrap());
    let files = entries.into_iter().flatten().map(|e| e.unwrap().path());
    files.filter(|p| p.extension().is_some_and(|e| e == "yaml")).collect()
}

#[test]
fn manifests_of_deploy_are_accepted() {
    let cluster = Cluster::shared(CONTROLLED);
    cluster.namespace("shop");
    let files = deployed();
    assert!(files.len() >= 5, "{files:?}");
    let dry = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let done = cluster.kubectl.attempt(&dry, &text);
        done.unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        let wrong = text.replace("\nmetadata:\n", "\nmetadata:\n  nonsense: 1\n");
        let done = cluster.kubectl.attempt(&dry, &wrong);
        assert!(done.is_err(), "{}: a field that does not exist is refused", file.display());
    }
}

#[test]
fn history_is_forgotten_and_turned_back() {
    let cluster = Cluster::start(Options::default());
    let api = cluster.api;
    let services = "/api/v1/namespaces/default/services";
    let version = || {
        let list: Value = api.get(services).unwrap();
        list["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap()
    };
    let note = |name: &str| {
        let note = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        api.create("/api/v1/namespaces/default/configmaps", &note).map(drop)
    };
    let early = version();
    cluster.save("early");
    for i in 0..20 {
        note(&format!("n{i}")).unwrap();
    }
    let late = version();
    assert!(late >= early + 20);
    cluster.restore("early");
    // The server itself writes a little when it starts.
    assert!(version() < late, "revisions go backwards");
    note("n0").expect("what was made since is gone");
    cluster.compact();
    cluster.kill_server();
    cluster.start_server();
    let watch = api.get(&format!("{services}?watch=true&resourceVersion={early}&timeoutSeconds=5"));
    // One JSON document is an answer's only event.
    let gone =
        watch.map(|event| event["object"]["code"] == 410).unwrap_or_else(|why| why.contains("410"));
    assert!(gone, "changes since a forgotten revision are refused");
}

#[test]
fn an_old_etcd_has_no_streaming_lists() {
    let lists = "/api/v1/services?watch=true&sendInitialEvents=true&allowWatchBookmarks=true\
                 &resourceVersionMatch=NotOlderThan&timeoutSeconds=1";
    let old = Cluster::start(Options { etcd: Version::Debian, controllers: false });
    let refused = old.api.get(lists).unwrap();
    assert_eq!(refused["type"], "ERROR", "the watch begins, and ends with this: {refused}");
    let message = refused["object"]["message"].as_str().unwrap();
    assert!(message.contains("required storage feature"), "{message}");
    drop(old);
    let listed = Cluster::shared(CONTROLLED).api.get(lists).unwrap();
    assert_ne!(listed["type"], "ERROR", "etcd 3.6 can: {listed}");
}
