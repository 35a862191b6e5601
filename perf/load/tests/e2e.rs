//! Both binaries against each other, and against servers that misbehave.
//!
//! Nothing here depends on how fast the machine is: what is expected follows from the schedule
//! and from counts, and where something has to have happened, runs get longer until it has.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

mod programs;
mod servers;

use programs::{Backend, Done, load, patiently};

/// Runs until there are responses.
fn answered(url: &str, options: &[&str], connections: usize) -> Done {
    patiently(|seconds| load(url, options, connections, seconds), |done| done.requests() > 0)
}

#[test]
fn a_closed_loop_verifies_every_response() {
    let backend = Backend::start();
    for (path, connections) in [("/64", 16), ("/64k", 4), ("/3m", 2), ("/stream/5/1k", 4)] {
        let done = answered(&backend.url(path), &["-t2", "--verify", "--strict"], connections);
        assert_eq!(done.status, 0, "{path}: {}", done.all());
        assert_eq!(done.json["errors"]["total"], 0, "{path}: {}", done.all());
    }
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let backend = Backend::start();
    let options = ["-t2", "-R500", "-U", "--verify", "--strict"];
    let done = answered(&backend.url("/64"), &options, 7);
    assert_eq!(done.status, 0, "{}", done.all());
    // Nothing is sent that was not due, and nothing that was due is forgotten.
    assert_eq!(done.due(), 500 * done.seconds, "{}", done.all());
    let counts = ["latency_us", "uncorrected_latency_us"].map(|l| done.json[l]["count"].as_u64());
    assert_eq!(counts, [Some(done.requests()); 2]);
}

#[test]
fn a_coarse_clock_makes_requests_late() {
    let backend = Backend::start();
    let options = ["-t1", "-R100", "--tick", "100ms", "--verify", "--strict"];
    let run = |seconds| load(&backend.url("/64"), &options, 4, seconds);
    let done = patiently(run, |done| done.requests() >= 20);
    assert_eq!(done.status, 0, "{}", done.all());
    // What is due just after a tenth of a second waits for the next one: 90 ms.
    assert!(done.number("/latency_us/max") >= 80_000, "{}", done.all());
}

#[test]
fn a_slow_server_is_late_for_everybody() {
    let backend = Backend::start();
    // One connection, 100 ms an answer at least, 20 a second asked: half of them, ever later.
    let run = |seconds| load(&backend.url("/slow/100/64"), &["-t1", "-R20"], 1, seconds);
    let done = patiently(run, |done| done.requests() >= 4);
    // Answer n cannot come before 100·n ms, and was due at 50·(n - 1): the middle one as well.
    let middle = 1_000 * (50 * done.requests().div_ceil(2) + 50);
    assert!(done.number("/latency_us/p50") >= middle * 99 / 100, "{}", done.all());
    assert!(done.number("/uncorrected_latency_us/min") >= 99_000, "{}", done.all());
    // Request n cannot leave before 100·(n - 1) ms: 50·(n - 1) late, which only one of both shows.
    let means = ["latency_us", "uncorrected_latency_us"].map(|l| done.json[l]["mean"].as_f64());
    let late = 1_000.0 * 25.0 * (done.requests() - 1) as f64;
    assert!(means[0].unwrap() - means[1].unwrap() >= late * 0.99, "{}", done.all());
    assert_eq!(done.due(), 20 * done.seconds, "{}", done.all());
    assert!(done.number("/unfinished/unsent") >= done.due() / 2 - 1, "{}", done.all());
    assert!(done.text.contains("Behind schedule"), "{}", done.all());
}

#[test]
fn uploads_arrive_whole() {
    let backend = Backend::start();
    for more in
        [&["--body-size", "100"][..], &["--body-size", "3m"], &["--body-size", "1m", "--chunked"]]
    {
        for path in ["/echo", "/64"] {
            let options = [&["-t1", "--verify", "--strict"], more].concat();
            let done = answered(&backend.url(path), &options, 3);
            assert_eq!(done.status, 0, "{path} {more:?}: {}", done.all());
        }
    }
}

#[test]
fn streams_verify_every_response() {
    let backend = Backend::start();
    for (path, connections, streams) in
        [("/64", 16, "-m10"), ("/64", 1, "-m100"), ("/64k", 4, "-m3"), ("/3m", 2, "-m2")]
    {
        let options = ["-t1", streams, "--verify", "--strict"];
        let done = answered(&backend.url(path), &options, connections);
        assert_eq!(done.status, 0, "{path}: {}", done.all());
        assert_eq!(done.json["errors"]["total"], 0, "{path}: {}", done.all());
    }
}

