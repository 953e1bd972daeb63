"""Generations in MongoDB: which one serves, who fills which, and what their collections are called (ADR 0025)."""

import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from services.reporting import documents
from services.reporting.loading import Mark, What
from services.reporting.ports import Entry, Generations, KeptTask, Registry
from services.reporting.rebuilding import LEASE_SECONDS, Filler, Progress
from shared.runtime.errors import TransientError
from shared.runtime.mongodb import Database, Document

STATE: Final = "generations"
TASKS: Final = "task_facts"
DERIVED: Final = (TASKS, *Registry, "ledgers", "portions")
"""The collections of a generation. All others are the record of the province and outlive it."""
MARKS_PAGE: Final = 2_000
_ID: Final = "derived"
_NAME: Final = re.compile(r"(.+)_g([0-9]+)")
_COUNTED: Final = ("_id", "seq", "province", "p", "agency", "directive", "category", "steps")
"""The fields of a task's document that decide what is counted, in the order in which they stand there."""
_RAW: Final = bson.CodecOptions(document_class=RawBSONDocument)


class DatabaseGoneError(TransientError):
    """The database is not the one that it was at the start: dropped, or another server. Its name is in the logs."""


@dataclass(slots=True)
class Serving:
    """The generation that serves, as far as this process has heard; what a store reads that is not told another."""

    generation: int = 1


def collection_name(name: str, generation: int) -> str:
    """The first generation has the names of before there were any, so that no installation has to be moved."""
    return name if generation == 1 else f"{name}_g{generation}"


def generation_of(collection: str) -> int | None:
    """The generation that a collection belongs to; None: to none."""
    if collection in DERIVED:
        return 1
    found = _NAME.fullmatch(collection)
    return int(found[2]) if found is not None and found[1] in DERIVED else None


# -- the one document --------------------------------------------------------------------------------------------------


async def read_generations(database: Database) -> Generations:
    """What serves and what is filled. Raises DatabaseGoneError where neither service nor rebuild has begun a database.

    The document is there from the first start on: where it is gone, the database is another than it was.
    """
    found = await database[STATE].find_one({"_id": _ID})
    if found is None:
        raise DatabaseGoneError("reporting's database is empty and was not before: rebuild it (docs/runbook.md)")
    filler = found["filler"] or {}
    return Generations(found["serving"], found["filling"], filler.get("filled", 0.0), found["lost"])


async def is_begun(database: Database) -> bool:
    """Whether the database says which generation serves."""
    return await database[STATE].find_one({"_id": _ID}, {}) is not None


async def begin_database(database: Database, *, applied_before: bool) -> None:
    """Say that the first generation serves, where nothing says anything yet.

    `applied_before`: reporting has applied facts once. Then the database was lost, unless it is one of a build before
    there were generations: that has its indexes. (A batch on its way may bring the collection back, but no index.)
    """
    lost = applied_before and "versions" not in await database[TASKS].index_information()
    try:
        await database[STATE].insert_one(
            {"_id": _ID, "serving": 1, "last": 1, "filling": None, "filler": None, "lost": lost}
        )
    except DuplicateKeyError:
        return


async def begin_if_new(database: Database, has_applied: Callable[[], Awaitable[bool]]) -> None:
    """Begin a database where nobody did. `has_applied`: whether reporting has applied facts once, asked only then."""
    if not await is_begun(database):
        await begin_database(database, applied_before=await has_applied())


