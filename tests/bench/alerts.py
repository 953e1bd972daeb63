"""What the bench tells notify: two hundred agencies, a wave of overdues, and directives one after the other.

The product's own code makes one fact of each kind; the others are made alike, by the words in which they differ.
`overdues` fails unless one of them is equal to the byte to what the product makes.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer

from services.tasks import wire
from services.tasks.domain.decide import advance, assign
from services.tasks.domain.decision import Fact
from services.tasks.domain.task import Task
from shared.contracts.codec import encode
from shared.contracts.topics import AGENCIES, TASKS, Topic
from shared.workdays.calendar import ICT
from tests.bench import lives
from tests.bench.probes import CouldNotMeasureError
from tests.flow.notify.harness import an_agency
from tests.support.builders import RULES, a_task
from tests.support.workload import OFFICE, PROVINCE, STANDING

CODES: Final = tuple(f"H48.{number}" for number in range(200, 400))
"""Who hears: one digest each, and whoever supervises hears nothing."""
LAST_DAY: Final = date(2024, 11, 4)
"""A Monday. No summary is due in these days."""
OVERDUE_AT: Final = datetime.combine(LAST_DAY + timedelta(days=1), time(0), ICT).astimezone(UTC)
TITLE: Final = (
    "Chủ trì, phối hợp với các đơn vị liên quan rà soát, hoàn thiện cơ sở dữ liệu chuyên ngành và báo cáo Ủy ban nhân "
    "dân tỉnh kết quả thực hiện"
)
_PATTERN: Final = ("PATTERN", "IX.9.y-99", "H48.777")
"""Directive, clause and agency of the one that the others are made from; nothing else in it reads like them."""


class Told(NamedTuple):
    """A record of the tasks topic."""

    task_id: str
    value: bytes


def overdues(first: int, count: int) -> list[Told]:
    """So many of a wave, from a number on: each task is another one, and the agencies take turns."""
    pattern = _record(_overdue(*_PATTERN))
    if _alike(pattern, first) != _record(_overdue(*_place(first))):
        raise CouldNotMeasureError("a fact is not as the product tells it")
    return [_alike(pattern, number) for number in range(first, first + count)]


def announcement(number: int) -> Told:
    """One more directive, with a single task for a single agency: a message of its own, at once."""
    task = _task(f"NEWS-{number:05d}", lives.CLAUSES[0], CODES[number % len(CODES)])
    return _record(assign(task).facts[-1])


def agencies() -> list[tuple[str, bytes]]:
    """Key and value of each registry record."""
    registered = [(OFFICE, "chairman_office"), (STANDING, "standing"), *((one, "agency") for one in CODES)]
    return [(code, _agency(code, role)) for code, role in registered]


async def tell(bootstrap: str, topic: Topic, records: Sequence[tuple[str, bytes]]) -> None:
    """Write records; returns once the broker has them."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for key, value in records:
            await producer.send(topic.name, key=key.encode(), value=value)
        await producer.flush()
    finally:
        await producer.stop()


async def tell_agencies(bootstrap: str) -> None:
    """Who there is."""
    await tell(bootstrap, AGENCIES, agencies())


async def tell_tasks(bootstrap: str, records: Sequence[Told]) -> None:
    """What happened to tasks."""
    await tell(bootstrap, TASKS, records)


def mailbox(code: str) -> str:
    """Where an agency reads."""
    return f"{code.lower()}@x.example"


def _agency(code: str, role: str) -> bytes:
    event = an_agency(code, role, mailbox(code)).event
    return encode(
        event_type=event.kind.name,
        event_id=event.envelope.id,
        source=event.envelope.source,
        time=OVERDUE_AT,
        province=PROVINCE,
        data=event.data,
    )


def _task(directive: str, clause: str, code: str) -> Task:
    return a_task(
        LAST_DAY,
        task_id=f"{PROVINCE}/{directive}/{clause}/{code}",
        directive=directive,
        clause=clause,
        agency=code,
        title=TITLE,
        seq=0,
    )


def _overdue(directive: str, clause: str, code: str) -> Fact:
    return list(_facts(assign(_task(directive, clause, code)).task))[-1]


def _facts(task: Task) -> Iterator[Fact]:
    """Every milestone at its minute, as nothing is late."""
    for minutes in range(0, 24 * 60 * 30, 30):
        moment = OVERDUE_AT - timedelta(days=30) + timedelta(minutes=minutes + 30)
        decision = advance(task, now=moment, recorded_at=moment, rules=RULES)
        task = decision.task
        yield from decision.facts


def _record(fact: Fact) -> Told:
    message = wire.message(fact)
    return Told(message.key, message.value)


def _place(number: int) -> tuple[str, str, str]:
    """The agencies take turns; each directive has twenty tasks for every one of them."""
    round_number, agency = divmod(number, len(CODES))
    directive, clause = divmod(round_number, len(lives.CLAUSES))
    return f"WAVE-{directive:04d}", lives.CLAUSES[clause], CODES[agency]


def _alike(pattern: Told, number: int) -> Told:
    task_id, value = pattern
    for ours, theirs in zip(_PATTERN, _place(number), strict=True):
        task_id, value = task_id.replace(ours, theirs), value.replace(ours.encode(), theirs.encode())
    return Told(task_id, value)
