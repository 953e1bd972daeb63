"""Tasks under kill -9, rebalances, and outages of Kafka and MongoDB: the ending is always the same, to the byte."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from deploy.audit import audit
from deploy.local.broker import KafkaKind
from deploy.local.stack import Service, Stack, StackOptions
from shared.contracts.topics import DEADLETTERS, SUBMISSIONS
from tests.support.waiting import until
from tests.support.workload import END, Ending, Workload, ending, produce, read_topic

pytestmark = [pytest.mark.connected, pytest.mark.faults, pytest.mark.timeout(1200)]

SEED = 20241014
SIZE = 6_000
REPEATS_MAX = 5
"""Facts told twice in a run that nothing disturbs; killed ones repeat thousands."""
# Business time stands still, after everything was received: then recorded instants are equal too.
CLOCK = f"{END.isoformat()}@0@0"
DATABASE = "faults_tasks"
SETTLED = ("applied", "rejected", "dead")


@asynccontextmanager
async def a_stack(run_dir: Path, **env: str) -> AsyncIterator[Stack]:
    """Kafka, MongoDB and no service yet."""
    options = StackOptions(
        run_dir=run_dir,
        kafka=KafkaKind.APACHE,
        services=(),
        clock=CLOCK,
        database_prefix="faults",
        env={
            "DONDOC_KAFKA_SESSION_TIMEOUT_MS": "2000",
            # Small batches: many boundaries to be killed at.
            "DONDOC_BATCH_RECORDS_MAX": "25",
            "DONDOC_TASKS_TOGETHER": "5",
            **env,
        },
    )
    async with Stack(options, say=lambda _: None) as stack:
        yield stack


async def settled(stack: Stack) -> int:
    """How many submissions have their final outcome."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(stack.mongod.uri, serverSelectionTimeoutMS=500)
    try:
        return await client[DATABASE]["outcomes"].count_documents({"outcome": {"$in": list(SETTLED)}})
    except PyMongoError:
        return -1
    finally:
        await client.close()


