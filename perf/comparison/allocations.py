"""Heap allocations a request, from the counters of a ringway that was built to count them."""

import subprocess
import time

from . import admin, generator
from .process import Broken

COUNTERS = ("ringway_allocations_total", "ringway_deallocations_total")
REQUESTS = "request_total"


def per_request(process, scenario, setting):
    """Allocations and deallocations a request between two looks in the midst of a steady load."""
    line = generator.command(scenario, process.port, 4, setting)
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as load:
        time.sleep(scenario.warmup + 1)
        first = admin.metrics(process)
        time.sleep(2)
        last = admin.metrics(process)
        load.wait(30)
    # What one look at /metrics itself allocates is taken off: it is not a request's.
    idle = [admin.metrics(process) for _ in range(2)]
    return counted(first, last, idle)


def counted(first, last, idle):
    """The growth of the counters between two looks, less that of a look, for each request."""
    requests = admin.counter(last, REQUESTS) - admin.counter(first, REQUESTS)
    if requests <= 0:
        raise Broken("no requests were counted between two looks at /metrics")
    figures = {"requests": requests}
    for name in COUNTERS:
        grown = admin.counter(last, name) - admin.counter(first, name)
        looking = admin.counter(idle[1], name) - admin.counter(idle[0], name)
        figures[name.removeprefix("ringway_").removesuffix("_total")] = (
            (grown - looking) / requests)
    return figures
