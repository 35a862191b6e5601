//! The strict recording upstream: it re-parses every byte the proxy sends it, keeps what it saw
//! per connection, and answers as the test scripts it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::reply::{Act, reply};
use crate::strict::{End, Found, Reader, Recorded, State};
use crate::sys;
use crate::text::{Pattern, tokens};

/// When a script is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The head is there, the body is not read yet.
    Head,
    /// The request is complete.
    Whole,
}

/// Decides about a request; `None` leaves it to the default, an echo of the request line.
type Script = dyn Fn(&Recorded, Moment) -> Option<Vec<Act>> + Send + Sync;

struct Connection {
    reader: Mutex<Reader>,
    stream: Mutex<Option<TcpStream>>,
    end: Mutex<Option<End>>,
}

struct Shared {
    name: String,
    script: Box<Script>,
    connections: Mutex<Vec<Arc<Connection>>>,
    sequence: AtomicUsize,
    stop: AtomicBool,
}

/// A running origin; stops when dropped.
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    closed: AtomicBool,
}

impl Origin {
    /// An origin that answers each request with its own name and the request line.
    #[must_use]
    pub fn echo(name: &str) -> Self {
        Self::scripted(name, |_, _| None)
    }

    /// An origin with a script.
    #[must_use]
    pub fn scripted(
        name: &str,
        script: impl Fn(&Recorded, Moment) -> Option<Vec<Act>> + Send + Sync + 'static,
    ) -> Self {
        Self::at("127.0.0.1:0".parse().expect("an address"), name, script)
    }

    /// An origin that gives each complete request these acts.
    #[must_use]
    pub fn acting(
        name: &str,
        acts: impl Fn(&Recorded) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        Self::scripted(name, move |r, moment| (moment == Moment::Whole).then(|| acts(r)))
    }

