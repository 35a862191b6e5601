"""What is compared: each scenario, its contenders, and the order they come in."""

import dataclasses
import fnmatch

RINGWAY = ("ringway", "ringway-epoll")
RIVALS = ("haproxy", "nginx", "envoy", "pingora")
FORWARDER = "forwarder"
PROXIES = (*RINGWAY, *RIVALS, FORWARDER)


@dataclasses.dataclass(frozen=True)
class Contender:
    """One column of a scenario: a proxy with something behind it."""

    label: str
    proxy: str
    # one | endpoints-100 | routes-1 | routes-10000 | endpoints-10000, or one endpoint and
    # h2: HTTP/2 from clients | grpc: HTTP/2 from clients and to the endpoint | opaque: TCP
    # mesh-near, mesh-far: one of two ringways in a row, HTTP/1.1 over HTTP/2 between them
    behind: str = "one"
    churn: int = 0  # updates of manifests a second while it is measured
    # With thousands of connections to it, one backend for all would run out of descriptors.
    own_backend: bool = False
    watched: bool = True  # whether they are its own, or written beside it for the same disturbance
    timed: bool = True  # whether latency is measured; the two ends of one path have the same


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One kind of load, which all contenders get in turn."""

    name: str
    title: str  # short enough for a panel of the plot; 64 connections where it names none
    path: str = "/64"
    connections: int = 64
    streams: int = 0  # HTTP/2 with so many at once on each connection; 0 is HTTP/1.1
    grpc: bool = False  # unary calls
    upload: int = 0  # bytes of a POST body; 0 is a GET
    requests_per_connection: int = 0  # 0 keeps connections for ever
    contenders: tuple = ()  # () stands for every proxy
    base: str = ""  # the contender others are held against, in scenarios of ringway alone
    warmup: float = 0.25  # seconds before counting begins in a closed loop
    open_warmup: float = 0.1  # the same at the fixed rate, when pools are full already
    direct: bool = True  # whether latency without any proxy is measured, too
    seconds: float = 0  # the least that is counted of a run, where more than requests is in it
    rounds: int = 5  # closed loops of each contender
    latency_rounds: int = 5  # at the fixed rate

    def __post_init__(self):
        object.__setattr__(self, "contenders", self.contenders or everybody())

    @property
    def churns(self):
        return any(contender.churn for contender in self.contenders)


def named(names, *behind, **how):
    """The proxies of these names. Latency is that of ringway and its rivals: the forwarder is a
    limit of CPU, and epoll has its target there."""
    return tuple(Contender(name, name, *behind, timed=name == "ringway" or name in RIVALS, **how)
                 for name in names)


def everybody(**how):
    return named(PROXIES, **how)


# Without the forwarder, where no target is held against it; and with one ringway.
PROXYING = named((*RINGWAY, *RIVALS))
PLAIN = named(("ringway", *RIVALS))


def many_endpoints():
    """Who balances over a list; the forwarder and our minimal Pingora have one upstream only."""
    return named((*RINGWAY, "haproxy", "nginx", "envoy"), "endpoints-100")


def speaking(behind, *more):
    """Who knows HTTP/2 as the rivals do, or TCP; our minimal Pingora has no HTTP/2 in clear."""
    return named(("ringway", "haproxy", "nginx", "envoy", *more), behind)


H2, GRPC = speaking("h2"), speaking("grpc")
OPAQUE = speaking("opaque", FORWARDER)
# Two ringways in a row share the proxy's core; each is charged with its own processor time.
MESHED = (Contender("plain hop", "ringway"), Contender("near of two", "ringway", "mesh-near"),
          Contender("far of two", "ringway", "mesh-far", timed=False))

ALL = (
    Scenario("64b", "64 B, 64 connections", rounds=9),
    Scenario("1k", "1 KiB, 64 connections", path="/1k", contenders=PLAIN),
    Scenario("16k", "16 KiB, 64 connections", path="/16k", rounds=7),
    Scenario("64k", "64 KiB, 64 connections", path="/64k", contenders=PLAIN),
    Scenario("1m", "1 MiB, 16 connections", path="/1m", connections=16),
    Scenario("64b-8c", "64 B, 8 connections", connections=8, contenders=PLAIN),
    Scenario("64b-512c", "64 B, 512 connections", connections=512, rounds=7),
    Scenario("64b-4096c", "64 B, 4,096 connections", connections=4096, warmup=1.5, open_warmup=1.0,
             contenders=named(("ringway", *RIVALS), own_backend=True), seconds=1.0,
             latency_rounds=3),
    Scenario("upload-16k", "upload of 16 KiB, 64 connections", upload=16384),
    Scenario("upload-1m", "upload of 1 MiB, 16 connections", upload=1 << 20, connections=16,
             contenders=PROXYING),
    Scenario("new-connection", "64 B, new connection per request", requests_per_connection=1,
             contenders=PROXYING),
    Scenario("endpoints-100", "64 B, 100 endpoints", contenders=many_endpoints()),
    Scenario("h2-1x100", "HTTP/2, 64 B, 1 × 100 streams", connections=1, streams=100,
             contenders=H2),
    Scenario("h2-16x1", "HTTP/2, 64 B, 16 × 1 stream", connections=16, streams=1, contenders=H2,
             rounds=7),
    Scenario("h2-16x10", "HTTP/2, 64 B, 16 × 10 streams", connections=16, streams=10,
             contenders=H2, rounds=7),
    Scenario("h2-16k", "HTTP/2, 16 KiB, 16 × 10 streams", path="/16k", connections=16,
             streams=10, contenders=H2),
    Scenario("h2-1m", "HTTP/2, 1 MiB, 4 × 4 streams", path="/1m", connections=4, streams=4,
             contenders=H2),
    Scenario("grpc-unary", "gRPC unary, 64 B, 16 × 10 calls", path="/load.Bytes/64",
             connections=16, streams=10, grpc=True, upload=64, contenders=GRPC),
    Scenario("opaque-64b", "TCP, 64 B, 64 connections", contenders=OPAQUE, rounds=7),
    Scenario("opaque-1m", "TCP, 1 MiB, 16 connections", path="/1m", connections=16,
             contenders=OPAQUE),
    Scenario("mesh-64c", "two ringways, 64 connections", contenders=MESHED,
             base="plain hop", rounds=9),
    Scenario("mesh-512c", "two ringways, 512 connections", connections=512,
             contenders=MESHED, base="plain hop", rounds=9),
    Scenario("routes-10000", "64 B, 10,000 routes beside 1",
             contenders=(Contender("1 route", "ringway", "routes-1"),
                         Contender("10,000 routes", "ringway", "routes-10000")),
             base="1 route", direct=False),
    Scenario("churn-10000", "64 B, 10,000 endpoints in churn",
             contenders=(Contender("still", "ringway", "endpoints-10000", churn=100,
                                   own_backend=True, watched=False),
                         Contender("100 updates/s", "ringway", "endpoints-10000", churn=100,
                                   own_backend=True)),
             base="still", direct=False, warmup=2.0, open_warmup=2.0,
             seconds=2.0),
)
# Parts of another kind, which the same option selects.
IDLE = "idle-8000"
IDLE_H2 = "h2-idle-8000"
PROCESS = "idle-process"
COPIES = "copies"
NAMES = (*(scenario.name for scenario in ALL), IDLE, IDLE_H2, PROCESS, COPIES)
QUICK = ("64b", "16k", "1m", "upload-16k", "churn-10000", IDLE, PROCESS)


def chosen(patterns):
    """The names that the comma-separated names and globs select; ValueError says which do not."""
    wanted = []
    for pattern in patterns.split(","):
        matches = fnmatch.filter(NAMES, pattern.strip())
        if not matches:
            raise ValueError(f"{pattern!r} matches none of {', '.join(NAMES)}")
        wanted += matches
    return [name for name in NAMES if name in wanted]


def among(contenders, proxies):
    """The contenders that run one of `proxies`."""
    return [contender for contender in contenders if contender.proxy in proxies]


def contending(scenario, proxies):
    """The scenario's contenders that run one of `proxies`."""
    return among(scenario.contenders, proxies)
