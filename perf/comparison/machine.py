"""What figures depend on: the machine, the kernel, the versions; without it they are no result."""

import datetime
import os
import platform
import re
import subprocess

from .process import PERF


def field(path, pattern, default="unknown"):
    """The first match of `pattern` in a file of /proc."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            match = re.search(pattern, file.read(), re.MULTILINE)
    except OSError:
        return default
    return match[1].strip() if match else default


def git(*command):
    run = subprocess.run(["git", *command], cwd=PERF, capture_output=True, text=True, check=False)
    return run.stdout.strip()


def described():
    """The machine as JSON; nothing in it names the machine itself."""
    memory = int(field("/proc/meminfo", r"^MemTotal:\s+(\d+)", "0")) * 1024
    flags = field("/proc/cpuinfo", r"^flags\s*:(.*)$", "")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":(exclude)results")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": git("rev-parse", "--short", "HEAD") + ("+changes" if changed else ""),
        "kernel": platform.release(),
        "cpu": field("/proc/cpuinfo", r"^model name\s*:(.*)$", platform.machine()),
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "virtual": "hypervisor" in flags.split(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
    }


def line(machine):
    """One sentence for a report."""
    kind = "virtual machine" if machine["virtual"] else "machine"
    memory = f"{machine['memory_bytes'] / 2**30:.0f} GiB"
    return (f"{machine['cpu']}, {kind} with {machine['cores']} cores and {memory}, "
            f"Linux {machine['kernel']}, {machine['date'][:10]}, ringway at {machine['commit']}")
