//! Deadlines of a worker: a coarse wheel whose entries are only touched when they come due, so
//! that moving a deadline on every request is one store and an idle worker has no timer at all.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringway_core::time::Instant;
use slab::Slab;

use crate::clock;

/// A slot covers 2^23 ns, 8.4 ms: deadlines fire late by up to that, never early.
const SLOT_BITS: u32 = 23;
/// The wheel spans 8.6 s; later deadlines are looked at once a turn.
const SLOTS: u64 = 1024;

/// All alarms of one worker.
#[derive(Clone, Default)]
pub(crate) struct Timers(Rc<Wheel>);

struct Wheel {
    entries: RefCell<Slab<Entry>>,
    slots: RefCell<Vec<Vec<usize>>>,
    /// Items in all slots.
    pending: Cell<usize>,
    /// The last slot that was visited.
    visited: Cell<u64>,
    /// The slot for which the driving task sleeps; `u64::MAX` when it sleeps for ever.
    sleeping_until: Cell<u64>,
    driver: RefCell<Option<Waker>>,
}

impl Default for Wheel {
    fn default() -> Self {
        Self {
            entries: RefCell::default(),
            slots: RefCell::new(vec![Vec::new(); SLOTS as usize]),
            pending: Cell::new(0),
            visited: Cell::new(0),
            sleeping_until: Cell::new(u64::MAX),
            driver: RefCell::new(None),
        }
    }
}

struct Entry {
    deadline: Instant,
    /// The earliest slot that holds this entry; `u64::MAX` when none does.
    scheduled: u64,
    waker: Option<Waker>,
}

const fn slot_of(at: Instant) -> u64 {
    // The slot after the one `at` falls into, so that a visit is never early.
    (at.as_nanos() >> SLOT_BITS) + 1
}

impl Timers {
    /// A new alarm, set to never.
    pub(crate) fn alarm(&self) -> Alarm {
        let entry = Entry { deadline: Instant::NEVER, scheduled: u64::MAX, waker: None };
        let key = self.0.entries.borrow_mut().insert(entry);
        Alarm { wheel: Rc::clone(&self.0), key }
    }

