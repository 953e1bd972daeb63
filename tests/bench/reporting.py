"""Reporting: taking in the tasks topic against a bare loop; then, among a million tasks, how old a report is while
facts come in, how fast it is read meanwhile, and how long it takes to close a month.

A million tasks unless told otherwise. The clock of reporting is in our hands: it stands while records are taken in,
runs like real time while facts come in, and then jumps over the cut-off.
"""

import asyncio
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from statistics import quantiles
from typing import Any, Final, NamedTuple, cast

import httpx
import orjson
from aiokafka import AIOKafkaProducer
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from confluent_kafka import KafkaError, Message, Producer
from pymongo import MongoClient, WriteConcern

from deploy.local.stack import Service, Stack
from services.reporting.domain.scopes import PROVINCE_SCOPE
from services.reporting.mongo_generations import collection_name, read_generations
from shared.contracts.topics import REPORTS_MONTHLY, TASKS
from shared.runtime.clock import ScaledClock, write_piece
from shared.runtime.mongodb import Database, connect
from shared.workdays.calendar import start_of
from tests.bench import figures, reported
from tests.bench.figures import Figure
from tests.bench.population import CHUNK, INSERTS_AT_ONCE, Raw
from tests.bench.probes import CouldNotMeasureError, Counters, Record, child, end_offsets, records_since
from tests.bench.steered import Steered
from tests.support.duckdb_oracle import Look, Oracle
from tests.support.workload import PROVINCE

SERVICES: Final[tuple[str, ...]] = ()
"""Each measurement starts a process of its own, on a database of its own."""
ENV: Final = {
    # A paused process keeps its partitions, and does not take the pause for a fault of its own.
    "DONDOC_KAFKA_SESSION_TIMEOUT_MS": "300000",
    "DONDOC_STUCK_SECONDS": "600",
    "DONDOC_OUTAGE_GRACE_SECONDS": "0",
    # What a token costs is measured at the door; here whoever comes reads.
    "DONDOC_READING_NEEDS_TOKEN": "false",
}
METRICS: Final = (
    "reporting_apply_ratio",
    "reporting_rebuild_ratio",
    "reporting_staleness_s",
    "board_p99_ms",
    "reporting_close_vs_duckdb",
    "memory_mb_reporting",
)
TASKS_DEFAULT: Final = 1_000_000
BARE: Final = "a bare getmany + upsert loop on the same records, documents of the same size, under the same indexes"
APPLIED: Final = "bench_reporting"
"""The prefix of the database that the rounds fill."""
PORTION_MAX: Final = 20_000
"""Tasks of one round: each has one to three records."""
SIZE_TOLERANCE: Final = 0.05
"""By how much documents of the bare loop may be smaller or larger than ours."""
CHANGES_PER_SECOND: Final = 500
READS_PER_SECOND: Final = 50
SECONDS: Final = 30
LINGER_MS: Final = 20
"""Who tells facts tells some at once; a request for each would measure the broker."""
WAIT_SECONDS_MAX: Final = 900.0
LOOK_SECONDS: Final = 0.1

LAST_DAY: Final = reported.TODAY + timedelta(days=1)
CUT_OFF: Final = start_of(LAST_DAY + timedelta(days=1))
MONTH: Final = "2024-11"
"""From 15 October to 14 November (Decree 09/2019 art. 12). No week ends with it."""
NOW: Final = CUT_OFF - timedelta(hours=30)
CLOSES_AT: Final = CUT_OFF + timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Bench(Steered):
    """What every measurement here needs."""

    rounds: int
    tasks: int

    def runs(self, at: datetime) -> None:
        """It is this instant now, and time passes."""
        write_piece(self.clock, ScaledClock(at, 1, time.time()))

    async def start(self, prefix: str) -> Service:
        """A fresh process on this database."""
        return await self.stack.add_replica("reporting", self.env(prefix))

    def database(self, prefix: str) -> Database:
        """The one that such a process owns."""
        return self.client[f"{prefix}_reporting"]

    @property
    def bootstrap(self) -> str:
        """Where the broker is."""
        return self.stack.kafka.bootstrap

    @property
    def portion(self) -> int:
        """Tasks of one round."""
        return min(PORTION_MAX, self.tasks)


