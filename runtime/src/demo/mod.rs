//! `ringway demo`: three small services, the proxy in front, a gentle load, and a live table, so
//! that one sees traffic move away from the slow instance.

mod connection;
mod load;
mod services;
mod table;

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use ringway::machine::Machine;
use ringway_config::{
    Admin, Config, HostPort, Kind, Listener, StaticEndpoint, StaticService, Timeouts,
};

use crate::cli::Demo;
use crate::failure::Failure;
use crate::signal::{self, Wish};
use crate::{run, start};
use load::{Load, Tallies, Window};
use services::{Instance, SERVICES};

/// Time from start to the first trouble: long enough to see the traffic spread evenly before.
const CALM: Duration = Duration::from_secs(6);
/// How often the table is redrawn.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between two reports without a terminal.
const PLAIN_TICKS: u32 = 5;
/// Time for the last requests at the end.
const GRACE: Duration = Duration::from_secs(3);

/// Runs the demo until Ctrl-C, or for as long as was asked.
///
/// # Errors
/// When an address is taken, or the proxy does not start.
pub(crate) fn run(asked: &Demo) -> Result<(), Failure> {
    let (wishes, wished) = unbounded();
    signal::listen(wishes)?;
    start::check_free(asked.serve.listen, "--listen")?;
    start::check_free(asked.serve.admin, "--admin")?;
    let began = Instant::now();
    let instances = services::start(&SERVICES, began + CALM)?;
    let machine = start::machine(config(asked, &instances)?)?;
    let proxy = machine.addresses().first().map_or(asked.serve.listen, |(_, address)| *address);
    let admin = machine.admin_address().unwrap_or(asked.serve.admin);

    let mut out = io::stdout();
    out.write_all(intro(proxy, admin).as_bytes())?;
    let names = SERVICES.map(|service| service.name);
    let load = Load::start(proxy, &names, &instances)?;
    let mut watch = Watch { began, load, names: &names, instances: &instances };
    let result = watch.show(&mut out, &wished, asked.seconds);
    watch.load.stop();
    let summary = result.and_then(|total| out.write_all(watch.summary(&total).as_bytes()));
    end(machine, summary)
}

/// A reader that went away (`ringway demo | head`) ends the demo like Ctrl-C.
fn end(machine: Machine, shown: io::Result<()>) -> Result<(), Failure> {
    let drained = machine.drain(GRACE);
    match shown {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ if !drained.clean => Err(Failure::new("some requests were still under way at the end")),
        _ => Ok(()),
    }
}

/// Only the driver is taken from the environment: log lines would tear the table.
fn config(asked: &Demo, instances: &[Instance]) -> Result<Config, Failure> {
    let endpoint = |instance: &Instance| StaticEndpoint {
        address: HostPort::from(instance.address),
        weight: 1,
    };
    let timeouts = Timeouts::default();
    let service = |name: &'static str| {
        let own = instances.iter().filter(|instance| instance.service == name);
        StaticService::new(name, own.map(endpoint).collect(), &timeouts)
    };
    let config = Config {
        // An outbound listener routes by Host: `Host: api` goes to the service `api`.
        listeners: vec![Listener::new("demo", asked.serve.listen, Kind::Outbound)],
        admin: Admin { address: Some(asked.serve.admin) },
        services: SERVICES.iter().map(|s| service(s.name)).collect(),
        ..Config::default()
    };
    let driver = |name: &str| (name == "RINGWAY_DRIVER").then(|| run::environment(name)).flatten();
    config.with_environment(&driver).map_err(|errors| Failure::new(errors.to_string()))
}

fn intro(proxy: SocketAddr, admin: SocketAddr) -> String {
    format!(
        "\
ringway demo: a gentle load goes through the proxy to three services.
After {} s api-3 gets slow and flaky-2 starts to fail. Try, from another terminal:

  curl -i -H 'Host: web'   http://{proxy}/
  curl -i -H 'Host: api'   http://{proxy}/
  curl -i -H 'Host: flaky' http://{proxy}/
  curl -x http://{proxy} http://web/       (as an http_proxy)
  curl http://{admin}/metrics              (also /ready, /config, /endpoints)

",
        CALM.as_secs()
    )
}

/// What is needed to show what happens.
struct Watch<'a> {
    began: Instant,
    load: Load,
    names: &'a [&'static str],
    instances: &'a [Instance],
}

impl Watch<'_> {
    /// Shows the table until the end; returns the sums of all.
    fn show(
        &self,
        out: &mut (impl Write + IsTerminal),
        wished: &Receiver<Wish>,
        seconds: Option<u64>,
    ) -> io::Result<Tallies> {
        let rows = self.names.len() + self.instances.len();
        let (mut window, mut total) = (Window::new(rows), load::tallies(rows));
        let terminal = out.is_terminal();
        let started = Instant::now();
        let mut drawn = 0;
        for tick in 1_u32.. {
            let due = started + TICK * tick;
            let ended = wait(wished, due);
            let seen = self.load.take();
            load::add(&mut total, &seen);
            window.push(TICK, seen);
            if terminal {
                drawn = self.redraw(out, &window, drawn)?;
            } else if tick % PLAIN_TICKS == 0 {
                let (span, sums) = window.sum();
                let rows = table::rows(self.names, self.instances, &sums, span);
                out.write_all(table::plain(&rows, self.began.elapsed()).as_bytes())?;
            }
            if ended || seconds.is_some_and(|seconds| u64::from(tick) >= seconds) {
                break;
            }
        }
        Ok(total)
    }

    /// Draws over the `drawn` lines of the last time; returns how many there are now.
    fn redraw(&self, out: &mut impl Write, window: &Window, drawn: usize) -> io::Result<usize> {
        let (span, sums) = window.sum();
        let rows = table::rows(self.names, self.instances, &sums, span);
        let state =
            if self.began.elapsed() < CALM { "all well" } else { "api-3 slow, flaky-2 failing" };
        let text = format!(
            "{} s · the last {} s · {state} · Ctrl-C ends\n\n{}",
            self.began.elapsed().as_secs(),
            span.as_secs(),
            table::render(&rows)
        );
        // Up to the first line, then clear to the end of the screen.
        let up = if drawn > 0 { format!("\x1b[{drawn}A\x1b[J") } else { String::new() };
        out.write_all((up + &text).as_bytes())?;
        out.flush()?;
        Ok(text.lines().count())
    }

    fn summary(&self, total: &Tallies) -> String {
        let span = self.began.elapsed();
        let rows = table::rows(self.names, self.instances, total, span);
        let requests: u64 = rows.iter().map(|row| row.requests).sum();
        format!("\nIn all: {requests} requests in {} s\n\n{}", span.as_secs(), table::render(&rows))
    }
}

/// Waits until `due`; true when the end was asked for.
fn wait(wished: &Receiver<Wish>, due: Instant) -> bool {
    loop {
        match wished.recv_deadline(due) {
            Ok(Wish::Drain) | Err(RecvTimeoutError::Disconnected) => return true,
            // There is no file to reload.
            Ok(Wish::Reload) => {}
            Err(RecvTimeoutError::Timeout) => return false,
        }
    }
}
