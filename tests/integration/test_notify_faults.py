"""notify under kill -9, rebalances and a mail server that is away, on a real Kafka, MongoDB and SMTP."""

import asyncio
import random
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.broker import KafkaKind
from deploy.local.mailbox import Mail
from deploy.local.stack import Stack, StackOptions
from services.notify.domain.alert import KIND_OF_FACT
from services.tasks import wire as tasks_wire
from services.tasks.domain.commands import SubmitResult
from services.tasks.domain.decide import advance, assign, decide
from services.tasks.domain.decision import Fact
from shared.contracts.alert_facts import AlertDecided
from shared.contracts.codec import decode, encode
from shared.contracts.topics import AGENCIES, ALERTS, DEADLETTERS, TASKS
from shared.runtime.clock import ScaledClock, write_piece
from tests.flow.notify.harness import an_agency
from tests.support.builders import RULES, a_cause, a_document, a_task, at
from tests.support.workload import read_topic

pytestmark = [pytest.mark.connected, pytest.mark.faults, pytest.mark.timeout(900)]

SEED = 20241020
AGENCY_CODES = tuple(f"H48.{number}" for number in range(20, 50))
TASKS_EACH = 12


def a_workload(chance: random.Random) -> tuple[list[Fact], set[str]]:
    """Facts in the order of their publishing, and the ids of tasks whose result came before any of their overdues.

    Each task is assigned and grows overdue; of every third the result came in time, and no overdue is a fact.
    """
    stories: list[list[Fact]] = []
    for agency in AGENCY_CODES:
        for number in range(TASKS_EACH):
            clause = f"II.1.a-{number + 1}"
            made = assign(a_task(task_id=f"H48/TB-1/{clause}/{agency}", clause=clause, agency=agency, seq=0))
            task, facts = made.task, list(made.facts)
            if number % 3 == 0:
                submitted = decide(
                    task,
                    SubmitResult(a_document(), "", 0, None),
                    cause=a_cause("2024-10-18 09:00", agency),
                    rules=RULES,
                )
                task, facts = submitted.task, [*facts, *submitted.facts]
            moment = at("2024-10-21 00:00")
            stories.append([*facts, *advance(task, now=moment, recorded_at=moment, rules=RULES).facts])
    stream: list[Fact] = []
    open_stories = [story for story in stories if story]
    while open_stories:
        story = chance.choice(open_stories)
        stream.append(story.pop(0))
        if not story:
            open_stories.remove(story)
    return stream, {fact.task.task_id for fact in stream if fact.task.result.value == "submitted"}


