//! Servers that do what no server should.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use ringway_load::fnv::{Fnv, hex};

/// A server whose threads live as long as the test process.
pub(crate) struct Server(SocketAddr);

impl Server {
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.0)
    }

    fn start(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let serve = serve.clone();
                thread::spawn(move || serve(socket));
            }
        });
        Self(address)
    }
}

/// Reads one request without a body; `None` at the end.
fn request(socket: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if socket.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Answers as the backend does, but every third body has one wrong bit.
pub(crate) fn corrupting() -> Server {
    Server::start(|mut socket| {
        let mut count = 0;
        while let Some(head) = request(&mut socket) {
            count += 1;
            let mut body = *b"sixteen bytes ok";
            let hash = hex(Fnv::of(&body));
            body[7] ^= u8::from(count % 3 == 0);
            let id = head.lines().find_map(|l| l.strip_prefix("x-request-id: ")).unwrap_or("0");
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 16\r\nx-request-id: {id}\r\nx-body-hash: {}\r\n\
                 x-body-length: 16\r\nx-upload-length: 0\r\nx-upload-hash: {}\r\n\r\n{}",
                String::from_utf8_lossy(&hash),
                String::from_utf8_lossy(&hex(Fnv::of(b""))),
                String::from_utf8_lossy(&body)
            );
            if socket.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

/// Accepts, reads, and says nothing.
pub(crate) fn silent() -> Server {
    Server::start(|mut socket| while request(&mut socket).is_some() {})
}

/// Promises more than it sends.
pub(crate) fn breaking() -> Server {
    Server::start(|mut socket| {
        if request(&mut socket).is_some() {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc");
        }
    })
}

/// Answers `count` requests of the first connection that has one, and is gone.
pub(crate) fn leaving(count: usize) -> Server {
    let listener = own_listener();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut first = listener.incoming().flatten().find_map(|mut socket| {
            request(&mut socket)?;
            Some(socket)
        });
        drop(listener);
        let Some(socket) = &mut first else { return };
        for left in (0..count).rev() {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            if left == 0 || request(socket).is_none() {
                return;
            }
        }
    });
    Server(address)
}

/// Nothing listens there.
pub(crate) fn gone() -> Server {
    Server(own_listener().local_addr().unwrap())
}

/// A listener on a loopback address that no other server has: when it is closed, its port is not
/// given to another test.
fn own_listener() -> TcpListener {
    static NUMBER: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let last = NUMBER.fetch_add(1, Ordering::Relaxed);
    TcpListener::bind((Ipv4Addr::new(127, 64 | high, low, last), 0)).unwrap()
}
