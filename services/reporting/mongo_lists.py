"""MongoLists: what the board reads of the kept tasks and reports. Each question is answered off an index, in order."""

import asyncio
import hashlib
from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import ExecutionTimeout

from services.reporting import documents
from services.reporting.domain.report import Report
from services.reporting.domain.scopes import PROVINCE_SCOPE, ScopeKind, scope
from services.reporting.lists import AGENCIES_MAX, After, Sought, State, TaskRow, TooBroadError, Where, Window
from services.reporting.mongo_generations import Serving, collection_name
from services.reporting.ports import Entry, Registry
from shared.runtime.mongodb import Database, Document, make_indexes

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
SEARCH_SECONDS_MAX: Final = 1
COUNTED_MAX: Final = 2_000
"""Of two words, the rarer one leads; of two that are more frequent than this, either."""
WORDINGS_AT_ONCE: Final = 100
_URGENT: Final = [("late_from", ASCENDING), ("_id", ASCENDING)]


class MongoLists:
    """Implements lists.Lists on the database that MongoReportStore fills."""

    def __init__(self, database: Database, serving: Serving | None = None) -> None:
        self._database = database
        self._serving = serving or Serving()
        self._reports = database["reports"]
        self._wordings = database["wordings"]

    @property
    def _tasks(self) -> Any:
        return self._database[collection_name("task_facts", self._serving.generation)]

    async def prepare(self) -> None:
        """Create the indexes that the queries below rest on. Safe to repeat."""
        province = ("province", ASCENDING)
        await make_indexes(
            self._tasks,
            [
                IndexModel([province, *_URGENT], partialFilterExpression={"open": True}, name="open_urgent"),
                IndexModel(
                    [province, ("agency", ASCENDING), *_URGENT],
                    partialFilterExpression={"open": True},
                    name="open_urgent_by_agency",
                ),
                # The last two cover the heat map: a partial index still has to hold what its own condition asks for.
                IndexModel(
                    [province, ("directive", ASCENDING), *_URGENT, ("agency", ASCENDING), ("open", ASCENDING)],
                    partialFilterExpression={"open": True},
                    name="overdue_by_directive",
                ),
                IndexModel([province, ("wording", ASCENDING), ("_id", ASCENDING)], name="by_wording"),
                IndexModel(
                    [province, ("agency", ASCENDING), ("_id", ASCENDING)],
                    partialFilterExpression={"obstructed": True},
                    name="obstructed_by_agency",
                ),
                IndexModel(
                    [province, ("agency", ASCENDING), ("_id", ASCENDING)],
                    partialFilterExpression={"funded": True},
                    name="funded_by_agency",
                ),
            ],
        )
        await make_indexes(
            self._wordings, [IndexModel([province, ("search", ASCENDING), ("_id", ASCENDING)], name="by_word")]
        )

    # -- reports ---------------------------------------------------------------------------------------------------

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

    async def obstructed(self, province: str, agency: str, *, after: str | None, limit: int) -> list[str]:
        """See lists.Lists."""
        return await self._snapshots(province, agency, "obstructed", after, limit)

    async def funded(self, province: str, agency: str, *, after: str | None, limit: int) -> list[str]:
        """See lists.Lists."""
        return await self._snapshots(province, agency, "funded", after, limit)

    async def _snapshots(self, province: str, agency: str, mark: str, after: str | None, limit: int) -> list[str]:
        question = {"province": province, "agency": agency, mark: True, "_id": {"$gt": after or ""}}
        found = self._tasks.find(question, {"snapshot": 1}).sort("_id", ASCENDING).limit(limit)
        return [document["snapshot"] async for document in found.hint(f"{mark}_by_agency")]

    # -- search ----------------------------------------------------------------------------------------------------

    async def search(self, sought: Sought, *, after: str | None, limit: int) -> list[TaskRow]:
        """See lists.Lists, and ADR 0026: words lead to wordings, these to tasks, some at a time."""
        try:
            async with asyncio.timeout(SEARCH_SECONDS_MAX):
                return await self._sought(sought, after, limit)
        except (ExecutionTimeout, TimeoutError):
            raise TooBroadError from None

    async def _sought(self, sought: Sought, after: str | None, limit: int) -> list[TaskRow]:
        words = tuple(dict.fromkeys(sought.words))
        question: dict[str, Any] = {"province": sought.province, "search": await self._rarest(sought.province, words)}
        # An expression uses no index, so the planner has nothing to choose from: one word leads, the others are looked
        # for in what it finds.
        question["$expr"] = {"$setIsSubset": [list(words), "$search"]}
        rows: list[TaskRow] = []
        if after is not None and (last := await self._tasks.find_one({"_id": after}, {"wording": 1})) is not None:
            question["_id"] = {"$gt": last["wording"]}
            rows = await self._of_wordings(sought, [last["wording"]], limit, {"$gt": after})
        asked = self._wordings.find(question, {"_id": 1}, max_time_ms=SEARCH_SECONDS_MAX * 1_000)
        found = asked.sort("_id", ASCENDING).hint("by_word").batch_size(WORDINGS_AT_ONCE)
        while len(rows) < limit and (some := [one["_id"] for one in await found.to_list(WORDINGS_AT_ONCE)]):
            rows += await self._of_wordings(sought, some, limit - len(rows))
        return rows

    async def _of_wordings(
        self, sought: Sought, wordings: list[str], limit: int, ids: Document | None = None
    ) -> list[TaskRow]:
        question: dict[str, Any] = {"province": sought.province, "wording": {"$in": wordings}}
        if ids is not None:
            question["_id"] = ids
        if sought.concerns:
            question["concerns"] = {"$all": list(sought.concerns)}
        for name, value in (("agency", sought.agency), ("directive", sought.directive)):
            if value is not None:
                question[name] = value
        match sought.state:
            case State.OPEN:
                question["open"] = True
            case State.OVERDUE:
                question |= {"open": True, "late_from": {"$gt": "", "$lte": documents.instant_text(sought.now)}}
            case State.DONE:
                question["result"] = "completed"
        return await self._rows(question, [("wording", ASCENDING), ("_id", ASCENDING)], limit, "by_wording")

    async def _rarest(self, province: str, words: tuple[str, ...]) -> str:
        if len(words) == 1:
            return words[0]
        counts = await asyncio.gather(
            *(
                self._wordings.count_documents({"province": province, "search": one}, limit=COUNTED_MAX, hint="by_word")
                for one in words
            )
        )
        return min(zip(counts, words, strict=True))[1]

    # -- the heat map ----------------------------------------------------------------------------------------------

    async def overdue_totals(self, province: str, period: str, kind: ScopeKind, limit: int) -> list[tuple[str, int]]:
        """See lists.Lists. Reads one period's reports of a kind, and hands over the numbers alone."""
        begins = scope(kind, "")
        found = self._reports.aggregate(
            [
                # ; comes right after :.
                {"$match": {"province": province, "period": period, "scope": {"$gte": begins, "$lt": f"{kind};"}}},
                {"$match": {"figures.open_overdue": {"$gt": 0}}},
                {"$project": {"scope": 1, "overdue": "$figures.open_overdue"}},
                {"$sort": {"overdue": DESCENDING, "scope": ASCENDING}},
                {"$limit": limit},
            ],
            hint="by_period",
        )
        return [(one["scope"].removeprefix(begins), one["overdue"]) async for one in found]

    async def overdue_cells(
        self, province: str, directives: Collection[str], now: datetime
    ) -> Mapping[tuple[str, str], int]:
        """See lists.Lists. Reads the index alone: one entry for each overdue task of these directives."""
        late_from = {"$gt": "", "$lte": documents.instant_text(now)}
        question = {"province": province, "directive": {"$in": sorted(directives)}, "open": True}
        found = self._tasks.aggregate(
            [
                {"$match": {**question, "late_from": late_from}},
                {"$group": {"_id": {"a": "$agency", "d": "$directive"}, "tasks": {"$sum": 1}}},
            ],
            hint="overdue_by_directive",
        )
        return {(one["_id"]["a"], one["_id"]["d"]): one["tasks"] async for one in found}

    async def _rows(self, question: Document, order: list[tuple[str, int]], limit: int, index: str) -> list[TaskRow]:
        found = self._tasks.find(question, _ROW).sort(order).limit(limit).hint(index)
        return [_row(document) async for document in found]


def _where(where: Where) -> dict[str, Any]:
    named = {"agency": where.agency, "directive": where.directive}
    return {"province": where.province} | {name: value for name, value in named.items() if value is not None}


def _hint(where: Where) -> str:
    """A directive's open tasks are fewer than an agency's."""
    if where.directive is not None:
        return "overdue_by_directive"
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
