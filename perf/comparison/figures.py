"""Pure arithmetic on figures: medians, spreads, and ratios taken within a round."""

import statistics


def median(values):
    """The median, or None of nothing."""
    return statistics.median(values) if values else None


def of(runs, key):
    """The figure `key` of each run that has it."""
    return [run[key] for run in runs if run.get(key) is not None]


def ratios(ours, theirs, key="cpu_us"):
    """Our figure to theirs in the same round, for each round."""
    return [a / b for a, b in zip(of(ours, key), of(theirs, key)) if b]


def ratio(ours, theirs, key="cpu_us"):
    """The median over the rounds of our figure to theirs in the same round; None without both."""
    return median(ratios(ours, theirs, key))


def turned(items, turn):
    """The items in an order that starts one further each turn."""
    first = turn % len(items) if items else 0
    return items[first:] + items[:first]


def half_of_slowest(runs, key="rate"):
    """Half of the lowest median rate of any contender, in whole requests a second."""
    rates = [median(of(of_one, key)) for of_one in runs.values() if of(of_one, key)]
    return max(1, int(min(rates) / 2)) if rates else None
