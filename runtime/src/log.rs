//! The program's own log: tracing's events to standard error, plain or JSON, at a level that can
//! be changed while it runs. Lines go through a writer thread, so that a stuck standard error
//! never holds up a worker; lines that find no room are dropped.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use ringway_config::{Log, LogFormat, Sink};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::lines::{self, Lines, Writer};

/// Lines that may wait for standard error.
const WAITING: usize = 1024;

/// Why the log cannot be set up, or its level not be changed.
#[derive(Debug)]
pub enum LogError {
    /// Not a level or list of levels.
    Level(String),
    /// The writer thread cannot be started.
    Thread(io::Error),
    /// Another log is set up in this process already.
    Twice,
}

impl std::fmt::Display for LogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Level(why) => write!(f, "not a log level: {why}"),
            Self::Thread(why) => write!(f, "cannot start the log's thread: {why}"),
            Self::Twice => f.write_str("the log is set up already"),
        }
    }
}

impl std::error::Error for LogError {}

/// The log is the process's, and so is its level.
static CURRENT: OnceLock<Level> = OnceLock::new();

/// Changes the level.
#[derive(Debug)]
pub(crate) struct Level(reload::Handle<EnvFilter, Registry>);

/// Keeps the log's thread; drop it last, so that the last lines are written.
#[derive(Debug)]
pub struct Guard(Option<Writer>);

/// Sets up the process's log. Default level `info` (`ringway_config::Log`).
///
/// # Errors
/// [`LogError`]
pub fn start(settings: &Log) -> Result<Guard, LogError> {
    let filter = filter(&settings.level)?;
    let (lines, writer) = lines::start("log", &Sink::Stderr, WAITING).map_err(LogError::Thread)?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = MakeLine(lines);
    let printer = match settings.format {
        LogFormat::Plain => {
            let colours = io::stderr().is_terminal();
            fmt::layer().with_writer(lines).with_ansi(colours).boxed()
        }
        LogFormat::Json => fmt::layer().json().with_writer(lines).boxed(),
    };
    let log = tracing_subscriber::registry().with(filter).with(printer);
    log.try_init().map_err(|_| LogError::Twice)?;
    let _ = CURRENT.set(Level(handle));
    Ok(Guard(Some(writer)))
}

/// The level of the process's log, once [`start`] has set it up.
pub(crate) fn level() -> Option<&'static Level> {
    CURRENT.get()
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder().parse(level).map_err(|why| LogError::Level(why.to_string()))
}

impl Level {
    /// The level now.
    pub(crate) fn get(&self) -> Option<String> {
        self.0.with_current(ToString::to_string).ok()
    }

    /// Sets another.
    ///
    /// # Errors
    /// [`LogError::Level`]
    pub(crate) fn set(&self, level: &str) -> Result<(), LogError> {
        let filter = filter(level)?;
        self.0.reload(filter).map_err(|why| LogError::Level(why.to_string()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(writer) = self.0.take() {
            writer.close(Duration::from_secs(1));
        }
    }
}

#[derive(Debug)]
struct MakeLine(Lines);

/// One event's line; given to the writer when it is complete.
#[derive(Debug)]
struct Line<'a> {
    lines: &'a Lines,
    text: Vec<u8>,
}

impl<'a> MakeWriter<'a> for MakeLine {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: &self.0, text: Vec::new() }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.lines.give(&mut self.text);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
mod tests {
    use super::*;

    #[test]
    fn lines_are_levelled_written_whole_and_the_level_can_change() {
        let place = std::env::temp_dir().join(format!("ringway-log-{}", std::process::id()));
        let (lines, writer) = lines::start("log", &Sink::File(place.clone()), 16).unwrap();
        let (layer, handle) = reload::Layer::new(filter("info").unwrap());
        let printer = fmt::layer().json().with_writer(MakeLine(lines));
        let level = Level(handle);
        tracing::subscriber::with_default(
            tracing_subscriber::registry().with(layer).with(printer),
            || {
                tracing::debug!("hidden");
                tracing::info!(answer = 42, "shown");
                level.set("debug").unwrap();
                tracing::debug!("shown now");
                assert_eq!(level.get().unwrap(), "debug");
            },
        );
        assert!(matches!(level.set("a=b=c"), Err(LogError::Level(_))));
        assert!(writer.close(Duration::from_secs(5)));
        let text = std::fs::read_to_string(&place).unwrap();
        std::fs::remove_file(place).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["fields"]["message"], "shown");
        assert_eq!(first["fields"]["answer"], 42);
    }
}
