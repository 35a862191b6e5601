//! The command line of ringway-load: wrk2's, and what goes beyond it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::amount;
use crate::mix::{self, Mix};
use crate::request::Shape;
use crate::target::Target;

/// Makes HTTP load as wrk (closed loop) and wrk2 (constant rate, `-R`) do.
#[derive(Clone, Debug, Parser)]
#[command(name = "ringway-load", version, disable_version_flag = true)]
#[command(after_help = "Counts take k, M, G (factors of 1,000), times ms, s, m, h, sizes k, m \
    (factors of 1,024).\nExit status: 0 responses came; 1 none came, verification failed, or any \
    error with --strict; 2 the command line is wrong.")]
pub struct Cli {
    /// Where to send requests: http://HOST[:PORT][/PATH]
    pub url: String,
    /// Threads, each with a loop of its own
    #[arg(short, long, default_value = "2", value_parser = amount::positive, value_name = "N")]
    pub threads: u64,
    /// Connections of all threads, kept open
    #[arg(short, long, default_value = "10", value_parser = amount::positive, value_name = "N")]
    pub connections: u64,
    /// Speak HTTP/2 (prior knowledge) with so many streams at once on each connection, as h2load's
    /// -m; without it, HTTP/1.1
    #[arg(short = 'm', long, value_parser = amount::positive, value_name = "N",
        conflicts_with_all = ["chunked", "requests_per_connection", "tick"])]
    pub streams: Option<u64>,
    /// Make unary calls of gRPC: the upload is one message, and the response has to end with the
    /// trailer grpc-status: 0
    #[arg(long, requires = "streams", conflicts_with_all = ["mix", "method"])]
    pub grpc: bool,
    /// How long to measure
    #[arg(short, long, default_value = "10s", value_parser = amount::time, value_name = "T")]
    pub duration: Duration,
    /// Requests a second of all connections, on schedule (open loop); without it, each
    /// connection asks as soon as it is answered (closed loop)
    #[arg(short = 'R', long, value_parser = amount::positive, value_name = "N")]
    pub rate: Option<u64>,
    /// Print latency percentiles
    #[arg(short = 'L', long)]
    pub latency: bool,
    /// Print uncorrected latency percentiles, too
    #[arg(short = 'U', long = "u_latency", alias = "u-latency")]
    pub u_latency: bool,
    /// A header field for all requests, 'NAME: VALUE'; may be repeated
    #[arg(short = 'H', long = "header", value_parser = header, value_name = "FIELD")]
    pub headers: Vec<(String, String)>,
    /// How long a response may take before it counts as an error and its connection is replaced
    #[arg(short = 'T', long, default_value = "2s", value_parser = amount::time, value_name = "T")]
    pub timeout: Duration,
    /// Lua scripts are not supported; see --method, --body-size, --header and --mix
    #[arg(short, long, value_name = "FILE")]
    pub script: Option<String>,
    /// How long to make load before measuring; nothing of it but errors is counted
    #[arg(long, default_value = "0s", value_parser = amount::time, value_name = "T")]
    pub warmup: Duration,
    /// The method [default: POST with --body-size, otherwise GET]
    #[arg(long, value_parser = mix::method, value_name = "METHOD", conflicts_with = "mix")]
    pub method: Option<String>,
    /// Upload so many pseudo-random bytes with each request
    #[arg(long, value_parser = mix::body_size, value_name = "SIZE", conflicts_with = "mix")]
    pub body_size: Option<usize>,
    /// Send uploads chunked instead of with a content-length
    #[arg(long)]
    pub chunked: bool,
    /// Requests by weight, one a line: WEIGHT METHOD PATH [BODY-SIZE]
    #[arg(long, value_name = "FILE")]
    pub mix: Option<PathBuf>,
    /// End each connection after so many requests, the last with Connection: close
    #[arg(long, value_parser = amount::positive, value_name = "N")]
    pub requests_per_connection: Option<u64>,
    /// Make the timers of -R as coarse as this: 1ms compares with wrk2, whose timers are
    #[arg(long, default_value = "0s", value_parser = amount::time, value_name = "T")]
    pub tick: Duration,
    /// Verify the id, length and hash of every response (ringway-backend has to answer)
    #[arg(long)]
    pub verify: bool,
    /// Decides the bytes of uploads and the order of a mix
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Print a line with rate and p99 on standard error this often, at least 1s
    #[arg(long, value_parser = amount::time, value_name = "T")]
    pub interval: Option<Duration>,
    /// Write everything as JSON to a file; - for standard output instead of the report
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Any error makes the exit status 1
    #[arg(long)]
    pub strict: bool,
    /// Print the version
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
}

