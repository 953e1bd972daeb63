"""A province's tasks in MongoDB, as many as asked for. The product makes one of each kind; the others are made alike.

A task waits for its deadline (every reminder is sent), or its deadline is weeks away, or it has none. `fill` fails
unless a sample that the product makes, task by task, is equal to the byte.
"""

import asyncio
import random
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias, cast

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo import WriteConcern

from services.tasks.domain.deadlines import Boundary, DueRule, FixedRule, OpenEndedRule
from services.tasks.domain.decision import Rulebook
from services.tasks.domain.directive import Obligation, tasks_of
from services.tasks.domain.task import Cause, Document, Task
from services.tasks.mongo import MongoTaskStore
from services.tasks.ports import Message, TaskStore
from services.tasks.rules import read_rulebook
from services.tasks.settings import Settings
from services.tasks.sweep import Sweep
from services.tasks.wiring import wire_up
from services.tasks.writing import TaskWriter
from shared.contracts.topics import SUBMISSIONS
from shared.runtime.clock import ScaledClock
from shared.runtime.mongodb import Database
from shared.runtime.publishing import partition_for
from shared.workdays.calendar import ICT
from tests.bench import lives
from tests.bench.probes import CouldNotMeasureError
from tests.support.workload import OFFICE, PROVINCE, STANDING, START

PARTITIONS: Final = range(SUBMISSIONS.partitions)
DAY: Final = date(2024, 10, 30)
"""What the bench fires is due on this day; by 08:00 every reminder is sent."""
REMINDED_AT: Final = datetime.combine(DAY, time(8), ICT).astimezone(UTC)
LATER: Final = tuple(date(2024, 12, 2) + timedelta(days=number) for number in range(40))
"""The deadlines of those whose time does not come."""
PENDING_OF_TEN: Final = 6
"""So many of ten tasks have a milestone ahead."""
TASKS_OF_DIRECTIVE: Final = len(lives.CLAUSES) * len(lives.AGENCIES)
CHUNK: Final = 1_000
INSERTS_AT_ONCE: Final = 2
SAMPLE: Final = 100
"""Tasks of each kind that the product makes again."""

_TITLE: Final = (
    "Chủ trì, phối hợp với các đơn vị liên quan rà soát, hoàn thiện cơ sở dữ liệu chuyên ngành, kết nối với nền tảng "
    "tích hợp, chia sẻ dữ liệu của tỉnh và báo cáo Ủy ban nhân dân tỉnh kết quả thực hiện"
)
_PHRASE: Final = "hoàn thành theo thời hạn được giao tại Thông báo này"

Deadline: TypeAlias = datetime | date | None
"""The instant that a task waits for, the later day it is due on, or neither."""
Raw: TypeAlias = "AsyncIOMotorCollection[RawBSONDocument]"


def instant(hour: int, minute: int = 0, milliseconds: int = 0) -> datetime:
    """A deadline on DAY by local time. Never a whole second: their text is shorter, and the patches are not."""
    whole = datetime.combine(DAY, time(hour, minute), ICT) + timedelta(milliseconds=milliseconds)
    return (whole if whole.microsecond else whole + timedelta(milliseconds=1)).astimezone(UTC)


class Place(NamedTuple):
    """Which task of which directive."""

    directive: str
    clause: str
    agency: str

    @property
    def task_id(self) -> str:
        """As the product names it."""
        return f"{PROVINCE}/{self.directive}/{self.clause}/{self.agency}"

    @property
    def partition(self) -> int:
        """Where its submissions go."""
        return partition_of(self.task_id)


def place(number: int) -> Place:
    """The tasks are numbered through: directives of 2,000 tasks each."""
    directive, rest = divmod(number, TASKS_OF_DIRECTIVE)
    clause, agency = divmod(rest, len(lives.AGENCIES))
    return Place(f"BENCH-{directive:04d}", lives.CLAUSES[clause], lives.AGENCIES[agency])


def partition_of(key: str) -> int:
    """As the publisher of tasks decides it."""
    return partition_for(key.encode(), PARTITIONS)


def assigned(waiting: Sequence[datetime], tasks: int) -> list[Deadline]:
    """The deadline of each of so many tasks, by number: all those waited for, and the others at random between them."""
    later = tasks * PENDING_OF_TEN // 10 - len(waiting)
    if later < 0:
        raise CouldNotMeasureError(f"of {tasks} tasks, {len(waiting)} cannot wait for their deadline: take more")
    found: list[Deadline] = [*waiting, *(LATER[number % len(LATER)] for number in range(later))]
    found += [None] * (tasks - len(found))
    random.Random(tasks).shuffle(found)
    return found


# -- what the product makes ----------------------------------------------------------------------------------------


@cache
def rulebook() -> Rulebook:
    """The rules that tasks runs by unless told otherwise."""
    fields = Settings.model_fields
    return read_rulebook(fields["calendar_file"].default, fields["policy_file"].default)


class Wired(NamedTuple):
    """Parts of tasks on a store, with nobody to tell; their clock stands at REMINDED_AT."""

    writer: TaskWriter
    sweep: Sweep


def wired(store: TaskStore) -> Wired:
    """Build them as the service does."""
    clock = ScaledClock(REMINDED_AT, 0, 0)

    async def publish(_: Sequence[Message]) -> None:
        return

    async def at(key: str) -> int:
        return partition_of(key)

    parts = wire_up(store, publish, at, clock, rulebook(), tasks_together=CHUNK)
    return Wired(TaskWriter(store, parts.teller, at, clock, rulebook()), parts.sweep)


