//! The connections of one worker that carry many exchanges: one for each endpoint, and another one
//! only when the peer lets no more streams on the first.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use ringway_core::cluster::EndpointId;
use ringway_core::exchange::Attempt;
use ringway_core::message::{Cause, Fault, Stage};

use super::carrier::{Carrier, Ride};
use crate::clock;
use crate::connection::survives;
use crate::dial;
use crate::metrics::Counter;
use crate::pace::{Limit, Pace};
use crate::worker::Worker;

/// Connections to one endpoint at the most; then exchanges wait for a place.
const MOST: usize = 64;

/// One worker's connections.
#[derive(Default)]
pub(crate) struct Carriers(RefCell<BTreeMap<usize, Lane>>);

/// Those to one endpoint, by [`EndpointId::index`].
struct Lane {
    endpoint: EndpointId,
    carriers: Vec<Rc<Carrier>>,
    /// Somebody is connecting; the others wait for that.
    dialing: Rc<Cell<bool>>,
    waiting: Rc<RefCell<Vec<Waker>>>,
}

impl Lane {
    fn new(endpoint: EndpointId) -> Self {
        let (dialing, waiting) = (Rc::default(), Rc::default());
        Self { endpoint, carriers: Vec::new(), dialing, waiting }
    }
}

/// Somebody is connecting, until this is dropped.
struct Dialing {
    flag: Rc<Cell<bool>>,
    waiting: Rc<RefCell<Vec<Waker>>>,
}

impl Drop for Dialing {
    fn drop(&mut self) {
        self.flag.set(false);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
}

/// How an exchange may get on.
enum Way {
    On(Ride),
    /// When somebody else has connected.
    Wait(Rc<Cell<bool>>, Rc<RefCell<Vec<Waker>>>),
    /// When somebody gets off.
    Queue(Rc<Carrier>),
    Dial(Dialing),
}

impl Carriers {
    /// A place on a connection to the attempt's endpoint.
    pub(super) async fn board(
        &self,
        worker: &Rc<Worker>,
        attempt: &Attempt,
        pace: &Pace,
    ) -> Result<Ride, Fault> {
        let late = Fault::upstream(Stage::Connect, Cause::ConnectTimeout);
        pace.within(Limit::Up, attempt.connect_timeout, late);
        let mut fresh = attempt.fresh;
        let ride = loop {
            match self.way(attempt.endpoint, fresh) {
                Way::On(ride) => {
                    if ride.reused() {
                        worker.metrics().count(Counter::PoolHit);
                    }
                    break ride;
                }
                Way::Wait(dialing, waiting) => {
                    poll_fn(|cx| {
                        if !dialing.get() {
                            return Poll::Ready(());
                        }
                        waiting.borrow_mut().push(cx.waker().clone());
                        Poll::Pending
                    })
                    .await;
                }
                Way::Queue(carrier) => drop(carrier.place(None).await),
                Way::Dial(dialing) => {
                    let carrier = dial(worker, attempt).await?;
                    self.add(attempt.endpoint, &carrier);
                    // What it allows should be known before anything is sent; but a server that
                    // says nothing by itself may still answer.
                    let alarm = worker.timers.alarm();
                    alarm.set(clock::now() + attempt.connect_timeout / 2);
                    if !carrier.place(Some(&alarm)).await {
                        return Err(Fault::upstream(Stage::Connect, Cause::Closed));
                    }
                    drop(dialing);
                }
            }
            fresh = false;
        };
        pace.clear(Limit::Up);
        Ok(ride)
    }

    fn way(&self, endpoint: EndpointId, fresh: bool) -> Way {
        let mut lanes = self.0.borrow_mut();
        let lane = lanes.entry(endpoint.index()).or_insert_with(|| Lane::new(endpoint));
        if lane.endpoint != endpoint {
            lane.carriers.iter().for_each(|carrier| carrier.retire());
            *lane = Lane::new(endpoint);
        }
        lane.carriers.retain(|carrier| !carrier.is_gone());
        if !fresh && let Some(carrier) = lane.carriers.iter().find(|carrier| carrier.has_place()) {
            return Way::On(Ride::on(carrier));
        }
        if lane.dialing.get() {
            return Way::Wait(Rc::clone(&lane.dialing), Rc::clone(&lane.waiting));
        }
        if lane.carriers.len() >= MOST
            && let Some(carrier) = lane.carriers.first()
        {
            return Way::Queue(Rc::clone(carrier));
        }
        lane.dialing.set(true);
        Way::Dial(Dialing { flag: Rc::clone(&lane.dialing), waiting: Rc::clone(&lane.waiting) })
    }

    fn add(&self, endpoint: EndpointId, carrier: &Rc<Carrier>) {
        let mut lanes = self.0.borrow_mut();
        match lanes.get_mut(&endpoint.index()).filter(|lane| lane.endpoint == endpoint) {
            // The newest first: it is the one that is known to live.
            Some(lane) => lane.carriers.insert(0, Rc::clone(carrier)),
            None => carrier.retire(),
        }
    }

    /// Lets go of a connection that has ended.
    fn drop_off(&self, endpoint: EndpointId, carrier: &Rc<Carrier>) {
        if let Some(lane) = self.0.borrow_mut().get_mut(&endpoint.index()) {
            lane.carriers.retain(|known| !Rc::ptr_eq(known, carrier));
        }
    }

    /// Lets nobody on any more that goes to endpoints that are gone.
    pub(crate) fn remove(&self, endpoints: &[EndpointId]) {
        let mut lanes = self.0.borrow_mut();
        for endpoint in endpoints {
            if lanes.get(&endpoint.index()).is_some_and(|lane| lane.endpoint == *endpoint)
                && let Some(lane) = lanes.remove(&endpoint.index())
            {
                lane.carriers.iter().for_each(|carrier| carrier.retire());
            }
        }
    }
}

/// A new connection to the attempt's endpoint.
async fn dial(worker: &Rc<Worker>, attempt: &Attempt) -> Result<Rc<Carrier>, Fault> {
    worker.metrics().count(Counter::PoolMiss);
    let halves = dial::connect(attempt.address).await?;
    let series = worker.known_series(attempt.endpoint);
    let settings = worker.settings();
    let kind = (series, attempt.meshed);
    let (carrier, driver) =
        Carrier::begin(halves, &settings, &worker.timers, kind, &worker.buffers).await?;
    let (worker, endpoint, driven) = (Rc::clone(worker), attempt.endpoint, Rc::clone(&carrier));
    monoio::spawn(async move {
        if survives(Box::pin(driver).as_mut()).await.is_none() {
            worker.metrics().count(Counter::Panics);
        }
        if let Some(counter) = driven.blamed() {
            worker.metrics().count(counter);
        }
        worker.carriers.drop_off(endpoint, &driven);
    });
    Ok(carrier)
}
