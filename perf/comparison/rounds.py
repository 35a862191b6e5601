"""Runs one scenario: its contenders in turn, round after round, and what is counted apart."""

import contextlib
import http.client
import sys
import time

from . import figures, generator, precedence, proxies, syscalls
from .churning import churning
from .process import Broken, body_of
from .scenarios import contending


DIRECT = "direct"  # the backend without any proxy
# What can be wrong with one run; the others go on.
FAILURES = (Broken, OSError, http.client.HTTPException)


def note(text):
    print(text, file=sys.stderr, flush=True)


def bodies(port, *paths):
    """What the backend itself answers: every proxy has to give the same bytes."""
    return {path: body_of(port, path) for path in dict.fromkeys(("/64", *paths))}


class Bench:
    """A scenario with its contenders running."""

    def __init__(self, scenario, service, directory, setting):
        self.scenario, self.service, self.setting = scenario, service, setting
        self.directory = directory
        self.running = {}  # label → process
        self.services = {}  # label → the backend behind it, where it has one of its own
        self.contenders = {c.label: c for c in contending(scenario, setting.proxies)}
        self.failures = []  # (label, reason) of runs without a figure

    def start(self, stack):
        # A call of gRPC is verified by the load, which is the only one here to make it.
        paths = [] if self.scenario.streams else [self.scenario.path]
        wanted = bodies(self.service.port, *paths)
        for contender in self.contenders.values():
            if contender.own_backend:
                service = stack.enter_context(proxies.backend(self.directory, self.setting))
                self.services[contender.label] = service.await_answer({"/64": None})
            process = proxies.start(contender, self.backend(contender.label), self.directory,
                                    self.setting)
            self.running[contender.label] = stack.enter_context(process)
        for process in self.running.values():
            if self.scenario.streams:
                generator.await_verified(process, self.scenario, self.setting)
            else:
                process.await_answer(wanted)

    def backend(self, label):
        return self.services.get(label, self.service).port

    def closed(self, label, seconds):
        """One closed loop; in churn, with what became of the updates."""
        with self.churning(label) as churn:
            run = generator.closed(self.running[label], self.scenario, seconds, self.directory,
                                   self.setting)
        return {**run, **churn.figures}

    def open(self, label, rate):
        """One open loop; the backend alone is `direct`."""
        port = self.service.port if label == DIRECT else self.running[label].port
        with self.churning(label):
            seconds = self.setting.latency_seconds_of(self.scenario)
            return generator.open_loop(port, self.scenario, rate, seconds, self.directory,
                                       self.setting, label)

    def churning(self, label):
        return churning(self.running.get(label), self.contenders.get(label), self.backend(label),
                        self.directory, self.setting, time.monotonic)

    def tried(self, label, measure, *given):
        """The figure. A run that fails is noted in the result and repeated once; then it is
        None."""
        for _ in range(2):
            try:
                return measure(label, *given)
            except FAILURES as reason:
                note(f"{self.scenario.name}: {label}: {reason}")
                self.failures.append((label, str(reason)))
        return None

    def in_rounds(self, count, labels, measure, *given):
        """`count` rounds in an order that turns: label → figures. Who has none is left out."""
        runs = {label: [] for label in labels}
        for turn in range(count):
            for label in figures.turned(list(runs), turn):
                found = self.tried(label, measure, *given)
                if found is None:
                    del runs[label]
                else:
                    runs[label].append(found)
        return runs

    def throughput(self):
        """Closed loops: label → runs."""
        # Fills pools, and is no figure.
        warm = self.in_rounds(1, self.contenders, self.closed, self.scenario.warmup)
        return self.in_rounds(self.setting.rounds_of(self.scenario), warm, self.closed,
                              self.setting.seconds_of(self.scenario))

    def latency(self, rate, labels):
        """Open loops at `rate`: label → runs."""
        labels = [label for label in labels if self.contenders[label].timed]
        labels += [DIRECT] * self.scenario.direct
        started = [*self.running.values(), *self.services.values(), self.service]
        with precedence.taken([process.pid for process in started]):
            return self.in_rounds(self.setting.latency_rounds_of(self.scenario), labels,
                                  self.open, rate)

    def syscalls(self, labels):
        """System calls a request: label → count. Without churn, so that all are requests'."""
        counts = {label: self.tried(label, self.counted) for label in labels}
        return {label: count for label, count in counts.items() if count}

    def counted(self, label):
        return syscalls.per_request(self.running[label], self.scenario, self.directory,
                                    self.setting)


def run(scenario, service, directory, setting):
    """All figures of one scenario."""
    place = directory / scenario.name
    place.mkdir()
    place.chmod(0o755)  # nginx's worker gives up root, and has to reach its own files
    bench = Bench(scenario, service, place, setting)
    with contextlib.ExitStack() as stack:
        bench.start(stack)
        note(f"{scenario.name}: {len(bench.running)} running")
        runs = bench.throughput()
        found = {"title": scenario.title, "base": scenario.base, "runs": runs,
                 "fixed_rate": None, "latency": {}, "syscalls": {}}
        if setting.latency_rounds_of(scenario):
            found["fixed_rate"] = figures.half_of_slowest(runs)
            if found["fixed_rate"]:
                found["latency"] = bench.latency(found["fixed_rate"], runs)
        if setting.syscalls:
            found["syscalls"] = bench.syscalls(runs)
        found["failures"] = bench.failures
    return found


def attempted(scenario, service, directory, setting):
    """The figures, or what was in their way: one scenario that fails leaves the others theirs."""
    try:
        return run(scenario, service, directory, setting)
    except FAILURES as reason:
        note(f"{scenario.name}: {reason}")
        return {"title": scenario.title, "base": scenario.base, "runs": {}, "fixed_rate": None,
                "latency": {}, "syscalls": {}, "failures": [("all", str(reason))]}