#[test]
fn uploads_and_calls_arrive_whole_over_streams() {
    let backend = Backend::start();
    for (path, more) in [
        ("/echo", &["--body-size", "3m"][..]),
        ("/64", &["--body-size", "100"]),
        ("/stream/5/1k", &[]),
        ("/load.Bytes/64", &["--grpc"]),
        ("/load.Bytes/100k", &["--grpc", "--body-size", "100k"]),
    ] {
        let options = [&["-t2", "-m5", "--verify", "--strict"], more].concat();
        let done = answered(&backend.url(path), &options, 3);
        assert_eq!(done.status, 0, "{path}: {}", done.all());
    }
    // No call: a status of HTTP alone is none of gRPC.
    let done = answered(&backend.url("/nothing"), &["-t1", "-m2", "--grpc"], 1);
    assert_eq!(done.json["errors"]["total"], done.json["errors"]["status"], "{}", done.all());
}

#[test]
fn streams_keep_a_rate_and_take_turns() {
    let backend = Backend::start();
    let options = ["-t2", "-m3", "-R500", "-U", "--verify", "--strict"];
    let done = answered(&backend.url("/64"), &options, 7);
    assert_eq!(done.status, 0, "{}", done.all());
    assert_eq!(done.due(), 500 * done.seconds, "{}", done.all());
    // Twenty a second are asked of two streams that can give ten each, and all but in time.
    let slow = |seconds| load(&backend.url("/slow/90/64"), &["-t1", "-m2", "-R20"], 1, seconds);
    let done = patiently(slow, |done| done.requests() >= 10);
    assert!(done.number("/uncorrected_latency_us/min") >= 89_000, "{}", done.all());
}

#[test]
fn what_fails_over_streams_is_counted() {
    // They speak HTTP/1.1 or nothing at all.
    for server in [servers::silent(), servers::breaking()] {
        let options = ["-t1", "-m3", "--timeout", "300ms", "--strict"];
        let run = |seconds| load(&server.url(), &options, 2, seconds);
        let done = patiently(run, |done| done.number("/errors/connect") > 0);
        assert_eq!((done.status, done.requests()), (1, 0), "{}", done.all());
        assert!(done.number("/errors/connect") > 0, "{}", done.all());
    }
    let backend = Backend::start();
    let options = ["-t1", "-m4", "--timeout", "200ms"];
    let run = |seconds| load(&backend.url("/slow/60000/64"), &options, 1, seconds);
    let done = patiently(run, |done| done.number("/errors/timeout") >= 4);
    assert!(done.number("/errors/timeout") >= 4, "{}", done.all());
    let done = load(&backend.url("/64"), &["-t1", "-m5000"], 1, 1);
    assert!(done.error.contains("allows 4096 streams"), "{}", done.all());
}

#[test]
fn connections_are_churned() {
    let backend = Backend::start();
    let connections = 4;
    for number in [1, 3] {
        let each = format!("--requests-per-connection={number}");
        let options = ["-t1", "-R300", "--verify", "--strict", &each];
        let run = |seconds| load(&backend.url("/64"), &options, connections, seconds);
        let done = patiently(run, |done| done.requests() >= 20);
        assert_eq!(done.status, 0, "{number}: {}", done.all());
        let served = number * done.number("/connections_reopened");
        // Each socket that was replaced has had all its requests, one perhaps after the end; each
        // that is there has had no more than all.
        let (requests, slots) = (done.requests(), connections as u64);
        assert!(served <= requests + slots, "{number}: {}", done.all());
        assert!(requests <= served + slots * number, "{number}: {}", done.all());
    }
}

#[test]
fn a_mix_asks_for_all_of_it() {
    let backend = Backend::start();
    let file = programs::temporary("mix", "8 GET /64\n1 GET /16k # larger\n1 POST /echo 10k\n");
    let options = ["-t1", "-R1k", "--verify", "--strict", "--mix", file.to_str().unwrap()];
    let run = |seconds| load(&backend.url("/"), &options, 5, seconds);
    let done = patiently(run, |done| done.requests() >= 300);
    assert_eq!(done.status, 0, "{}", done.all());
    // Only the 16k answers can make the mean this large, and only others this small.
    let mean = done.number("/bytes") / done.requests();
    assert!((900..3_500).contains(&mean), "{mean}: {}", done.all());
}

