//! A TCP server that does what the test says with each connection, and a source of random bytes to
//! compare what came with what was sent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// A running server; stops when dropped. Connections under way are left to their threads.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Gives each connection to `serve`, on a thread of its own.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, stopped, serve) = (Arc::clone(&accepted), Arc::clone(&stop), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.set_nodelay(true);
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        Self { address, accepted, stop }
    }

    /// Sends everything back.
    #[must_use]
    pub fn echo() -> Self {
        Self::start(|mut stream| {
            let Ok(mut back) = stream.try_clone() else { return };
            let _ = std::io::copy(&mut stream, &mut back);
            let _ = back.shutdown(std::net::Shutdown::Write);
        })
    }

    /// Says `greeting` first, then sends everything back.
    #[must_use]
    pub fn greeting(greeting: &'static [u8]) -> Self {
        Self::start(move |mut stream| {
            let Ok(mut back) = stream.try_clone() else { return };
            let _ = back.write_all(greeting);
            let _ = std::io::copy(&mut stream, &mut back);
        })
    }

    /// Connections so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// An address that refuses connections.
///
/// # Panics
/// When no port is free.
#[must_use]
pub fn refusing() -> SocketAddr {
    crate::ports::free()
}

/// An address at which connects are not answered: its backlog is full, and stays so while this
/// lives.
pub struct Unanswering {
    /// The address.
    pub address: SocketAddr,
    _listener: TcpListener,
    _filling: Vec<TcpStream>,
}

impl Unanswering {
    /// # Panics
    /// When the backlog does not fill up.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        crate::sys::small_backlog(&listener);
        let address = listener.local_addr().unwrap();
        let mut filling = Vec::new();
        for _ in 0..64 {
            match TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
                Ok(stream) => filling.push(stream),
                Err(_) => return Self { address, _listener: listener, _filling: filling },
            }
        }
        panic!("64 connections and its backlog is not full");
    }
}

/// A connection that fails instead of waiting for ever.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
    // They fail on a connection that was reset already, which is for the test to see.
    let _ = stream.set_read_timeout(Some(crate::client::PATIENCE));
    let _ = stream.set_write_timeout(Some(crate::client::PATIENCE));
    let _ = stream.set_nodelay(true);
    stream
}

/// Whether who connects there and says something is reset: with the answer, while it says it, or
/// before it even knows that it is connected.
#[must_use]
pub fn resets(address: SocketAddr) -> bool {
    let said =
        TcpStream::connect_timeout(&address, Duration::from_secs(5)).and_then(|mut stream| {
            stream.set_read_timeout(Some(crate::client::PATIENCE))?;
            stream.write_all(b"anybody?")?;
            stream.read_to_end(&mut Vec::new())
        });
    let reset = [std::io::ErrorKind::ConnectionReset, std::io::ErrorKind::BrokenPipe];
    said.is_err_and(|error| reset.contains(&error.kind()))
}

/// Random bytes that anybody with the seed can make again.
#[derive(Clone)]
pub struct Noise(u64);

impl Noise {
    /// The bytes of that seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Sends `length` of them in writes of many sizes.
    ///
    /// # Errors
    /// When they are not taken.
    pub fn send(mut self, mut to: &TcpStream, mut length: usize) -> std::io::Result<()> {
        let mut sizes = Self(self.0 ^ 1);
        let mut block = Vec::new();
        while length > 0 {
            let most = 1 << (sizes.next() % 17);
            let size = length
                .min(1 + usize::try_from(sizes.next() % most).unwrap_or(0))
                .next_multiple_of(8);
            block.clear();
            (0..size / 8).for_each(|_| block.extend_from_slice(&self.next().to_le_bytes()));
            to.write_all(&block[..size.min(length)])?;
            length -= size.min(length);
        }
        Ok(())
    }

    /// Reads to the end and compares; how many bytes came.
    ///
    /// # Errors
    /// Where they differ, or that the connection failed.
    pub fn receive(mut self, mut from: &TcpStream) -> Result<usize, String> {
        let (mut buffer, mut word, mut at) = (vec![0; 100_000], [0; 8], 0_usize);
        loop {
            let n = from.read(&mut buffer).map_err(|e| format!("after {at} bytes: {e}"))?;
            if n == 0 {
                return Ok(at);
            }
            for byte in &buffer[..n] {
                if at.is_multiple_of(8) {
                    word = self.next().to_le_bytes();
                }
                if *byte != word[at % 8] {
                    return Err(format!("byte {at} differs"));
                }
                at += 1;
            }
        }
    }
}
