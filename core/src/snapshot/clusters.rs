//! The clusters of a snapshot, in pages that successive snapshots share: a changed cluster costs
//! its page, however many others there are.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::Cluster;

/// Clusters in a page: what one change copies, and what telling two snapshots apart can skip.
const PAGE: usize = 64;

type Page = [Option<Arc<Cluster>>; PAGE];

/// Names a cluster in every snapshot that has it. Its slot is used again when it is gone, but
/// never with the same version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId {
    slot: u32,
    version: NonZeroU32,
}

impl ClusterId {
    /// The cluster in that slot, of that version.
    #[must_use]
    pub const fn new(slot: u32, version: NonZeroU32) -> Self {
        Self { slot, version }
    }

    /// The first cluster in that slot.
    #[must_use]
    pub const fn nth(slot: u32) -> Self {
        Self { slot, version: NonZeroU32::MIN }
    }

    /// Its place: a small number, unique among the clusters of one snapshot.
    #[must_use]
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// Tells it from earlier clusters in its slot.
    #[must_use]
    pub const fn version(self) -> NonZeroU32 {
        self.version
    }
}

/// All clusters, by slot. A copy shares everything with the original.
#[derive(Clone, Debug, Default)]
pub struct Clusters {
    pages: Vec<Arc<Page>>,
    len: usize,
}

impl Clusters {
    /// The cluster of that name.
    #[must_use]
    pub fn get(&self, id: ClusterId) -> Option<&Arc<Cluster>> {
        self.at(id.slot()).filter(|cluster| cluster.id == id)
    }

    /// Whatever is in a slot.
    #[must_use]
    pub fn at(&self, slot: usize) -> Option<&Arc<Cluster>> {
        self.pages.get(slot / PAGE)?[slot % PAGE].as_ref()
    }

    /// Puts a cluster into its slot, in the place of any other.
    pub fn put(&mut self, cluster: Arc<Cluster>) {
        let slot = cluster.id.slot();
        while self.pages.len() <= slot / PAGE {
            self.pages.push(Arc::new([const { None }; PAGE]));
        }
        let old = Arc::make_mut(&mut self.pages[slot / PAGE])[slot % PAGE].replace(cluster);
        self.len += usize::from(old.is_none());
    }

    /// Empties the slot of a cluster, if it is there.
    pub fn remove(&mut self, id: ClusterId) {
        if self.get(id).is_some() {
            Arc::make_mut(&mut self.pages[id.slot() / PAGE])[id.slot() % PAGE] = None;
            self.len -= 1;
        }
    }

    /// All of them, by slot.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.pages.iter().flat_map(|page| page.iter().flatten())
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first slot from `slot` on in which the two do not share the same cluster. Whole pages
    /// that they share are passed over at once.
    #[must_use]
    pub fn differs_from(&self, other: &Self, mut slot: usize) -> Option<usize> {
        let end = self.pages.len().max(other.pages.len()) * PAGE;
        while slot < end {
            let page = |pages: &Self| pages.pages.get(slot / PAGE).map(Arc::as_ptr);
            if page(self) == page(other) {
                slot = (slot / PAGE + 1) * PAGE;
                continue;
            }
            if self.at(slot).map(Arc::as_ptr) != other.at(slot).map(Arc::as_ptr) {
                return Some(slot);
            }
            slot += 1;
        }
        None
    }
}

impl FromIterator<Cluster> for Clusters {
    fn from_iter<I: IntoIterator<Item = Cluster>>(clusters: I) -> Self {
        let mut all = Self::default();
        clusters.into_iter().for_each(|cluster| all.put(Arc::new(cluster)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Balancer, ClusterKey, HttpProtocol};
    use crate::time::Duration;

    fn cluster(slot: u32, version: u32) -> Cluster {
        Cluster {
            id: ClusterId::new(slot, NonZeroU32::new(version).unwrap_or(NonZeroU32::MIN)),
            key: ClusterKey { namespace: "n".into(), service: "s".into(), port: 80 },
            balancer: Balancer::default(),
            connect_timeout: Duration::ZERO,
            protocol: HttpProtocol::Http1,
            tls: false,
            endpoints: Vec::new(),
        }
    }

    fn differences(one: &Clusters, other: &Clusters) -> Vec<usize> {
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(slot) = one.differs_from(other, from) {
            found.push(slot);
            from = slot + 1;
        }
        found
    }

    #[test]
    fn a_copy_differs_only_where_it_was_changed() {
        let before: Clusters = (0..200).map(|slot| cluster(slot, 1)).collect();
        let mut after = before.clone();
        assert_eq!(differences(&before, &after), Vec::<usize>::new());
        after.put(Arc::new(cluster(70, 2)));
        after.remove(ClusterId::nth(3));
        after.put(Arc::new(cluster(300, 1)));
        assert_eq!(differences(&before, &after), [3, 70, 300]);
        assert_eq!(differences(&after, &before), [3, 70, 300]);
        assert_eq!((before.len(), after.len()), (200, 200));
        let shared = |n: usize| Arc::ptr_eq(&before.pages[n], &after.pages[n]);
        assert_eq!([0, 1, 2, 3].map(shared), [false, false, true, true]);
    }

    #[test]
    fn a_slot_is_not_taken_for_what_was_in_it_before() {
        let mut clusters: Clusters = std::iter::once(cluster(0, 2)).collect();
        assert!(clusters.get(ClusterId::nth(0)).is_none());
        clusters.remove(ClusterId::nth(0));
        assert_eq!((clusters.len(), clusters.iter().count()), (1, 1));
        clusters.remove(cluster(0, 2).id);
        assert!(clusters.is_empty() && clusters.at(0).is_none());
    }
}
