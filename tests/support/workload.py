"""A province's backlog of submissions, made from a seed: what a tasks service must end up with is one thing only."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pydantic_core
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from pymongo import AsyncMongoClient

from shared.contracts.topics import DEADLETTERS, SUBMISSIONS, TASKS

Record: TypeAlias = "ConsumerRecord[Any, Any]"
READS_MAX = 2_000

PROVINCE = "H48"
DIRECTIVE = "TB-1"
OFFICE, STANDING = "H48.01", "H48.07"
AGENCIES = tuple(f"H48.{number}" for number in range(20, 40))
CLAUSES = ("II.1.a", "II.1.b", "II.1.c", "II.1.d", "II.1.e", "II.1.g", "II.1.h", "II.1.i")
START = datetime(2024, 10, 14, 1, 0, tzinfo=UTC)
END = START + timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Submitted:
    """One record for the submissions topic."""

    key: str
    event: dict[str, Any]

    @property
    def value(self) -> bytes:
        return pydantic_core.to_json(self.event)


def event(
    event_type: str, data: dict[str, Any], *, agency: str, received_at: datetime, event_id: str
) -> dict[str, Any]:
    """An event as ingest would write it."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": f"//test/{agency}",
        "type": f"dondoc.{event_type}.v1",
        "province": PROVINCE,
        "agency": agency,
        "receivedat": received_at,
        "data": data,
    }


@dataclass(slots=True)
class Workload:
    """Submissions in the order they were received, and how many distinct ones there are."""

    seed: int
    size: int
    records: list[Submitted] = field(default_factory=list)
    poison: int = 0

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        self._shape()
        for number in range(self.size):
            received_at = START + timedelta(hours=1) + (END - START) * number / (self.size * 1.2)
            self._submission(chance, number, received_at)

    @property
    def distinct(self) -> int:
        """Submissions that count: distinct source and id."""
        return len({(one.event["source"], one.event["id"]) for one in self.records})

    def _shape(self) -> None:
        registered = [(OFFICE, "chairman_office"), (STANDING, "standing"), *((one, "agency") for one in AGENCIES)]
        for code, role in registered:
            groups = ["@all"] if role == "agency" else []
            data: dict[str, Any] = {
                "code": code,
                "name": code,
                "role": role,
                "groups": groups,
                "valid_from": "2024-01-01",
            }
            self._put(PROVINCE, "agency.registered", data, STANDING, START, f"agency-{code}")
        obligations: list[dict[str, Any]] = [
            {
                "clause": clause,
                "title": f"Nội dung {clause}",
                "leads": ["@all"],
                "due": (
                    {"kind": "open_ended"}
                    if number % 4 == 3
                    else {"kind": "fixed", "boundary": "before", "day": f"2024-{11 + number % 2}-{10 + number}"}
                ),
                "category": "dated",
                "acceptance": "automatic" if number % 4 == 2 else "reviewer",
            }
            for number, clause in enumerate(CLAUSES)
        ]
        obligations.append(
            {
                "clause": "II.2.a",
                "title": "Báo cáo tháng",
                "leads": [STANDING],
                "due": {
                    "kind": "recurring",
                    "every": "monthly",
                    "boundary": "before",
                    "day": 20,
                    "starts_on": "2024-10-14",
                },
                "category": "recurring",
            }
        )
        directive: dict[str, Any] = {
            "directive": DIRECTIVE,
            "kind": "TB",
            "issuer": "UBND",
            "issued_on": "2024-10-14",
            "title": "Thông báo",
            "obligations": obligations,
        }
        self._put(PROVINCE, "directive.issued", directive, OFFICE, START + timedelta(minutes=1), "directive")

    def _put(
        self, key: str, event_type: str, data: dict[str, Any], agency: str, received_at: datetime, event_id: str
    ) -> None:
        self.records.append(
            Submitted(key, event(event_type, data, agency=agency, received_at=received_at, event_id=event_id))
        )

    def _submission(self, chance: random.Random, number: int, received_at: datetime) -> None:
        agency = chance.choice(AGENCIES)
        clause = chance.choice(CLAUSES)
        task_id = f"{PROVINCE}/{DIRECTIVE}/{clause}/{agency}"
        event_id = f"e{number}"
        day = received_at.date().isoformat()
        document = {"number": f"{number}/BC", "issued_on": day}
        draw = chance.random()
        if draw < 0.02 and number:
            # A client that did not get its answer and sends again: same key, same content, later.
            earlier = self.records[-1]
            self.records.append(Submitted(earlier.key, {**earlier.event, "receivedat": received_at}))
            return
        if draw < 0.03:
            # Another content under an id that is taken.
            earlier = self.records[-1]
            if earlier.event["type"] == "dondoc.task.progress_reported.v1":
                data = {**earlier.event["data"], "note": "khác"}
                self.records.append(Submitted(earlier.key, {**earlier.event, "receivedat": received_at, "data": data}))
                return
        if draw < 0.04:
            task_id = f"{PROVINCE}/{DIRECTIVE}/II.9/{agency}"
        by_agency: list[tuple[str, dict[str, Any]]] = [
            ("task.acknowledged", {"task_id": task_id}),
            ("task.progress_reported", {"task_id": task_id, "percent": chance.randint(0, 100)}),
            ("task.result_submitted", {"task_id": task_id, "document": document}),
            ("task.disbursement_reported", {"task_id": task_id, "as_of": day, "cumulative_vnd": number}),
            (
                "task.obstacle_raised",
                {"task_id": task_id, "obstacle_id": f"o{chance.randint(1, 9)}", "description": "khó"},
            ),
            ("task.obstacle_cleared", {"task_id": task_id, "obstacle_id": f"o{chance.randint(1, 9)}"}),
            (
                "task.extension_requested",
                {"task_id": task_id, "requested_last_day": "2025-01-31", "reason": "chờ hướng dẫn"},
            ),
        ]
        later = (received_at + timedelta(days=chance.randint(1, 40))).date().isoformat()
        by_authority: list[tuple[str, dict[str, Any], str]] = [
            ("task.result_accepted", {"task_id": task_id}, STANDING),
            ("task.result_returned", {"task_id": task_id, "reason": "thiếu"}, STANDING),
            ("task.extension_granted", {"task_id": task_id, "last_day": later, "document": document}, OFFICE),
            ("task.extension_refused", {"task_id": task_id, "reason": "không"}, OFFICE),
        ]
        if chance.random() < 0.75:
            event_type, data = chance.choice(by_agency)
            self._put(task_id, event_type, data, agency, received_at, event_id)
        else:
            event_type, data, actor = chance.choice(by_authority)
            self._put(task_id, event_type, data, actor, received_at, event_id)