async def measure(stack: Stack, rounds: int, work_dir: Path, *, tasks: int = TASKS_DEFAULT) -> dict[str, Figure]:
    """First the topic, portion by portion and then as a whole; then a province that is full already."""
    client = connect(stack.mongod.uri, app_name="bench-reporting")
    try:
        async with Counters() as counters:
            bench = Bench(stack, client, counters, work_dir / "clock.json", rounds, tasks)
            reported.check(tasks)
            bench.stands(reported.TOLD_BY)
            reporting = await bench.start(APPLIED)
            found = await _apply(bench, reporting)
            found |= await _rebuild(bench, reporting)
            await reporting.stop()
            found |= await _full(bench)
            return found
    finally:
        client.close()


# -- taking in the topic -----------------------------------------------------------------------------------------------


class Bare(NamedTuple):
    """A run of the bare loop."""

    seconds: float
    size: float
    """Bytes of a document."""


async def _apply(bench: Bench, reporting: Service) -> dict[str, Figure]:
    """A portion of its own each round, taken in by both; who is first changes round by round. One warms both up."""
    ours: list[float] = []
    bare: list[float] = []
    sizes: list[float] = []
    done = 0
    for number in range(bench.rounds + 1):
        offsets = await end_offsets(bench.bootstrap, TASKS)
        reporting.process.pause()
        count = await _tell(bench.bootstrap, reported.history(number * bench.portion, bench.portion))
        done += count
        theirs = await _bare(bench, f"bench_bare_{number}", offsets, count) if number % 2 else None
        our_seconds = await _ours(bench, reporting, done)
        if theirs is None:
            reporting.process.pause()
            theirs = await _bare(bench, f"bench_bare_{number}", offsets, count)
            reporting.process.resume()
        sizes.append(theirs.size)
        if number:
            ours.append(count / our_seconds)
            bare.append(count / theirs.seconds)
    await _verify_size(bench.database(APPLIED), sum(sizes) / len(sizes))
    await _verify(bench, reporting, APPLIED)
    said = f"{BARE}, portions of {bench.portion:,} tasks"
    return {METRICS[0]: figures.ratio(ours, bare, said, target=figures.REPORTING_APPLY_TARGET)}


async def _tell(bootstrap: str, records: Iterator[tuple[str, bytes]]) -> int:
    """Write records; returns how many, once the broker has them."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    count = 0
    try:
        for key, value in records:
            await producer.send(TASKS.name, key=key.encode(), value=value)
            count += 1
        await producer.flush()
    finally:
        await producer.stop()
    return count


async def _ours(bench: Bench, reporting: Service, expected: int) -> float:
    """A record is done with when it is kept and counted."""
    began = time.perf_counter()
    reporting.process.resume()
    await bench.counters.reaches(reporting, expected)
    return time.perf_counter() - began


async def _bare(bench: Bench, name: str, offsets: Mapping[int, int], expected: int) -> Bare:
    text = ",".join(f"{partition}:{offset}" for partition, offset in offsets.items())
    written, size, seconds = await child("bare_reporting", bench.bootstrap, bench.stack.mongod.uri, name, text)
    await bench.client.drop_database(name)
    if written != expected:
        raise CouldNotMeasureError(f"the bare loop kept {written:.0f} of {expected} records")
    return Bare(seconds, size)


async def _verify_size(database: Database, theirs: float) -> None:
    """Both have written documents of the same size."""
    found = database["task_facts"].aggregate([{"$group": {"_id": None, "size": {"$avg": {"$bsonSize": "$$ROOT"}}}}])
    ours = next(iter([one["size"] async for one in found]))
    if abs(theirs / ours - 1) > SIZE_TOLERANCE:
        raise CouldNotMeasureError(f"a document of the bare loop has {theirs:.0f} bytes, one of ours {ours:.0f}")


async def _verify(bench: Bench, reporting: Service, prefix: str) -> None:
    """Every task is kept at its last version, and counted in the report of its province."""
    numbers = range((bench.rounds + 1) * bench.portion)
    courses = [reported.course(one) for one in numbers]
    totals = await _counted(reporting, len(numbers))
    database = bench.database(prefix)
    kept = database[collection_name("task_facts", (await read_generations(database)).serving)]
    sums = kept.aggregate([{"$group": {"_id": None, "seqs": {"$sum": "$seq"}}}])
    found = {
        "sum of versions": next(iter([one["seqs"] async for one in sums]), 0),
        "done": totals["done"],
        "done late": totals["done_late"],
    }
    expected = {
        "sum of versions": sum(one.seq for one in courses),
        "done": sum(one.seq == 3 for one in courses),
        "done late": 0,
    }
    if found != expected:
        raise CouldNotMeasureError(f"not everything was counted: {found}, expected {expected}")


async def _counted(reporting: Service, tasks: int, column: str = "total") -> dict[str, int]:
    """Wait until the report on the month counts so many tasks."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    totals: dict[str, int] = {}
    while totals.get(column) != tasks:
        if time.monotonic() > deadline:
            raise CouldNotMeasureError(f"of {tasks} tasks, {totals.get(column)} are in the report ({column})")
        await asyncio.sleep(LOOK_SECONDS)
        totals = await _totals(reporting)
    return totals


