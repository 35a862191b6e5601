//! The request of a stream: its head is kept as it was decoded, its body is a source.

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::ext::Protocol;
use http::header::{COOKIE, HeaderValue};
use http::request::Parts;
use ringway_core::message::{Blame, Cause, Fault, Method, RequestHead, Stage};
use ringway_core::wire::h1::head::{FieldTable, Limits};
use ringway_core::wire::h2::mesh;
use ringway_core::wire::h2::request::{self, Pseudo, join_cookies};

use crate::accept::Entrance;
use crate::exchange::Exchange;
use crate::grpc;
use crate::h2::{Incoming, Sender, fault, fields, reset};
use crate::pace::{Limit, Pace};
use crate::serve::ask::log_facts;
use crate::stream::{Part, Request, Source};
use crate::worker::Worker;

/// The receiving side of a client's stream.
pub(crate) struct Ask {
    parts: Parts,
    /// No body follows the head.
    bare: bool,
    incoming: Incoming,
    sender: Rc<Sender>,
    /// Whoever sends it is another ringway.
    is_peer: bool,
    /// What comes is for a tunnel, and waits until that is open: to an endpoint that does not open it
    /// it would be another request.
    held: bool,
}

impl Ask {
    pub(super) fn new(
        request: http::Request<h2::RecvStream>,
        sender: Rc<Sender>,
        is_peer: bool,
    ) -> Self {
        let (mut parts, body) = request.into_parts();
        let crumbs = parts.headers.get_all(COOKIE);
        if crumbs.iter().nth(1).is_some() {
            // Their size was counted with the list's.
            let joined = join_cookies(crumbs.iter().map(HeaderValue::as_bytes));
            if let Ok(joined) = HeaderValue::from_maybe_shared(joined) {
                parts.headers.insert(COOKIE, joined);
            }
        }
        let incoming = Incoming::new(body, Blame::Client);
        let held = parts.method == http::Method::CONNECT;
        Self { parts, bare: incoming.is_done(), incoming, sender, is_peer, held }
    }

    /// Whether it is a request of gRPC.
    pub(super) fn is_grpc(&self) -> bool {
        self.head(grpc::asks).unwrap_or(false)
    }

    pub(super) fn under(&mut self, pace: &Rc<Pace>, idle: Duration) {
        self.incoming.under(pace, Limit::Up, idle);
    }

    /// Opens the exchange of the request in `place`.
    pub(super) fn open(
        &self,
        (worker, entrance, peer): (&Rc<Worker>, &Rc<Entrance>, SocketAddr),
        limits: &Limits,
        place: &mut Option<Exchange>,
    ) -> Result<(), Fault> {
        self.read(limits, |head| {
            let allowed = entrance.settings.borrow().allow_connect;
            if head.method == Method::Connect && !allowed {
                return Err(Fault::us(Stage::Route, Cause::ConnectRefused));
            }
            let entry = worker.recorder.begin(|| log_facts(head, peer));
            Exchange::open(place, (worker, entrance, peer), head, entry);
            Ok(())
        })?
    }

    fn read<R>(
        &self,
        limits: &Limits,
        show: impl FnOnce(&RequestHead<'_>) -> R,
    ) -> Result<R, Fault> {
        let uri = &self.parts.uri;
        let protocol = self.parts.extensions.get::<Protocol>();
        let connect = self.parts.method == http::Method::CONNECT && protocol.is_none();
        // The crate insists on a scheme, but keeps it only beside an authority.
        let scheme = uri.scheme_str().or_else(|| (!connect).then_some("http"));
        let pseudo = Pseudo {
            method: self.parts.method.as_str().as_bytes(),
            scheme: scheme.map(str::as_bytes),
            authority: uri.authority().map(|authority| authority.as_str().as_bytes()),
            path: uri.path_and_query().map(|path| path.as_str().as_bytes()),
            protocol: protocol.map(|protocol| protocol.as_str().as_bytes()),
        };
        let mut table = FieldTable::new();
        let fields = fields(&self.parts.headers);
        let mut head = request::request(&pseudo, fields, self.bare, &mut table, limits)?;
        if self.is_peer {
            mesh::restore(&mut head);
        }
        Ok(show(&head))
    }
}

impl Source for Ask {
    fn take(&mut self) -> Result<Option<Part<'_>>, Fault> {
        self.incoming.take()
    }

    async fn more(&mut self) -> Result<(), Fault> {
        self.incoming.more().await
    }

    fn is_done(&self) -> bool {
        self.held || self.incoming.is_done()
    }

    fn open_tunnel(&mut self) {
        self.held = false;
        self.incoming.open_tunnel();
    }
}

impl Request for Ask {
    fn head<R>(&self, show: impl FnOnce(&RequestHead<'_>) -> R) -> Option<R> {
        // It was within the limits when it was read first.
        let limits = Limits { target_bytes: usize::MAX, ..Limits::default() };
        self.read(&limits, show).ok()
    }

    fn rewind(&mut self) -> bool {
        self.incoming.rewind()
    }

    fn can_rewind(&self) -> bool {
        self.incoming.can_rewind()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Fault>> {
        self.sender.poll_reset(cx).map(|gone| Err(self.gone(gone)))
    }

    fn hung_up(&self) -> Result<bool, Fault> {
        Ok(false)
    }
}

impl Ask {
    fn gone(&self, gone: Result<h2::Reason, h2::Error>) -> Fault {
        match gone {
            Ok(reason) => Fault::client(Stage::Reply, reset(Some(reason))),
            Err(error) => fault(&error, Stage::Reply, Blame::Client),
        }
    }
}
