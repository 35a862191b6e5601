//! ringway-load: reads the command line, runs, reports.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser as _;
use hdrhistogram::Histogram;
use ringway_load::cli::Cli;
use ringway_load::report::{self, Subject};
use ringway_load::request::Book;
use ringway_load::run::{Outcome, Run};
use ringway_load::{json, plan, socket};
use signal_hook::consts::{SIGINT, SIGTERM};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let book = match cli.check().and_then(|()| book(&cli)) {
        Ok(book) => book,
        Err(error) => {
            eprintln!("ringway-load: {error}");
            return ExitCode::from(2);
        }
    };
    match go(&cli, book) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ringway-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn book(cli: &Cli) -> Result<Book, String> {
    Ok(Book::new(&cli.target()?, &cli.asks()?, &cli.shape()))
}

/// Whether the run was a success.
fn go(cli: &Cli, book: Book) -> Result<bool, String> {
    let address = cli.target()?.resolve(cli.timeout)?;
    let run = Run {
        address,
        threads: cli.threads,
        connections: cli.connections,
        duration: cli.duration,
        warmup: cli.warmup,
        timeout: cli.timeout,
        rate: cli.rate,
        streams: cli.streams,
        grpc: cli.grpc,
        verify: cli.verify,
        per_connection: cli.requests_per_connection,
        tick: cli.tick,
        interval: cli.interval,
        book,
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(|e| e.to_string())?;
    }
    socket::raise_limit();
    let only_json = cli.json.as_deref() == Some(Path::new("-"));
    if !only_json {
        print(&report::heading(&cli.url, cli.duration, cli.threads, cli.connections));
    }
    let outcome = run.go(&stop).map_err(|e| e.to_string())?;
    let latencies = latencies(cli, &outcome);
    if let Some(path) = &cli.json {
        let text = format!("{:#}\n", json::document(cli, &outcome, &latencies));
        if only_json {
            print(&text);
        } else {
            fs::write(path, text).map_err(|e| format!("--json {}: {e}", path.display()))?;
        }
    }
    if !only_json {
        print(&text(cli, &outcome, &latencies));
    }
    for mismatch in &outcome.tally.mismatches {
        eprintln!("ringway-load: {mismatch}");
    }
    let (tally, errors) = (&outcome.tally, &outcome.tally.errors);
    Ok(tally.requests > 0 && errors.verify == 0 && !(cli.strict && errors.total() > 0))
}

/// The latencies that are reported: an open loop's count from the schedule; a closed loop's are
/// corrected as wrk does it.
fn latencies(cli: &Cli, outcome: &Outcome) -> Histogram<u64> {
    if cli.rate.is_some() {
        return outcome.tally.corrected.clone();
    }
    let asking = cli.connections * cli.streams.unwrap_or(1);
    let rounds = outcome.tally.requests / asking;
    plan::closed_loop(&outcome.tally.uncorrected, outcome.took, rounds)
}

fn text(cli: &Cli, outcome: &Outcome, latencies: &Histogram<u64>) -> String {
    let subject = Subject {
        url: &cli.url,
        threads: cli.threads,
        connections: cli.connections,
        asked: cli.duration,
        took: outcome.took,
        latencies,
        latency: cli.latency,
        u_latency: cli.u_latency,
    };
    report::report(&subject, &outcome.tally)
}

/// A reader that has gone, as `head` does, is no reason to panic.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
