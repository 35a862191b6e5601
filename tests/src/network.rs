//! The network namespace of a test process: addresses other than loopback, which the Kubernetes
//! API refuses as endpoints; and a packet filter that touches nobody else.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;

use crate::sys;

/// All of 10.77.0.0/16 is this machine, as 127.0.0.0/8 is.
const ADDRESSES: &str = "10.77.0.1/16";

/// Puts the calling thread, and the threads and processes it starts from now on, into the
/// namespace of this process, which the first caller makes.
///
/// # Panics
/// Without the privilege to make a namespace (root, or `CAP_SYS_ADMIN` and `CAP_NET_ADMIN`).
pub fn enter() {
    static NETWORK: OnceLock<File> = OnceLock::new();
    let network = NETWORK.get_or_init(|| thread::spawn(make).join().unwrap());
    sys::join_network(network).unwrap_or_else(|e| panic!("enter the network namespace: {e}"));
}

fn make() -> File {
    sys::new_network().unwrap_or_else(|e| {
        panic!("this suite needs a network namespace, which takes root: {e}; run it as root")
    });
    run("ip", &["link", "set", "lo", "up"]);
    run("ip", &["address", "add", ADDRESSES, "dev", "lo"]);
    File::open("/proc/thread-self/ns/net").unwrap()
}

/// An address nobody has had before in this process, in 10.77.1.0 and up; any port of it is free.
///
/// # Panics
/// When all are used.
#[must_use]
pub fn fresh_address() -> IpAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0x0101);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(next < 0xff00, "no more addresses");
    let [high, low] = next.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, 77, high, low))
}

/// What becomes of packets to and from an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// They vanish: nobody is told anything.
    Drop,
    /// Whoever sends gets a reset: connections end, new ones are refused.
    Refuse,
}

/// A block in force; lifted when dropped.
#[derive(Debug)]
pub struct Blocked {
    rules: Vec<Vec<String>>,
}

impl Blocked {
    /// Blocks the packets to and from `address`, of connections that exist as well.
    ///
    /// # Panics
    /// When iptables fails.
    #[must_use]
    pub fn new(address: SocketAddr, how: Block) -> Self {
        let (to, from) = match how {
            Block::Drop => ("-j DROP", "-j DROP"),
            // The resets come from the address: they, and nothing else, are to get through.
            Block::Refuse => ("-j REJECT --reject-with tcp-reset", "--tcp-flags RST NONE -j DROP"),
        };
        let (ip, port) = (address.ip(), address.port());
        let rules = vec![
            words(&format!("INPUT -p tcp -d {ip} --dport {port} {to}")),
            words(&format!("INPUT -p tcp -s {ip} --sport {port} {from}")),
        ];
        for rule in &rules {
            filter("-I", rule);
        }
        Self { rules }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        for rule in &self.rules {
            filter("-D", rule);
        }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn filter(command: &str, rule: &[String]) {
    let mut arguments = vec!["-w", command];
    arguments.extend(rule.iter().map(String::as_str));
    run("iptables", &arguments);
}

fn run(program: &str, arguments: &[&str]) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let out = Command::new(program).args(arguments).env("PATH", path).output();
    let out = out.unwrap_or_else(|e| panic!("{program}: {e}; tests/setup installs it"));
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {arguments:?}: {said}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    #[test]
    fn blocks_as_it_says_and_no_longer() {
        enter();
        let listener = TcpListener::bind((fresh_address(), 80)).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).map(drop);
        connect().unwrap();
        for (how, wanted) in [
            (Block::Drop, std::io::ErrorKind::TimedOut),
            (Block::Refuse, std::io::ErrorKind::ConnectionRefused),
        ] {
            let blocked = Blocked::new(address, how);
            assert_eq!(connect().unwrap_err().kind(), wanted);
            drop(blocked);
            connect().unwrap();
        }
    }
}
