//! A Kubernetes API server as far as a watch can tell, for what a real one cannot be made to do:
//! answers that break off, kinds that are wrong, watches that fall silent.
//! Everything a real one does is tested against a real one, in `tests/`.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What the double does instead of a right answer.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Answers with this status and these header lines.
    Status(u16, &'static str),
    /// Takes the request and says nothing.
    Silent,
    /// Says the head of a watch and nothing more, not even bookmarks.
    Mute,
}

/// A piece of a watch.
#[derive(Clone)]
enum Piece {
    Line(String),
    /// The watch ends here, as when its time is over.
    End,
    /// The connection ends here, within a line.
    Cut,
}

#[derive(Default)]
struct State {
    /// By plural, then by namespace and name.
    objects: BTreeMap<String, BTreeMap<(String, String), Value>>,
    version: u64,
    /// What was asked for, and when.
    asked: Vec<(Instant, String)>,
    watches: Vec<(String, Option<String>, Sender<Piece>)>,
    faults: BTreeMap<String, Fault>,
    no_streaming: bool,
    page: usize,
}

/// A running double. Its threads end with the process.
pub(crate) struct Double {
    state: Arc<Mutex<State>>,
    kubeconfig: PathBuf,
}

const KINDS: [(&str, &str); 8] = [
    ("Service", "services"),
    ("EndpointSlice", "endpointslices"),
    ("HTTPRoute", "httproutes"),
    ("GRPCRoute", "grpcroutes"),
    ("TLSRoute", "tlsroutes"),
    ("TCPRoute", "tcproutes"),
    ("BackendTLSPolicy", "backendtlspolicies"),
    ("XBackendTrafficPolicy", "xbackendtrafficpolicies"),
];

fn plural(kind: &str) -> &'static str {
    KINDS.iter().find(|(known, _)| *known == kind).map_or("others", |(_, plural)| plural)
}

impl Double {
    /// Starts one with Gateway API's kinds, and writes a kubeconfig for it into `directory`.
    pub(crate) fn start(directory: &std::path::Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { version: 100, page: 500, ..State::default() }));
        let mut objects = BTreeMap::new();
        for (_, plural) in KINDS {
            objects.insert(plural.to_owned(), BTreeMap::new());
        }
        state.lock().unwrap().objects = objects;
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        let kubeconfig = directory.join("kubeconfig");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "double",
            "clusters": [{"name": "double", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "me", "user": {}}],
            "contexts": [{"name": "double", "context": {"cluster": "double", "user": "me"}}],
        });
        std::fs::write(&kubeconfig, text.to_string()).unwrap();
        Self { state, kubeconfig }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Puts an object, given as in a manifest, and tells the watches.
    pub(crate) fn put(&self, object: &Value) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version.to_string();
        let mut object = object.clone();
        object["metadata"]["resourceVersion"] = json!(version);
        object["metadata"]["managedFields"] = json!([{"manager": "x".repeat(1000)}]);
        object["status"] = json!({"observed": [1, 2, {"deep": true}]});
        let plural = plural(object["kind"].as_str().unwrap());
        let key = key(&object);
        let before = state.objects.get_mut(plural).unwrap().insert(key.clone(), object.clone());
        let event = if before.is_some() { "MODIFIED" } else { "ADDED" };
        state.send(plural, &key.0, &json!({"type": event, "object": object}).to_string());
    }

    /// Takes an object away and tells the watches.
    pub(crate) fn delete(&self, kind: &str, namespace: &str, name: &str) {
        let mut state = self.state();
        let key = (namespace.to_owned(), name.to_owned());
        let gone = state.objects.get_mut(plural(kind)).unwrap().remove(&key);
        state.version += 1;
        if let Some(mut object) = gone {
            object["metadata"]["resourceVersion"] = json!(state.version.to_string());
            let line = json!({"type": "DELETED", "object": object}).to_string();
            state.send(plural(kind), namespace, &line);
        }
    }

    /// Takes an object away while nobody is told.
    pub(crate) fn delete_unseen(&self, kind: &str, namespace: &str, name: &str) {
        let mut state = self.state();
        state.objects.get_mut(plural(kind)).unwrap().remove(&(namespace.into(), name.into()));
    }

    /// Sends a line to the watches of a kind.
    pub(crate) fn send(&self, kind: &str, line: &str) {
        self.state().send(plural(kind), "", line);
    }

    /// Ends the watches of a kind within a line.
    pub(crate) fn cut(&self, kind: &str) {
        let begun = Piece::Line(String::from("{\"type\":\"ADDED\",\"obj"));
        self.state().dismiss(plural(kind), || [Some(begun.clone()), Some(Piece::Cut)]);
    }

    /// Ends the watches of a kind as when their time is over.
    pub(crate) fn end(&self, kind: &str) {
        self.state().dismiss(plural(kind), || [Some(Piece::End), None]);
    }

    /// What to do instead of a right answer to the next requests for a kind.
    pub(crate) fn fail(&self, kind: &str, fault: Option<Fault>) {
        let mut state = self.state();
        match fault {
            Some(fault) => state.faults.insert(plural(kind).to_owned(), fault),
            None => state.faults.remove(plural(kind)),
        };
    }

    /// Refuses streaming lists, as an API server on an old etcd does.
    pub(crate) fn refuse_streaming(&self) {
        self.state().no_streaming = true;
    }

    /// Gives lists by pages of so many items, whatever is asked for.
    pub(crate) fn page(&self, items: usize) {
        self.state().page = items;
    }

    /// Goes back to an older version, as after a restore from a backup.
    pub(crate) fn restore(&self, version: u64) {
        self.state().version = version;
    }

    /// Takes a kind away altogether, or gives it back.
    pub(crate) fn serve_kind(&self, kind: &str, served: bool) {
        let mut state = self.state();
        if served {
            state.objects.entry(plural(kind).to_owned()).or_default();
        } else {
            state.objects.remove(plural(kind));
        }
    }

    /// The requests for a kind so far, with the time of each.
    pub(crate) fn asked(&self, kind: &str) -> Vec<(Instant, String)> {
        let wanted = format!("/{}?", plural(kind));
        let state = self.state();
        state.asked.iter().filter(|(_, target)| target.contains(&wanted)).cloned().collect()
    }
}

