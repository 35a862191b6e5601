//! The two forms of a line. Both start with what Linkerd's access log starts with; the byte
//! counts, times, endpoint and cause follow.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use ringway_core::message::Version;

use super::{Ending, Facts, Spoken, escape};

/// Most bytes of a request-target that go into a line: long enough to be of use, short enough
/// that pending entries stay small. The other texts get [`TEXT_BYTES`].
const TARGET_BYTES: usize = 2048;
const TEXT_BYTES: usize = 256;

/// `client id user [time] "request"`, then, from the returned place on, ` "host" "user-agent"`.
pub(super) fn plain_begin(out: &mut Vec<u8>, facts: &Facts<'_>, wall: SystemTime) -> usize {
    // Writing to a Vec cannot fail, here and below.
    let _ = write!(out, "{} - - [", facts.client);
    timestamp(out, wall);
    out.extend_from_slice(b"] \"");
    escape::plain(out, facts.method, TEXT_BYTES);
    out.push(b' ');
    escape::plain(out, facts.target, TARGET_BYTES);
    let _ = write!(out, " {}\"", protocol(facts.spoken));
    let middle = out.len();
    for text in [facts.host, facts.user_agent] {
        out.extend_from_slice(b" \"");
        escape::plain(out, if text.is_empty() { b"-" } else { text }, TEXT_BYTES);
        out.push(b'"');
    }
    middle
}

/// ` status request-bytes response-bytes total-ns endpoint "host" "user-agent" "cause"`.
pub(super) fn plain_end(
    out: &mut Vec<u8>,
    ending: &Ending,
    endpoint: Option<SocketAddr>,
    second: &[u8],
) {
    let _ = match ending.status {
        Some(status) => write!(out, " {status}"),
        None => write!(out, " -"),
    };
    let _ = write!(out, " {} {} {}", ending.received, ending.sent, ending.total.as_nanos());
    let _ = match endpoint {
        Some(endpoint) => write!(out, " {endpoint}"),
        None => write!(out, " -"),
    };
    out.extend_from_slice(second);
    let cause = ending.fault.map_or("-", |fault| fault.cause.as_str());
    let _ = write!(out, " \"{cause}\"");
}

/// The fields known from the request's head. Returns their end: all others follow.
pub(super) fn json_begin(out: &mut Vec<u8>, facts: &Facts<'_>, wall: SystemTime) -> usize {
    let _ = write!(out, "{{\"client.addr\":\"{}\",\"client.id\":\"-\"", facts.client);
    out.extend_from_slice(b",\"timestamp\":\"");
    timestamp(out, wall);
    out.push(b'"');
    let texts = [
        ("method", facts.method, TEXT_BYTES),
        ("uri", facts.target, TARGET_BYTES),
        ("version", protocol(facts.spoken).as_bytes(), TEXT_BYTES),
        ("host", facts.host, TEXT_BYTES),
        ("user_agent", facts.user_agent, TEXT_BYTES),
        ("trace_id", facts.trace_id, TEXT_BYTES),
    ];
    for (name, text, limit) in texts {
        let _ = write!(out, ",\"{name}\":\"");
        escape::json(out, text, limit);
        out.push(b'"');
    }
    out.len()
}

/// The fields known at the end.
pub(super) fn json_end(out: &mut Vec<u8>, ending: &Ending, endpoint: Option<SocketAddr>) {
    if let Some(status) = ending.status {
        let _ = write!(out, ",\"status\":{status}");
    }
    let (received, sent) = (ending.received, ending.sent);
    let _ = write!(out, ",\"request_bytes\":{received},\"response_bytes\":{sent}");
    let _ = write!(out, ",\"total_ns\":{}", ending.total.as_nanos());
    if let Some(latency) = ending.latency {
        let _ = write!(out, ",\"latency_ns\":{}", latency.as_nanos());
    }
    let _ = write!(out, ",\"attempts\":{}", ending.attempts);
    if let Some(endpoint) = endpoint {
        let _ = write!(out, ",\"endpoint\":\"{endpoint}\"");
    }
    if let Some(fault) = ending.fault {
        // Causes are a fixed set of plain words: nothing to escape.
        let _ = write!(out, ",\"error\":\"{}\"", fault.cause.as_str());
    }
    out.push(b'}');
}

const fn protocol(spoken: Spoken) -> &'static str {
    match spoken {
        Spoken::Http(Version::Http10) => "HTTP/1.0",
        Spoken::Http(Version::Http11) => "HTTP/1.1",
        Spoken::Http(Version::Http2) => "HTTP/2.0",
        Spoken::Tls => "TLS",
        Spoken::Opaque => "TCP",
    }
}

/// RFC 3339 in UTC with microseconds.
fn timestamp(out: &mut Vec<u8>, wall: SystemTime) {
    let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let micros = since.subsec_micros();
    let _ =
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z");
}

/// Year, month and day of a number of days since 1970 in the Gregorian calendar. Years begin in
/// March here, so that the leap day is the last of its year; an era is the 400 years after which
/// the calendar repeats.
fn civil(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    let shifted = days + 719_468;
    let (era, day) = (shifted / ERA, shifted % ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let in_year = day - (365 * year + year / 4 - year / 100);
    let march = (5 * in_year + 2) / 153;
    let in_month = in_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, in_month)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timestamps_know_leap_days_and_centuries() {
        let at = |seconds| {
            let mut out = Vec::new();
            timestamp(&mut out, UNIX_EPOCH + Duration::new(seconds, 1_000));
            String::from_utf8_lossy(&out).into_owned()
        };
        assert_eq!(at(0), "1970-01-01T00:00:00.000001Z");
        assert_eq!(at(951_825_599), "2000-02-29T11:59:59.000001Z");
        assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59.000001Z");
        assert_eq!(at(1_709_251_200), "2024-03-01T00:00:00.000001Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00.000001Z");
    }
}
