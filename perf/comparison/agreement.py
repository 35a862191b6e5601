"""Whether two results say the same: their ratios of CPU a request, with the rounds' spread."""

import dataclasses

from . import figures, tables, targets

# Medians as close as this agree however narrow their rounds are: between two runs on one machine
# memory is laid out anew, and that alone moves a program by a few per cent.
CLOSE = 0.05


@dataclasses.dataclass(frozen=True)
class Ratio:
    """One ratio in both results: the values of the rounds."""

    scenario: str
    what: str
    one: list
    two: list

    @property
    def agrees(self):
        """Whether a median lies in the spread of the other result, or next to its median."""
        return within(self.one, self.two) or within(self.two, self.one) or self.apart <= CLOSE

    @property
    def apart(self):
        """How far the medians are from each other, as a share of the smaller one."""
        low, high = sorted((figures.median(self.one), figures.median(self.two)))
        return high / low - 1


def spread(values):
    """The lowest and the highest round; of eight and more, without one at each end. For equal
    chances of either side the true median lies in it in more than 93 of 100 cases from five
    rounds on, so that more rounds make it narrower and not wider."""
    values = sorted(values)
    return (values[1], values[-2]) if len(values) >= 8 else (values[0], values[-1])


def within(values, others):
    low, high = spread(others)
    return low <= figures.median(values) <= high


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
    low, high = spread(values)
    return f"{figures.median(values):.2f} ({low:.2f}–{high:.2f})"


def report(ratios):
    """A table with a line for each ratio, how many of them agree, and how far they are apart."""
    rows = [[r.scenario, r.what, shown(r.one), shown(r.two), "yes" if r.agrees else "**no**"]
            for r in ratios]
    head = ["scenario", "CPU/request", "first: median (spread)", "second", "agree"]
    yield from tables.table(head, rows)
    yield f"{sum(r.agrees for r in ratios)} of {len(ratios)} ratios agree."
    apart = [r.apart for r in ratios]
    yield (f"The medians of one ratio are {figures.median(apart):.1%} apart at the median, "
           f"{max(apart):.1%} at the most.")


def turned(one, two):
    """The targets that one result meets and the other does not, each with both figures."""
    second = {(v.scenario, v.target): v for v in targets.verdicts(two)}
    for first in targets.verdicts(one):
        other = second.get((first.scenario, first.target))
        if other and None not in (first.met, other.met) and first.met != other.met:
            words = {True: "met", False: "not met"}
            yield (f"- {first.scenario}: {first.target}: {words[first.met]}, then "
                   f"{words[other.met]} ({first.figure}; {other.figure})")
