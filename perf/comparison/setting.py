"""What a run was asked for, and how long that will take."""

import dataclasses
import pathlib

from . import scenarios
from .programs import Programs


@dataclasses.dataclass
class Setting:
    """The options of a comparison, checked."""

    programs: Programs
    proxies: list  # names, in the order of the tables
    names: list  # scenarios and other parts
    rounds: int | None  # None: as many as each scenario needs
    seconds: float  # of closed loop a run
    latency_rounds: int | None  # 0 leaves the fixed rate out
    latency_seconds: float
    syscalls: bool
    proxy_core: int
    load_core: int
    idle: int  # idle connections
    idle_wait: float  # seconds for memory to come back
    counted: pathlib.Path | None  # a ringway that counts its allocations
    workers: int = 1
    proxy_cores: str = ""

    def __post_init__(self):
        self.proxy_cores = self.proxy_cores or str(self.proxy_core)

    @property
    def scenarios(self):
        """The chosen scenarios that have a contender among the chosen proxies."""
        return [s for s in scenarios.ALL
                if s.name in self.names and scenarios.contending(s, self.proxies)]

    def rounds_of(self, scenario):
        """How often each contender runs its closed loop."""
        return scenario.rounds if self.rounds is None else self.rounds

    def seconds_of(self, scenario):
        """How long a closed loop counts."""
        return max(self.seconds, scenario.seconds)

    def latency_seconds_of(self, scenario):
        """The same at the fixed rate."""
        return max(self.latency_seconds, scenario.seconds)

    def latency_rounds_of(self, scenario):
        """How often each contender runs at the fixed rate."""
        return scenario.latency_rounds if self.latency_rounds is None else self.latency_rounds

    def shown(self):
        """The part of it that a result keeps."""
        keep = ("proxies", "names", "rounds", "seconds", "latency_rounds", "latency_seconds",
                "proxy_core", "load_core", "idle", "idle_wait")
        return {name: getattr(self, name) for name in keep}


START = 0.1  # seconds that starting a proxy takes
RUN = 0.04  # starting a load and reading its report
CONNECT = 0.0002  # opening a connection
COUNT = 1.0  # counting system calls


def minutes(setting):
    """About how long a run takes."""
    total = 0.0
    for scenario in setting.scenarios:
        contending = scenarios.contending(scenario, setting.proxies)
        ready = RUN + CONNECT * scenario.connections
        around = scenario.warmup + ready
        closed = setting.rounds_of(scenario) * (setting.seconds_of(scenario) + around)
        total += len(contending) * (START + scenario.warmup + around + closed)
        sources = sum(contender.timed for contender in contending) + scenario.direct
        total += sources * setting.latency_rounds_of(scenario) * (
            setting.latency_seconds_of(scenario) + scenario.open_warmup + ready)
        total += len(contending) * COUNT * setting.syscalls
    if scenarios.IDLE in setting.names:
        idle = scenarios.among(scenarios.PROXYING, setting.proxies)
        total += len(idle) * (2 + CONNECT * setting.idle + setting.idle_wait)
    if scenarios.IDLE_H2 in setting.names:
        speaking = scenarios.among(scenarios.H2, setting.proxies)
        total += len(speaking) * (2 + CONNECT * setting.idle + setting.idle_wait)
    if scenarios.PROCESS in setting.names:
        total += 10 * len([p for p in setting.proxies if p in scenarios.RINGWAY])
    total += 10 * (scenarios.COPIES in setting.names) + 6 * (setting.counted is not None)
    return total / 60