#[test]
fn a_corrupted_body_is_caught() {
    let server = servers::corrupting();
    let run = |seconds| load(&server.url(), &["-t1", "--verify"], 2, seconds);
    let wrong = |done: &Done| done.number("/errors/verify");
    let done = patiently(run, |done| wrong(done) > 0 && wrong(done) < done.requests());
    assert_eq!(done.status, 1, "{}", done.all());
    assert!(wrong(&done) > 0 && wrong(&done) < done.requests(), "{}", done.all());
    assert!(done.error.contains("x-body-hash is"), "{}", done.all());
    let done = answered(&server.url(), &["-t1", "--strict"], 2);
    assert_eq!(done.status, 0, "without --verify nobody looks: {}", done.all());
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let server = servers::silent();
    let options = ["-t1", "-R50", "--timeout", "300ms", "--strict"];
    let run = |seconds| load(&server.url(), &options, 3, seconds);
    let done = patiently(run, |done| done.number("/errors/timeout") >= 3);
    assert_eq!(done.status, 1, "{}", done.all());
    assert_eq!(done.json["requests"], 0);
    assert!(done.number("/errors/timeout") >= 3, "{}", done.all());
}

#[test]
fn each_kind_of_error_is_counted_as_what_it_is() {
    let server = servers::breaking();
    let run = |seconds| load(&server.url(), &["-t1"], 1, seconds);
    let done = patiently(run, |done| done.number("/errors/read") > 0);
    assert!(done.number("/errors/read") > 0, "{}", done.all());
    assert_eq!(done.json["errors"]["total"], done.json["errors"]["read"], "{}", done.all());

    let backend = Backend::start();
    let done = answered(&backend.url("/nothing"), &["-t1"], 2);
    assert_eq!(done.json["errors"]["status"], done.json["errors"]["total"], "{}", done.all());
    assert!(done.text.contains("Non-2xx or 3xx responses"), "{}", done.all());
    assert_eq!(done.status, 0, "without --strict a response is a response: {}", done.all());

    let done = load(&servers::gone().url(), &["-t1"], 2, 1);
    assert_eq!(done.status, 1, "{}", done.all());
    assert!(done.error.contains("unable to connect"), "{}", done.all());
}

#[test]
fn a_server_that_goes_away_is_waited_for() {
    let refused = |done: &Done| done.number("/errors/connect");
    let run = |seconds| load(&servers::leaving(5).url(), &["-t1", "-R200"], 2, seconds);
    let done = patiently(run, |done| done.requests() > 0 && refused(done) > 1);
    assert!(done.requests() > 0 && done.requests() <= 5, "{}", done.all());
    // Ten tries a second and connection, not thousands; and those at the beginning.
    let tries = 2 * (10 * done.seconds + 2);
    assert!(refused(&done) > 1 && refused(&done) <= tries, "{}", done.all());
}

#[test]
fn warm_up_does_not_count() {
    let backend = Backend::start();
    let run = |seconds| {
        let warmup = format!("{seconds}s");
        load(&backend.url("/64"), &["-t1", "-R100", "--warmup", &warmup], 1, seconds)
    };
    let due = |done: &Done| 2 * 100 * done.seconds;
    let done = patiently(run, |done| done.requests() > 0 && done.due() < due(done));
    // Some of what was due in both parts was answered in the first one.
    assert!(done.requests() > 0 && done.due() < due(&done), "{}", done.all());
    assert_eq!(done.status, 0, "{}", done.all());
}

#[test]
fn the_command_line_is_checked() {
    for (options, said) in [
        (&["-s", "x.lua"][..], "scripts are not supported"),
        (&["--mix", "/nonexistent"], "--mix /nonexistent"),
        (&["-c1", "-t2"], "connections must be >= threads"),
    ] {
        let done = programs::refused(options);
        assert_eq!((done.status, done.error.contains(said)), (2, true), "{}", done.all());
    }
}

#[test]
fn the_backend_takes_pipelined_requests_in_order() {
    let backend = Backend::start();
    let ask = "GET /3 HTTP/1.1\r\n\r\nGET /slow/20/4 HTTP/1.1\r\n\r\nPOST /5 HTTP/1.1\r\n\
        Content-Length: 2\r\n\r\nabGET /stream/2/1 HTTP/1.1\r\nConnection: close\r\n\r\n";
    for step in [1, 7, ask.len()] {
        let answer = backend.talk(ask.as_bytes(), step);
        let lengths: Vec<&str> =
            answer.lines().filter_map(|l| l.strip_prefix("content-length: ")).collect();
        assert_eq!(lengths, ["3", "4", "5"], "in steps of {step}: {answer}");
        assert!(answer.ends_with("1\r\nh\r\n1\r\nh\r\n0\r\n\r\n"), "{answer}");
    }
    assert!(backend.talk(b"nonsense\r\n\r\n", 100).starts_with("HTTP/1.1 400 "));
}

#[test]
fn the_backend_ends_cleanly() {
    for signal in ["-TERM", "-INT"] {
        assert_eq!(Backend::start().end(signal), Some(0), "{signal}");
    }
}
