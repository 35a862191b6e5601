//! What is counted of a listener's connections beside what every series counts: what they turned
//! out to speak, and why opaque ones were cut.

use ringway_core::message::Cause;

use super::cell::Cell;
use super::expose::Row;
use super::labels::{Labels, Scope};
use super::series::ERRNOS;
use super::sums::Sums;
use super::text::{Kind, Text};

/// What a connection was taken for, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Decision {
    /// Its bytes are HTTP/1, or it may not be anything else.
    Http1,
    /// Its bytes are HTTP/2's preface.
    Http2,
    /// Its bytes begin a TLS ClientHello; carried as opaque.
    Tls,
    /// Its bytes are none of these.
    Opaque,
    /// Its port, service or listener says that it is opaque.
    Marked,
    /// Its bytes had decided nothing when time was up.
    Late,
}

/// The labels `protocol` and `by` of each decision, in order.
const DECISIONS: [(&str, &str); Decision::COUNT] = [
    ("http/1", "bytes"),
    ("http/2", "bytes"),
    ("tls", "bytes"),
    ("opaque", "bytes"),
    ("opaque", "mark"),
    ("opaque", "limit"),
];

impl Decision {
    pub(super) const COUNT: usize = Self::Late as usize + 1;
}

/// Why an opaque connection may be cut; anything else is a bug of ours.
const CAUSES: [Cause; 14] = [
    Cause::NotReady,
    Cause::NoRoute,
    Cause::NoBackend,
    Cause::NoEndpoint,
    Cause::TlsDemanded,
    Cause::Refused,
    Cause::Unreachable,
    Cause::ConnectTimeout,
    Cause::Exhausted,
    Cause::Closed,
    Cause::Reset,
    Cause::IdleTimeout,
    Cause::Draining,
    Cause::Panic,
];

/// The cells of one listener.
#[derive(Debug, Default)]
pub(super) struct ListenerCells {
    decisions: [Cell; Decision::COUNT],
    cuts: [Cell; CAUSES.len()],
}

impl ListenerCells {
    /// Cells for a series with these labels, if they are a listener's.
    pub(super) fn of(labels: &Labels) -> Option<Box<Self>> {
        matches!(labels.scope, Scope::Listener { .. }).then(Box::default)
    }

    pub(super) fn decided(&self, decision: Decision) {
        self.decisions[decision as usize].add(1);
    }

    pub(super) fn cut(&self, cause: Cause) {
        let at = CAUSES.iter().position(|&c| c == cause).unwrap_or(CAUSES.len() - 1);
        self.cuts[at].add(1);
    }
}

/// The same, summed.
#[derive(Debug, Clone, Default)]
pub(super) struct ListenerSums {
    decisions: [u64; Decision::COUNT],
    cuts: [u64; CAUSES.len()],
}

impl ListenerSums {
    pub(super) fn add(&mut self, cells: &ListenerCells) {
        for (sum, cell) in self.decisions.iter_mut().zip(&cells.decisions) {
            *sum += cell.get();
        }
        for (sum, cell) in self.cuts.iter_mut().zip(&cells.cuts) {
            *sum += cell.get();
        }
    }
}

/// Writes the families about connections.
pub(super) fn connections(out: &mut Text, rows: &[Row<'_>]) {
    plain(out, rows);
    out.family("tcp_close_total", Kind::Counter, "Total count of closed connections.");
    for Row { labels, sums, .. } in rows {
        for (errno, n) in ERRNOS.iter().zip(sums.closed) {
            // Closing in good order is always shown, an error once it happened.
            if n > 0 || errno.is_empty() {
                out.sample(
                    "tcp_close_total",
                    |l| {
                        labels.write(l, true);
                        l.label("errno", errno);
                    },
                    n,
                );
            }
        }
    }
    decisions(out, rows);
    cuts(out, rows);
}

fn plain(out: &mut Text, rows: &[Row<'_>]) {
    type Value = fn(&Sums) -> u64;
    let plain: [(&str, Kind, &str, Value); 4] = [
        ("tcp_open_total", Kind::Counter, "Total count of opened connections.", |s| s.opened),
        ("tcp_open_connections", Kind::Gauge, "Number of currently open connections.", Sums::open),
        ("tcp_read_bytes_total", Kind::Counter, "Total count of bytes read from peers.", |s| {
            s.read
        }),
        ("tcp_write_bytes_total", Kind::Counter, "Total count of bytes written to peers.", |s| {
            s.written
        }),
    ];
    for (name, kind, help, value) in plain {
        out.family(name, kind, help);
        for Row { labels, sums, .. } in rows {
            out.sample(name, |l| labels.write(l, true), value(sums));
        }
    }
}

fn decisions(out: &mut Text, rows: &[Row<'_>]) {
    let name = "ringway_protocol_connections_total";
    out.family(
        name,
        Kind::Counter,
        "Client connections by what they turned out to speak, and by what that was decided.",
    );
    for Row { labels, sums, .. } in rows {
        for ((protocol, by), n) in DECISIONS.iter().zip(sums.listener.decisions) {
            if n > 0 {
                out.sample(
                    name,
                    |l| {
                        labels.write(l, false);
                        l.label("protocol", protocol);
                        l.label("by", by);
                    },
                    n,
                );
            }
        }
    }
}

/// Linkerd has a family for each direction.
fn cuts(out: &mut Text, rows: &[Row<'_>]) {
    for (direction, name) in
        [("inbound", "inbound_tcp_errors_total"), ("outbound", "outbound_tcp_errors_total")]
    {
        out.family(name, Kind::Counter, "Opaque connections that were not carried to their end.");
        for Row { labels, sums, .. } in rows.iter().filter(|row| row.labels.direction == direction)
        {
            for (cause, n) in CAUSES.iter().zip(sums.listener.cuts) {
                if n > 0 {
                    out.sample(
                        name,
                        |l| {
                            labels.write(l, false);
                            l.label("error", cause.as_str());
                        },
                        n,
                    );
                }
            }
        }
    }
}
