"""Holds a result against the project's targets: each with its figure, met or not."""

import dataclasses

from . import figures
from .scenarios import RIVALS

RINGWAY = "ringway"
PERCENTILES = ("p50", "p99", "p99.9")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One target beside what was measured."""

    scenario: str
    target: str
    figure: str
    met: bool | None  # None: not measured


def unmeasured(scenario, target):
    return Verdict(scenario, target, "not measured", None)


def at_most(scenario, target, value, limit, shown):
    """`value` may reach `limit`; without a value there is no verdict."""
    if value is None:
        return unmeasured(scenario, target)
    if value > limit and shown.startswith("{:.2f}") and round(value, 2) <= limit:
        shown = shown.replace(".2f", ".4f")  # so that what was missed by little shows it
    return Verdict(scenario, target, shown.format(value), value <= limit)


# Scenario, whose CPU, against whose, the limit of the ratio.
CPU = (
    ("64b", RINGWAY, "haproxy", 0.75), ("64b", RINGWAY, "nginx", 0.72),
    ("64b", RINGWAY, "envoy", 0.30), ("64b", RINGWAY, "pingora", 0.40),
    ("64b", RINGWAY, "forwarder", 1.15),
    ("64b-512c", RINGWAY, "haproxy", 0.65), ("64b-512c", RINGWAY, "nginx", 0.60),
    ("64b-512c", RINGWAY, "envoy", 0.25),
    ("64b-4096c", RINGWAY, "haproxy", 0.65), ("64b-4096c", RINGWAY, "nginx", 0.60),
    ("64b-4096c", RINGWAY, "envoy", 0.25),
    ("16k", RINGWAY, "haproxy", 0.68), ("16k", RINGWAY, "nginx", 0.60),
    ("16k", RINGWAY, "envoy", 0.32),
    ("64b", "ringway-epoll", "haproxy", 0.90),
    *((name, RINGWAY, rival, limit) for name in ("h2-16x10", "h2-16k", "grpc-unary")
      for rival, limit in (("haproxy", 0.85), ("nginx", 0.42), ("envoy", 0.30))),
    ("h2-16x1", RINGWAY, "haproxy", 0.95),
    ("opaque-64b", RINGWAY, "haproxy", 0.80), ("opaque-1m", RINGWAY, "haproxy", 0.80),
)


def runs_of(result, scenario, label):
    return result["scenarios"].get(scenario, {}).get("runs", {}).get(label, [])


def cpu(result):
    for scenario, ours, theirs, limit in CPU:
        value = figures.ratio(runs_of(result, scenario, ours), runs_of(result, scenario, theirs))
        who = "CPU/request" if ours == RINGWAY else f"CPU/request of {ours}"
        yield at_most(scenario, f"{who} ≤ {limit:.2f} × {theirs}", value, limit, "{:.2f}")


def large(result, scenario, limit):
    """1 MiB is held against whichever rival is the cheapest there."""
    ours = runs_of(result, scenario, RINGWAY)
    ratios = {name: figures.ratio(ours, runs_of(result, scenario, name)) for name in RIVALS}
    known = {name: value for name, value in ratios.items() if value is not None}
    target = f"CPU/request ≤ {limit:.2f} × the best rival"
    if not known:
        return unmeasured(scenario, target)
    best = max(known, key=known.get)
    return Verdict(scenario, target, f"{known[best]:.2f} × {best}", known[best] <= limit)


# The scenarios of each target at a fixed rate, by how their names begin, and its percentiles.
STREAMS = ("h2-", "grpc-")
FIXED_RATE = (("HTTP/1.1 at the fixed rate", False, PERCENTILES),
              ("HTTP/2 at the fixed rate", True, ("p99",)))


def of_target(result, streams):
    """The scenarios with streams, or those of HTTP/1.1; bytes over TCP have no such target."""
    return {name: found for name, found in result["scenarios"].items()
            if not name.startswith("opaque-") and name.startswith(STREAMS) == streams}


def against_rivals(scenario, found, key):
    """Our percentile to each rival's: (ratio of the medians, rival, scenario, whether our best
    round is above the rival's worst)."""
    values = {label: figures.of(runs, key) for label, runs in found["latency"].items()}
    ours = values.get(RINGWAY)
    for rival in RIVALS:
        theirs = values.get(rival)
        if ours and theirs:
            value = figures.median(ours) / figures.median(theirs)
            apart = min(len(ours), len(theirs)) >= 3 and min(ours) > max(theirs)
            yield value, rival, scenario, apart


