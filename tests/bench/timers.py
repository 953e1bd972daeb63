"""Timers: what a look at a province's tasks costs, how fast a wave of deadlines is worked off, how late each one is.

A million tasks unless told otherwise, 600,000 of them with a milestone ahead. The clock of tasks is in our hands: it
stands until a wave is to break, and runs like real time while punctuality is measured.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import pydantic_core

from deploy.local.stack import Service, Stack
from shared.contracts.topics import TASKS
from shared.runtime.clock import ScaledClock, write_piece
from shared.runtime.mongodb import Client, Database, connect
from tests.bench import figures, population
from tests.bench.figures import Figure
from tests.bench.population import Deadline, Place
from tests.bench.probes import CouldNotMeasureError, Counters, child, end_offsets, records_since
from tests.bench.reads import Examined, Reads
from tests.bench.reports import Reports, progress
from tests.support.workload import produce

SERVICES: Final[tuple[str, ...]] = ()
"""What runs is started here, once there are tasks."""
# A paused process keeps its partitions, and does not take the pause for a fault of its own.
ENV: Final = {
    "DONDOC_KAFKA_SESSION_TIMEOUT_MS": "300000",
    "DONDOC_STUCK_SECONDS": "600",
    "DONDOC_OUTAGE_GRACE_SECONDS": "0",
}
METRICS: Final = (
    "timers_idle_keys_per_due",
    "timers_wave_ratio",
    "timers_wave_apply_lag_s",
    "timers_lateness_p50_s",
    "timers_lateness_p99_s",
    "timers_lateness_p99_vs_peer",
    "tasks_memory_ratio_1m_10k",
)
TASKS_DEFAULT: Final = 1_000_000
FEW_TASKS: Final = 10_000
LOOKS_MAX: Final = 6_000
LOOK_SECONDS: Final = 0.01
FIRED: Final = "dondoc_tasks_milestones_total"

DUE: Final = 60
"""Due at once where the price of a look is measured."""
BURST: Final = 3_000
"""Deadlines, and as many reports on other tasks: the load under which memory is measured."""
WAVE_OF: Final = 50
"""One task in so many is due in one wave: 20,000 of a million."""
REPORTS_PER_SECOND: Final = 50
PER_SECOND: Final = 200
WARM_UP_SECONDS: Final = 3
STEADY_SECONDS: Final = 30
STEADY_ROUNDS: Final = 2

BEFORE_ALL: Final = population.instant(8, 10)
DUE_AT: Final = population.instant(8, 30)
BURST_AT: Final = population.instant(8, 40)
BARE_WAVE: Final = "the very writes of the product for as many tasks, decided beforehand, in a bare bulk_write loop"
RIVAL: Final = "APScheduler with a MongoDB job store, one small write a timer and nothing told"


@dataclass(frozen=True, slots=True)
class Agenda:
    """What waits for which instant, all on one day."""

    wave: int
    rounds: int

    def ours(self, number: int) -> datetime:
        """When a wave of ours breaks; the first warms both sides up."""
        return population.instant(9) + timedelta(minutes=10 * number)

    def bare(self, number: int) -> datetime:
        """The instant that marks the tasks of the bare loop. Our clock does not get there."""
        return population.instant(20) + timedelta(minutes=10 * number)

    def steady(self, number: int) -> list[datetime]:
        """Instants spread evenly, as many a second."""
        begin = population.instant(18) + timedelta(minutes=10 * number)
        count = PER_SECOND * (WARM_UP_SECONDS + STEADY_SECONDS)
        return [begin + timedelta(milliseconds=1_000 * one // PER_SECOND) for one in range(count)]

    def waiting(self) -> list[datetime]:
        """The instant of every task that waits for one."""
        found = [DUE_AT] * DUE + [BURST_AT] * BURST
        for number in range(self.rounds + 1):
            found += [self.ours(number), self.bare(number)] * self.wave
        for number in range(STEADY_ROUNDS):
            found += self.steady(number)
        return found


@dataclass(frozen=True, slots=True)
class SteeredClock:
    """The clock of tasks, in our hands."""

    path: Path

    def stands(self, at: datetime) -> None:
        """From now on it is this instant."""
        write_piece(self.path, ScaledClock(at, 0, time.time()))

    def runs(self, at: datetime) -> ScaledClock:
        """It is this instant now, and time passes."""
        piece = ScaledClock(at, 1, time.time())
        write_piece(self.path, piece)
        return piece


@dataclass(frozen=True, slots=True)
class Province:
    """A database full of tasks."""

    prefix: str
    deadlines: Sequence[Deadline]

    def database(self, client: Client) -> Database:
        """The one that tasks owns."""
        return client[f"{self.prefix}_tasks"]

    def others(self, limit: int) -> list[Place]:
        """Some of those that do not fall due meanwhile."""
        found = (number for number, due in enumerate(self.deadlines) if type(due) is date)
        return [population.place(number) for number, _ in zip(found, range(limit), strict=False)]


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measurement here needs."""

    stack: Stack
    client: Client
    counters: Counters
    clock: SteeredClock
    agenda: Agenda

    async def start(self, province: Province, at: datetime) -> Service:
        """A fresh process of tasks on this province; its clock stands."""
        self.clock.stands(at)
        env = {"DONDOC_CLOCK": f"file:{self.clock.path}", "DONDOC_DATABASE_PREFIX": province.prefix}
        return await self.stack.add_replica("tasks", env)

    async def worked_off(self, province: Province, tasks: Service, fired: int, at: datetime) -> None:
        """Wait until so many milestones have fired and nothing is owed of what was due until then."""
        await self.counters.reaches(tasks, fired, FIRED)
        found = province.database(self.client)["tasks"]
        here = {"p": {"$in": list(population.PARTITIONS)}}
        due = {**here, "next_at": {"$lte": at, "$type": "date"}}
        owed = {**here, "pend.tok": {"$exists": True}, "due_at": {"$lte": at}}
        for _ in range(LOOKS_MAX):
            if not (await found.find_one(due, {"_id": 1}) or await found.find_one(owed, {"_id": 1})):
                return
            await asyncio.sleep(LOOK_SECONDS)
        raise CouldNotMeasureError(f"what was due at {at} is not worked off")


