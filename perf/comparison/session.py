"""A whole comparison: every chosen part, one after the other, and the result they make."""

import contextlib
import dataclasses
import os
import pathlib
import resource
import tempfile
import time

from . import allocations, copies, generator, machine, memory, proxies, rounds, scenarios
from .process import Broken, body_of
from .programs import versions
from .report import FORMAT
from .rounds import note
from .setting import minutes


def raise_fd_limit(needed):
    """Children inherit it: the proxy holds two fds for each of our one, at the worst."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise Broken(f"the fd limit is {hard}, {needed} are needed: raise ulimit -Hn")
    soft = 20000 if hard == resource.RLIM_INFINITY else min(hard, 20000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# A scenario whose load asks for what an idle connection has asked for.
H2_PROBE = scenarios.Scenario("probe", "", connections=1, streams=1)


def fresh(stack, name, service, directory, setting, behind="one"):
    """A proxy of its own for one reading, so that what went before leaves no trace in it."""
    contender = scenarios.Contender(name, name, behind)
    place = pathlib.Path(stack.enter_context(
        tempfile.TemporaryDirectory(prefix=f"{name}-", dir=directory)))
    place.chmod(0o755)
    process = stack.enter_context(proxies.start(contender, service.port, place, setting))
    if behind == "h2":
        return generator.await_verified(process, H2_PROBE, setting)
    return process.await_answer(rounds.bodies(service.port))


def apart(part, names, read):
    """Readings of processes of their own: name → reading. Who fails is told and left out."""
    readings = {}
    for name in names:
        try:
            with contextlib.ExitStack() as stack:
                readings[name] = read(stack, name)
            note(f"{part}: {name}")
        except rounds.FAILURES as reason:
            note(f"{part}: {name}: {reason}")
    return readings


def idle(service, directory, setting):
    """Memory around many idle connections, of each proxy."""
    body = body_of(service.port, "/64")

    def read(stack, name):
        process = fresh(stack, name, service, directory, setting)
        return memory.connections(process, setting.idle, body, setting.idle_wait)
    names = [c.proxy for c in scenarios.among(scenarios.PROXYING, setting.proxies)]
    return apart(scenarios.IDLE, names, read)


def idle_h2(service, directory, setting):
    """The same of HTTP/2, of each proxy that speaks it."""
    body = body_of(service.port, "/64")

    def read(stack, name):
        process = fresh(stack, name, service, directory, setting, "h2")
        return memory.connections(process, setting.idle, body, setting.idle_wait, memory.HTTP2)
    names = [c.proxy for c in scenarios.among(scenarios.H2, setting.proxies)]
    return apart(scenarios.IDLE_H2, names, read)


def at_rest(service, directory, setting):
    """Ringway with two workers that has nothing to do."""
    body = body_of(service.port, "/64")
    two = dataclasses.replace(setting, workers=2,
                              proxy_cores=f"{setting.proxy_core},{setting.load_core}")

    def read(stack, name):
        return memory.process_at_rest(fresh(stack, name, service, directory, two), body)
    ours = [name for name in setting.proxies if name in scenarios.RINGWAY]
    return apart(scenarios.PROCESS, ours, read)


def copied(service, directory, setting):
    """What is copied of bodies in either direction: by ringway, and by HAProxy as the control."""
    found = {}
    for scenario in scenarios.ALL:
        if scenario.name not in ("16k", "upload-16k"):
            continue

        def read(stack, name, scenario=scenario):
            process = fresh(stack, name, service, directory, setting)
            return copies.per_request(process, scenario, directory, setting)
        names = [name for name in setting.proxies if name in ("ringway", "haproxy")]
        found[scenario.name] = apart(scenarios.COPIES, names, read)
    return found


def counted(service, directory, setting):
    """Allocations a request of the build that counts them; None without such a build."""
    if not setting.counted:
        return None
    paths = dataclasses.replace(setting.programs, ringway=setting.counted.absolute())
    counting = dataclasses.replace(setting, programs=paths)

    def read(stack, name):
        process = fresh(stack, name, service, directory, counting)
        return allocations.per_request(process, scenarios.ALL[0], setting)
    return apart("allocations", ["ringway"], read).get("ringway")


def measure(setting):
    """Runs everything and returns the result."""
    setting.programs.check(setting.proxies)
    raise_fd_limit(2 * setting.idle + 500)
    # Our own readings must not take time from the proxy's core.
    os.sched_setaffinity(0, {setting.load_core})
    start, facts = time.monotonic(), machine.described()
    if facts["load_average"] > 0.5:
        note(f"the machine is busy (load {facts['load_average']:.1f}): trust the ratios only")
    note(f"about {minutes(setting):.0f} minutes")
    with tempfile.TemporaryDirectory(prefix="ringway-perf-") as name:
        directory = pathlib.Path(name)
        directory.chmod(0o755)  # nginx's worker gives up root, and has to reach its files
        with proxies.backend(directory, setting) as service:
            service.await_answer({"/64": None})
            parts = parts_of(service, directory, setting)
    return {"format": FORMAT, "machine": facts, "options": setting.shown(),
            "versions": versions(setting.proxies, setting.programs), **parts,
            "minutes": (time.monotonic() - start) / 60}


def parts_of(service, directory, setting):
    found = {scenario.name: rounds.attempted(scenario, service, directory, setting)
             for scenario in setting.scenarios}
    names = setting.names
    return {
        "scenarios": found,
        "idle": idle(service, directory, setting) if scenarios.IDLE in names else {},
        "idle_h2": idle_h2(service, directory, setting) if scenarios.IDLE_H2 in names else {},
        "copies": copied(service, directory, setting) if scenarios.COPIES in names else {},
        "process": at_rest(service, directory, setting) if scenarios.PROCESS in names else {},
        "allocations": counted(service, directory, setting),
    }
