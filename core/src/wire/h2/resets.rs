//! How soon streams may be given up: an endpoint that many clients share a connection to counts
//! resets, and closes the connection for all of them when one client's come too fast. So each reset
//! of ours takes from an allowance, and beyond it waits for its turn.

use crate::time::{Duration, Instant};

/// Resets that an endpoint of unknown patience is sent at once. Half of what ringway itself allows
/// (`http2.resets`), a fifth of Envoy's and a tenth of nghttp2's.
pub const CAREFUL: u32 = 100;

/// An allowance of resets, a tenth of which comes back each second, and one with each stream that
/// ends in good order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resets {
    most: u32,
    /// When the whole allowance will be back: a generic cell rate algorithm.
    full: Instant,
}

impl Resets {
    /// All of `most`, which is never 0.
    #[must_use]
    pub const fn new(most: u32) -> Self {
        Self { most: if most == 0 { 1 } else { most }, full: Instant::ZERO }
    }

    /// Makes the allowance another one; what was taken stays taken.
    pub const fn allow(&mut self, most: u32) {
        if most > 0 {
            self.most = most;
        }
    }

    /// Takes one reset; when it may be sent, which is at once while there is some allowance left.
    pub fn book(&mut self, now: Instant) -> Instant {
        let each = self.each();
        let spare = Duration::from_secs(10).saturating_sub(each);
        let at = self.full.since(Instant::ZERO).saturating_sub(spare);
        self.full = self.full.max(now) + each;
        now.max(Instant::ZERO + at)
    }

    /// One that was taken is not needed after all, or a stream has ended in good order.
    pub fn give_back(&mut self) {
        let full = self.full.since(Instant::ZERO).saturating_sub(self.each());
        self.full = Instant::ZERO + full;
    }

    /// What one takes to come back.
    fn each(&self) -> Duration {
        Duration::from_secs(10) / self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::ZERO;

    fn at_once(resets: &mut Resets, now: Instant) -> usize {
        (0..10_000).take_while(|_| resets.book(now) == now).count()
    }

    #[test]
    fn beyond_the_allowance_each_waits_for_its_turn() {
        let now = START + Duration::from_secs(50);
        let mut resets = Resets::new(100);
        assert_eq!(at_once(&mut resets, now), 100);
        // The one that was refused above was booked too.
        assert_eq!(resets.book(now), now + Duration::from_millis(200));
        assert_eq!(resets.book(now), now + Duration::from_millis(300));
    }

    #[test]
    fn time_and_good_streams_give_back() {
        let now = START + Duration::from_secs(50);
        let mut resets = Resets::new(100);
        at_once(&mut resets, now);
        let later = now + Duration::from_secs(1);
        assert_eq!(at_once(&mut resets, later), 9, "ten less the one booked in vain");
        (0..5).for_each(|_| resets.give_back());
        assert_eq!(at_once(&mut resets, later), 4);
        let much_later = later + Duration::from_secs(60);
        (0..500).for_each(|_| resets.give_back());
        assert_eq!(at_once(&mut resets, much_later), 100, "and never more than all");
    }

    #[test]
    fn the_allowance_may_grow() {
        let now = START + Duration::from_secs(50);
        let mut resets = Resets::new(CAREFUL);
        resets.allow(0);
        resets.allow(4000);
        assert_eq!(at_once(&mut resets, now), 4000);
    }
}
