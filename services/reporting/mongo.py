"""MongoReportStore: snapshots guarded by seq, reports guarded by revision. No transactions (ADR 0002)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime

from pymongo import ASCENDING, DESCENDING, IndexModel, InsertOne, ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError

from services.reporting.domain.report import PROVINCE_SCOPE, Figures, Head, Report
from services.reporting.ports import Kept, PeriodRow
from shared.runtime.errors import TransientError
from shared.runtime.mongodb import Database, Document

_DUPLICATE_KEY = 11000
RACES_MAX = 10


class MongoReportStore:
    """Implements ports.Store on one MongoDB database."""

    def __init__(self, database: Database) -> None:
        self._tasks = database["task_facts"]
        self._agencies = database["agencies"]
        self._provinces = database["provinces"]
        self._progress = database["progress"]
        self._reports = database["reports"]

    async def prepare(self) -> None:
        """Create the indexes that the queries below rest on. Safe to repeat."""
        # With seq inside, the list of versions is answered from the index alone.
        await self._tasks.create_indexes(
            [IndexModel([("province", ASCENDING), ("_id", ASCENDING), ("seq", ASCENDING)], name="versions")]
        )
        await self._agencies.create_indexes([IndexModel([("province", ASCENDING)], name="by_province")])
        await self._reports.create_indexes(
            [
                IndexModel([("province", ASCENDING), ("period", DESCENDING), ("scope", ASCENDING)], name="by_period"),
                IndexModel(
                    [("province", ASCENDING), ("unpublished", ASCENDING)],
                    partialFilterExpression={"unpublished": True},
                    name="unpublished",
                ),
            ]
        )

    # -- facts -----------------------------------------------------------------------------------------------------

    async def keep_tasks(self, kept: Collection[Kept]) -> int:
        """See ports.Store."""
        return await self._keep("task_facts", kept)

    async def keep_agencies(self, kept: Collection[Kept]) -> int:
        """See ports.Store."""
        return await self._keep("agencies", kept)

    async def _keep(self, collection: str, kept: Collection[Kept]) -> int:
        newer = 0
        waiting = {one.id: one for one in kept}
        assert len(waiting) == len(kept), "one snapshot per id"
        target = self._tasks if collection == "task_facts" else self._agencies
        for _ in range(RACES_MAX):
            if not waiting:
                break
            # The filter misses a document that is as new or newer; the upsert then runs into its key.
            writes = [
                ReplaceOne({"_id": one.id, "seq": {"$lt": one.seq}}, _kept_document(one), upsert=True)
                for one in waiting.values()
            ]
            refused: set[str] = set()
            try:
                result = (await target.bulk_write(writes, ordered=False)).bulk_api_result
            except BulkWriteError as error:
                refused = {failure["op"]["q"]["_id"] for failure in _only_duplicates(error)}
                result = dict(error.details or {})
            newer += int(result["nMatched"]) + int(result["nUpserted"])
            # Refused can also mean that another insert of an older version was a moment faster.
            stored = {doc["_id"]: doc["seq"] async for doc in target.find({"_id": {"$in": list(refused)}}, {"seq": 1})}
            waiting = {one: waiting[one] for one in refused if stored.get(one, -1) < waiting[one].seq}
        if waiting:
            raise TransientError(f"{len(waiting)} snapshots are written by others all the time")
        await self._provinces.bulk_write(
            [UpdateOne({"_id": code}, {"$inc": {"changes": 1}}, upsert=True) for code in {one.province for one in kept}]
        )
        return newer

    async def provinces(self) -> Mapping[str, int]:
        """See ports.Reading."""
        return {document["_id"]: document["changes"] async for document in self._provinces.find()}

    async def task_seqs(self, province: str) -> Mapping[str, int]:
        """See ports.Store."""
        found = self._tasks.find({"province": province}, {"_id": 1, "seq": 1}).hint("versions")
        return {document["_id"]: document["seq"] async for document in found}

    async def tasks(self, ids: Collection[str]) -> list[Kept]:
        """See ports.Store."""
        return [_kept(document) async for document in self._tasks.find({"_id": {"$in": list(ids)}})]

    async def agencies(self, province: str) -> list[Kept]:
        """See ports.Store."""
        return [_kept(document) async for document in self._agencies.find({"province": province})]

    # -- time ------------------------------------------------------------------------------------------------------

    async def note_progress(self, times: Mapping[int, datetime]) -> None:
        """See ports.Store."""
        if times:
            await self._progress.bulk_write(
                [
                    UpdateOne({"_id": partition}, {"$max": {"time": _instant_text(instant)}}, upsert=True)
                    for partition, instant in times.items()
                ],
                ordered=False,
            )

    async def progress(self) -> Mapping[int, datetime]:
        """See ports.Store."""
        return {doc["_id"]: datetime.fromisoformat(doc["time"]) async for doc in self._progress.find()}

    # -- reports ---------------------------------------------------------------------------------------------------

    async def heads(self, province: str) -> Mapping[str, Head]:
        """See ports.Store."""
        fields = {"revision": 1, "final": 1, "content_hash": 1, "scope_name": 1}
        found = self._reports.find({"province": province}, fields)
        return {
            doc["_id"]: Head(doc["revision"], doc["final"], doc["content_hash"], doc["scope_name"])
            async for doc in found
        }

    async def save_reports(self, reports: Sequence[Report]) -> bool:
        """See ports.Store."""
        try:
            result = await self._reports.bulk_write(
                [
                    InsertOne(_report_document(report))
                    if report.revision == 1
                    else ReplaceOne({"_id": report.key, "revision": report.revision - 1}, _report_document(report))
                    for report in reports
                ],
                ordered=False,
            )
        except BulkWriteError as error:
            _only_duplicates(error)
            return False
        return result.inserted_count + result.matched_count == len(reports)

    async def unpublished(self, province: str, limit: int) -> list[Report]:
        """See ports.Store."""
        found = self._reports.find({"province": province, "unpublished": True}).limit(limit)
        return [_report(document) async for document in found]

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

    async def periods(self, province: str) -> list[PeriodRow]:
        """See ports.Reading."""
        found = self._reports.find({"province": province, "scope": PROVINCE_SCOPE}, {"period": 1, "final": 1})
        return [PeriodRow(doc["period"], doc["final"]) async for doc in found.sort("period", DESCENDING)]

    async def reports(self, province: str, period: str) -> list[Report]:
        """See ports.Reading."""
        return [_report(document) async for document in self._reports.find({"province": province, "period": period})]


def _only_duplicates(error: BulkWriteError) -> list[Document]:
    """The failures of a bulk write, if all of them are lost races; else the error itself."""
    failures: list[Document] = (error.details or {}).get("writeErrors", [])
    if not failures or any(failure["code"] != _DUPLICATE_KEY for failure in failures):
        raise error
    return failures


def _instant_text(instant: datetime) -> str:
    """Text that sorts as the instants do. A BSON date would cut off the microseconds that decide on "received by"."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds")


