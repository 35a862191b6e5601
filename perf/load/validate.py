#!/usr/bin/env python3
"""Holds ringway-load against wrk and wrk2 on one server: interleaved runs, medians, Markdown.

The server runs already, on core 0; the load runs on core 1:
    perf/load/validate.py http://127.0.0.1:8080/64 --load target/release/ringway-load
"""

import argparse
import re
import resource
import shutil
import statistics
import subprocess
import sys

MICROS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}
COLUMNS = ["p50", "p99", "uncorrected p50", "uncorrected p99", "requests/s", "CPU µs/request"]


def micros(text):
    """Reads a time as wrk prints it, in microseconds."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * MICROS[unit]


def used():
    """Processor seconds of all children so far."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def run(command):
    """One run: the figures that its report has."""
    before = used()
    done = subprocess.run(["taskset", "-c", "1", *command], capture_output=True, text=True,
                          check=False)
    text = done.stdout
    trouble = re.search(r"Socket errors.*|Non-2xx.*", text)
    count = re.search(r"(\d+) requests in", text)
    if done.returncode or trouble or not count or not int(count[1]):
        sys.exit(f"{' '.join(command)}\n{text}{done.stderr}")
    halves = re.findall(r"^ *50(?:\.000)?% +(\S+)$", text, re.M)
    tails = re.findall(r"^ *99(?:\.000)?% +(\S+)$", text, re.M)
    figures = dict(zip(COLUMNS[0::2], map(micros, halves)))
    figures |= dict(zip(COLUMNS[1::2], map(micros, tails)))
    figures["requests/s"] = float(re.search(r"Requests/sec: +([\d.]+)", text)[1])
    figures["CPU µs/request"] = (used() - before) * 1e6 / int(count[1])
    return figures


def compare(title, commands, rounds):
    """Runs all commands `rounds` times, in an order that turns, and prints their medians."""
    results = {name: [] for name in commands}
    names = list(commands)
    for turn in range(rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            results[name].append(run(commands[name]))
    shown = [c for c in COLUMNS if c in results[names[0]][0]]
    if "wrk2" in commands:  # what it spends while it calibrates would be charged to the rest
        shown.remove(COLUMNS[-1])
    print(f"\n### {title}\n\n| median of {rounds} (min–max) | {' | '.join(shown)} |")
    print("| --- |" + " ---: |" * len(shown))
    for name, runs in results.items():
        cells = []
        for column in shown:
            values = [r[column] for r in runs]
            cells.append(f"{statistics.median(values):,.4g} "
                         f"({min(values):,.4g}–{max(values):,.4g})")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main():
    """Reads the command line and runs what it can."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--load", default="ringway-load", help="path of ringway-load")
    parser.add_argument("--wrk2", help="path of wrk2; without it, only wrk is compared")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", default="64", help="for closed loops, with commas")
    parser.add_argument("--rates", default="1100,3100,10300", help="for open loops, with commas")
    given = parser.parse_args()
    if not shutil.which(given.load) or not shutil.which("wrk"):
        sys.exit(f"wrk or {given.load} is missing: apt install wrk; "
                 "cargo build --release -p ringway-load, then --load target/release/ringway-load")
    for connections in given.connections.split(","):
        line = ["-t1", f"-c{connections}", "-d3s", "--latency", given.url]
        compare(f"closed loop, {connections} connections",
                {"wrk": ["wrk", *line], "ringway-load": [given.load, *line]}, given.rounds)
    for rate in given.rates.split(",") if given.wrk2 else []:
        line = ["-t1", "-c64", f"-R{rate}", "-U", given.url]
        warm = ["--warmup", "1s", "-d4s"]
        compare(f"open loop, {rate}/s over 64 connections", {
            "wrk2": [given.wrk2, "-d14s", *line],  # it drops the first ten seconds
            "ringway-load --tick 1ms": [given.load, "--tick", "1ms", *warm, *line],
            "ringway-load": [given.load, *warm, *line],
        }, given.rounds)


if __name__ == "__main__":
    main()