impl Cli {
    /// What clap cannot check; the error says what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.script.is_some() {
            return Err("-s: scripts are not supported; use --method, --body-size, --header or, \
                for several requests, --mix FILE"
                .to_owned());
        }
        if self.connections < self.threads {
            return Err(format!(
                "number of connections must be >= threads: -c{} is less than -t{}",
                self.connections, self.threads
            ));
        }
        if self.threads > 1_024 || self.connections > 1_000_000 {
            return Err("at most 1024 threads and 1M connections".to_owned());
        }
        if self.streams.is_some_and(|streams| streams * self.connections > 1_000_000) {
            return Err("-m: at most 1M streams on all connections".to_owned());
        }
        if self.duration.is_zero() || self.timeout.is_zero() {
            return Err("-d and --timeout have to be more than 0".to_owned());
        }
        if self.tick > Duration::from_secs(1) {
            return Err("--tick: at most 1s".to_owned());
        }
        if self.rate.is_some_and(|rate| rate > 100_000_000) {
            return Err("-R: at most 100M requests a second".to_owned());
        }
        if self.interval.is_some_and(|i| i < Duration::from_secs(1)) {
            return Err("--interval: at least 1s".to_owned());
        }
        Ok(())
    }

    /// Where requests go.
    pub fn target(&self) -> Result<Target, String> {
        Target::parse(&self.url)
    }

    /// What is asked; reads the file of `--mix`.
    pub fn asks(&self) -> Result<Mix, String> {
        let Some(path) = &self.mix else {
            let body = self.body_size.unwrap_or(0);
            let usual = if self.body_size.is_some() || self.grpc { "POST" } else { "GET" };
            return Ok(Mix::one(self.method.as_deref().unwrap_or(usual), body));
        };
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|e| format!("--mix {shown}: {e}"))?;
        Mix::parse(&text).map_err(|e| format!("--mix {shown}:\n{e}"))
    }

    /// What all requests have in common.
    pub fn shape(&self) -> Shape {
        Shape {
            headers: self.headers.clone(),
            chunked: self.chunked,
            verify: self.verify,
            closing: self.requests_per_connection.is_some(),
            grpc: self.grpc,
            seed: self.seed,
        }
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it as 'NAME: VALUE'")?;
    let (name, value) = (name.trim(), value.trim());
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("{name:?} is no field name"));
    }
    if value.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f) {
        return Err("the value has control bytes".to_owned());
    }
    let ours = ["content-length", "transfer-encoding", "connection", "x-request-id"];
    if ours.iter().any(|o| name.eq_ignore_ascii_case(o)) {
        return Err(format!(
            "{name} is set by --body-size, --chunked, \
            --requests-per-connection or --verify"
        ));
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::{CommandFactory, Parser};
    use std::time::Duration;

    fn cli(line: &str) -> Result<Cli, String> {
        let words = std::iter::once("ringway-load").chain(line.split(' '));
        let cli = Cli::try_parse_from(words).map_err(|e| e.to_string())?;
        cli.check().map(|()| cli)
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn as_wrk2_is_called() {
        let cli = cli("-t2 -c 2k -d30s -R 10k -L -U --timeout 5s -H a:b http://a/x").expect("fine");
        assert_eq!((cli.threads, cli.connections, cli.rate), (2, 2_000, Some(10_000)));
        assert_eq!((cli.duration, cli.timeout), (Duration::from_secs(30), Duration::from_secs(5)));
        assert_eq!(cli.headers, [("a".to_owned(), "b".to_owned())]);
        assert!(cli.latency && cli.u_latency);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, said) in [
            ("-s x.lua http://a/", "--mix"),
            ("-t4 -c2 http://a/", "connections must be >= threads"),
            ("-d0 http://a/", "more than 0"),
            ("-H nocolon http://a/", "NAME: VALUE"),
            ("-H content-length:5 http://a/", "--body-size"),
            ("-t0 http://a/", "at least 1"),
            ("--method get http://a/", "capitals"),
            ("--mix f --method GET http://a/", "cannot be used with"),
            ("-m 2 --chunked http://a/", "cannot be used with"),
            ("--grpc http://a/", "--streams"),
            ("-m 2M http://a/", "1M streams"),
        ] {
            let error = cli(line).expect_err(line);
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
