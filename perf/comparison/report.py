"""Writes what came out: JSON, Markdown and pictures in a directory, and a block in a README."""

import json
import os
import pathlib
import re

from . import plot, tables
from .process import PERF, Broken

BEGIN, END = "<!-- compare:begin -->", "<!-- compare:end -->"
FORMAT = 2


def save(result, directory, path=None):
    """Writes compare.json, compare.md and the pictures; returns the path of the JSON."""
    directory.mkdir(parents=True, exist_ok=True)
    path = path or directory / "compare.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    draw(result, directory)
    return path


def draw(result, directory):
    """The Markdown and the pictures beside the JSON."""
    plots = plot.write(result, directory)
    (directory / "compare.md").write_text("\n".join(tables.report(result, plots)))


def load(path):
    """A result from its file; says so when it is not one."""
    try:
        result = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as reason:
        raise Broken(f"{path}: {reason}") from reason
    if not isinstance(result, dict) or result.get("format") != FORMAT:
        raise Broken(f"{path} is no result of format {FORMAT}: measure anew with perf/compare.py")
    return result


def block(result, source, into):
    """The summary as it stands in the file `into`, with links that are right from there."""
    base = into.absolute().parent
    link = lambda name: pathlib.Path(os.path.relpath(source.absolute().parent / name, base))
    plots = [(alt, link(name).as_posix()) for alt, name in plot.write(result, source.parent)]
    lines = list(tables.summary(result, plots))
    lines += [f"Every figure: [{link('compare.md')}]({link('compare.md').as_posix()}).", ""]
    return "\n".join(lines)


def replaced(text, summary):
    """`text` with its marked block replaced; None when it has not exactly one."""
    pattern = re.compile(f"{BEGIN}.*?{END}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        return None
    return pattern.sub(lambda _: f"{BEGIN}\n{summary.strip()}\n{END}", text)


def put(result, source, into):
    """Replaces the marked block of the file `into`."""
    fresh = replaced(into.read_text(), block(result, source, into))
    if fresh is None:
        raise Broken(f"{into} needs one {BEGIN} line and, below it, one {END} line")
    into.write_text(fresh)


def newest():
    """The newest committed result of this format, by the date of its directory."""
    for path in sorted((PERF / "results").glob("*/compare.json"), reverse=True):
        try:
            load(path)
        except Broken:
            continue
        return path
    raise Broken("there is no result yet: run perf/compare.py")
