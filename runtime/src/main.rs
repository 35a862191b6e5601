//! The binary `ringway`: reads the command line and hands over to one module for each command.

mod check;
mod cli;
mod demo;
mod failure;
mod run;
mod signal;
mod start;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command, FAILED};
use failure::Failure;

/// Only in builds that are measured.
#[cfg(feature = "count-allocations")]
#[global_allocator]
static ALLOCATOR: ringway::allocations::Counting = ringway::allocations::Counting;

fn main() -> ExitCode {
    // Wrong usage ends here, with exit status 2.
    let cli = Cli::parse();
    match execute(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(io::stderr(), "ringway: {failure}");
            ExitCode::from(FAILED)
        }
    }
}

fn execute(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Run(run) => run::file(run),
        Command::To(to) => run::to(to),
        Command::Check(asked) => check::run(asked, &mut io::stdout()),
        Command::Demo(asked) => demo::run(asked),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "ringway", &mut script);
            print(&script)
        }
        Command::Schema => print(format!("{:#}\n", ringway_config::schema()).as_bytes()),
    }
}

/// Prints; a reader that has seen enough (`| head`) is not a failure.
fn print(text: &[u8]) -> Result<(), Failure> {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