class MongoGenerations:
    """Implements rebuilding.Leasing. Leases are by the clock of the database alone."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._state = database[STATE]

    async def begin(self, filler: str) -> int | Filler:
        """See rebuilding.Leasing."""
        lease = {"id": filler, "started_at": "$$NOW", "beat_at": "$$NOW", "filled": 0.0, "phase": ""}
        number = {"$add": ["$last", 1]}
        found = await self._state.find_one_and_update(
            {"_id": _ID, "$or": [{"filling": None}, _stale()]},
            [{"$set": {"last": number, "filling": number, "filler": lease}}],
            return_document=ReturnDocument.AFTER,
        )
        if found is not None:
            return int(found["filling"])
        return await self.filler() or await self.begin(filler)

    async def filler(self) -> Filler | None:
        """See rebuilding.Leasing."""
        found = await self._state.find_one({"_id": _ID})
        if found is None or found["filling"] is None:
            return None
        started: datetime = found["filler"]["started_at"]
        return Filler(found["filler"]["id"], found["filling"], started, found["filler"]["filled"])

    async def beat(self, filler: str, progress: Progress) -> bool:
        """See rebuilding.Leasing."""
        told = {"filler.beat_at": "$$NOW", "filler.filled": progress.filled, "filler.phase": progress.phase.value}
        return (await self._state.update_one(_held_by(filler), [{"$set": told}])).matched_count == 1

    async def switch(self, filler: str) -> bool:
        """See rebuilding.Leasing."""
        switched = {"serving": "$filling", "filling": None, "filler": None, "lost": False}
        return (await self._state.update_one(_held_by(filler), [{"$set": switched}])).matched_count == 1

    async def abandon(self, filler: str | None) -> bool:
        """See rebuilding.Leasing."""
        where = _held_by(filler) if filler is not None else {"_id": _ID, "filling": {"$ne": None}}
        return (await self._state.update_one(where, {"$set": {"filling": None, "filler": None}})).matched_count == 1

    async def generations(self) -> Generations:
        """See rebuilding.Leasing."""
        return await read_generations(self._database)

    async def leftovers(self) -> list[int]:
        """See rebuilding.Leasing."""
        # What is there first: a rebuild that begins in between fills a generation that was not there.
        names = await self._database.list_collection_names()
        now = await self.generations()
        return sorted({one for one in map(generation_of, names) if one not in {None, now.serving, now.filling}})

    async def drop(self, generation: int) -> None:
        """See rebuilding.Leasing."""
        for name in DERIVED:
            await self._database.drop_collection(collection_name(name, generation))


def _held_by(filler: str) -> Document:
    return {"_id": _ID, "filling": {"$ne": None}, "filler.id": filler}


def _stale() -> Document:
    ago = {"$subtract": ["$$NOW", int(LEASE_SECONDS * 1000)]}
    return {"$expr": {"$lt": ["$filler.beat_at", ago]}}


# -- what is compared --------------------------------------------------------------------------------------------------


class MongoMarks:
    """Implements loading.Marks: what two generations are compared by, read without unpacking it."""

    def __init__(self, database: Database, generation: int) -> None:
        self._collections = {
            what: database[collection_name(what, generation)].with_options(_RAW) for what in (TASKS, *Registry)
        }

    def of_task(self, kept: KeptTask) -> Mark:
        """See loading.Marks."""
        where = kept.labels
        steps = documents.steps_list(kept.trace)
        values = (
            kept.id,
            kept.seq,
            kept.province,
            kept.partition,
            where.agency,
            where.directive,
            where.category,
            steps,
        )
        return Mark(kept.id, kept.seq, zlib.crc32(bson.encode(dict(zip(_COUNTED, values, strict=True)))))

    def of_entry(self, kept: Entry) -> Mark:
        """See loading.Marks."""
        return Mark(kept.id, kept.seq, zlib.crc32(bson.encode(documents.entry_document(kept))))

    def tasks(self, partition: int) -> AsyncIterator[list[Mark]]:
        """See loading.Marks."""
        return self._marks(TASKS, {"p": partition}, dict.fromkeys(_COUNTED, 1))

    def entries(self, registry: Registry) -> AsyncIterator[list[Mark]]:
        """See loading.Marks."""
        return self._marks(registry, {}, None)

    async def versions(self, what: What, ids: Collection[str]) -> Mapping[str, int]:
        """See loading.Marks."""
        found = self._collections[what or TASKS].find({"_id": {"$in": list(ids)}}, {"seq": 1})
        return {one["_id"]: one["seq"] async for one in found}

    async def _marks(self, what: str, where: Document, fields: Mapping[str, Any] | None) -> AsyncIterator[list[Mark]]:
        found = self._collections[what].find(where, fields).batch_size(MARKS_PAGE)
        while page := await found.to_list(MARKS_PAGE):
            yield _marked(page)


def _marked(page: Sequence[Any]) -> list[Mark]:
    return [Mark(one["_id"], one["seq"], zlib.crc32(one.raw)) for one in page]