async def product_makes(database: Database, wanted: Mapping[Place, Deadline]) -> dict[str, RawBSONDocument]:
    """These tasks, as the product's own code writes them into this database. Raw, by task id."""
    store = MongoTaskStore(database)
    writer = wired(store).writer
    await writer.create([_task(where, due) for where, due in wanted.items()], None)
    waiting = [where.task_id for where, due in wanted.items() if isinstance(due, datetime)]
    await writer.pass_time(await store.tasks(waiting), dict.fromkeys(PARTITIONS, REMINDED_AT))
    return await _raw_documents(database, [where.task_id for where in wanted])


def _task(where: Place, due: Deadline) -> Task:
    obligation = Obligation(
        province=PROVINCE,
        directive=where.directive,
        clause=where.clause,
        title=_TITLE,
        phrase=_PHRASE,
        category="dated",
        bases=(),
        leads=(where.agency,),
        cooperating=(),
        due=_rule(due),
        acceptance="reviewer",
        reviewer=STANDING,
        prior_document=None,
        issued=Cause(f"//bench/{OFFICE}#{where.directive}", OFFICE, START, START),
        source=Document(START.date(), where.directive, "UBND"),
    )
    (task,) = tasks_of(obligation, until=START, recorded_at=START, rules=rulebook().common)
    return task


def _rule(due: Deadline) -> DueRule:
    match due:
        case datetime():
            local = due.astimezone(ICT)
            return FixedRule(Boundary.BY, local.date(), hour=local.time())
        case date():
            return FixedRule(Boundary.BY, due)
        case _:
            return OpenEndedRule("standing")


async def _raw_documents(database: Database, ids: Sequence[str]) -> dict[str, RawBSONDocument]:
    found = _raw(database).find({"_id": {"$in": list(ids)}})
    return {document["_id"]: document async for document in found}


def _raw(database: Database) -> Raw:
    options: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
    # Filling need not survive a power cut.
    filled = database.get_collection("tasks", write_concern=WriteConcern(w=1, j=False))
    return cast(Raw, filled.with_options(codec_options=options))


# -- the others, made alike ----------------------------------------------------------------------------------------

_SAMPLE_PLACE: Final = Place("BENCH-9999", lives.CLAUSES[-1], lives.AGENCIES[-1])
_SAMPLE_INSTANT: Final = instant(23, 59, 999)


@dataclass(frozen=True, slots=True)
class Template:
    """One document of the product's, with the places in it where others of its kind differ. All are equally long."""

    content: bytes

    def document(self, where: Place, due: Deadline) -> RawBSONDocument:
        """The same task elsewhere, and due at another instant where it waits for one."""
        content = self.content
        for ours, theirs in zip(_SAMPLE_PLACE, where, strict=True):
            content = content.replace(ours.encode(), theirs.encode())
        content = content.replace(_int_field("p", _SAMPLE_PLACE.partition), _int_field("p", where.partition))
        if isinstance(due, datetime):
            content = content.replace(_text(_SAMPLE_INSTANT), _text(due))
            for name in ("due_at", "next_at"):
                content = content.replace(_date_field(name, _SAMPLE_INSTANT), _date_field(name, due))
        return RawBSONDocument(content)


def _int_field(name: str, value: int) -> bytes:
    return b"\x10%s\x00%s" % (name.encode(), struct.pack("<i", value))


def _date_field(name: str, value: datetime) -> bytes:
    return b"\x09%s\x00%s" % (name.encode(), struct.pack("<q", round(value.timestamp() * 1000)))


def _text(value: datetime) -> bytes:
    return value.isoformat().replace("+00:00", "Z").encode()


def _kind(due: Deadline) -> Deadline:
    """Those of a kind share a template: all that wait, all of a later day, all without a deadline."""
    return _SAMPLE_INSTANT if isinstance(due, datetime) else due


async def fill(database: Database, scratch: Database, deadlines: Sequence[Deadline]) -> None:
    """Put one task for each deadline into an empty database, check a sample, then build the product's indexes."""
    templates: dict[Deadline, Template] = {}
    for kind in dict.fromkeys(_kind(due) for due in deadlines):
        made = await product_makes(scratch, {_SAMPLE_PLACE: kind})
        templates[kind] = Template(bytes(made[_SAMPLE_PLACE.task_id].raw))
        await scratch.drop_collection("tasks")
    made_alike = (templates[_kind(due)].document(place(number), due) for number, due in enumerate(deadlines))
    await asyncio.gather(*(_insert(_raw(database), made_alike) for _ in range(INSERTS_AT_ONCE)))
    await _check(database, scratch, deadlines)
    await MongoTaskStore(database).prepare()
    # What is still to be written to disk must not burden the measurement.
    await database.client.admin.command("fsync")


async def _insert(collection: Raw, documents: Iterator[RawBSONDocument]) -> None:
    while some := list(islice(documents, CHUNK)):
        await collection.insert_many(some, ordered=False)


async def _check(database: Database, scratch: Database, deadlines: Sequence[Deadline]) -> None:
    """Equal to the byte, but for the tokens: each write of the product has one at random."""
    chance = random.Random(len(deadlines))
    wanted: dict[Place, Deadline] = {}
    for kind in (datetime, date, type(None)):
        numbers = [number for number, due in enumerate(deadlines) if type(due) is kind]
        wanted |= {place(one): deadlines[one] for one in chance.sample(numbers, min(SAMPLE, len(numbers)))}
    ours = await product_makes(scratch, wanted)
    alike = await _raw_documents(database, list(ours))
    await scratch.client.drop_database(scratch.name)
    for task_id, document in ours.items():
        if _without_token(document) != _without_token(alike[task_id]):
            raise CouldNotMeasureError(f"{task_id} is not as the product writes it")


def _without_token(document: RawBSONDocument) -> bytes:
    token: Any = document["tok"]
    return bytes(document.raw).replace(token.encode(), b"")
