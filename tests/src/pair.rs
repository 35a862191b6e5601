//! The pairs of protocols: each behaviour is written once and runs for a client in HTTP/1.1 and in
//! HTTP/2, towards an endpoint in HTTP/1.1 and in HTTP/2. The HTTP/2 endpoint is a second proxy,
//! behind which the same strict origin sees what has come through both.

use std::net::SocketAddr;

use crate::client::Client;
use crate::h2::session::Session;
use crate::matrix::Cell;
use crate::origin::Origin;
use crate::proxy::Proxy;
use crate::settings::Settings;
use crate::text::{self, Fields};

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1
    Http1,
    /// HTTP/2
    Http2,
}

/// What either side of the proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The client.
    pub client: Speaks,
    /// The endpoint.
    pub upstream: Speaks,
}

impl Pair {
    /// Every pair.
    #[must_use]
    pub fn all() -> [Self; 4] {
        use Speaks::{Http1, Http2};
        [(Http1, Http1), (Http1, Http2), (Http2, Http1), (Http2, Http2)]
            .map(|(client, upstream)| Self { client, upstream })
    }

    /// A proxy of this pair in front of `origin`.
    #[must_use]
    pub fn start(self, cell: Cell, origin: &Origin) -> Chain {
        let behind = (self.upstream == Speaks::Http2)
            .then(|| Proxy::start(cell, Settings::front(&[origin.address])));
        let settings = match &behind {
            None => Settings::front(&[origin.address]),
            Some(proxy) => Settings::h2c(&[proxy.web()]),
        };
        Chain { front: Proxy::start(cell, settings), behind }
    }

    /// A client of this pair.
    #[must_use]
    pub fn connect(self, address: SocketAddr) -> Caller {
        match self.client {
            Speaks::Http1 => Caller::Http1(Client::connect(address)),
            Speaks::Http2 => Caller::Http2(Session::connect(address)),
        }
    }
}

/// The proxies of a pair.
pub struct Chain {
    /// The one that the client talks to.
    pub front: Proxy,
    /// The HTTP/2 endpoint.
    pub behind: Option<Proxy>,
}

impl Chain {
    /// No proxy has panicked or ended, and none has anything under way.
    pub fn assert_well(&mut self) {
        for proxy in std::iter::once(&mut self.front).chain(&mut self.behind) {
            proxy.assert_well();
        }
    }
}

/// A client of either protocol.
pub enum Caller {
    /// HTTP/1.1
    Http1(Client),
    /// HTTP/2
    Http2(Session),
}

/// A response in either protocol.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The status.
    pub status: u16,
    /// Statuses of interim responses.
    pub interim: Vec<u16>,
    /// The head's fields.
    pub fields: Fields,
    /// The content.
    pub body: Vec<u8>,
    /// The trailers.
    pub trailers: Fields,
}

impl Heard {
    /// The first value of a field, whatever the case of its name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let named = |f: &&(String, String)| f.0.eq_ignore_ascii_case(name);
        self.fields.iter().find(named).map(|f| &*f.1)
    }
}

impl Caller {
    /// Sends a request with this body and trailers, and reads its response.
    ///
    /// # Errors
    /// What is there instead of a whole response.
    pub fn call(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: Option<&[u8]>,
        trailers: &[(&str, &str)],
    ) -> Result<Heard, String> {
        match self {
            Self::Http1(client) => {
                client.send(head(method, path, fields, body.is_some(), !trailers.is_empty()));
                if let Some(body) = body {
                    for piece in body.chunks(50_000) {
                        client.send(
                            [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat(),
                        );
                    }
                    let lines = trailers.iter().map(|(n, v)| format!("{n}: {v}\r\n"));
                    client.send(format!("0\r\n{}\r\n", lines.collect::<String>()));
                }
                let response = client.response_to(method)?;
                Ok(Heard {
                    status: response.status,
                    interim: response.interim,
                    fields: response.fields,
                    body: response.body,
                    trailers: response.trailers,
                })
            }
            Self::Http2(session) => {
                let mut fields = fields.to_vec();
                if !trailers.is_empty() {
                    fields.push(("te", "trailers"));
                }
                let stream = session.open(method, path, &fields, body.is_none());
                if let Some(body) = body {
                    session.data(stream, body, trailers.is_empty());
                    if !trailers.is_empty() {
                        session.trailers(stream, trailers);
                    }
                }
                let message = session.answer(stream);
                if !message.ended {
                    return Err(format!("reset by {:?}", message.reset));
                }
                let status = message.status().ok_or("no status")?;
                let heads = message.lists.iter().filter_map(|list| text::value(list, ":status"));
                let interim = heads.filter_map(|s| s.parse().ok()).filter(|&s: &u16| s < 200);
                let lists = message.lists.iter().filter(|l| text::value(l, ":status").is_none());
                Ok(Heard {
                    status,
                    interim: interim.collect(),
                    fields: message.head().cloned().unwrap_or_default(),
                    trailers: lists.flatten().cloned().collect(),
                    body: message.body,
                })
            }
        }
    }

    /// A request without a body.
    ///
    /// # Panics
    /// When it is not answered.
    pub fn get(&mut self, path: &str) -> Heard {
        self.call("GET", path, &[], None, &[]).unwrap_or_else(|why| panic!("{path}: {why}"))
    }
}

fn head(method: &str, path: &str, fields: &[(&str, &str)], body: bool, trailers: bool) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: a.test\r\n");
    for (name, value) in fields {
        head += &format!("{name}: {value}\r\n");
    }
    if body {
        head += "Transfer-Encoding: chunked\r\n";
    }
    if trailers {
        head += "TE: trailers\r\nConnection: te\r\n";
    }
    head + "\r\n"
}
