//! Requests for services that are looked up when they are first used: each waits for the next
//! snapshot, and discovery is asked once for all that wait for the same host.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use ringway_core::exchange::Sent;
use ringway_core::message::{Cause, Fault, RequestHead, Stage};
use ringway_core::policy::route::PlainHost;
use ringway_core::time::Instant;
use ringway_discovery::Asker;
use slab::Slab;

use crate::call::Broken;
use crate::clock;
use crate::exchange::Exchange;
use crate::pace::Limit;
use crate::stream::{Client, Request};

/// So many hosts may be waited for on one worker.
const MOST_HOSTS: usize = 256;
/// A host that is still waited for is asked for again after this: discovery gives up what nobody
/// asks for.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The hosts that requests of one worker wait for.
pub(crate) struct Lookups {
    asker: Asker,
    hosts: RefCell<BTreeMap<Box<str>, Waited>>,
    /// The requests that wait for a snapshot.
    waiting: RefCell<Slab<Option<Waker>>>,
    /// Snapshots adopted.
    adopted: Cell<u64>,
}

struct Waited {
    requests: usize,
    asked: Instant,
}

impl Lookups {
    pub(crate) fn new(asker: Asker) -> Self {
        let (hosts, waiting) = (RefCell::default(), RefCell::default());
        Self { asker, hosts, waiting, adopted: Cell::new(0) }
    }

    /// A snapshot has been adopted.
    pub(crate) fn adopted(&self) {
        self.adopted.set(self.adopted.get() + 1);
        let wakers: Vec<Waker> =
            self.waiting.borrow_mut().iter_mut().filter_map(|(_, waker)| waker.take()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Has a host looked up; false when that is not possible now.
    fn ask(&self, host: &str, now: Instant) -> bool {
        let mut hosts = self.hosts.borrow_mut();
        if let Some(known) = hosts.get_mut(host) {
            known.requests += 1;
            if now.since(known.asked) >= ASK_AGAIN {
                known.asked = now;
                // If there is no room, it was asked for before.
                let _ = self.asker.ask(host);
            }
            return true;
        }
        if hosts.len() >= MOST_HOSTS {
            self.asker.refuse();
            return false;
        }
        let asked = self.asker.ask(host);
        if asked {
            hosts.insert(host.into(), Waited { requests: 1, asked: now });
        }
        asked
    }

    /// A request waits no more.
    fn leave(&self, host: &str) {
        let mut hosts = self.hosts.borrow_mut();
        if let Some(known) = hosts.get_mut(host) {
            known.requests -= 1;
            if known.requests == 0 {
                hosts.remove(host);
            }
        }
    }
}

/// A request that waits.
struct Waiting<'l> {
    lookups: &'l Lookups,
    host: PlainHost,
    place: usize,
}

impl<'l> Waiting<'l> {
    fn begin(lookups: &'l Lookups, host: PlainHost) -> Option<Self> {
        let asked = lookups.ask(host.as_str(), clock::now());
        asked.then(|| Self { lookups, host, place: lookups.waiting.borrow_mut().insert(None) })
    }

    /// Waits for another snapshot than the one of that number; an error when the client is gone.
    async fn next(&self, seen: u64, request: &mut impl Request) -> Result<(), Fault> {
        // Once it has sent more, or ended its sending, it cannot be watched any more.
        let mut watched = true;
        poll_fn(|cx| {
            if watched && let Poll::Ready(found) = request.poll_gone(cx) {
                watched = false;
                if let Err(fault) = found {
                    return Poll::Ready(Err(fault));
                }
            }
            if self.lookups.adopted.get() != seen {
                return Poll::Ready(Ok(()));
            }
            let waker = Some(cx.waker().clone());
            let before =
                std::mem::replace(&mut self.lookups.waiting.borrow_mut()[self.place], waker);
            drop(before);
            Poll::Pending
        })
        .await
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waker = self.lookups.waiting.borrow_mut().remove(self.place);
        drop(waker);
        self.lookups.leave(self.host.as_str());
    }
}

/// Waits until the flow has something else to do than to wait.
pub(crate) async fn wait<C: Client>(exchange: &mut Exchange, client: &mut C, until: Instant) {
    let worker = Rc::clone(&exchange.worker);
    let pace = Rc::clone(client.pace());
    let (request, _) = client.halves();
    let host = request.head(|head| PlainHost::of(head.authority)).flatten();
    let Some(waiting) = host.and_then(|host| Waiting::begin(&worker.lookups, host)) else {
        return exchange.not_looked_up();
    };
    // What it says is decided by the flow.
    pace.set(Limit::Request, until, Fault::us(Stage::Route, Cause::LookupTimeout));
    loop {
        let seen = worker.lookups.adopted.get();
        if !request.head(|head| exchange.look_again(head)).unwrap_or(false) {
            break;
        }
        let next = pin!(waiting.next(seen, request));
        if let Ok(Err(fault)) = pace.keep(next).await {
            exchange.failed(&Broken { fault, sent: Sent::nothing(false) });
            break;
        }
    }
    pace.clear(Limit::Request);
}

impl Exchange {
    /// Routes it by the present picture; whether it is still to wait.
    fn look_again(&mut self, head: &RequestHead<'_>) -> bool {
        let worker = Rc::clone(&self.worker);
        let mut world = worker.world.borrow_mut();
        let listener = world.listener(&self.entrance.name).unwrap_or(usize::MAX);
        self.waiting(|flow| flow.look_again(head, listener, &mut world, clock::now()))
    }

    /// It is not looked up.
    fn not_looked_up(&mut self) {
        self.waiting(|flow| {
            flow.not_looked_up();
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use ringway_discovery::asker;

    use super::*;

    #[test]
    fn a_host_is_asked_for_once_and_again_when_it_takes_long() {
        let (asker, asked) = asker();
        let lookups = Lookups::new(asker);
        let mut now = clock::now();
        assert!(lookups.ask("a", now) && lookups.ask("a", now));
        assert_eq!(asked.waiting(), 1);
        now = now + ASK_AGAIN;
        assert!(lookups.ask("a", now) && lookups.ask("a", now));
        assert_eq!(asked.waiting(), 2);
        (0..4).for_each(|_| lookups.leave("a"));
        assert!(lookups.hosts.borrow().is_empty());
    }

    #[test]
    fn the_hosts_are_bounded() {
        let (asker, _asked) = asker();
        let lookups = Lookups::new(asker);
        let now = clock::now();
        let taken = (0..1000).filter(|n| lookups.ask(&format!("h{n}"), now)).count();
        assert_eq!((taken, lookups.hosts.borrow().len()), (MOST_HOSTS, MOST_HOSTS));
        assert!(lookups.ask("h0", now), "one more for the same host");
    }
}
