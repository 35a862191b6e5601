//! A raw scripted client: it sends the bytes it is told to, and a thread keeps all that comes
//! back and how the connection ended.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::response::{self, Response};
use crate::strict::End;
use crate::sys;
use crate::wait;

/// How long a client waits for an answer before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Default)]
struct Seen {
    data: Vec<u8>,
    end: Option<(End, Instant)>,
    last: Option<Instant>,
    /// The client is gone: the reader closes its half whatever still comes.
    abandoned: bool,
}

/// One connection to the proxy.
pub struct Client {
    stream: TcpStream,
    seen: Arc<Mutex<Seen>>,
    used: usize,
    /// When it was opened.
    pub opened: Instant,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// When that fails within 5 s.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|e| panic!("connect to {address}: {e}"))
    }

    /// Connects, or says why not.
    ///
    /// # Errors
    /// The connect error.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        Self::open(address, None)
    }

    /// As [`Client::slow`], or says why not.
    ///
    /// # Errors
    /// The connect error.
    pub fn try_connect_slow(address: SocketAddr, rate: usize) -> io::Result<Self> {
        Self::open(address, Some(rate))
    }

    /// A client that reads `rate` bytes a second, with a small receive buffer.
    ///
    /// # Panics
    /// When it cannot connect.
    #[must_use]
    pub fn slow(address: SocketAddr, rate: usize) -> Self {
        Self::open(address, Some(rate)).unwrap_or_else(|e| panic!("connect to {address}: {e}"))
    }

    fn open(address: SocketAddr, rate: Option<usize>) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        if rate.is_some() {
            sys::small_receive_buffer(&stream, 4096);
        }
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(Duration::from_secs(8)))?;
        let seen = Arc::<Mutex<Seen>>::default();
        let (reading, filling) = (stream.try_clone()?, Arc::clone(&seen));
        thread::spawn(move || collect(reading, &filling, rate));
        Ok(Self { stream, seen, used: 0, opened: Instant::now() })
    }

    /// Sends; false when the connection does not take it any more.
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> bool {
        (&self.stream).write_all(bytes.as_ref()).is_ok()
    }

    /// Sends, or says why not: `WouldBlock` when it was not taken within 8 s.
    ///
    /// # Errors
    /// The write error.
    pub fn try_send(&self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        (&self.stream).write_all(bytes.as_ref())
    }

    /// Closes the sending direction only.
    pub fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Closes with a reset.
    pub fn reset(&self) {
        sys::reset(&self.stream);
    }

    /// Gives the connection up: whoever still sends on it fails at once.
    ///
    /// # Panics
    /// When the reading thread panicked.
    pub fn abandon(&self) {
        self.seen.lock().unwrap().abandoned = true;
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Whether nothing more can be sent: the peer or this side ended it.
    #[must_use]
    pub fn gone(&self) -> bool {
        self.end().is_some()
    }

    /// Everything received so far.
    ///
    /// # Panics
    /// When the reading thread panicked.
    #[must_use]
    pub fn data(&self) -> Vec<u8> {
        self.seen.lock().unwrap().data.clone()
    }

    /// How many bytes were received so far.
    ///
    /// # Panics
    /// When the reading thread panicked.
    #[must_use]
    pub fn received(&self) -> usize {
        self.seen.lock().unwrap().data.len()
    }

    /// How the connection ended, if it did.
    ///
    /// # Panics
    /// When the reading thread panicked.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.seen.lock().unwrap().end.map(|(how, _)| how)
    }

    /// How long ago something was received or the connection ended.
    ///
    /// # Panics
    /// When the reading thread panicked.
    #[must_use]
    pub fn quiet(&self) -> Duration {
        let seen = self.seen.lock().unwrap();
        let last = seen.end.map(|(_, at)| at).or(seen.last).unwrap_or(self.opened);
        last.elapsed()
    }

    /// Waits for the connection to end.
    #[must_use]
    pub fn ends_within(&self, limit: Duration) -> Option<End> {
        wait::poll(limit, || self.end())
    }

    /// The next complete response to a request with this method.
    ///
    /// # Errors
    /// What is there instead, after [`PATIENCE`] or when the connection ended.
    pub fn response_to(&mut self, method: &str) -> Result<Response, String> {
        self.response_within(method, PATIENCE)
    }

    /// The next complete response, within `limit`.
    ///
    /// # Errors
    /// What is there instead.
    ///
    /// # Panics
    /// When the reading thread panicked.
    pub fn response_within(&mut self, method: &str, limit: Duration) -> Result<Response, String> {
        let found = wait::poll(limit, || {
            let seen = self.seen.lock().unwrap();
            let end = seen.end.map(|(how, _)| how);
            let read = response::read(&seen.data[self.used..], method, end);
            match read {
                Some((r, used)) if r.complete || r.bad.is_some() => Some(Ok((r, used))),
                Some((r, _)) if end.is_some() => Some(Err(format!(
                    "response {} cut by {end:?} after {} body bytes",
                    r.status,
                    r.body.len()
                ))),
                None if end.is_some() => Some(Err(format!("closed ({end:?}) without a response"))),
                _ => None,
            }
        });
        match found {
            Some(Ok((Response { bad: Some(why), .. }, _))) => {
                Err(format!("malformed response: {why}"))
            }
            Some(Ok((response, used))) => {
                self.used += used;
                Ok(response)
            }
            Some(Err(why)) => Err(why),
            None => Err(format!(
                "no complete response within {limit:?}, {} bytes so far",
                self.received() - self.used
            )),
        }
    }

    /// The next response to a GET.
    ///
    /// # Panics
    /// When there is none.
    pub fn response(&mut self) -> Response {
        self.response_to("GET").unwrap_or_else(|why| panic!("{why}"))
    }

    /// Sends `text` and reads the response; the method is the first word of `text`.
    ///
    /// # Panics
    /// When there is none.
    pub fn ask(&mut self, text: &str) -> Response {
        self.send(text);
        let method = text.split(' ').next().unwrap_or("GET");
        self.response_to(method)
            .unwrap_or_else(|why| panic!("{why}\nafter {}", crate::text::brief(text, 200)))
    }

    /// A GET for `path` at host a.test.
    ///
    /// # Panics
    /// When it is not answered.
    pub fn get(&mut self, path: &str) -> Response {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"))
    }

    /// Forgets the bytes of the responses read so far, for connections that live long.
    ///
    /// # Panics
    /// When the reading thread panicked.
    pub fn forget(&mut self) {
        self.seen.lock().unwrap().data.drain(..self.used);
        self.used = 0;
    }

    /// What came after the responses read so far.
    #[must_use]
    pub fn rest(&self) -> Vec<u8> {
        self.data().split_off(self.used)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// One GET on a connection of its own.
///
/// # Panics
/// When it is not answered.
#[must_use]
pub fn get(address: SocketAddr, path: &str) -> Response {
    Client::connect(address).get(path)
}

fn gone_after_a_second(seen: &Mutex<Seen>) -> bool {
    let gone = || seen.lock().unwrap().abandoned.then_some(());
    wait::poll(Duration::from_secs(1), gone).is_some()
}

fn collect(mut stream: TcpStream, all: &Mutex<Seen>, rate: Option<usize>) {
    let mut buffer = vec![0; rate.unwrap_or(64 << 10)];
    loop {
        let got = stream.read(&mut buffer);
        let mut seen = all.lock().unwrap();
        if seen.abandoned {
            return;
        }
        match got {
            Ok(n) if n > 0 => {
                seen.data.extend_from_slice(&buffer[..n]);
                seen.last = Some(Instant::now());
            }
            Ok(_) => {
                seen.end = Some((End::Fin, Instant::now()));
                return;
            }
            Err(_) => {
                seen.end = Some((End::Reset, Instant::now()));
                return;
            }
        }
        drop(seen);
        if rate.is_some() && gone_after_a_second(all) {
            return;
        }
    }
}
