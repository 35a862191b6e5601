//! The loop of one thread of the backend.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::time::{Duration, Instant};

use rustix::fd::BorrowedFd;

use super::body::Bodies;
use super::client::{Client, Received, State};
use super::exchange::{self, BAD, CONTINUE};
use super::inbound::{self, Ask, Upload};
use crate::connection::{slot, token};
use crate::h2::frame::PREFACE;
use crate::poller::{Poller, Ready};
use crate::socket::{self, Moved};

/// Bytes received at once.
const INPUT: usize = 64 * 1024;

/// Bytes of uploads that nobody looks at, dropped at once.
const DROPPED: usize = 1024 * 1024;

/// Connections accepted before others are looked at again.
const ACCEPTED: usize = 64;

const LISTENER: u64 = u64::MAX;

/// One thread's connections and everything they share.
pub struct Server<'a> {
    listener: BorrowedFd<'a>,
    poller: Poller,
    clients: Vec<Option<Box<Client>>>,
    free: Vec<usize>,
    lives: u32,
    bodies: Bodies,
    input: Vec<u8>,
    room: Vec<u8>,
    scratch: Vec<u8>,
    timers: BinaryHeap<Reverse<(Instant, usize, u32)>>,
}

/// What becomes of a connection after a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Keep,
    Close,
}

impl<'a> Server<'a> {
    /// Serves what `listener` accepts, together with other threads that have it, too.
    pub fn new(listener: BorrowedFd<'a>) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.watch_listener(listener, LISTENER)?;
        Ok(Self {
            listener,
            poller,
            clients: Vec::new(),
            free: Vec::new(),
            lives: 0,
            bodies: Bodies::default(),
            input: vec![0; INPUT],
            room: vec![0; DROPPED],
            scratch: Vec::with_capacity(4 * 1024),
            timers: BinaryHeap::new(),
        })
    }

    /// Serves for ever.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            let due = self.timers.peek().map(|Reverse((when, ..))| *when);
            let limit = due.map(|when| when.saturating_duration_since(Instant::now()));
            for index in 0..self.poller.wait(limit)? {
                match self.poller.event(index) {
                    Some(ready) if ready.token == LISTENER => self.accept()?,
                    Some(ready) => self.event(ready),
                    None => {}
                }
            }
            if due.is_some() {
                self.timers();
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        for _ in 0..ACCEPTED {
            let socket = match socket::accept(self.listener) {
                Ok(Some(socket)) => socket,
                Ok(None) => return Ok(()),
                Err(error) => {
                    // Most likely too many open files: waiting lets some of them close.
                    eprintln!("ringway-backend: accept: {error}");
                    std::thread::sleep(Duration::from_millis(100));
                    return Ok(());
                }
            };
            self.lives = self.lives.wrapping_add(1) & 0x7fff_ffff;
            let slot = self.free.pop().unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            self.poller.watch(&socket, token(slot, self.lives))?;
            self.clients[slot] = Some(Box::new(Client::new(socket, slot, self.lives)));
        }
        Ok(())
    }

    fn event(&mut self, ready: Ready) {
        let (slot, life) = slot(ready.token);
        self.step(slot, life, |server, client| {
            if ready.writable && server.resume(client)? == Next::Close {
                return Ok(Next::Close);
            }
            if ready.readable { server.receive(client, ready.ended) } else { Ok(Next::Keep) }
        });
    }

    fn timers(&mut self) {
        let now = Instant::now();
        while let Some(&Reverse((when, slot, life))) = self.timers.peek()
            && when <= now
        {
            self.timers.pop();
            self.step(slot, life, Self::due);
        }
    }

    /// Works on a client, which is out of its place meanwhile; whatever fails on it ends it.
    fn step(
        &mut self,
        slot: usize,
        life: u32,
        work: impl FnOnce(&mut Self, &mut Client) -> io::Result<Next>,
    ) {
        let place = self.clients.get_mut(slot);
        let Some(mut client) = place.and_then(|p| p.take_if(|c| c.life == life)) else { return };
        match work(self, &mut client) {
            Ok(Next::Keep) => self.clients[slot] = Some(client),
            Ok(Next::Close) | Err(_) => self.free.push(slot),
        }
    }

