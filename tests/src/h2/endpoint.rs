//! An HTTP/2 endpoint whose every frame is the test's to choose.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use super::wire::{Message, PREFACE, Said, frame, frames, kind};

/// An endpoint that does `act` about every connection.
///
/// # Panics
/// When it cannot listen.
pub fn endpoint(act: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    #[allow(clippy::unwrap_used, reason = "documented")]
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    #[allow(clippy::unwrap_used, reason = "documented")]
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let act = act.clone();
            thread::spawn(move || act(stream));
        }
    });
    address
}

/// Hands each request to `answer` once it is `ready`, to be told what to send for it.
pub fn serve(
    mut stream: TcpStream,
    ready: impl Fn(&Message) -> bool,
    answer: impl Fn(u32, &Message) -> Vec<u8>,
) {
    let begin = [frame(kind::SETTINGS, 0, 0, b""), frame(kind::SETTINGS, 1, 0, b"")].concat();
    let _ = stream.write_all(&begin);
    let (mut seen, mut buffer, mut answered) = (Vec::new(), [0; 16 << 10], 0);
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..n]);
        let after = seen.strip_prefix(PREFACE).unwrap_or(&seen);
        let said = Said::of(after);
        for (&id, request) in said.streams.iter().filter(|(_, request)| ready(request)) {
            if id > answered {
                answered = id;
                let _ = stream.write_all(&answer(id, request));
            }
        }
        // Room for more of bodies that are longer than the windows.
        let taken = frames(after).into_iter().filter(|f| f.kind == kind::DATA).count();
        if taken > 0 {
            for id in said.streams.keys().copied().chain([0]) {
                let more = 60_000_u32.to_be_bytes();
                let _ = stream.write_all(&frame(kind::WINDOW_UPDATE, 0, id, &more));
            }
        }
    }
}

/// The bytes of a reset.
#[must_use]
pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes())
}
