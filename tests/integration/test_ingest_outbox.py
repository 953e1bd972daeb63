"""Kafka away for a minute on the last day: what agencies sent is taken, kept, forwarded, and counts as in time."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.audit import audit
from deploy.local.broker import KafkaKind
from deploy.local.stack import Service, Stack, StackOptions
from shared.contracts.codec import decode
from shared.contracts.topics import SUBMISSIONS, TASKS
from tests.flow.tasks.harness import agency, directive, obligation
from tests.support.waiting import until
from tests.support.workload import OFFICE, STANDING, read_topic
from tests.unit.ingest.builders import PROGRESS

pytestmark = [pytest.mark.connected, pytest.mark.faults, pytest.mark.timeout(900)]

AGENCIES = [f"H48.{number}" for number in range(30, 45)]
CLAUSE = "H48/TB-1/II.1.h"
SUBMITTED = "dondoc.task.result_submitted.v1"
# The deadline, "trước ngày 20/10", passes while the broker is away.
CLOCK = "2024-10-19T23:58:50+07:00@1"
SAID_AT = "2024-10-19T23:58:00+07:00"
AWAY_SECONDS = 60
PREFIX = "outbox"


@dataclass
class Sender:
    """One agency's system: an event at a time, each answered before the next."""

    url: str
    code: str
    token: str
    promised: dict[str, str] = field(default_factory=dict)
    """Event id → `received_at`, in the order of the answers."""
    refused: Counter[int] = field(default_factory=Counter)

    async def send(self, event_type: str, event_id: str, **data: Any) -> None:
        content = {
            "specversion": "1.0",
            "id": event_id,
            "source": f"//{self.code}",
            "type": event_type,
            "time": SAID_AT,
            "data": {"task_id": f"{CLAUSE}/{self.code}", **data},
        }
        answer = await post(self.url, content, self.token)
        if answer.status_code == httpx.codes.ACCEPTED:
            self.promised[event_id] = answer.json()["received_at"]
        else:
            self.refused[answer.status_code] += 1

    async def report(self, stop: asyncio.Event, result_after: float) -> None:
        """Progress all the time, and the result somewhere in it."""
        began, count, is_done = asyncio.get_running_loop().time(), 0, False
        while not stop.is_set():
            count += 1
            if not is_done and asyncio.get_running_loop().time() - began > result_after:
                document = {"number": "1/BC", "issued_on": "2024-10-19"}
                await self.send(SUBMITTED, "result", document=document)
                is_done = "result" in self.promised
            else:
                await self.send(PROGRESS, f"p{count:05}", percent=count % 100)
            await asyncio.sleep(0.02)


async def post(url: str, content: dict[str, Any], token: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}", "content-type": "application/cloudevents+json"}
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        return await client.post("/v1/events", content=json.dumps(content).encode(), headers=headers)


@asynccontextmanager
async def a_stack(run_dir: Path) -> AsyncIterator[Stack]:
    options = StackOptions(
        run_dir=run_dir,
        kafka=KafkaKind.APACHE,
        services=("ingest", "tasks"),
        clock=CLOCK,
        database_prefix=PREFIX,
        env={"DONDOC_ACK_TIMEOUT_SECONDS": "1"},
    )
    async with Stack(options, say=lambda _: None) as stack:
        yield stack


async def assigned(stack: Stack) -> None:
    """A directive that every agency has to report on, before the day is over."""
    office = stack.issuer.mint(OFFICE, "H48", ["events:write", "authority:write"])
    standing = stack.issuer.mint(STANDING, "H48", ["events:write", "authority:write"])
    registry = [agency(OFFICE, "chairman_office"), agency(STANDING, "standing")]
    registry += [agency(code, "agency", "@all") for code in AGENCIES]
    for _, event in [*registry, directive(obligation())]:
        token = office if event["agency"] == OFFICE else standing
        content = {key: event[key] for key in ("specversion", "id", "source", "type", "data")} | {"time": SAID_AT}
        answer = await post(stack.service("ingest").url, content, token)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text

    async def are_there() -> bool:
        return "assigned" in await facts(stack)

    await until(are_there, within=180)


async def facts(stack: Stack) -> Counter[str]:
    return Counter(
        decode(TASKS.name, record.value).envelope.type.split(".")[-2]
        for record in await read_topic(stack.kafka.bootstrap, TASKS.name)
        if record.value is not None
    )


async def submissions(stack: Stack) -> dict[str, list[tuple[str, bytes]]]:
    """Source → event id and record, in the order of the topic."""
    found: dict[str, list[tuple[str, bytes]]] = {}
    for record in await read_topic(stack.kafka.bootstrap, SUBMISSIONS.name):
        assert record.value is not None
        envelope = decode(SUBMISSIONS.name, record.value).envelope
        found.setdefault(envelope.source, []).append((envelope.id, record.value))
    return found


async def metric(service: Service, name: str) -> float:
    async with httpx.AsyncClient(base_url=service.url, trust_env=False, timeout=30) as client:
        text = (await client.get("/metrics")).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


async def test_a_broker_that_is_away_at_the_deadline_makes_nobody_late_and_loses_nothing(tmp_path: Path) -> None:
    """INVARIANT: every 2xx is found exactly once by effect, with its true `received_at`; and no agency that reported
    in time is called late, not even for a moment.
    """
    async with a_stack(tmp_path) as stack:
        await assigned(stack)
        ingest, url = stack.service("ingest"), stack.service("ingest").url
        senders = [Sender(url, code, stack.issuer.mint(code, "H48", ["events:write"])) for code in AGENCIES]
        stop = asyncio.Event()
        working = [asyncio.create_task(one.report(stop, 5 + number)) for number, one in enumerate(senders)]
        await asyncio.sleep(2)

        stack.kafka.kill()
        await asyncio.sleep(AWAY_SECONDS)
        waiting = await metric(ingest, "dondoc_ingest_outbox_events")
        await stack.kafka.restart()
        await asyncio.sleep(3)
        stop.set()
        await asyncio.gather(*working)

        promised = sum(len(one.promised) for one in senders)

        async def all_settled() -> bool:
            accounts = await audit(stack.kafka.bootstrap, stack.mongod.uri, PREFIX)
            return accounts.in_flight == 0 and accounts.accepted == promised + 3 + len(AGENCIES)

        await until(all_settled, within=180)

        async def is_empty() -> bool:
            return await metric(ingest, "dondoc_ingest_outbox_events") == 0

        await until(is_empty, within=180)
        kept = await metric(ingest, "dondoc_ingest_outbox_kept_total")
        told, found = await facts(stack), await submissions(stack)

    assert waiting > 500
    assert kept > 500
    assert all("result" in one.promised for one in senders)
    assert sum((one.refused for one in senders), Counter[int]()) == {}
    for one in senders:
        records = found[f"//{one.code}"]
        # Some may stand there twice: each copy says the same.
        first = dict(reversed(records))
        assert all(value == first[event_id] for event_id, value in records)
        assert list(dict.fromkeys(event_id for event_id, _ in records)) == list(one.promised)
        assert {event_id: json.loads(value)["receivedat"] for event_id, value in first.items()} == one.promised
    assert told["result_received"] == len(AGENCIES)
    assert told["overdue"] == told["overdue_retracted"] == 0
