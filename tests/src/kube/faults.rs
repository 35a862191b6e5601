//! A scripted server in front of the API server, for faults that the real one cannot be made to
//! have: it speaks plain HTTP, forwards by way of `kubectl proxy`, and does to each request what
//! the script says.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::kube::api::Api;

/// What is done about one request.
#[derive(Clone, Debug)]
pub enum Action {
    /// Forward it, and its answer as it comes.
    Pass,
    /// Answer these bytes, and close.
    Send(Vec<u8>),
    /// Say nothing.
    Silence,
    /// Close without an answer.
    Close,
    /// Forward it, and close after this many bytes of its answer.
    Truncate(usize),
    /// Forward it, and its answer in pieces of 512 bytes with this pause after each.
    Slow(Duration),
    /// Forward it; this line comes first in its answer, as an event of a watch.
    Insert(String),
}

impl Action {
    /// A refusal as the API server phrases one, with more fields of the head.
    #[must_use]
    pub fn status(code: u16, reason: &str, fields: &str) -> Self {
        let body = format!(
            r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"scripted","reason":"{reason}","code":{code}}}"#
        );
        let head = format!(
            "HTTP/1.1 {code} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{fields}Connection: close\r\n\r\n",
            body.len()
        );
        Self::Send((head + &body).into_bytes())
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// When, since the server was started.
    pub at: Duration,
    /// Its method.
    pub method: String,
    /// Path and query.
    pub target: String,
}

impl Asked {
    /// Whether it asks for a stream of changes.
    #[must_use]
    pub fn is_watch(&self) -> bool {
        self.target.contains("watch=true") || self.target.contains("watch=1")
    }

    /// Whether it is about objects of this kind, in the plural: `endpointslices`.
    #[must_use]
    pub fn is_about(&self, kind: &str) -> bool {
        let path = self.target.split('?').next().unwrap_or_default();
        path.split('/').any(|part| part == kind)
    }
}

type Script = Box<dyn Fn(&Asked) -> Action + Send + Sync>;

struct Shared {
    api: Api,
    started: Instant,
    script: Mutex<Script>,
    asked: Mutex<Vec<Asked>>,
    streams: Mutex<Vec<TcpStream>>,
    stalled: AtomicBool,
    stop: AtomicBool,
}

/// A running scripted server; stops when dropped.
pub struct Faults {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Faults {
    /// One in front of `api` that passes everything on at first.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn before(api: Api) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            api,
            started: Instant::now(),
            script: Mutex::new(Box::new(|_| Action::Pass)),
            asked: Mutex::default(),
            streams: Mutex::default(),
            stalled: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared }
    }

    /// What happens to requests from now on.
    ///
    /// # Panics
    /// When a connection's thread panicked.
    pub fn script(&self, script: impl Fn(&Asked) -> Action + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// All requests so far, in order.
    ///
    /// # Panics
    /// When a connection's thread panicked.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Ends all connections that are open.
    ///
    /// # Panics
    /// When a connection's thread panicked.
    pub fn cut(&self) {
        for stream in self.shared.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// From now on nothing is passed on, and no connection ends; or again as before.
    pub fn stall(&self, stalled: bool) {
        self.shared.stalled.store(stalled, Ordering::SeqCst);
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.cut();
    }
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Waits while everything is stalled.
    fn pass(&self) {
        while self.stalled.load(Ordering::SeqCst) && !self.stopped() {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped() {
            return;
        }
        let Ok(stream) = stream else { continue };
        if let Ok(own) = stream.try_clone() {
            shared.streams.lock().unwrap().push(own);
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let ends = stream.try_clone();
            serve(stream, &shared);
            ends.map(|stream| stream.shutdown(Shutdown::Both))
        });
    }
}

/// One request; the connection ends with its answer.
fn serve(mut client: TcpStream, shared: &Shared) -> Option<()> {
    let (head, body) = request(&mut client)?;
    let mut words = head.lines().next()?.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let asked = Asked { at: shared.started.elapsed(), method, target };
    shared.asked.lock().unwrap().push(asked.clone());
    let action = (shared.script.lock().unwrap())(&asked);
    shared.pass();
    match action {
        Action::Close => {}
        Action::Send(bytes) => client.write_all(&bytes).ok()?,
        // Until the client gives up, or `cut` does.
        Action::Silence => while client.read(&mut [0; 256]).is_ok_and(|n| n > 0) {},
        action => forward(client, &head, &body, &action, shared)?,
    }
    Some(())
}

/// Head and body of a request.
fn request(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut data = Vec::new();
    let end = loop {
        if let Some(end) = data.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        more(client, &mut data)?;
    };
    let head = String::from_utf8_lossy(&data[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = data.split_off(end + 4);
    while body.len() < length.unwrap_or(0) {
        more(client, &mut body)?;
    }
    Some((head, body))
}

fn more(stream: &mut TcpStream, into: &mut Vec<u8>) -> Option<usize> {
    let mut buffer = [0; 16 << 10];
    let n = stream.read(&mut buffer).ok().filter(|&n| n > 0)?;
    into.extend_from_slice(&buffer[..n]);
    Some(n)
}

fn forward(
    mut client: TcpStream,
    head: &str,
    body: &[u8],
    action: &Action,
    shared: &Shared,
) -> Option<()> {
    let mut server = TcpStream::connect(shared.api.address).ok()?;
    // The API server would compress long lists.
    let kept = head.lines().filter(|line| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        !["connection", "accept-encoding"].contains(&name.as_str())
    });
    let head = kept.collect::<Vec<_>>().join("\r\n") + "\r\nConnection: close\r\n\r\n";
    server.write_all(head.as_bytes()).and_then(|()| server.write_all(body)).ok()?;
    // A client that goes ends the watch it had.
    let (mut leaving, upstream) = (client.try_clone().ok()?, server.try_clone().ok()?);
    thread::spawn(move || {
        while leaving.read(&mut [0; 256]).is_ok_and(|n| n > 0) {}
        let _ = upstream.shutdown(Shutdown::Both);
    });
    relay(&mut server, &mut client, action, shared)
}

fn relay(
    server: &mut TcpStream,
    client: &mut TcpStream,
    action: &Action,
    shared: &Shared,
) -> Option<()> {
    if let Action::Insert(line) = action {
        insert(server, client, line)?;
    }
    let mut left = if let Action::Truncate(bytes) = action { *bytes } else { usize::MAX };
    let size = if matches!(action, Action::Slow(_)) { 512 } else { 16 << 10 };
    let mut buffer = vec![0; size];
    while left > 0 {
        let n = server.read(&mut buffer).ok().filter(|&n| n > 0)?.min(left);
        shared.pass();
        client.write_all(&buffer[..n]).ok()?;
        left -= n;
        if let Action::Slow(pause) = action {
            thread::sleep(*pause);
        }
    }
    Some(())
}

/// Passes the head of a chunked answer on and adds a chunk of its own.
fn insert(server: &mut TcpStream, client: &mut TcpStream, line: &str) -> Option<()> {
    let mut data = Vec::new();
    let end = loop {
        if let Some(end) = data.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        more(server, &mut data)?;
    };
    client.write_all(&data[..end]).ok()?;
    write!(client, "{:x}\r\n{line}\n\r\n", line.len() + 1).ok()?;
    client.write_all(&data[end..]).ok()
}
