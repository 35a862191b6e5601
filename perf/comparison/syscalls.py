"""Counts system calls: by the kernel's tracepoint through perf, or by strace where that fails."""

import contextlib
import re
import shutil
import signal
import subprocess
import time

from . import generator, procfs
from .process import Broken, found

EVENT = "raw_syscalls:sys_enter"


def with_perf(pids, report):
    """Counts by perf stat, which leaves the program at its speed."""
    return ["perf", "stat", "-x", ",", "-e", EVENT, "-o", str(report), "-p",
            ",".join(map(str, pids))]


def with_strace(pids, report):
    """Counts by strace, which stops the program at each call and slows it several times."""
    return [found("strace"), "-f", "-c", "-o", str(report), *(f"-p{pid}" for pid in pids)]


def perf_total(text):
    """The count in `perf stat -x ,` output, or None when it could not count."""
    match = re.search(rf"^(\d+),[^,]*,{EVENT}", text, re.MULTILINE)
    return int(match[1]) if match else None


def strace_total(text):
    """The calls in the last line of strace's summary, or None."""
    match = re.search(r"^100\.00\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total$", text, re.MULTILINE)
    return int(match[1]) if match else None


@contextlib.contextmanager
def counting(command):
    """Runs the counter around the block, and waits for its report."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tracer:
        try:
            time.sleep(0.3)
            yield
        finally:
            tracer.send_signal(signal.SIGINT)


def per_request(process, scenario, directory, setting):
    """System calls a request under a closed loop, warm-up and connecting included in both."""
    report, seconds = directory / "syscalls.txt", max(0.5, scenario.seconds)
    counters = [(with_strace, strace_total)]
    if shutil.which("perf"):
        counters.insert(0, (with_perf, perf_total))
    for command, total in counters:
        report.unlink(missing_ok=True)
        line = generator.command(scenario, process.port, seconds, setting, warmup=0)
        with counting(command(procfs.tree(process.pid), report)):
            requests = generator.drive(line, directory, process.name)["requests"]
        calls = total(report.read_text()) if report.exists() else None
        if calls:
            return {"calls": calls / requests, "counter": command.__name__.partition("_")[2]}
    raise Broken(f"neither perf nor strace counted anything for {process.name}")
