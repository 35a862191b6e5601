//! One stream of a client: one exchange.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;

use h2::{Reason, RecvStream, server::SendResponse};
use ringway_core::message::{Blame, Fault};
use ringway_core::policy::answer::{Abort, Answer};

use super::ask::Ask;
use super::reply::Reply;
use crate::accept::Entrance;
use crate::exchange::{self, Exchange};
use crate::h2::{Chunk, Link, Outgoing, Sender};
use crate::pace::{Lent, Pace};
use crate::stream::Client;
use crate::worker::Worker;

/// A client's stream.
pub(super) struct Stream {
    ask: Ask,
    reply: Reply,
    link: Rc<Link>,
    /// The last to be dropped: the others hold it too.
    pace: Lent,
}

impl Stream {
    pub(super) fn new(
        (request, is_peer): (http::Request<RecvStream>, bool),
        respond: SendResponse<Chunk>,
        link: &Rc<Link>,
        (worker, via): (&Worker, bool),
    ) -> Self {
        let settings = worker.settings();
        let pace = worker.paces.lend(&worker.timers);
        let sender = Sender::respond(respond);
        let outgoing = Outgoing::new(Rc::clone(&sender), Rc::clone(link), Blame::Client);
        let mut ask = Ask::new(request, sender, is_peer);
        let mut reply = Reply::new(outgoing, via);
        ask.under(&pace, settings.timeouts.body_idle);
        reply.under(&pace, settings.timeouts.body_idle);
        Self { ask, reply, link: Rc::clone(link), pace }
    }

    /// Serves the stream to its end.
    pub(super) async fn serve(
        &mut self,
        worker: &Rc<Worker>,
        entrance: &Rc<Entrance>,
        peer: SocketAddr,
    ) {
        let limits = worker.settings().head;
        let mut exchange = None;
        match (self.ask.open((worker, entrance, peer), &limits, &mut exchange), &mut exchange) {
            (Ok(()), Some(exchange)) => exchange::serve(exchange, self).await,
            (Ok(()), None) => {}
            (Err(fault), _) => self.refuse(fault, entrance, worker).await,
        }
        if self.reply.has_ended() {
            self.link.frames(|frames| frames.completed());
        }
    }

    /// Answers a head that is no request.
    async fn refuse(&mut self, fault: Fault, entrance: &Entrance, worker: &Worker) {
        let answer = Answer::to(fault);
        let said = self.say(answer, None).await;
        entrance.series.request();
        worker.failed(&entrance.series, fault, said.then_some(answer.status));
    }

    /// Sends an answer of the proxy's own; false when there is nobody to tell.
    async fn say(&mut self, answer: Answer, exchange: Option<&Exchange>) -> bool {
        if let Some(abort) = answer.abort {
            self.reply.give_up(reason(abort));
            return false;
        }
        self.reply.queue_answer(answer, exchange, &self.ask);
        let pace = Rc::clone(&self.pace);
        let sent = pace.keep(pin!(self.reply.send_answer())).await;
        pace.clear_all();
        let sent = matches!(sent, Ok(Ok(())));
        if !sent {
            self.reply.give_up(Reason::CANCEL);
        }
        sent
    }
}

const fn reason(abort: Abort) -> Reason {
    match abort {
        Abort::Cancel => Reason::CANCEL,
        Abort::Internal => Reason::INTERNAL_ERROR,
    }
}

impl Client for Stream {
    type Request = Ask;
    type Response = Reply;

    fn halves(&mut self) -> (&mut Ask, &mut Reply) {
        (&mut self.ask, &mut self.reply)
    }

    fn pace(&self) -> &Rc<Pace> {
        &self.pace
    }

    fn has_begun(&self) -> bool {
        self.reply.has_begun()
    }

    fn cut(&mut self, fault: Fault) {
        self.reply.give_up(reason(Abort::midway(fault)));
    }

    async fn answer(&mut self, exchange: &mut Exchange, answer: Answer) {
        let said = self.say(answer, Some(exchange)).await;
        // A client of gRPC is told of it in another way.
        let status = exchange.grpc.get().map_or(answer.status, |_| 200);
        exchange.answered(said.then_some(status));
    }
}
