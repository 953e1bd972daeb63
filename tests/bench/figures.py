"""What was measured, beside what, and whether it is enough."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from deploy.local.stack import Service

APPLY_TARGET = ">= 0.6"
MEMORY_TARGET = "<= 150"
NO_TARGET = "none yet"
KEYS_PER_DUE_TARGET = "<= 1.5"
WAVE_TARGET = ">= 0.6"
WAVE_LAG_TARGET = "< 5"
LATENESS_P50_TARGET = "<= 0.25"
LATENESS_P99_TARGET = "<= 1"
RIVAL_TARGET = "< 1"
GROWTH_TARGET = "<= 1.3"
SINGLE_TARGET = ">= 0.75"
BATCH_TARGET = ">= 0.8"
PRODUCER_TARGET = ">= 0.5"
STEADY_P99_TARGET = "<= 50"
AUTH_TARGET = "<= 0.05"
DECIDE_TARGET = ">= 0.5"
WAVE_MESSAGES_TARGET = "<= 200"
SLOW_CHANNEL_TARGET = "<= 1.2"
REPORTING_APPLY_TARGET = ">= 0.6"
REPORTING_REBUILD_TARGET = ">= 0.5"
REPORTING_MEMORY_TARGET = "<= 300"
STALENESS_TARGET = "<= 5"
CLOSE_TARGET = "<= 2"
BOARD_TARGET = "<= 200"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of bench.json."""

    value: float
    unit: str
    baseline: str
    """What it is measured against, in words, with its own figure."""
    target: str

    @property
    def misses(self) -> bool:
        """Whether it has a target and does not reach it."""
        sign, _, text = self.target.partition(" ")
        reached = _REACHED.get(sign)
        return reached is not None and not reached(self.value, float(text))


_REACHED: Mapping[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le, "<": operator.lt}


def ratio(ours: Sequence[float], bare: Sequence[float], baseline: str, *, target: str, of: str = "events/s") -> Figure:
    """The median of the rounds' ratios: what slows the machine for a while slows both sides of its round."""
    each = [one / other for one, other in zip(ours, bare, strict=True)]
    said = (
        f"{baseline}: {median(bare):,.0f} {of} (ours {median(ours):,.0f}); "
        f"{len(each)} alternating rounds, {min(each):.2f} to {max(each):.2f}"
    )
    return Figure(round(median(each), 3), "ratio", said, target)


def peak_mb(service: Service) -> float:
    """The largest resident size (VmHWM) of a service's process so far."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


def memory(services: Sequence[Service], load: str) -> dict[str, Figure]:
    """The peak of each service's process so far."""
    said = f"peak resident size (VmHWM) of the process after: {load}"
    return {
        f"memory_mb_{service.name}": Figure(round(peak_mb(service), 1), "MB", said, MEMORY_TARGET)
        for service in services
    }


def merged(found: Mapping[str, Figure], more: Mapping[str, Figure]) -> dict[str, Figure]:
    """Both; of a memory figure that was taken twice, the larger one."""
    kept = {name: found[name] for name in found.keys() & more.keys() if found[name].value >= more[name].value}
    return {**found, **more, **kept}