impl State {
    /// Ends the watches of a kind with these pieces.
    fn dismiss(&mut self, plural: &str, last: impl Fn() -> [Option<Piece>; 2]) {
        self.watches.retain(|(watched, _, sender)| {
            let ours = watched == plural;
            for piece in last().into_iter().flatten().filter(|_| ours) {
                let _ = sender.send(piece);
            }
            !ours
        });
    }

    fn send(&mut self, plural: &str, namespace: &str, line: &str) {
        self.watches.retain(|(watched, of, sender)| {
            let meant = watched == plural
                && (namespace.is_empty() || of.as_deref().is_none_or(|of| of == namespace));
            !meant || sender.send(Piece::Line(format!("{line}\n"))).is_ok()
        });
    }
}

fn key(object: &Value) -> (String, String) {
    let metadata = &object["metadata"];
    let text = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut header = String::from("x");
        while !header.trim().is_empty() {
            header.clear();
            if reader.read_line(&mut header).unwrap_or(0) == 0 {
                return;
            }
        }
        let target = line.split(' ').nth(1).unwrap_or("/").to_owned();
        if answer(&stream, &target, state).is_err() {
            return;
        }
    }
}

/// Answers one request; an error ends the connection.
fn answer(stream: &TcpStream, target: &str, shared: &Mutex<State>) -> io::Result<()> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query: BTreeMap<&str, &str> =
        query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let mut state = shared.lock().unwrap();
    state.asked.push((Instant::now(), target.to_owned()));
    if path == "/readyz" {
        return respond(stream, 200, "", &json!("ok"));
    }
    if path == "/apis" {
        let body = catalog(&state);
        return respond(stream, 200, "", &body);
    }
    let segments: Vec<&str> = path.split('/').collect();
    let plural = segments.last().copied().unwrap_or_default();
    let namespace =
        segments.iter().position(|s| *s == "namespaces").map(|at| segments[at + 1].to_owned());
    let fault = state.faults.get(plural).cloned();
    match &fault {
        Some(Fault::Status(status, headers)) => {
            let body = json!({"kind": "Status", "code": status, "message": "as told"});
            return respond(stream, *status, headers, &body);
        }
        Some(Fault::Silent) => {
            drop(state);
            std::thread::sleep(Duration::from_secs(3600));
            return Err(io::ErrorKind::TimedOut.into());
        }
        Some(Fault::Mute) | None => {}
    }
    let Some(objects) = state.objects.get(plural) else {
        return respond(
            stream,
            404,
            "",
            &json!({"kind": "Status", "code": 404, "message": "no such kind"}),
        );
    };
    let ours = |key: &(String, String)| namespace.as_ref().is_none_or(|n| *n == key.0);
    let items: Vec<Value> =
        objects.iter().filter(|(key, _)| ours(key)).map(|(_, object)| object.clone()).collect();
    if query.get("watch") != Some(&"true") {
        return respond(stream, 200, "", &list(&state, plural, &query, &items));
    }
    let streamed = query.contains_key("sendInitialEvents");
    if streamed && state.no_streaming {
        let message = "sendInitialEvents: Forbidden: a required storage feature is missing";
        return respond(
            stream,
            422,
            "",
            &json!({"kind": "Status", "code": 422, "message": message}),
        );
    }
    let (sender, pieces) = channel();
    if streamed {
        for item in items {
            let line = json!({"type": "ADDED", "object": item}).to_string();
            let _ = sender.send(Piece::Line(line + "\n"));
        }
        let metadata = json!({
            "resourceVersion": state.version.to_string(),
            "annotations": {"k8s.io/initial-events-end": "true"},
        });
        let line = json!({"type": "BOOKMARK", "object": {"metadata": metadata}}).to_string();
        let _ = sender.send(Piece::Line(line + "\n"));
    }
    if !matches!(fault, Some(Fault::Mute)) {
        state.watches.push((plural.to_owned(), namespace, sender.clone()));
    }
    drop(state);
    let ended = follow(stream, &pieces);
    // Kept until now: a mute watch has nobody else who could speak.
    drop(sender);
    ended
}

