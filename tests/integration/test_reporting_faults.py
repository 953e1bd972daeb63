"""Reporting under kill -9 and rebalances, on a real Kafka and MongoDB: the reports end as if nothing had been."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.broker import KafkaKind
from deploy.local.stack import Stack, StackOptions
from services.reporting.domain.aggregate import aggregate
from services.reporting.domain.periods import Kind
from services.reporting.domain.schedule import AsOf
from services.reporting.wire import money, snapshot_of, task_facts, totals
from shared.contracts.codec import decode
from shared.contracts.report_facts import ReportPublished
from shared.contracts.topics import DEADLETTERS, REPORTS_MONTHLY, TASKS
from shared.runtime.clock import ScaledClock, write_piece
from shared.runtime.consuming import Received
from tests.flow.reporting.harness import rulebook
from tests.flow.reporting.snapshots import a_snapshot, changed, encoded
from tests.support.waiting import until
from tests.support.workload import read_topic
from tests.unit.reporting.builders import DECREE_09, at

pytestmark = [pytest.mark.connected, pytest.mark.faults, pytest.mark.timeout(900)]

SEED = 20241114
TASKS_COUNT = 400
END = "2025-01-20"
HURRIED = {
    "DONDOC_KAFKA_SESSION_TIMEOUT_MS": "2000",
    "DONDOC_BATCH_RECORDS_MAX": "25",
    "DONDOC_AGGREGATE_EVERY_SECONDS": "0.1",
    "DONDOC_RECHECK_SECONDS": "2",
    "DONDOC_COMPUTE_EVERY_SECONDS": "0.2",
    # Every revision is told, so that none may be missing.
    "DONDOC_PUBLISH_EVERY_SECONDS": "0",
}
"""What replicas are told whose every step is to be caught at work."""


def a_workload(chance: random.Random) -> list[Received]:
    """Three changes of each task, over three months, in the order in which they would be published."""
    changes = []
    for number in range(TASKS_COUNT):
        share = {"agency": f"H48.{number % 20:02d}", "clause": f"II.1.a-{number // 20 + 1}"}
        assigned = at("2024-10-11") + timedelta(hours=chance.randrange(60 * 24))
        received = assigned + timedelta(hours=chance.randrange(1, 40 * 24))
        accepted = received + timedelta(hours=chance.randrange(1, 20 * 24))
        due = chance.choice([None, "2024-10-19", "2024-11-14", "2024-12-31", "2025-02-28"])
        steps: Sequence[Mapping[str, Any]] = (
            {},
            {"result": _text(received)},
            {"result": _text(received), "accepted": _text(accepted)},
        )
        changes += [
            (moment, changed(a_snapshot(seq, due=due, assigned=_text(assigned), **share, **step)))
            for seq, (moment, step) in enumerate(zip((assigned, received, accepted), steps, strict=True), start=1)
        ]
    return [record for _, record in sorted(changes, key=lambda one: one[0])]


def _text(instant: Any) -> str:
    return f"{instant:%Y-%m-%d %H:%M}"


async def test_kills_and_rebalances_change_no_report(tmp_path: Path) -> None:
    """INVARIANT: whatever was killed, each report ends with the figures that all facts together give, told once each.

    If this broke, a restart would decide what the chairman reads.
    """
    chance = random.Random(SEED)
    workload = a_workload(chance)
    steering = tmp_path / "clock.json"
    write_piece(steering, ScaledClock(at("2024-10-11"), 0.0, 0.0))
    options = StackOptions(
        run_dir=tmp_path,
        kafka=KafkaKind.APACHE,
        services=(),
        clock=f"file:{steering}",
        database_prefix="faults",
        env=HURRIED,
    )
    async with Stack(options, say=lambda _: None) as stack:
        replicas = [await stack.add_replica("reporting"), await stack.add_replica("reporting")]
        portion = len(workload) // 8
        for turn in range(8):
            records = workload[turn * portion : (turn + 1) * portion]
            await produce(stack.kafka.bootstrap, records)
            # Business time follows what was received, in leaps over days: several months close during the test.
            write_piece(steering, ScaledClock(at("2024-10-11") + timedelta(days=12 * (turn + 1)), 0.0, 0.0))
            await asyncio.sleep(chance.uniform(0.5, 1.5))
            leaving = chance.choice(replicas)
            if turn % 3 == 2:
                await leaving.stop()
            else:
                leaving.kill()
            await asyncio.sleep(chance.uniform(0.0, 0.5))
            await leaving.start()
        write_piece(steering, ScaledClock(at(END), 0.0, 0.0))
        expected = expected_figures(workload)

        async def settled() -> bool:
            published = await read_reports(stack.kafka.bootstrap)
            return expected == {
                key: (one.final, one.totals, one.days_late, one.money)
                for key, one in latest(published).items()
                if not one.scope.startswith("group:")
            }

        await until(settled, within=180, what="the reports agree with the facts")
        published = await read_reports(stack.kafka.bootstrap)
        dead = await read_topic(stack.kafka.bootstrap, DEADLETTERS.name)
        async with httpx.AsyncClient(base_url=replicas[0].url, trust_env=False) as client:
            token = stack.issuer.mint("H48.21", "H48", ["reports:read"])
            answer = await client.get("/v1/reports/2024-12.json", headers={"authorization": f"Bearer {token}"})
            served = answer.json()
            board = await client.get("/", headers={"cookie": f"dondoc={token}"})

    assert dead == []
    assert_revisions_are_in_order(published)
    assert served["final"] is True
    # The province, the agencies that nobody registered as a group and one by one, a directive and a category.
    assert len(served["scopes"]) == 1 + 1 + 20 + 1 + 1
    assert "tháng 02/2025" in board.text


async def produce(bootstrap: str, records: Sequence[Received]) -> None:
    """Put facts on the tasks topic as `tasks` would."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for record in records:
            await producer.send(TASKS.name, key=record.key, value=encoded(record))
        await producer.flush()
    finally:
        await producer.stop()


