//! Step 2 of the way of a request: reads a connection's first bytes until they show which protocol
//! it speaks. They stay in the buffer that the first request is then parsed from.

use std::time::Duration;

use ringway_core::snapshot::Protocol;
use ringway_core::wire::sniff::{Expect, ServerName, Sniffed, Sniffer, server_name};

use super::Connection;
use crate::accept::Entrance;
use crate::clock;
use crate::metrics::Decision;
use crate::worker::Worker;

impl Connection {
    /// Waits for the first bytes, without a buffer, and for as many of them as it takes. It only
    /// ever waits as an idle connection does, so that none gets larger by it. Where TLS is told apart
    /// by server name (`named`), it waits until that is known.
    ///
    /// `None` when the client has left, said nothing in time, or left its ClientHello unfinished.
    pub(crate) async fn detect(
        &mut self,
        worker: &Worker,
        (spoken, named): (Protocol, bool),
    ) -> Option<Decision> {
        let mut sniffer = match spoken {
            Protocol::Opaque => return Some(Decision::Marked),
            Protocol::Detect => Sniffer::new(Expect::Anything),
            Protocol::Http => Sniffer::new(Expect::Http),
            Protocol::Http2 => Sniffer::new(Expect::Http2),
        };
        let mut hello = false;
        let until = clock::recent() + patience(worker, sniffer.expected());
        while self.idle(worker, until).await {
            match self.ask.receive_now() {
                Ok(Some(1..)) => {}
                Ok(None) => {
                    self.release();
                    continue;
                }
                Ok(Some(0)) if hello => return None,
                Ok(Some(0)) => {
                    return self.undecided(sniffer.expected(), Decision::Opaque);
                }
                Err(_) => return None,
            }
            return Some(match sniffer.look(self.ask.unread()) {
                Sniffed::NeedMore => continue,
                Sniffed::Http1 => Decision::Http1,
                Sniffed::Http2 => Decision::Http2,
                Sniffed::Tls if named && server_name(self.ask.unread()) == ServerName::NeedMore => {
                    hello = true;
                    continue;
                }
                Sniffed::Tls => Decision::Tls,
                Sniffed::Opaque => Decision::Opaque,
            });
        }
        if hello {
            return None;
        }
        if sniffer.expected() == Expect::Anything && worker.draining_since().is_none() {
            // Its server is to speak first, it seems.
            return Some(Decision::Late);
        }
        self.undecided(sniffer.expected(), Decision::Late)
    }

    /// What there is will not become more.
    fn undecided(&self, expected: Expect, opaque: Decision) -> Option<Decision> {
        match expected {
            _ if self.ask.is_empty() => None,
            // Its parser is to say what it lacks.
            Expect::Http => Some(Decision::Http1),
            Expect::Http2 => Some(Decision::Http2),
            Expect::Anything => Some(opaque),
        }
    }
}

/// What the listener's connections may speak, and whether TLS is told apart by server name; before
/// the first snapshot, what the file says.
pub(crate) fn spoken(worker: &Worker, entrance: &Entrance) -> (Protocol, bool) {
    let world = worker.world.borrow();
    let routes = world.listener(&entrance.name);
    let routes = routes.and_then(|at| world.view().listeners().get(at));
    routes.map_or_else(
        || (entrance.settings.borrow().protocol.into(), false),
        |routes| (routes.protocol, !routes.names.is_empty()),
    )
}

fn patience(worker: &Worker, expected: Expect) -> Duration {
    let timeouts = &worker.settings().timeouts;
    match expected {
        Expect::Anything => timeouts.detect,
        Expect::Http | Expect::Http2 => timeouts.head,
    }
}
