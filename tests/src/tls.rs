//! Real TLS at both ends of a connection that ringway passes on: servers that say who they are, and
//! a client that checks it, both Python's `ssl`.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::peer::Peer;
use crate::scratch::Scratch;

/// Says its name and the hash of what it was sent, up to a full stop.
const SERVER: &str = "
import hashlib, socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
def serve(connection):
    try:
        with context.wrap_socket(connection, server_side=True) as stream:
            data = b''
            while not data.endswith(b'.'):
                part = stream.recv(65536)
                if not part:
                    return
                data += part
            stream.sendall((sys.argv[3] + ' ' + hashlib.sha256(data).hexdigest() + '\\n').encode())
            stream.recv(1)
    except OSError:
        pass
listener = socket.create_server(('0.0.0.0', int(sys.argv[4])))
while True:
    threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()
";

/// Asks for each name, of which `-` is none. Its ClientHello comes in three pieces.
const CLIENT: &str = "
import hashlib, socket, ssl, sys, time
data = bytes(i * 7 % 251 + 1 for i in range(200_000)).replace(b'.', b',') + b'.'
def ask(name):
    context = ssl.create_default_context(cafile=sys.argv[1])
    context.check_hostname = name is not None
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with socket.create_connection((sys.argv[2], int(sys.argv[3])), timeout=30) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        def until(action, pieces=()):
            while True:
                try:
                    result = action()
                except ssl.SSLWantReadError:
                    result = None
                said = outgoing.read()
                for length in pieces:
                    plain.sendall(said[:length])
                    said = said[length:]
                    time.sleep(0.03)
                pieces = ()
                plain.sendall(said)
                if result is not None:
                    return result
                got = plain.recv(65536)
                if not got:
                    raise EOFError
                incoming.write(got)
        until(lambda: tls.do_handshake() or True, (5, 60))
        until(lambda: tls.write(data))
        who, digest = until(lambda: tls.read(1000)).decode().split()
        assert digest == hashlib.sha256(data).hexdigest()
        return who
for name in sys.argv[4:]:
    try:
        print(ask(None if name == '-' else name))
    except (OSError, EOFError) as error:
        print(type(error).__name__)
";

/// A certificate for one host, which is its own authority, and its key: two files in `directory`.
///
/// # Panics
/// When openssl is not there; tests/setup installs it.
#[must_use]
pub fn certificate(directory: &Scratch, name: &str, host: &str) -> (String, String) {
    let path = |kind: &str| directory.path().join(format!("{name}.{kind}")).display().to_string();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
        .args(["-subj", &format!("/CN={name}"), "-addext", &format!("subjectAltName=DNS:{host}")])
        .args(["-keyout", &key, "-out", &certificate])
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success(), "openssl makes a certificate");
    (certificate, key)
}

/// A server of that name; it listens on every address.
#[must_use]
pub fn server(name: &str, (certificate, key): &(String, String)) -> Peer {
    Peer::script(SERVER, &[certificate, key, name])
}

/// Asks at `address` for each host name (`-` is none), trusting the certificates of a file; who has
/// answered, or the name of the exception that Python had.
///
/// # Panics
/// When Python ends otherwise.
#[must_use]
pub fn ask(address: SocketAddr, authorities: &str, names: &[&str]) -> Vec<String> {
    let mut command = Command::new("python3");
    command.args(["-c", CLIENT, authorities]);
    command.args([address.ip().to_string(), address.port().to_string()]).args(names);
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).lines().map(ToOwned::to_owned).collect()
}
