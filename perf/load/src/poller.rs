//! Edge-triggered readiness: an epoll instance whose waits are precise to some microseconds.
//!
//! A socket is registered once, for everything, and never again. `epoll_pwait2` takes
//! nanoseconds, and the thread's timer slack is set to 1 ns (its default of 50 µs would be added
//! to every wait), so what remains is the time the kernel takes to wake a thread.

use std::io;
use std::num::NonZeroU64;
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::Timespec;

/// Events that one wait returns at most.
const BATCH: usize = 256;

/// What happened to a socket.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The token it was registered with.
    pub token: u64,
    /// It can be written.
    pub writable: bool,
    /// It can be read, or has failed.
    pub readable: bool,
    /// The peer has ended its direction, or the socket has failed.
    pub ended: bool,
}

/// An epoll instance.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poller {
    /// A new one, for the thread that calls.
    pub fn new() -> io::Result<Self> {
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(BATCH) })
    }

    /// Watches a connection until it is closed.
    pub fn watch(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        let all = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(token), all)?)
    }

    /// Watches a listener that other threads watch, too: one of them is woken.
    pub fn watch_listener(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::EXCLUSIVE;
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(token), flags)?)
    }

    /// Waits for events, at most `limit`. How many there are.
    pub fn wait(&mut self, limit: Option<Duration>) -> io::Result<usize> {
        let limit = limit.map(|l| Timespec {
            tv_sec: i64::try_from(l.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: l.subsec_nanos().into(),
        });
        self.events.clear();
        let room = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, room, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(self.events.len()),
            Err(Errno::NOSYS) => Err(io::Error::other(
                "this kernel has no epoll_pwait2: Linux 5.11 or later is needed",
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// The event at `index` of the last wait.
    pub fn event(&self, index: usize) -> Option<Ready> {
        let event = self.events.get(index)?;
        // The structure is packed: its fields are copied, never borrowed.
        let (flags, data) = (event.flags, event.data);
        let failed = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        Some(Ready {
            token: data.u64(),
            writable: failed || flags.contains(EventFlags::OUT),
            readable: failed || flags.intersects(EventFlags::IN | EventFlags::RDHUP),
            ended: failed || flags.contains(EventFlags::RDHUP),
        })
    }
}
