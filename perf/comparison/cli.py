"""The command line of the comparison: measuring, and reporting what was measured."""

import argparse
import datetime
import pathlib

from . import agreement, programs, report, scenarios
from .process import PERF
from .setting import Setting, minutes

QUICK = {"rounds": 2, "seconds": 1.0, "latency_rounds": 1, "latency_seconds": 1.0,
         "idle_wait": 4.0}
# None: as many as each scenario needs.
FULL = {"rounds": None, "seconds": 0.6, "latency_rounds": None, "latency_seconds": 0.6,
        "idle_wait": 9.0}


def parser():
    release = programs.TARGET / "release"
    out = argparse.ArgumentParser(
        prog="perf/compare.py", description="Compares ringway with its rivals on this machine.",
        epilog="perf/compare.py report [RESULT.json] [--into FILE] shows a result again; "
               "perf/compare.py agree A.json B.json says whether two results agree.")
    what = out.add_argument_group("what")
    what.add_argument("--only", default=",".join(scenarios.PROXIES), metavar="NAME,…",
                      help="the proxies (default: all)")
    what.add_argument("--scenarios", metavar="NAME,…", help="names or globs (default: all)")
    what.add_argument("--quick", action="store_true",
                      help="the main scenarios, about five minutes; for a first look only")
    what.add_argument("--list", action="store_true", help="say what would run, and how long")
    how = out.add_argument_group("how long")
    for name, words in (("rounds", "repetitions"), ("seconds", "of closed loop a run"),
                        ("latency-rounds", "repetitions at the fixed rate; 0 leaves it out"),
                        ("latency-seconds", "at the fixed rate a run")):
        kind = int if name.endswith("rounds") else float
        key = name.replace("-", "_")
        how.add_argument(f"--{name}", type=kind, metavar="N",
                         help=f"{words} (default: {FULL[key] or 'as each scenario needs'}; "
                              f"quick: {QUICK[key]})")
    how.add_argument("--idle", type=int, default=8000, metavar="N", help="idle connections")
    how.add_argument("--no-syscalls", action="store_true", help="do not count system calls")
    where = out.add_argument_group("where")
    where.add_argument("--cores", default="0,1", metavar="P,L",
                       help="core of the proxy, core of load and backend (default: 0,1)")
    where.add_argument("--ringway", type=pathlib.Path, default=release / "ringway", metavar="PATH")
    where.add_argument("--tools", type=pathlib.Path, default=release, metavar="DIR",
                       help="where ringway-load and ringway-backend are")
    where.add_argument("--rivals", type=pathlib.Path, metavar="DIR",
                       default=programs.TARGET / "rivals" / "release",
                       help="where perf/setup has built Pingora and the forwarder")
    where.add_argument("--counted", type=pathlib.Path, metavar="PATH",
                       help="a ringway built with --features count-allocations")
    where.add_argument("--json", type=pathlib.Path, metavar="FILE",
                       help="write only this file, not perf/results/DATE")
    return out


def measuring(arguments):
    """The setting that the arguments ask for, and the parsed arguments."""
    out = parser()
    options = out.parse_args(arguments)
    proxies = options.only.split(",")
    unknown = [name for name in proxies if name not in scenarios.PROXIES]
    if unknown:
        out.error(f"--only: {unknown[0]!r} is none of {', '.join(scenarios.PROXIES)}")
    try:
        default = ",".join(scenarios.QUICK) if options.quick else "*"
        names = scenarios.chosen(options.scenarios or default)
        proxy_core, load_core = map(int, options.cores.split(","))
    except ValueError as reason:
        out.error(f"--scenarios or --cores: {reason}")
    if proxy_core == load_core:
        out.error("--cores: proxy and load need a core each")
    chosen = QUICK if options.quick else FULL
    timing = {key: getattr(options, key, None) for key in chosen}
    timing = {key: chosen[key] if given is None else given for key, given in timing.items()}
    if timing["rounds"] is not None and timing["rounds"] < 1:
        out.error("--rounds is at least 1")
    if timing["seconds"] <= 0 or timing["latency_seconds"] <= 0:
        out.error("--seconds and --latency-seconds are more than 0")
    if options.counted and not options.counted.exists():
        out.error(f"--counted: {options.counted} does not exist: cargo build --release --locked "
                  "--features count-allocations, with a --target-dir of its own")
    places = programs.Programs.at(options.ringway, options.tools, options.rivals)
    # In the order of the table, whatever order they were named in.
    setting = Setting(places, [p for p in scenarios.PROXIES if p in proxies], names, **timing,
                      syscalls=not options.no_syscalls, proxy_core=proxy_core,
                      load_core=load_core, idle=options.idle, counted=options.counted)
    return setting, options


def listed(setting):
    """What would run, for --list."""
    by_name = {s.name: s.title for s in setting.scenarios}
    by_name |= {scenarios.IDLE: f"{setting.idle:,} idle connections: memory",
                scenarios.IDLE_H2: f"{setting.idle:,} idle connections of HTTP/2: memory",
                scenarios.PROCESS: "ringway at rest with 2 workers: memory, CPU",
                scenarios.COPIES: "bodies of 16 KiB, both ways: bytes copied in user space"}
    lines = [f"{name:16} {by_name[name]}" for name in setting.names if name in by_name]
    return "\n".join([*lines, f"\nabout {minutes(setting):.0f} minutes, with "
                      + ", ".join(setting.proxies)])


def reporting(arguments):
    """`report`: draws a result again, prints it, or puts it into a marked block of a file."""
    out = argparse.ArgumentParser(prog="perf/compare.py report")
    out.add_argument("result", type=pathlib.Path, nargs="?",
                     help="compare.json (default: the newest in perf/results)")
    out.add_argument("--into", type=pathlib.Path, metavar="FILE",
                     help=f"replace what is between {report.BEGIN} and {report.END}")
    options = out.parse_args(arguments)
    source = options.result or report.newest()
    result = report.load(source)
    report.draw(result, source.parent)
    if options.into:
        report.put(result, source, options.into)
        return f"{options.into}: from {source}"
    return (source.parent / "compare.md").read_text()


def agreeing(arguments):
    """`agree`: holds two results against each other; the text, and whether all ratios agree."""
    out = argparse.ArgumentParser(
        prog="perf/compare.py agree",
        description="Says for each ratio of CPU per request whether two results agree: whether "
                    "a median lies in the spread of the other's rounds, or within 5 % of its "
                    "median. Names the targets that only one of them meets, too.")
    out.add_argument("results", type=pathlib.Path, nargs=2, metavar="RESULT.json")
    results = [report.load(path) for path in out.parse_args(arguments).results]
    ratios = agreement.compared(*results)
    if not ratios:
        out.error("the results have no ratio in common")
    turned = list(agreement.turned(*results)) or ["- none"]
    lines = [*agreement.report(ratios), "\nTargets met by one of them only:\n", *turned]
    return "\n".join(lines), all(ratio.agrees for ratio in ratios)


def today():
    """The directory of a result made now."""
    return PERF / "results" / datetime.datetime.now(datetime.timezone.utc).date().isoformat()