async def produce(bootstrap: str, records: Sequence[Submitted]) -> None:
    """Write records in order per key."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        acks = [await producer.send(SUBMISSIONS.name, key=one.key.encode(), value=one.value) for one in records]
        for ack in acks:
            await ack
    finally:
        await producer.stop()


async def read_topic(bootstrap: str, topic: str) -> list[Record]:
    """Everything in a topic, partition by partition."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        partitions = sorted(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        waiting = {one for one in partitions if ends[one]}
        found: list[Record] = []
        for _ in range(READS_MAX):
            waiting = {one for one in waiting if await consumer.position(one) < ends[one]}
            if not waiting:
                return found
            for some in (await consumer.getmany(timeout_ms=300)).values():
                found.extend(some)
        raise AssertionError(f"{topic} could not be read to its end")
    finally:
        await consumer.stop()


@dataclass(frozen=True, slots=True)
class Ending:
    """What a tasks service ended up with."""

    tasks: dict[str, Any]
    """Task id → state, history and next milestone."""
    facts: dict[str, bytes]
    """Fact id → the event. A fact that was published twice must be the same both times."""
    ledger: dict[str, tuple[str, str]]
    """Submission → outcome, reason."""
    first_seen: dict[str, list[int]]
    """Task id → seq numbers in the order they were first published."""
    repeats: int
    dead: int


async def ending(mongo_uri: str, database: str, bootstrap: str) -> Ending:
    """Read the whole outcome."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo_uri, tz_aware=True)
    try:
        base = client[database]
        tasks = {
            one["_id"]: (one["state"], one["history"], one["next_at"], one["seq"]) async for one in base["tasks"].find()
        }
        claimed = {one["_id"]: (one["outcome"], one.get("reason", "")) async for one in base["ledger"].find()}
        settled = {one["_id"]: (one["outcome"], one["reason"]) async for one in base["outcomes"].find()}
        ledger = {**claimed, **settled}
    finally:
        await client.close()
    facts: dict[str, bytes] = {}
    first_seen: dict[str, list[int]] = {}
    repeats = 0
    for record in await read_topic(bootstrap, TASKS.name):
        value = record.value
        assert value is not None
        content = pydantic_core.from_json(value)
        fact_id = content["id"]
        if fact_id in facts:
            assert facts[fact_id] == value, f"fact {fact_id} was told in two ways"
            repeats += 1
            continue
        facts[fact_id] = value
        if content["data"].get("seq") is not None:
            first_seen.setdefault(content["data"]["task_id"], []).append(content["data"]["seq"])
    dead = len(await read_topic(bootstrap, DEADLETTERS.name))
    return Ending(tasks, facts, ledger, first_seen, repeats, dead)
