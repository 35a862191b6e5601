//! Services that are looked up when somebody asks for them: who is asked for, what is watched for
//! that, when it is told to the workers, and when it is dropped. Pure: time is an argument.
//!
//! ```text
//! host ─► queued ─► looking (a probe for the Service) ─► looked up: absent, for a while
//!                        │ there it is                            ▲
//!                        ▼                                        │
//!          its slices, its routes, their backends ─► all listed ──┘ found: told at once
//! ```
//! Everything is bounded: an allowance for lookups, a queue, a number of hosts that are remembered.
//! What a service is comes to the index only when all that belongs to it is there.

mod allowance;
mod asks;
mod hosts;
mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ringway_core::snapshot::LookedUp;
use ringway_core::time::{Duration, Instant};
use serde::Serialize;

use crate::event::{Event, SourceId};
use crate::index::{Index, Subject};
use crate::object::{Kind, NamespacedName, Object};
use asks::{Asks, Verdict};
use hosts::Candidate;
use services::Services;

/// How much of a service is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Only whether it is there.
    Probe,
    /// Everything: its endpoints and its namespace's routes, too.
    Whole,
}

/// What the API server has to be watched for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Wants {
    /// Each with the number of its turn: what is wanted anew is another one.
    pub(crate) services: BTreeMap<NamespacedName, (u64, Part)>,
    /// Cluster IPs whose services are to be found.
    pub(crate) addresses: BTreeMap<IpAddr, u64>,
    /// Whether nothing is to be told before the routes of the own namespace are known.
    pub(crate) routes_first: bool,
}

/// What was found about what was wanted in that turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// This much of a service has been told, if it is there.
    Listed(NamespacedName, u64, Part),
    /// Whose cluster IP it is.
    Owner(IpAddr, u64, Option<NamespacedName>),
    /// The service may not be read.
    Denied(NamespacedName, u64),
    /// Services may not be searched by cluster IP.
    Unsearchable(IpAddr, u64),
}

/// How many lookups have ended how, of services and cluster IPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Lookups {
    /// Hosts whose service was found.
    pub found: u64,
    /// Hosts without a service.
    pub absent: u64,
    /// Lookups that the API server has refused for want of rights.
    pub denied: u64,
    /// Hosts that were not looked up: too many were asked for.
    pub refused: u64,
    /// Lookups given up without an answer of the API server.
    pub abandoned: u64,
    /// Services dropped because nobody used them.
    pub dropped: u64,
    /// Hosts being looked up now.
    pub waiting: usize,
    /// Services known and followed now.
    pub services: usize,
}

impl Lookups {
    /// With those that workers have refused by themselves.
    pub(crate) const fn and_refused(self, by_workers: u64) -> Self {
        Self { refused: self.refused + by_workers, ..self }
    }
}

/// A lookup that nobody has asked for again is given up after this.
const ABANDONED: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(crate) struct Demand {
    namespace: Arc<str>,
    idle: Duration,
    asks: Asks,
    services: Services,
    /// Searches by cluster IP under way, each with its turn.
    addresses: BTreeMap<IpAddr, u64>,
    searches: u64,
    counts: Lookups,
    /// When uses are to be looked at.
    sweep: Instant,
}

impl Demand {
    /// Nothing is known. Short names are of `namespace`.
    pub(crate) fn new(namespace: &str, idle: Duration, now: Instant) -> Self {
        Self {
            namespace: namespace.into(),
            idle,
            asks: Asks::default(),
            services: Services::default(),
            addresses: BTreeMap::new(),
            searches: 0,
            counts: Lookups::default(),
            sweep: now + idle / 8,
        }
    }

    /// Takes new settings; what is known stays.
    pub(crate) fn configure(&mut self, namespace: &str, idle: Duration, now: Instant) {
        self.namespace = namespace.into();
        self.idle = idle;
        self.sweep = self.sweep.min(now + idle / 8);
    }

    /// Somebody asks for a host.
    pub(crate) fn ask(&mut self, host: &str, now: Instant) {
        let candidates = || hosts::candidates(host, &self.namespace);
        if !self.asks.ask(host, candidates, now) {
            self.counts.refused += 1;
        }
    }

