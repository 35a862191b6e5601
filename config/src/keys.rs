//! The table of all keys: meaning, form, default, and the reason for the default.

use crate::http2;
use crate::kubernetes;
use crate::ports::Ports;
use crate::scalar::Scalar;
use crate::service::{BALANCERS, PROTOCOLS};
use crate::shape::Preset::{Absent, Depends, Required, Value};
use crate::shape::{Key, Preset, Shape};

pub(crate) const fn key(
    name: &'static str,
    shape: Shape,
    preset: Preset,
    about: &'static str,
    reason: &'static str,
) -> Key {
    Key { name, shape, preset, about, reason }
}

pub(crate) const fn number(least: u64, most: u64) -> Scalar {
    Scalar::Number { least, most }
}

pub(crate) const fn bytes(least: u64, most: u64) -> Shape {
    Shape::of(Scalar::Bytes { least, most })
}

/// A duration that is not zero.
const DURATION: Scalar = Scalar::Duration { least: 1 };
const TIMEOUT: Shape = Shape::of(DURATION);
const TIMEOUT_OR_OFF: Shape = Shape::or(DURATION, &["off"]);
pub(crate) const MANY: u64 = u32::MAX as u64;

/// The whole file.
pub(crate) static ROOT: Shape = Shape::Map(&[
    key("workers", Shape::Map(WORKERS), Absent, "The event loops, one thread each.", ""),
    key("listeners", Shape::List(&LISTENER), Required, "Where connections are accepted.", ""),
    key(
        "admin",
        Shape::Map(ADMIN),
        Absent,
        "The admin server: `/live`, `/ready`, `/metrics`, `/config`, `/endpoints`, `/discovery`.",
        "",
    ),
    key(
        "services",
        Shape::Names(&SERVICE),
        Absent,
        "Services by name; short form: a list of `host:port`.",
        "",
    ),
    key(
        "discovery",
        Shape::Map(DISCOVERY),
        Absent,
        "Where other services and routes come from.",
        "",
    ),
    key("timeouts", Shape::Map(TIMEOUTS), Absent, "How long to wait for what.", ""),
    key("limits", Shape::Map(LIMITS), Absent, "How much of what.", ""),
    key("http2", Shape::Map(http2::KEYS), Absent, "What one HTTP/2 connection may cost.", ""),
    key("shutdown", Shape::Map(SHUTDOWN), Absent, "The end of the process.", ""),
    key("access_log", Shape::Map(ACCESS_LOG), Absent, "One line for each exchange.", ""),
    key("log", Shape::Map(LOG), Absent, "The program's own log, on standard error.", ""),
]);

const WORKERS: &[Key] = &[
    key(
        "count",
        Shape::or(number(1, 1024), &["auto"]),
        Value("auto"),
        "How many event loops.",
        "`auto` is one for each usable core (affinity mask, cpuset and CPU quota): more would only take turns on the same cores.",
    ),
    key(
        "pin",
        Shape::of(Scalar::Choice(&["auto", "always", "never"])),
        Value("auto"),
        "Whether each loop is bound to one core.",
        "`auto` pins where the cores are the process's own; on shared or throttled cores a pinned loop would wait for its core while others are free.",
    ),
    key(
        "driver",
        Shape::of(Scalar::Choice(&["auto", "uring", "epoll"])),
        Value("auto"),
        "How loops wait for sockets; the variable `RINGWAY_DRIVER` overrides it.",
        "`auto` takes io_uring, which costs less CPU per request, and epoll where the kernel or its seccomp profile denies it.",
    ),
];

