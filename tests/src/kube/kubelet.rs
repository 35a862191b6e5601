//! The node's kubelet: each pod bound to it gets an address and a real origin there, its status
//! says so, and a pod that is deleted serves on until it has been taken out of use.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kube::api::Api;
use crate::network;
use crate::origin::Origin;

/// The only node; pods are bound to it as soon as they are seen.
pub const NODE: &str = "node-a";
/// The port of a pod whose first container names none.
const PORT: u16 = 8080;
/// How long a pod that was told to end still serves: the sleep of a `preStop` hook.
const LINGER: Duration = Duration::from_secs(2);

/// A pod that runs, or ran.
#[derive(Clone)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name, which is also the name of its origin.
    pub name: String,
    /// Its process; after its end it is kept for what it has recorded.
    pub origin: Arc<Origin>,
    /// When it was told to end.
    pub told: Option<Instant>,
    /// Whether it has ended.
    pub ended: bool,
}

type Pods = Arc<Mutex<BTreeMap<String, Pod>>>;

/// A running kubelet; ends when dropped, and its pods with it.
pub struct Kubelet {
    pods: Pods,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Kubelet {
    /// Registers the node and starts to look after its pods.
    ///
    /// # Panics
    /// When the node is refused.
    #[must_use]
    pub fn start(api: Api) -> Self {
        let labels =
            json!({"kubernetes.io/hostname": NODE, "topology.kubernetes.io/zone": "zone-a"});
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": labels}});
        api.create("/api/v1/nodes", &node).unwrap_or_else(|why| panic!("the node: {why}"));
        let (pods, stop) = (Pods::default(), Arc::<AtomicBool>::default());
        let (own, ends) = (Arc::clone(&pods), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                // The API server may be away: then pods stay as they are, as on a real node.
                let _ = look(api, &own);
                thread::sleep(Duration::from_millis(100));
            }
        });
        Self { pods, stop, thread: Some(thread) }
    }

    /// The pods of `namespace` that it has started so far, those that ended as well.
    ///
    /// # Panics
    /// When its thread panicked.
    #[must_use]
    pub fn pods(&self, namespace: &str) -> Vec<Pod> {
        let pods = self.pods.lock().unwrap();
        pods.values().filter(|p| p.namespace == namespace).cloned().collect()
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Compares the pods of the API with those that run.
fn look(api: Api, pods: &Pods) -> Result<(), String> {
    let list = api.get("/api/v1/pods")?;
    let found = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    for pod in found {
        // One that is refused, because it was just deleted, is looked at again.
        let _ = tend(api, pod, &mut pods.lock().unwrap());
    }
    let listed: Vec<&str> = found.iter().map(|pod| text(pod, "uid")).collect();
    for (uid, pod) in pods.lock().unwrap().iter_mut() {
        if !pod.ended && !listed.contains(&uid.as_str()) {
            end(pod);
        }
    }
    Ok(())
}

fn tend(api: Api, pod: &Value, pods: &mut BTreeMap<String, Pod>) -> Result<(), String> {
    let (uid, namespace, name) = (text(pod, "uid"), text(pod, "namespace"), text(pod, "name"));
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    let leaving = !pod["metadata"]["deletionTimestamp"].is_null();
    match pods.get_mut(uid) {
        None if leaving => api.delete(&path).map(drop),
        None => {
            if pod["spec"]["nodeName"].is_null() {
                let target = json!({"apiVersion": "v1", "kind": "Node", "name": NODE});
                let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target});
                api.create(&format!("{path}/binding"), &binding)?;
            }
            let running = run(pod);
            api.merge(&format!("{path}/status"), &status(running.origin.address.ip()))?;
            pods.insert(uid.into(), running);
            Ok(())
        }
        Some(running) if leaving && !running.ended => {
            if running.told.get_or_insert_with(Instant::now).elapsed() < LINGER {
                return Ok(());
            }
            end(running);
            api.delete(&path).map(drop)
        }
        Some(_) => Ok(()),
    }
}

fn run(pod: &Value) -> Pod {
    let port = pod["spec"]["containers"][0]["ports"][0]["containerPort"].as_u64();
    let port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(PORT);
    let name = text(pod, "name");
    let at = SocketAddr::new(network::fresh_address(), port);
    Pod {
        namespace: text(pod, "namespace").into(),
        name: name.into(),
        origin: Arc::new(Origin::at(at, name, |_, _| None)),
        told: None,
        ended: false,
    }
}

fn end(pod: &mut Pod) {
    pod.origin.refuse();
    pod.origin.drop_connections();
    pod.ended = true;
}

/// What a kubelet writes about a pod whose containers run and are ready.
fn status(ip: IpAddr) -> Value {
    let conditions: Vec<Value> = ["PodScheduled", "Initialized", "ContainersReady", "Ready"]
        .iter()
        .map(|kind| json!({"type": kind, "status": "True"}))
        .collect();
    let ip = ip.to_string();
    json!({"status": {
        "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "10.77.0.1",
        "conditions": conditions,
    }})
}

fn text<'a>(pod: &'a Value, key: &str) -> &'a str {
    pod["metadata"][key].as_str().unwrap_or_default()
}
