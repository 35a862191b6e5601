"""Elements of SVG as text, in colours that hold on light and on dark ground."""

from xml.sax.saxutils import escape

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
# One hue for each series, as it reads on light and on dark ground: ringway blue, rivals apart.
HUES = (("#0969da", "#4493f8"), ("#54aeff", "#1f6feb"), ("#bf8700", "#d29922"),
        ("#1a7f37", "#3fb950"), ("#8250df", "#ab7df8"), ("#cf222e", "#f85149"),
        ("#6e7781", "#9198a1"), ("#afb8c1", "#656c76"))
GROUNDS = ({"ground": "#ffffff", "ink": "#1f2328", "quiet": "#59636e", "grid": "#d1d9e0"},
           {"ground": "#0d1117", "ink": "#e6edf3", "quiet": "#9198a1", "grid": "#30363d"})


def colours(dark):
    """The rules of one ground; plain ones, which every renderer of SVG understands."""
    of = GROUNDS[dark]
    rules = [f".ground {{ fill: {of['ground']}; }}", f".ink {{ fill: {of['ink']}; }}",
             f".quiet {{ fill: {of['quiet']}; }}",
             f".grid {{ stroke: {of['grid']}; }}", f".spread {{ stroke: {of['ink']}; }}"]
    for i, hues in enumerate(HUES):
        rules += [f".fill{i} {{ fill: {hues[dark]}; }}",
                  f".stroke{i} {{ stroke: {hues[dark]}; fill: none; }}"]
    return " ".join(rules)


STYLE = (f"text {{ font-family: {FONT}; font-size: 12px; }} .title {{ font-size: 16px; "
         "font-weight: 600; } .head { font-size: 13px; font-weight: 600; } "
         f".quiet {{ font-size: 11px; }} {colours(False)} "
         f"@media (prefers-color-scheme: dark) {{ {colours(True)} }}")


def document(width, height, title, parts):
    """A whole file; `title` is for those who cannot see it."""
    size = f'width="{width:.0f}" height="{height:.0f}"'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>",
        f'<rect class="ground" {size} rx="6"/>', *parts, "</svg>", ""])


def text(x, y, words, kind="", anchor="start"):
    """Words; `kind` is title, head, quiet or nothing."""
    names = kind if kind == "quiet" else f"ink {kind}".strip()
    return (f'<text x="{x:.1f}" y="{y:.1f}" class="{names}" '
            f'text-anchor="{anchor}">{escape(words)}</text>')


def bar(x, y, width, height, series):
    return (f'<rect class="fill{series % len(HUES)}" x="{x:.1f}" y="{y:.1f}" '
            f'width="{max(width, 1):.1f}" height="{height:.1f}" rx="2"/>')


def dot(x, y, series, radius=4.0):
    return (f'<circle class="fill{series % len(HUES)}" cx="{x:.1f}" cy="{y:.1f}" '
            f'r="{radius:.1f}"/>')


def line(x1, y1, x2, y2, kind="grid"):
    """A thin line: of the grid, or a spread."""
    return (f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            'stroke-width="1"/>')


def path(points, series):
    """A line through the points."""
    steps = " ".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(points))
    return f'<path class="stroke{series % len(HUES)}" stroke-width="2" d="{steps}"/>'
