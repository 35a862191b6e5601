//! The verdict on one bad-input case: whether what client and upstream saw is one of the outcomes
//! that the case allows.

use crate::meaning::{self, Meaning};
use crate::response::{self, Response};
use crate::strict::{End, Recorded, State};
use crate::text::{brief, latin1};
use crate::vector::Case;

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
    /// The waiting is over: what is still going on may be judged as such.
    pub over: bool,
}

impl Evidence<'_> {
    fn meant(&self) -> Vec<Meaning> {
        if self.case.response { Vec::new() } else { meaning::requests(&self.case.bytes) }
    }

    fn responses(&self) -> Vec<Response> {
        let methods = match self.case.response {
            true => vec![self.case.method.clone()],
            false => self.meant().iter().map(|m| m.start[0].clone()).collect(),
        };
        response::read_all(&self.data, &methods, self.end)
    }

    fn complete(&self) -> Vec<&Recorded> {
        self.upstream.iter().filter(|r| r.state == State::Complete).collect()
    }

    /// What the client saw, in a few words.
    fn seen(&self) -> String {
        let answers: Vec<String> = self.responses().iter().map(|r| r.status.to_string()).collect();
        let end = self.end.map_or("open", |_| "closed");
        if self.data.is_empty() {
            format!("nothing, {end}")
        } else {
            format!("{}, {end}", answers.join(" "))
        }
    }

    /// The reference for a response case.
    #[must_use]
    pub fn reference(&self) -> Option<Meaning> {
        meaning::response(&self.case.bytes, &self.case.method)
    }
}

type Verdict = Result<(), String>;

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(why()) }
}

/// The outcome that holds.
///
/// # Errors
/// Why none of the allowed ones does.
pub fn judge(seen: &Evidence<'_>) -> Result<String, String> {
    let mut first = None;
    for outcome in &seen.case.outcomes {
        match check(seen, outcome).and_then(|()| contents(seen, outcome)) {
            Ok(()) => return Ok(outcome.clone()),
            Err(why) => drop(first.get_or_insert(why)),
        }
    }
    Err(first.unwrap_or_default())
}

fn check(seen: &Evidence<'_>, outcome: &str) -> Verdict {
    if seen.case.response {
        return match outcome {
            "forward" | "forward_normalised" => relayed(seen),
            "bad_gateway_502" | "retry_or_503" => bad_gateway(seen),
            "gateway_timeout_504" => first_status(seen, &[504]),
            "abort_client" => aborted_client(seen),
            "close_pooled" => discarded(seen),
            other => Err(format!("unknown outcome {other}")),
        };
    }
    match outcome {
        "reject_400" | "reject_400_or_501" | "reject_4xx_or_close" | "reject_431" => {
            rejected(seen, outcome)
        }
        "reject_or_normalise" => {
            rejected(seen, outcome).or_else(|why| forwarded(seen, true).map_err(|_| why))
        }
        "forward" => forwarded(seen, false),
        "forward_normalised" => forwarded(seen, true),
        "forward_then_reject" => forwarded_then_rejected(seen),
        "abort_upstream" => aborted_upstream(seen),
        "timeout_close" => timed_out(seen),
        other => Err(format!("unknown outcome {other}")),
    }
}

/// The upstream's half of a refusal: nothing complete, nothing malformed, nothing left hanging.
fn nothing_upstream(seen: &Evidence<'_>) -> Verdict {
    for request in &seen.upstream {
        match request.state {
            State::Complete => return Err(format!("the upstream got {}", request.brief())),
            State::Bad(_) => return Err(format!("malformed bytes upstream: {}", request.brief())),
            State::Partial => return Err(format!("left hanging upstream: {}", request.brief())),
            State::Cut(_) => {}
        }
    }
    Ok(())
}

fn rejected(seen: &Evidence<'_>, outcome: &str) -> Verdict {
    nothing_upstream(seen)?;
    let answers = seen.responses();
    let Some(answer) = answers.first() else {
        let plain = !matches!(outcome, "reject_400" | "reject_or_normalise") && seen.end.is_some();
        return ensure(plain, || format!("client saw {}", seen.seen()));
    };
    if let Some(why) = &answer.bad {
        return Err(format!("malformed answer: {why}"));
    }
    ensure(allowed(seen.case, outcome, answer.status), || format!("answered {}", answer.status))?;
    ensure(answers.len() == 1, || format!("went on after the refusal: {}", seen.seen()))?;
    ensure(answer.local(), || "the refusal came from the upstream".into())?;
    // A well-formed request that is only not supported here may be refused and the connection kept.
    let kept = seen.case.group == "expect-upgrade-hop";
    ensure(seen.end.is_some() || kept, || format!("answered {} and stayed open", answer.status))
}

