"""Whether two results say the same: their ratios of CPU a request, with the rounds' spread."""

import dataclasses

from . import figures, tables


@dataclasses.dataclass(frozen=True)
class Ratio:
    """One ratio in both results: the values of the rounds."""

    scenario: str
    what: str
    one: list
    two: list

    @property
    def agrees(self):
        """Whether a median lies between the lowest and the highest round of the other result."""
        return within(self.one, self.two) or within(self.two, self.one)


def within(values, others):
    return min(others) <= figures.median(values) <= max(others)


def of_scenario(found):
    """ringway to each of the others, or each contender to the base: words → rounds."""
    runs, base = found["runs"], found["base"] or "ringway"
    others = [label for label in runs if label != base]
    if found["base"]:
        named = {f"{label} ÷ {base}": (runs[label], runs.get(base, [])) for label in others}
    else:
        named = {f"{base} ÷ {label}": (runs.get(base, []), runs[label]) for label in others}
    return {what: figures.ratios(*pair) for what, pair in named.items()}


def compared(one, two):
    """The ratios that both results have."""
    out = []
    for name, found in one["scenarios"].items():
        theirs = of_scenario(two["scenarios"].get(name, {"runs": {}, "base": found["base"]}))
        for what, values in of_scenario(found).items():
            if values and theirs.get(what):
                out.append(Ratio(name, what, values, theirs[what]))
    return out


def shown(values):
    return f"{figures.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def report(ratios):
    """A table with a line for each ratio, and how many of them agree."""
    rows = [[r.scenario, r.what, shown(r.one), shown(r.two), "yes" if r.agrees else "**no**"]
            for r in ratios]
    head = ["scenario", "CPU/request", "first: median (min–max)", "second", "agree"]
    yield from tables.table(head, rows)
    yield f"{sum(r.agrees for r in ratios)} of {len(ratios)} ratios agree."