async def quiet(stack: Stack) -> bool:
    """Whether no task owes a milestone by now, nor an event to anybody."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(stack.mongod.uri, serverSelectionTimeoutMS=500)
    try:
        tasks = client[DATABASE]["tasks"]
        due = await tasks.count_documents({"next_at": {"$lte": END}})
        openings = await client[DATABASE]["obligations"].count_documents({"next_at": {"$lte": END}})
        return not due and not openings and not await tasks.count_documents({"pend.tok": {"$exists": True}})
    finally:
        await client.close()


async def finish(stack: Stack, workload: Workload, *, within: float = 300) -> Ending:
    """Wait until every submission has its outcome and time has done all it can; read the ending."""

    async def all_settled() -> bool:
        return await settled(stack) >= workload.distinct

    async def all_quiet() -> bool:
        return await quiet(stack)

    await until(all_settled, within=within, what="all submissions settled")
    await until(all_quiet, within=within, what="nothing due, nothing untold")
    return await ending(stack.mongod.uri, DATABASE, stack.kafka.bootstrap)


@pytest.fixture(scope="module")
def workload() -> Workload:
    return Workload(SEED, SIZE)


@pytest.fixture(scope="module")
async def undisturbed(workload: Workload, tmp_path_factory: pytest.TempPathFactory) -> Ending:
    """What a run without any fault ends with."""
    async with a_stack(tmp_path_factory.mktemp("undisturbed")) as stack:
        await produce(stack.kafka.bootstrap, workload.records)
        await stack.add_replica("tasks")
        return await finish(stack, workload)


def assert_accounts_hold(found: Ending, workload: Workload) -> None:
    """accepted = applied + rejected + dead, nothing in flight."""
    assert len(found.ledger) == workload.distinct
    assert {outcome for outcome, _ in found.ledger.values()} <= set(SETTLED)


def assert_same(found: Ending, undisturbed: Ending) -> None:
    """State, outbound facts and outcomes are equal; per task, facts were told first in order, without gaps."""
    assert found.ledger == undisturbed.ledger
    assert found.tasks == undisturbed.tasks
    assert found.facts == undisturbed.facts
    for task_id, numbers in found.first_seen.items():
        assert numbers == list(range(1, len(numbers) + 1)), task_id


def test_an_undisturbed_run_settles_everything_and_fires_every_kind_of_milestone(
    undisturbed: Ending, workload: Workload
) -> None:
    assert_accounts_hold(undisturbed, workload)
    # Money comes through another lane than the rest of its task: what one has written and not told yet, the other's
    # write carries along, and both tell it (at least once, ADR 0002). On a busy machine that happens now and then.
    assert undisturbed.repeats <= REPEATS_MAX
    reasons = {reason for _, reason in undisturbed.ledger.values()}
    assert {"applied", "unknown_task", "nothing_to_judge", "task_completed", "obstacle_exists"} <= reasons
    kinds = {what["what"] for _, history, _, _ in undisturbed.tasks.values() for what in history}
    assert {"due_soon", "overdue", "escalated", "overdue_retracted", "extended", "completed", "returned"} <= kinds


async def test_twenty_kills_at_random_moments_change_nothing(
    undisturbed: Ending, workload: Workload, tmp_path: Path
) -> None:
    """INVARIANT: kill -9 of tasks at any moment loses nothing, doubles nothing, and changes no fact.

    If this broke, a power cut would decide what the chairman reads.
    """
    chance = random.Random(SEED)
    thresholds = sorted(chance.sample(range(50, workload.distinct - 50), 20))
    async with a_stack(tmp_path) as stack:
        await produce(stack.kafka.bootstrap, workload.records)
        tasks = await stack.add_replica("tasks")
        kills = 0
        for threshold in thresholds:

            async def reached(threshold: int = threshold) -> bool:
                return await settled(stack) >= threshold

            await until(reached, within=180, what=f"{threshold} settled")
            await asyncio.sleep(chance.uniform(0, 0.05))
            tasks.kill()
            kills += 1
            await tasks.start()
        found = await finish(stack, workload)

    assert kills == 20
    assert_accounts_hold(found, workload)
    assert_same(found, undisturbed)


async def test_replicas_that_join_and_leave_change_nothing(
    undisturbed: Ending, workload: Workload, tmp_path: Path
) -> None:
    """INVARIANT: rebalances, orderly and by kill -9, hand partitions over without loss and without a second effect."""
    chance = random.Random(SEED + 1)
    async with a_stack(tmp_path) as stack:
        await produce(stack.kafka.bootstrap, workload.records)
        first = await stack.add_replica("tasks")
        second = await stack.add_replica("tasks")
        for turn in range(6):
            leaving: Service = chance.choice([first, second])
            await asyncio.sleep(chance.uniform(0.3, 1.5))
            if turn % 2:
                leaving.kill()
            else:
                await leaving.stop()
            await asyncio.sleep(chance.uniform(0.1, 1.0))
            await leaving.start()
        found = await finish(stack, workload)

    assert_accounts_hold(found, workload)
    assert_same(found, undisturbed)


async def test_outages_of_kafka_and_mongodb_heal_without_a_restart(
    undisturbed: Ending, workload: Workload, tmp_path: Path
) -> None:
    """INVARIANT: Kafka away for 20 s and MongoDB killed under load: the same process goes on and ends the same."""
    async with a_stack(tmp_path) as stack:
        # All of it beforehand: business time stands after everything, so a gap in the backlog would be a lie.
        await produce(stack.kafka.bootstrap, workload.records)
        tasks = await stack.add_replica("tasks")
        pid = tasks.process.pid

        await until(lambda: _more_than(stack, 200), within=180, what="under load")
        stack.kafka.kill()
        await asyncio.sleep(20)
        await stack.kafka.restart()
        await until(lambda: _more_than(stack, workload.size // 2), within=240, what="going on after Kafka came back")

        stack.mongod.kill()
        await asyncio.sleep(3)
        await stack.mongod.restart()
        found = await finish(stack, workload)

        assert tasks.process.is_running()
        assert tasks.process.pid == pid

    assert_accounts_hold(found, workload)
    assert_same(found, undisturbed)


async def _more_than(stack: Stack, count: int) -> bool:
    return await settled(stack) > count


async def test_poison_goes_to_the_dead_letters_with_its_reason_and_stops_nothing(tmp_path: Path) -> None:
    workload = Workload(SEED + 2, 40)
    poison = [
        b"\xff\xfe not json",
        b"{}",
        b'{"specversion":"1.0","id":"x","source":"//s","type":"dondoc.unknown.v1","data":{}}',
        b'{"specversion":"1.0","id":"y","source":"//s","type":"dondoc.task.acknowledged.v1","data":{"task_id":1}}',
        b'{"specversion":"1.0","id":"z","source":"//s","type":"dondoc.task.acknowledged.v1",'
        b'"data":{"task_id":"H48/TB-1/II.1.a/H48.20"}}',
        b"[" * 5_000,
    ]
    async with a_stack(tmp_path) as stack:
        await produce(stack.kafka.bootstrap, workload.records[:30])
        await _produce_raw(stack.kafka.bootstrap, poison)
        await stack.add_replica("tasks")
        await produce(stack.kafka.bootstrap, workload.records[30:])
        found = await finish(stack, workload)
        letters = await _dead_letters(stack.kafka.bootstrap)
        accounts = await audit(stack.kafka.bootstrap, stack.mongod.uri, "faults")

    # Three of the poisoned records carry a source and an id: somebody may ask what became of them.
    assert (accounts.accepted, accounts.dead, accounts.in_flight) == (workload.distinct + 3, 3, 0)
    assert accounts.undecodable == 4
    assert len(found.ledger) == workload.distinct + 3
    assert sorted(headers["dondoc-reason"] for headers in letters) == sorted(
        ["malformed", "malformed", "unknown_type", "invalid_data", "not_received", "malformed", "empty"]
    )
    assert all(headers["dondoc-topic"] == SUBMISSIONS.name for headers in letters)


async def _produce_raw(bootstrap: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    try:
        for value in values:
            # A null header and one that is not UTF-8: the framework's own parser loses such records.
            await producer.send_and_wait(
                SUBMISSIONS.name, value=value, key=b"H48", headers=[("null", None), ("raw", b"\xff\xfe")]
            )
        await producer.send_and_wait(SUBMISSIONS.name, value=None, key=b"H48")
    finally:
        await producer.stop()


async def _dead_letters(bootstrap: str) -> list[dict[str, str]]:
    return [
        {name: raw.decode() for name, raw in record.headers if name.startswith("dondoc-")}
        for record in await read_topic(bootstrap, DEADLETTERS.name)
    ]
