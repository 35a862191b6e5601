//! One watch: lists, follows, and lists again when it has lost the thread.
//!
//! ```text
//! list (streamed, else by pages) ─► follow ─► ended by the server ─► follow …
//!        ▲                             │
//!        └───────── pause ◄─────────── failed
//! ```
//! Whatever fails, what has been told stays; a new list tells its differences at its end. After a
//! failure it is always a new list: the server may be back with a storage that was restored from a
//! backup, and by its versions alone that cannot be told once it has moved on.

use std::sync::Arc;

use ringway_core::rng::Rng;
use ringway_core::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

use super::answer;
use super::api::{Api, Wait};
use super::backoff::{Failures, jitter};
use super::board::Post;
use super::failure::{Failure, Remedy};
use super::items::{Found, Items};
use super::known::Known;
use super::lines::{Line, Lines, MOST_BYTES};
use super::presence::Calls;
use super::target::{Target, TargetKey};
use crate::event::Event;
use crate::manifest::{self, Item};
use crate::object::NamespacedName;
use crate::source::{Tell, Told, tell};

/// A list that goes on has to go on within this.
const STALL: Duration = Duration::from_secs(20);
/// A watch that ends sooner has not been one: the next begins no sooner than this.
const SHORTEST: Duration = Duration::from_secs(1);

/// What a watch tells the one who has started it.
#[derive(Debug)]
pub(crate) enum News {
    /// Its first list has been told; the name of the first object, if there is one.
    Complete(TargetKey, Option<NamespacedName>),
    /// It may not be listed, and never was.
    Denied(TargetKey),
    /// The API server does not know its kind.
    Missing,
}

/// What all watches share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) api: Arc<Api>,
    /// A watch is dead when it has said nothing for so long.
    pub(crate) silence: Duration,
    /// Where changes are told.
    pub(crate) tell: Tell,
    pub(crate) news: UnboundedSender<News>,
}

/// One watch.
pub(crate) struct Watch {
    shared: Shared,
    target: Target,
    /// The version of the API in which the kind is there, if it is.
    served: Receiver<Option<&'static str>>,
    known: Known,
    post: Post,
    rng: Rng,
    calls: Calls,
    /// What the last event said; `None` means that a list is due.
    version: Option<String>,
    complete: bool,
    failures: Failures,
}

impl Watch {
    pub(crate) fn new(
        shared: Shared,
        target: Target,
        served: Receiver<Option<&'static str>>,
        post: Post,
        rng: Rng,
    ) -> Self {
        let known = Known::new(target.resource.kind);
        let calls = shared.api.presence().calls();
        Self {
            shared,
            target,
            served,
            known,
            post,
            rng,
            calls,
            version: None,
            complete: false,
            failures: Failures::default(),
        }
    }

    /// Runs until it is aborted, or until `stop` is sent or dropped: then what it has told is taken
    /// back.
    pub(crate) async fn run(mut self, stop: oneshot::Receiver<()>) {
        tokio::select! {
            () = self.go_on() => {}
            _ = stop => {}
        }
        tell(&self.shared.tell, Told::Events(self.known.clear()));
    }

    async fn go_on(&mut self) {
        loop {
            let begun = Instant::now();
            let served = *self.served.borrow_and_update();
            let Some(api) = served else {
                self.absent();
                if self.served.changed().await.is_err() {
                    return;
                }
                continue;
            };
            match self.round(api).await {
                Ok(()) => {
                    let next = begun + SHORTEST;
                    if next > Instant::now() {
                        sleep_until(next + jitter(SHORTEST, &mut self.rng)).await;
                    }
                }
                Err(failure) => self.recover(&failure).await,
            }
        }
    }

    async fn recover(&mut self, failure: &Failure) {
        let pause = self.failures.add(failure, &mut self.rng);
        self.post.failed(failure);
        self.shared.api.presence().failed(failure);
        if self.failures.is_news() {
            tracing::warn!("watch of {} failed: {failure}; what is known stays", self.target);
        } else {
            tracing::debug!(?pause, "watch of {} failed: {failure}", self.target);
        }
        if failure.is_denial() && !self.complete {
            let _ = self.shared.news.send(News::Denied(self.target.key()));
        }
        self.version = None;
        match failure.remedy() {
            Remedy::Wait => {}
            Remedy::Reconnect => self.shared.api.forget(),
            Remedy::Rediscover => {
                let _ = self.shared.news.send(News::Missing);
            }
        }
        self.calls.pause(pause, Some(failure), &mut self.rng).await;
    }

    /// Goes on from where it is, until the server ends the watch.
    async fn round(&mut self, api: &'static str) -> Result<(), Failure> {
        if self.version.is_none() && self.shared.api.streams() {
            let request = self.target.stream(api, &mut self.rng)?;
            self.known.begin();
            match self.follow(api, request).await {
                Err(failure) if self.version.is_none() && failure.denies_streaming() => {
                    if self.shared.api.stop_streaming() {
                        tracing::info!("lists are not streamed by this API server: {failure}");
                    }
                }
                ended => return ended,
            }
        }
        if self.version.is_none() {
            self.list(api).await?;
        }
        let since = self.version.clone().unwrap_or_default();
        let request = self.target.watch(api, &since, &mut self.rng)?;
        self.follow(api, request).await
    }

