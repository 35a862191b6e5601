"""The report as Markdown: made from a result alone, so that no figure is typed by hand."""

from . import figures, machine, targets

DASH = "–"


def row(cells):
    return "| " + " | ".join(cells) + " |"


def table(head, rows):
    yield row(head)
    yield row(["---"] + ["---:"] * (len(head) - 1))
    yield from map(row, rows)
    yield ""


def micro(value):
    """Microseconds with three digits that count."""
    if value is None:
        return DASH
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def times(value):
    return DASH if value is None else f"{value:.2f}"


def middle(runs, key, form):
    value = figures.median(figures.of(runs, key))
    return DASH if value is None else form.format(value)


def spread(runs, key="cpu_us"):
    values = figures.of(runs, key)
    return f"{micro(min(values))}–{micro(max(values))}" if values else DASH


def percentiles(runs):
    """The median of each percentile over the rounds, with the lowest and the highest."""
    cells = []
    for key in targets.PERCENTILES:
        values = figures.of(runs, key)
        cells.append(f"{micro(figures.median(values))} ({spread(runs, key)})" if values else DASH)
    return cells


def scenario(name, found):
    """The full table of one scenario."""
    yield f"### {name}: {found['title']}\n"
    yield from failures(found["failures"])
    if not found["runs"]:
        return
    runs, base = found["runs"], found["base"] or "ringway"
    verb = f"÷ {base}" if found["base"] else "ringway ÷ it"
    head = ["", "CPU µs/request", "min–max", verb, "requests/s", "core", "switches/request",
            "syscalls/request"]
    fixed = found["fixed_rate"]
    if fixed:
        head += [f"{key} µs" for key in targets.PERCENTILES]
    rows = [line(found, label, base) for label in runs]
    if "direct" in found["latency"]:
        rows.append(["direct"] + [DASH] * 7 + percentiles(found["latency"]["direct"]))
    yield from table(head, rows)
    if fixed:
        yield f"Percentiles at a fixed rate of {fixed:,} requests/s.\n"
    yield from churn(runs)


def failures(seen):
    """Runs that failed: they were repeated once; who failed again has no figures."""
    for label, reason in seen:
        yield f"A run of {label} failed: {reason.strip().splitlines()[0]}\n"


def line(found, label, base):
    runs = found["runs"]
    ours, its = runs.get(base, []), runs[label]
    ratio = figures.ratio(its, ours) if found["base"] else figures.ratio(ours, its)
    calls = found["syscalls"].get(label)
    cells = [label, middle(its, "cpu_us", "{:,.1f}"), spread(its), times(ratio),
             middle(its, "rate", "{:,.0f}"), middle(its, "core", "{:.0%}"),
             middle(its, "switches", "{:.2f}"), f"{calls['calls']:.2f}" if calls else DASH]
    return cells + (percentiles(found["latency"].get(label, [])) if found["fixed_rate"] else [])


def churn(runs):
    """For scenarios with churn: what became of the updates, and whose the CPU time was."""
    if not any("written" in run for of_one in runs.values() for run in of_one):
        return
    rows = [[label, middle(of_one, "written", "{:.1f}"), middle(of_one, "adopted", "{:.1f}"),
             middle(of_one, "cpu_us", "{:.1f}"), middle(of_one, "worker_us", "{:.1f}")]
            for label, of_one in runs.items()]
    yield from table(["", "updates written/s", "snapshots adopted/s",
                      "process CPU µs/request", "of it the worker"], rows)


def idle(seen, kind="keep-alive"):
    count = next(iter(seen.values()))["connections"]
    yield f"### {count:,} idle {kind} connections\n"
    mib = [[name, f"{one['each']:,.0f} B", *(f"{one[key] / 2**20:.1f} MiB"
            for key in ("before", "during", "after")), f"{one['wait']:.1f}"]
           for name, one in seen.items()]
    head = ["", "RSS/connection", "before", "with them", "after they closed", "after s"]
    yield from table(head, mib)


def at_rest(seen):
    yield "### Idle process with 2 workers\n"
    rows = [[name, f"{one['rss'] / 2**20:.1f} MiB", f"{one['cpu_percent']:.3f} %",
             f"{one['seconds']:.1f}"] for name, one in seen.items()]
    yield from table(["", "RSS", "CPU", "seconds watched"], rows)


def matrix(result):
    """CPU µs a request: a line for each scenario with rivals, a column for each proxy."""
    proxies = result["options"]["proxies"]
    shared = {name: found for name, found in result["scenarios"].items()
              if found["runs"] and not found["base"]}
    if not shared:
        return
    rows = [[found["title"], *(micro(figures.median(figures.of(found["runs"].get(p, []),
                                                               "cpu_us"))) for p in proxies)]
            for found in shared.values()]
    yield from table(["CPU µs/request", *proxies], rows)