    /// Reads until there is no more; edges are not repeated.
    fn receive(&mut self, client: &mut Client, ended: bool) -> io::Result<Next> {
        loop {
            if client.session.is_some() {
                return self.receive_streams(client, ended);
            }
            let (whole, moved) = match client.state {
                State::Waiting(..) | State::Sending(_) => {
                    client.unread = true;
                    return Ok(Next::Keep);
                }
                State::Body(ask, received) if ask.droppable() > 0 => {
                    let n = usize::try_from(ask.droppable()).unwrap_or(DROPPED).min(DROPPED);
                    let moved = socket::discard(&client.socket, &mut self.room[..n])?;
                    if self.dropped(client, ask, received, moved)? == Next::Close {
                        return Ok(Next::Close);
                    }
                    (n, moved)
                }
                State::Body(..) | State::Head => {
                    let moved = socket::receive(&client.socket, &mut self.input)?;
                    if let Moved::Bytes(n @ 1..) = moved
                        && self.consume(client, n)? == Next::Close
                    {
                        return Ok(Next::Close);
                    }
                    (INPUT, moved)
                }
            };
            match moved {
                Moved::Bytes(0) => return Ok(Next::Close),
                Moved::Bytes(n) if n == whole || ended => {}
                Moved::Bytes(_) | Moved::Nothing => return Ok(Next::Keep),
            }
        }
    }

    /// Reads until there is no more on a connection of many streams.
    fn receive_streams(&mut self, client: &mut Client, ended: bool) -> io::Result<Next> {
        loop {
            let n = match socket::receive(&client.socket, &mut self.input)? {
                Moved::Bytes(0) => return Ok(Next::Close),
                Moved::Bytes(n) => n,
                Moved::Nothing => return Ok(Next::Keep),
            };
            let input = std::mem::take(&mut self.input);
            let done = self.streams(client, &input[..n]);
            self.input = input;
            done?;
            if n < INPUT && !ended {
                return Ok(Next::Keep);
            }
        }
    }

    /// Takes in `bytes` of such a connection, and sends what there is to send.
    fn streams(&mut self, client: &mut Client, bytes: &[u8]) -> io::Result<Next> {
        let Client { session, socket, .. } = client;
        let session = session.get_or_insert_default();
        let bodies = &mut self.bodies;
        session.arrived(bytes, bodies).map_err(|bad| io::Error::other(bad.0))?;
        session.flush(bodies, |bytes| match socket::send(&*socket, bytes)? {
            Moved::Bytes(n) => Ok(n),
            Moved::Nothing => Ok(0),
        })?;
        if let Some(when) = session.due() {
            self.timers.push(Reverse((when, client.slot, client.life)));
        }
        Ok(Next::Keep)
    }

    /// A part of an upload was dropped unseen.
    fn dropped(
        &mut self,
        client: &mut Client,
        mut ask: Ask,
        mut received: Received,
        moved: Moved,
    ) -> io::Result<Next> {
        let (Moved::Bytes(n @ 1..), Upload::Length(left)) = (moved, &mut ask.upload) else {
            return Ok(Next::Keep);
        };
        *left = left.saturating_sub(n as u64);
        received.length += n as u64;
        if *left > 0 {
            client.state = State::Body(ask, received);
            return Ok(Next::Keep);
        }
        self.begin(client, ask, received)
    }

    /// Takes in the first `n` bytes of the input buffer.
    fn consume(&mut self, client: &mut Client, n: usize) -> io::Result<Next> {
        let input = std::mem::take(&mut self.input);
        let result = if client.held.is_empty() {
            self.parse(client, &input[..n]).map(|(used, next)| {
                client.held.extend_from_slice(&input[used..n]);
                next
            })
        } else {
            client.held.extend_from_slice(&input[..n]);
            self.consume_held(client)
        };
        self.input = input;
        result
    }

    /// Takes in what could not be used before.
    fn consume_held(&mut self, client: &mut Client) -> io::Result<Next> {
        let mut held = std::mem::take(&mut client.held);
        let (used, next) = self.parse(client, &held)?;
        held.drain(..used);
        client.held = held;
        Ok(next)
    }