async def _totals(reporting: Service) -> dict[str, int]:
    async with _http(reporting) as http:
        return await _read_totals(http)


def _http(reporting: Service) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=reporting.url, trust_env=False, timeout=60)


async def _read_totals(http: httpx.AsyncClient) -> dict[str, int]:
    """The month's, of the province; nothing before there are any."""
    answer = await http.get(f"/v1/reports/{MONTH}.json", params={"scope": "province"})
    if not answer.is_success:
        return {}
    totals: dict[str, int] = answer.json()["scopes"][0]["totals"]
    return {**totals, "done": _done(totals)}


def _done(totals: Mapping[str, int]) -> int:
    return totals["done_on_time"] + totals["done_late"]


# -- from the beginning ------------------------------------------------------------------------------------------------


async def _rebuild(bench: Bench, reporting: Service) -> dict[str, Figure]:
    """Everything that the rounds before left in the topic, once more: by the operator's command, and bare twice.

    The service runs beside it as it always does. The command reads, builds the indexes, compares with what serves, and
    switches; then the reports are those of the new generation.
    """
    start = dict.fromkeys(range(TASKS.partitions), 0)
    expected = sum((await end_offsets(bench.bootstrap, TASKS)).values())
    before = await _bare(bench, "bench_bare_before", start, expected)
    database = bench.database(APPLIED)
    serving = (await read_generations(database)).serving
    began = time.perf_counter()
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.reporting", "rebuild"),
        env=bench.stack.env_of("reporting", reporting.port) | bench.env(APPLIED),
        stderr=asyncio.subprocess.PIPE,
    )
    now = serving
    while command.returncode is None and now == serving:
        await asyncio.sleep(LOOK_SECONDS)
        now = (await read_generations(database)).serving
    seconds = time.perf_counter() - began
    _, said_by_command = await command.communicate()
    if command.returncode:
        raise CouldNotMeasureError(f"the rebuild ended with {command.returncode}: {said_by_command.decode()[-500:]}")
    await _verify(bench, reporting, APPLIED)
    after = await _bare(bench, "bench_bare_after", start, expected)
    ours, both = expected / seconds, 2 * expected / (before.seconds + after.seconds)
    said = (
        f"{BARE}, from the first record of {expected:,} on: {both:,.0f} events/s before and after ours ({ours:,.0f}, "
        f"from the command's start until the new generation serves, the service beside it)"
    )
    return {METRICS[1]: Figure(round(ours / both, 3), "ratio", said, figures.REPORTING_REBUILD_TARGET)}


