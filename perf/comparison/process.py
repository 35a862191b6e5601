"""Programs under measurement: started on one core, found out to answer, ended by their pid."""

import http.client
import os
import pathlib
import shutil
import socket
import subprocess
import time

PERF = pathlib.Path(__file__).resolve().parent.parent


class Broken(Exception):
    """Something the comparison needs is missing or does not answer."""


class Process:
    """One program on a set of cores, listening on a loopback port; ended by its own pid."""

    def __init__(self, name, command, cores, port, directory, env=None):
        self.name, self.port = name, port
        self.admin = None  # ringway's second port, where its metrics are
        self.beside = []  # what ends with it
        self.log = directory / f"{name}.log"
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                ["taskset", "-c", str(cores), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory,
                env={**os.environ, **(env or {})},
            )

    @property
    def pid(self):
        return self.child.pid

    def await_answer(self, wanted, seconds=30.0):
        """Waits until every path of `wanted` gives its bytes (None: any) through this process."""
        until = time.monotonic() + seconds
        while True:
            try:
                for path, body in wanted.items():
                    check_body(self.port, path, body)
                return self
            except (OSError, http.client.HTTPException, Broken) as reason:
                if self.child.poll() is not None:
                    raise Broken(f"{self.name} ended:\n{self.tail()}") from reason
                if time.monotonic() > until:
                    raise Broken(f"{self.name}: {reason}\n{self.tail()}") from reason
                time.sleep(0.05)

    def tail(self):
        return self.log.read_text(errors="replace")[-2000:]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for other in self.beside:
            other.__exit__()
        self.child.terminate()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def body_of(port, path):
    """The body of a GET on the loopback port; anything but a 200 is an error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise Broken(f"GET {path} gave {answer.status}")
    return content


def check_body(port, path, body):
    content = body_of(port, path)
    if body is not None and content != body:
        raise Broken(f"GET {path} gave {len(content)} bytes, not the {len(body)} of the backend")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def found(program, *places):
    """The path of an installed program, or an error that says how to get it."""
    for place in (shutil.which(program), *map(str, places)):
        if place and os.access(place, os.X_OK):
            return place
    raise Broken(f"{program} is not installed: run perf/setup")
