"""MongoContentStore: finds the tasks of a report's lists by index, and keeps every revision that was prepared."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.errors import DuplicateKeyError

from services.reporting import content_documents as documents
from services.reporting.domain.content import Prepared, PreparedHead
from services.reporting.domain.listing import Window
from services.reporting.domain.periods import Kind
from services.reporting.domain.scopes import PROVINCE_SCOPE
from services.reporting.mongo_generations import Serving, collection_name
from services.reporting.preparing import Closed
from shared.runtime.mongodb import Database, make_indexes

PAGE: Final = 500
"""Snapshots held at once."""


class MongoContentStore:
    """Implements preparing.ContentStore on the database of MongoReportStore.

    What bounds a reading: the tasks overdue at the instant, those that ceased to be since, those with a day in the
    window, those extended in the period and those with money. Not how many tasks there are.
    """

    def __init__(self, database: Database, serving: Serving | None = None) -> None:
        self._database = database
        self._serving = serving or Serving()
        self._reports = database["reports"]
        self._prepared = database["prepared"]

    @property
    def _tasks(self) -> Any:
        return self._database[collection_name("task_facts", self._serving.generation)]

    async def prepare(self) -> None:
        """Create the indexes that the queries below rest on. Safe to repeat. All hold only the tasks concerned."""
        await make_indexes(
            self._tasks,
            [
                IndexModel(
                    [("province", ASCENDING), ("overdue_until", ASCENDING), ("overdue_from", ASCENDING)],
                    partialFilterExpression={"overdue_until": {"$exists": True}},
                    name="listed_overdue",
                ),
                IndexModel(
                    [("province", ASCENDING), ("deadline_days", ASCENDING)],
                    partialFilterExpression={"deadline_days": {"$exists": True}},
                    name="listed_upcoming",
                ),
                IndexModel(
                    [("province", ASCENDING), ("extended_at", ASCENDING)],
                    partialFilterExpression={"extended_at": {"$exists": True}},
                    name="listed_extended",
                ),
                IndexModel(
                    [("province", ASCENDING), ("funded", ASCENDING)],
                    partialFilterExpression={"funded": True},
                    name="listed_funded",
                ),
            ],
        )
        await make_indexes(
            self._prepared,
            [
                IndexModel(
                    [("province", ASCENDING), ("period", ASCENDING), ("revision", DESCENDING)], name="by_period"
                ),
                IndexModel(
                    [("province", ASCENDING), ("untold", ASCENDING)],
                    partialFilterExpression={"untold": True},
                    name="untold",
                ),
            ],
        )

    async def listed(self, province: str, window: Window) -> AsyncIterator[list[str]]:
        """See preparing.ContentStore."""
        # One query: the server leaves out what several of the conditions find.
        found = self._tasks.find({"$or": documents.listed_filters(province, window)}, {"snapshot": 1}).batch_size(PAGE)
        while page := await found.to_list(PAGE):
            yield [document["snapshot"] for document in page]

    async def closed(self, province: str) -> list[Closed]:
        """See preparing.ContentStore."""
        found = self._reports.find(
            {"scope": PROVINCE_SCOPE, "province": province, "final": True}, {"period": 1, "kind": 1, "revision": 1}
        )
        order = [("cut_off_on", ASCENDING), ("period", ASCENDING)]
        return [Closed(one["period"], Kind(one["kind"]), one["revision"]) async for one in found.sort(order)]

    async def prepared_heads(self, province: str) -> Mapping[str, PreparedHead]:
        """See preparing.ContentStore."""
        fields = {"period": 1, "revision": 1, "report_revision": 1, "content_hash": 1}
        found = self._prepared.find({"province": province}, fields).sort("revision", ASCENDING)
        # The last revision of each wins.
        return {one["period"]: documents.prepared_head(one) async for one in found}

    async def prepared(self, province: str, period: str, revision: int | None = None) -> Prepared | None:
        """See preparing.ContentStore."""
        asked: dict[str, Any] = {"province": province, "period": period, "content": {"$exists": True}}
        if revision is not None:
            asked["revision"] = revision
        found = await self._prepared.find_one(asked, sort=[("revision", DESCENDING)])
        return await asyncio.to_thread(documents.prepared, found) if found is not None else None

    async def save_prepared(self, prepared: Prepared) -> bool:
        """See preparing.ContentStore."""
        # In a thread, as where it is read: long lists take tenths of a second, and whoever asks meanwhile would wait.
        document = await asyncio.to_thread(documents.prepared_document, prepared)
        try:
            await self._prepared.insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    async def restore_revisions(self, told: Mapping[tuple[str, str], int]) -> None:
        """See preparing.ContentStore."""
        heads = {province: await self.prepared_heads(province) for province in {province for province, _ in told}}
        lost = [
            documents.lost_document(province, period, revision)
            for (province, period), revision in told.items()
            if (head := heads[province].get(period)) is None or head.revision < revision
        ]
        if lost:
            await self._prepared.bulk_write(
                [UpdateOne({"_id": one["_id"]}, {"$setOnInsert": one}, upsert=True) for one in lost], ordered=False
            )

    async def note_seen(self, province: str, period: str, revision: int, report_revision: int) -> None:
        """See preparing.ContentStore."""
        await self._prepared.update_one(
            {"_id": documents.prepared_id(province, period, revision)}, {"$max": {"report_revision": report_revision}}
        )

    async def untold(self, province: str, limit: int) -> list[Prepared]:
        """See preparing.ContentStore."""
        order = [("cut_off_on", ASCENDING), ("period", ASCENDING), ("revision", ASCENDING)]
        found = self._prepared.find({"province": province, "untold": True}).sort(order).limit(limit)
        return [await asyncio.to_thread(documents.prepared, one) async for one in found]

    async def mark_told(self, prepared: Sequence[Prepared]) -> None:
        """See preparing.ContentStore."""
        if prepared:
            await self._prepared.bulk_write(
                [
                    UpdateOne(
                        {"_id": documents.prepared_id(one.content.province, one.content.span.id, one.revision)},
                        {"$unset": {"untold": ""}},
                    )
                    for one in prepared
                ],
                ordered=False,
            )
