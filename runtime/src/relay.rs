//! Moves bodies: one pump for every pair of protocols, both directions at once, and the tunnel
//! that an upgraded connection becomes.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ringway_core::message::{Cause, Fault, Stage};

use crate::buffer::{Buffer, Buffers, MEDIUM, SMALL};
use crate::h1::{Incoming, Outgoing};
use crate::pace::{Limit, Pace};
use crate::stream::{Sink, Source};

/// Reads of a tunnel without a wait before the other connections get their turn.
const BURST: u8 = 8;

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
/// way up says that going on makes no sense.
pub(crate) async fn both<T>(
    mut up: Pin<&mut impl Future<Output = Fault>>,
    mut down: Pin<&mut impl Future<Output = Result<T, Fault>>>,
) -> Result<T, Fault> {
    poll_fn(|cx| {
        if let Poll::Ready(fault) = up.as_mut().poll(cx) {
            return Poll::Ready(Err(fault));
        }
        down.as_mut().poll(cx)
    })
    .await
}

/// Carries bytes both ways until both have ended; an end on one side is passed on to the other.
pub(crate) async fn tunnel<T: Tally>(
    (client_in, client_out): (&mut Incoming, &mut Outgoing),
    (server_in, server_out): (&mut Incoming, &mut Outgoing),
    buffers: &Buffers,
    idle: Idle,
    (received, sent): (&T, &T),
) -> Result<(), Fault> {
    let half_done = Cell::new(false);
    let up = async {
        match pour(client_in, server_out, buffers, &idle, received).await {
            Err(fault) => fault,
            Ok(()) if half_done.replace(true) => Fault::client(Stage::Relay, Cause::Closed),
            Ok(()) => pending().await,
        }
    };
    let down = async {
        pour(server_in, client_out, buffers, &idle, sent).await?;
        if half_done.replace(true) { Ok(()) } else { pending().await }
    };
    match both(pin!(up), pin!(down)).await {
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

/// What is read at once: it begins small and grows while reads fill it, so that whoever waits for
/// a slow peer with little in hand holds little.
#[derive(Clone, Copy)]
enum Size {
    Small,
    Medium,
    Large,
}

impl Size {
    fn buffer(self, buffers: &Buffers) -> Buffer {
        match self {
            Self::Small => buffers.small(),
            Self::Medium => buffers.medium(),
            Self::Large => buffers.large(),
        }
    }

    /// The size after a read of `n` bytes into a buffer of this size.
    const fn after(self, n: usize, length: usize) -> Self {
        match self {
            Self::Small if n == length => Self::Medium,
            Self::Medium | Self::Large if n == length => Self::Large,
            Self::Large if n < MEDIUM => Self::Medium,
            Self::Medium if n < SMALL => Self::Small,
            same => same,
        }
    }
}

async fn pour(
    source: &mut Incoming,
    sink: &mut Outgoing,
    buffers: &Buffers,
    idle: &Idle,
    tally: &impl Tally,
) -> Result<(), Fault> {
    if !source.unread().is_empty() {
        tally.taken(source.unread().len() as u64);
        give(sink, source.unread(), tally).await?;
    }
    source.discard();
    let (mut size, mut burst) = (Size::Small, 0);
    loop {
        idle.restart();
        burst += 1;
        if burst > BURST {
            // One busy stream must not keep the others waiting: go round the loop once.
            source.yield_next();
        }
        if source.is_drained() {
            burst = 0;
            // No buffer while nothing comes.
            source.wait().await;
        }
        let mut buffer = size.buffer(buffers);
        match source.read_raw(&mut buffer)? {
            None => {}
            Some(0) => break,
            Some(n) => {
                idle.restart();
                size = size.after(n, buffer.len());
                tally.taken(n as u64);
                give(sink, &buffer[..n], tally).await?;
            }
        }
    }
    sink.writer().shutdown();
    Ok(())
}

async fn give(sink: &mut Outgoing, bytes: &[u8], tally: &impl Tally) -> Result<(), Fault> {
    let before = sink.sent();
    let given = sink.send_raw(bytes).await;
    tally.given(sink.sent() - before);
    given
}
