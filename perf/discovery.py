#!/usr/bin/env python3
"""What discovery costs with a real API server that holds 10,000 endpoints in 1,000 services: how
long an update takes to all workers, how long a full relist keeps a worker busy, and what 100
updates a second do to the p99 of requests.

    perf/discovery.py BINARY [--tools DIRECTORY] [--into perf/results/DATE-discovery]

BINARY is a ringway, DIRECTORY has `ringway-load` and `ringway-backend` (default target/release).
etcd and kube-apiserver are those that tests/setup builds. Takes about a minute.
"""

import argparse
import concurrent.futures
import json
import pathlib
import re
import signal
import statistics
import subprocess
import tempfile
import threading
import time

from comparison import machine
from comparison.apiserver import ApiServer
from comparison.process import PERF, Process, body_of, free_port

SERVICES, EACH = 1_000, 10
UPDATES = 200
ROUNDS = 3
SECONDS = 6
CHURN = 100  # updates a second
RATE = 1_500  # requests a second
SLICES = "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices"
MERGE = "application/merge-patch+json"


def endpoints(number, generation):
    """The endpoints of a service; in each generation at other addresses."""
    return [{"addresses": [f"10.{10 + generation % 100}.{number // 25}.{number % 25 * EACH + n + 1}"],
             "conditions": {"ready": True}} for n in range(EACH)]