def latency(result):
    """One verdict for each percentile, over every scenario that has rivals."""
    for where, streams, keys in FIXED_RATE:
        for key in keys:
            pairs = [pair for name, found in of_target(result, streams).items()
                     for pair in against_rivals(name, found, key)]
            yield below(where, f"{key} below every rival's", pairs)


def below(where, target, pairs):
    """Whether every ratio is below 1; beyond the spread is who lost with every round."""
    if not pairs:
        return unmeasured(where, target)
    worst, lost = max(pairs), sorted({pair[2] for pair in pairs if pair[0] >= 1})
    beyond = sorted({pair[2] for pair in pairs if pair[3]})
    figure = f"at the worst {worst[0]:.2f} × {worst[1]} ({worst[2]})"
    if lost:
        figure += f"; not below in {', '.join(lost)}; beyond the spread of the rounds in "
        figure += ", ".join(beyond) or "none of them"
    return Verdict(where, target, figure, not lost)


def memory(result):
    seen = result.get("idle", {}).get(RINGWAY)
    each, back = "≤ 1 KiB of RSS each", "RSS back within 10 % after they close"
    if not seen:
        yield unmeasured("8,000 idle connections", each)
        yield unmeasured("8,000 idle connections", back)
        return
    yield at_most("8,000 idle connections", each, seen["each"], 1024, "{:,.0f} B")
    grown = seen["after"] / seen["before"]
    yield at_most("8,000 idle connections", back, grown, 1.10, "{:.2f} × before")


def memory_h2(result):
    seen = result.get("idle_h2", {}).get(RINGWAY)
    yield at_most("8,000 idle HTTP/2 connections", "≤ 8 KiB of RSS each",
                  seen and seen["each"], 8192, "{:,.0f} B")


def process(result):
    seen = result.get("process", {}).get(RINGWAY)
    rss, cpu_use = "RSS ≤ 10 MiB with 2 workers", "0.0 % CPU"
    if not seen:
        yield unmeasured("idle process", rss)
        yield unmeasured("idle process", cpu_use)
        return
    yield at_most("idle process", rss, seen["rss"] / 2**20, 10, "{:.1f} MiB")
    yield Verdict("idle process", cpu_use, f"{seen['cpu_percent']:.3f} %",
                  round(seen["cpu_percent"], 1) == 0)


def steady(result):
    calls = result["scenarios"].get("64b", {}).get("syscalls", {}).get(RINGWAY)
    yield at_most("steady state", "≤ 4.2 system calls a request at 64 connections",
                  calls and calls["calls"], 4.2, "{:.2f}")
    counted = result.get("allocations")
    # One allocation in a thousand requests is a timer or a look at /metrics, none of a request's.
    yield at_most("steady state", "0 heap allocations a request",
                  counted and counted["allocations"], 0.001, "{:.4f}")
    yield copies(result)


def copies(result):
    """No piece of a body is copied, in either direction. One in a thousand bytes is a request of
    another kind: the first of a connection, or a look from outside."""
    target = "0 user-space copies of body bytes"
    seen = {name: found[RINGWAY]["pieces"] for name, found in result.get("copies", {}).items()
            if RINGWAY in found}
    if not seen:
        return unmeasured("steady state", target)
    figure = ", ".join(f"{pieces:,.0f} B a request in {name}" for name, pieces in seen.items())
    return Verdict("steady state", target, figure, max(seen.values()) <= 16)


def pair(result, scenario, label, base, limit, target):
    value = figures.ratio(runs_of(result, scenario, label), runs_of(result, scenario, base))
    return at_most(scenario, target, value, limit, "{:.2f} × " + base)


def churn(result):
    label, base, name = "100 updates/s", "still", "churn-10000"
    yield pair(result, name, label, base, 1.10, "CPU/request within 10 % of no churn")
    runs = result["scenarios"].get(name, {}).get("latency", {})
    value = figures.ratio(runs.get(label, []), runs.get(base, []), "p99")
    yield at_most(name, "p99 within 1.2 × of no churn", value, 1.2, "{:.2f} × " + base)


def mesh(result):
    """Two ringways in a row: each beside one hop without the other."""
    for name in ("mesh-64c", "mesh-512c"):
        for label in ("near of two", "far of two"):
            yield pair(result, name, label, "plain hop", 1.0,
                       f"CPU/request of the {label} ≤ that of a plain hop")


def verdicts(result):
    """Every target of the project, in the order in which it states them."""
    return [*cpu(result), large(result, "1m", 0.80), large(result, "h2-1m", 1.0),
            *latency(result), *memory(result), *memory_h2(result), *process(result),
            *steady(result), *churn(result),
            pair(result, "routes-10000", "10,000 routes", "1 route", 1.05,
                 "CPU/request within 5 % of 1 route"), *mesh(result)]
