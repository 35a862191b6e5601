#!/usr/bin/env python3
"""Compares ringway with HAProxy, nginx, Envoy, Pingora and a raw forwarder on this machine.

Method, limits and how to read it: perf/README.md. `make compare` installs and builds what it
needs and runs it; `perf/compare.py report` shows a result again, and `perf/compare.py agree` says
whether two results agree.
"""

import json
import signal
import sys

from comparison import cli, report, session, tables
from comparison.process import Broken


def main(arguments):
    if arguments[:1] == ["report"]:
        print(cli.reporting(arguments[1:]))
        return 0
    if arguments[:1] == ["agree"]:
        text, agree = cli.agreeing(arguments[1:])
        print(text)
        return 0 if agree else 1
    setting, options = cli.measuring(arguments)
    if options.list:
        print(cli.listed(setting))
        return 0
    result = session.measure(setting)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        place = options.json
    else:
        place = report.save(result, cli.today())
    print("\n".join(tables.report(result)))
    print(f"perf: {place}", file=sys.stderr)
    failed = [name for name, found in result["scenarios"].items() if found["failures"]]
    if failed:
        print(f"perf: runs failed in {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    # An exit unwinds, and so ends what was started; the signal alone would leave it running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main(sys.argv[1:]))
    except Broken as reason:
        sys.exit(f"compare: {reason}")