def create(api, namespace, numbers):
    for number in numbers:
        name = f"service-{number}"
        api.ask("POST", f"/api/v1/namespaces/{namespace}/services", {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]}})
        api.ask("POST", SLICES.format(namespace), {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": "http", "port": 8080}], "endpoints": endpoints(number, 0)})


def move(api, namespace, number, generation, count=EACH):
    """`count` endpoints of a service move to other addresses."""
    moved = endpoints(number, generation)[:count] + endpoints(number, 0)[count:]
    api.ask("PATCH", f"{SLICES.format(namespace)}/service-{number}", {"endpoints": moved}, MERGE)


def everywhere(work, *arguments):
    """Does `work` for all services, four at once."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        parts = [range(n, SERVICES, 4) for n in range(4)]
        list(pool.map(lambda part: work(*arguments, part), parts))


def samples(ringway, family):
    """The samples of a family of /metrics, one for each worker."""
    text = body_of(ringway.admin, "/metrics").decode()
    return [float(v) for v in re.findall(rf"^{family}{{[^}}]*}} (\S+)$", text, re.MULTILINE)]


def generation(ringway):
    """That which all workers have adopted."""
    return min(samples(ringway, "ringway_worker_snapshot_generation"))


def known(ringway):
    """The addresses that worker 0 knows of the watched services."""
    clusters = json.loads(body_of(ringway.admin, "/endpoints"))["workers"][0]["clusters"]
    return {e["address"] for c in clusters if c["namespace"] == "shop" for e in c["endpoints"]}


def patiently(so, seconds=60):
    until = time.monotonic() + seconds
    while True:
        try:
            if so():
                return
        except OSError:
            pass
        if time.monotonic() > until:
            raise TimeoutError("not in time")
        time.sleep(0.2)


def latencies(api, ringway):
    """From when an update is sent, and from when the API server has confirmed it, until all
    workers have adopted it; in milliseconds, as the metrics show it, asked without pause."""
    sent, confirmed = [], []
    for turn in range(UPDATES):
        before, start = generation(ringway), time.monotonic()
        move(api, "shop", turn % SERVICES, 1 + turn // SERVICES, 1)
        event = time.monotonic()
        while generation(ringway) == before:
            if time.monotonic() > event + 10:
                raise TimeoutError("an update is not adopted")
        end = time.monotonic()
        sent.append((end - start) * 1e3)
        confirmed.append((end - event) * 1e3)
        time.sleep(0.05)
    return {"updates": UPDATES, "from_sending_ms": spread(sent), "from_event_ms": spread(confirmed)}


def spread(values):
    ordered = sorted(values)
    at = lambda share: ordered[min(len(ordered) - 1, int(share * len(ordered)))]
    return {"p50": at(0.5), "p99": at(0.99), "max": ordered[-1]}


def relist(api, ringway):
    """All 10,000 endpoints move while ringway hears nothing; then it lists everything."""
    first = max(samples(ringway, "ringway_worker_longest_adoption_seconds"), default=None)
    ringway.child.send_signal(signal.SIGSTOP)
    try:
        api.kill()
        api.revive()
        everywhere(lambda part: [move(api, "shop", number, 50) for number in part])
    finally:
        ringway.child.send_signal(signal.SIGCONT)
    wanted = {f"{e['addresses'][0]}:8080" for n in range(SERVICES) for e in endpoints(n, 50)}
    start = time.monotonic()
    patiently(lambda: known(ringway) == wanted)
    took = time.monotonic() - start
    longest = max(samples(ringway, "ringway_worker_longest_adoption_seconds"), default=None)
    return {"first_picture_longest_turn_ms": first and first * 1e3,
            "longest_turn_ms": longest and longest * 1e3, "agreed_after_s": took}


def p99(load, web, directory):
    report = directory / "load.json"
    subprocess.run(
        [load, "-t1", "-c16", f"-d{SECONDS}s", "--warmup", "500ms", f"-R{RATE}", "--strict",
         "--json", report, f"http://127.0.0.1:{web}/64"], check=True, capture_output=True)
    return json.loads(report.read_text())["latency_us"]["p99"] / 1e3


def churned(api, namespace, work):
    """The result of `work`, and updates a second beside it."""
    stop, made = threading.Event(), 0

    def write():
        nonlocal made
        start = time.monotonic()
        while not stop.is_set():
            move(api, namespace, made % 100, 60 + made // 100, 1)
            made += 1
            time.sleep(max(0.0, start + made / CHURN - time.monotonic()))

    writer = threading.Thread(target=write)
    start = time.monotonic()
    writer.start()
    try:
        return work(), made / (time.monotonic() - start)
    finally:
        stop.set()
        writer.join()


def churn(api, load, web, directory):
    """p99 beside updates of what is watched, and beside the same updates of what is not."""
    rounds = []
    for turn in range(ROUNDS):
        both = {}
        for namespace in ("shop", "other") if turn % 2 else ("other", "shop"):
            both[namespace] = churned(api, namespace, lambda: p99(load, web, directory))
        (watched, rate), (unwatched, _) = both["shop"], both["other"]
        rounds.append({"p99_ms": watched, "p99_beside_unwatched_ms": unwatched,
                       "ratio": watched / unwatched, "updates_per_second": rate})
    return {"rounds": rounds, "ratio": statistics.median(r["ratio"] for r in rounds)}


def measure(binary, tools, directory):
    backend_port, web, admin = free_port(), free_port(), free_port()
    with ApiServer(directory) as api:
        for namespace in ("shop", "other"):
            api.ask("POST", "/api/v1/namespaces", {
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        everywhere(create, api, "shop")
        create(api, "other", range(100))
        (directory / "ringway.yaml").write_text(
            f"workers: {{count: 2}}\nadmin: {{address: '127.0.0.1:{admin}'}}\n"
            f"services: {{app: {{endpoints: ['127.0.0.1:{backend_port}']}}}}\n"
            "listeners:\n"
            f"  - {{name: web, address: '127.0.0.1:{web}', kind: gateway, service: app}}\n"
            f"  - {{name: out, address: '127.0.0.1:{free_port()}', kind: outbound}}\n"
            f"discovery: {{kubernetes: {{kubeconfig: '{api.kubeconfig()}', "
            "scope: {namespaces: [shop]}}}\n")
        backend = Process("backend", [tools / "ringway-backend", "--listen",
                                      f"127.0.0.1:{backend_port}"], "0,1", backend_port, directory)
        ringway = Process("ringway", [binary, "run", "--config", "ringway.yaml"], "0,1", web,
                          directory)
        ringway.admin = admin
        with backend, ringway:
            ringway.await_answer({"/64": None}, 60)
            patiently(lambda: len(known(ringway)) == SERVICES * EACH)
            return {"update": latencies(api, ringway), "relist": relist(api, ringway),
                    "churn": churn(api, tools / "ringway-load", web, directory)}


def report(result):
    update, again, churn_ = result["update"], result["relist"], result["churn"]
    def shown(value):
        return "not known" if value is None else f"{value:.2f}"

    lines = [
        "# Discovery with 10,000 endpoints in 1,000 services", "",
        machine.line(result["machine"]), "",
        "API server, etcd, load, backend and two workers share the cores.", "",
        "| figure | value | target |", "|---|---:|---:|"]
    for what, key in (("its event", "from_event_ms"), ("sending it", "from_sending_ms")):
        spread_ = update[key]
        lines.append(f"| update from {what} to all workers, p50 / p99 / max of {update['updates']} | "
                     f"{spread_['p50']:.1f} / {spread_['p99']:.1f} / {spread_['max']:.1f} ms | 50 ms |")
    lines += [
        f"| longest turn of a worker at the first picture | "
        f"{shown(again['first_picture_longest_turn_ms'])} ms | 1 ms |",
        f"| longest turn of a worker until after a relist with every endpoint moved | "
        f"{shown(again['longest_turn_ms'])} ms | 1 ms |",
        f"| agreement after that relist | {again['agreed_after_s']:.2f} s | 5 s |"]
    ratios = ", ".join(f"{r['ratio']:.2f}" for r in churn_["rounds"])
    rates = ", ".join(f"{r['updates_per_second']:.0f}" for r in churn_["rounds"])
    lines.append(f"| p99 beside watched updates over p99 beside unwatched ones, median ({ratios}; "
                 f"{rates} updates/s) | {churn_['ratio']:.2f} | 1.2 |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--tools", type=pathlib.Path, default=PERF.parent / "target/release")
    parser.add_argument("--into", type=pathlib.Path)
    asked = parser.parse_args()
    described = machine.described()
    with tempfile.TemporaryDirectory() as directory:
        result = measure(asked.binary.resolve(), asked.tools.resolve(), pathlib.Path(directory))
    result = {"machine": described, **result}
    into = asked.into or PERF / "results" / f"{described['date'][:10]}-discovery"
    into.mkdir(parents=True, exist_ok=True)
    (into / "discovery.json").write_text(json.dumps(result, indent=1) + "\n")
    (into / "discovery.md").write_text(report(result))
    print(report(result))


main()
