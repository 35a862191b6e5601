//! The verdict on one HTTP/2 bad-input case: whether what client and upstream saw is one of the
//! outcomes that the case allows.

use super::vector::Case;
use super::wire::{PREFACE, Said};
use crate::response;
use crate::strict::{End, Recorded, State};
use crate::text::{self, latin1};

/// What was seen of a case.
pub struct Evidence<'a> {
    /// The case.
    pub case: &'a Case,
    /// The requests that arrived at the upstream.
    pub upstream: Vec<Recorded>,
    /// How each of the upstream's connections ended.
    pub ends: Vec<Option<End>>,
    /// What the client received.
    pub data: Vec<u8>,
    /// How the client's connection ended.
    pub end: Option<End>,
    /// The waiting is over: what has not happened will not.
    pub over: bool,
}

type Verdict = Result<(), String>;

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(why()) }
}

/// The outcome that holds. A connection error where a stream error would do is allowed
/// (RFC 9113 5.4.1) and called `escalated`.
///
/// # Errors
/// Why none of the allowed ones does.
pub fn judge(seen: &Evidence<'_>) -> Result<String, String> {
    let said = Said::of(&seen.data);
    let mut first = None;
    for outcome in &seen.case.outcomes {
        match check(seen, &said, outcome).and_then(|()| always(seen, outcome)) {
            Ok(()) => return Ok(outcome.clone()),
            Err(why) => drop(first.get_or_insert(why)),
        }
    }
    let milder = seen.case.outcomes.iter().any(|o| o == "stream_error");
    if milder && seen.end.is_some() && !said.goaways.is_empty() {
        nothing_upstream(seen)?;
        return Ok("escalated".into());
    }
    Err(first.unwrap_or_default())
}

fn check(seen: &Evidence<'_>, said: &Said, outcome: &str) -> Verdict {
    let summary = || summary(seen, said);
    match outcome {
        "conn_error" => ensure(seen.end.is_some(), summary).and_then(|()| nothing_upstream(seen)),
        "stream_error" => {
            let reset = said.streams.values().any(|m| m.reset.is_some_and(|code| code != 0));
            ensure(reset && said.goaways.is_empty(), summary)?;
            nothing_upstream(seen)
        }
        "conn_or_stream_error" => {
            check(seen, said, "stream_error").or_else(|_| check(seen, said, "conn_error"))
        }
        "reject_400" | "reject_431" => {
            let refused = |m: &super::wire::Message| {
                m.local() && m.status().is_some_and(|s| (400..500).contains(&s) || s == 501)
            };
            let old = response::read(&seen.data, "GET", seen.end);
            let old = old.is_some_and(|(r, _)| r.local() && (400..506).contains(&r.status));
            ensure(old || said.streams.values().any(refused), summary)?;
            nothing_upstream(seen)
        }
        "limit_enhance_your_calm" => ensure(seen.end.is_some(), summary),
        "forward" | "forward_normalised" => forwarded(seen, said),
        "ignore" => {
            let kept = seen.end.is_none() && said.goaways.is_empty();
            ensure(kept && seen.over, summary)
        }
        "timeout_close" => ensure(seen.end.is_some(), summary),
        "abort_upstream" => aborted_upstream(seen),
        other => Err(format!("unknown outcome {other}")),
    }
}

/// What holds whatever the outcome is.
fn always(seen: &Evidence<'_>, outcome: &str) -> Verdict {
    let raw: String = seen.upstream.iter().map(|r| latin1(&r.raw)).collect();
    for request in &seen.upstream {
        let bad = matches!(request.state, State::Bad(_));
        ensure(!bad, || format!("malformed bytes upstream: {}", request.brief()))?;
    }
    for text in &seen.case.upstream_not {
        ensure(!raw.contains(text), || format!("the upstream got {text:?}"))?;
    }
    if outcome.starts_with("forward") {
        for text in &seen.case.upstream_must {
            ensure(raw.contains(text), || format!("the upstream did not get {text:?}"))?;
        }
    }
    Ok(())
}