# -- a province that is full -------------------------------------------------------------------------------------------


async def _full(bench: Bench) -> dict[str, Figure]:
    """Put the tasks where reporting keeps them, start it, and look."""
    database = bench.database("bench_full")
    await _fill(database, bench.tasks)
    bench.stands(NOW)
    began = time.perf_counter()
    reporting = await bench.start("bench_full")
    await _counted(reporting, bench.tasks)
    started = time.perf_counter() - began
    await _prepared(database)
    found = await _stream(bench, reporting)
    found |= await _close(bench, reporting, database)
    load = (
        f"peak resident size (VmHWM) of the process after: ledgers of {bench.tasks:,} tasks, made in {started:.1f} s "
        f"from its start, {CHANGES_PER_SECOND} changes/s, {READS_PER_SECOND} reads/s, a month closed"
    )
    found[METRICS[5]] = Figure(round(figures.peak_mb(reporting), 1), "MB", load, figures.REPORTING_MEMORY_TARGET)
    await reporting.stop()
    return found


async def _prepared(database: Database) -> None:
    """Wait until the reports of all weeks before are prepared. In life each was when its week had closed."""
    closed = {"province": PROVINCE, "scope": PROVINCE_SCOPE, "final": True}
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    expected, found = await database["reports"].count_documents(closed), 0
    while found < expected:
        if time.monotonic() > deadline:
            raise CouldNotMeasureError(f"of {expected} closed periods, {found} have a report to the chairman")
        await asyncio.sleep(LOOK_SECONDS)
        found = await database["prepared"].count_documents({"province": PROVINCE})


async def _fill(database: Database, tasks: int) -> None:
    """Put so many tasks into an empty database, then build the product's indexes."""
    options: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
    # Filling need not survive a power cut.
    facts = database.get_collection("task_facts", write_concern=WriteConcern(w=1, j=False))
    raw = cast(Raw, facts.with_options(codec_options=options))
    made_alike = (reported.document(number) for number in range(tasks))
    await asyncio.gather(*(_insert(raw, made_alike) for _ in range(INSERTS_AT_ONCE)))
    await reported.prepare(database)
    # What is still to be written to disk must not burden the measurement.
    await database.client.admin.command("fsync")


async def _insert(collection: Raw, documents: Iterator[RawBSONDocument]) -> None:
    while some := list(islice(documents, CHUNK)):
        await collection.insert_many(some, ordered=False)


class Seen(NamedTuple):
    """A report on the province as it was published."""

    at: float
    done: int


