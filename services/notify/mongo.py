"""MongoNotifyStore: alerts, deliveries, the newest known of tasks, and where agencies are reached."""

import uuid
from collections.abc import AsyncIterable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from pydantic import TypeAdapter
from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.errors import BulkWriteError

from services.notify.domain.alert import Alert, AlertKind, TaskState
from services.notify.domain.dedup import OVERDUE_STORY, Heard, Reach, delivery_id
from services.notify.domain.grouping import Delivery, waiting_key
from services.notify.domain.inhibit import Reason
from services.notify.domain.routing import Recipient, Role, Supervisors, supervisors
from services.notify.ports import AgencyRecord, AlertWithDeliveries, Contact, Decided, DeliveryState
from shared.runtime.mongodb import Database, Document

_ALERT = TypeAdapter(Alert)
_DUPLICATE_KEY = 11000
LEFTOVERS_PAGE = 1_000


class MongoNotifyStore:
    """Implements ports.NotifyStore on one MongoDB database."""

    def __init__(self, database: Database) -> None:
        self._alerts = database["alerts"]
        self._deliveries = database["deliveries"]
        self._tasks = database["tasks"]
        self._contacts = database["contacts"]

    async def prepare(self) -> None:
        """Create the indexes that the queries below rest on. Safe to repeat."""
        await self._alerts.create_indexes(
            [
                IndexModel([("p", ASCENDING)], partialFilterExpression={"unpublished": True}, name="unpublished"),
                IndexModel([("alert.task_id", ASCENDING)], name="by_task"),
                IndexModel([("alert.agency", ASCENDING), ("_id", ASCENDING)], name="by_agency"),
                IndexModel([("alert.kind", ASCENDING), ("_id", ASCENDING)], name="by_kind"),
                IndexModel([("outcome", ASCENDING), ("_id", ASCENDING)], name="by_outcome"),
                IndexModel(
                    [("alert.province", ASCENDING), ("readers", ASCENDING), ("_id", ASCENDING)], name="by_reader"
                ),
            ]
        )
        pending = {"state": "pending"}
        await self._deliveries.create_indexes(
            [
                IndexModel(
                    [("p", ASCENDING), ("next_try", ASCENDING)], partialFilterExpression=pending, name="pending"
                ),
                IndexModel([("message", ASCENDING)], partialFilterExpression=pending, name="waiting_together"),
                IndexModel([("alert_id", ASCENDING)], name="by_alert"),
            ]
        )
        await self._contacts.create_indexes([IndexModel([("province", ASCENDING)], name="by_province")])

    # -- what is known ---------------------------------------------------------------------------------------------

    async def learn_tasks(self, states: Mapping[str, TaskState]) -> None:
        await _newest_wins(
            self._tasks,
            [
                (
                    task_id,
                    one.seq,
                    {
                        "result": one.result,
                        "deadline_version": one.deadline_version,
                        "overdue_since": one.overdue_since,
                    },
                )
                for task_id, one in states.items()
            ],
        )

    async def tasks(self, ids: Collection[str]) -> Mapping[str, TaskState]:
        if not ids:
            return {}
        found = self._tasks.find({"_id": {"$in": list(ids)}})
        return {
            one["_id"]: TaskState(one["seq"], one["result"], one["deadline_version"], one["overdue_since"])
            async for one in found
        }

    async def learn_agencies(self, records: Sequence[AgencyRecord]) -> None:
        newest = {f"{one.province}/{one.code}": one for one in sorted(records, key=lambda one: one.seq)}
        await _newest_wins(
            self._contacts,
            [
                (
                    key,
                    one.seq,
                    {
                        "province": one.province,
                        "code": one.code,
                        "name": one.name,
                        "role": one.role,
                        "valid_to": one.valid_to.isoformat() if one.valid_to else None,
                        "contact": one.contact,
                        "head_contact": one.head_contact,
                        "head_title": one.head_title,
                    },
                )
                for key, one in newest.items()
            ],
        )

    async def supervisors(self, province: str, on: date) -> Supervisors:
        query = {"province": province, "role": {"$ne": "agency"}, **_valid(on)}
        return supervisors({one["code"]: one["role"] async for one in self._contacts.find(query)})

    async def role(self, province: str, code: str, on: date) -> str | None:
        found = await self._contacts.find_one({"_id": f"{province}/{code}", **_valid(on)}, {"role": 1})
        return str(found["role"]) if found else None

    async def contacts(self, province: str, codes: Collection[str]) -> Mapping[str, Contact]:
        found = self._contacts.find({"_id": {"$in": [f"{province}/{code}" for code in codes]}})
        return {
            one["code"]: Contact(one["name"], one["contact"], one["head_contact"], one["head_title"])
            async for one in found
        }

    async def overdue_stories(self, task_ids: Collection[str]) -> Mapping[str, Sequence[Heard]]:
        if not task_ids:
            return {}
        kinds = [kind.value for kind in OVERDUE_STORY]
        query = {"alert.task_id": {"$in": list(task_ids)}, "alert.kind": {"$in": kinds}}
        alerts = {one["_id"]: one["alert"] async for one in self._alerts.find(query, {"alert": 1})}
        stories: dict[str, list[Heard]] = {}
        async for one in self._deliveries.find({"alert_id": {"$in": list(alerts)}}, {"alert": 0}):
            alert = alerts[one["alert_id"]]
            heard = Heard(AlertKind(alert["kind"]), alert["seq"], _recipient(one), _reach(one))
            stories.setdefault(alert["task_id"], []).append(heard)
        return stories

    # -- alerts ----------------------------------------------------------------------------------------------------

    async def record(
        self, decided: Sequence[Decided], *, channels: Collection[str], now: float, due: float
    ) -> Sequence[Decided]:
        if not decided:
            return ()
        writes = [_insert(_alert_document(one, recorded_at=now)) for one in decided]
        outcome = await self._alerts.bulk_write(writes, ordered=False)
        new = [decided[index] for index in outcome.upserted_ids or {}]
        # The stored decision counts, not ours: a redelivery finds what was decided first.
        ids = [one.alert.alert_id for one in decided]
        stored = await _read(self._alerts.find({"_id": {"$in": ids}, "outcome": "notify"}))
        deliveries = [
            _insert(_delivery_document(one, recipient, channel, now=now, due=due))
            for one in stored
            for recipient in one.recipients
            for channel in channels
        ]
        if deliveries:
            await self._deliveries.bulk_write(deliveries, ordered=False)
        return new

    async def unpublished(self, alert_ids: Collection[str]) -> Sequence[Decided]:
        query = {"_id": {"$in": list(alert_ids)}, "unpublished": True}
        return await _read(self._alerts.find(query).sort("alert.seq", ASCENDING))

    async def leftovers(self, partitions: Collection[int], *, recorded_before: float) -> Sequence[Decided]:
        if not partitions:
            return ()
        query = {"unpublished": True, "p": {"$in": list(partitions)}, "recorded_at": {"$lt": recorded_before}}
        return await _read(self._alerts.find(query).sort("alert.seq", ASCENDING).limit(LEFTOVERS_PAGE))

    async def published(self, alert_ids: Collection[str]) -> None:
        await self._alerts.update_many({"_id": {"$in": list(alert_ids)}}, {"$unset": {"unpublished": ""}})

    # -- deliveries ------------------------------------------------------------------------------------------------

    async def pending(self, partitions: Collection[int], *, now: float, limit: int) -> Sequence[Delivery]:
        if not partitions:
            return ()
        mine = {"state": "pending", "p": {"$in": list(partitions)}}
        due = self._deliveries.find({**mine, "next_try": {"$lte": now}}, {"message": 1})
        messages = {one["message"]: None async for one in due.sort("next_try", ASCENDING).limit(limit)}
        if not messages:
            return ()
        # Whoever is due takes along what waits for the same message: one mail, however slowly its facts arrived.
        together = self._deliveries.find({**mine, "message": {"$in": list(messages)}})
        found = together.sort([("message", ASCENDING), ("_id", ASCENDING)]).limit(limit)
        return [_delivery(one) async for one in found]

    async def claim(self, deliveries: Sequence[Delivery], *, message_id: str, until: float) -> Sequence[Delivery]:
        # Another replica may still believe that the partition is its own; `attempts` decides who was first.
        token = uuid.uuid4().hex
        fields = {"message": message_id, "message_id": message_id, "next_try": until, "claim": token}
        ids = [one.delivery_id for one in deliveries]
        claimed = 0
        for attempts in {one.attempts for one in deliveries}:
            outcome = await self._deliveries.update_many(
                {"_id": {"$in": ids}, "state": "pending", "attempts": attempts},
                {"$set": fields, "$inc": {"attempts": 1}},
            )
            claimed += outcome.modified_count
        if claimed < len(deliveries):
            mine = {
                one["_id"] async for one in self._deliveries.find({"_id": {"$in": ids}, "claim": token}, {"_id": 1})
            }
            deliveries = [one for one in deliveries if one.delivery_id in mine]
        return [replace(one, attempts=one.attempts + 1, message_id=message_id) for one in deliveries]

    async def sent(self, deliveries: Sequence[Delivery], *, at: datetime) -> None:
        await self._update(deliveries, {"$set": {"state": "sent", "sent_at": at, "cause": ""}})

    async def failed(self, deliveries: Sequence[Delivery], cause: str) -> None:
        await self._update(deliveries, {"$set": {"state": "failed", "cause": cause}})

    async def suppressed(self, deliveries: Sequence[Delivery], reason: Reason) -> None:
        await self._update(deliveries, {"$set": {"state": "suppressed", "cause": reason.value}})

    async def postponed(self, deliveries: Sequence[Delivery], cause: str, *, until: float) -> None:
        await self._update(deliveries, {"$set": {"cause": cause, "next_try": until}})

    async def _update(self, deliveries: Sequence[Delivery], change: Document) -> None:
        ids = [one.delivery_id for one in deliveries]
        await self._deliveries.update_many({"_id": {"$in": ids}, "state": "pending"}, change)

    # -- reading ---------------------------------------------------------------------------------------------------

    async def list_alerts(
        self, wanted: Mapping[str, str], *, after: str | None, limit: int, reader: str | None = None
    ) -> Sequence[AlertWithDeliveries]:
        query: Document = {{"outcome": "outcome"}.get(name, f"alert.{name}"): value for name, value in wanted.items()}
        if reader is not None:
            query["readers"] = reader
        if after is not None:
            query["_id"] = {"$gt": after}
        alerts = await _read(self._alerts.find(query).sort("_id", ASCENDING).limit(limit))
        ids = [one.alert.alert_id for one in alerts]
        deliveries: dict[str, list[DeliveryState]] = {}
        async for one in self._deliveries.find({"alert_id": {"$in": ids}}, {"alert": 0}).sort("_id", ASCENDING):
            deliveries.setdefault(one["alert_id"], []).append(_delivery_state(one))
        return [AlertWithDeliveries(one, tuple(deliveries.get(one.alert.alert_id, ()))) for one in alerts]


