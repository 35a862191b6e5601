"""Memory and CPU of proxies that have nothing to do: idle connections, and an idle process."""

import socket
import time

from . import procfs
from .process import Broken


def open_idle(port, count, body):
    """Opens `count` connections, each of which has had one request answered."""
    ask = b"GET /64 HTTP/1.1\r\nHost: service\r\n\r\n"
    held = []
    for _ in range(count):
        peer = socket.create_connection(("127.0.0.1", port), timeout=5)
        held.append(peer)
        peer.sendall(ask)
        answer = b""
        while not answer.endswith(b"\r\n\r\n" + body):
            part = peer.recv(4096)
            if not part:
                raise Broken(f"connection {len(held)} was closed after {answer[:200]!r}")
            answer += part
    return held


def close(held):
    for peer in held:
        peer.close()


def connections(process, count, body, wait=10.0):
    """RSS before, with and after `count` idle connections; `after` is the lowest in `wait` s."""
    close(open_idle(process.port, 64, body))
    time.sleep(1)
    before = procfs.rss_bytes(process.pid)
    held = open_idle(process.port, count, body)
    time.sleep(1)
    during = procfs.rss_bytes(process.pid)
    close(held)
    closed = time.monotonic()
    after, waited = during, 0.0
    while time.monotonic() < closed + wait and after > before:
        time.sleep(0.25)
        now = procfs.rss_bytes(process.pid)
        if now < after:
            after, waited = now, time.monotonic() - closed
    return {"before": before, "during": during, "after": after,
            "each": (during - before) / count, "wait": waited, "connections": count}


def process_at_rest(process, body, seconds=8):
    """RSS and CPU of a process that has answered a few requests and now waits."""
    close(open_idle(process.port, 8, body))
    time.sleep(2)
    start = procfs.read(process.pid)
    time.sleep(seconds)
    spent = procfs.read(process.pid).minus(start)
    return {"rss": procfs.rss_bytes(process.pid), "seconds": spent.at,
            "cpu_percent": spent.sched_ns / spent.at / 1e7,
            "ticks": round(spent.stat_ns / procfs.TICK_NS)}