def counted(result):
    """What the kernel and the allocator counted for a request of the first scenario."""
    found = result["scenarios"].get("64b", {})
    calls = {label: f"{one['calls']:.2f}" for label, one in found.get("syscalls", {}).items()}
    if calls:
        switches = [middle(found["runs"][label], "switches", "{:.2f}") for label in calls]
        yield from table(["64 B, 64 connections, a request", *calls],
                         [["system calls", *calls.values()], ["context switches", *switches]])
    made = result.get("allocations")
    if made:
        yield (f"Heap allocations a request in ringway: {made['allocations']:.4f}, "
               f"counted over {made['requests']:,.0f} requests by its own allocator.\n")


def copied(result):
    """What is copied in user space, with HAProxy as the control."""
    rows = [[f"{name}: {label}", f"{one['bytes']:,.0f} B", f"{one['pieces']:,.0f} B",
             f"{one['calls']:.1f}"]
            for name, found in result.get("copies", {}).items() for label, one in found.items()]
    if rows:
        yield from table(["copied in user space, a request", "in all", "in pieces of 1 KiB and more",
                          "calls"], rows)


def own(result):
    """The scenarios of ringway alone, each contender beside the one it is held against."""
    rows = []
    for found in result["scenarios"].values():
        base = found["runs"].get(found["base"], [])
        for label, runs in found["runs"].items() if base else ():
            ratio = "1" if label == found["base"] else times(figures.ratio(runs, base))
            rows.append([f"{found['title']}: {label}", middle(runs, "cpu_us", "{:.1f}"), ratio])
    if rows:
        yield from table(["ringway beside itself", "CPU µs/request", "ratio"], rows)


def verdict_counts(result):
    """How many targets are met, in one line."""
    seen = [v.met for v in targets.verdicts(result)]
    words = ((True, "met"), (False, "not met"), (None, "not measured"))
    yield "Targets: " + ", ".join(f"{seen.count(key)} {word}" for key, word in words) + ".\n"


def held(result):
    """The targets, each with its figure."""
    words = {True: "met", False: "**not met**", None: "not measured"}
    rows = [[v.scenario, v.target, v.figure, words[v.met]] for v in targets.verdicts(result)]
    yield from table(["scenario", "target", "figure", ""], rows)


def losses(result):
    """Where we lose: the targets missed and the rivals that are cheaper, from the data alone."""
    missed = [f"- {v.scenario}: {v.target}; it is {v.figure}."
              for v in targets.verdicts(result) if v.met is False]
    for name, found in result["scenarios"].items():
        for rival in targets.RIVALS:
            value = figures.ratio(found["runs"].get("ringway", []), found["runs"].get(rival, []))
            if value is not None and value > 1:
                missed.append(f"- {name}: {rival} needs less CPU; ringway is {value:.2f} × it.")
    for name, found in result["scenarios"].items():
        failed = [label for label, _ in found["failures"]]
        missed += [f"- {name}: failed runs of {label}: {failed.count(label)}."
                   for label in dict.fromkeys(failed)]
    yield from missed or ["Nowhere in what was measured."]
    yield ""


def header(result):
    options = result["options"]
    yield machine.line(result["machine"]) + ".\n"
    yield " · ".join(result["versions"].values()) + "\n"
    yield (f"{counts(result, 'runs')} rounds of {options['seconds']} s a proxy and scenario, "
           f"latencies {counts(result, 'latency')} × {options['latency_seconds']} s; medians.\n")


def counts(result, part):
    """How many runs a contender had, as it differs by scenario: "5", or "5 to 9"."""
    seen = [len(runs) for found in result["scenarios"].values() for runs in found[part].values()]
    if not seen:
        return "0"
    return f"{min(seen)}" if min(seen) == max(seen) else f"{min(seen)} to {max(seen)}"


def report(result, plots=()):
    """The whole report, the file beside the JSON."""
    yield "# ringway beside its rivals\n"
    yield from header(result)
    yield from matrix(result)
    yield from (f"![{alt}]({path})\n" for alt, path in plots)
    yield from own(result)
    yield "## Targets\n"
    yield from verdict_counts(result)
    yield from held(result)
    yield "## Where we lose\n"
    yield from losses(result)
    yield "## Scenarios\n"
    for name, found in result["scenarios"].items():
        yield from scenario(name, found)
    if result["idle"]:
        yield from idle(result["idle"])
    if result.get("idle_h2"):
        yield from idle(result["idle_h2"], "HTTP/2")
    if result["process"]:
        yield from at_rest(result["process"])
    yield from counted(result)
    yield from copied(result)


def summary(result, plots=()):
    """What a README shows: the matrix, memory, the plots, and where we lose."""
    yield from header(result)
    yield from matrix(result)
    for part, what in (("idle", "connections"), ("idle_h2", "connections of HTTP/2")):
        if result.get(part):
            yield from table(["RSS per idle connection", *result[part]],
                             [[f"8,000 {what}", *(f"{one['each']:,.0f} B"
                                                  for one in result[part].values())]])
    yield from counted(result)
    yield from own(result)
    yield from (f"![{alt}]({path})\n" for alt, path in plots)
    yield from verdict_counts(result)
    yield "Where we lose, by these figures:\n"
    yield from losses(result)
