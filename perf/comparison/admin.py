"""What ringway says about itself on its admin address."""

from .process import Broken, body_of


def metrics(process):
    """The samples of /metrics, each family summed over its labels."""
    return summed(body_of(process.admin, "/metrics").decode())


def summed(text):
    """Prometheus' text format as family → sum of its samples."""
    sums = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            family = name.partition("{")[0]
            sums[family] = sums.get(family, 0.0) + float(value)
    return sums


def counter(samples, name):
    if name not in samples:
        raise Broken(f"/metrics has no {name}")
    return samples[name]