    /// What was found.
    pub(crate) fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Listed(name, turn, part) => self.services.listed(&name, turn, part),
            Heard::Owner(address, turn, owner) => {
                if self.searched(address, turn) {
                    self.asks.owner(address, owner.as_ref());
                }
            }
            Heard::Denied(name, turn) => {
                self.counts.denied += u64::from(self.services.deny(&name, turn));
            }
            Heard::Unsearchable(address, turn) => {
                if self.searched(address, turn) {
                    self.counts.denied += 1;
                    self.asks.owner(address, None);
                }
            }
        }
    }

    /// Ends a search; false when it is not the one under way.
    fn searched(&mut self, address: IpAddr, turn: u64) -> bool {
        let current = self.addresses.get(&address) == Some(&turn);
        if current {
            self.addresses.remove(&address);
        }
        current
    }

    /// Lets an event of the API server through to the index, or keeps it until its time.
    pub(crate) fn admit(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Apply(SourceId::Kubernetes, Object::Service(service)) => {
                let name = service.name.clone();
                let object = self.services.admit(&name, Object::Service(service))?;
                Some(Event::Apply(SourceId::Kubernetes, object))
            }
            Event::Delete(SourceId::Kubernetes, Kind::Service, ref name) => {
                self.services.withdraw(name);
                Some(event)
            }
            _ => Some(event),
        }
    }

    /// These services were used since the last sweep.
    pub(crate) fn used(&mut self, names: &[NamespacedName], now: Instant) {
        names.iter().for_each(|name| self.services.used(name, now));
    }

    /// Whether uses are to be looked at: then come [`Self::used`] and [`Self::expire`].
    pub(crate) fn is_sweep_due(&mut self, now: Instant) -> bool {
        let due = self.sweep <= now;
        if due {
            self.sweep = now + self.idle / 8;
        }
        due
    }

    /// Drops what nobody has used for long. To be called only while the API server is well: what
    /// is dropped while it is away could not be found again.
    pub(crate) fn expire(&mut self, now: Instant) {
        let expired = self.services.expire(now, self.idle);
        self.counts.dropped += expired as u64;
        if expired > 0 {
            // Whoever asks for one of them again is to wait for it.
            self.asks.forget_found();
        }
    }

    /// Goes on as far as it can; what changes for the index. `roots` are services that are wanted
    /// whoever asks.
    pub(crate) fn advance(
        &mut self,
        index: &Index,
        roots: &BTreeSet<NamespacedName>,
        now: Instant,
    ) -> Vec<Event> {
        self.abandon(now);
        self.asks.forget(now);
        loop {
            self.services.close(roots, |name| backends(index, name), now);
            let released = self.services.release(|name| backends(index, name));
            if !released.is_empty() {
                let told = |object| Event::Apply(SourceId::Kubernetes, object);
                return released.into_iter().map(told).collect();
            }
            if !self.look(index, now) {
                return Vec::new();
            }
        }
    }

    /// Goes on with the hosts that can; whether that changes what is wanted.
    fn look(&mut self, index: &Index, now: Instant) -> bool {
        let Self { asks, services, addresses, searches, counts, .. } = self;
        let mut more = false;
        asks.advance(now, |candidate, may_begin| match candidate {
            Candidate::Address(address) => match index.owner(*address) {
                Some(owner) => Verdict::Rather(owner),
                None if addresses.contains_key(address) => Verdict::Wait,
                None if !may_begin() => Verdict::Later,
                None => {
                    *searches += 1;
                    addresses.insert(*address, *searches);
                    Verdict::Wait
                }
            },
            Candidate::Service(name) if services.is_known(name) => {
                // A use like any other, though it may be of a port that is not there.
                services.used(name, now);
                if index.service(name).is_some() { Verdict::Found } else { Verdict::Absent }
            }
            // Another source has it, and the port is not there.
            Candidate::Service(name) if is_elsewhere(index, name) => Verdict::Found,
            Candidate::Service(name) if services.is_refuted(name) => Verdict::Absent,
            Candidate::Service(name) if services.contains(name) => {
                services.used(name, now);
                Verdict::Wait
            }
            Candidate::Service(_) if !may_begin() => Verdict::Later,
            Candidate::Service(name) => {
                services.probe(name, now);
                more = true;
                Verdict::Wait
            }
        });
        services.remove_refuted();
        let (found, absent) = asks.take_ended();
        counts.found += found;
        counts.absent += absent;
        more
    }

    fn abandon(&mut self, now: Instant) {
        self.counts.abandoned += self.asks.abandon(now, ABANDONED) as u64;
        self.services.keep_probes(|name| self.asks.is_about(name));
        let asks = &self.asks;
        self.addresses.retain(|address, _| asks.is_searching(*address));
    }

    /// What has to be watched.
    pub(crate) fn wants(&self, routes_first: bool) -> Wants {
        let (services, addresses) = (self.services.wants(), self.addresses.clone());
        Wants { services, addresses, routes_first }
    }

    /// The hosts that were looked up; what was said last when it is still so.
    pub(crate) fn looked_up(&mut self) -> Arc<LookedUp> {
        self.asks.looked_up()
    }

    /// Whether the hosts that were looked up have changed since this was asked the last time.
    pub(crate) const fn take_news(&mut self) -> bool {
        self.asks.take_news()
    }

    /// When there is something to do without being told.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.asks.due(ABANDONED).into_iter().chain([self.sweep]).min()
    }

    /// What became of all lookups.
    pub(crate) fn counts(&self) -> Lookups {
        Lookups { waiting: self.asks.waiting(), services: self.services.known(), ..self.counts }
    }
}

/// Whether another source than Kubernetes has the service.
fn is_elsewhere(index: &Index, name: &NamespacedName) -> bool {
    index.service(name).is_some_and(|known| known.source != SourceId::Kubernetes)
}

/// The services that a service's routes lead to. Those of another source need not be looked up.
fn backends(index: &Index, name: &NamespacedName) -> Vec<NamespacedName> {
    index.routes(&Subject::Routes(name.clone())).named(index)
}

/// The services that have to be known whoever asks: those that routes of gateways lead to.
pub(crate) fn gateways(index: &Index) -> BTreeSet<NamespacedName> {
    index.routes(&Subject::Gateways).named(index).into_iter().collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
