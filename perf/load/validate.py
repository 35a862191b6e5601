#!/usr/bin/env python3
"""Holds ringway-load against wrk and wrk2 on one server: interleaved runs, medians, Markdown.

The server runs already, on core 0; the load runs on core 1:
    perf/load/validate.py http://127.0.0.1:8080/64 --load target/release/ringway-load
A closed loop's p50 is decided by throughput, so the tools can agree only where the server is the
slower side: --server PID shows how much of its core it uses.
"""

import argparse
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).absolute().parents[1]))
from comparison import procfs  # noqa: E402

MICROS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}
COLUMNS = ["p50", "p99", "uncorrected p50", "uncorrected p99", "requests/s", "CPU µs/request",
           "server's core %"]
LATENCIES = COLUMNS[:4]


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


def figure(value):
    """Three digits that count."""
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{round(value, 3 - len(str(int(value)))) if value >= 1000 else value:,.{digits}f}"


def print_row(name, cells):
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def compare(title, commands, rounds, server):
    """Runs all commands `rounds` times, in an order that turns, and prints their medians, and
    those of the latencies as parts of the first command's."""
    results = {name: [] for name in commands}
    names = list(commands)
    for turn in range(rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            results[name].append(run(commands[name], server))
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


def main():
    """Reads the command line and runs what it can."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--load", default="ringway-load", help="path of ringway-load")
    parser.add_argument("--wrk2", help="path of wrk2; without it, only wrk is compared")
    parser.add_argument("--server", type=int, metavar="PID", help="the server's process")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", default="64", help="for closed loops, with commas")
    parser.add_argument("--rates", default="1100,3100,10300", help="for open loops, with commas")
    given = parser.parse_args()
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
