//! The demo's services: small honest HTTP/1.1 servers in this process, one of them slow and one
//! of them failing, so that there is something to see.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringway_core::rng::Rng;

use super::connection::{Connection, INSTANCE};

/// What is wrong with an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing.
    None,
    /// Every answer takes so much longer.
    Slow(Duration),
    /// So many of a hundred requests are answered with 500.
    Failing(u64),
}

impl Trouble {
    /// A few words for the table.
    pub(super) fn note(self) -> String {
        match self {
            Self::None => String::new(),
            Self::Slow(delay) => format!("+{} ms", delay.as_millis()),
            Self::Failing(percent) => format!("{percent} % fail"),
        }
    }
}

/// A service as it is planned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    /// The name by which the proxy routes.
    pub(super) name: &'static str,
    /// What is wrong with each of its instances.
    pub(super) instances: &'static [Trouble],
}

/// What the demo starts. 60 ms is twice the latency that peak-EWMA assumes of an endpoint it does
/// not know, and many times that of the healthy ones.
pub(super) const SERVICES: [Service; 3] = [
    Service { name: "web", instances: &[Trouble::None, Trouble::None] },
    Service {
        name: "api",
        instances: &[Trouble::None, Trouble::None, Trouble::Slow(Duration::from_millis(60))],
    },
    Service { name: "flaky", instances: &[Trouble::None, Trouble::Failing(30)] },
];

/// A running instance. Its threads live as long as the process.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    /// The service it belongs to.
    pub(super) service: &'static str,
    /// Its own name, such as `api-3`.
    pub(super) name: String,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// What is wrong with it.
    pub(super) trouble: Trouble,
}

/// Starts every instance on a free port of this machine. Trouble begins at `trouble_from`.
///
/// # Errors
/// When no port or thread is to be had.
pub(super) fn start(services: &[Service], trouble_from: Instant) -> io::Result<Vec<Instance>> {
    let mut started = Vec::new();
    for service in services {
        for (index, trouble) in service.instances.iter().enumerate() {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let instance = Instance {
                service: service.name,
                name: format!("{}-{}", service.name, index + 1),
                address: listener.local_addr()?,
                trouble: *trouble,
            };
            let server = Arc::new(Server {
                name: instance.name.clone(),
                trouble: *trouble,
                trouble_from,
                connections: AtomicU64::new(0),
            });
            thread::Builder::new()
                .name(instance.name.clone())
                .spawn(move || accept(&listener, &server))?;
            started.push(instance);
        }
    }
    Ok(started)
}

struct Server {
    name: String,
    trouble: Trouble,
    trouble_from: Instant,
    connections: AtomicU64,
}

fn accept(listener: &TcpListener, server: &Arc<Server>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Out of descriptors: the next try may do better, but not at once.
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        let server = Arc::clone(server);
        // A connection that gets no thread is closed.
        let _ = thread::Builder::new().name(server.name.clone()).spawn(move || {
            // A peer that goes away or sends nonsense ends its own connection only.
            let _ = server.serve(stream);
        });
    }
}

impl Server {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut rng = Rng::new(self.connections.fetch_add(1, Ordering::Relaxed));
        let mut connection = Connection::new(stream)?;
        while let Some(request) = connection.request()? {
            let status = self.work(&mut rng);
            connection.send(&self.answer(status, request.head_only, request.persistent))?;
            if !request.persistent {
                break;
            }
        }
        Ok(())
    }

    /// Takes the time an answer takes and says what it is: 1 to 4 ms of work, and the trouble.
    fn work(&self, rng: &mut Rng) -> &'static str {
        let mut time = Duration::from_micros(1000 + rng.below(3000));
        let mut status = "200 OK";
        let troubled = Instant::now() >= self.trouble_from;
        match self.trouble {
            Trouble::Slow(delay) if troubled => time += delay,
            Trouble::Failing(percent) if troubled && rng.below(100) < percent => {
                status = "500 Internal Server Error";
            }
            _ => {}
        }
        thread::sleep(time);
        status
    }

    fn answer(&self, status: &str, head_only: bool, persistent: bool) -> Vec<u8> {
        let name = &self.name;
        let body = format!("{status} from {name}\n");
        let connection = if persistent { "" } else { "connection: close\r\n" };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\
             {INSTANCE}: {name}\r\n{connection}\r\n"
        );
        (if head_only { head } else { head + &body }).into_bytes()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    fn connection(trouble: &'static [Trouble]) -> Connection {
        let service = Service { name: "test", instances: trouble };
        let instances = start(&[service], Instant::now()).unwrap();
        Connection::new(TcpStream::connect(instances[0].address).unwrap()).unwrap()
    }

    #[test]
    fn requests_with_and_without_a_body_follow_each_other_on_one_connection() {
        let mut connection = connection(&[Trouble::None]);
        for request in [
            "GET / HTTP/1.1\r\nhost: test\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\n\r\nabc",
            "POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n\
             3;x=y\r\nabc\r\n0\r\na: b\r\n\r\n",
            "PUT / HTTP/1.1\r\nhost: test\r\ncontent-length: 1\r\nexpect: 100-continue\r\n\r\nx",
        ] {
            connection.send(request.as_bytes()).unwrap();
            let response = connection.response().unwrap();
            assert_eq!(response.status, 200, "{request}");
            assert_eq!(response.instance.as_deref(), Some("test-1"));
            assert!(response.persistent);
        }
        connection.send(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
        assert!(!connection.response().unwrap().persistent);
        assert!(connection.response().is_err());
    }

    #[test]
    fn trouble_shows() {
        let get = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";
        let mut failing = connection(&[Trouble::Failing(100)]);
        failing.send(get).unwrap();
        assert_eq!(failing.response().unwrap().status, 500);
        let delay = Duration::from_millis(60);
        let mut slow = connection(const { &[Trouble::Slow(Duration::from_millis(60))] });
        let began = Instant::now();
        slow.send(get).unwrap();
        assert_eq!(slow.response().unwrap().status, 200);
        assert!(began.elapsed() >= delay);
    }

    #[test]
    fn nonsense_ends_the_connection_and_not_the_service() {
        let mut connection = connection(&[Trouble::None]);
        connection.send(b"nonsense\r\n\r\n").unwrap();
        assert!(connection.response().is_err());
    }
}