    /// Reads everything, page by page.
    async fn list(&mut self, api: &str) -> Result<(), Failure> {
        self.known.begin();
        let mut next = None;
        loop {
            let mut answer = self.shared.api.open(self.target.list(api, next)?, Wait::Long).await?;
            let mut items = Items::default();
            while let Some(bytes) = answer.next(STALL).await? {
                items.push(&bytes, &mut |found| match found {
                    Found::Item(bytes) => match read(&self.target, api, bytes) {
                        Ok(item) => drop(self.known.put(item)),
                        Err(why) => self.known.unread(&why),
                    },
                    Found::TooLong => self.known.unread(TOO_LONG),
                });
            }
            let page = self.page(&items)?;
            next = page.next;
            if next.is_none() {
                self.listed(page.version, false);
                return Ok(());
            }
        }
    }

    fn page(&self, items: &Items) -> Result<answer::Page, Failure> {
        let envelope = items.finish().map_err(|why| Failure::Malformed(why.to_owned()))?;
        answer::page(envelope, self.target.resource.kind.as_str())
    }

    /// Reads a watch until the server ends it.
    async fn follow(
        &mut self,
        api: &'static str,
        request: http::Request<Vec<u8>>,
    ) -> Result<(), Failure> {
        let mut answer = self.shared.api.open(request, Wait::Short).await?;
        let mut lines = Lines::new(MOST_BYTES);
        loop {
            let limit = if self.known.is_listing() { STALL } else { self.shared.silence };
            let Some(bytes) = answer.next(limit).await? else { break };
            lines.push(&bytes);
            self.take(api, &mut lines)?;
        }
        if self.known.is_listing() {
            return Err(Failure::Unreachable(String::from("the list broke off")));
        }
        Ok(())
    }

    /// Takes all lines that have come, and tells what they change.
    fn take(&mut self, api: &str, lines: &mut Lines) -> Result<(), Failure> {
        let mut events = Vec::new();
        let mut taken = Ok(());
        let mut any = false;
        while let Some(line) = lines.next() {
            any = true;
            taken = self.line(api, &line, &mut events);
            if taken.is_err() {
                break;
            }
        }
        if !events.is_empty() {
            tell(&self.shared.tell, Told::Events(events));
        }
        if any && taken.is_ok() && !self.known.is_listing() {
            self.failures.clear();
            self.post.heard(self.version.as_deref().unwrap_or_default(), &self.known);
        }
        taken
    }

    fn line(&mut self, api: &str, line: &Line<'_>, events: &mut Vec<Event>) -> Result<(), Failure> {
        let read = match line {
            Line::Whole(line) => answer::event(line),
            Line::TooLong => Err(Failure::Malformed(TOO_LONG.to_owned())),
        };
        match read {
            Ok(answer::Event::Put(object)) => self.put(api, object, events),
            Ok(answer::Event::Gone(object)) => {
                let item = self::read(&self.target, api, object).map_err(Failure::Malformed)?;
                events.extend(self.known.gone(&item.name));
                self.reached(&item.version);
                Ok(())
            }
            Ok(answer::Event::Bookmark { version, initial_end }) => {
                if initial_end && self.known.is_listing() {
                    self.listed(version, true);
                } else {
                    self.reached(&version);
                }
                Ok(())
            }
            Err(Failure::Malformed(why)) if self.known.is_listing() => {
                self.known.unread(&why);
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    fn put(&mut self, api: &str, object: &[u8], events: &mut Vec<Event>) -> Result<(), Failure> {
        match read(&self.target, api, object) {
            Ok(item) => {
                if !self.known.is_listing() {
                    self.reached(&item.version);
                }
                events.extend(self.known.put(item));
                Ok(())
            }
            Err(why) if self.known.is_listing() => {
                self.known.unread(&why);
                Ok(())
            }
            // Which object it was is not known, so all have to be looked at.
            Err(why) => Err(Failure::Malformed(why)),
        }
    }

    fn reached(&mut self, version: &str) {
        if !version.is_empty() && !self.known.is_listing() {
            self.version = Some(version.to_owned());
        }
    }

    /// The kind is not there: it has no objects.
    fn absent(&mut self) {
        self.version = None;
        tell(&self.shared.tell, Told::Events(self.known.clear()));
        self.post.absent();
        self.completed();
    }

    fn completed(&mut self) {
        if !std::mem::replace(&mut self.complete, true) {
            let first = self.known.first().cloned();
            let _ = self.shared.news.send(News::Complete(self.target.key(), first));
        }
    }

    /// A list has ended.
    fn listed(&mut self, version: String, streamed: bool) {
        let events = self.known.end();
        tracing::debug!(objects = self.known.len(), version, "list of {} read", self.target);
        tell(&self.shared.tell, Told::Events(events));
        self.failures.clear();
        self.post.listed(&version, &self.known, streamed);
        self.version = Some(version);
        self.completed();
    }
}

const TOO_LONG: &str = "an object of more than 16 MiB";

fn read(target: &Target, api: &str, object: &[u8]) -> Result<Item, String> {
    let version = target.resource.api_version(api);
    manifest::item(object, target.resource.expected(&version))
}
