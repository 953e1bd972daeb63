"""MongoTaskStore: one document per task holds state, version, fence and what is untold. No transactions (ADR 0002)."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, IndexModel, InsertOne, UpdateOne, WriteConcern
from pymongo.errors import BulkWriteError, DuplicateKeyError

from services.tasks.documents import (
    STEPS_KEPT,
    handover_document,
    ledger_document,
    ledger_entry,
    obligation_document,
    obligation_state,
    outcome_document,
    read_task,
    read_untold,
    stored_task,
    task_document,
    task_update,
    untold_document,
)
from services.tasks.domain.reading import EVERYTHING, Reader
from services.tasks.domain.task import Task
from services.tasks.ports import (
    Buried,
    Change,
    DirectiveState,
    Entry,
    EntryWrite,
    LedgerEntry,
    ObligationState,
    Outcome,
    Parked,
    Position,
    Registry,
    Stored,
    TaskFilter,
    Untold,
    Verdict,
    Write,
)
from shared.runtime.clock import real_seconds
from shared.runtime.mongodb import Database, Document, make_indexes

_DUPLICATE_KEY = 11000
_TIMED = {"$type": "date"}
"""What the `timers` indexes hold, and what every read that is to use them must ask for."""
_ENDED = {"$type": "string"}
"""The same of the index of agencies that are no more: their last day is text."""
UNTOLD_PAGE = 500
PARKED_PAGE = 5_000


class MongoTaskStore:
    """Implements ports.TaskStore on one MongoDB database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tasks = database["tasks"]
        # Forgetting what was told may itself be forgotten in a crash: it is told once more, under the same id.
        self._forgetful = self._tasks.with_options(write_concern=WriteConcern(w=1))
        self._ledger = database["ledger"]
        # Beside the ledger and not in it: many inserts cost the server a quarter of as many updates.
        self._outcomes = database["outcomes"]
        self._parked = database["parked"]
        self._directives = database["directives"]
        self._obligations = database["obligations"]
        self._partitions = database["partitions"]

    async def prepare(self) -> None:
        """Create the indexes that the queries below rest on. Safe to repeat."""
        timed = {"next_at": _TIMED}
        await make_indexes(
            self._tasks,
            [
                IndexModel([("p", ASCENDING), ("next_at", ASCENDING)], partialFilterExpression=timed, name="timers"),
                IndexModel(
                    [("p", ASCENDING), ("pend.at", ASCENDING)],
                    partialFilterExpression={"pend.tok": {"$exists": True}},
                    name="untold",
                ),
                IndexModel([("province", ASCENDING), ("agency", ASCENDING), ("_id", ASCENDING)], name="by_agency"),
                IndexModel(
                    [("province", ASCENDING), ("directive", ASCENDING), ("_id", ASCENDING)], name="by_directive"
                ),
                IndexModel([("province", ASCENDING), ("readers", ASCENDING), ("_id", ASCENDING)], name="by_reader"),
                # For what rarely happens: agencies are reorganised, a calendar is replaced.
                IndexModel(
                    [("p", ASCENDING), ("parties", ASCENDING), ("_id", ASCENDING)],
                    partialFilterExpression={"open": True},
                    name="by_party",
                ),
                IndexModel(
                    [("p", ASCENDING), ("rules", ASCENDING)], partialFilterExpression={"open": True}, name="by_rules"
                ),
                IndexModel(
                    [("province", ASCENDING), ("_id", ASCENDING)],
                    partialFilterExpression={"waits": True},
                    name="awaiting_succession",
                ),
            ],
        )
        await make_indexes(self._ledger, [IndexModel([("id", ASCENDING)], name="by_id")])
        await make_indexes(
            self._parked,
            [
                IndexModel([("p", ASCENDING), ("off", ASCENDING)], name="in_order"),
                IndexModel([("p", ASCENDING), ("task_id", ASCENDING)], name="by_partition"),
                IndexModel([("task_id", ASCENDING)], name="by_task"),
            ],
        )
        await make_indexes(
            self._obligations,
            [
                IndexModel([("p", ASCENDING), ("next_at", ASCENDING)], partialFilterExpression=timed, name="timers"),
                IndexModel([("province", ASCENDING), ("directive", ASCENDING)], name="by_directive"),
            ],
        )
        await make_indexes(
            self._database[Registry.AGENCIES.value],
            [
                IndexModel(
                    [("data.valid_to", ASCENDING)], partialFilterExpression={"data.valid_to": _ENDED}, name="ended"
                )
            ],
        )
        for registry in Registry:
            await make_indexes(
                self._database[registry.value],
                [
                    IndexModel(
                        [("p", ASCENDING), ("pend.at", ASCENDING)],
                        partialFilterExpression={"pend.tok": {"$exists": True}},
                        name="untold",
                    ),
                    IndexModel([("data.province", ASCENDING)], name="by_province"),
                ],
            )

    # -- ledger ----------------------------------------------------------------------------------------------------

    async def claim(self, entries: Sequence[LedgerEntry]) -> Mapping[str, LedgerEntry]:
        if not entries:
            return {}
        try:
            await self._ledger.insert_many([ledger_document(entry) for entry in entries], ordered=False)
        except BulkWriteError as error:
            return await self.ledger({failure["op"]["_id"] for failure in _only_duplicates(error)})
        return {}

    async def ledger(self, keys: Collection[str]) -> Mapping[str, LedgerEntry]:
        if not keys:
            return {}
        found = await self._entries_where({"_id": {"$in": list(keys)}}, len(keys))
        return {entry.key: entry for entry in found}

    async def ledger_by_id(
        self, submission_id: str, source: str | None, limit: int, reader: Reader = EVERYTHING
    ) -> list[LedgerEntry]:
        """Ledger entries with this id that a reader may see, of one source or of all."""
        wanted = {"source": source, "province": reader.province, "agency": reader.agency}
        query: Document = {"id": submission_id, **{name: one for name, one in wanted.items() if one is not None}}
        return await self._entries_where(query, limit)

    async def _entries_where(self, query: Document, limit: int) -> list[LedgerEntry]:
        claimed = [document async for document in self._ledger.find(query).limit(limit)]
        found = self._outcomes.find({"_id": {"$in": [document["_id"] for document in claimed]}})
        settled = {document["_id"]: document async for document in found}
        return [ledger_entry({**document, **settled.get(document["_id"], {})}) for document in claimed]

    async def close(self, verdicts: Sequence[Verdict], *, recorded_at: datetime) -> None:
        parked = [verdict for verdict in verdicts if verdict.outcome is Outcome.PARKED]
        final = [verdict for verdict in verdicts if verdict.outcome is not Outcome.PARKED]
        if final:
            try:
                await self._outcomes.insert_many([outcome_document(one, recorded_at) for one in final], ordered=False)
            except BulkWriteError as error:
                # Closed before: the first word stands.
                _only_duplicates(error)
        if parked:
            fields = {"outcome": Outcome.PARKED.value, "reason": parked[0].reason, "recorded_at": recorded_at}
            await self._ledger.update_many({"_id": {"$in": [one.key for one in parked]}}, {"$set": fields})

    async def bury(self, buried: Buried, *, recorded_at: datetime) -> None:
        # First the entry: an outcome without one would be seen by nobody.
        await self._ledger.update_one(
            {"_id": buried.key},
            {
                "$setOnInsert": {
                    "source": buried.source,
                    "id": buried.id,
                    "type": buried.type,
                    "province": buried.province,
                    "agency": buried.agency,
                    "p": buried.position.partition,
                    "off": buried.position.offset,
                    "outcome": Outcome.IN_FLIGHT.value,
                },
            },
            upsert=True,
        )
        await self.close([Verdict(buried.key, Outcome.DEAD, buried.reason, buried.detail)], recorded_at=recorded_at)

    async def note_reuse(self, keys: Sequence[str]) -> None:
        await self._ledger.bulk_write([UpdateOne({"_id": key}, {"$inc": {"reused": 1}}) for key in keys])

    # -- tasks -----------------------------------------------------------------------------------------------------

    async def tasks(self, ids: Collection[str]) -> Mapping[str, Stored]:
        if not ids:
            return {}
        found, half_way = await self._read(self._tasks.find({"_id": {"$in": list(ids)}}, {"history": 0}))
        if half_way:
            await self._finish(half_way)
            found |= await self.tasks(half_way)
        return found

    async def _read(self, cursor: Any) -> tuple[dict[str, Stored], list[str]]:
        """Tasks, and the ids of those that are half-way handed over: nobody may decide on these."""
        found: dict[str, Stored] = {}
        half_way = []
        async for document in cursor:
            if "handover" in document:
                half_way.append(document["_id"])
            else:
                found[document["_id"]] = stored_task(document)
        return found, half_way

    async def save_tasks(self, writes: Sequence[Write]) -> frozenset[str]:
        lost = await self._hand_over([write for write in writes if write.heir is not None])
        alone = [write for write in writes if write.heir is None]
        return frozenset(lost | await self._save(alone) if alone else lost)

    async def _hand_over(self, writes: Sequence[Write]) -> set[str]:
        """Two documents, both or neither: the intention goes into the old one, then the new one is made, then the old
        one ends. Whoever reads the old one in between brings it to its end first."""
        if not writes:
            return set()
        intentions = [
            UpdateOne(
                {"_id": write.task.task_id, "v": write.replaces},
                {"$set": {"handover": handover_document(write)}, "$inc": {"v": 1}},
            )
            for write in writes
        ]
        await self._tasks.bulk_write(intentions, ordered=False)
        await self._finish([write.task.task_id for write in writes])
        return await self._losers(writes)

    async def _finish(self, task_ids: Sequence[str]) -> None:
        """Bring handovers to their end, or take them back where the heir's id is another one's. Safe to repeat, and by
        several at once: a task, once made, stays, so all see the same."""
        if not task_ids:
            return
        half_way = self._tasks.find(
            {"_id": {"$in": list(task_ids)}, "handover": {"$exists": True}}, {"v": 1, "handover": 1}
        )
        begun = {document["_id"]: document async for document in half_way}
        if not begun:
            return
        heirs = {document["handover"]["heir"]["_id"]: document["handover"]["heir"] for document in begun.values()}
        try:
            await self._tasks.insert_many(list(heirs.values()), ordered=False)
        except BulkWriteError as error:
            _only_duplicates(error)
        there = self._tasks.find({"_id": {"$in": list(heirs)}}, {"follows": 1})
        follows = {document["_id"]: document["follows"] async for document in there}
        ends = []
        for task_id, document in begun.items():
            handover = document["handover"]
            change: Document = {"$unset": {"handover": ""}, "$inc": {"v": 1}}
            if follows[handover["heir"]["_id"]] == task_id:
                change |= {"$set": handover["set"], "$push": {"history": {"$each": handover["history"]}}}
            ends.append(UpdateOne({"_id": task_id, "v": document["v"]}, change))
        await self._tasks.bulk_write(ends, ordered=False)

    async def _save(self, writes: Sequence[Write]) -> set[str]:
        new = [write for write in writes if write.replaces is None]
        changed = [write for write in writes if write.replaces is not None]
        lost: set[str] = set()
        operations: list[InsertOne[Document] | UpdateOne] = [InsertOne(task_document(write)) for write in new]
        operations += [task_update(write) for write in changed]
        try:
            result = await self._tasks.bulk_write(operations, ordered=False)
            matched = result.matched_count
        except BulkWriteError as error:
            lost.update(failure["op"]["_id"] for failure in _only_duplicates(error))
            matched = int(error.details["nMatched"])
        if matched < len(changed):
            lost |= await self._losers(changed)
        return lost

    async def _losers(self, writes: Sequence[Write]) -> set[str]:
        """A bulk write does not say which update missed; the token that is now stored does."""
        mine = {write.task.task_id: write.untold.token for write in writes}
        kept = self._tasks.find({"_id": {"$in": list(mine)}}, {"tok": 1})
        stored = {document["_id"]: document.get("tok") async for document in kept}
        return {task_id for task_id, token in mine.items() if stored.get(task_id) != token}

    async def told(self, tokens: Mapping[str, str]) -> None:
        by_token: dict[str, list[str]] = {}
        for task_id, token in tokens.items():
            by_token.setdefault(token, []).append(task_id)
        for token, ids in by_token.items():
            await self._forgetful.update_many({"_id": {"$in": ids}, "pend.tok": token}, {"$unset": {"pend": ""}})

    async def untold(self, partitions: Collection[int], *, older_than_seconds: float) -> Mapping[str, Untold]:
        return await self._untold_in("tasks", partitions, older_than_seconds)

    async def _untold_in(
        self, collection: str, partitions: Collection[int], older_than_seconds: float
    ) -> dict[str, Untold]:
        if not partitions:
            return {}
        before = real_seconds() - older_than_seconds
        query = {"p": {"$in": list(partitions)}, "pend.tok": {"$exists": True}, "pend.at": {"$lte": before}}
        found = self._database[collection].find(query, {"pend": 1}).limit(UNTOLD_PAGE)
        return {document["_id"]: read_untold(document["pend"]) async for document in found}

    async def due(self, times: Mapping[int, datetime], limit: int) -> Mapping[str, Stored]:
        if not times:
            return {}
        cursor = self._tasks.find(_due_query(times), {"history": 0}).sort("next_at", ASCENDING).limit(limit)
        found, half_way = await self._read(cursor)
        await self._finish(half_way)
        return found

    async def earliest_due(self, partitions: Collection[int]) -> Mapping[int, datetime]:
        return await _earliest(self._tasks, partitions)

    async def open_task_ids(self, province: str, directive: str, clause: str | None = None) -> Sequence[str]:
        query: Document = {"province": province, "directive": directive, "open": True}
        if clause is not None:
            query["clause"] = clause
        return [document["_id"] async for document in self._tasks.find(query, {"_id": 1})]

    async def open_tasks_with(
        self, province: str, parties: Collection[str], partition: int, *, after: str, limit: int
    ) -> Mapping[str, Stored]:
        query: Document = {
            "p": partition,
            "parties": {"$in": list(parties)},
            "open": True,
            "province": province,
            "_id": {"$gt": after},
        }
        found = self._tasks.find(query, {"history": 0}).sort("_id", ASCENDING).limit(limit)
        return {document["_id"]: stored_task(document) async for document in found}

    async def open_tasks_by_other_rules(
        self, rules: Mapping[str | None, str], partitions: Collection[int], limit: int
    ) -> Mapping[str, Stored]:
        named = [province for province in rules if province is not None]
        older: list[Document] = [
            {"province": province if province is not None else {"$nin": named}, "rules": {"$lt": version}}
            for province, version in rules.items()
        ]
        # The common bound is what the index is read by; mostly it ends there.
        query: Document = {
            "p": {"$in": list(partitions)},
            "open": True,
            "rules": {"$lt": max(rules.values())},
            "$or": older,
        }
        found = self._tasks.find(query, {"history": 0}).limit(limit)
        return {document["_id"]: stored_task(document) async for document in found}

    # -- parked ----------------------------------------------------------------------------------------------------

    async def park(self, parked: Sequence[Parked]) -> None:
        await self._parked.bulk_write(
            [
                UpdateOne(
                    {"_id": one.key},
                    {
                        "$setOnInsert": {
                            "task_id": one.task_id,
                            "p": one.position.partition,
                            "off": one.position.offset,
                            "received_at": one.received_at,
                            "value": one.value,
                        }
                    },
                    upsert=True,
                )
                for one in parked
            ],
            ordered=False,
        )

    async def parked_task_ids(self, partitions: Collection[int]) -> frozenset[str]:
        if not partitions:
            return frozenset()
        return frozenset(await self._parked.distinct("task_id", {"p": {"$in": list(partitions)}}))

    async def parked_by(self, partitions: Collection[int], received_by: datetime, limit: int) -> Sequence[Parked]:
        query: Document = {"p": {"$in": list(partitions)}, "received_at": {"$lte": received_by}}
        return await self._parked_where(query, limit)

    async def existing(self, ids: Collection[str]) -> frozenset[str]:
        if not ids:
            return frozenset()
        found = self._tasks.find({"_id": {"$in": list(ids)}}, {"_id": 1})
        return frozenset([document["_id"] async for document in found])

    async def parked_for(self, task_ids: Collection[str]) -> Sequence[Parked]:
        return await self._parked_where({"task_id": {"$in": list(task_ids)}}, PARKED_PAGE)

    async def _parked_where(self, query: Document, limit: int) -> list[Parked]:
        found = self._parked.find(query).sort([("p", ASCENDING), ("off", ASCENDING)]).limit(limit)
        return [
            Parked(
                document["_id"],
                document["task_id"],
                Position(document["p"], document["off"]),
                document["received_at"],
                bytes(document["value"]),
            )
            async for document in found
        ]

    async def unpark(self, keys: Sequence[str]) -> None:
        if keys:
            await self._parked.delete_many({"_id": {"$in": list(keys)}})

    # -- registry --------------------------------------------------------------------------------------------------

    async def entries(self, registry: Registry, ids: Collection[str]) -> Mapping[str, Entry]:
        return await self._entries(registry, {"_id": {"$in": list(ids)}})

    async def entries_with(self, registry: Registry, equals: Mapping[str, Any]) -> Mapping[str, Entry]:
        return await self._entries(registry, {f"data.{name}": value for name, value in equals.items()})

    async def ended_agencies(self) -> Mapping[str, Entry]:
        return await self._entries(Registry.AGENCIES, {"data.valid_to": _ENDED})

    async def _entries(self, registry: Registry, query: Document) -> dict[str, Entry]:
        found = self._database[registry.value].find(query).limit(5_000)
        return {
            document["_id"]: Entry(
                document["_id"],
                document["data"],
                document["v"],
                tuple(document["steps"]),
                read_untold(document["pend"]) if "pend" in document else None,
            )
            async for document in found
        }

    async def save_entry(self, registry: Registry, write: EntryWrite) -> bool:
        fields = {
            "p": write.partition,
            "data": dict(write.data),
            "steps": list(write.steps[-STEPS_KEPT:]),
            "pend": untold_document(write.untold),
        }
        collection = self._database[registry.value]
        if write.replaces is None:
            try:
                await collection.insert_one({"_id": write.id, "v": 1, **fields})
            except DuplicateKeyError:
                return False
            return True
        result = await collection.update_one({"_id": write.id, "v": write.replaces}, {"$set": fields, "$inc": {"v": 1}})
        return result.matched_count == 1

    async def entry_told(self, registry: Registry, entry_id: str, token: str) -> None:
        await self._database[registry.value].update_one({"_id": entry_id, "pend.tok": token}, {"$unset": {"pend": ""}})

    async def untold_entries(
        self, registry: Registry, partitions: Collection[int], *, older_than_seconds: float
    ) -> Mapping[str, Untold]:
        return await self._untold_in(registry.value, partitions, older_than_seconds)

    # -- directives and obligations --------------------------------------------------------------------------------

    async def directive(self, province: str, directive: str) -> DirectiveState | None:
        found = await self._directives.find_one({"_id": f"{province}/{directive}"})
        return DirectiveState(found["revision"], found["key"], found.get("revoked", False)) if found else None

    async def save_directive(self, province: str, directive: str, revision: int, key: str) -> None:
        fields = {"revision": revision, "key": key}
        try:
            await self._directives.update_one(
                {"_id": f"{province}/{directive}", "revision": {"$lt": revision}}, {"$set": fields}, upsert=True
            )
        except DuplicateKeyError:
            # This revision is known, or a higher one.
            return

    async def revoke_directive(self, province: str, directive: str) -> None:
        await self._directives.update_one({"_id": f"{province}/{directive}"}, {"$set": {"revoked": True}})

    async def obligations(self, ids: Collection[str]) -> Mapping[str, ObligationState]:
        return await self._obligations_where({"_id": {"$in": list(ids)}})

    async def obligations_of(self, province: str, directive: str) -> Mapping[str, ObligationState]:
        return await self._obligations_where({"province": province, "directive": directive})

    async def _obligations_where(self, query: Document) -> dict[str, ObligationState]:
        return {document["_id"]: obligation_state(document) async for document in self._obligations.find(query)}

    async def save_obligation(self, state: ObligationState) -> bool:
        obligation = state.obligation
        fields = {
            "p": state.partition,
            "province": obligation.province,
            "directive": obligation.directive,
            "obligation": obligation_document(obligation),
            "next_at": state.next_at,
        }
        if state.version is None:
            try:
                await self._obligations.insert_one({"_id": obligation.obligation_id, "v": 1, **fields})
            except DuplicateKeyError:
                return False
            return True
        result = await self._obligations.update_one(
            {"_id": obligation.obligation_id, "v": state.version}, {"$set": fields, "$inc": {"v": 1}}
        )
        return result.matched_count == 1

    async def obligations_due(self, times: Mapping[int, datetime], limit: int) -> Sequence[ObligationState]:
        if not times:
            return []
        found = self._obligations.find(_due_query(times)).sort("next_at", ASCENDING).limit(limit)
        return [obligation_state(document) async for document in found]

    async def earliest_opening(self, partitions: Collection[int]) -> Mapping[int, datetime]:
        return await _earliest(self._obligations, partitions)

    async def next_opening(self, obligation_id: str) -> datetime | None:
        found = await self._obligations.find_one({"_id": obligation_id}, {"next_at": 1})
        return found["next_at"] if found else None

    async def note_times(self, times: Mapping[int, datetime]) -> None:
        if times:
            await self._partitions.bulk_write(
                [UpdateOne({"_id": one}, {"$max": {"time": now}}, upsert=True) for one, now in times.items()],
                ordered=False,
            )

    async def time_of(self, partition: int) -> datetime | None:
        found = await self._partitions.find_one({"_id": partition})
        return found["time"] if found else None

    async def slowest_time(self) -> datetime | None:
        found = await self._partitions.find_one(sort=[("time", ASCENDING)])
        return found["time"] if found else None

    # -- reading ---------------------------------------------------------------------------------------------------

    async def list_tasks(self, wanted: TaskFilter, *, after: str | None, limit: int) -> list[Task]:
        """Tasks in order of id, after a cursor."""
        query: Document = {
            name: value
            for name, value in {
                "province": wanted.province,
                "agency": wanted.agency,
                "directive": wanted.directive,
                "result": wanted.result,
                "readers": wanted.reader,
            }.items()
            if value is not None
        }
        if wanted.due_before is not None:
            query["due_at"] = {"$lt": wanted.due_before}
        if wanted.open_with_deadline:
            query |= {"open": True, "due_at": {**query.get("due_at", {}), "$ne": None}}
        if wanted.awaiting_succession:
            query["waits"] = True
        if after is not None:
            query["_id"] = {"$gt": after}
        found = self._tasks.find(query, {"state": 1}).sort("_id", ASCENDING).limit(limit)
        return [read_task(document) async for document in found]

    async def history(self, task_id: str) -> list[Change] | None:
        """Every change of a task in order; None for an unknown task."""
        found = await self._tasks.find_one({"_id": task_id}, {"history": 1})
        return None if found is None else [Change(**change) for change in found["history"]]


def _only_duplicates(error: BulkWriteError) -> list[Document]:
    failures: list[Document] = error.details["writeErrors"]
    if any(failure["code"] != _DUPLICATE_KEY for failure in failures) or error.details.get("writeConcernErrors"):
        raise error
    return failures


def _due_query(times: Mapping[int, datetime]) -> Document:
    # Without the index's own condition, word for word, the server does not see that the index holds the answer.
    return {"$or": [{"p": one, "next_at": {"$lte": now, **_TIMED}} for one, now in times.items()]}


async def _earliest(collection: Any, partitions: Collection[int]) -> dict[int, datetime]:
    found = {}
    for partition in partitions:
        query = {"p": partition, "next_at": _TIMED}
        # Answered by the index alone.
        first = await collection.find_one(query, {"_id": 0, "next_at": 1}, sort=[("next_at", ASCENDING)])
        if first is not None:
            found[partition] = first["next_at"]
    return found
