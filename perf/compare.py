#!/usr/bin/env python3
"""Compares ringway with HAProxy, nginx and Envoy on this machine: CPU a request, idle memory.

Method and limits: perf/README.md. Needs perf/setup once, and `cargo build --release`.
"""

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile

import measure
import proxies

BASES = ("haproxy", "envoy")


def arguments():
    root = proxies.HERE.parent
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(proxies.NAMES), metavar="NAME,…",
                        help="the proxies to run (default: %(default)s)")
    parser.add_argument("--ringway", type=pathlib.Path, default=target / "release" / "ringway",
                        help="the binary to measure (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="repetitions (default: 5)")
    parser.add_argument("--seconds", type=int, default=3, help="of load a round (default: 3)")
    parser.add_argument("--connections", type=int, default=64, help="of the load (default: 64)")
    parser.add_argument("--idle", type=int, default=8000, metavar="N",
                        help="idle connections; 0 leaves that part out (default: 8000)")
    parser.add_argument("--cores", default="0,1", metavar="P,L",
                        help="core of the proxy, core of load and backend (default: 0,1)")
    parser.add_argument("--syscalls", action="store_true", help="count system calls with strace")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write all figures")
    options = parser.parse_args()
    options.names = options.only.split(",")
    unknown = [name for name in options.names if name not in proxies.NAMES]
    if unknown:
        parser.error(f"--only: {unknown[0]} is none of {', '.join(proxies.NAMES)}")
    options.proxy_core, options.load_core = map(int, options.cores.split(","))
    options.ringway = options.ringway.resolve()
    if any(n.startswith("ringway") for n in options.names) and not options.ringway.exists():
        parser.error(f"{options.ringway} does not exist: cargo build --release, or use --only")
    return options


def raise_fd_limit(needed):
    """Children inherit it: the proxy holds two fds for each of our one, at the worst."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise proxies.Broken(f"the fd limit is {hard}, {needed} are needed: ulimit -Hn, or --idle")
    soft = 20000 if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def environment(options):
    """What the figures depend on; a figure without it is not a result."""
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        models = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=proxies.HERE,
                            capture_output=True, text=True, check=False).stdout.strip()
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit,
        "kernel": platform.release(),
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": options.connections,
        "versions": proxies.versions(options.names, options.ringway),
    }


def start(stack, name, upstream, directory, options):
    process = proxies.start(name, upstream, directory, options.proxy_core, options.ringway)
    return stack.enter_context(process).await_answer()


def run_load(upstream, directory, options):
    """Every proxy once a round, in an order that turns, so that a busy minute hits all alike."""
    runs = {path: {name: [] for name in options.names} for path in proxies.BODIES}
    calls = {}
    with contextlib.ExitStack() as stack:
        running = [start(stack, n, upstream, directory, options) for n in options.names]
        wrk = (options.load_core, options.connections)
        for proxy in running:
            measure.load(proxy, proxies.SMALL, *wrk, 1)
        for turn in range(options.rounds):
            first = turn % len(running)
            for path in proxies.BODIES:
                for proxy in running[first:] + running[:first]:
                    runs[path][proxy.name].append(measure.load(proxy, path, *wrk, options.seconds))
            note(f"round {turn + 1} of {options.rounds}")
        if options.syscalls:
            calls = {p.name: measure.syscalls(p, proxies.SMALL, *wrk) for p in running}
    return runs, calls


def run_idle(upstream, directory, options):
    """A fresh process for each, so that what went before leaves no trace in its memory."""
    readings = {}
    for name in options.names:
        with contextlib.ExitStack() as stack:
            proxy = start(stack, name, upstream, directory, options)
            readings[name] = measure.idle(proxy, options.idle)
        note(f"idle connections: {name}")
    return readings


def ratio(runs, name, base):
    """Median over the rounds of this proxy's CPU a request to the base's in the same round."""
    if base not in runs:
        return None
    pairs = zip(runs[name], runs[base])
    return statistics.median(ours.cpu_us / theirs.cpu_us for ours, theirs in pairs)


def load_table(path, runs, calls, options):
    size = len(proxies.BODIES[path])
    yield f"### {size} B body, {options.connections} keep-alive connections\n"
    head = ["proxy", "CPU µs/request", "min–max", *(f"× {b}" for b in BASES), "requests/s", "core"]
    head += ["syscalls/request"] if calls else []
    yield row(head)
    yield row(["---"] + ["---:"] * (len(head) - 1))
    for name, loads in runs.items():
        cpu = [load.cpu_us for load in loads]
        ratios = [ratio(runs, name, base) for base in BASES]
        cells = [name, f"{statistics.median(cpu):.1f}", f"{min(cpu):.1f}–{max(cpu):.1f}"]
        cells += ["–" if value is None else f"{value:.2f}" for value in ratios]
        cells += [f"{statistics.median(load.rate for load in loads):,.0f}"]
        cells += [f"{statistics.median(load.busy for load in loads):.0%}"]
        cells += [f"{calls[name]:.2f}"] if calls else []
        yield row(cells)
    yield ""


def idle_table(readings, options):
    yield f"### {options.idle:,} idle keep-alive connections\n"
    yield row(["proxy", "RSS/connection", "before", "with them", "after they closed", "after s"])
    yield row(["---"] + ["---:"] * 5)
    for name, seen in readings.items():
        sizes = [f"{size / 2**20:.1f} MiB" for size in (seen.before, seen.during, seen.after)]
        yield row([name, f"{seen.each:,.0f} B", *sizes, f"{seen.wait:.1f}"])
    yield ""


def row(cells):
    return "| " + " | ".join(cells) + " |"


def note(text):
    print(text, file=sys.stderr, flush=True)


def written(env, runs, calls, idle):
    plain = {path: {name: [dataclasses.asdict(load) for load in loads]
                    for name, loads in by_name.items()} for path, by_name in runs.items()}
    ratios = {path: {base: {name: ratio(by_name, name, base) for name in by_name}
                     for base in BASES} for path, by_name in runs.items()}
    memory = {name: dataclasses.asdict(seen) for name, seen in idle.items()}
    return {"environment": env, "load": plain, "ratios": ratios, "syscalls": calls, "idle": memory}


def main():
    options = arguments()
    raise_fd_limit(2 * options.idle + 500)
    with tempfile.TemporaryDirectory(prefix="ringway-perf-") as name:
        directory = pathlib.Path(name)
        directory.chmod(0o755)  # nginx's worker gives up root, and has to read the bodies
        env = environment(options)
        if env["load_average"] > 0.5:
            note(f"the machine is busy (load {env['load_average']:.1f}): trust the ratios only")
        with proxies.backend(directory, options.load_core) as service:
            service.await_answer()
            runs, calls = run_load(service.port, directory, options)
            idle = run_idle(service.port, directory, options) if options.idle else {}
    versions = " · ".join(env["versions"].values())
    print(f"{env['cpu']}, Linux {env['kernel']}, {env['date']}\n\n{versions}\n")
    for path, by_name in runs.items():
        print("\n".join(load_table(path, by_name, calls, options)))
    if idle:
        print("\n".join(idle_table(idle, options)))
    if options.json:
        options.json.write_text(json.dumps(written(env, runs, calls, idle), indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except proxies.Broken as reason:
        sys.exit(f"compare: {reason}")
