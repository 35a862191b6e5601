//! Moves bodies: one pump for every pair of protocols, both directions at once, and the tunnel
//! that an upgraded connection becomes.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ringway_core::message::{Cause, Fault, Stage};

use crate::pace::{Limit, Pace};
use crate::stream::{Sink, Source};

/// Relays a body to its end, counting its bytes.
pub(crate) async fn one(
    source: &mut impl Source,
    sink: &mut impl Sink,
    bytes: &Cell<u64>,
) -> Result<(), Fault> {
    while !source.is_done() {
        match source.take()? {
            Some(part) => {
                bytes.set(bytes.get() + part.len());
                sink.put(&part).await?;
            }
            None => {
                sink.flush().await?;
                source.more().await?;
            }
        }
    }
    sink.flush().await
}

/// Drives the way up beside the way down. The exchange is over when the way down is, or when the
/// way up says that going on makes no sense. As long as the way up `sends`, it comes first: what is
/// heard depends on what was said. Once it only watches, it need not when all is over anyway.
pub(crate) async fn both<T>(
    mut up: Pin<&mut impl Future<Output = Fault>>,
    mut down: Pin<&mut impl Future<Output = Result<T, Fault>>>,
    sends: impl Fn() -> bool,
) -> Result<T, Fault> {
    poll_fn(|cx| {
        let first = sends();
        if first && let Poll::Ready(fault) = up.as_mut().poll(cx) {
            return Poll::Ready(Err(fault));
        }
        match down.as_mut().poll(cx) {
            Poll::Pending if !first => up.as_mut().poll(cx).map(Err),
            down => down,
        }
    })
    .await
}

/// Carries bytes both ways until both have ended; an end on one side is passed on to the other.
pub(crate) async fn tunnel<T: Tally>(
    (client_in, client_out): (&mut impl Source, &mut impl Sink),
    (server_in, server_out): (&mut impl Source, &mut impl Sink),
    idle: Idle,
    (received, sent): (&T, &T),
) -> Result<(), Fault> {
    client_in.open_tunnel();
    client_out.open_tunnel();
    server_in.open_tunnel();
    server_out.open_tunnel();
    let half_done = Cell::new(false);
    let up = async {
        match pour(client_in, server_out, &idle, received).await {
            Err(fault) => fault,
            Ok(()) if half_done.replace(true) => Fault::client(Stage::Relay, Cause::Closed),
            Ok(()) => pending().await,
        }
    };
    let down = async {
        pour(server_in, client_out, &idle, sent).await?;
        if half_done.replace(true) { Ok(()) } else { pending().await }
    };
    match both(pin!(up), pin!(down), || true).await {
        // The way up ended last, in good order.
        Err(fault) if fault == Fault::client(Stage::Relay, Cause::Closed) => Ok(()),
        other => other,
    }
}

/// How long a tunnel may carry nothing at all.
pub(crate) struct Idle {
    pub(crate) pace: Rc<Pace>,
    pub(crate) span: Option<Duration>,
}

impl Idle {
    fn restart(&self) {
        if let Some(span) = self.span {
            let fault = Fault::us(Stage::Relay, Cause::IdleTimeout);
            self.pace.within(Limit::Request, span, fault);
        }
    }
}

/// Counts what one direction of a tunnel carries.
pub(crate) trait Tally {
    /// So many bytes were taken from one side.
    fn taken(&self, bytes: u64);

    /// So many bytes were given to the other.
    fn given(&self, _bytes: u64) {}
}

impl Tally for Cell<u64> {
    fn taken(&self, bytes: u64) {
        self.set(self.get() + bytes);
    }
}

async fn pour(
    source: &mut impl Source,
    sink: &mut impl Sink,
    idle: &Idle,
    tally: &impl Tally,
) -> Result<(), Fault> {
    while !source.is_done() {
        idle.restart();
        match source.take()? {
            Some(part) => {
                let length = part.len();
                tally.taken(length);
                sink.put(&part).await?;
                tally.given(length);
            }
            None => source.more().await?,
        }
    }
    sink.end_tunnel();
    Ok(())
}