fn allowed(case: &Case, outcome: &str, status: u16) -> bool {
    let refusal = (400..500).contains(&status) || matches!(status, 501 | 505);
    if outcome != "reject_400" || status == 400 {
        return refusal;
    }
    match case.group.as_str() {
        "host" => false,
        "transfer-encoding" => status == 501,
        "content-length" => status == 413,
        _ => refusal,
    }
}

fn forwarded(seen: &Evidence<'_>, canonical: bool) -> Verdict {
    if seen.over && still_moving(seen) {
        return Ok(());
    }
    let bad = seen.upstream.iter().find(|r| r.state != State::Complete);
    ensure(bad.is_none(), || {
        format!("upstream: {}", bad.map_or_else(String::new, Recorded::brief))
    })?;
    let (meant, done) = (seen.meant(), seen.complete());
    ensure(!done.is_empty(), || format!("not forwarded: client saw {}", seen.seen()))?;
    ensure(done.len() <= meant.len(), || {
        format!("{} requests upstream, {} meant", done.len(), meant.len())
    })?;
    for (want, got) in meant.iter().zip(&done) {
        meaning::same_request(want, got, canonical)
            .map_err(|why| format!("upstream got {}: {why}", got.brief()))?;
    }
    let answers = seen.responses();
    for (i, got) in done.iter().enumerate() {
        let Some(answer) = answers.get(i) else {
            return Err(format!("request {} got no answer", i + 1));
        };
        own_answer(got, answer)?;
    }
    let rest = &answers[done.len()..];
    let refused = matches!(rest, [] | [Response { status: 400.., bad: None, .. }]);
    ensure(refused && rest.iter().all(Response::local), || {
        format!("surplus answers: {}", seen.seen())
    })?;
    ensure(answers.len() >= meant.len() || seen.end.is_some(), || "not all answered".into())?;
    let doubly = meant.iter().take(done.len()).any(|m| m.doubly_framed);
    ensure(!doubly || seen.end.is_some(), || "open after two framings".into())
}

/// A case that takes longer than anyone waits is being forwarded all right.
fn still_moving(seen: &Evidence<'_>) -> bool {
    if seen.end.is_some() {
        return false;
    }
    let reading = seen.case.read_rate > 0
        && b"HTTP/1.1 200".starts_with(&seen.data[..seen.data.len().min(12)]);
    let sending =
        seen.case.pace.is_some() && matches!(&seen.upstream[..], [r] if r.state == State::Partial);
    reading || sending
}

fn own_answer(request: &Recorded, answer: &Response) -> Verdict {
    if let Some(why) = &answer.bad {
        return Err(format!("malformed answer: {why}"));
    }
    ensure(answer.complete, || "the answer is incomplete".into())?;
    let own = answer.origin().is_some_and(|id| id.ends_with(&format!("-{}", request.sequence)));
    ensure(own, || format!("not the answer to its request ({})", answer.status))?;
    let named =
        request.method == "HEAD" || answer.text().contains(&format!(" target={} ", request.target));
    ensure(named, || format!("body {:?}", brief(&answer.text(), 60)))
}

fn forwarded_then_rejected(seen: &Evidence<'_>) -> Verdict {
    let done = seen.complete();
    ensure(done.len() == 1 && seen.upstream.len() == 1, || {
        format!("{} requests upstream", seen.upstream.len())
    })?;
    let answers = seen.responses();
    ensure(answers.len() == 2, || format!("client saw {}", seen.seen()))?;
    own_answer(done[0], &answers[0])?;
    let refused = answers[1].local() && (400..500).contains(&answers[1].status);
    ensure(refused && seen.end.is_some(), || format!("client saw {}", seen.seen()))
}

fn aborted_upstream(seen: &Evidence<'_>) -> Verdict {
    nothing_upstream(seen)?;
    if matches!(seen.case.then.as_str(), "rst" | "close") {
        return Ok(());
    }
    let answers = seen.responses();
    let refused = answers.iter().all(|r| r.bad.is_none() && r.local() && r.status >= 400);
    ensure(refused && seen.end.is_some(), || format!("client saw {}", seen.seen()))
}

