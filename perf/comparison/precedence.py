"""Puts what is measured before the other programs of the machine, as far as the kernel allows."""

import contextlib
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


@contextlib.contextmanager
def taken():
    """Within, this program and what it starts come first; all contenders alike. Yields whether
    they do: it takes root."""
    if grouped():
        read, write = of_group, lambda nice: GROUP.write_text(str(nice))
    else:
        read = lambda: os.getpriority(os.PRIO_PROCESS, 0)
        write = lambda nice: os.setpriority(os.PRIO_PROCESS, 0, nice)
    before = read()
    try:
        write(NICE)
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):
            write(before)
