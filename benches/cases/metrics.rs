//! What the metrics of one request cost its worker.

use ringway::metrics::{EndpointLabels, Outcome, Registry, Series, WorkerMetrics};
use ringway_core::record::Classification;
use ringway_core::time::Duration;

use crate::{Meter, Work};

/// A worker's metrics with one endpoint.
struct Counting {
    worker: WorkerMetrics,
    series: Series,
    outcome: Outcome,
}

pub(super) fn cases(meter: &mut impl Meter) {
    meter.measure("metrics/record", Work::One, Counting::new, Counting::record);
}

impl Counting {
    fn new() -> Self {
        let worker = Registry::new(1).worker(0);
        let series = worker.endpoint(&EndpointLabels {
            direction: "outbound",
            namespace: "default",
            service: "web",
            port: 80,
            target: ([10, 0, 0, 1], 8080).into(),
        });
        let outcome = Outcome {
            status: Some(200),
            grpc: None,
            classification: Classification::Success,
            error: None,
            latency: Some(Duration::from_micros(300)),
            total: Duration::from_micros(350),
        };
        Self { worker, series, outcome }
    }

    /// Request, bytes in both directions, response.
    fn record(&mut self) {
        self.series.request();
        self.series.wrote(64);
        self.series.read(320);
        self.worker.response(&self.series, &self.outcome);
    }
}
