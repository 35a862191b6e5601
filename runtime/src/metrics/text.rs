//! Prometheus' text format, version 0.0.4.

use std::fmt::{self, Display, Write};

/// The content type of what [`Text`] writes.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The text so far.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// Opens a family: all of its samples follow.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// One sample of the family `name`, whose `labels` are written by a closure.
    pub(super) fn sample(
        &mut self,
        name: &str,
        labels: impl FnOnce(&mut Labelled<'_>),
        value: impl Display,
    ) {
        self.0.push_str(name);
        let mut labelled = Labelled { out: &mut self.0, open: false };
        labels(&mut labelled);
        if labelled.open {
            self.0.push('}');
        }
        self.push(format_args!(" {value}\n"));
    }

    /// A histogram of one label set: cumulative buckets (upper bound as text, how many in it),
    /// sum and count. The last bucket is the one for everything above.
    pub(super) fn histogram<B: Display>(
        &mut self,
        name: &str,
        labels: impl Fn(&mut Labelled<'_>),
        buckets: impl Iterator<Item = (Option<B>, u64)>,
        sum: impl Display,
    ) {
        // The labels are the same on every line: rendered once.
        let mut common = String::new();
        labels(&mut Labelled { out: &mut common, open: false });
        let comma = if common.is_empty() { "{" } else { "," };
        let mut count: u64 = 0;
        for (bound, n) in buckets {
            count += n;
            match bound {
                Some(bound) => self
                    .push(format_args!("{name}_bucket{common}{comma}le=\"{bound}\"}} {count}\n")),
                None => {
                    self.push(format_args!("{name}_bucket{common}{comma}le=\"+Inf\"}} {count}\n"));
                }
            }
        }
        let close = if common.is_empty() { "" } else { "}" };
        self.push(format_args!("{name}_sum{common}{close} {sum}\n"));
        self.push(format_args!("{name}_count{common}{close} {count}\n"));
    }

    /// The whole text.
    pub(super) fn into_string(self) -> String {
        self.0
    }

    fn push(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.0.write_fmt(text);
    }
}

/// Where labels of one sample go.
#[derive(Debug)]
pub(super) struct Labelled<'a> {
    out: &'a mut String,
    open: bool,
}

impl Labelled<'_> {
    /// One label; the value is escaped.
    pub(super) fn label(&mut self, name: &str, value: impl Display) {
        self.out.push(if self.open { ',' } else { '{' });
        self.open = true;
        self.out.push_str(name);
        self.out.push_str("=\"");
        let _ = write!(Escaped(self.out), "{value}");
        self.out.push('"');
    }
}

struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_and_histograms_look_as_the_format_says() {
        let mut text = Text::default();
        text.family("a_total", Kind::Counter, "As.");
        text.sample("a_total", |_| {}, 3);
        text.sample("a_total", |l| l.label("x", "q\"\\\n"), 0.5);
        text.family("h", Kind::Histogram, "Hs.");
        let buckets = || [(Some(1), 2), (Some(2), 0), (None, 1)].into_iter();
        text.histogram("h", |l| l.label("x", 1), buckets(), 7);
        text.histogram("h", |_| {}, buckets(), 7);
        let golden = "# HELP a_total As.\n# TYPE a_total counter\na_total 3\n\
            a_total{x=\"q\\\"\\\\\\n\"} 0.5\n# HELP h Hs.\n# TYPE h histogram\n\
            h_bucket{x=\"1\",le=\"1\"} 2\nh_bucket{x=\"1\",le=\"2\"} 2\n\
            h_bucket{x=\"1\",le=\"+Inf\"} 3\nh_sum{x=\"1\"} 7\nh_count{x=\"1\"} 3\n\
            h_bucket{le=\"1\"} 2\nh_bucket{le=\"2\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 7\nh_count 3\n";
        assert_eq!(text.into_string(), golden);
    }
}
