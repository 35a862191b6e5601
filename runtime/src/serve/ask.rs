//! The requests of a client: heads are read and routed, bodies are a source.

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ringway_core::message::{Cause, Fault, Framing, Method, RequestHead, Stage, Version};
use ringway_core::wire::h1::head::{self, FieldTable, Limits, Parsed};

use crate::accept::Entrance;
use crate::access_log;
use crate::exchange::Exchange;
use crate::h1::Incoming;
use crate::pace::{Limit, Pace};
use crate::settings::Settings;
use crate::stream::{Part, Request, Source};
use crate::worker::Worker;

/// What has to be known of a request to answer it.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    pub(super) version: Version,
    pub(super) persistent: bool,
    pub(super) trailers: bool,
    pub(super) via: bool,
}

/// The receiving side of a client connection.
pub(crate) struct Ask {
    incoming: Incoming,
}

impl Ask {
    pub(super) const fn new(incoming: Incoming) -> Self {
        Self { incoming }
    }

    /// What is here of a next request.
    pub(super) fn unread(&self) -> &[u8] {
        self.incoming.unread()
    }

    /// Receives what is there now of it: `None` for nothing, 0 for the end.
    pub(super) fn receive_now(&mut self) -> Result<Option<usize>, Fault> {
        self.incoming.receive_now()
    }

    /// Whether nothing of a next request is here.
    pub(super) fn is_empty(&self) -> bool {
        self.incoming.unread().is_empty()
    }

    pub(super) fn release(&mut self) {
        self.incoming.release();
    }

    pub(super) fn under(&mut self, pace: &Rc<Pace>, idle: Duration) {
        self.incoming.under(pace, Limit::Up, idle);
    }

    pub(super) const fn received(&self) -> u64 {
        self.incoming.received()
    }

    pub(super) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.incoming.poll_arrived(cx)
    }

    /// Reads a head and opens its exchange in `place`, so that it is written once and not handed
    /// up through every future; `None` when the client leaves without a word.
    pub(super) async fn read_head(
        &mut self,
        (worker, entrance, peer): (&Rc<Worker>, &Rc<Entrance>, SocketAddr),
        settings: &Settings,
        pace: &Pace,
        place: &mut Option<Exchange>,
    ) -> Result<Option<Facts>, Fault> {
        self.incoming.release();
        let mut seen = 0;
        let mut look_again = settings.head.target_bytes;
        loop {
            let unread = self.incoming.unread();
            // An incomplete head is parsed again only when a line of it was completed, or when it
            // has grown a lot: a client that sends byte by byte must not cost more than that.
            if unread[seen..].contains(&b'\n') || unread.len() >= look_again {
                look_again = look_again.max(unread.len() * 2).min(settings.head.head_bytes);
                let opened = open(unread, (worker, entrance, peer), &settings.head, place)?;
                if let Some((length, framing, facts)) = opened {
                    self.incoming.begin(length, framing, true);
                    return Ok(Some(facts));
                }
            }
            if seen == 0 && !unread.is_empty() {
                // Until its first byte, the request was under the limit of the idle connection.
                let late = Fault::client(Stage::Head, Cause::IdleTimeout);
                pace.within(Limit::Request, settings.timeouts.head, late);
            }
            seen = unread.len();
            match self.incoming.receive().await {
                // Who leaves without a word has not failed.
                Ok(0) | Err(_) if seen == 0 => return Ok(None),
                Ok(0) => return Err(Fault::client(Stage::Head, Cause::Closed)),
                received => received.map(drop)?,
            }
        }
    }

    /// Takes what is here of a body that nobody wants; whether that is all of it.
    pub(super) fn skip_body(&mut self) -> bool {
        while !self.incoming.is_done() {
            if !matches!(self.incoming.take(), Ok(Some(_))) {
                return false;
            }
        }
        true
    }

    /// Reads something and forgets it; 0 is the end.
    pub(super) async fn throw_away(&mut self) -> Result<usize, Fault> {
        self.incoming.discard();
        self.incoming.yield_next();
        self.incoming.receive().await
    }
}

/// The length of a complete head, and what follows from it.
type Opened = (usize, Framing, Facts);

fn open(
    bytes: &[u8],
    (worker, entrance, peer): (&Rc<Worker>, &Rc<Entrance>, SocketAddr),
    limits: &Limits,
    place: &mut Option<Exchange>,
) -> Result<Option<Opened>, Fault> {
    let mut table = FieldTable::new();
    let Parsed::Complete((head, length)) = head::request(bytes, &mut table, limits)? else {
        return Ok(None);
    };
    let settings = entrance.settings.borrow();
    if head.method == Method::Connect && !settings.allow_connect {
        return Err(Fault::us(Stage::Route, Cause::ConnectRefused));
    }
    let facts = Facts {
        version: head.version,
        persistent: head.connection.persistent,
        trailers: head.te_trailers,
        via: settings.via,
    };
    let entry = worker.recorder.begin(|| log_facts(&head, peer));
    Exchange::open(place, (worker, entrance, peer), &head, entry);
    Ok(Some((length, head.framing, facts)))
}

pub(super) fn log_facts<'a>(head: &RequestHead<'a>, client: SocketAddr) -> access_log::Facts<'a> {
    let field = |names: &[&[u8]]| {
        let named = |name: &[u8]| names.iter().any(|n| n.eq_ignore_ascii_case(name));
        head.fields.iter().find(|f| named(f.name)).map_or(&b""[..], |f| f.value)
    };
    access_log::Facts {
        client,
        method: head.method_token,
        target: head.target,
        spoken: access_log::Spoken::Http(head.version),
        host: head.authority,
        user_agent: field(&[b"user-agent"]),
        trace_id: field(&[b"x-b3-traceid", b"x-request-id", b"x-amzn-trace-id"]),
    }
}

impl From<Ask> for Incoming {
    fn from(ask: Ask) -> Self {
        ask.incoming
    }
}

impl Source for Ask {
    fn take(&mut self) -> Result<Option<Part<'_>>, Fault> {
        self.incoming.take()
    }

    async fn more(&mut self) -> Result<(), Fault> {
        self.incoming.more().await
    }

    fn is_done(&self) -> bool {
        self.incoming.is_done()
    }

    fn open_tunnel(&mut self) {
        self.incoming.open_tunnel();
    }
}

impl Request for Ask {
    fn head<R>(&self, read: impl FnOnce(&RequestHead<'_>) -> R) -> Option<R> {
        let mut table = FieldTable::new();
        // It was within the limits when it was parsed first.
        let limits =
            Limits { head_bytes: usize::MAX, target_bytes: usize::MAX, ..Limits::default() };
        match head::request(self.incoming.head(), &mut table, &limits) {
            Ok(Parsed::Complete((head, _))) => Some(read(&head)),
            _ => None,
        }
    }

    fn rewind(&mut self) -> bool {
        self.incoming.rewind()
    }

    fn can_rewind(&self) -> bool {
        self.incoming.can_rewind()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Fault>> {
        self.incoming.poll_gone(cx)
    }

    fn hung_up(&self) -> Result<bool, Fault> {
        self.incoming.hung_up()
    }
}
