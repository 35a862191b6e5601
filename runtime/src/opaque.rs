//! Opaque connections: bytes are carried both ways as they come, between a client and an endpoint
//! of the listener's cluster.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use ringway_core::exchange::{Attempt, End, Flow, Sent, Step};
use ringway_core::message::{Blame, Cause, Fault, Stage};
use ringway_core::record::Closing;
use ringway_core::wire::sniff::{ServerName, server_name};

use crate::accept::{Entrance, direction};
use crate::access_log::{self, Spoken};
use crate::clock;
use crate::dial;
use crate::h1::{Incoming, Outgoing};
use crate::metrics::{Counter, Decision, Series};
use crate::pace::Limit;
use crate::relay::{self, Idle, Tally};
use crate::serve::Parts;
use crate::socket::{Reader, Writer};
use crate::worker::Worker;

/// Carries a connection to its end, and says what has gone wrong.
pub(crate) async fn serve(
    mut client: Parts,
    decision: Decision,
    (worker, entrance, peer): (&Rc<Worker>, &Rc<Entrance>, SocketAddr),
) -> Option<Fault> {
    let mut passage = Passage::open((worker, entrance, peer), decision, &client);
    let ended = match passage.connect(&client).await {
        // The flow knows why, unless the client has left.
        Err(left) => Err(left),
        Ok(mut far) => passage.carry(&mut client, &mut far).await.map_err(Some),
    };
    if ended.is_err() {
        // What was cut must not look whole.
        client.outgoing.writer().reset_on_close();
    }
    passage.finish(ended.err().flatten(), (client.incoming.received(), client.outgoing.sent()))
}

/// A flow and the facts of its connection, closed exactly once: at the latest when it is dropped.
struct Passage {
    worker: Rc<Worker>,
    entrance: Rc<Entrance>,
    peer: SocketAddr,
    flow: Option<Flow>,
    entry: Option<access_log::Entry>,
    /// What the metrics know to have been read from the client and written to it.
    counted: (Cell<u64>, Cell<u64>),
}

impl Passage {
    fn open(
        (worker, entrance, peer): (&Rc<Worker>, &Rc<Entrance>, SocketAddr),
        decision: Decision,
        client: &Parts,
    ) -> Self {
        let name = (decision == Decision::Tls).then(|| server_name(client.incoming.unread()));
        let name = name.as_ref().map(|name| match name {
            ServerName::Found(name) => name.as_bytes(),
            ServerName::Absent | ServerName::NeedMore => b"",
        });
        let entry = worker.recorder.begin(move || {
            let spoken = if name.is_some() { Spoken::Tls } else { Spoken::Opaque };
            access_log::Facts::opaque(peer, spoken, name.unwrap_or_default())
        });
        let mut world = worker.world.borrow_mut();
        let listener = world.listener(&entrance.name).unwrap_or(usize::MAX);
        let flow = Flow::open_opaque(listener, name, &mut world, clock::now());
        drop(world);
        Self {
            worker: Rc::clone(worker),
            entrance: Rc::clone(entrance),
            peer,
            flow: Some(flow),
            entry,
            counted: Default::default(),
        }
    }

    /// A connection to an endpoint, if any can be reached before the client leaves.
    async fn connect(&mut self, client: &Parts) -> Result<Far, Option<Fault>> {
        while let Some(attempt) = self.next() {
            let dialled = dial(&attempt, client).await;
            let Some(flow) = self.flow.as_mut() else { break };
            match dialled {
                Ok((reader, writer)) => {
                    flow.connected(clock::now());
                    let buffers = &self.worker.buffers;
                    return Ok(Far::new(
                        Incoming::new(reader, buffers.clone(), Blame::Upstream),
                        Outgoing::new(writer, buffers.clone(), Blame::Upstream),
                        self.series(&attempt),
                    ));
                }
                Err(fault) if fault.blame == Blame::Client => return Err(Some(fault)),
                Err(fault) => {
                    let mut world = self.worker.world.borrow_mut();
                    flow.failed(fault, Sent::nothing(false), &mut world, clock::now());
                }
            }
        }
        Err(None)
    }

    fn next(&mut self) -> Option<Attempt> {
        let flow = self.flow.as_mut()?;
        match flow.next(&mut self.worker.world.borrow_mut(), clock::now()) {
            Step::Try(attempt) => Some(attempt),
            Step::Answer(_) | Step::Wait(_) => None,
        }
    }

    fn series(&self, attempt: &Attempt) -> Option<Series> {
        let direction = direction(self.entrance.settings.borrow().kind);
        self.worker.series(attempt.endpoint, direction)
    }

