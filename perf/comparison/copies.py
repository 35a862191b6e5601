"""Counts what a program copies in user space: the sizes of its calls of memcpy and memmove.

A probe of the kernel on the C library's one function for both, by perf(1). Copies of a few bytes
that the compiler writes out itself are not seen; those of a body's pieces are calls.
"""

import contextlib
import ctypes
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import time

from . import generator
from .process import Broken

PROBES = pathlib.Path("/sys/kernel/tracing/uprobe_events")
GROUP, NAME = "ringway_compare", "copied"
SIZE = {"x86_64": "%dx", "aarch64": "%x2"}  # the register of the third argument
PIECE = 1024  # bytes; what is copied of heads and settings is less


def function():
    """The file of the C library, and the offset in it of what memcpy is here; ours and ringway's
    are the same file."""
    library = ctypes.CDLL("libc.so.6")
    address = ctypes.cast(library.memcpy, ctypes.c_void_p).value
    for line in pathlib.Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        first, _, end = fields[0].partition("-")
        if int(first, 16) <= address < int(end, 16):
            return fields[5], address - int(first, 16) + int(fields[2], 16)
    raise Broken("memcpy is in no file that is mapped")


@contextlib.contextmanager
def probe():
    """The probe is there within; its name for perf."""
    register = SIZE.get(platform.machine())
    if not shutil.which("perf") or register is None:
        raise Broken("copies are counted by perf(1), on x86-64 and arm64")
    path, offset = function()
    put(f"p:{GROUP}/{NAME} {path}:{offset:#x} size={register}:u64")
    try:
        yield f"{GROUP}:{NAME}"
    finally:
        put(f"-:{GROUP}/{NAME}")


def put(line):
    """Adds a line to the kernel's list of probes, in which nothing can seek."""
    with open(PROBES, "wb", buffering=0, opener=lambda path, _: os.open(
            path, os.O_WRONLY | os.O_APPEND)) as probes:
        probes.write(line.encode())


def sizes(text):
    """The sizes in what `perf script` prints."""
    return [int(size, 0) for size in re.findall(r"\bsize=(0x[0-9a-f]+|\d+)", text)]


def per_request(process, scenario, directory, setting, seconds=0.5):
    """Bytes copied a request, of them in pieces as large as a body's, and the body's length."""
    data = directory / "copies.data"
    line = generator.command(scenario, process.port, seconds, setting, warmup=0)
    # What is allocated and filled for the first time is no request's.
    generator.drive(line, directory, process.name)
    with probe() as event:
        record = ["perf", "record", "-q", "-e", event, "-p", str(process.pid), "-o", str(data)]
        with subprocess.Popen(record, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as tracer:
            try:
                time.sleep(0.3)
                report = generator.drive(line, directory, process.name)
            finally:
                tracer.send_signal(signal.SIGINT)
        shown = subprocess.run(["perf", "script", "-i", str(data), "-F", "event,trace"],
                               capture_output=True, text=True, check=False)
    seen, requests = sizes(shown.stdout), report["requests"]
    if not seen:
        raise Broken(f"perf saw {process.name} copy nothing at all: {shown.stderr[-300:]}")
    return {"bytes": sum(seen) / requests, "calls": len(seen) / requests,
            "pieces": sum(size for size in seen if size >= PIECE) / requests,
            "requests": requests}
