//! What the thread does for services that are looked up on demand: it feeds the state machine and
//! passes on what that wants and tells.

use std::collections::BTreeSet;

use ringway_config::{Kind, Kubernetes, Scope};
use ringway_core::time::Instant;

use super::Thread;
use crate::demand::{self, Demand};
use crate::object::NamespacedName;

impl Thread {
    /// Begins or ends to look services up, by the settings.
    pub(super) fn configure_demand(&mut self) {
        let discovery = &self.settings.discovery;
        let (namespace, now) = (discovery.namespace.as_str(), self.clock.now());
        let on_demand = |kubernetes: &&Kubernetes| kubernetes.scope == Scope::OnDemand;
        let idle = discovery.kubernetes.as_ref().filter(on_demand).map(|k| k.idle_service);
        match (&mut self.demand, idle) {
            (Some(demand), Some(idle)) => demand.configure(namespace, idle, now),
            (demand, idle) => *demand = idle.map(|idle| Demand::new(namespace, idle, now)),
        }
    }

    /// Goes on with what is wanted, as far as that goes now.
    pub(super) fn supply(&mut self, now: Instant) {
        if self.demand.is_none() {
            return;
        }
        let roots = self.roots();
        let gateway = self.settings.listeners.iter().any(|l| l.kind == Kind::Gateway);
        while let Some(demand) = &mut self.demand {
            if demand.is_sweep_due(now) {
                demand.used(&self.compiler.take_used(), now);
                if self.board.is_well() {
                    demand.expire(now);
                }
            }
            let events = demand.advance(&self.index, &roots, now);
            if events.is_empty() {
                if demand.take_news() {
                    self.settle.touch(now);
                }
                let wants = demand.wants(gateway);
                self.wants.send_if_modified(|known| {
                    let differs = *known != wants;
                    *known = wants;
                    differs
                });
                return;
            }
            events.into_iter().for_each(|event| self.apply(event));
        }
    }

    /// The services that are wanted whoever asks: those of gateways.
    fn roots(&self) -> BTreeSet<NamespacedName> {
        let gateways = self.settings.listeners.iter().filter(|l| l.kind == Kind::Gateway);
        let mut roots = BTreeSet::new();
        for listener in gateways {
            if roots.is_empty() {
                roots = demand::gateways(&self.index);
            }
            let namespace = self.settings.discovery.namespace.as_str();
            let service = listener.service.as_deref();
            roots.extend(service.map(|name| NamespacedName::new(namespace, name)));
        }
        roots
    }
}