/// No complete request, unless it was complete by its head and what is wrong came after it.
fn nothing_upstream(seen: &Evidence<'_>) -> Verdict {
    let late = sent(seen.case).streams.values().any(|m| m.lists.len() > 1 || !m.body.is_empty());
    let whole = seen.upstream.iter().find(|r| {
        let by_head = late && r.length == 0;
        r.state == State::Complete && !by_head && seen.case.group == "header-semantics"
    });
    ensure(whole.is_none(), || {
        format!("the upstream got {}", whole.map_or_else(String::new, Recorded::brief))
    })
}

/// What the case's own bytes say.
fn sent(case: &Case) -> Said {
    let mut bytes = case.bytes.strip_prefix(PREFACE).unwrap_or(&case.bytes).to_vec();
    if let Some(repeat) = case.repeat.as_ref().filter(|repeat| repeat.count <= 100) {
        (0..repeat.count).for_each(|k| bytes.extend(repeat.nth(k)));
    }
    Said::of(&bytes)
}

fn forwarded(seen: &Evidence<'_>, said: &Said) -> Verdict {
    let summary = || summary(seen, said);
    let meant = sent(seen.case);
    let Some((stream, request)) = meant.streams.iter().find(|(_, m)| !m.lists.is_empty()) else {
        // Only the connection was touched; that it still serves is tried afterwards.
        return ensure(seen.end.is_none() && said.goaways.is_empty() && seen.over, summary);
    };
    let field = |name| request.lists.first().and_then(|l| text::value(l, name)).unwrap_or("");
    if seen.case.repeat.is_some() && !request.ended {
        return within_windows(said, *stream, request.body.len() as u64);
    }
    let [got] = &seen.upstream[..] else {
        return Err(format!("{} requests upstream; {}", seen.upstream.len(), summary()));
    };
    ensure(got.state == State::Complete, || format!("upstream: {}", got.brief()))?;
    ensure(got.method == field(":method") && got.target == field(":path"), || {
        format!("upstream got {}", got.brief())
    })?;
    ensure(got.length == request.body.len() as u64, || {
        format!("{} of {} bytes upstream", got.length, request.body.len())
    })?;
    let answer = said.stream(*stream);
    let own = format!(" target={} ", got.target);
    ensure(answer.status() == Some(200) && answer.ended && !answer.local(), summary)?;
    ensure(answer.text().contains(&own), || format!("answered {}", answer.text()))
}

/// DATA without waiting is taken only as far as the windows that were given.
fn within_windows(said: &Said, stream: u32, sent: u64) -> Verdict {
    let first = u64::from(said.window.unwrap_or(65_535));
    let given = |stream| said.windows.get(&stream).copied().unwrap_or(0);
    let windows = (first + given(stream), 65_535 + given(0));
    ensure(windows.0 >= sent && windows.1 >= sent, || {
        format!("{sent} bytes taken with windows of {windows:?}")
    })
}

fn aborted_upstream(seen: &Evidence<'_>) -> Verdict {
    let cut = |r: &Recorded| matches!(r.state, State::Cut(_));
    ensure(!seen.upstream.is_empty() && seen.upstream.iter().all(cut), || {
        format!("upstream: {:?}", seen.upstream.iter().map(Recorded::brief).collect::<Vec<_>>())
    })?;
    let closed = |r: &Recorded| seen.ends.get(r.connection).is_some_and(Option::is_some);
    ensure(seen.upstream.iter().all(closed), || "its connection stays open".into())
}

/// What the client saw, in a few words.
fn summary(seen: &Evidence<'_>, said: &Said) -> String {
    let streams: Vec<String> = said
        .streams
        .iter()
        .take(5)
        .map(|(id, m)| format!("{id}: {:?} reset {:?} ended {}", m.status(), m.reset, m.ended))
        .collect();
    format!("client saw {streams:?}, GOAWAY {:?}, end {:?}", said.goaways, seen.end)
}