def _kept_document(kept: Kept) -> Document:
    return {
        "_id": kept.id,
        "seq": kept.seq,
        "province": kept.province,
        "p": kept.partition,
        "snapshot": kept.snapshot,
    }


def _kept(document: Document) -> Kept:
    return Kept(document["_id"], document["seq"], document["province"], document["p"], document["snapshot"])


def _report_document(report: Report) -> Document:
    return {
        "_id": report.key,
        "province": report.province,
        "period": report.period,
        "scope": report.scope,
        "scope_name": report.scope_name,
        "regime": report.regime,
        "starts_on": report.starts_on.isoformat(),
        "cut_off_on": report.cut_off_on.isoformat(),
        "revision": report.revision,
        "final": report.final,
        "content_hash": report.figures.content_hash,
        "computed_at": _instant_text(report.computed_at),
        "figures": asdict(report.figures),
        "unpublished": True,
    }


def _report(document: Document) -> Report:
    return Report(
        province=document["province"],
        period=document["period"],
        scope=document["scope"],
        scope_name=document["scope_name"],
        regime=document["regime"],
        starts_on=date.fromisoformat(document["starts_on"]),
        cut_off_on=date.fromisoformat(document["cut_off_on"]),
        revision=document["revision"],
        final=document["final"],
        figures=Figures(**document["figures"]),
        computed_at=datetime.fromisoformat(document["computed_at"]),
    )
