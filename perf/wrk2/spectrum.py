#!/usr/bin/env python3
"""Draws the latency spectrum from outputs of `wrk2 --latency`, or of ringway-load."""

import argparse
import math
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from comparison import svg  # noqa: E402 (its directory has to be known first)

ROW = re.compile(r"^\s*(\d+(?:\.\d+)?)\s+([01]\.\d+)\s+(\d+)\s+(\d+(?:\.\d+)?|inf)\s*$")
HEAD = "Detailed Percentile spectrum"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 460, 70, 190, 60, 56


class NoSpectrum(Exception):
    """A file that holds no percentile spectrum."""


def spectrum(text, name="the file"):
    """The pairs (percentile as a fraction, milliseconds) below the heading of the spectrum."""
    _, found, rest = text.partition(HEAD)
    if not found:
        raise NoSpectrum(f"{name} has no {HEAD!r}: run wrk2 with --latency")
    points = []
    for line in rest.splitlines()[1:]:
        row = ROW.match(line)
        if row:
            points.append((float(row[2]), float(row[1])))
        elif line.startswith("#"):
            break  # the end of the first spectrum; with -U an uncorrected one follows
    if not points:
        raise NoSpectrum(f"{name} has an empty spectrum: no request was answered")
    return points


def nines(fraction, most):
    """Where a percentile stands on the axis: 90 % at 1, 99 % at 2 … at the most `most`."""
    return most if fraction >= 1 else min(most, -math.log10(1 - fraction))


def label(step):
    """The percentile after so many nines."""
    return "0 %" if step == 0 else f"{100 - 100 / 10**step:.{max(0, step - 2)}f} %"


def rounded_up(value):
    """The next 1, 2 or 5 of a decade: the end of an axis."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def drawn(curves, title):
    """The picture of the curves: name → points."""
    finite = [1 / (1 - f) for points in curves.values() for f, _ in points if f < 1]
    most = max(1, math.ceil(math.log10(max(finite, default=10))))
    top = rounded_up(max(max(ms for _, ms in points) for points in curves.values()) or 1)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    across = lambda fraction: LEFT + (right - LEFT) * nines(fraction, most) / most
    up = lambda ms: bottom - (bottom - TOP) * ms / top
    parts = [svg.text(24, 30, title, "title"),
             svg.text(24, 48, "latency in ms by percentile, from when a request was due", "quiet")]
    for step in range(most + 1):
        x = LEFT + (right - LEFT) * step / most
        parts += [svg.line(x, TOP, x, bottom),
                  svg.text(x, bottom + 18, label(step), "quiet", "middle")]
    for part in range(6):
        value = top * part / 5
        parts += [svg.line(LEFT, up(value), right, up(value)),
                  svg.text(LEFT - 8, up(value) + 4, f"{value:g}", "quiet", "end")]
    for i, (name, points) in enumerate(curves.items()):
        parts.append(svg.path([(across(f), up(ms)) for f, ms in points], i * 2))
        at = TOP + 8 + 20 * i
        parts += [svg.bar(right + 16, at - 4, 14, 4, i * 2), svg.text(right + 36, at + 2, name)]
    return svg.document(WIDTH, HEIGHT, title, parts)


def named(argument):
    """`NAME=FILE`, or a file that gives its own name."""
    name, given, path = argument.rpartition("=")
    return (name, pathlib.Path(path)) if given else (pathlib.Path(path).stem, pathlib.Path(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outputs", nargs="+", metavar="[NAME=]FILE", help="outputs to draw")
    parser.add_argument("-o", "--out", type=pathlib.Path, default=pathlib.Path("spectrum.svg"))
    parser.add_argument("--title", default="Latency spectrum")
    options = parser.parse_args()
    try:
        curves = {name: spectrum(path.read_text(), str(path))
                  for name, path in map(named, options.outputs)}
    except (NoSpectrum, OSError) as reason:
        sys.exit(f"spectrum.py: {reason}")
    options.out.write_text(drawn(curves, options.title))
    print(options.out)


if __name__ == "__main__":
    main()
