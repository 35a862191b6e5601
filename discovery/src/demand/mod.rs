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
    pub(crate) services: BTreeMap<NamespacedName, Part>,
    /// Cluster IPs whose services are to be found.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Whether nothing is to be told before the routes of the own namespace are known.
    pub(crate) routes_first: bool,
}

/// What was found about what was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// This much of a service has been told, if it is there.
    Listed(NamespacedName, Part),
    /// Whose cluster IP it is.
    Owner(IpAddr, Option<NamespacedName>),
    /// The service may not be read.
    Denied(NamespacedName),
    /// Services may not be searched by cluster IP.
    Unsearchable(IpAddr),
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

/// A lookup that nobody has asked for again is given up after this.
const ABANDONED: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(crate) struct Demand {
    namespace: Arc<str>,
    idle: Duration,
    asks: Asks,
    services: Services,
    /// Searches by cluster IP under way.
    addresses: BTreeSet<IpAddr>,
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
            addresses: BTreeSet::new(),
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
            Heard::Listed(name, part) => self.services.listed(&name, part),
            Heard::Owner(address, owner) => {
                if self.addresses.remove(&address) {
                    self.asks.owner(address, owner.as_ref());
                }
            }
            Heard::Denied(name) => {
                self.counts.denied += u64::from(self.services.deny(&name));
            }
            Heard::Unsearchable(address) => {
                if self.addresses.remove(&address) {
                    self.counts.denied += 1;
                    self.asks.owner(address, None);
                }
            }
        }
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
        self.counts.dropped += self.services.expire(now, self.idle) as u64;
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
        let Self { asks, services, addresses, counts, .. } = self;
        let mut more = false;
        asks.advance(now, |candidate, may_begin| match candidate {
            Candidate::Address(address) => match index.owner(*address) {
                Some(owner) => Verdict::Rather(owner),
                None if addresses.contains(address) => Verdict::Wait,
                None if !may_begin() => Verdict::Later,
                None => {
                    addresses.insert(*address);
                    Verdict::Wait
                }
            },
            Candidate::Service(name) if services.is_known(name) => {
                // A use like any other, though it may be of a port that is not there.
                services.used(name, now);
                if index.service(name).is_some() { Verdict::Found } else { Verdict::Absent }
            }
            // Another source has it, and the port is not there.
            Candidate::Service(name) if index.service(name).is_some() => Verdict::Found,
            Candidate::Service(name) if services.is_refuted(name) => {
                services.remove(name);
                Verdict::Absent
            }
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
        let (found, absent) = asks.take_ended();
        counts.found += found;
        counts.absent += absent;
        more
    }

    fn abandon(&mut self, now: Instant) {
        self.counts.abandoned += self.asks.abandon(now, ABANDONED) as u64;
        self.services.keep_probes(|name| self.asks.is_about(name));
        let asks = &self.asks;
        self.addresses.retain(|address| asks.is_searching(*address));
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

    /// Whether the hosts that were looked up are others than were said last.
    pub(crate) const fn has_news(&self) -> bool {
        self.asks.has_news()
    }

    /// When there is something to do without being told.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.asks.due(ABANDONED).into_iter().chain([self.sweep]).min()
    }

    /// What became of all lookups.
    pub(crate) fn counts(&self) -> Lookups {
        Lookups {
            waiting: self.asks.waiting(),
            services: self.services.known(),
            ..self.counts
        }
    }
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
