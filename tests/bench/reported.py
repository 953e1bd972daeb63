"""What the bench tells reporting, and what reporting keeps of it: tasks of a province, as many as asked for.

Directives of 2,000 tasks each, a deadline for each clause, which all agencies share; of ten tasks four are open, one
waits for a verdict and five are done, one of them late, as far as their days have come. The product's own code makes
one of each kind; the others are made alike, by the words, the instants and the partition in which they differ.
`check` fails unless a sample that the product makes is equal to the byte.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Final, NamedTuple

import bson
from bson.raw_bson import RawBSONDocument

from services.reporting import wire
from services.reporting.domain.schedule import AsOf
from services.reporting.domain.search import plain_text
from services.reporting.domain.trace import moment
from services.reporting.mongo import MongoReportStore, task_document
from services.reporting.mongo_content import MongoContentStore
from services.reporting.mongo_lists import MongoLists
from services.tasks import wire as tasks_wire
from services.tasks.domain.commands import AcceptResult, SubmitResult
from services.tasks.domain.decide import assign, decide
from services.tasks.domain.decision import Fact
from services.tasks.domain.task import Cause
from shared.contracts.codec import decode
from shared.contracts.topics import TASKS
from shared.runtime.consuming import Received
from shared.runtime.mongodb import Database
from shared.workdays.calendar import ICT, WorkingCalendar
from tests.bench import lives
from tests.bench.population import TASKS_OF_DIRECTIVE, Place, place
from tests.bench.probes import CouldNotMeasureError
from tests.flow.reporting.harness import rulebook
from tests.support.builders import RULES, a_cause, a_document, a_task
from tests.support.workload import PROVINCE, STANDING

TODAY: Final = date(2024, 11, 13)
"""The day before the cut-off of the month that is closed."""
ASSIGNED: Final = "2024-10-15 08:00"
"""In the first days of the month that is closed."""
_HANDED_IN: Final = date(2024, 10, 16)
TOLD_BY: Final = datetime(2024, 10, 19, 5, tzinfo=UTC)
"""By now all of `history` has been received, and no period was closed since its first fact."""
_FIRST_DUE: Final = date(2024, 10, 21)
_DUE_DAYS: Final = 60
_TITLE: Final = (
    "Chủ trì, phối hợp với các đơn vị liên quan rà soát, hoàn thiện cơ sở dữ liệu chuyên ngành, kết nối với nền tảng "
    "tích hợp, chia sẻ dữ liệu của tỉnh và báo cáo Ủy ban nhân dân tỉnh kết quả thực hiện"
)
_SAMPLE: Final = Place("ZZZZZ-9999", "IX.9.y", "H48.777")
"""Nothing else in a fact reads like these; as long as any other."""
_SAMPLE_PARTITION: Final = 1_111
CHECKED: Final = 100


class Course(NamedTuple):
    """How far a task has come, and when its result came in, in days after its last day."""

    seq: int
    """1: assigned; 2: a result is handed in; 3: it is accepted a day later."""
    after: int = 0


OPEN: Final = Course(1)
_COURSES: Final = (*[OPEN] * 4, Course(2, -2), *[Course(3, -2)] * 4, Course(3, 2))


def last_day(number: int) -> date:
    """Of the task's clause."""
    clause = number // len(lives.AGENCIES)
    return _FIRST_DUE + timedelta(days=clause % _DUE_DAYS)