# -- documents -----------------------------------------------------------------------------------------------------


async def _newest_wins(collection: Any, rows: Sequence[tuple[str, int, Document]]) -> None:
    """Upsert each row unless a higher `seq` is stored.

    An upsert that matches nothing inserts, and meets a duplicate key where a document is: a newer one, or one that a
    racing writer has just made and that may be older. So what failed is repeated as a plain update.
    """
    if not rows:
        return
    filters = [{"_id": key, "seq": {"$lt": seq}} for key, seq, _ in rows]
    changes = [{"$set": {"seq": seq, **fields}} for _, seq, fields in rows]
    try:
        await collection.bulk_write(
            [UpdateOne(one, change, upsert=True) for one, change in zip(filters, changes, strict=True)], ordered=False
        )
    except BulkWriteError as error:
        failures = error.details["writeErrors"]
        if any(failure["code"] != _DUPLICATE_KEY for failure in failures):
            raise
        again = [failure["index"] for failure in failures]
        await collection.bulk_write([UpdateOne(filters[one], changes[one]) for one in again], ordered=False)


def _valid(on: date) -> Document:
    return {"$or": [{"valid_to": None}, {"valid_to": {"$gte": on.isoformat()}}]}


def _insert(document: Document) -> UpdateOne:
    """Insert if absent; what exists stays as it is. On `_id` alone, the server itself repeats a lost race."""
    key = document.pop("_id")
    return UpdateOne({"_id": key}, {"$setOnInsert": document}, upsert=True)