async def measure(stack: Stack, rounds: int, work_dir: Path, *, tasks: int = TASKS_DEFAULT) -> dict[str, Figure]:
    """All of it, on two provinces: one large, one small."""
    client = connect(stack.mongod.uri, app_name="bench-timers")
    agenda = Agenda(tasks // WAVE_OF, rounds)
    large = Province("bench", population.assigned(agenda.waiting(), tasks))
    small = Province("bench_small", population.assigned([BURST_AT] * BURST, FEW_TASKS))
    try:
        async with Counters() as counters:
            bench = Bench(stack, client, counters, SteeredClock(work_dir / "clock.json"), agenda)
            for province in (small, large):
                scratch = client[f"{province.prefix}_scratch"]
                await population.fill(province.database(client), scratch, province.deadlines)
            found = await _looks(bench, large)
            few, ended = await _burst(bench, small, 0)
            await ended.stop()
            many, service = await _burst(bench, large, DUE)
            found |= _memory(few, many, large)
            found |= await _waves(bench, large, service)
            found |= await _punctuality(bench, large, service)
            return found
    finally:
        client.close()


# -- what a look costs ---------------------------------------------------------------------------------------------


async def _looks(bench: Bench, province: Province) -> dict[str, Figure]:
    async with Reads.of(bench.stack.mongod.uri, province.database(bench.client).name) as reads:
        idle = await reads.turn(dict.fromkeys(population.PARTITIONS, BEFORE_ALL))
        due = await reads.due(dict.fromkeys(population.PARTITIONS, DUE_AT))
    returned = sum(one.returned for one in due)
    if returned != DUE:
        raise CouldNotMeasureError(f"{returned} of {DUE} tasks are due")
    said = (
        f"no baseline: {len(province.deadlines):,} tasks, {returned} due, asked in {len(due)} reads; "
        f"explained: {_said(due)}. A turn with nothing due: {len(idle)} reads, {_said(idle)}"
    )
    # A read without an index examines no key at all: then its documents count.
    examined = sum(max(one.keys, one.documents) for one in due)
    return {METRICS[0]: Figure(round(examined / returned, 3), "keys", said, figures.KEYS_PER_DUE_TARGET)}


def _said(some: Sequence[Examined]) -> str:
    unbounded = sum(not one.is_bounded for one in some)
    keys, documents = sum(one.keys for one in some), sum(one.documents for one in some)
    return f"{keys:,} keys, {documents:,} documents" + (f", {unbounded} without an index" if unbounded else "")


# -- memory --------------------------------------------------------------------------------------------------------


async def _burst(bench: Bench, province: Province, fired: int) -> tuple[float, Service]:
    """Deadlines and reports, all at once, to a fresh process. Returns its peak, and the process."""
    tasks = await bench.start(province, BURST_AT - timedelta(minutes=1))
    reports = [
        progress(where, f"burst-{province.prefix}-{number}", BURST_AT - timedelta(minutes=2))
        for number, where in enumerate(province.others(BURST))
    ]
    await produce(bench.stack.kafka.bootstrap, reports)
    bench.clock.stands(BURST_AT)
    await bench.counters.reaches(tasks, len(reports))
    await bench.worked_off(province, tasks, fired + BURST, BURST_AT)
    return figures.peak_mb(tasks), tasks


def _memory(few: float, many: float, large: Province) -> dict[str, Figure]:
    said = (
        f"a process on {FEW_TASKS:,} tasks under the same load ({BURST:,} deadlines and as many reports at once): "
        f"{few:.1f} MB peak resident size (on {len(large.deadlines):,} tasks {many:.1f})"
    )
    return {METRICS[6]: Figure(round(many / few, 3), "ratio", said, figures.GROWTH_TARGET)}


# -- a wave --------------------------------------------------------------------------------------------------------


async def _waves(bench: Bench, province: Province, tasks: Service) -> dict[str, Figure]:
    """In turn, each on tasks of its own; who is first changes round by round."""
    ours: list[float] = []
    bare: list[float] = []
    lags: list[float] = []
    wave = bench.agenda.wave
    for number in range(bench.agenda.rounds + 1):
        bare_seconds = await _bare_wave(bench, province, tasks, number) if number % 2 else 0.0
        our_seconds, their_lags = await _our_wave(bench, province, tasks, number)
        bare_seconds = bare_seconds or await _bare_wave(bench, province, tasks, number)
        if number:
            ours.append(wave / our_seconds)
            bare.append(wave / bare_seconds)
            lags += their_lags
    size = f"waves of {wave:,} of {len(province.deadlines):,} tasks"
    said = (
        f"no baseline: the longest of {len(lags):,} reports at {REPORTS_PER_SECOND}/s, from its record to the record "
        f"of its fact, while {bench.agenda.rounds} {size} were worked off; median {median(lags):.2f}"
    )
    return {
        METRICS[1]: figures.ratio(ours, bare, f"{BARE_WAVE}, {size}", of="tasks/s", target=figures.WAVE_TARGET),
        METRICS[2]: Figure(round(max(lags), 3), "s", said, figures.WAVE_LAG_TARGET),
    }


async def _our_wave(bench: Bench, province: Province, tasks: Service, number: int) -> tuple[float, list[float]]:
    """Returns the seconds from the breaking of a wave until nothing is owed, and how long each report took."""
    at, wave = bench.agenda.ours(number), bench.agenda.wave
    bench.clock.stands(at - timedelta(minutes=1))
    offsets = await end_offsets(bench.stack.kafka.bootstrap, TASKS)
    fired = int(await bench.counters.total(tasks, FIRED))
    async with Reports(bench.stack.kafka.bootstrap, province.others(10_000), f"wave-{number}") as reports:
        sending = asyncio.create_task(reports.send(REPORTS_PER_SECOND, bench.clock.runs(at)))
        began = time.perf_counter()
        try:
            await bench.worked_off(province, tasks, fired + wave, at)
            seconds = time.perf_counter() - began
        finally:
            reports.enough()
            await sending
    # A wave that is over in no time says little about the reports meanwhile, but one was sent at least.
    lags: list[float] = []
    overdue: list[str] = []
    while len(lags) < len(reports.sent):
        lags, overdue = [], []
        for record in await records_since(bench.stack.kafka.bootstrap, TASKS, offsets):
            content = pydantic_core.from_json(record.value)
            cause = content["data"]["change"]["cause"]["event_id"]
            if cause in reports.sent:
                lags.append((record.timestamp - reports.sent[cause]) / 1000)
            elif content["type"] == "dondoc.task.overdue.v1":
                overdue.append(content["data"]["task_id"])
    if len(overdue) != wave or len(set(overdue)) != wave:
        raise CouldNotMeasureError(f"{len(overdue)} facts about {len(set(overdue))} tasks, not {wave}")
    return seconds, lags


async def _bare_wave(bench: Bench, province: Province, tasks: Service, number: int) -> float:
    """The same writes on other tasks of the same collection, while tasks stands still."""
    at, name = bench.agenda.bare(number), province.database(bench.client).name
    tasks.process.pause()
    try:
        written, seconds = await child("bare_wave", bench.stack.mongod.uri, name, at.isoformat())
    finally:
        tasks.process.resume()
    if written != bench.agenda.wave:
        raise CouldNotMeasureError(f"the bare loop wrote {written:.0f} of {bench.agenda.wave} tasks")
    return seconds


# -- punctuality ---------------------------------------------------------------------------------------------------


async def _punctuality(bench: Bench, province: Province, tasks: Service) -> dict[str, Figure]:
    """A steady drip of deadlines, ours and the rival's in turn."""
    warm_up, count = PER_SECOND * WARM_UP_SECONDS, PER_SECOND * (WARM_UP_SECONDS + STEADY_SECONDS)
    ours: list[list[float]] = []
    rival: list[list[float]] = []
    for number in range(STEADY_ROUNDS):
        ours.append((await _our_drip(bench, province, tasks, number))[warm_up:])
        tasks.process.pause()
        late = await child("rival_timers", bench.stack.mongod.uri, str(count), str(PER_SECOND))
        tasks.process.resume()
        rival.append(late[warm_up:])
    all_ours, all_rivals = list(chain(*ours)), list(chain(*rival))
    ratios = [_percentile(one, 99) / _percentile(other, 99) for one, other in zip(ours, rival, strict=True)]
    said = (
        f"no baseline: {len(all_ours):,} deadlines at {PER_SECOND}/s among {len(province.deadlines):,} tasks, from the "
        f"instant to the record on {TASKS.name}; the latest {max(all_ours):.2f}"
    )
    against = (
        f"{RIVAL}: p50 {_percentile(all_rivals, 50):.4f} s, p99 {_percentile(all_rivals, 99):.4f} s, "
        f"the latest {max(all_rivals):.4f}; {STEADY_ROUNDS} alternating rounds, {min(ratios):.1f} to {max(ratios):.1f}"
    )
    return {
        METRICS[3]: Figure(round(_percentile(all_ours, 50), 3), "s", said, figures.LATENESS_P50_TARGET),
        METRICS[4]: Figure(round(_percentile(all_ours, 99), 3), "s", said, figures.LATENESS_P99_TARGET),
        METRICS[5]: Figure(round(median(ratios), 3), "ratio", against, figures.RIVAL_TARGET),
    }


async def _our_drip(bench: Bench, province: Province, tasks: Service, number: int) -> list[float]:
    """How late each deadline was told, in the order of their instants."""
    instants = bench.agenda.steady(number)
    bench.clock.stands(instants[0] - timedelta(minutes=1))
    offsets = await end_offsets(bench.stack.kafka.bootstrap, TASKS)
    fired = int(await bench.counters.total(tasks, FIRED))
    clock = bench.clock.runs(instants[0] - timedelta(seconds=1))
    await asyncio.sleep((instants[-1] - clock.now()).total_seconds())
    await bench.worked_off(province, tasks, fired + len(instants), instants[-1])
    bench.clock.stands(clock.now())
    late: dict[datetime, float] = {}
    for record in await records_since(bench.stack.kafka.bootstrap, TASKS, offsets):
        at = datetime.fromisoformat(pydantic_core.from_json(record.value)["data"]["change"]["cause"]["received_at"])
        late[at] = (clock.at(record.timestamp / 1000) - at).total_seconds()
    if sorted(late) != instants:
        raise CouldNotMeasureError(f"{len(late)} of {len(instants)} deadlines were told")
    return [late[at] for at in instants]


def _percentile(values: Sequence[float], percent: int) -> float:
    return quantiles(values, n=100)[percent - 1]