def course(number: int) -> Course:
    """How far a task has come by now."""
    # By ten, and shifted from clause to clause: each agency has tasks of every kind.
    found = _COURSES[(number + number // len(lives.AGENCIES)) % len(_COURSES)]
    return found if last_day(number) + timedelta(days=found.after + 2) < TODAY else OPEN


def _instant(day: date, microsecond: int) -> datetime:
    """Some instant of a day. Never a whole second: its text is shorter, and the patches are not."""
    spread = 1 + microsecond % 43_000_000_000 * 2
    return datetime.combine(day, time(0), ICT).astimezone(UTC) + timedelta(microseconds=spread | 1)


def _received(number: int, day: date) -> datetime:
    """Each result at an instant of its own, as in life."""
    return _instant(day, number * 982_451_653)


# -- what the product makes --------------------------------------------------------------------------------------------


def fact(where: Place, due: date, seq: int, received: datetime) -> Fact:
    """The last fact of a task that has come so far; the verdict comes a day after the result."""
    task = a_task(
        due,
        task_id=where.task_id,
        directive=where.directive,
        clause=where.clause,
        agency=where.agency,
        reviewer=STANDING,
        title=_TITLE,
        phrase="hoàn thành theo thời hạn được giao tại Thông báo này",
        assigned=a_cause(ASSIGNED, STANDING, "//bench#directive"),
        seq=0,
    )
    decision = assign(task)
    judged = received + timedelta(days=1)
    steps = (
        (
            SubmitResult(a_document(), "Đã hoàn thành", 1, None),
            Cause("//bench#result", where.agency, received, received),
        ),
        (AcceptResult(""), Cause("//bench#verdict", STANDING, judged, judged)),
    )
    for command, cause in steps[: seq - 1]:
        decision = decide(decision.task, command, cause=cause, rules=RULES, time_passes=False)
    return decision.facts[-1]


def received_as(content: bytes, partition: int) -> Received:
    """As the consumer hands it on."""
    return Received(decode(TASKS.name, content), TASKS.name, partition, 0, b"")


def kept(content: bytes, partition: int) -> bytes:
    """As the product keeps a record of this partition, in BSON."""
    record = received_as(content, partition)
    task = wire.snapshot_of(record)
    if task is None:
        raise CouldNotMeasureError("a fact that shows no task")
    return bson.encode(task_document(wire.kept_task(record, task, calendar())))


async def prepare(database: Database) -> None:
    """Every index that the product has on what it keeps."""
    for one in (MongoReportStore(database), MongoLists(database), MongoContentStore(database)):
        await one.prepare()


@cache
def calendar() -> WorkingCalendar:
    """The province's working days."""
    return rulebook().calendar(PROVINCE)


# -- the others, made alike --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Template:
    """A record or a document of the product's, with the places in it where others of its kind differ."""

    content: bytes
    received: datetime

    def alike(self, where: Place, received: datetime) -> bytes:
        """The same of another task, whose result came in at another instant."""
        content = self.content
        for ours, theirs in zip(_SAMPLE, where, strict=True):
            content = content.replace(ours.encode(), theirs.encode())
            content = content.replace(_plain(ours), _plain(theirs))
        for days in (timedelta(0), timedelta(days=1)):
            content = content.replace(_text(self.received + days), _text(received + days))
        return content

    def document(self, where: Place, received: datetime) -> RawBSONDocument:
        """The same, as it is kept."""
        content = self.alike(where, received).replace(_partition(_SAMPLE_PARTITION), _partition(where.partition))
        for days in (timedelta(0), timedelta(days=1)):
            content = content.replace(_moment(self.received + days), _moment(received + days))
        return RawBSONDocument(content)


@cache
def _plain(word: str) -> bytes:
    return plain_text(word).encode()


def _text(value: datetime) -> bytes:
    return value.isoformat().replace("+00:00", "Z").encode()


def _moment(value: datetime) -> bytes:
    return struct.pack("<q", moment(AsOf(value)))


def _partition(number: int) -> bytes:
    return b"\x10p\x00%s" % struct.pack("<i", number)


@cache
def _record(due: date, seq: int) -> Template:
    received = _instant(due, 77)
    return Template(tasks_wire.message(fact(_SAMPLE, due, seq, received)).value, received)


@cache
def _document(due: date, so_far: Course) -> Template:
    received = _instant(due + timedelta(days=so_far.after), 77)
    content = tasks_wire.message(fact(_SAMPLE, due, so_far.seq, received)).value
    return Template(kept(content, _SAMPLE_PARTITION), received)


def document(number: int) -> RawBSONDocument:
    """What reporting keeps of a task by now."""
    due, so_far = last_day(number), course(number)
    received = _received(number, due + timedelta(days=so_far.after))
    return _document(due, so_far).document(place(number), received)


def record(number: int, seq: int, received: datetime | None = None) -> tuple[str, bytes]:
    """Key and value of a fact about a task; without an instant, at the one of its course."""
    due = last_day(number)
    received = received or _received(number, due + timedelta(days=course(number).after))
    where = place(number)
    return where.task_id, _record(due, seq).alike(where, received)


def history(first: int, count: int) -> Iterator[tuple[str, bytes]]:
    """The facts of so many tasks: each directive when it is issued, then its results, in no order, all in time."""
    last = first + count
    while first < last:
        numbers = range(first, min(last, first - first % TASKS_OF_DIRECTIVE + TASKS_OF_DIRECTIVE))
        for number in numbers:
            yield record(number, 1)
        done = [number for number in numbers if course(number).seq > 1]
        random.Random(first).shuffle(done)
        for number in done:
            yield record(number, 2, _received(number, _HANDED_IN))
        for number in done:
            if course(number).seq > 2:
                yield record(number, 3, _received(number, _HANDED_IN))
        first = numbers.stop


def check(tasks: int) -> None:
    """Equal to the byte: both what is told and what is kept."""
    for number in random.Random(tasks).sample(range(tasks), min(CHECKED, tasks)):
        where, due, so_far = place(number), last_day(number), course(number)
        received = _received(number, due + timedelta(days=so_far.after))
        told = tasks_wire.message(fact(where, due, so_far.seq, received))
        if (told.key, told.value) != record(number, so_far.seq):
            raise CouldNotMeasureError(f"{where.task_id} is not as the product tells it")
        if kept(told.value, where.partition) != document(number).raw:
            raise CouldNotMeasureError(f"{where.task_id} is not as the product keeps it")
