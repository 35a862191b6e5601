"""A small result with known figures, for the tests of what is made from one."""


def run(cpu_us, rate=1000.0):
    return {"cpu_us": cpu_us, "worker_us": cpu_us, "rate": rate, "core": 0.9, "switches": 0.1,
            "clock": "schedstat"}


def latency(*micros):
    return dict(zip(("p50", "p99", "p99.9"), micros))


def result():
    """Ringway at 15 and 14 µs, HAProxy at 20 and 10: a ratio of 0.75 and one of 1.4."""
    found = {
        "title": "64 B, 64 connections", "base": "", "fixed_rate": 500, "failures": [],
        "runs": {"ringway": [run(15.0, 2000.0), run(14.0), run(15.0)],
                 "haproxy": [run(20.0), run(10.0), run(20.0)]},
        "latency": {"ringway": [latency(100, 200, 900)], "haproxy": [latency(150, 250, 400)],
                    "direct": [latency(50, 100, 150)]},
        "syscalls": {"ringway": {"calls": 4.1, "counter": "perf"}},
    }
    idle = {"before": 8 << 20, "during": 16 << 20, "after": 9 << 20, "each": 1000.0,
            "wait": 1.0, "connections": 8000}
    return {
        "format": 2, "scenarios": {"64b": found}, "idle": {"ringway": idle},
        "process": {"ringway": {"rss": 9 << 20, "seconds": 8.0, "cpu_percent": 0.049,
                                "ticks": 0}},
        "allocations": {"allocations": 0.0, "deallocations": 0.0, "requests": 1000},
        "versions": {"ringway": "ringway 1"},
        "options": {"proxies": ["ringway", "haproxy"], "rounds": 3, "seconds": 2,
                    "latency_rounds": 1, "latency_seconds": 2},
        "machine": {"cpu": "a CPU", "virtual": True, "cores": 2, "memory_bytes": 2 << 30,
                    "kernel": "6.1", "date": "2026-01-02T03:04:05+00:00", "commit": "abc"},
    }
