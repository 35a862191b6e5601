//! The admin server over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::Mutex;

use super::*;

#[derive(Debug, Default)]
struct Fake {
    ready: AtomicBool,
    level: Mutex<String>,
    metrics: String,
}

impl State for Fake {
    fn ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
    fn config_json(&self) -> String {
        String::from("{\"workers\":{}}")
    }
    fn discovery_json(&self) -> String {
        String::from("{}")
    }

    fn endpoints_json(&self) -> String {
        String::from("[]")
    }
    fn metrics_text(&self) -> String {
        self.metrics.clone()
    }
    fn log_level(&self) -> Option<String> {
        Some(self.level.lock().unwrap().clone())
    }
    fn set_log_level(&self, level: &str) -> Result<(), String> {
        if level == "bad" {
            return Err(String::from("no level"));
        }
        *self.level.lock().unwrap() = String::from(level);
        Ok(())
    }
}

fn served(fake: Fake) -> (Admin, Arc<Fake>) {
    let state = Arc::new(fake);
    let admin = start("127.0.0.1:0".parse().unwrap(), Arc::<Fake>::clone(&state)).unwrap();
    (admin, state)
}

fn connected(admin: &Admin) -> TcpStream {
    let stream = TcpStream::connect(admin.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn exchange(admin: &Admin, request: &str) -> String {
    let mut stream = connected(admin);
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn ask(admin: &Admin, line: &str) -> String {
    exchange(admin, &format!("{line} HTTP/1.1\r\nHost: admin\r\n\r\n"))
}

#[test]
fn pages_answer() {
    let (admin, state) = served(Fake { metrics: String::from("a_total 1\n"), ..Fake::default() });
    let live = ask(&admin, "GET /live?x=1");
    assert!(live.starts_with("HTTP/1.1 200 OK\r\n") && live.ends_with("\r\n\r\nlive\n"), "{live}");
    assert!(live.contains("content-length: 5\r\n") && live.contains("connection: close\r\n"));
    assert!(ask(&admin, "GET /ready").starts_with("HTTP/1.1 503 "));
    assert!(ask(&admin, "GET /ready").ends_with("\r\n\r\nnot ready\n"));
    state.ready.store(true, Ordering::Relaxed);
    assert!(ask(&admin, "GET /ready").ends_with("\r\n\r\nready\n"));
    let metrics = ask(&admin, "GET /metrics");
    assert!(metrics.contains("content-type: text/plain; version=0.0.4"), "{metrics}");
    assert!(metrics.ends_with("a_total 1\n"), "{metrics}");
    assert!(ask(&admin, "GET /config").ends_with("{\"workers\":{}}"));
    assert!(ask(&admin, "GET /endpoints").contains("content-type: application/json\r\n"));
    assert!(ask(&admin, "GET /").contains("/metrics "));
    let absolute = ask(&admin, "GET http://admin/live");
    assert!(absolute.ends_with("live\n"), "{absolute}");
}

#[test]
fn head_has_the_length_and_no_content() {
    let (admin, _) = served(Fake::default());
    let head = ask(&admin, "HEAD /live");
    assert!(head.contains("content-length: 5\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn what_is_wrong_is_refused() {
    let (admin, _) = served(Fake::default());
    assert!(ask(&admin, "GET /nowhere").starts_with("HTTP/1.1 404 "));
    let wrong = ask(&admin, "DELETE /live");
    assert!(
        wrong.starts_with("HTTP/1.1 405 ") && wrong.contains("allow: GET, HEAD\r\n"),
        "{wrong}"
    );
    assert!(exchange(&admin, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let no_host = exchange(&admin, "GET /live HTTP/1.1\r\n\r\n");
    assert!(no_host.starts_with("HTTP/1.1 400 "), "{no_host}");
    let long = format!("GET /live HTTP/1.1\r\nHost: a\r\nX: {}", "y".repeat(REQUEST_BYTES));
    assert!(exchange(&admin, &long).starts_with("HTTP/1.1 4"));
}

#[test]
fn the_log_level_is_read_and_changed() {
    let (admin, _) = served(Fake::default());
    let put = |level: &str| {
        let length = level.len();
        let head = "PUT /proxy-log-level HTTP/1.1\r\nHost: a\r\nContent-Length:";
        exchange(&admin, &format!("{head} {length}\r\n\r\n{level}"))
    };
    assert!(put("debug\n").starts_with("HTTP/1.1 204 "));
    assert!(ask(&admin, "GET /proxy-log-level").ends_with("\r\n\r\ndebug\n"));
    assert!(put("bad").ends_with("no level\n"));
    assert!(ask(&admin, "PUT /live").starts_with("HTTP/1.1 405 "));
}

#[test]
fn slow_clients_hold_up_nobody_until_all_places_are_taken() {
    let (admin, _) = served(Fake::default());
    let mut slow: Vec<TcpStream> = Vec::new();
    for _ in 1..CONNECTIONS {
        let mut stream = connected(&admin);
        stream.write_all(b"GET /li").unwrap();
        slow.push(stream);
    }
    assert!(ask(&admin, "GET /live").ends_with("live\n"));
    // One more slow one may find the last place still lingering: ask until it is taken.
    let full = (0..200).any(|_| {
        let mut stream = connected(&admin);
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut text = String::new();
        let refused = stream.read_to_string(&mut text).is_ok() && text.contains(" 503 ");
        slow.push(stream);
        refused
    });
    assert!(full);
    // A slow one that goes on is still answered.
    let mut first = slow.swap_remove(0);
    first.write_all(b"ve HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut text = String::new();
    first.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("live\n"), "{text}");
}

#[test]
fn a_dropped_server_gives_its_port_back() {
    let (admin, _) = served(Fake::default());
    let address = admin.address();
    drop(admin);
    let free = (0..500).any(|_| {
        thread::yield_now();
        TcpListener::bind(address).is_ok() || {
            thread::sleep(Duration::from_millis(5));
            false
        }
    });
    assert!(free);
}
