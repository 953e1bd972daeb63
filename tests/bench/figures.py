"""What was measured, beside what, and whether it is enough."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from deploy.local.stack import Service

RATIO_TARGET = ">= 0.4"
MEMORY_TARGET = "<= 150"
NO_TARGET = "none yet"


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
        if sign not in {">=", "<="}:
            return False
        return self.value < float(text) if sign == ">=" else self.value > float(text)


def ratio(ours: Sequence[float], bare: Sequence[float], baseline: str) -> Figure:
    """The median of the rounds' ratios: what slows the machine for a while slows both sides of its round."""
    each = [one / other for one, other in zip(ours, bare, strict=True)]
    said = (
        f"{baseline}: {median(bare):,.0f} events/s (ours {median(ours):,.0f}); "
        f"{len(each)} alternating rounds, {min(each):.2f} to {max(each):.2f}"
    )
    return Figure(round(median(each), 3), "ratio", said, RATIO_TARGET)


def memory(services: Sequence[Service], load: str) -> dict[str, Figure]:
    """The peak of each service's process so far."""
    found = {}
    for service in services:
        status = Path(f"/proc/{service.process.pid}/status").read_text()
        peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
        said = f"peak resident size (VmHWM) of the process after: {load}"
        found[f"memory_mb_{service.name}"] = Figure(round(peak_kib / 1024, 1), "MB", said, MEMORY_TARGET)
    return found


def merged(found: Mapping[str, Figure], more: Mapping[str, Figure]) -> dict[str, Figure]:
    """Both; of a memory figure that was taken twice, the larger one."""
    kept = {name: found[name] for name in found.keys() & more.keys() if found[name].value >= more[name].value}
    return {**found, **more, **kept}
