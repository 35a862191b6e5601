#!/usr/bin/env python3
"""Holds ringway-load against wrk, wrk2 and h2load on one server: interleaved runs, medians,
Markdown.

The server runs already, on core 0; the load runs on core 1:
    perf/load/validate.py http://127.0.0.1:8080/64 --load target/release/ringway-load
A closed loop's p50 is decided by throughput, so the tools can agree only where the server is the
slower side: --server PID shows how much of its core it uses. For h2load, whose latencies are a mean
and no percentiles, the server speaks HTTP/2:
    perf/load/validate.py http://127.0.0.1:8081/64 --load target/release/ringway-load \\
        --streams 1x100,16x1,16x10 --rates ''
"""

import argparse
import json
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).absolute().parents[1]))
from comparison import procfs  # noqa: E402

MICROS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}
COLUMNS = ["mean", "p50", "p99", "uncorrected p50", "uncorrected p99", "requests/s", "CPU µs/request",
           "server's core %"]
LATENCIES = COLUMNS[1:5]


def micros(text):
    """Reads a time as wrk prints it, in microseconds."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * MICROS[unit]


def used():
    """Processor seconds of all children so far."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def run(command, server):
    """One run: the figures that its report has, and what the process `server` used meanwhile."""
    before, began = used(), time.monotonic()
    served = procfs.read(server).stat_ns if server else 0
    done = subprocess.run(["taskset", "-c", "1", *command], capture_output=True, text=True,
                          check=False)
    text = done.stdout
    trouble = re.search(r"Socket errors.*|Non-2xx.*", text)
    count = re.search(r"(\d+) requests in", text)
    if done.returncode or trouble or not count or not int(count[1]):
        sys.exit(f"{' '.join(command)}\n{text}{done.stderr}")
    halves = re.findall(r"^ *50(?:\.000)?% +(\S+)$", text, re.M)
    tails = re.findall(r"^ *99(?:\.000)?% +(\S+)$", text, re.M)
    figures = dict(zip(LATENCIES[0::2], map(micros, halves)))
    figures |= dict(zip(LATENCIES[1::2], map(micros, tails)))
    figures["requests/s"] = float(re.search(r"Requests/sec: +([\d.]+)", text)[1])
    figures["CPU µs/request"] = (used() - before) * 1e6 / int(count[1])
    if server:
        spent = procfs.read(server).stat_ns - served
        figures["server's core %"] = spent / (time.monotonic() - began) / 1e7
    return figures


def streams(command, server, report=None):
    """One run in HTTP/2: of h2load by its text, of ringway-load by its JSON `report`."""
    before, began = used(), time.monotonic()
    served = procfs.read(server).stat_ns if server else 0
    done = subprocess.run(["taskset", "-c", "1", *command], capture_output=True, text=True,
                          check=False)
    if report:
        said = json.loads(report.read_text())
        count, failed = said["requests"], said["errors"]["total"]
        mean = said["uncorrected_latency_us"]["mean"]
        rate = said["rate"]
    else:
        count = int(re.search(r"(\d+) succeeded", done.stdout)[1])
        failed = int(re.search(r"(\d+) failed", done.stdout)[1])
        mean = micros(re.search(r"time for request: +\S+ +\S+ +(\S+)", done.stdout)[1])
        rate = float(re.search(r"([\d.]+) req/s", done.stdout)[1])
    if done.returncode or failed or not count:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    figures = {"mean": mean, "requests/s": rate,
               "CPU µs/request": (used() - before) * 1e6 / count}
    if server:
        spent = procfs.read(server).stat_ns - served
        figures["server's core %"] = spent / (time.monotonic() - began) / 1e7
    return figures


def figure(value):
    """Three digits that count."""
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{round(value, 3 - len(str(int(value)))) if value >= 1000 else value:,.{digits}f}"


def print_row(name, cells):
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def compare(title, commands, rounds, server, measure=run):
    """Has `measure` run all commands `rounds` times, in an order that turns, and prints their
    medians, and those of the latencies as parts of the first command's."""
    results = {name: [] for name in commands}
    names = list(commands)
    for turn in range(rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            results[name].append(measure(commands[name], server))
    shown = [c for c in COLUMNS if c in results[names[0]][0]]
    if "wrk2" in commands:  # what it spends while it calibrates would be charged to the rest
        shown = [c for c in shown if c in LATENCIES or c == "requests/s"]
    print(f"\n### {title}\n\n| median of {rounds} (min–max) | {' | '.join(shown)} |")
    print("| --- |" + " ---: |" * len(shown))
    middle = {name: [statistics.median(r[c] for r in runs) for c in shown]
              for name, runs in results.items()}
    for name, runs in results.items():
        ends = [(min(r[c] for r in runs), max(r[c] for r in runs)) for c in shown]
        print_row(name, (f"{figure(m)} ({figure(low)}–{figure(high)})"
                         for m, (low, high) in zip(middle[name], ends)))
    for name in names[1:]:
        pairs = zip(middle[name], middle[names[0]])
        print_row(f"{name} ÷ {names[0]}", (f"{a / b:.2f}" for a, b in pairs))


def beside_h2load(given):
    """Closed loops in HTTP/2."""
    if not shutil.which("h2load"):
        sys.exit("h2load is missing: apt install nghttp2-client")
    with tempfile.TemporaryDirectory() as place:
        report = pathlib.Path(place, "load.json")
        for shape in given.streams.split(","):
            connections, many = shape.split("x")
            line = ["-t1", f"-c{connections}", f"-m{many}"]
            compare(f"{connections} × {many} streams",
                    {"h2load": ["h2load", *line, "-D3", given.url],
                     "ringway-load": [given.load, *line, "-d3s", "--json", str(report), given.url]},
                    given.rounds, given.server,
                    lambda command, server: streams(
                        command, server, report if "--json" in command else None))


def main():
    """Reads the command line and runs what it can."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--load", default="ringway-load", help="path of ringway-load")
    parser.add_argument("--wrk2", help="path of wrk2; without it, only wrk is compared")
    parser.add_argument("--server", type=int, metavar="PID", help="the server's process")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", default="64", help="for closed loops, with commas")
    parser.add_argument("--streams", metavar="CxM,…",
                        help="beside h2load in HTTP/2, connections × streams, and nothing else")
    parser.add_argument("--rates", default="1100,3100,10300", help="for open loops, with commas")
    given = parser.parse_args()
    if given.streams:
        return beside_h2load(given)
    if not shutil.which(given.load) or not shutil.which("wrk"):
        sys.exit(f"wrk or {given.load} is missing: apt install wrk; "
                 "cargo build --release -p ringway-load, then --load target/release/ringway-load")
    for connections in filter(None, given.connections.split(",")):
        line = ["-t1", f"-c{connections}", "-d3s", "--latency", given.url]
        compare(f"closed loop, {connections} connections",
                {"wrk": ["wrk", *line], "ringway-load": [given.load, *line]},
                given.rounds, given.server)
    for rate in given.rates.split(",") if given.wrk2 else []:
        line = ["-t1", "-c64", f"-R{rate}", "-U", given.url]
        warm = ["--warmup", "1s", "-d4s"]
        compare(f"open loop, {rate}/s over 64 connections", {
            "wrk2": [given.wrk2, "-d14s", *line],  # it drops the first ten seconds
            "ringway-load --tick 1ms": [given.load, "--tick", "1ms", *warm, *line],
            "ringway-load": [given.load, *warm, *line],
        }, given.rounds, given.server)


if __name__ == "__main__":
    main()