    /// Answers requests from `bytes` as long as nothing has to be waited for. How many bytes were
    /// used.
    fn parse(&mut self, client: &mut Client, bytes: &[u8]) -> io::Result<(usize, Next)> {
        let mut at = 0;
        while at < bytes.len() {
            let next = match client.state {
                State::Head if bytes[at..].starts_with(PREFACE) => {
                    self.streams(client, &bytes[at..])?;
                    return Ok((bytes.len(), Next::Keep));
                }
                State::Head if PREFACE.starts_with(&bytes[at..]) => break,
                State::Head => match inbound::read(&bytes[at..]) {
                    Ok(None) => break,
                    Ok(Some((ask, n))) => {
                        at += n;
                        self.head(client, ask)?
                    }
                    Err(_) => {
                        client.send(BAD, 0, b"", &self.bodies)?;
                        Next::Close
                    }
                },
                State::Body(mut ask, mut received) => {
                    let (n, whole) = Client::upload(&mut ask, &mut received, &bytes[at..])?;
                    at += n;
                    if whole {
                        self.begin(client, ask, received)?
                    } else {
                        client.state = State::Body(ask, received);
                        Next::Keep
                    }
                }
                State::Waiting(..) | State::Sending(_) => break,
            };
            if next == Next::Close {
                return Ok((at, next));
            }
        }
        Ok((at, Next::Keep))
    }

    /// A head was read: its body comes first.
    fn head(&mut self, client: &mut Client, ask: Ask) -> io::Result<Next> {
        if matches!(ask.upload, Upload::Length(0)) {
            return self.begin(client, ask, Received::default());
        }
        client.state = State::Body(ask, Received::default());
        if ask.waits {
            client.send(CONTINUE, 0, b"", &self.bodies)?;
        }
        Ok(Next::Keep)
    }

    /// A request is whole.
    fn begin(&mut self, client: &mut Client, ask: Ask, received: Received) -> io::Result<Next> {
        if ask.wait() > 0 {
            self.later(client, ask.wait());
            client.state = State::Waiting(ask, received);
            return Ok(Next::Keep);
        }
        let sent = exchange::answer(client, &ask, &received, &mut self.bodies, &mut self.scratch)?;
        self.begun(client, ask, sent)
    }

    /// A part of the answer was begun, and `sent` or not: goes on with the next one.
    fn begun(&mut self, client: &mut Client, ask: Ask, mut sent: bool) -> io::Result<Next> {
        loop {
            if !sent {
                client.state = State::Sending(ask);
                return Ok(Next::Keep);
            }
            if client.chunks == 0 {
                client.state = State::Head;
                return Ok(if ask.close { Next::Close } else { Next::Keep });
            }
            if ask.pause() > 0 {
                self.later(client, ask.pause());
                client.state = State::Waiting(ask, Received::default());
                return Ok(Next::Keep);
            }
            self.scratch.clear();
            sent = exchange::chunk(client, &ask, &self.bodies, &mut self.scratch)?;
        }
    }

    fn later(&mut self, client: &Client, millis: u64) {
        let when = Instant::now() + Duration::from_millis(millis);
        self.timers.push(Reverse((when, client.slot, client.life)));
    }

    /// What was waited for is due.
    fn due(&mut self, client: &mut Client) -> io::Result<Next> {
        if let Some(session) = &mut client.session {
            session.pass(Instant::now(), &mut self.bodies);
            return self.streams(client, &[]);
        }
        let State::Waiting(ask, received) = client.state else { return Ok(Next::Keep) };
        self.scratch.clear();
        let sent = if client.chunks > 0 {
            exchange::chunk(client, &ask, &self.bodies, &mut self.scratch)?
        } else {
            exchange::answer(client, &ask, &received, &mut self.bodies, &mut self.scratch)?
        };
        match self.begun(client, ask, sent)? {
            Next::Keep => self.go_on(client),
            Next::Close => Ok(Next::Close),
        }
    }

    /// There is room in the socket again.
    fn resume(&mut self, client: &mut Client) -> io::Result<Next> {
        if client.session.is_some() {
            return self.streams(client, &[]);
        }
        let State::Sending(ask) = client.state else { return Ok(Next::Keep) };
        let sent = client.flush(&self.bodies)?;
        match self.begun(client, ask, sent)? {
            Next::Keep => self.go_on(client),
            Next::Close => Ok(Next::Close),
        }
    }

    /// After an answer that took its time: what has arrived meanwhile.
    fn go_on(&mut self, client: &mut Client) -> io::Result<Next> {
        if !client.held.is_empty() && self.consume_held(client)? == Next::Close {
            return Ok(Next::Close);
        }
        if matches!(client.state, State::Head | State::Body(..)) && client.unread {
            client.unread = false;
            return self.receive(client, false);
        }
        Ok(Next::Keep)
    }
}
