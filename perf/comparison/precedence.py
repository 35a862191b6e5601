"""Puts what is measured before the other programs of the machine, as far as the kernel allows."""

import contextlib
import functools
import os
import pathlib

NICE = -18
# Where the kernel groups processes by session, niceness counts within a group only, and that of
# the group decides between sessions.
GROUP = pathlib.Path("/proc/self/autogroup")
ENABLED = pathlib.Path("/proc/sys/kernel/sched_autogroup_enabled")


def grouped():
    """Whether sessions are groups to the scheduler."""
    try:
        return ENABLED.read_text().strip() == "1" and GROUP.exists()
    except OSError:
        return False


def of_group():
    """The niceness of this session's group, from "/autogroup-7 nice 0"."""
    return int(GROUP.read_text().rpartition(" ")[2])


def threads(pids):
    """All threads of these processes, and this program, whose load inherits it."""
    for pid in pids:
        with contextlib.suppress(OSError):
            yield from map(int, os.listdir(f"/proc/{pid}/task"))
    yield 0


def to_group(nice):
    GROUP.write_text(str(nice))


def to_threads(pids, nice):
    for thread in threads(pids):
        os.setpriority(os.PRIO_PROCESS, thread, nice)


@contextlib.contextmanager
def taken(pids):
    """Within, these processes and what this program starts come before other programs, all of
    them alike. It takes root; without it nothing changes. Yields whether they do."""
    before = of_group() if grouped() else os.getpriority(os.PRIO_PROCESS, 0)
    put = to_group if grouped() else functools.partial(to_threads, pids)
    try:
        put(NICE)
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):
            put(before)
