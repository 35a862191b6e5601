//! Starting the machine: what has to be so before, and what to say when an address is taken.

use std::error::Error;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use ringway::fds;
use ringway::machine::Machine;
use ringway_config::Config;

use crate::failure::Failure;

/// The first snapshot of a configuration without outside sources is there at once; names and
/// manifests may take a while, and then traffic is answered with 503 until they are there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts the proxy and waits a little for it to be ready.
///
/// # Errors
/// When it cannot start; the message names the process that holds a taken address.
pub(crate) fn machine(config: Config) -> Result<Machine, Failure> {
    if let Err(error) = fds::raise() {
        tracing::warn!(%error, "the limit of file descriptors could not be raised");
    }
    let addresses: Vec<SocketAddr> =
        config.listeners.iter().map(|l| l.address).chain(config.admin.address).collect();
    let machine = Machine::start(config).map_err(|error| {
        let taken = is_address_in_use(&error).then(|| addresses.iter().find_map(|a| holder(*a)));
        match taken.flatten() {
            Some(holder) => Failure::new(format!("{error}; {holder} is listening there")),
            None => Failure::new(error.to_string()),
        }
    })?;
    if !machine.wait_ready(PATIENCE) {
        tracing::warn!("not ready yet: waiting for the first snapshot of discovery");
    }
    Ok(machine)
}

fn is_address_in_use(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|e| e.kind() == io::ErrorKind::AddrInUse) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Fails when `address` cannot be bound, naming the `option` that would choose another one.
///
/// The workers' own sockets share their address (SO_REUSEPORT), so a second ringway would not
/// fail by itself: it would take half of the first one's connections.
///
/// # Errors
/// When another process listens there, or the address is not this machine's.
pub(crate) fn check_free(address: SocketAddr, option: &str) -> Result<(), Failure> {
    let Err(error) = TcpListener::bind(address) else {
        return Ok(());
    };
    Err(Failure::new(match error.kind() {
        io::ErrorKind::AddrInUse => {
            let holder = holder(address).unwrap_or_else(|| String::from("another process"));
            format!(
                "{address} is already in use by {holder}; choose another address with {option}, \
                 for example {option} {}:{}",
                bracketed(address),
                address.port().checked_add(100).unwrap_or(8080)
            )
        }
        io::ErrorKind::AddrNotAvailable => format!(
            "{address} is not an address of this machine; choose one with {option}, \
             for example {option} 127.0.0.1:{}",
            address.port()
        ),
        io::ErrorKind::PermissionDenied => format!(
            "not allowed to listen on {address} (ports below 1024 need CAP_NET_BIND_SERVICE); \
             choose a higher port with {option}"
        ),
        _ => format!("cannot listen on {address}: {error}"),
    }))
}

fn bracketed(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

/// The process that listens on the port, as `name (pid 123)`, if we may see it.
fn holder(address: SocketAddr) -> Option<String> {
    let proc = Path::new("/proc");
    let inode = ["net/tcp", "net/tcp6"].into_iter().find_map(|table| {
        listening_inode(&fs::read_to_string(proc.join(table)).ok()?, address.port())
    })?;
    let socket = format!("socket:[{inode}]");
    for process in fs::read_dir(proc).ok()?.flatten() {
        let pid = process.file_name();
        // `/proc/self` and `/proc/thread-self` are this process under another name.
        if !pid.as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let Ok(fds) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let held = fds
            .flatten()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|link| link.as_os_str() == &*socket));
        if held {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {})", name.trim(), pid.to_string_lossy()));
        }
    }
    None
}

/// The inode of the socket that listens on `port`, from the format of `/proc/net/tcp`.
fn listening_inode(table: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let port = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_whitespace();
        let local = columns.nth(1)?;
        let state = columns.nth(1)?;
        let inode = columns.nth(5)?;
        (state == LISTEN && local.ends_with(&port)).then(|| inode.to_owned())
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_its_holder_and_the_option() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        let message = check_free(address, "--listen").unwrap_err().to_string();
        let pid = format!("(pid {})", std::process::id());
        assert!(message.contains(&pid) && message.contains("--listen 127.0.0.1:"), "{message}");
        drop(held);
        assert!(check_free(address, "--listen").is_ok());
    }

    #[test]
    fn only_listening_sockets_hold_a_port() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:102C 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 11 1
   1: 0100007F:102C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 22 1
";
        assert_eq!(listening_inode(table, 4140).as_deref(), Some("22"));
        assert_eq!(listening_inode(table, 4141), None);
    }
}
