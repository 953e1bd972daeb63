"""MongoLists: what the board reads of the kept tasks and reports. Each question is answered off an index, in order."""

import hashlib
from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, IndexModel

from services.reporting import documents
from services.reporting.domain.report import Report
from services.reporting.domain.scopes import PROVINCE_SCOPE
from services.reporting.lists import AGENCIES_MAX, After, TaskRow, Where, Window
from services.reporting.mongo_generations import Serving, collection_name
from services.reporting.ports import Entry, Registry
from shared.runtime.mongodb import Database, Document

_ROW: Final = {
    "directive": 1,
    "clause": 1,
    "period": 1,
    "agency": 1,
    "title": 1,
    "result": 1,
    "open": 1,
    "legal": 1,
    "late_from": 1,
}
_VERSIONS: Final = 12
"""Running periods are among so many that end last."""
_URGENT: Final = [("late_from", ASCENDING), ("_id", ASCENDING)]


class MongoLists:
    """Implements lists.Lists on the database that MongoReportStore fills."""

    def __init__(self, database: Database, serving: Serving | None = None) -> None:
        self._database = database
        self._serving = serving or Serving()
        self._reports = database["reports"]

    @property
    def _tasks(self) -> Any:
        return self._database[collection_name("task_facts", self._serving.generation)]

    async def prepare(self) -> None:
        """Create the indexes that the queries below rest on. Safe to repeat."""
        province = ("province", ASCENDING)
        await self._tasks.create_indexes(
            [
                IndexModel([province, *_URGENT], partialFilterExpression={"open": True}, name="open_urgent"),
                IndexModel(
                    [province, ("agency", ASCENDING), *_URGENT],
                    partialFilterExpression={"open": True},
                    name="open_urgent_by_agency",
                ),
                IndexModel(
                    [province, ("directive", ASCENDING), *_URGENT],
                    partialFilterExpression={"open": True},
                    name="open_urgent_by_directive",
                ),
            ]
        )

    # -- reports ---------------------------------------------------------------------------------------------------

    async def reports(self, keys: Collection[str]) -> Mapping[str, Report]:
        """See lists.Lists."""
        found = self._reports.find({"_id": {"$in": list(keys)}})
        return {document["_id"]: documents.report(document) async for document in found}

    async def agency_reports(self, province: str, period: str) -> list[Report]:
        """See lists.Lists."""
        found = self._reports.find(
            {"province": province, "period": period, "scope": {"$gte": "agency:", "$lt": "agency;"}}
        ).limit(AGENCIES_MAX)
        return [documents.report(document) async for document in found]

    async def entry(self, registry: Registry, entry_id: str) -> Entry | None:
        """See lists.Lists."""
        name = collection_name(registry.value, self._serving.generation)
        found = await self._database[name].find_one({"_id": entry_id})
        return documents.entry(found) if found is not None else None

    async def version(self, province: str) -> str:
        """See lists.Lists."""
        found = self._reports.find({"scope": PROVINCE_SCOPE, "province": province}, {"revision": 1})
        latest = found.sort("cut_off_on", DESCENDING).limit(_VERSIONS)
        seen = sorted([f"{document['_id']}:{document['revision']}" async for document in latest])
        return hashlib.sha256("\n".join(seen).encode()).hexdigest()[:16]

    # -- tasks -----------------------------------------------------------------------------------------------------

    async def open_dated(self, where: Where, window: Window, *, after: After | None, limit: int) -> list[TaskRow]:
        """See lists.Lists."""
        late_from: dict[str, Any] = {"$gt": _text(window.since) or ""}
        if window.until is not None:
            late_from["$lte"] = documents.instant_text(window.until)
        question: dict[str, Any] = {**_where(where), "open": True, "late_from": late_from}
        if after is not None:
            reached = _text(after.late_from) or ""
            late_from["$gte"] = max(reached, late_from.pop("$gt"))
            question["$or"] = [{"late_from": {"$gt": reached}}, {"late_from": reached, "_id": {"$gt": after.id}}]
        return await self._rows(question, _URGENT, limit, _hint(where))

    async def open_undated(self, where: Where, *, after: After | None, limit: int) -> list[TaskRow]:
        """See lists.Lists."""
        question: dict[str, Any] = {**_where(where), "open": True, "late_from": None}
        if after is not None:
            question["_id"] = {"$gt": after.id}
        return await self._rows(question, [("_id", ASCENDING)], limit, _hint(where))

    async def of_clause(
        self, where: Where, directive: str, clause: str | None, *, after: After | None, limit: int
    ) -> list[TaskRow]:
        """See lists.Lists."""
        # A task's id begins with its directive and clause, and / comes right before 0.
        begins = "/".join(part for part in (where.province, directive, clause) if part is not None)
        within = {"$gt": after.id if after is not None else f"{begins}/", "$lt": f"{begins}0"}
        question: dict[str, Any] = {"_id": within}
        if where.agency is not None:
            question["agency"] = where.agency
        return await self._rows(question, [("_id", ASCENDING)], limit, "_id_")

    async def _rows(self, question: Document, order: list[tuple[str, int]], limit: int, index: str) -> list[TaskRow]:
        found = self._tasks.find(question, _ROW).sort(order).limit(limit).hint(index)
        return [_row(document) async for document in found]


def _where(where: Where) -> dict[str, Any]:
    named = {"agency": where.agency, "directive": where.directive}
    return {"province": where.province} | {name: value for name, value in named.items() if value is not None}


def _hint(where: Where) -> str:
    """A directive's open tasks are fewer than an agency's."""
    if where.directive is not None:
        return "open_urgent_by_directive"
    return "open_urgent_by_agency" if where.agency is not None else "open_urgent"


def _text(instant: datetime | None) -> str | None:
    return documents.instant_text(instant) if instant is not None else None


def _row(document: Document) -> TaskRow:
    legal, late_from = document["legal"], document["late_from"]
    return TaskRow(
        document["_id"],
        document["directive"],
        document["clause"],
        document["period"],
        document["agency"],
        document["title"],
        document["result"],
        document["open"],
        date.fromisoformat(legal) if legal is not None else None,
        datetime.fromisoformat(late_from) if late_from is not None else None,
    )
