"""MongoReportStore: snapshots guarded by seq, ledgers by version, reports by revision. No transactions (ADR 0002)."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, DeleteMany, IndexModel, InsertOne, ReplaceOne, ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError

from services.reporting import content_documents, documents
from services.reporting.domain.ledger import Sums
from services.reporting.domain.periods import Kind
from services.reporting.domain.report import Head, LateFact, Report
from services.reporting.domain.scopes import PROVINCE_SCOPE
from services.reporting.mongo_generations import Serving, begin_database, collection_name, read_generations
from services.reporting.ports import (
    Counted,
    Entry,
    Generations,
    KeptTask,
    LedgerHead,
    PeriodRow,
    Registry,
    Tally,
)
from shared.runtime.errors import TransientError
from shared.runtime.mongodb import Database, Document, make_indexes

_DUPLICATE_KEY = 11000
RACES_MAX = 10
SCAN_PAGE = 2_000
KEPT_SECONDS: Final = 600
"""So long portions stay that no head names any more: whoever reads them has read their head a moment before."""
WORDED_MAX: Final = 50_000
"""So many wordings are remembered as written; a clause has one."""
COUNTED: Final = {"seq": 1, "province": 1, "agency": 1, "directive": 1, "category": 1, "steps": 1, "rules": 1}


class MongoReportStore:
    """Implements ports.Store on one MongoDB database."""

    def __init__(self, database: Database, serving: Serving | None = None, *, pinned: bool = False) -> None:
        """`serving`: what this store reads, kept up to date by it unless it is pinned; readers may share it."""
        self._database = database
        self.serving = serving or Serving()
        self._pinned = pinned
        self._progress = database["progress"]
        self._counters = database["counters"]
        self._late = database["late_facts"]
        self._reports = database["reports"]
        self._revisions = database["revisions"]
        self._wordings = database["wordings"]
        self._worded: set[str] = set()
        """Wordings that are there; of all generations alike."""
        self._of: dict[int, MongoReportStore] = {}

    async def prepare(self) -> None:
        """Create the indexes that the queries below rest on. Safe to repeat."""
        if not self._pinned:
            await begin_database(self._database, applied_before=False)
            await self.generations()
        await make_indexes(
            self._tasks,
            [
                # Tallied from the index alone.
                IndexModel([("p", ASCENDING), ("province", ASCENDING), ("seq", ASCENDING)], name="versions"),
            ],
        )
        for registry in Registry:
            await make_indexes(
                self._registry(registry), [IndexModel([("province", ASCENDING), ("seq", ASCENDING)], name="versions")]
            )
        await make_indexes(
            self._portions,
            [
                IndexModel([("epoch", ASCENDING), ("replaced_at", ASCENDING)], name="replaced"),
                IndexModel([("replaced_at", ASCENDING)], expireAfterSeconds=KEPT_SECONDS, name="thrown_away"),
            ],
        )
        await make_indexes(
            self._late,
            [IndexModel([("province", ASCENDING), ("scopes", ASCENDING), ("noted_at", ASCENDING)], name="by_scope")],
        )
        await make_indexes(
            self._reports,
            [
                IndexModel([("province", ASCENDING), ("period", DESCENDING), ("scope", ASCENDING)], name="by_period"),
                IndexModel(
                    [("scope", ASCENDING), ("province", ASCENDING), ("cut_off_on", DESCENDING)], name="by_scope"
                ),
                IndexModel(
                    [("province", ASCENDING), ("unpublished", ASCENDING)],
                    partialFilterExpression={"unpublished": True},
                    name="unpublished",
                ),
            ],
        )
        await make_indexes(
            self._revisions,
            [
                IndexModel([("key", ASCENDING), ("revision", DESCENDING)], name="by_key"),
                IndexModel([("province", ASCENDING), ("period", ASCENDING), ("computed_at", ASCENDING)], name="stood"),
            ],
        )

    # -- generations ---------------------------------------------------------------------------------------------------

    async def generations(self) -> Generations:
        """See ports.Store."""
        now = await read_generations(self._database)
        if not self._pinned:
            self.serving.generation = now.serving
        return now

    def of(self, generation: int) -> "MongoReportStore":
        """See ports.Store."""
        if generation not in self._of:
            # The same each time: it remembers what it has written.
            store = self._of[generation] = MongoReportStore(self._database, Serving(generation), pinned=True)
            store._worded = self._worded
        return self._of[generation]

    def _derived(self, name: str) -> Any:
        return self._database[collection_name(name, self.serving.generation)]

    @property
    def _tasks(self) -> Any:
        return self._derived("task_facts")

    @property
    def _ledgers(self) -> Any:
        return self._derived("ledgers")

    @property
    def _portions(self) -> Any:
        return self._derived("portions")

    def _registry(self, registry: Registry) -> Any:
        return self._derived(registry.value)

    # -- facts -----------------------------------------------------------------------------------------------------

    async def counted(self, ids: Collection[str]) -> Mapping[str, Counted]:
        """See ports.Store."""
        found = self._tasks.find({"_id": {"$in": list(ids)}}, COUNTED | {"wording": 1})
        known = await found.to_list(len(ids))
        # A task is kept after its wording.
        self._remember(document["wording"] for document in known)
        return {document["_id"]: documents.counted(document) for document in known}

    async def keep_tasks(self, kept: Collection[KeptTask], new: Collection[str] = ()) -> set[str]:
        """See ports.Store."""
        documents_of = {one.id: task_document(one) for one in kept}
        # Before the tasks: what is kept is found.
        await self._keep_wordings({documents_of[one.id]["wording"]: one for one in kept})
        return await self._keep(self._tasks, documents_of, frozenset(new))

    async def _keep_wordings(self, wordings: Mapping[str, KeptTask]) -> None:
        """Write those that are not known to be there. They never change: their id is made of their content."""
        unwritten = {key: one for key, one in wordings.items() if key not in self._worded}
        if not unwritten:
            return
        writes = [
            UpdateOne({"_id": key}, {"$setOnInsert": documents.wording_document(one)}, upsert=True)
            for key, one in unwritten.items()
        ]
        try:
            await self._wordings.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            # Another replica wrote the same a moment before.
            _only_duplicates(error)
        self._remember(unwritten)

    def _remember(self, wordings: Iterable[str]) -> None:
        if len(self._worded) > WORDED_MAX:
            self._worded.clear()
        self._worded.update(wordings)

    async def keep_entries(self, registry: Registry, kept: Collection[Entry]) -> int:
        """See ports.Store."""
        return len(kept) - len(
            await self._keep(self._registry(registry), {one.id: documents.entry_document(one) for one in kept})
        )

    async def _keep(
        self, target: Any, waiting: Mapping[str, Document], new: frozenset[str] = frozenset(), by: str = "seq"
    ) -> set[str]:
        """Replace what is older. Returns the ids of what is as new already."""
        as_new: set[str] = set()
        for _ in range(RACES_MAX):
            if not waiting:
                return as_new
            # The filter misses a document that is as new or newer; the upsert then runs into its key.
            writes: list[Any] = [
                InsertOne(document)
                if one in new
                else ReplaceOne({"_id": one, by: {"$lt": document[by]}}, document, upsert=True)
                for one, document in waiting.items()
            ]
            new = frozenset()
            refused: set[str] = set()
            try:
                await target.bulk_write(writes, ordered=False)
            except BulkWriteError as error:
                refused = {failure["op"].get("q", failure["op"])["_id"] for failure in _only_duplicates(error)}
            # Refused can also mean that another insert of an older version was a moment faster.
            stored = {doc["_id"]: doc[by] async for doc in target.find({"_id": {"$in": list(refused)}}, {by: 1})}
            again = {one for one in refused if stored.get(one, -1) < waiting[one][by]}
            as_new |= refused - again
            waiting = {one: waiting[one] for one in again}
        raise TransientError(f"{len(waiting)} snapshots are written by others all the time")

    async def scan(self, partitions: Collection[int]) -> AsyncIterator[list[Counted]]:
        """See ports.Store."""
        found = self._tasks.find({"p": {"$in": sorted(partitions)}}, COUNTED).batch_size(SCAN_PAGE)
        while page := await found.to_list(SCAN_PAGE):
            yield [documents.counted(document) for document in page]

    async def snapshots(self, ids: Collection[str]) -> Mapping[str, str]:
        """See ports.Store."""
        found = self._tasks.find({"_id": {"$in": list(ids)}}, {"snapshot": 1})
        return {document["_id"]: document["snapshot"] async for document in found}

    async def retrace(self, traced: Collection[Counted]) -> None:
        """See ports.Store."""
        await self._tasks.bulk_write(
            [
                UpdateOne(
                    {"_id": one.id, "seq": one.seq},
                    {"$set": {"steps": documents.steps_list(one.trace), "rules": one.rules}},
                )
                for one in traced
            ],
            ordered=False,
        )

    async def tally(self, partitions: Collection[int]) -> Mapping[str, Tally]:
        """See ports.Store."""
        found = self._tasks.aggregate(
            [
                {"$match": {"p": {"$in": sorted(partitions)}}},
                {"$group": {"_id": "$province", "tasks": {"$sum": 1}, "seqs": {"$sum": "$seq"}}},
            ],
            hint="versions",
        )
        return {one["_id"]: Tally(one["tasks"], one["seqs"]) async for one in found}

    async def entries(self, registry: Registry, province: str) -> list[Entry]:
        """See ports.Store."""
        found = self._registry(registry).find({"province": province})
        return [documents.entry(document) async for document in found]

    async def tally_entries(self, registry: Registry, province: str) -> Tally:
        """See ports.Store."""
        found = self._registry(registry).aggregate(
            [
                {"$match": {"province": province}},
                {"$group": {"_id": None, "tasks": {"$sum": 1}, "seqs": {"$sum": "$seq"}}},
            ],
            hint="versions",
        )
        return next(iter([Tally(one["tasks"], one["seqs"]) async for one in found]), Tally())

    # -- time ------------------------------------------------------------------------------------------------------

    async def note_progress(self, times: Mapping[int, datetime]) -> None:
        """See ports.Store."""
        if times:
            await self._progress.bulk_write(
                [
                    UpdateOne({"_id": partition}, {"$max": {"time": documents.instant_text(instant)}}, upsert=True)
                    for partition, instant in times.items()
                ],
                ordered=False,
            )

    async def progress(self) -> Mapping[int, datetime]:
        """See ports.Store."""
        return {doc["_id"]: datetime.fromisoformat(doc["time"]) async for doc in self._progress.find()}

    # -- ledgers ---------------------------------------------------------------------------------------------------

    async def next_epoch(self) -> int:
        """See ports.Store."""
        found = await self._counters.find_one_and_update(
            {"_id": "epoch"}, {"$inc": {"value": 1}}, upsert=True, return_document=ReturnDocument.AFTER
        )
        assert found is not None, "upserted"
        return int(found["value"])

    async def write_ledger(self, head: LedgerHead, changed: Mapping[tuple[str, date], Sums]) -> None:
        """See ports.Store."""
        writes: list[Any] = []
        for (province, cut_off), sums in changed.items():
            version = head.portions[province][cut_off]
            key = documents.portion_id(head.epoch, province, cut_off, version)
            writes.append(
                ReplaceOne(
                    {"_id": key},
                    {"_id": key, "epoch": head.epoch, "sums": documents.sums_list(sums)},
                    upsert=True,
                )
            )
            before = documents.portion_id(head.epoch, province, cut_off, version - 1)
            writes.append(UpdateOne({"_id": before}, {"$currentDate": {"replaced_at": True}}))
        if writes:
            await self._portions.bulk_write(writes, ordered=False)
        await self._ledgers.replace_one({"_id": head.epoch}, documents.head_document(head), upsert=True)

    async def ledgers(self) -> list[LedgerHead]:
        """See ports.Store."""
        return [documents.head(document) async for document in self._ledgers.find()]

    async def drop_ledgers(self, epochs: Collection[int]) -> None:
        """See ports.Store."""
        await self._ledgers.delete_many({"_id": {"$in": list(epochs)}})
        await self._portions.bulk_write([DeleteMany({"epoch": {"$in": list(epochs)}})])

    async def portions(
        self, wanted: Collection[tuple[int, str, date, int]]
    ) -> Mapping[tuple[int, str, date, int], Sums]:
        """See ports.Store."""
        keys = {documents.portion_id(*one): one for one in wanted}
        found = self._portions.find({"_id": {"$in": list(keys)}}, {"sums": 1})
        return {keys[document["_id"]]: documents.sums(document["sums"]) async for document in found}

    async def note_late(
        self, province: str, facts: Mapping[LateFact, tuple[date, tuple[str, ...]]], at: datetime
    ) -> None:
        """See ports.Store."""
        await self._late.bulk_write(
            [
                UpdateOne(
                    {"_id": f"{fact.task_id}:{fact.seq}"},
                    {"$setOnInsert": documents.late_document(province, fact, cut_off, scopes, at)},
                    upsert=True,
                )
                for fact, (cut_off, scopes) in facts.items()
            ],
            ordered=False,
        )

    async def late(self, province: str, scope: str, *, until: date, since: datetime) -> list[LateFact]:
        """See ports.Store."""
        found = self._late.find(
            {
                "province": province,
                "scopes": scope,
                "noted_at": {"$gte": documents.instant_text(since)},
                "cut_off": {"$lte": until.isoformat()},
            }
        )
        return [documents.late_fact(document) async for document in found]

    # -- reports ---------------------------------------------------------------------------------------------------

    async def heads(self, province: str) -> Mapping[str, Head]:
        """See ports.Store."""
        fields = {"revision": 1, "final": 1, "content_hash": 1, "scope_name": 1, "members": 1}
        found = self._reports.find({"province": province}, fields)
        return {
            doc["_id"]: Head(
                doc["revision"], doc["final"], doc["content_hash"], doc["scope_name"], tuple(doc["members"])
            )
            async for doc in found
        }

    async def save_reports(self, reports: Sequence[Report]) -> bool:
        """See ports.Store."""
        kept = await self._keep_finals({one.key: one.revision for one in reports if one.final and one.revision > 1})
        try:
            # In a thread: a thousand take a twentieth of a second.
            writes = await asyncio.to_thread(lambda: [_write(one, kept) for one in reports])
            result = await self._reports.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            _only_duplicates(error)
            return False
        return result.inserted_count + result.matched_count == len(reports)

    async def revisions(self, keys: Collection[str]) -> Mapping[str, int]:
        """See ports.Store."""
        found = self._reports.find({"_id": {"$in": list(keys)}}, {"revision": 1})
        return {document["_id"]: document["revision"] async for document in found}

    async def some_reports(self, keys: Collection[str]) -> Mapping[str, Report]:
        """See ports.Store."""
        found = self._reports.find({"_id": {"$in": list(keys)}})
        return {document["_id"]: documents.report(document) async for document in found}

    async def restore_reports(self, reports: Collection[Report]) -> set[str]:
        """See ports.Store."""
        told = {one.key: _told_document(one) for one in reports}
        await self._keep_finals({one.key: one.revision for one in reports})
        return told.keys() - await self._keep(self._reports, told, by="revision")

    async def complete_reports(self, reports: Collection[Report]) -> None:
        """See ports.Store."""
        await self._reports.bulk_write(
            [
                ReplaceOne(
                    {"_id": one.key, "revision": one.revision, "known_hash": {"$exists": True}}, _told_document(one)
                )
                for one in reports
            ],
            ordered=False,
        )

    async def _keep_finals(self, below: Mapping[str, int]) -> Mapping[str, int]:
        """Keep the final revisions below these, before they are replaced. Returns the revisions kept.

        A revision never changes once it is written, so whoever keeps it keeps the same, and repeats do no harm.
        """
        found = self._reports.find({"_id": {"$in": list(below)}, "final": True})
        replaced = [one async for one in found if one["revision"] < below[one["_id"]]] if below else []
        if replaced:
            await self._revisions.bulk_write(
                [
                    UpdateOne(
                        {"_id": documents.revision_id(one["_id"], one["revision"])},
                        {"$setOnInsert": documents.replaced_document(one)},
                        upsert=True,
                    )
                    for one in replaced
                ],
                ordered=False,
            )
        return {one["_id"]: one["revision"] for one in replaced}

    async def unpublished(self, province: str, limit: int) -> list[Report]:
        """See ports.Store."""
        found = self._reports.find({"province": province, "unpublished": True}).limit(limit)
        return [documents.report(document) async for document in found]

    async def mark_published(self, reports: Sequence[Report]) -> None:
        """See ports.Store."""
        if reports:
            await self._reports.bulk_write(
                [
                    UpdateOne({"_id": report.key, "revision": report.revision}, {"$unset": {"unpublished": ""}})
                    for report in reports
                ],
                ordered=False,
            )

    async def provinces(self) -> list[str]:
        """See ports.Reading."""
        return sorted(await self._reports.distinct("province", {"scope": PROVINCE_SCOPE}))

    async def periods(self, province: str) -> list[PeriodRow]:
        """See ports.Reading."""
        found = self._reports.find(
            {"scope": PROVINCE_SCOPE, "province": province}, {"period": 1, "final": 1, "kind": 1}
        )
        order = [("cut_off_on", DESCENDING), ("period", ASCENDING)]
        return [PeriodRow(doc["period"], doc["final"], Kind(doc["kind"])) async for doc in found.sort(order)]

    async def reports(self, province: str, period: str) -> list[Report]:
        """See ports.Reading."""
        found = self._reports.find({"province": province, "period": period})
        return [documents.report(document) async for document in found]

    async def report(self, key: str) -> Report | None:
        """See ports.Reading."""
        found = await self._reports.find_one({"_id": key})
        return documents.report(found) if found is not None else None

    async def revision(self, key: str, revision: int) -> Report | None:
        """See ports.Reading."""
        found = await self._reports.find_one({"_id": key, "revision": revision})
        if found is None:
            # Asked in this order: what is replaced meanwhile is there already.
            found = await self._revisions.find_one({"_id": documents.revision_id(key, revision)})
        return documents.report(found) if found is not None else None

    async def kept_revisions(self, key: str, limit: int) -> list[Report]:
        """See ports.Reading."""
        current = await self._reports.find_one({"_id": key})
        if current is None:
            return []
        newest_first = [("revision", DESCENDING)]
        older = {"key": key, "revision": {"$lt": current["revision"]}}
        found = [current] + [one async for one in self._revisions.find(older).sort(newest_first).limit(limit - 1)]
        return [documents.report(document) for document in found]

    async def stood_at(self, province: str, period: str, instant: datetime) -> list[Report]:
        """See ports.Reading."""
        asked = {"province": province, "period": period, "computed_at": {"$lte": documents.instant_text(instant)}}
        found = [one async for one in self._reports.find(asked)]
        older = self._revisions.aggregate(
            [
                {"$match": asked},
                {"$sort": {"revision": 1}},
                {"$group": {"_id": "$scope", "newest": {"$last": "$$ROOT"}}},
            ]
        )
        by_scope = {one["_id"]: one["newest"] async for one in older} | {one["scope"]: one for one in found}
        return [documents.report(document) for document in by_scope.values()]


def task_document(kept: KeptTask) -> Document:
    """A task as it is kept, with what lists of a report find it by."""
    return documents.task_document(kept) | content_documents.occasions_fields(kept.occasions)


def _write(report: Report, kept: Mapping[str, int]) -> Any:
    """Over the revision before it and no other; over a final one only where that was kept."""
    document = documents.report_document(report)
    if report.revision == 1:
        return InsertOne(document)
    before: Document = {"_id": report.key, "revision": report.revision - 1}
    return ReplaceOne(before if kept.get(report.key) == report.revision - 1 else before | {"final": False}, document)


def _told_document(report: Report) -> Document:
    """Of a report that is on its topic already."""
    document = documents.report_document(report)
    del document["unpublished"]
    return document


def _only_duplicates(error: BulkWriteError) -> list[Document]:
    """The failures of a bulk write, if all of them are lost races; else the error itself."""
    failures: list[Document] = (error.details or {}).get("writeErrors", [])
    if not failures or any(failure["code"] != _DUPLICATE_KEY for failure in failures):
        raise error
    return failures