def expected_figures(workload: Sequence[Received]) -> dict[str, Any]:
    """Report key → whether it is final, and its figures, from all facts at once."""
    tasks = {}
    for record in workload:
        task = snapshot_of(record)
        assert task is not None
        tasks[task.task_id] = task_facts(task)
    expected: dict[str, Any] = {}
    for period in DECREE_09.between(Kind.MONTHLY, at("2024-10-11"), at(END)):
        final = period.ends_at <= at(END)
        calendar = rulebook().calendar("H48")
        figures = aggregate(tasks.values(), period.closing if final else AsOf(at(END)), calendar=calendar)
        expected |= {
            f"H48/{period.id}/{scope}": (final, totals(one), one.days_late, money(one))
            for scope, one in figures.items()
        }
    return expected


async def read_reports(bootstrap: str) -> list[tuple[str, ReportPublished]]:
    """Event id and report, in order per key."""
    found = []
    for record in await read_topic(bootstrap, REPORTS_MONTHLY.name):
        event = decode(record.topic, record.value)
        assert record.key.decode() == event.envelope.subject
        # Beside the reports the topic tells which are prepared to be read.
        if isinstance(event.data, ReportPublished):
            found.append((event.envelope.id, event.data))
    return found


def latest(published: Sequence[tuple[str, ReportPublished]]) -> dict[str, ReportPublished]:
    """The last word on each report."""
    return {event_id.rpartition(":")[0]: report for event_id, report in published}


def assert_revisions_are_in_order(published: Sequence[tuple[str, ReportPublished]]) -> None:
    """A revision told twice is the same twice; first tellings go up by one; what is final stays final."""
    told: dict[str, ReportPublished] = {}
    seen: dict[str, ReportPublished] = {}
    for event_id, report in published:
        key = event_id.rpartition(":")[0]
        if event_id in told:
            assert told[event_id] == report
            continue
        told[event_id] = report
        before = seen.get(key)
        assert report.revision == (before.revision + 1 if before else 1), event_id
        assert report.final or before is None or not before.final, event_id
        seen[key] = report
