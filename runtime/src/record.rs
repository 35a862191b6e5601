//! Step 9 of the way of a request: one record goes to the metrics and to the access log, and so does
//! the closing of an opaque connection.

use std::cell::RefCell;
use std::time::SystemTime;

use ringway_core::record::{Closing, Record};

use crate::access_log::{AccessLog, Entry, Facts};
use crate::metrics::{Counter, Outcome, Series, WorkerMetrics};

/// A worker's place for facts.
#[derive(Debug)]
pub(crate) struct Recorder {
    metrics: WorkerMetrics,
    log: Option<RefCell<AccessLog>>,
}

impl Recorder {
    /// A recorder that counts with `metrics` and, if the access log is on, writes to `log`.
    pub(crate) fn new(metrics: WorkerMetrics, log: Option<AccessLog>) -> Self {
        Self { metrics, log: log.map(RefCell::new) }
    }

    /// The worker's metrics.
    pub(crate) fn metrics(&self) -> &WorkerMetrics {
        &self.metrics
    }

    /// An exchange or an opaque connection begins. `None`, without looking at anything, while the access log is off.
    pub(crate) fn begin<'a>(&self, facts: impl FnOnce() -> Facts<'a>) -> Option<Entry> {
        let log = self.log.as_ref()?;
        Some(log.borrow_mut().begin(&facts(), SystemTime::now()))
    }

    /// An exchange ended. `endpoint` is the series of the endpoint tried last, on which
    /// [`Series::request`] was counted when the attempt began; without one the answer was the
    /// proxy's own and both ends are counted on `listener`.
    pub(crate) fn note(
        &self,
        record: &Record,
        listener: &Series,
        endpoint: Option<&Series>,
        entry: Option<Entry>,
    ) {
        let outcome = Outcome {
            status: record.status,
            grpc: record.grpc,
            classification: record.classification,
            error: record.fault.map(|fault| fault.cause),
            latency: record.latency,
            total: record.total,
        };
        let series = endpoint.unwrap_or_else(|| {
            listener.request();
            listener
        });
        self.metrics.response(series, &outcome);
        if let (Some(log), Some(entry)) = (&self.log, entry) {
            log.borrow_mut().end(entry, &record.into(), endpoint.and_then(Series::target));
        }
    }

    /// An opaque connection ended. What it carried was counted as it went.
    pub(crate) fn note_opaque(
        &self,
        closing: &Closing,
        endpoint: Option<&Series>,
        entry: Option<Entry>,
    ) {
        if let (Some(log), Some(entry)) = (&self.log, entry) {
            log.borrow_mut().end(entry, &closing.into(), endpoint.and_then(Series::target));
        }
    }

    /// Gives the lines gathered so far to the writer; call about once a second.
    pub(crate) fn flush(&self) {
        if let Some(log) = &self.log {
            let dropped = log.borrow_mut().flush();
            self.metrics.add(Counter::AccessLogDropped, dropped);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use ringway_core::message::{Cause, Fault, Method, Stage};
    use ringway_core::record::Classification;
    use ringway_core::time::{Duration, Instant};

    use super::*;
    use crate::metrics::{EndpointLabels, ListenerLabels, Registry};

    #[test]
    fn an_answer_counts_on_its_endpoint_or_else_on_the_listener() {
        let registry = Registry::new(1);
        let recorder = Recorder::new(registry.worker(0), None);
        let address = SocketAddr::from(([127, 0, 0, 1], 4140));
        let direction = "outbound";
        let endpoint = recorder.metrics().endpoint(&EndpointLabels {
            direction,
            namespace: "default",
            service: "web",
            port: 80,
            target: address,
        });
        let labels = ListenerLabels { direction, listener: "gate", address };
        let listener = recorder.metrics().listener(&labels);
        let mut record = Record {
            endpoint: None,
            method: Method::Get,
            status: Some(200),
            grpc: None,
            local: false,
            fault: None,
            classification: Classification::Success,
            start: Instant::ZERO,
            latency: Some(Duration::from_millis(1)),
            total: Duration::from_millis(2),
            attempts: 1,
            received: 0,
            sent: 0,
        };
        assert!(recorder.begin(|| unreachable!("the log is off")).is_none());
        endpoint.request();
        recorder.note(&record, &listener, Some(&endpoint), None);
        record.status = Some(404);
        record.fault = Some(Fault::us(Stage::Route, Cause::NoRoute));
        recorder.note(&record, &listener, None, None);
        let text = registry.text();
        let value = |start: &str, with: &str| {
            let mut lines = text.lines().filter(|l| l.starts_with(start) && l.contains(with));
            (lines.next().and_then(|l| l.rsplit(' ').next()), lines.count())
        };
        for side in ["dst_service=\"web\"", "listener=\"gate\""] {
            assert_eq!(value("request_total{", side), (Some("1"), 0), "{side}");
            assert_eq!(value("response_total{", side), (Some("1"), 0), "{side}");
        }
        assert_eq!(value("response_total{", "error=\"no route\""), (Some("1"), 0));
    }
}
