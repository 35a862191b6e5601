"""Readings: CPU time and memory of a process tree from /proc, load from wrk, system calls."""

import dataclasses
import os
import re
import signal
import socket
import subprocess
import time

from proxies import BODIES, SMALL, Broken, found

TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid):
    """`pid` and all its descendants."""
    family = [pid]
    for member in family:
        try:
            for task in os.listdir(f"/proc/{member}/task"):
                with open(f"/proc/{member}/task/{task}/children", encoding="ascii") as children:
                    family += map(int, children.read().split())
        except FileNotFoundError:
            continue
    return family


def cpu_seconds(pid):
    """User and system time of every thread of the tree; ring and worker threads included."""
    total = 0
    for member in tree(pid):
        with open(f"/proc/{member}/stat", encoding="ascii", errors="replace") as stat:
            # The name, in parentheses, may hold spaces: count the fields behind it.
            fields = stat.read().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def rss_bytes(pid):
    """Resident memory of the tree, summed over its processes."""
    total = 0
    for member in tree(pid):
        with open(f"/proc/{member}/status", encoding="ascii", errors="replace") as status:
            line = re.search(r"^VmRSS:\s+(\d+) kB", status.read(), re.MULTILINE)
        total += int(line[1]) * 1024 if line else 0
    return total


@dataclasses.dataclass
class Load:
    """One run of wrk against one proxy."""

    cpu_us: float  # proxy CPU, in microseconds a request
    rate: float  # requests a second
    busy: float  # share of one core that the proxy used


def load(proxy, path, core, connections, seconds):
    """Drives `proxy` with wrk from `core` and charges its CPU time to the requests answered."""
    url = f"http://127.0.0.1:{proxy.port}{path}"
    command = ["taskset", "-c", str(core), found("wrk"), "-t1", f"-c{connections}"]
    before, start = cpu_seconds(proxy.pid), time.monotonic()
    run = subprocess.run(
        [*command, f"-d{seconds}s", url], capture_output=True, text=True, check=False
    )
    took, cpu = time.monotonic() - start, cpu_seconds(proxy.pid) - before
    count = re.search(r"(\d+) requests in", run.stdout)
    # A figure over failed requests says nothing: wrk prints these lines only when there were any.
    trouble = re.search(r"Socket errors.*|Non-2xx.*", run.stdout)
    if run.returncode or not count or not int(count[1]) or trouble:
        raise Broken(f"{proxy.name} under load:\n{run.stdout}{run.stderr}{proxy.tail()}")
    requests = int(count[1])
    return Load(cpu_us=cpu / requests * 1e6, rate=requests / took, busy=cpu / took)


def syscalls(proxy, path, core, connections, seconds=2):
    """System calls a request, counted by strace in a run of its own (it slows everything)."""
    attach = [f"-p{pid}" for pid in tree(proxy.pid)]
    report = proxy.log.with_suffix(".strace")
    with subprocess.Popen([found("strace"), "-f", "-c", "-o", report, *attach],
                          stderr=subprocess.DEVNULL) as tracer:
        try:
            time.sleep(0.5)
            requests = load(proxy, path, core, connections, seconds).rate * seconds
        finally:
            tracer.send_signal(signal.SIGINT)
    total = re.search(r"^100\.00\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total$",
                      report.read_text(), re.MULTILINE)
    if not total:
        raise Broken(f"strace counted nothing for {proxy.name}")
    return int(total[1]) / requests


def open_idle(port, count):
    """Opens `count` connections, each of which has had one request answered."""
    ask = f"GET {SMALL} HTTP/1.1\r\nHost: service\r\n\r\n".encode()
    held = []
    for _ in range(count):
        peer = socket.create_connection(("127.0.0.1", port), timeout=5)
        held.append(peer)
        peer.sendall(ask)
        answer = b""
        while not answer.endswith(b"\r\n\r\n" + BODIES[SMALL]):
            part = peer.recv(4096)
            if not part:
                raise Broken(f"connection {len(held)} was closed after {answer[:200]!r}")
            answer += part
    return held


@dataclasses.dataclass
class Idle:
    """Memory around many idle keep-alive connections, in bytes."""

    before: int
    during: int
    after: int
    each: float  # (during - before) / connections
    wait: float  # seconds from closing until `after` was first read


def idle(proxy, count, wait=10.0):
    """RSS before, with and after `count` idle connections; `after` is the lowest in `wait` s."""
    for peer in open_idle(proxy.port, 64):
        peer.close()
    time.sleep(1)
    before = rss_bytes(proxy.pid)
    held = open_idle(proxy.port, count)
    time.sleep(1)
    during = rss_bytes(proxy.pid)
    for peer in held:
        peer.close()
    closed = time.monotonic()
    after, waited = during, 0.0
    while time.monotonic() < closed + wait and after > before:
        time.sleep(0.25)
        now = rss_bytes(proxy.pid)
        if now < after:
            after, waited = now, time.monotonic() - closed
    return Idle(before, during, after, (during - before) / count, waited)
