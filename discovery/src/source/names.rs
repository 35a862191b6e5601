//! DNS names: each is asked for again when its answer has expired. A name that cannot be resolved
//! keeps its last answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::TokioResolver;
use ringway_config::Dns;
use ringway_core::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::resolve;
use crate::event::{Event, SourceId};
use crate::object::{Addresses, Kind, NamespacedName, Object};

/// So long a new name holds back what else there is to publish.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest pause after a failure; the first is the configuration's `min_ttl`.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What was heard of a name.
#[derive(Debug)]
pub(crate) struct Answer {
    host: Arc<str>,
    addresses: Result<Vec<IpAddr>, String>,
}

/// The names that are looked up.
pub(crate) struct Names {
    bounds: Dns,
    server: Option<SocketAddr>,
    resolver: Result<TokioResolver, String>,
    tasks: BTreeMap<Arc<str>, JoinHandle<()>>,
    /// Names without a first answer, and until when they are waited for.
    awaited: BTreeMap<Arc<str>, Instant>,
    errors: BTreeMap<Arc<str>, String>,
    answers: UnboundedSender<Answer>,
}

impl Names {
    /// No names yet. The receiver is for [`Names::heard`]. Must be called inside the runtime.
    pub(crate) fn new(
        bounds: Dns,
        server: Option<SocketAddr>,
    ) -> (Self, UnboundedReceiver<Answer>) {
        let (answers, heard) = unbounded_channel();
        let names = Self {
            bounds,
            server,
            resolver: Err(String::from("not started")),
            tasks: BTreeMap::new(),
            awaited: BTreeMap::new(),
            errors: BTreeMap::new(),
            answers,
        };
        (names, heard)
    }

    /// Takes new bounds and a new server for all names.
    pub(crate) fn configure(&mut self, bounds: Dns, server: Option<SocketAddr>) {
        if (&self.bounds, self.server) == (&bounds, server) {
            return;
        }
        (self.bounds, self.server) = (bounds, server);
        self.resolver = Err(String::from("not started"));
        for (_, task) in std::mem::take(&mut self.tasks) {
            task.abort();
        }
    }

    /// Looks up these names and no others; what has to be forgotten for that.
    pub(crate) fn want(&mut self, wanted: &BTreeSet<Arc<str>>, now: Instant) -> Vec<Event> {
        let unwanted: Vec<_> =
            self.tasks.keys().filter(|h| !wanted.contains(*h)).cloned().collect();
        for host in &unwanted {
            if let Some(task) = self.tasks.remove(host) {
                task.abort();
            }
            self.awaited.remove(host);
            self.errors.remove(host);
        }
        for host in wanted {
            if !self.tasks.contains_key(host) {
                self.awaited.insert(host.clone(), now + PATIENCE);
                let task = self.start(host.clone());
                self.tasks.insert(host.clone(), task);
            }
        }
        let name = |host| NamespacedName::new("", host);
        let gone = |host| Event::Delete(SourceId::Names, Kind::Addresses, name(host));
        unwanted.into_iter().map(gone).collect()
    }

    /// Takes an answer; the event it stands for.
    pub(crate) fn heard(&mut self, answer: Answer) -> Option<Event> {
        let Answer { host, addresses } = answer;
        if !self.tasks.contains_key(&host) {
            return None;
        }
        self.awaited.remove(&host);
        match addresses {
            Ok(addresses) => {
                self.errors.remove(&host);
                let object = Object::Addresses(Addresses { host, addresses });
                Some(Event::Apply(SourceId::Names, object))
            }
            Err(error) => {
                let line = format!("{host}: {error}");
                if self.errors.get(&host) != Some(&line) {
                    tracing::warn!(name = %host, %error, "cannot resolve; the last answer stays");
                }
                self.errors.insert(host, line);
                None
            }
        }
    }

    /// Until when names without a first answer are waited for; `None` when none is.
    pub(crate) fn awaited_until(&mut self, now: Instant) -> Option<Instant> {
        self.awaited.retain(|_, until| *until > now);
        self.awaited.values().max().copied()
    }

    /// What is wrong with names now.
    pub(crate) fn errors(&self) -> Vec<String> {
        self.errors.values().cloned().collect()
    }

    fn start(&mut self, host: Arc<str>) -> JoinHandle<()> {
        if self.resolver.is_err() {
            self.resolver = resolve::resolver(self.server);
        }
        let (resolver, answers) = (self.resolver.clone(), self.answers.clone());
        let (least, most) = (self.bounds.min_ttl, self.bounds.max_ttl);
        tokio::spawn(async move {
            let mut failures = 0;
            loop {
                let found = match &resolver {
                    Ok(resolver) => resolve::addresses(resolver, &host).await,
                    Err(error) => Err(error.clone()),
                };
                let (addresses, pause) = match found {
                    Ok((addresses, ttl)) => {
                        failures = 0;
                        (Ok(addresses), ttl.max(least).min(most))
                    }
                    Err(error) => {
                        failures += 1;
                        (Err(error), pause(failures, least))
                    }
                };
                if answers.send(Answer { host: host.clone(), addresses }).is_err() {
                    return;
                }
                sleep(pause).await;
            }
        })
    }
}

/// The pause after so many failures in a row: doubled each time.
fn pause(failures: u32, least: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    least.saturating_mul(1 << doublings).min(LONGEST_PAUSE.max(least))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit() {
        let second = Duration::from_secs(1);
        let pauses: Vec<_> = [1, 2, 3, 6, 60].map(|n| pause(n, second).as_secs()).into();
        assert_eq!(pauses, [1, 2, 4, 30, 30]);
        assert_eq!(pause(9, Duration::from_secs(60)).as_secs(), 60);
    }
}