    /// Carries bytes until both sides have ended.
    async fn carry(&self, client: &mut Parts, far: &mut Far) -> Result<(), Fault> {
        let settings = self.worker.settings();
        let idle = Idle { pace: Rc::clone(&client.pace), span: settings.timeouts.tunnel_idle };
        let near = Some(&self.entrance.series);
        let series = far.series.clone();
        let up = Meter::new((near, series.as_ref()), (&self.counted.0, &far.counted.1));
        let down = Meter::new((series.as_ref(), near), (&far.counted.0, &self.counted.1));
        let pace = Rc::clone(&client.pace);
        pace.clear_all();
        let ended = {
            let mut tunnel = pin!(relay::tunnel(
                (&mut client.incoming, &mut client.outgoing),
                (&mut far.incoming, &mut far.outgoing),
                idle,
                (&up, &down),
            ));
            let carried = pin!(poll_fn(|cx| match tunnel.as_mut().poll(cx) {
                Poll::Pending if self.worker.is_cutting() => {
                    Poll::Ready(Err(Fault::us(Stage::Relay, Cause::Draining)))
                }
                other => other,
            }));
            pace.keep(carried).await.unwrap_or_else(Err)
        };
        pace.clear_all();
        ended.map_err(|fault| {
            far.outgoing.writer().reset_on_close();
            far.fault = Some(fault);
            Fault { stage: Stage::Relay, ..fault }
        })
    }

    /// Closes the flow; what it says went wrong.
    fn finish(&mut self, fault: Option<Fault>, (received, sent): (u64, u64)) -> Option<Fault> {
        let flow = self.flow.take()?;
        self.entrance.series.read((received - self.counted.0.get()) as usize);
        self.entrance.series.wrote((sent - self.counted.1.get()) as usize);
        let end = End { fault, received, sent, ..End::default() };
        let mut world = self.worker.world.try_borrow_mut().ok()?;
        let closing = flow.close_opaque(end, &mut world, clock::now());
        drop(world);
        self.note(&closing);
        closing.fault
    }

    fn note(&mut self, closing: &Closing) {
        if closing.attempts > 1 {
            self.worker.metrics().add(Counter::Retries, u64::from(closing.attempts) - 1);
        }
        if let Some(fault) = closing.fault {
            self.entrance.series.cut(fault.cause);
        }
        let direction = direction(self.entrance.settings.borrow().kind);
        let series = closing.endpoint.and_then(|id| self.worker.series(id, direction));
        self.worker.recorder.note_opaque(closing, series.as_ref(), self.entry.take());
        tracing::debug!(peer = %self.peer, listener = %self.entrance.name, ?closing, "opaque");
        self.worker.stir();
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if self.flow.is_some() {
            let (received, sent) = (self.counted.0.get(), self.counted.1.get());
            self.finish(Some(Fault::us(Stage::Relay, Cause::Panic)), (received, sent));
        }
    }
}

/// Connects to the attempt's endpoint, unless the client leaves first.
async fn dial(attempt: &Attempt, client: &Parts) -> Result<(Reader, Writer), Fault> {
    let pace = &client.pace;
    let late = Fault::upstream(Stage::Connect, Cause::ConnectTimeout);
    pace.within(Limit::Up, attempt.connect_timeout, late);
    let mut dialling = pin!(dial::connect(attempt.address));
    let mut lost = pin!(client.incoming.lost());
    let either = pin!(poll_fn(|cx| match dialling.as_mut().poll(cx) {
        Poll::Pending => lost.as_mut().poll(cx).map(Err),
        dialled => dialled,
    }));
    let dialled = pace.keep(either).await;
    pace.clear(Limit::Up);
    dialled.unwrap_or_else(Err)
}

/// The endpoint's side.
struct Far {
    incoming: Incoming,
    outgoing: Outgoing,
    series: Option<Series>,
    /// As [`Passage::counted`].
    counted: (Cell<u64>, Cell<u64>),
    fault: Option<Fault>,
}

impl Far {
    fn new(incoming: Incoming, outgoing: Outgoing, series: Option<Series>) -> Self {
        if let Some(series) = &series {
            series.opened();
        }
        Self { incoming, outgoing, series, counted: Default::default(), fault: None }
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        if let Some(series) = &self.series {
            series.read((self.incoming.received() - self.counted.0.get()) as usize);
            series.wrote((self.outgoing.sent() - self.counted.1.get()) as usize);
            let error = self.fault.filter(|f| f.blame == Blame::Upstream).and_then(errno);
            series.closed(error.map(io::Error::from).as_ref());
        }
    }
}

/// What `tcp_close_total` calls the fault of a connection's own peer.
pub(crate) const fn errno(fault: Fault) -> Option<io::ErrorKind> {
    match fault.cause {
        Cause::Reset => Some(io::ErrorKind::ConnectionReset),
        Cause::Closed => Some(io::ErrorKind::BrokenPipe),
        Cause::IdleTimeout => Some(io::ErrorKind::TimedOut),
        _ => None,
    }
}

/// Counts one direction as it goes: a connection may last for days.
struct Meter<'a> {
    series: (Option<&'a Series>, Option<&'a Series>),
    counted: (&'a Cell<u64>, &'a Cell<u64>),
}

impl<'a> Meter<'a> {
    const fn new(
        series: (Option<&'a Series>, Option<&'a Series>),
        counted: (&'a Cell<u64>, &'a Cell<u64>),
    ) -> Self {
        Self { series, counted }
    }
}

impl Tally for Meter<'_> {
    fn taken(&self, bytes: u64) {
        self.counted.0.set(self.counted.0.get() + bytes);
        if let Some(series) = self.series.0 {
            series.read(bytes as usize);
        }
    }

    fn given(&self, bytes: u64) {
        self.counted.1.set(self.counted.1.get() + bytes);
        if let Some(series) = self.series.1 {
            series.wrote(bytes as usize);
        }
    }
}