/// One page of a list.
fn list(state: &State, plural: &str, query: &BTreeMap<&str, &str>, items: &[Value]) -> Value {
    let from: usize = query.get("continue").and_then(|at| at.parse().ok()).unwrap_or(0);
    let limit =
        query.get("limit").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX).min(state.page);
    let kind = KINDS.iter().find(|(_, known)| *known == plural).map_or("", |(kind, _)| kind);
    let next = from + limit;
    json!({
        "kind": format!("{kind}List"), "apiVersion": "v1",
        "metadata": {
            "resourceVersion": state.version.to_string(),
            "continue": if next < items.len() { next.to_string() } else { String::new() },
        },
        // Items of built-in kinds do not say what they are.
        "items": items.iter().skip(from).take(limit).map(|item| {
            let mut item = item.clone();
            let fields = item.as_object_mut().unwrap();
            fields.remove("kind");
            fields.remove("apiVersion");
            item
        }).collect::<Vec<_>>(),
    })
}

fn follow(mut stream: &TcpStream, pieces: &Receiver<Piece>) -> io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
    )?;
    while let Ok(piece) = pieces.recv() {
        match piece {
            Piece::Line(line) => {
                stream.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes())?;
            }
            Piece::End => return stream.write_all(b"0\r\n\r\n"),
            Piece::Cut => break,
        }
    }
    stream.shutdown(std::net::Shutdown::Both)?;
    Err(io::ErrorKind::ConnectionReset.into())
}

fn respond(mut stream: &TcpStream, status: u16, headers: &str, body: &Value) -> io::Result<()> {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes())
}

fn catalog(state: &State) -> Value {
    let served = |group: &[&str]| -> Vec<Value> {
        let there = group.iter().filter(|plural| state.objects.contains_key(**plural));
        there.map(|plural| json!({"resource": plural})).collect()
    };
    let gateway = ["httproutes", "grpcroutes", "tlsroutes", "tcproutes", "backendtlspolicies"];
    json!({"kind": "APIGroupDiscoveryList", "items": [
        {"metadata": {"name": "gateway.networking.k8s.io"},
         "versions": [{"version": "v1", "resources": served(&gateway)}]},
        {"metadata": {"name": "gateway.networking.x-k8s.io"},
         "versions": [{"version": "v1alpha1", "resources": served(&["xbackendtrafficpolicies"])}]},
    ]})
}