async def _stream(bench: Bench, reporting: Service) -> dict[str, Figure]:
    """Tasks are accepted at a steady rate, and the board and the report are read meanwhile.

    Each fact makes one more task done, so a report that counts so many done contains as many facts. Which ones, it does
    not say: those that were told first are taken for them.
    """
    numbers = [one for one in range(bench.tasks) if reported.course(one) is reported.OPEN]
    seconds = min(SECONDS, len(numbers) // CHANGES_PER_SECOND)
    if not seconds:
        raise CouldNotMeasureError(f"{len(numbers)} open tasks are too few; take more")
    before = (await _totals(reporting))["done"]
    offsets = await end_offsets(bench.bootstrap, REPORTS_MONTHLY)
    # The province is said, as a token says it.
    paths = ("/", f"/v1/reports/{MONTH}.json?scope=province&province={PROVINCE}")
    bench.runs(NOW)
    reading = asyncio.create_task(
        child("board_load", str(reporting.port), str(READS_PER_SECOND), str(seconds + 5), *paths)
    )
    looking = asyncio.create_task(_read(reporting, before + seconds * CHANGES_PER_SECOND))
    try:
        sent = await _accept(bench, numbers[:: max(1, len(numbers) // (seconds * CHANGES_PER_SECOND))], seconds)
        bad, *answers = await reading
        read = await looking
    finally:
        reading.cancel()
        looking.cancel()
    expected = before + len(sent)
    await _counted(reporting, expected, "done")
    seen = await _published(bench, offsets, expected)
    if bad:
        raise CouldNotMeasureError(f"{bad:.0f} of {len(answers)} reads were refused")
    ages, told = _ages(sent, read, before), _ages(sent, seen, before)
    said = (
        f"no baseline: {len(sent):,} facts at {CHANGES_PER_SECOND}/s among {bench.tasks:,} tasks, from the record of "
        f"each on {TASKS.name} to the first report with it that is read over HTTP, ten times a second; the oldest of "
        f"all. p50 {_percentile(ages, 50):.2f}, p95 {_percentile(ages, 95):.2f}. On {REPORTS_MONTHLY.name}, where a "
        f"report is told every five seconds at most: p50 {_percentile(told, 50):.2f}, oldest {max(told):.2f}; "
        f"{len(seen)} reports"
    )
    board, report = answers[::2], answers[1::2]
    asked = (
        f"no baseline: {READS_PER_SECOND} requests/s meanwhile, each from the moment it was due, no token asked; "
        + ", ".join(
            f"{path} p50 {_percentile(some, 50) * 1000:.0f} p99 {_percentile(some, 99) * 1000:.0f}"
            for path, some in zip(paths, (board, report), strict=True)
        )
    )
    slower = max(_percentile(board, 99), _percentile(report, 99)) * 1000
    return {
        METRICS[2]: Figure(round(max(ages), 2), "s", said, figures.STALENESS_TARGET),
        METRICS[3]: Figure(round(slower, 1), "ms", asked, figures.BOARD_TARGET),
    }


async def _read(reporting: Service, expected: int) -> list[Seen]:
    """Read the report on the province again and again, until it counts so many tasks done."""
    seen: list[Seen] = []
    async with _http(reporting) as http:
        while not seen or seen[-1].done < expected:
            totals = await _read_totals(http)
            if "done" not in totals:
                raise CouldNotMeasureError("the report could not be read while facts came in")
            done = totals["done"]
            if not seen or seen[-1].done != done:
                seen.append(Seen(time.time(), done))
            await asyncio.sleep(LOOK_SECONDS)
    return seen


async def _accept(bench: Bench, numbers: Sequence[int], seconds: int) -> list[float]:
    """Tell at a steady rate of tasks that their result was accepted. Returns the times of the records, in order."""
    count = seconds * CHANGES_PER_SECOND
    # Made beforehand: half a millisecond each would be felt at this rate.
    records = [
        reported.record(number, 3, NOW - timedelta(days=1, microseconds=2 * position + 1))
        for position, number in enumerate(numbers[:count])
    ]
    # The library in C: a fifth of a core for the load would be taken from what is measured.
    producer = Producer(
        {
            "bootstrap.servers": bench.bootstrap,
            "enable.idempotence": True,
            "linger.ms": LINGER_MS,
            # The same key, the same partition as with every other producer of ours.
            "partitioner": "murmur2_random",
        }
    )
    told: list[float] = []
    faults: list[KafkaError] = []

    def on_delivery(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            faults.append(error)
        told.append(message.timestamp()[1] / 1000)

    began = time.perf_counter()
    for position, (key, value) in enumerate(records):
        producer.produce(TASKS.name, key=key, value=value, on_delivery=on_delivery)
        ahead = began + (position + 1) / CHANGES_PER_SECOND - time.perf_counter()
        if ahead > LINGER_MS / 1000:
            producer.poll(0)
            await asyncio.sleep(ahead)
    await asyncio.to_thread(producer.flush)
    if faults:
        raise CouldNotMeasureError(f"{len(faults)} facts were not told, first {faults[0]}")
    return sorted(told)


async def _published(bench: Bench, offsets: Mapping[int, int], expected: int) -> list[Seen]:
    """What is readable is published in the same turn."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    seen: list[Seen] = []
    while not seen or seen[-1].done != expected:
        if time.monotonic() > deadline:
            raise CouldNotMeasureError(f"of {expected} tasks done, {seen[-1:]} are in the published report")
        await asyncio.sleep(LOOK_SECONDS)
        seen = _seen(await records_since(bench.bootstrap, REPORTS_MONTHLY, offsets))
    return seen


def _seen(records: Sequence[Record]) -> list[Seen]:
    found = []
    for one in records:
        data = orjson.loads(one.value)["data"]
        if (data["period"], data["scope"], data["province"]) == (MONTH, "province", PROVINCE):
            found.append(Seen(one.timestamp / 1000, _done(data["totals"])))
    return sorted(found)


def _ages(sent: Sequence[float], seen: Sequence[Seen], before: int) -> list[float]:
    counted = [one.done - before for one in seen]
    return [seen[bisect_left(counted, number)].at - at for number, at in enumerate(sent, start=1)]


def _percentile(seconds: Sequence[float], percent: int) -> float:
    return quantiles(seconds, n=100, method="inclusive")[percent - 1]


# -- the end of a month ------------------------------------------------------------------------------------------------


async def _close(bench: Bench, reporting: Service, database: Database) -> dict[str, Figure]:
    """Business time passes the cut-off; until the last final report of the month is on the topic."""
    scopes = await database["reports"].count_documents({"province": PROVINCE, "period": MONTH})
    offsets = await end_offsets(bench.bootstrap, REPORTS_MONTHLY)
    began = time.time()
    bench.stands(CLOSES_AT)
    final: dict[str, float] = {}
    while len(final) < scopes:
        if time.time() - began > WAIT_SECONDS_MAX:
            raise CouldNotMeasureError(f"of {scopes} reports of {MONTH}, {len(final)} are final")
        await asyncio.sleep(LOOK_SECONDS)
        final = _final(await records_since(bench.bootstrap, REPORTS_MONTHLY, offsets))
    seconds = max(final.values()) - began
    theirs, counted = await asyncio.to_thread(duckdb_counts, bench.stack.mongod.uri, database.name, bench.clock.parent)
    reports = database["reports"].find({"province": PROVINCE, "period": MONTH, "final": True, "members": []})
    ours = {one["scope"]: one["figures"] async for one in reports}
    if ours != counted:
        differ = [scope for scope in ours.keys() | counted.keys() if ours.get(scope) != counted.get(scope)]
        raise CouldNotMeasureError(f"DuckDB counts otherwise in {len(differ)} scopes, first {sorted(differ)[:3]}")
    said = (
        f"DuckDB, reading the same facts from MongoDB and computing the same figures, which agree: {theirs:.1f} s "
        f"(ours {seconds:.1f}, from the cut-off to the last of {scopes} final reports on {REPORTS_MONTHLY.name}); "
        f"{bench.tasks:,} tasks"
    )
    return {METRICS[4]: Figure(round(seconds / theirs, 3), "ratio", said, figures.CLOSE_TARGET)}


def _final(records: Sequence[Record]) -> dict[str, float]:
    """Scope → when its final report was told."""
    found: dict[str, float] = {}
    for one in records:
        data = orjson.loads(one.value)["data"]
        if data["period"] == MONTH and data["final"]:
            found.setdefault(data["scope"], one.timestamp / 1000)
    return found


def duckdb_counts(mongo_uri: str, name: str, work_dir: Path) -> tuple[float, dict[str, Mapping[str, int]]]:
    """How long DuckDB takes to read the facts and count the figures of the same scopes as of the cut-off, and those."""
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_uri)
    path = work_dir / "snapshots.ndjson"
    began = time.perf_counter()
    with path.open("w", encoding="utf-8") as lines:
        for one in client[name]["task_facts"].find({"province": PROVINCE}, {"_id": 0, "snapshot": 1}):
            lines.write(one["snapshot"] + "\n")
    oracle = Oracle(reported.calendar())
    oracle.load_file(path)
    counted = oracle.figures([Look.at_end_of(LAST_DAY)], PROVINCE)
    seconds = time.perf_counter() - began
    oracle.database.close()
    client.close()
    path.unlink()
    return seconds, {scope: one.figures for (_, scope), one in counted.items()}
