"""Memory and CPU of proxies that have nothing to do: idle connections, and an idle process."""

import socket
import time

from . import procfs
from .process import Broken


ASK = b"GET /64 HTTP/1.1\r\nHost: service\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    """A frame of HTTP/2."""
    return (len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
            + payload)


# What a client of HTTP/2 begins with, and the same request: GET, http, /64, service.
ASK_H2 = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(4, 1, 0)
          + frame(1, 0x5, 1, b"\x82\x86\x04\x03/64\x01\x07service"))


def answered(received, body):
    """Whether the answer to ASK is whole."""
    return received.endswith(b"\r\n\r\n" + body)


def answered_h2(received, body):
    """Whether the answer to ASK_H2 is whole: its body is there, and its stream has ended."""
    seen = b""
    while len(received) >= 9:
        length = int.from_bytes(received[:3], "big")
        payload, kind, flags = received[9:9 + length], received[3], received[4]
        if len(payload) < length:
            return False
        if kind == 0:
            seen += payload
        if kind in (0, 1) and flags & 1:
            return seen == body
        received = received[9 + length:]
    return False


HTTP1, HTTP2 = (ASK, answered), (ASK_H2, answered_h2)


def open_idle(port, count, body, protocol=HTTP1):
    """Opens `count` connections, each of which has had one request answered."""
    ask, is_whole = protocol
    held = []
    for _ in range(count):
        peer = socket.create_connection(("127.0.0.1", port), timeout=5)
        held.append(peer)
        peer.sendall(ask)
        answer = b""
        while not is_whole(answer, body):
            part = peer.recv(4096)
            if not part:
                raise Broken(f"connection {len(held)} was closed after {answer[:200]!r}")
            answer += part
    return held


def close(held):
    for peer in held:
        peer.close()


def connections(process, count, body, wait=10.0, protocol=HTTP1):
    """RSS before, with and after `count` idle connections; `after` is the lowest in `wait` s."""
    close(open_idle(process.port, 64, body, protocol))
    time.sleep(1)
    before = procfs.rss_bytes(process.pid)
    held = open_idle(process.port, count, body, protocol)
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
