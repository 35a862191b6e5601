"""Where the programs under comparison are, and which versions they say they have."""

import dataclasses
import os
import pathlib
import re
import subprocess

from .process import PERF, Broken, found

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", PERF.parent / "target")).absolute()


@dataclasses.dataclass(frozen=True)
class Programs:
    """The paths of what is built from source; the rest comes from Debian and PyPI."""

    ringway: pathlib.Path
    load: pathlib.Path
    backend: pathlib.Path
    pingora: pathlib.Path
    forwarder: pathlib.Path

    @classmethod
    def at(cls, ringway, tools, rivals):
        """Of the binary `ringway` and the directories of our tools and of the built rivals."""
        return cls(ringway.absolute(), tools.absolute() / "ringway-load",
                   tools.absolute() / "ringway-backend", rivals.absolute() / "perf-pingora",
                   rivals.absolute() / "perf-forwarder")

    def check(self, proxies):
        """Fails with what to do when a program that `proxies` need is not there."""
        needed = {"load": self.load, "backend": self.backend}
        for name in ("pingora", "forwarder"):
            if name in proxies:
                needed[name] = getattr(self, name)
        if any(name.startswith("ringway") for name in proxies):
            needed["ringway"] = self.ringway
        for name, path in needed.items():
            if not os.access(path, os.X_OK):
                raise Broken(f"{path} does not exist: {HOW[name]}")
        for name, find in (("haproxy", haproxy), ("nginx", nginx), ("envoy", envoy)):
            if name in proxies:
                find()


TOOLS = "cargo build --release --locked -p ringway-load, or --tools DIR"
RIVALS = "perf/setup builds it, or --rivals DIR"
HOW = {"ringway": "cargo build --release --locked, or --ringway PATH", "load": TOOLS,
       "backend": TOOLS, "pingora": RIVALS, "forwarder": RIVALS}


def haproxy():
    return found("haproxy", "/usr/sbin/haproxy")


def nginx():
    return found("nginx", "/usr/sbin/nginx")


def envoy():
    """The binary inside the wheel: the wheel's own `envoy` script would be a Python parent."""
    inside = sorted((PERF / ".venv").glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    return str(inside[0]) if inside else found("envoy")


def locked(package, lock=PERF / "rivals" / "Cargo.lock"):
    """The version of a crate in the lock file of the rivals."""
    match = re.search(rf'name = "{package}"\nversion = "([^"]+)"', lock.read_text())
    return match[1] if match else "unknown"


def asked(name, *command):
    """The name with the version in the first line of what a program says about itself."""
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (run.stdout + run.stderr).strip().splitlines()
    version = re.search(r"\b\d+\.\d+\.\d+", lines[0]) if lines else None
    return f"{name} {version[0] if version else 'of unknown version'}"


def versions(proxies, programs):
    """What each program says its version is, for the record beside the figures."""
    ask = {
        "ringway": lambda: asked("ringway", programs.ringway, "--version"),
        "haproxy": lambda: asked("HAProxy", haproxy(), "-v"),
        "nginx": lambda: asked("nginx", nginx(), "-v"),
        "envoy": lambda: asked("Envoy", envoy(), "--version"),
        "pingora": lambda: f"Pingora {locked('pingora')}",
        "forwarder": lambda: f"forwarder on monoio {locked('monoio')}",
    }
    return {name: ask[name]() for name in dict.fromkeys(p.removesuffix("-epoll") for p in proxies)}
