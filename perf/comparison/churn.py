"""Updates EndpointSlices at a constant rate: each update moves one endpoint to another address.

A program of its own (`python3 -m comparison.churn DIRECTORY SLICES PORT RATE`), so that it does
not hold up the readings. Writes a line for each update: its moment on the monotonic clock.
"""

import pathlib
import signal
import sys
import time

from . import manifests


def updates(slices, size=manifests.SLICE):
    """Without end: the slice of each update and the endpoints of it that have moved by then."""
    moved = [set() for _ in range(slices)]
    turn = 0
    while True:
        number = turn % slices
        endpoint = number * size + (turn // slices) % size
        moved[number] ^= {endpoint}
        yield number, moved[number]
        turn += 1


def main(directory, slices, port, rate):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    start, made = time.monotonic(), 0
    for number, moved in updates(slices):
        late = start + made / rate - time.monotonic()
        if late > 0:
            time.sleep(late)
        text = manifests.slice_text(number, port, moved)
        manifests.put(manifests.slice_path(directory, number), text)
        made += 1
        print(f"{time.monotonic():.6f}", flush=True)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:5]))
