#!/usr/bin/env python3
"""What an endpoint costs in memory: ringway with manifests of 1,000 services and with their
10,000 endpoints, and the difference in resident memory.

    perf/endpoints.py target/release/ringway
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

SERVICES = 1_000
EACH = 10
ROUNDS = 3
ADMIN = "127.0.0.1:4991"


def service(number):
    return f"""apiVersion: v1
kind: Service
metadata: {{name: service-{number}, namespace: shop}}
spec:
  clusterIP: 10.96.{number // 250}.{number % 250 + 1}
  ports: [{{name: http, port: 80, targetPort: http}}]
---
"""


def endpoint_slice(number):
    endpoints = "\n".join(
        f"- addresses: [10.{number // 250}.{number % 250}.{n + 1}]\n"
        f"  conditions: {{ready: true, serving: true, terminating: false}}\n"
        f"  nodeName: node-{n}\n  zone: zone-{n % 3}\n"
        f"  targetRef: {{kind: Pod, name: service-{number}-7d9c5f8b6d-x{n:04}}}"
        for n in range(EACH)
    )
    return f"""apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: service-{number}-abcde
  namespace: shop
  labels: {{kubernetes.io/service-name: service-{number}}}
addressType: IPv4
ports: [{{name: http, port: 8080}}]
endpoints:
{endpoints}
---
"""


def resident(binary, workers, with_services, with_endpoints):
    """RSS in KiB once everything is known and it has got quiet."""
    with tempfile.TemporaryDirectory() as folder:
        manifests = pathlib.Path(folder, "manifests")
        manifests.mkdir()
        for number in range(SERVICES if with_services else 0):
            text = service(number) + (endpoint_slice(number) if with_endpoints else "")
            (manifests / f"{number}.yaml").write_text(text)
        config = pathlib.Path(folder, "ringway.yaml")
        config.write_text(
            f"workers: {{count: {workers}}}\nadmin: {{address: '{ADMIN}'}}\n"
            "discovery: {manifests: manifests, namespace: shop}\n"
            "listeners: [{name: out, kind: outbound, address: '127.0.0.1:4990'}]\n"
        )
        process = subprocess.Popen(
            [binary, "run", "--config", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            patiently("/ready")
            time.sleep(4)
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            # Asked afterwards, because the answer takes memory too.
            clusters = json.loads(patiently("/endpoints"))["workers"][0]["clusters"]
            known = sum(len(cluster["endpoints"]) for cluster in clusters)
            expected = SERVICES * EACH if with_endpoints else 0
            assert known == expected, f"{known} endpoints, not {expected}"
            return int(status.split("VmRSS:")[1].split()[0])
        finally:
            process.terminate()
            process.wait(10)


def patiently(page):
    """A page of the admin server, once it answers."""
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://{ADMIN}{page}", timeout=10) as answer:
                return answer.read()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def main():
    binary = sys.argv[1]
    for workers in (1, 2):
        rows = [
            [
                resident(binary, workers, *what)
                for what in ((False, False), (True, False), (True, True))
            ]
            for _ in range(ROUNDS)
        ]
        empty, services, endpoints = (statistics.median(row[n] for row in rows) for n in range(3))
        print(
            f"{workers} worker(s): {empty / 1024:.1f} MiB with nothing, "
            f"{services / 1024:.1f} with {SERVICES} services "
            f"({(services - empty) * 1024 / SERVICES:.0f} bytes each), "
            f"{endpoints / 1024:.1f} with {SERVICES * EACH} endpoints "
            f"({(endpoints - services) * 1024 / (SERVICES * EACH):.0f} bytes each)"
        )


main()