fn timed_out(seen: &Evidence<'_>) -> Verdict {
    if seen.case.read_rate == 0 {
        nothing_upstream(seen)?;
        let answers = seen.responses();
        let refused = answers.iter().all(|r| r.bad.is_none() && r.local() && r.status >= 400);
        ensure(refused, || format!("client saw {}", seen.seen()))?;
    }
    ensure(seen.end.is_some(), || "still open".into())
}

fn relayed(seen: &Evidence<'_>) -> Verdict {
    let Some(want) = seen.reference() else {
        return Err(format!("client saw {}", seen.seen()));
    };
    let answers = seen.responses();
    let Some(answer) = answers.first() else {
        return Err(format!("client saw {}", seen.seen()));
    };
    if let Some(why) = &answer.bad {
        return Err(format!("malformed answer: {why}"));
    }
    meaning::same_response(&want, answer)?;
    ensure(answers.len() == 1, || format!("surplus answers: {}", seen.seen()))?;
    let partial = seen
        .upstream
        .iter()
        .any(|r| r.state == State::Partial && seen.ends[r.connection].is_none());
    ensure(!partial, || "an upstream connection is left open with half a request".into())?;
    ensure(want.spoils.is_none() || all_closed(seen), || spoiled(&want))
}

fn spoiled(want: &Meaning) -> String {
    format!("the upstream connection is open after {}", want.spoils.unwrap_or_default())
}

fn all_closed(seen: &Evidence<'_>) -> bool {
    seen.upstream.iter().all(|r| seen.ends[r.connection].is_some())
}

fn first_status(seen: &Evidence<'_>, codes: &[u16]) -> Verdict {
    let answers = seen.responses();
    let right = matches!(&answers[..], [r] if r.complete && r.bad.is_none() && r.local() && codes.contains(&r.status));
    ensure(right, || format!("client saw {}", seen.seen()))
}

fn bad_gateway(seen: &Evidence<'_>) -> Verdict {
    let headless = !seen.case.then.is_empty() && !latin1(&seen.case.bytes).contains("\r\n\r\n");
    first_status(seen, if headless { &[502, 503, 504] } else { &[502] })?;
    ensure(all_closed(seen), || "the upstream connection is open after a broken response".into())
}

fn aborted_client(seen: &Evidence<'_>) -> Verdict {
    if first_status(seen, &[500, 502, 503, 504]).is_ok() {
        return Ok(());
    }
    let answers = seen.responses();
    ensure(seen.end.is_some(), || "the client is left hanging".into())?;
    let honest = answers.first().is_none_or(|r| !r.complete);
    ensure(honest, || format!("delivered as complete: {}", seen.seen()))?;
    ensure(all_closed(seen), || "the upstream connection is open after a broken response".into())
}

fn discarded(seen: &Evidence<'_>) -> Verdict {
    let answers = seen.responses();
    let served = matches!(&answers[..], [r] if r.status == 200 && r.origin().is_some());
    ensure(served, || format!("client saw {}", seen.seen()))?;
    ensure(all_closed(seen), || "the upstream connection was kept".into())
}

/// The case's lists of what must and must not be seen.
fn contents(seen: &Evidence<'_>, outcome: &str) -> Verdict {
    let case = seen.case;
    let upstream: String = seen.upstream.iter().map(|r| latin1(&r.raw)).collect();
    let mut client = latin1(&seen.data);
    client.extend(seen.responses().iter().map(Response::text));
    let done = seen.complete().len();
    let passed = outcome.starts_with("forward") || (outcome.ends_with("normalise") && done > 0);
    let found =
        |list: &[String], text: &str| list.iter().find(|t| text.contains(t.as_str())).cloned();
    let lost =
        |list: &[String], text: &str| list.iter().find(|t| !text.contains(t.as_str())).cloned();
    if let Some(t) = found(&case.upstream_not, &upstream) {
        return Err(format!("the upstream saw {t:?}"));
    }
    if let Some(t) = found(&case.client_not, &client) {
        return Err(format!("the client saw {t:?}"));
    }
    if let Some(t) = lost(&case.upstream_must, &upstream).filter(|_| passed) {
        return Err(format!("the upstream did not see {t:?}"));
    }
    if let Some(t) = lost(&case.client_must, &client).filter(|_| passed) {
        return Err(format!("the client did not see {t:?}"));
    }
    ensure(case.most.is_none_or(|most| done <= most), || format!("{done} requests upstream"))?;
    ensure(!passed || done >= case.fewest, || format!("only {done} requests upstream"))
}
