"""Drives ringway-load, and charges the proxy's CPU time to the requests it saw answered."""

import json
import subprocess
import time

from . import procfs
from .process import Broken


def command(scenario, port, seconds, setting, rate=None, warmup=None):
    """The load of a scenario: a closed loop, or an open one at `rate` requests a second."""
    line = ["taskset", "-c", setting.load_core, setting.programs.load, "-t", 1,
            *speaking(scenario), "-c", scenario.connections, "-d", millis(seconds),
            "--timeout", "10s",  # only what hangs is an error: slowness shows in the figures
            "--warmup", millis(scenario.warmup if warmup is None else warmup)]
    if scenario.upload:
        line += ["--body-size", scenario.upload]
    if scenario.requests_per_connection:
        line += ["--requests-per-connection", scenario.requests_per_connection]
    if rate:
        line += ["-R", rate]
    return [str(part) for part in [*line, f"http://127.0.0.1:{port}{scenario.path}"]]


def speaking(scenario):
    """What the load speaks: HTTP/2 or gRPC where the scenario has streams."""
    return (["-m", scenario.streams] if scenario.streams else []) + ["--grpc"] * scenario.grpc


def verifying(scenario, port, setting):
    """One connection for a moment, whose answers have to be the backend's own bytes."""
    line = [setting.programs.load, "-t", 1, *speaking(scenario), "-c", 1, "-d", "100ms",
            "--timeout", "2s", "--verify", "--strict"]
    line += ["--body-size", scenario.upload] if scenario.upload else []
    return [str(part) for part in [*line, f"http://127.0.0.1:{port}{scenario.path}"]]


def await_verified(process, scenario, setting, seconds=30.0):
    """Waits until answers come through a proxy whose HTTP/2 nothing else here speaks."""
    until = time.monotonic() + seconds
    while True:
        run = subprocess.run(verifying(scenario, process.port, setting), capture_output=True,
                             text=True, check=False)
        if run.returncode == 0:
            return process
        if process.child.poll() is not None or time.monotonic() > until:
            raise Broken(f"{process.name}: {run.stdout}{run.stderr}\n{process.tail()}")
        time.sleep(0.05)


def millis(seconds):
    return f"{round(1000 * seconds)}ms"


def drive(line, directory, what):
    """Runs the load to its end and returns its report; a failed request is an error."""
    path = directory / "load.json"
    path.unlink(missing_ok=True)
    run = subprocess.run([*line, "--json", str(path)], capture_output=True, text=True, check=False)
    if not path.exists():
        raise Broken(f"{what}: the load gave no report\n{' '.join(line)}\n{run.stdout}{run.stderr}")
    report = json.loads(path.read_text())
    trouble = {kind: n for kind, n in report["errors"].items() if n}
    if run.returncode or trouble or not report["requests"]:
        raise Broken(f"{what}: {report['requests']} answers, errors {trouble}\n"
                     f"{run.stdout}{run.stderr}")
    return report


def closed(process, scenario, seconds, directory, setting):
    """One run as fast as answers come: CPU a request, throughput, context switches."""
    line = command(scenario, process.port, seconds, setting)
    with procfs.Watch(process.pid) as watch:
        report = drive(line, directory, process.name)
        end = time.monotonic()
    return charged(report, watch.readings, end)


def charged(report, readings, end):
    """What the proxy spent a request while the load counted: the last `duration_s` before `end`."""
    seconds, requests = report["duration_s"], report["requests"]
    spent = procfs.between(readings, end - seconds, end)
    cpu, clock = procfs.cpu_ns(spent)
    return {
        "cpu_us": cpu / requests / 1000,  # microseconds of proxy CPU a request
        "worker_us": spent.worker_ns / requests / 1000,  # of it, threads named worker-N
        "rate": requests / seconds,  # requests a second
        "core": cpu / seconds / 1e9,  # share of one core that the proxy used
        "switches": spent.switches / requests,  # context switches a request
        "clock": clock,
    }


def open_loop(port, scenario, rate, seconds, directory, setting, what):
    """One run at a constant rate: latencies in microseconds from when a request was due."""
    line = command(scenario, port, seconds, setting, rate, scenario.open_warmup)
    report = drive(line, directory, what)
    return {"rate": report["requests"] / report["duration_s"], **report["latency_us"]}
