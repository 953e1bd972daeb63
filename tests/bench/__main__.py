"""`python -m tests.bench`: measures, prints a table, writes build/bench.json. A missed target is said, not an error."""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from deploy.local.broker import KafkaKind
from deploy.local.processes import REPOSITORY_ROOT
from deploy.local.stack import Stack, StackOptions
from tests.bench import apply, end_to_end, flood, ingest, lives, notify, reporting, slow_channel, timers
from tests.bench.figures import Figure, merged
from tests.bench.probes import CouldNotMeasureError
from tests.support.workload import START

RESULTS: Final = REPOSITORY_ROOT / "build" / "bench.json"
DATABASE_PREFIX: Final = "bench"
MONGOD_CACHE_GB: Final = 8.0
"""What mongod takes by itself of a machine with 17 GB. A million tasks with their indexes are 3.1 GB; but it writes
pages back as soon as a twentieth of its cache has changed, and with 4 GB that kept most of one core of two busy."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is measured together, on a stack of its own: what one leaves behind must not burden the next."""

    services: tuple[str, ...]
    env: Mapping[str, str]
    metrics: tuple[str, ...]
    measure: Callable[[Stack, int, Path], Awaitable[dict[str, Figure]]]

    @property
    def names(self) -> frozenset[str]:
        """Every figure it gives."""
        return frozenset((*self.metrics, *(f"memory_mb_{service}" for service in self.services)))


def parts(tasks: int) -> tuple[Part, ...]:
    """All of them; the timers and reporting among so many tasks."""
    measure_timers = partial(timers.measure, tasks=tasks)
    measure_reporting = partial(reporting.measure, tasks=tasks)
    plain = (ingest, flood, apply, end_to_end, notify, slow_channel)
    return (
        *(Part(one.SERVICES, one.ENV, one.METRICS, one.measure) for one in plain),
        Part(timers.SERVICES, timers.ENV, timers.METRICS, measure_timers),
        Part(reporting.SERVICES, reporting.ENV, reporting.METRICS, measure_reporting),
    )


async def measured(part: Part, rounds: int) -> dict[str, Figure]:
    """Measure a part. The unasked end of a service ends the measurement."""
    with tempfile.TemporaryDirectory(prefix="dondoc-bench-") as work:
        options = StackOptions(
            run_dir=Path(work) / "run",
            kafka=KafkaKind.APACHE,
            services=part.services,
            clock=f"{(START + lives.STAND).isoformat()}@1",
            database_prefix=DATABASE_PREFIX,
            mongod_cache_gb=MONGOD_CACHE_GB,
            env=part.env,
        )
        async with Stack(options, say=lambda _: None) as stack:
            work_done = asyncio.ensure_future(part.measure(stack, rounds, Path(work)))
            death = asyncio.create_task(stack.first_death())
            try:
                await asyncio.wait([work_done, death], return_when=asyncio.FIRST_COMPLETED)
                if not work_done.done():
                    raise CouldNotMeasureError(death.result())
                return work_done.result()
            finally:
                work_done.cancel()
                death.cancel()
                await asyncio.gather(work_done, death, return_exceptions=True)


def main() -> int:
    """Entry point: 1 when something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds of each ratio (default: 5)")
    parser.add_argument(
        "--tasks", type=int, default=timers.TASKS_DEFAULT, help="tasks for timers and reporting (default: 1M)"
    )
    known = sorted(frozenset().union(*(part.names for part in parts(timers.TASKS_DEFAULT))))
    parser.add_argument("--only", nargs="+", choices=known, default=known, metavar="NAME", help=", ".join(known))
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    if options.rounds < 1:
        parser.error("--rounds is at least 1")
    found: dict[str, Figure] = {}
    failed = False
    for part in (one for one in parts(options.tasks) if one.names & set(options.only)):
        sys.stderr.write(f"measuring {', '.join(part.metrics)} …\n")
        try:
            found = merged(found, asyncio.run(measured(part, options.rounds)))
        except Exception:
            failed = True
            sys.stderr.write(f"could not measure {', '.join(part.metrics)}:\n{traceback.format_exc()}\n")
    found = {name: found[name] for name in sorted(found) if name in options.only}
    RESULTS.parent.mkdir(exist_ok=True)
    content = {name: asdict(figure) for name, figure in found.items()}
    RESULTS.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write("".join(f"{line}\n" for line in table(found)))
    return int(failed)


def table(figures: Mapping[str, Figure]) -> Sequence[str]:
    """One line a figure, misses in plain words."""
    return [
        f"{name:29}{figure.value:>9} {figure.unit:6}target {figure.target:9}"
        f"{'misses its target' if figure.misses else '':19}{figure.baseline}"
        for name, figure in figures.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
