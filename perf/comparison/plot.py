"""The pictures of a result: CPU a request, and latency at the fixed rate, a panel a scenario."""

import math

from . import figures, svg, targets
from .scenarios import PROXIES

LABELS = (*PROXIES, "direct")
COLUMNS, PANEL, GAP, MARGIN = 3, 290, 22, 24
BAR, HEAD, TOP = 20, 46, 62


def series(label, labels):
    """The colour of a label: the same for a proxy in every picture."""
    return LABELS.index(label) if label in LABELS else labels.index(label)


def grid(title, under, panels):
    """Panels in rows; each is its number of lines and a function (x, y) → elements."""
    columns = min(COLUMNS, len(panels))
    width = max(2 * MARGIN + columns * PANEL + (columns - 1) * GAP, 700)
    parts = [svg.text(MARGIN, 30, title, "title"), svg.text(MARGIN, 48, under, "quiet")]
    y = TOP
    for first in range(0, len(panels), COLUMNS):
        row = panels[first:first + COLUMNS]
        for i, (_, panel) in enumerate(row):
            parts += panel(MARGIN + i * (PANEL + GAP), y)
        y += HEAD + max(lines for lines, _ in row) * BAR + GAP
    return svg.document(width, y, title, parts)


def bars(title, values):
    """A panel of horizontal bars, one for each (label, value, lowest, highest)."""
    top = max(high for *_, high in values)
    labels = [label for label, *_ in values]

    def draw(x, y):
        room, left = PANEL - 88 - 52, x + 88
        parts = [svg.text(x, y + 14, title, "head")]
        for i, (label, value, low, high) in enumerate(values):
            at = y + 26 + i * BAR
            end = left + room * value / top
            middle = at + BAR / 2 - 2
            parts += [svg.text(left - 8, at + 12, label, "quiet", "end"),
                      svg.bar(left, at, end - left, BAR - 5, series(label, labels)),
                      svg.line(left + room * low / top, middle, left + room * high / top, middle,
                               "spread"),
                      svg.text(left + room * high / top + 6, at + 12, f"{value:,.1f}")]
        return parts
    return draw


def cpu(result):
    """CPU µs a request: bars are medians, the thin line is the spread over the rounds."""
    panels = []
    for found in result["scenarios"].values():
        values = [(label, figures.median(of), min(of), max(of))
                  for label, runs in found["runs"].items() if (of := figures.of(runs, "cpu_us"))]
        if values:
            panels.append((len(values), bars(found["title"], values)))
    under = "µs of user and system time; bar: median, thin line: lowest to highest round"
    return grid("CPU per request", under, panels) if panels else None


def decades(values):
    """The powers of ten around the values, as exponents."""
    return math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))


def ladder(title, rate, rows):
    """A panel of p50, p99 and p99.9 on a logarithmic axis, one line for each label."""
    low, high = decades([value for _, of in rows for value in of])
    high = max(high, low + 1)
    labels = [label for label, _ in rows]

    def draw(x, y):
        left, room = x + 88, PANEL - 88 - 12
        place = lambda value: left + room * (math.log10(value) - low) / (high - low)
        bottom = y + 26 + len(rows) * BAR
        parts = [svg.text(x, y + 14, title, "head"),
                 svg.text(x, bottom + 13, f"{rate:,}/s", "quiet")]
        for power in range(low, high + 1):
            at = place(10**power)
            parts += [svg.line(at, y + 22, at, bottom),
                      svg.text(at, bottom + 13, shown(10**power), "quiet", "middle")]
        for i, (label, of) in enumerate(rows):
            middle, colour = y + 34 + i * BAR, series(label, labels)
            points = [(place(value), middle) for value in of]
            parts += [svg.text(left - 8, middle + 4, label, "quiet", "end"),
                      svg.path(points, colour)]
            parts += [svg.dot(*point, colour, radius)
                      for point, radius in zip(points, (5.0, 4.0, 3.0))]
        return parts
    return draw


def shown(micros):
    """Microseconds in the unit a reader expects."""
    for unit, size in (("s", 10**6), ("ms", 10**3)):
        if micros >= size:
            return f"{micros / size:g} {unit}"
    return f"{micros:g} µs"


def latency(result):
    """p50, p99 and p99.9 at the fixed rate of each scenario."""
    panels = []
    for found in result["scenarios"].values():
        rows = [(label, of) for label, runs in found["latency"].items()
                if len(of := medians(runs)) == len(targets.PERCENTILES) and min(of) > 0]
        if rows:
            panels.append((len(rows), ladder(found["title"], found["fixed_rate"], rows)))
    under = "dots from large to small: p50, p99, p99.9; logarithmic; below: requests a second"
    return grid("Latency at a fixed rate", under, panels) if panels else None


def medians(runs):
    found = (figures.median(figures.of(runs, key)) for key in targets.PERCENTILES)
    return [value for value in found if value is not None]


def write(result, directory):
    """Writes the pictures that the result has figures for; returns (description, file name)."""
    written = []
    for name, alt, draw in (("cpu.svg", "CPU per request of each proxy, by scenario", cpu),
                            ("latency.svg", "Latency percentiles at a fixed rate", latency)):
        picture = draw(result)
        if picture:
            (directory / name).write_text(picture)
            written.append((alt, name))
    return written