static LISTENER: Shape = Shape::Map(&[
    key(
        "name",
        Shape::of(Scalar::Name),
        Required,
        "Unique; labels metrics and is what routes attach to.",
        "",
    ),
    key(
        "address",
        Shape::of(Scalar::Listen),
        Required,
        "IP address and port to accept on; unique. Port 0 lets the kernel choose.",
        "",
    ),
    key(
        "kind",
        Shape::of(Scalar::Choice(&["gateway", "outbound", "inbound"])),
        Value("gateway"),
        "`gateway`: a reverse proxy. `outbound`: from the local application, by Host or absolute-form. `inbound`: to the local application.",
        "A reverse proxy is what a file without a mesh around it asks for.",
    ),
    key(
        "service",
        Shape::of(Scalar::Name),
        Absent,
        "Gateway only: the service for requests that match no route, and for opaque connections; from `services` or, where there are some, from the manifests.",
        "Without it they get 404: traffic goes nowhere by accident.",
    ),
    key(
        "target",
        Shape::of(Scalar::Connect),
        Absent,
        "Inbound only, and required there: the local application.",
        "",
    ),
    key(
        "protocol",
        Shape::of(Scalar::Choice(&["detect", "http", "http2", "opaque"])),
        Depends("`http` for a gateway, else `detect`"),
        "`detect`: a connection's first bytes decide between HTTP/1, HTTP/2 and opaque. `http`: what is neither is malformed HTTP/1, and answered so. `http2`: what does not begin with the preface of HTTP/2 is closed (RFC 9113 3.4). `opaque`: bytes are passed on as they come, to `service` or `target`. Unless it is `opaque`, a service's `appProtocol` and `config.linkerd.io/opaque-ports` count before it.",
        "As Linkerd has it between applications; a reverse proxy is for HTTP, and a clear 400 helps more there than a guess. On a listener whose opaque connections have nowhere to go (outbound, or a gateway without `service`), `detect` is `http`.",
    ),
    key(
        "opaque_ports",
        Shape::or(Scalar::Ports, &["off"]),
        Value(Ports::OPAQUE),
        "Where the protocol is detected: connections are opaque at once when one of these is the listener's own port, its service's or its target's.",
        "Linkerd's: there the server speaks first, or what is spoken is known not to be HTTP, and the server's greeting is not to wait for the end of detection.",
    ),
    key(
        "peers",
        Shape::or(Scalar::Networks, &["off"]),
        Depends("the private networks and this host for an inbound listener, else `off`"),
        "Networks whose HTTP/2 connections are those of other ringways (or Linkerd proxies), each with the requests of many clients: they get `http2.peer_streams` and `http2.peer_window`, and what they say of the HTTP/1.1 message that they carry is believed.",
        "Linkerd's `clusterNetworks`. What is believed is the version of a request and nothing that matters for security; but one that has room for many clients can also be a bigger burden.",
    ),
    key(
        "allow_connect",
        Shape::of(Scalar::Bool),
        Value("false"),
        "Whether CONNECT opens a tunnel.",
        "An open CONNECT lets any client reach whatever the proxy reaches; refused with 405 unless wanted.",
    ),
    key(
        "forwarded",
        Shape::of(Scalar::Choice(&["off", "x-forwarded", "rfc7239"])),
        Depends("`x-forwarded` for a gateway, else `off`"),
        "How the client's address, scheme and host are made known upstream.",
        "Behind a gateway the client would be lost; between sidecars the application's own fields stay as they are. `x-forwarded-*` is what most applications read.",
    ),
    key(
        "via",
        Shape::of(Scalar::Bool),
        Value("true"),
        "Whether `via: 1.1 ringway` is appended.",
        "RFC 9110 section 7.6.3 asks it of every proxy, and it is how loops are found.",
    ),
]);

const ADMIN: &[Key] = &[key(
    "address",
    Shape::or(Scalar::Listen, &["off"]),
    Value("127.0.0.1:4191"),
    "IP address and port of the admin server.",
    "Linkerd's port; only this host, because it shows the configuration.",
)];

static SERVICE: Shape = Shape::Either {
    short: &Shape::List(&ENDPOINT),
    long: &Shape::Map(&[
        key(
            "port",
            Shape::of(number(1, 65535)),
            Value("80"),
            "The port by which clients name the service.",
            "HTTP's (RFC 9110 section 4.2.1).",
        ),
        key(
            "endpoints",
            Shape::List(&ENDPOINT),
            Required,
            "Where the service runs: `host:port`, or `address` with `weight`.",
            "",
        ),
        key(
            "balancer",
            Shape::of(Scalar::Choice(&BALANCERS)),
            Value("peak-ewma"),
            "How an endpoint is chosen.",
            "Linkerd's: power of two choices on peak-EWMA latency and outstanding requests moves traffic away from slow endpoints by itself.",
        ),
        key(
            "protocol",
            Shape::of(Scalar::Choice(&PROTOCOLS)),
            Value("http1"),
            "What its endpoints speak: HTTP/1.1, or HTTP/2 with prior knowledge (`appProtocol: kubernetes.io/h2c`).",
            "Every server speaks HTTP/1.1; gRPC needs `h2c`.",
        ),
        key(
            "meshed",
            Shape::of(Scalar::Bool),
            Value("false"),
            "Whether ringways (or Linkerd proxies) stand before its endpoints: HTTP/1.1 is then carried to them over one HTTP/2 connection for each worker and endpoint; upgrades go over HTTP/1.1. In manifests: annotation `ringway.io/meshed` of a Service or EndpointSlice.",
            "Only what is known to understand it may be sent it; their listener has to count this proxy among its `peers`.",
        ),
        key(
            "connect_timeout",
            TIMEOUT,
            Depends("`timeouts.connect`"),
            "Time for a TCP connect to an endpoint.",
            "Few services need their own.",
        ),
    ]),
};

