//! Forwards TCP connections one to one on a monoio ring: what a proxy costs that does no HTTP.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::{env, io};

use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt, Splitable};
use monoio::net::{ListenerOpts, TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};

/// Bytes moved by one read; what measured best for large bodies (8 KiB: 2.4 times the CPU).
const BUFFER: usize = 64 * 1024;
/// Submission entries; the completion queue is eight times as long to absorb bursts.
const ENTRIES: u32 = 4096;

fn main() -> ExitCode {
    match addresses().and_then(|(listen, upstream)| run(listen, upstream)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("perf-forwarder: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn addresses() -> io::Result<(SocketAddr, SocketAddr)> {
    let given: Vec<SocketAddr> = env::args().skip(1).map_while(|a| a.parse().ok()).collect();
    match given[..] {
        [listen, upstream] => Ok((listen, upstream)),
        _ => Err(io::Error::other("usage: perf-forwarder LISTEN UPSTREAM, both as IP:PORT")),
    }
}

fn run(listen: SocketAddr, upstream: SocketAddr) -> io::Result<()> {
    let mut ring = io_uring::IoUring::builder();
    ring.setup_single_issuer().setup_defer_taskrun().setup_submit_all();
    ring.setup_cqsize(ENTRIES * 8).setup_clamp();
    let mut runtime =
        RuntimeBuilder::<IoUringDriver>::new().with_entries(ENTRIES).uring_builder(ring).build()?;
    runtime.block_on(accept(listen, upstream))
}

async fn accept(listen: SocketAddr, upstream: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind_with_config(listen, &ListenerOpts::new().backlog(4096))?;
    loop {
        let (client, _) = listener.accept().await?;
        // A connection that fails concerns its two peers only.
        monoio::spawn(async move { drop(forward(client, upstream).await) });
    }
}

async fn forward(client: TcpStream, upstream: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect_addr(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    monoio::spawn(pump(client_reads, server_writes));
    pump(server_reads, client_writes).await
}

/// Moves bytes until `from` ends, then ends `to` in that direction.
async fn pump(mut from: impl AsyncReadRent, mut to: impl AsyncWriteRent) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        let (read, full) = from.read(buffer).await;
        if read.unwrap_or(0) == 0 {
            return to.shutdown().await;
        }
        let (written, sent) = to.write_all(full).await;
        written?;
        buffer = sent;
        buffer.clear();
    }
}