    /// Wakes every task that waits on an alarm, so that it looks around (the drain has begun).
    pub(crate) fn wake_all(&self) {
        let wakers: Vec<Waker> =
            self.0.entries.borrow().iter().filter_map(|(_, e)| e.waker.clone()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Frees the places of alarms that are gone.
    pub(crate) fn trim(&self) {
        self.0.entries.borrow_mut().shrink_to_fit();
        self.0.slots.borrow_mut().iter_mut().for_each(Vec::shrink_to_fit);
    }

    /// Visits what has come due by `now` although the driving task still sleeps, because the event
    /// loop has not come to its timers.
    pub(crate) fn pass(&self, now: Instant) {
        if self.0.sleeping_until.get() <= now.as_nanos() >> SLOT_BITS {
            self.0.wake_driver(0);
        }
    }

    /// Drives the wheel; runs as a task of the worker for as long as the worker lives.
    pub(crate) async fn run(self) {
        loop {
            match self.0.next_occupied() {
                None => self.0.changed(u64::MAX).await,
                Some(slot) => {
                    let due = Instant::from_nanos(slot << SLOT_BITS);
                    let left = due.since(clock::now());
                    if left > Duration::ZERO {
                        let mut sleep = pin!(monoio::time::sleep(left));
                        let mut changed = pin!(self.0.changed(slot));
                        poll_fn(|cx| match sleep.as_mut().poll(cx) {
                            Poll::Ready(()) => Poll::Ready(()),
                            Poll::Pending => changed.as_mut().poll(cx),
                        })
                        .await;
                    }
                }
            }
            self.0.visit(clock::now());
        }
    }
}

impl Wheel {
    /// The first slot after the last visited one that holds anything.
    fn next_occupied(&self) -> Option<u64> {
        if self.pending.get() == 0 {
            return None;
        }
        let slots = self.slots.borrow();
        let first = self.visited.get() + 1;
        (first..first + SLOTS).find(|slot| !slots[(slot % SLOTS) as usize].is_empty())
    }

    /// Completes when something was scheduled before `slot`.
    async fn changed(&self, slot: u64) {
        self.sleeping_until.set(slot);
        poll_fn(|cx| {
            if self.sleeping_until.get() < slot {
                return Poll::Ready(());
            }
            *self.driver.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn schedule(&self, key: usize, entry: &mut Entry) {
        let now = clock::recent().as_nanos() >> SLOT_BITS;
        if self.pending.get() == 0 {
            // Nothing was waiting, so nothing was missed: catch up with the clock.
            self.visited.set(self.visited.get().max(now.saturating_sub(1)));
        }
        let base = self.visited.get();
        let slot = slot_of(entry.deadline).clamp(base + 1, base + SLOTS);
        entry.scheduled = slot;
        self.slots.borrow_mut()[(slot % SLOTS) as usize].push(key);
        self.pending.set(self.pending.get() + 1);
        if slot < self.sleeping_until.get() {
            self.wake_driver(slot);
        }
    }

    /// The driving task is not to sleep until what it sleeps for, but until `slot`.
    fn wake_driver(&self, slot: u64) {
        self.sleeping_until.set(slot);
        if let Some(waker) = self.driver.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Looks at everything that may have come due by `now`.
    fn visit(&self, now: Instant) {
        let last = now.as_nanos() >> SLOT_BITS;
        let from = self.visited.get() + 1;
        // Before anything is scheduled again: it has to land behind what is visited now.
        self.visited.set(last.max(self.visited.get()));
        // All of it is taken out first: what is scheduled again may come to lie in a place that
        // is still to be visited.
        let mut due = Vec::new();
        let mut slots = self.slots.borrow_mut();
        for slot in from..=last.min(from + SLOTS - 1) {
            due.append(&mut slots[(slot % SLOTS) as usize]);
        }
        drop(slots);
        self.pending.set(self.pending.get() - due.len());
        for key in due {
            self.look_at(key, last, now);
        }
    }

    fn look_at(&self, key: usize, last: u64, now: Instant) {
        let mut entries = self.entries.borrow_mut();
        // An item whose entry is gone, reused or scheduled for later is stale.
        let Some(entry) = entries.get_mut(key).filter(|e| e.scheduled <= last) else { return };
        entry.scheduled = u64::MAX;
        if entry.deadline <= now {
            let waker = entry.waker.take();
            drop(entries);
            if let Some(waker) = waker {
                waker.wake();
            }
        } else if entry.deadline != Instant::NEVER {
            self.schedule(key, entry);
        }
    }
}

/// One deadline of one task.
pub(crate) struct Alarm {
    wheel: Rc<Wheel>,
    key: usize,
}

impl Alarm {
    /// Moves the deadline.
    pub(crate) fn set(&self, deadline: Instant) {
        let mut entries = self.wheel.entries.borrow_mut();
        let entry = &mut entries[self.key];
        entry.deadline = deadline;
        if deadline != Instant::NEVER && slot_of(deadline) < entry.scheduled {
            self.wheel.schedule(self.key, entry);
        }
    }

    /// Whether the deadline has passed.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut entries = self.wheel.entries.borrow_mut();
        let entry = &mut entries[self.key];
        // A wake-up for io reads no clock here: the wheel wakes us when it is time.
        if entry.deadline <= clock::recent() {
            return Poll::Ready(());
        }
        match &entry.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => entry.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Nobody waits for it any more.
    pub(crate) fn forget(&self) {
        let waker = self.wheel.entries.borrow_mut()[self.key].waker.take();
        // Dropping a waker may drop a task, and with it another alarm.
        drop(waker);
    }

    /// Waits for the deadline.
    pub(crate) async fn passed(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let entry = self.wheel.entries.borrow_mut().remove(self.key);
        // Dropping a waker may drop a task, and with it another alarm.
        drop(entry);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    /// An alarm set to `deadline`, and how often it has woken.
    fn armed(timers: &Timers, deadline: Instant) -> (Alarm, Arc<Woken>) {
        let alarm = timers.alarm();
        alarm.set(deadline);
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        assert!(alarm.poll(&mut Context::from_waker(&waker)).is_pending());
        (alarm, woken)
    }

    #[test]
    fn an_alarm_wakes_at_its_deadline_and_not_before() {
        let timers = Timers::default();
        let (_alarm, woken) = armed(&timers, at(25));
        for second in 0..25 {
            timers.0.visit(at(second));
            assert_eq!(woken.0.load(Ordering::Relaxed), 0, "at {second} s");
        }
        timers.0.visit(at(26));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn no_alarm_is_lost_however_the_visits_fall() {
        for step in [1, 7, 13, 100, 1023, 1024, 1025, 3000] {
            let timers = Timers::default();
            let alarms: Vec<_> = (1..400).map(|n| armed(&timers, at(n))).collect();
            let mut slot = 0;
            while slot << SLOT_BITS < at(401).as_nanos() {
                slot += step;
                timers.0.visit(Instant::from_nanos(slot << SLOT_BITS));
            }
            let lost = alarms.iter().filter(|(_, w)| w.0.load(Ordering::Relaxed) != 1).count();
            assert_eq!(lost, 0, "with visits every {step} slots");
        }
    }

    #[test]
    fn an_alarm_survives_a_stall_longer_than_the_wheel() {
        let timers = Timers::default();
        let (_alarm, woken) = armed(&timers, at(25));
        timers.0.visit(at(19));
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        for second in 20..=26 {
            timers.0.visit(at(second));
        }
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_deadline_that_was_moved_counts_from_where_it_is_now() {
        let timers = Timers::default();
        let (alarm, woken) = armed(&timers, at(3));
        alarm.set(at(9));
        timers.0.visit(at(4));
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        alarm.set(at(5));
        timers.0.visit(at(6));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn the_driving_task_is_made_to_look_when_the_event_loop_does_not_come_to_its_timers() {
        let timers = Timers::default();
        let _armed = armed(&timers, at(3));
        // As the driving task does before it sleeps.
        timers.0.sleeping_until.set(slot_of(at(3)));
        timers.pass(at(2));
        assert_eq!(timers.0.sleeping_until.get(), slot_of(at(3)), "too early");
        timers.pass(at(4));
        assert_eq!(timers.0.sleeping_until.get(), 0);
    }
}
