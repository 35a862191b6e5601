"""The proxies under comparison: how each is configured, started, checked and ended."""

import http.client
import os
import pathlib
import shutil
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
NAMES = ("ringway", "ringway-epoll", "haproxy", "nginx", "envoy")
SMALL, LARGE = "/64", "/16k"
BODIES = {SMALL: b"r" * 64, LARGE: b"w" * 16384}


class Broken(Exception):
    """Something the comparison needs is missing or does not answer."""


class Process:
    """One program on one core, listening on a loopback port; ended by its own pid."""

    def __init__(self, name, command, core, port, directory, env=None):
        self.name, self.port = name, port
        self.log = directory / f"{name}.log"
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                ["taskset", "-c", str(core), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory,
                env={**os.environ, **(env or {})},
            )

    @property
    def pid(self):
        return self.child.pid

    def await_answer(self, seconds=15.0):
        """Waits until each body arrives whole through this process."""
        until = time.monotonic() + seconds
        while True:
            try:
                for path, body in BODIES.items():
                    check_body(self.port, path, body)
                return self
            except (OSError, http.client.HTTPException, Broken) as reason:
                if self.child.poll() is not None:
                    raise Broken(f"{self.name} ended:\n{self.tail()}") from reason
                if time.monotonic() > until:
                    raise Broken(f"{self.name}: {reason}\n{self.tail()}") from reason
                time.sleep(0.1)

    def tail(self):
        return self.log.read_text(errors="replace")[-2000:]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def check_body(port, path, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != 200 or content != body:
        raise Broken(f"GET {path} gave {answer.status} and {len(content)} bytes")


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


def filled(template, directory, **values):
    """Writes rivals/<template> with its @NAMES@ filled in, and returns the file's path."""
    text = (HERE / "rivals" / template).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    path = directory / template
    path.write_text(text)
    return path


def backend(directory, core):
    """nginx with the fixed bodies, on the core of the load."""
    www = directory / "www"
    www.mkdir()
    for path, body in BODIES.items():
        (www / path.lstrip("/")).write_bytes(body)
    port = free_port()
    config = filled("backend.conf", directory, LISTEN=port, DIR=directory)
    command = [found("nginx", "/usr/sbin/nginx"), "-e", "stderr", "-c", config]
    return Process("backend", command, core, port, directory)


def start(name, upstream, directory, core, ringway):
    """Starts the proxy `name` in front of the loopback port `upstream`."""
    port = free_port()
    env = {}
    if name.startswith("ringway"):
        command = [ringway, "to", f"127.0.0.1:{upstream}", "--listen", f"127.0.0.1:{port}"]
        command += ["--admin", f"127.0.0.1:{free_port()}", "--workers", "1"]
        env = {"RINGWAY_DRIVER": "epoll" if name == "ringway-epoll" else "uring"}
    elif name == "haproxy":
        config = filled("haproxy.cfg", directory, LISTEN=port, BACKEND=upstream)
        command = [found("haproxy", "/usr/sbin/haproxy"), "-db", "-f", config]
    elif name == "nginx":
        config = filled("nginx.conf", directory, LISTEN=port, BACKEND=upstream, DIR=directory)
        command = [found("nginx", "/usr/sbin/nginx"), "-e", "stderr", "-c", config]
    else:
        config = filled("envoy.yaml", directory, LISTEN=port, BACKEND=upstream)
        command = [envoy(), "-c", config, "--concurrency", "1", "--disable-hot-restart"]
        command += ["--log-level", "error"]
    return Process(name, command, core, port, directory, env)


def envoy():
    """The binary inside the wheel: the wheel's own `envoy` script would be a Python parent."""
    inside = sorted((HERE / ".venv").glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    return found("envoy", *inside) if not inside else str(inside[0])


def versions(names, ringway):
    """What each program says its version is, for the record beside the figures."""
    ask = {
        "ringway": lambda: [ringway, "--version"],
        "haproxy": lambda: [found("haproxy", "/usr/sbin/haproxy"), "-v"],
        "nginx": lambda: [found("nginx", "/usr/sbin/nginx"), "-v"],
        "envoy": lambda: [envoy(), "--version"],
    }
    said = {}
    for name in dict.fromkeys(n.removesuffix("-epoll") for n in names):
        run = subprocess.run(ask[name](), capture_output=True, text=True, check=False)
        lines = (run.stdout + run.stderr).strip().splitlines()
        # Envoy puts its own path in front of the version.
        said[name] = lines[0].rpartition("  version: ")[2].strip() if lines else "unknown"
    return said
