//! ringway-backend: listens, starts a loop per thread, ends with a signal.

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use ringway_load::amount;
use ringway_load::backend::{path::USAGE, serve::Server};
use ringway_load::socket;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Answers HTTP/1.1 requests as cheaply as possible, to measure what is in front of it.
#[derive(Debug, Parser)]
#[command(name = "ringway-backend", version, after_help = USAGE)]
struct Cli {
    /// Address to listen on; port 0 takes a free one, which the ready line says
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Threads, each with a loop of its own
    #[arg(long, default_value = "1", value_parser = amount::positive, value_name = "N")]
    threads: u64,
}

fn main() -> ExitCode {
    match serve(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringway-backend: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(cli: &Cli) -> Result<(), String> {
    socket::raise_limit();
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|e| e.to_string())?;
    let (listener, address) =
        socket::listen(cli.listen).map_err(|e| format!("--listen {}: {e}", cli.listen))?;
    // The threads serve until the process ends.
    let listener: &OwnedFd = Box::leak(Box::new(listener));
    for number in 0..cli.threads {
        let loop_ = move || {
            if let Err(error) = Server::new(listener.as_fd()).and_then(Server::run) {
                eprintln!("ringway-backend: {error}");
                std::process::exit(1);
            }
        };
        let name = format!("serve-{number}");
        thread::Builder::new().name(name).spawn(loop_).map_err(|e| e.to_string())?;
    }
    println!("listening on {address}");
    signals.forever().next();
    Ok(())
}
