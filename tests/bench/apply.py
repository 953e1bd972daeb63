"""`tasks_apply_ratio`: tasks against a bare loop over the same records, which wait in the topic when a clock starts."""

import time
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any, Final

from pymongo import AsyncMongoClient

from deploy.local.stack import Service, Stack
from shared.contracts.topics import SUBMISSIONS, TASKS
from tests.bench import lives
from tests.bench.figures import APPLY_TARGET, Figure, memory, ratio
from tests.bench.probes import CouldNotMeasureError, Counters, child, end_offsets
from tests.support.workload import Submitted, produce

SERVICES: Final = ("tasks",)
# A paused replica keeps its partitions: nothing but records is waiting when it goes on.
ENV: Final = {"DONDOC_KAFKA_SESSION_TIMEOUT_MS": "60000"}
METRICS: Final = ("tasks_apply_ratio",)
BASELINE: Final = "a bare getmany + bulk_write loop on the same records, before and after ours"
PASSES: Final = ("before", "after")
"""Of the bare loop, each with a collection of its own: what slows the machine meanwhile slows it too."""
LOAD: Final = "all rounds of tasks_apply_ratio"


async def measure(stack: Stack, rounds: int, work_dir: Path) -> dict[str, Figure]:
    """A directive of its own each round, so that every round is the same trial; the first warms both up."""
    tasks = stack.service("tasks")
    ours: list[float] = []
    bare: list[float] = []
    events = 0
    async with Counters() as counters:
        done = await _put(stack, counters, 0, lives.agencies())
        for number in range(rounds + 1):
            done = await _put(stack, counters, done, [lives.issued(number)])
            records = lives.lives(number)
            events += len(records)
            before = await end_offsets(stack.kafka.bootstrap, SUBMISSIONS)
            tasks.process.pause()
            await produce(stack.kafka.bootstrap, records)
            # While the bare loop runs, tasks stands still.
            bare_seconds = [await _bare(stack, PASSES[0], number, before, len(records))]
            done += len(records)
            our_seconds = await _ours(counters, tasks, done)
            tasks.process.pause()
            bare_seconds.append(await _bare(stack, PASSES[1], number, before, len(records)))
            tasks.process.resume()
            if number:
                ours.append(len(records) / our_seconds)
                bare.append(len(records) / mean(bare_seconds))
    await _verify(stack, rounds + 1, events)
    return {METRICS[0]: ratio(ours, bare, BASELINE, target=APPLY_TARGET), **memory([tasks], LOAD)}


async def _put(stack: Stack, counters: Counters, done: int, records: list[Submitted]) -> int:
    await produce(stack.kafka.bootstrap, records)
    await counters.reaches(stack.service("tasks"), done + len(records))
    return done + len(records)


async def _ours(counters: Counters, tasks: Service, expected: int) -> float:
    began = time.perf_counter()
    tasks.process.resume()
    await counters.reaches(tasks, expected)
    return time.perf_counter() - began


async def _bare(stack: Stack, collection: str, number: int, offsets: Mapping[int, int], expected: int) -> float:
    text = ",".join(f"{partition}:{offset}" for partition, offset in offsets.items())
    arguments = (stack.kafka.bootstrap, stack.mongod.uri, collection, str(number), text)
    applied, seconds = await child("bare_apply", *arguments)
    if applied != expected:
        raise CouldNotMeasureError(f"the bare loop applied {applied:.0f} of {expected} records")
    return seconds


async def _verify(stack: Stack, directives: int, events: int) -> None:
    """Both did the whole work, and every event changed a task."""
    created = directives * len(lives.task_ids(0))
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(stack.mongod.uri)
    try:
        ours, bare = client[f"{stack.options.database_prefix}_tasks"], client["bench_bare"]
        counts = {
            "applied in our ledger": await ours["outcomes"].count_documents({"outcome": "applied"}),
            "facts in our documents": await _sum(ours["tasks"], "$seq"),
            "owed by our documents": await ours["tasks"].count_documents({"pend": {"$exists": True}}),
            "facts told on the topic": sum((await end_offsets(stack.kafka.bootstrap, TASKS)).values()),
            **{f"changes by the bare loop {one}": await _sum(bare[one], {"$size": "$history"}) for one in PASSES},
        }
    finally:
        await client.close()
    expected = {
        "applied in our ledger": events + directives + len(lives.agencies()),
        "facts in our documents": events + created,
        "owed by our documents": 0,
        "facts told on the topic": events + created,
        **{f"changes by the bare loop {one}": events for one in PASSES},
    }
    if counts != expected:
        raise CouldNotMeasureError(f"not everything was applied: {counts}, expected {expected}")


async def _sum(collection: Any, expression: Any) -> int:
    found = await collection.aggregate([{"$group": {"_id": None, "sum": {"$sum": expression}}}])
    return int((await found.to_list())[0]["sum"])