def _alert_document(decided: Decided, *, recorded_at: float) -> Document:
    return {
        "_id": decided.alert.alert_id,
        "p": decided.partition,
        "alert": _ALERT.dump_python(decided.alert, mode="json"),
        "outcome": "notify" if decided.notify else "silent",
        "reason": decided.reason.value,
        "recipients": [{"agency": one.agency, "role": one.role.value} for one in decided.recipients],
        "readers": sorted(decided.readers),
        "decided_at": decided.decided_at,
        "recorded_at": recorded_at,
        "unpublished": True,
    }


async def _read(found: AsyncIterable[Document]) -> list[Decided]:
    return [
        Decided(
            _ALERT.validate_python(one["alert"]),
            one["p"],
            Reason(one["reason"]),
            tuple(_recipient(recipient) for recipient in one["recipients"]),
            one["decided_at"],
        )
        async for one in found
    ]


def _recipient(document: Document) -> Recipient:
    return Recipient(document["agency"], Role(document["role"]))


def _delivery_document(decided: Decided, recipient: Recipient, channel: str, *, now: float, due: float) -> Document:
    alert = decided.alert
    return {
        "_id": delivery_id(alert.alert_id, recipient, channel),
        "alert_id": alert.alert_id,
        "p": decided.partition,
        "agency": recipient.agency,
        "role": recipient.role.value,
        "channel": channel,
        "state": "pending",
        "cause": "",
        "attempts": 0,
        "recorded_at": now,
        "next_try": due,
        # What it waits with, and once it was tried the message it was tried in.
        "message": waiting_key(alert, recipient, channel),
        "alert": _ALERT.dump_python(alert, mode="json"),
    }


def _delivery(document: Document) -> Delivery:
    return Delivery(
        document["_id"],
        _ALERT.validate_python(document["alert"]),
        _recipient(document),
        document["channel"],
        document["recorded_at"],
        document["attempts"],
        document.get("message_id", ""),
    )


def _reach(document: Document) -> Reach:
    if document["state"] == "sent" or document["attempts"] > 0:
        return Reach.TOLD
    return Reach.PENDING if document["state"] == "pending" else Reach.NOT_TOLD


def _delivery_state(document: Document) -> DeliveryState:
    return DeliveryState(
        document["agency"],
        document["role"],
        document["channel"],
        document["state"],
        document["cause"],
        document["attempts"],
        document.get("sent_at"),
        document.get("message_id"),
    )