static ENDPOINT: Shape = Shape::Either {
    short: &Shape::of(Scalar::HostPort),
    long: &Shape::Map(&[
        key(
            "address",
            Shape::of(Scalar::HostPort),
            Required,
            "`host:port`; a DNS name stands for all its addresses.",
            "",
        ),
        key(
            "weight",
            Shape::of(number(0, 1_000_000)),
            Value("1"),
            "Share relative to the other endpoints; 0 gets no traffic.",
            "Endpoints are alike unless said otherwise.",
        ),
    ]),
};

const DISCOVERY: &[Key] = &[
    key(
        "manifests",
        Shape::of(Scalar::Directory),
        Absent,
        "A watched directory of Kubernetes manifests (Service, EndpointSlice, HTTPRoute, GRPCRoute, TLSRoute, TCPRoute, BackendTLSPolicy, XBackendTrafficPolicy), relative to this file.",
        "Without it `services` is all there is.",
    ),
    key(
        "namespace",
        Shape::of(Scalar::Name),
        Value("default"),
        "The namespace of manifests that name none.",
        "What kubectl applies them to.",
    ),
    key(
        "zone",
        Shape::of(Scalar::Place),
        Absent,
        "The zone that ringway is in, for the topology hints of endpoints; the variable `RINGWAY_ZONE` overrides it.",
        "Without it, hints of zones have no effect.",
    ),
    key(
        "node",
        Shape::of(Scalar::Place),
        Absent,
        "The node that ringway is on, for topology hints and `internalTrafficPolicy: Local`; the variable `RINGWAY_NODE`, meant for the downward API, overrides it.",
        "Without it, neither has an effect.",
    ),
    key(
        "kubernetes",
        Shape::Map(kubernetes::KEYS),
        Absent,
        "The Kubernetes API server; `kubernetes: {}` is enough to use it.",
        "",
    ),
    key("dns", Shape::Map(DNS), Absent, "When DNS names of endpoints are resolved again.", ""),
];

const DNS: &[Key] = &[
    key(
        "min_ttl",
        TIMEOUT,
        Value("1s"),
        "A shorter TTL counts as this.",
        "Servers that answer with TTL 0 would be asked without pause.",
    ),
    key(
        "max_ttl",
        TIMEOUT,
        Value("5m"),
        "A longer TTL counts as this.",
        "A TTL of a day would keep traffic on moved endpoints for a day.",
    ),
];

