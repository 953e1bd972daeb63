"""MongoOutbox: events that wait for the broker."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

from bson import Binary
from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.errors import PyMongoError

from services.ingest.ports import Backlog, Kept, Message, OutboxDownError, Trace
from shared.runtime.mongodb import Database, Document, make_indexes

LEASE_SECONDS = 10
"""How long the replica that forwards may be silent before another one does."""


class MongoOutbox:
    """Implements ports.Outbox on one MongoDB database."""

    def __init__(self, database: Database, *, timeout_seconds: float) -> None:
        """`timeout_seconds`: how long each step may take."""
        self._events = database["outbox"]
        self._leases = database["leases"]
        self._timeout_seconds = timeout_seconds
        self._replica = uuid.uuid4().hex
        self._last = 0
        self._leads_until = 0.0

    async def prepare(self) -> None:
        """Create the indexes that the queries below rest on. Safe to repeat."""
        async with self._in_time():
            await make_indexes(
                self._events,
                [
                    IndexModel([("replica", ASCENDING)], name="by_replica"),
                    IndexModel([("forward", ASCENDING), ("_id", ASCENDING)], name="by_order"),
                ],
            )

    async def keep(self, messages: Sequence[Message]) -> None:
        documents = [self._document(one) for one in messages]
        async with self._in_time():
            await self._events.insert_many(documents, ordered=True)

    def _document(self, message: Message) -> Document:
        # Nanoseconds, and always later than the one before: order within a replica, time between replicas.
        self._last = max(self._last + 1, time.time_ns())
        return {
            "_id": f"{self._last:020d}.{self._replica}",
            "replica": self._replica,
            "forward": True,
            "topic": message.topic,
            "key": message.key,
            "value": Binary(message.value),
            "trace": [message.trace.parent, message.trace.state] if message.trace is not None else None,
        }

    async def has_own(self) -> bool:
        async with self._in_time():
            return await self._events.find_one({"replica": self._replica, "forward": True}, {"_id": 1}) is not None

    async def lead(self) -> bool:
        if time.monotonic() < self._leads_until:
            return True
        # By the server's clock: those of the replicas differ. No lease yet counts as one that is over.
        free = {"$or": [{"$eq": ["$replica", self._replica]}, {"$lt": ["$until", "$$NOW"]}]}
        until = {"$dateAdd": {"startDate": "$$NOW", "unit": "second", "amount": LEASE_SECONDS}}
        taken = {
            "replica": {"$cond": [free, self._replica, "$replica"]},
            "until": {"$cond": [free, until, "$until"]},
        }
        asked_at = time.monotonic()
        async with self._in_time():
            lease = await self._leases.find_one_and_update(
                {"_id": "forwarding"}, [{"$set": taken}], upsert=True, return_document=ReturnDocument.AFTER
            )
        leads = bool(lease["replica"] == self._replica)
        # Renewed at half its time: a write for each page would be one in four.
        self._leads_until = asked_at + LEASE_SECONDS / 2 if leads else 0.0
        return leads

    async def step_back(self) -> None:
        self._leads_until = 0.0
        async with self._in_time():
            await self._leases.delete_one({"_id": "forwarding", "replica": self._replica})

    async def oldest(self, *, events_max: int, bytes_max: int) -> Sequence[Kept]:
        found: list[Kept] = []
        size = 0
        async with self._in_time():
            cursor = self._events.find({"forward": True}, batch_size=min(events_max, 50)).limit(events_max)
            async for document in cursor.sort("_id", ASCENDING):
                found.append(_read(document))
                size += len(found[-1].message.value)
                if size >= bytes_max:
                    break
        return found

    async def forget(self, keys: Collection[str]) -> None:
        async with self._in_time():
            await self._events.delete_many({"_id": {"$in": list(keys)}})

    async def set_aside(self, key: str, reason: str) -> None:
        async with self._in_time():
            await self._events.update_one({"_id": key}, {"$set": {"forward": False, "reason": reason}})

    async def backlog(self) -> Backlog:
        async with self._in_time():
            first = await self._events.find_one({}, {"_id": 1}, sort=[("_id", ASCENDING)])
            if first is None:
                return Backlog(0, 0.0)
            kept_ns = int(first["_id"].partition(".")[0])
            return Backlog(await self._events.estimated_document_count(), max(0.0, (time.time_ns() - kept_ns) / 1e9))

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                yield
        except (PyMongoError, TimeoutError) as error:
            raise OutboxDownError from error


def _read(document: Document) -> Kept:
    trace = Trace(*document["trace"]) if document["trace"] is not None else None
    return Kept(document["_id"], Message(document["topic"], document["key"], bytes(document["value"]), trace))
