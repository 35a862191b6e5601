"""Readings from /proc: CPU time, context switches and memory of a whole process tree."""

import dataclasses
import os
import re
import threading
import time

TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
SWITCHES = re.compile(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)$", re.MULTILINE)


def tree(pid):
    """`pid` and all its descendants."""
    family = [pid]
    for member in family:
        for text in of_tasks(member, "children"):
            family += map(int, text.split())
    return family


def of_tasks(pid, name):
    """The file `name` of each thread of `pid`; threads that end meanwhile are left out."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return
    for task in tasks:
        try:
            with open(f"/proc/{pid}/task/{task}/{name}", encoding="utf-8", errors="replace") as f:
                yield f.read()
        except (FileNotFoundError, ProcessLookupError):
            continue


def stat_ns(text):
    """User and system time in a `stat` line, in nanoseconds, in steps of one clock tick."""
    # The name, in parentheses, may hold spaces: count the fields behind it.
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_NS


@dataclasses.dataclass(frozen=True)
class Reading:
    """The sums over a process tree at one moment."""

    at: float  # time.monotonic()
    stat_ns: float  # user + system, from /proc/PID/stat: whole ticks, ended threads included
    sched_ns: float  # the same from schedstat: exact, but of threads that live
    worker_ns: float  # schedstat of the threads named worker-N alone
    switches: float  # voluntary and involuntary context switches

    def minus(self, other):
        return Reading(*(a - b for a, b in zip(dataclasses.astuple(self),
                                               dataclasses.astuple(other))))


def read(pid):
    """A reading of `pid` and its descendants now."""
    at, stat, sched, worker, switches = time.monotonic(), 0, 0, 0, 0
    for member in tree(pid):
        try:
            with open(f"/proc/{member}/stat", encoding="utf-8", errors="replace") as file:
                stat += stat_ns(file.read())
        except (FileNotFoundError, ProcessLookupError):
            continue
        times = [int(text.split()[0]) for text in of_tasks(member, "schedstat")]
        names = [text.strip() for text in of_tasks(member, "comm")]
        sched += sum(times)
        if len(times) == len(names):
            worker += sum(t for t, name in zip(times, names) if name.startswith("worker-"))
        for text in of_tasks(member, "status"):
            switches += sum(map(int, SWITCHES.findall(text)))
    return Reading(at, stat, sched, worker, switches)


def between(readings, start, end):
    """What was added from `start` to `end` (monotonic seconds), interpolated between readings."""
    return at(readings, end).minus(at(readings, start))


def at(readings, moment):
    """The reading at `moment`, on the line between its neighbours; the ends are held."""
    if moment <= readings[0].at:
        return readings[0]
    for one, two in zip(readings, readings[1:]):
        if moment <= two.at:
            part = (moment - one.at) / (two.at - one.at)
            return Reading(*(a + (b - a) * part for a, b in zip(dataclasses.astuple(one),
                                                                dataclasses.astuple(two))))
    return readings[-1]


def cpu_ns(spent):
    """The CPU time of a difference, and which clock it is from.

    schedstat is exact, and is used when it agrees with stat. It loses threads that ended within
    the window, and kernels without it read 0: then the ticks of stat are the figure.
    """
    agreed = abs(spent.sched_ns - spent.stat_ns) <= 3 * TICK_NS + 0.02 * spent.stat_ns
    return (spent.sched_ns, "schedstat") if agreed else (spent.stat_ns, "stat")


class Watch:
    """Reads a process tree ten times a second until it is left; `readings` holds them all."""

    def __init__(self, pid, pause=0.1):
        self.pid, self.pause = pid, pause
        self.readings = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ended.wait(self.pause):
            self.readings.append(read(self.pid))

    def __enter__(self):
        self.readings.append(read(self.pid))
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.readings.append(read(self.pid))


def rss_bytes(pid):
    """Resident memory of the tree, summed over its processes."""
    total = 0
    for member in tree(pid):
        with open(f"/proc/{member}/status", encoding="utf-8", errors="replace") as status:
            line = re.search(r"^VmRSS:\s+(\d+) kB", status.read(), re.MULTILINE)
        total += int(line[1]) * 1024 if line else 0
    return total
