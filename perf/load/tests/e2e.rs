//! Both binaries against each other, and against servers that misbehave.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

mod programs;
mod servers;

use programs::{Backend, load};

#[test]
fn a_closed_loop_verifies_every_response() {
    let backend = Backend::start();
    for (path, connections) in [("/64", 16), ("/64k", 4), ("/3m", 2), ("/stream/5/1k", 4)] {
        let done = load(&backend.url(path), &["-t2", "-d1s", "--verify", "--strict"], connections);
        assert_eq!(done.status, 0, "{path}: {}", done.all());
        assert!(done.json["requests"].as_u64() > Some(0), "{path}: {}", done.all());
        assert_eq!(done.json["errors"]["total"], 0, "{path}: {}", done.all());
    }
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let backend = Backend::start();
    let done = load(&backend.url("/64"), &["-t2", "-R500", "-d2s", "-U", "--verify"], 7);
    assert_eq!(done.status, 0, "{}", done.all());
    // What is under way at the end is not counted, and nothing is sent that was not due.
    let requests = done.json["requests"].as_u64().unwrap();
    let left = &done.json["unfinished"];
    let all = requests + left["unsent"].as_u64().unwrap() + left["in_flight"].as_u64().unwrap();
    assert_eq!(all, 1_000, "{}", done.all());
    let counts = ["latency_us", "uncorrected_latency_us"].map(|l| done.json[l]["count"].as_u64());
    assert_eq!(counts, [Some(requests); 2]);
}

#[test]
fn a_coarse_clock_makes_requests_late() {
    let backend = Backend::start();
    let options = ["-t1", "-R100", "-d1s", "--tick", "100ms", "--verify", "--strict"];
    let done = load(&backend.url("/64"), &options, 4);
    assert_eq!(done.status, 0, "{}", done.all());
    // Requests wait for the next tenth of a second: 45 ms in the middle.
    assert!(done.json["latency_us"]["p50"].as_u64() >= Some(40_000), "{}", done.all());
}

#[test]
fn a_slow_server_is_late_for_everybody() {
    let backend = Backend::start();
    // One connection, 100 ms an answer, 20 a second asked: half of them, ever later.
    let done = load(&backend.url("/slow/100/64"), &["-t1", "-R20", "-d2s"], 1);
    let (p50, raw) = (&done.json["latency_us"]["p50"], &done.json["uncorrected_latency_us"]["p50"]);
    assert!(p50.as_u64() > Some(400_000), "{}", done.all());
    assert!(raw.as_u64() < Some(400_000) && raw.as_u64() >= Some(99_000), "{}", done.all());
    assert!(done.json["unfinished"]["unsent"].as_u64() > Some(10), "{}", done.all());
    assert!(done.text.contains("Behind schedule"), "{}", done.all());
}

#[test]
fn uploads_arrive_whole() {
    let backend = Backend::start();
    for more in
        [&["--body-size", "100"][..], &["--body-size", "3m"], &["--body-size", "1m", "--chunked"]]
    {
        for path in ["/echo", "/64"] {
            let options = [&["-t1", "-d1s", "--verify", "--strict"], more].concat();
            let done = load(&backend.url(path), &options, 3);
            assert_eq!(done.status, 0, "{path} {more:?}: {}", done.all());
        }
    }
}

#[test]
fn connections_are_churned() {
    let backend = Backend::start();
    for number in [1, 3] {
        let each = format!("--requests-per-connection={number}");
        let done =
            load(&backend.url("/64"), &["-t1", "-R300", "-d1s", "--verify", "--strict", &each], 4);
        assert_eq!(done.status, 0, "{}", done.all());
        let opened = done.json["connections_reopened"].as_u64().unwrap();
        let wanted = done.json["requests"].as_u64().unwrap() / number;
        assert!(wanted > 4 && opened.abs_diff(wanted) <= 4, "{number}: {}", done.all());
    }
}

#[test]
fn a_mix_asks_for_all_of_it() {
    let backend = Backend::start();
    let file = programs::temporary("mix", "8 GET /64\n1 GET /16k # larger\n1 POST /echo 10k\n");
    let file = file.to_str().unwrap();
    let done =
        load(&backend.url("/"), &["-t1", "-R1k", "-d1s", "--verify", "--strict", "--mix", file], 5);
    assert_eq!(done.status, 0, "{}", done.all());
    // Only the 16k answers can make the mean this large, and only others this small.
    let mean = done.json["bytes"].as_u64().unwrap() / done.json["requests"].as_u64().unwrap();
    assert!((900..3_500).contains(&mean), "{mean}: {}", done.all());
}

#[test]
fn a_corrupted_body_is_caught() {
    let server = servers::corrupting();
    let done = load(&server.url(), &["-t1", "-d1s", "--verify"], 2);
    assert_eq!(done.status, 1, "{}", done.all());
    let wrong = done.json["errors"]["verify"].as_u64();
    assert!(wrong > Some(0) && wrong < done.json["requests"].as_u64(), "{}", done.all());
    assert!(done.error.contains("x-body-hash is"), "{}", done.all());
    let done = load(&server.url(), &["-t1", "-d1s", "--strict"], 2);
    assert_eq!(done.status, 0, "without --verify nobody looks: {}", done.all());
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let server = servers::silent();
    let began = std::time::Instant::now();
    let options = ["-t1", "-R50", "-d2s", "--timeout", "300ms", "--strict"];
    let done = load(&server.url(), &options, 3);
    assert!(began.elapsed().as_secs() < 20);
    assert_eq!(done.status, 1, "{}", done.all());
    assert_eq!(done.json["requests"], 0);
    assert!(done.json["errors"]["timeout"].as_u64() >= Some(3), "{}", done.all());
}

#[test]
fn each_kind_of_error_is_counted_as_what_it_is() {
    let server = servers::breaking();
    let done = load(&server.url(), &["-t1", "-d1s"], 1);
    assert!(done.json["errors"]["read"].as_u64() > Some(0), "{}", done.all());
    assert_eq!(done.json["errors"]["total"], done.json["errors"]["read"], "{}", done.all());

    let backend = Backend::start();
    let done = load(&backend.url("/nothing"), &["-t1", "-d1s"], 2);
    assert_eq!(done.json["errors"]["status"], done.json["errors"]["total"], "{}", done.all());
    assert!(done.text.contains("Non-2xx or 3xx responses"), "{}", done.all());
    assert_eq!(done.status, 0, "without --strict a response is a response: {}", done.all());

    let url = backend.url("/64");
    drop(backend);
    let done = load(&url, &["-t1", "-d1s"], 2);
    assert_eq!(done.status, 1, "{}", done.all());
    assert!(done.error.contains("unable to connect"), "{}", done.all());
}

#[test]
fn a_server_that_goes_away_is_waited_for() {
    let backend = Backend::start();
    let url = backend.url("/64");
    let end = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        drop(backend);
    });
    let done = load(&url, &["-t1", "-R200", "-d1500ms"], 2);
    end.join().unwrap();
    assert!(done.json["requests"].as_u64() > Some(0), "{}", done.all());
    assert!(done.json["errors"]["connect"].as_u64() > Some(1), "{}", done.all());
    // Ten tries a second and connection, not thousands.
    assert!(done.json["errors"]["connect"].as_u64() < Some(60), "{}", done.all());
}

#[test]
fn warm_up_does_not_count() {
    let backend = Backend::start();
    let done = load(&backend.url("/64"), &["-t1", "-R100", "--warmup", "1s", "-d1s"], 1);
    let requests = done.json["requests"].as_u64();
    assert!(requests < Some(150) && requests > Some(0), "{}", done.all());
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