const TIMEOUTS: &[Key] = &[
    key(
        "head",
        TIMEOUT,
        Value("10s"),
        "From a request's first byte to the end of its head; then 408.",
        "Linkerd's time for protocol detection: ample for slow links, short for those who send slowly on purpose.",
    ),
    key(
        "detect",
        TIMEOUT,
        Value("10s"),
        "Where the protocol is detected: from the connection's begin to the bytes that decide it; then it is opaque.",
        "Linkerd's. Clients that wait for the server to speak are held up for so long unless their port is in `opaque_ports`.",
    ),
    key(
        "idle_client",
        TIMEOUT,
        Value("1m"),
        "How long a client's connection may stay open between requests.",
        "Spans the usual pauses between requests (nginx waits 75 s); an idle connection is cheap, but it holds a file descriptor.",
    ),
    key(
        "idle_upstream",
        TIMEOUT,
        Value("30s"),
        "How long a pooled connection to an endpoint is kept.",
        "Shorter than the keep-alive of most servers (nginx 75 s), so that the pool closes first; lower it for Node.js and Apache, which close after 5 s.",
    ),
    key(
        "connect",
        TIMEOUT,
        Value("1s"),
        "A TCP connect to an endpoint; a service may say otherwise.",
        "Linkerd's for outbound: one lost SYN is not repeated before 1 s, so waiting longer rarely helps and another endpoint does.",
    ),
    key(
        "connect_inbound",
        TIMEOUT,
        Value("300ms"),
        "A TCP connect to the target of an inbound listener.",
        "Linkerd's for inbound: the application is on this host.",
    ),
    key(
        "body_idle",
        TIMEOUT,
        Value("15s"),
        "Waiting for the next byte of a request's body, or for either peer to take more; then 408.",
        "Room for several retransmissions; any progress (of an HTTP/2 window: 4 KiB) starts it anew, so long transfers live and dead peers free their memory. Endpoints may be silent for longer within a response (events, long polls).",
    ),
    key(
        "response",
        TIMEOUT_OR_OFF,
        Value("off"),
        "From the whole request sent to the head of its response; then 504.",
        "Only the application knows how long it may think; routes set their own (Gateway API `timeouts`).",
    ),
    key(
        "tunnel_idle",
        TIMEOUT_OR_OFF,
        Value("1h"),
        "How long an upgraded connection, a tunnel or an opaque connection may stand still.",
        "WebSockets are quiet by nature but ping within minutes, and pools of database connections rest for long; an hour (Envoy's) frees those whose peer is gone.",
    ),
];

const LIMITS: &[Key] = &[
    key(
        "head_bytes",
        bytes(1 << 10, 1 << 18),
        Value("64KiB"),
        "The longest head of a message; a longer request gets 431.",
        "Fits the largest cookies and tokens in use; bounds what a connection may hold before it is understood.",
    ),
    key(
        "target_bytes",
        bytes(256, 1 << 18),
        Value("16KiB"),
        "The longest request target; a longer one gets 414.",
        "RFC 9112 section 3 recommends at least 8000; twice that leaves room for query strings.",
    ),
    key(
        "fields",
        Shape::of(number(8, 100)),
        Value("100"),
        "The most field lines in a head; more get 431.",
        "Space for them is reserved on the stack, so 100 is also the most; hyper (100) and HAProxy (101) have the same order.",
    ),
    key(
        "connections",
        Shape::or(number(1, MANY), &["auto"]),
        Value("auto"),
        "The most client connections of the process; more wait unaccepted.",
        "`auto` is what the limit of file descriptors allows with an upstream connection for each.",
    ),
    key(
        "pool_idle_per_endpoint",
        Shape::of(number(0, MANY)),
        Value("8192"),
        "The most idle connections kept to one endpoint by each worker; 0 keeps none.",
        "Above any usual concurrency, so that a burst does not open connections anew; `idle_upstream` clears what stays unused.",
    ),
];

const SHUTDOWN: &[Key] = &[key(
    "grace",
    Shape::of(Scalar::Duration { least: 0 }),
    Value("2m"),
    "Time for in-flight work after SIGTERM; then the process exits.",
    "Linkerd's; Kubernetes cuts it at the pod's own grace period anyway.",
)];

const ACCESS_LOG: &[Key] = &[
    key(
        "format",
        Shape::of(Scalar::Choice(&["off", "plain", "json"])),
        Value("off"),
        "The form of a line.",
        "Metrics answer most questions; a line for each request costs CPU and disk.",
    ),
    key(
        "path",
        Shape::or(Scalar::File, &["stdout", "stderr"]),
        Value("stdout"),
        "Where lines go; a path is relative to this file.",
        "What container runtimes collect, apart from the program's own log on standard error.",
    ),
];

const LOG: &[Key] = &[
    key(
        "level",
        Shape::of(Scalar::Level),
        Value("info"),
        "A level, or a list such as `info,ringway_discovery=debug`; the variable `RINGWAY_LOG` overrides it.",
        "Start, reload, faults of sources and shutdown; nothing for each request.",
    ),
    key(
        "format",
        Shape::of(Scalar::Choice(&["plain", "json"])),
        Value("plain"),
        "The form of a line.",
        "Read by people first.",
    ),
];
