"""Runs the churn of a contender beside its load, and says what became of the updates."""

import contextlib
import subprocess
import sys

from . import admin, manifests
from .process import PERF

ADOPTED = "ringway_snapshots_adopted_total"


def within(text, start, end):
    """How many of the moments, one a line, lie between `start` and `end`."""
    return sum(1 for line in text.split() if start <= float(line) <= end)


class Churn:
    """What happened: updates written, and snapshots adopted, each a second."""

    def __init__(self):
        self.figures = {}


@contextlib.contextmanager
def churning(process, contender, backend, directory, setting, clock):
    """Updates the contender's manifests within the block; without churn, does nothing."""
    churn = Churn()
    if contender is None or not contender.churn:
        yield churn
        return
    slices = int(contender.behind.partition("-")[2]) // manifests.SLICE
    log = directory / "churn.txt"
    files = directory / f"{process.name}-manifests"
    if not contender.watched:
        files = directory / "unwatched"
        if not files.exists():
            files.mkdir()
            manifests.write_endpoints(files, slices * manifests.SLICE, backend)
    command = ["taskset", "-c", setting.load_core, sys.executable, "-m",
               "comparison.churn", files, slices, backend, contender.churn]
    with open(log, "w", encoding="ascii") as out:
        with subprocess.Popen(list(map(str, command)), stdout=out, cwd=PERF) as writer:
            adopted, start = admin.counter(admin.metrics(process), ADOPTED), clock()
            try:
                yield churn
            finally:
                end, after = clock(), admin.counter(admin.metrics(process), ADOPTED)
                writer.terminate()
    churn.figures = {"written": within(log.read_text(), start, end) / (end - start),
                     "adopted": (after - adopted) / (end - start)}