    /// An origin at a given address.
    ///
    /// # Panics
    /// When the address cannot be bound.
    #[must_use]
    pub fn at(
        address: SocketAddr,
        name: &str,
        script: impl Fn(&Recorded, Moment) -> Option<Vec<Act>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        sys::deepen_backlog(&listener);
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            name: name.into(),
            script: Box::new(script),
            connections: Mutex::default(),
            sequence: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared, closed: AtomicBool::new(false) }
    }

    /// Everything seen so far, in order of arrival.
    ///
    /// # Panics
    /// When a connection's thread panicked.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.since(0)
    }

    /// The number that the next request will have.
    #[must_use]
    pub fn next_sequence(&self) -> usize {
        self.shared.sequence.load(Ordering::SeqCst)
    }

    /// The requests from number `sequence` on.
    ///
    /// # Panics
    /// When a connection's thread panicked.
    #[must_use]
    pub fn since(&self, sequence: usize) -> Vec<Recorded> {
        let mut all = Vec::new();
        for connection in self.shared.connections.lock().unwrap().iter() {
            let reader = connection.reader.lock().unwrap();
            all.extend(
                reader
                    .done
                    .iter()
                    .chain(&reader.current)
                    .filter(|r| r.sequence >= sequence)
                    .cloned(),
            );
        }
        all.sort_by_key(|r| r.sequence);
        all
    }

    /// The complete requests whose target begins with `prefix`.
    #[must_use]
    pub fn complete(&self, prefix: &str) -> Vec<Recorded> {
        let all = self.requests().into_iter();
        all.filter(|r| r.state == State::Complete && r.target.starts_with(prefix)).collect()
    }

    /// How each connection ended; `None` is still open.
    ///
    /// # Panics
    /// When a connection's thread panicked.
    #[must_use]
    pub fn ends(&self) -> Vec<Option<End>> {
        let connections = self.shared.connections.lock().unwrap();
        connections.iter().map(|c| *c.end.lock().unwrap()).collect()
    }

    /// Connections still open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.ends().iter().filter(|e| e.is_none()).count()
    }

    /// Panics when a byte arrived that a strict recipient refuses.
    ///
    /// # Panics
    /// See above.
    pub fn assert_clean(&self) {
        for request in self.requests() {
            assert!(
                !matches!(request.state, State::Bad(_)),
                "malformed bytes upstream: {}",
                request.brief()
            );
        }
    }

    /// Closes all connections, and the listener too if `refuse`.
    ///
    /// # Panics
    /// When a connection's thread panicked.
    pub fn drop_connections(&self) {
        for connection in self.shared.connections.lock().unwrap().iter() {
            if let Some(stream) = connection.stream.lock().unwrap().as_ref() {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Stops listening: new connections are refused from now on.
    pub fn refuse(&self) {
        if !self.closed.swap(true, Ordering::SeqCst) {
            self.shared.stop.store(true, Ordering::SeqCst);
            let _ = TcpStream::connect(self.address);
            let address = self.address;
            crate::wait::poll(std::time::Duration::from_secs(2), || {
                TcpStream::connect(address).err()
            });
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.refuse();
        self.drop_connections();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let _ = stream.set_nodelay(true);
        let mut connections = shared.connections.lock().unwrap();
        let connection = Arc::new(Connection {
            reader: Mutex::new(Reader::new(connections.len())),
            stream: Mutex::new(stream.try_clone().ok()),
            end: Mutex::new(None),
        });
        connections.push(Arc::clone(&connection));
        let shared = Arc::clone(shared);
        thread::spawn(move || serve(stream, &connection, &shared));
    }
}

/// What became of a connection after a script.
enum After {
    Goes(TcpStream),
    Gone,
}

fn serve(mut stream: TcpStream, connection: &Connection, shared: &Shared) {
    let mut buffer = vec![0; 128 << 10];
    let how = 'serve: loop {
        let n = match stream.read(&mut buffer) {
            Ok(0) => break End::Fin,
            Ok(n) => n,
            Err(_) => break End::Reset,
        };
        connection.reader.lock().unwrap().feed(&buffer[..n]);
        loop {
            let (found, request) = advance(connection, shared);
            let moment = match found {
                Found::Nothing => break,
                Found::Head => Moment::Head,
                Found::End => Moment::Whole,
            };
            let Some(request) = request else { break };
            let acts = match &request.state {
                State::Bad(why) => refusal(why),
                _ => (shared.script)(&request, moment)
                    .unwrap_or_else(|| usual(&request, moment, &shared.name)),
            };
            match play(stream, acts, connection) {
                After::Goes(s) => stream = s,
                After::Gone => break 'serve End::Us,
            }
        }
    };
    connection.reader.lock().unwrap().end(how);
    connection.stream.lock().unwrap().take();
    *connection.end.lock().unwrap() = Some(how);
}

fn advance(connection: &Connection, shared: &Shared) -> (Found, Option<Recorded>) {
    let mut reader = connection.reader.lock().unwrap();
    let found = reader.next(&mut || shared.sequence.fetch_add(1, Ordering::SeqCst));
    let request = match found {
        Found::Head => reader.current.clone(),
        Found::End => reader.done.last().cloned(),
        Found::Nothing => None,
    };
    (found, request)
}

fn refusal(why: &str) -> Vec<Act> {
    let fields = [("X-Origin-Refused", "1"), ("Connection", "close")];
    vec![Act::Send(reply(400, &fields, why.as_bytes())), Act::Close]
}

/// The default: 100 Continue when it is waited for, then an echo that names the request.
fn usual(request: &Recorded, moment: Moment, name: &str) -> Vec<Act> {
    if moment == Moment::Head {
        let waits =
            request.framed && request.version == "HTTP/1.1" && request.value("expect").is_some();
        return if waits {
            vec![Act::Send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())]
        } else {
            Vec::new()
        };
    }
    let close = tokens(&request.fields, "connection").iter().any(|t| t == "close");
    let id = format!("{name}-{}", request.sequence);
    let body = format!(
        "id={id} method={} target={} length={} connection={}\n",
        request.method, request.target, request.length, request.connection
    );
    let mut fields = vec![("Content-Type", "text/plain"), ("X-Origin-Id", &id)];
    if close {
        fields.push(("Connection", "close"));
    }
    let mut bytes = reply(200, &fields, body.as_bytes());
    if request.method == "HEAD" {
        bytes.truncate(bytes.len() - body.len());
    }
    let mut acts = vec![Act::Send(bytes)];
    if close {
        acts.push(Act::Close);
    }
    acts
}

fn play(mut stream: TcpStream, acts: Vec<Act>, connection: &Connection) -> After {
    for act in acts {
        match act {
            Act::Send(bytes) => drop(stream.write_all(&bytes)),
            Act::Drip { bytes, size, every } => {
                for part in bytes.chunks(size) {
                    if stream.write_all(part).is_err() {
                        break;
                    }
                    thread::sleep(every);
                }
            }
            Act::Pattern(length) => send_pattern(&mut stream, length),
            Act::Pause(time) => thread::sleep(time),
            Act::Await(gate) => gate.pass(),
            Act::HalfClose => drop(stream.shutdown(Shutdown::Write)),
            Act::Close => {
                let _ = stream.shutdown(Shutdown::Both);
                return After::Gone;
            }
            Act::Reset => {
                sys::reset(&stream);
                return After::Gone;
            }
            Act::Take(run) => {
                let rest = connection.reader.lock().unwrap().take_rest();
                run(stream, rest);
                return After::Gone;
            }
        }
    }
    After::Goes(stream)
}

fn send_pattern(stream: &mut TcpStream, length: u64) {
    let pattern = Pattern::default();
    let mut at = 0;
    while at < length {
        let n = usize::try_from((length - at).min(128 << 10)).unwrap_or(0);
        if stream.write_all(pattern.at(at, n)).is_err() {
            return;
        }
        at += n as u64;
    }
}