async def produce(bootstrap: str, topic: str, records: Sequence[tuple[str, bytes]]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for key, value in records:
            await producer.send(topic, key=key.encode(), value=value)
        await producer.flush()
    finally:
        await producer.stop()


def agencies() -> list[tuple[str, bytes]]:
    received = [
        an_agency("H48.01", "chairman_office", "office@x.example"),
        an_agency("H48.07", "standing", "standing@x.example"),
        *(an_agency(code, contact=f"{code.lower()}@x.example") for code in AGENCY_CODES),
    ]
    return [
        (
            one.event.data.model_dump()["code"],
            encode(
                event_type=one.event.kind.name,
                event_id=one.event.envelope.id,
                source=one.event.envelope.source,
                time=at("2024-10-14 08:00"),
                province="H48",
                data=one.event.data,
            ),
        )
        for one in received
    ]


async def read_alerts(url: str, token: str) -> list[dict[str, Any]]:
    """All alerts over HTTP, page by page."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    async with httpx.AsyncClient(
        base_url=url, headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=30
    ) as client:
        while True:
            page = (await client.get("/v1/alerts", params={"limit": "500", **cursor})).json()
            found += page["alerts"]
            if page["next"] is None:
                return found
            cursor = {"cursor": page["next"]}


async def test_kills_and_a_lost_mail_server_lose_no_alert_and_double_none(tmp_path: Path) -> None:
    """INVARIANT: whatever was killed, each alert is decided once and each delivery ends sent or suppressed, with a
    cause; a message that went out twice carries the same Message-ID, and no task stands in two different messages.

    If this broke, a restart would mail a province twice, or leave an agency without the notice that counts.
    """
    chance = random.Random(SEED)
    workload, in_time = a_workload(chance)
    expected = {f"{fact.task.task_id}:{fact.task.seq}" for fact in workload if fact.kind.value in KIND_OF_FACT}
    clock = tmp_path / "clock.json"
    write_piece(clock, ScaledClock(at("2024-10-21 08:00"), 1.0, time.time()))
    options = StackOptions(
        run_dir=tmp_path,
        kafka=KafkaKind.APACHE,
        services=(),
        clock=f"file:{clock}",
        database_prefix="faults",
        env={
            "DONDOC_KAFKA_SESSION_TIMEOUT_MS": "2000",
            "DONDOC_BATCH_RECORDS_MAX": "20",
            "DONDOC_SEND_POLL_SECONDS": "0.1",
            "DONDOC_GROUP_WAIT_SECONDS": "0.3",
        },
    )
    async with Stack(options, say=lambda _: None) as stack:
        await produce(stack.kafka.bootstrap, AGENCIES.name, agencies())
        reader = stack.issuer.mint("H48.07", "H48", ["tasks:read"])
        replicas = [await stack.add_replica("notify"), await stack.add_replica("notify")]
        portion = len(workload) // 8 + 1
        for turn in range(8):
            some = workload[turn * portion : (turn + 1) * portion]
            messages = [tasks_wire.message(fact) for fact in some]
            await produce(stack.kafka.bootstrap, TASKS.name, [(one.key, one.value) for one in messages])
            await asyncio.sleep(chance.uniform(0.2, 1.5))
            if turn in (2, 5):
                stack.mailbox.kill()
            leaving = chance.choice(replicas)
            if turn % 3 == 2:
                await leaving.stop()
            else:
                leaving.kill()
            await asyncio.sleep(chance.uniform(0.0, 0.5))
            await leaving.start()
            if turn in (2, 5):
                await stack.mailbox.start()

        alerts: list[dict[str, Any]] = []
        for turn in range(150):
            if turn == 5:
                # What was too late for Monday's digest comes with Tuesday's.
                write_piece(clock, ScaledClock(at("2024-10-22 08:01"), 1.0, time.time()))
            alerts = await read_alerts(replicas[0].url, reader)
            states = {delivery["state"] for one in alerts for delivery in one["deliveries"]}
            if {one["alert_id"] for one in alerts} == expected and "pending" not in states:
                break
            await asyncio.sleep(1)
        told = [
            decode(ALERTS.name, record.value).data for record in await read_topic(stack.kafka.bootstrap, ALERTS.name)
        ]
        dead = await read_topic(stack.kafka.bootstrap, DEADLETTERS.name)
        mails = stack.mailbox.mails()

    assert dead == []
    assert {one["alert_id"] for one in alerts} == expected
    assert {one.alert_id for one in told if isinstance(one, AlertDecided)} == expected
    assert_deliveries_match_mails(alerts, mails)
    assert_nobody_who_was_in_time_is_nagged(alerts, in_time)


def assert_deliveries_match_mails(alerts: Sequence[dict[str, Any]], mails: Sequence[Mail]) -> None:
    """Each delivery that counts as sent is in the mailbox; repeats have one id and nothing stands in two messages."""
    deliveries = [delivery for one in alerts for delivery in one["deliveries"]]
    assert deliveries
    assert {one["state"] for one in deliveries} <= {"sent", "suppressed"}
    in_mailbox = {str(mail.message["Message-ID"]).strip("<>").partition("@")[0] for mail in mails}
    assert {one["message_id"] for one in deliveries if one["state"] == "sent"} <= in_mailbox
    listed: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    digests: dict[tuple[str, str], set[str]] = defaultdict(set)
    for mail in mails:
        kind, name = str(mail.message["X-Dondoc-Kind"]), str(mail.message["Message-ID"])
        if kind == "digest":
            # What stands is in every digest; but there is one a mailbox and day.
            digests[mail.recipients[0], mail.subject.split(":")[0]].add(name)
            continue
        for link in re.findall(r"/tasks/(\S+)", mail.text):
            listed[mail.recipients[0], kind, link].add(name)
    assert {key: ids for key, ids in (listed | digests).items() if len(ids) > 1} == {}
    texts = {str(mail.message["Message-ID"]).strip("<>").partition("@")[0]: mail.text for mail in mails}
    for one in alerts:
        for delivery in one["deliveries"]:
            if delivery["state"] == "sent":
                assert f"/tasks/{one['task_id']}" in texts[delivery["message_id"]]


def assert_nobody_who_was_in_time_is_nagged(alerts: Sequence[dict[str, Any]], in_time: set[str]) -> None:
    assert in_time
    nagging = [one for one in alerts if one["task_id"] in in_time and one["kind"] in {"overdue", "escalation"}]
    assert nagging == []
