"""MongoNotifyStore: alerts, deliveries, the newest known of tasks, and where agencies are reached."""

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.errors import BulkWriteError

from services.notify.domain.alert import Alert, AlertKind, TaskState
from services.notify.domain.grouping import Delivery
from services.notify.domain.inhibit import Reason
from services.notify.domain.routing import Recipient, Role, Supervisors, supervisors
from services.notify.ports import Contact, Decided
from shared.runtime.mongodb import Database, Document

_ALERT = TypeAdapter(Alert)
_DUPLICATE_KEY = 11000
_PAGE = 1_000
_OVERDUE_KINDS = [AlertKind.OVERDUE.value, AlertKind.ESCALATION.value]


class MongoNotifyStore:
    """Implements ports.NotifyStore on one MongoDB database."""

    def __init__(self, database: Database, *, group_wait_seconds: float) -> None:
        self._alerts = database["alerts"]
        self._deliveries = database["deliveries"]
        self._tasks = database["tasks"]
        self._contacts = database["contacts"]
        self._group_wait_seconds = group_wait_seconds

    async def prepare(self) -> None:
        """Create the indexes that the queries below rest on. Safe to repeat."""
        await self._alerts.create_indexes(
            [
                IndexModel([("p", ASCENDING)], partialFilterExpression={"unpublished": True}, name="unpublished"),
                IndexModel([("alert.task_id", ASCENDING)], name="by_task"),
                IndexModel([("alert.agency", ASCENDING), ("_id", ASCENDING)], name="by_agency"),
            ]
        )
        await self._deliveries.create_indexes(
            [
                IndexModel(
                    [("p", ASCENDING), ("next_try", ASCENDING)],
                    partialFilterExpression={"state": "pending"},
                    name="pending",
                ),
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
                    {"result": one.result, "deadline_version": one.deadline_version, "overdue": one.overdue},
                )
                for task_id, one in states.items()
            ],
        )

    async def tasks(self, ids: Collection[str]) -> Mapping[str, TaskState]:
        if not ids:
            return {}
        found = self._tasks.find({"_id": {"$in": list(ids)}})
        return {
            one["_id"]: TaskState(one["seq"], one["result"], one["deadline_version"], one["overdue"])
            async for one in found
        }

    async def learn_agencies(self, records: Sequence[Mapping[str, Any]]) -> None:
        newest = {f"{one['province']}/{one['code']}": one for one in sorted(records, key=lambda one: int(one["seq"]))}
        names = ("province", "code", "name", "role", "contact", "head_contact", "head_title")
        await _newest_wins(
            self._contacts, [(key, int(one["seq"]), {name: one[name] for name in names}) for key, one in newest.items()]
        )

    async def supervisors(self, province: str) -> Supervisors:
        query = {"province": province, "role": {"$ne": "agency"}}
        return supervisors({one["code"]: one["role"] async for one in self._contacts.find(query)})

    async def contacts(self, province: str, codes: Collection[str]) -> Mapping[str, Contact]:
        found = self._contacts.find({"_id": {"$in": [f"{province}/{code}" for code in codes]}})
        return {
            one["code"]: Contact(one["name"], one["contact"], one["head_contact"], one["head_title"])
            async for one in found
        }

    async def told_of_overdue(self, task_ids: Collection[str]) -> Mapping[str, frozenset[Recipient]]:
        if not task_ids:
            return {}
        found: dict[str, frozenset[Recipient]] = {}
        query = {"alert.task_id": {"$in": list(task_ids)}, "alert.kind": {"$in": _OVERDUE_KINDS}}
        async for one in self._alerts.find(query):
            task_id = one["alert"]["task_id"]
            found[task_id] = found.get(task_id, frozenset()) | frozenset(_recipients(one))
        return found

    # -- alerts ----------------------------------------------------------------------------------------------------

    async def record(self, decided: Sequence[Decided]) -> None:
        if not decided:
            return
        await self._alerts.bulk_write([_insert(_alert_document(one)) for one in decided], ordered=False)
        # The stored decision counts, not ours: a redelivery finds what was decided first.
        stored = await self._stored([one.alert.alert_id for one in decided])
        now = time.time()
        deliveries = [
            _insert(_delivery_document(one, recipient, due=now + self._group_wait_seconds))
            for one in stored
            for recipient in one.recipients
        ]
        if deliveries:
            await self._deliveries.bulk_write(deliveries, ordered=False)

    async def _stored(self, alert_ids: Sequence[str]) -> list[Decided]:
        return [_decided(one) async for one in self._alerts.find({"_id": {"$in": list(alert_ids)}})]

    async def unpublished(self, alert_ids: Collection[str] | None, partitions: Collection[int]) -> Sequence[Decided]:
        query: Document = {"unpublished": True}
        if alert_ids is not None:
            query["_id"] = {"$in": list(alert_ids)}
        else:
            query["p"] = {"$in": list(partitions)}
        return [_decided(one) async for one in self._alerts.find(query).sort("alert.seq", ASCENDING).limit(_PAGE)]

    async def published(self, alert_ids: Sequence[str]) -> None:
        await self._alerts.update_many({"_id": {"$in": list(alert_ids)}}, {"$unset": {"unpublished": ""}})

    # -- deliveries ------------------------------------------------------------------------------------------------

    async def pending(self, partitions: Collection[int], *, now: float, limit: int) -> Sequence[Delivery]:
        if not partitions:
            return []
        query = {"state": "pending", "p": {"$in": list(partitions)}, "next_try": {"$lte": now}}
        found = self._deliveries.find(query).sort("next_try", ASCENDING).limit(limit)
        return [
            Delivery(
                one["_id"],
                _ALERT.validate_python(one["alert"]),
                Recipient(one["agency"], Role(one["role"])),
                one["attempts"],
            )
            async for one in found
        ]

    async def sent(self, deliveries: Sequence[Delivery], *, message_id: str, at: datetime) -> None:
        await self._close(deliveries, {"state": "sent", "message_id": message_id, "sent_at": at, "cause": ""})

    async def failed(self, deliveries: Sequence[Delivery], cause: str) -> None:
        await self._close(deliveries, {"state": "failed", "cause": cause})

    async def suppressed(self, delivery: Delivery, reason: Reason) -> None:
        await self._close([delivery], {"state": "suppressed", "cause": reason.value})

    async def postponed(self, deliveries: Sequence[Delivery], cause: str, *, until: float) -> None:
        await self._close(deliveries, {"cause": cause, "next_try": until})

    async def _close(self, deliveries: Sequence[Delivery], fields: Document) -> None:
        await self._deliveries.update_many(
            {"_id": {"$in": [one.delivery_id for one in deliveries]}, "state": "pending"},
            {"$set": fields, "$inc": {"attempts": 1}},
        )

    # -- reading ---------------------------------------------------------------------------------------------------

    async def list_alerts(self, wanted: Mapping[str, str], *, after: str | None, limit: int) -> list[Document]:
        """Alerts in order of id with their deliveries, after a cursor. Filters: agency, kind, task_id, outcome."""
        query: Document = {{"outcome": "outcome"}.get(name, f"alert.{name}"): value for name, value in wanted.items()}
        if after is not None:
            query["_id"] = {"$gt": after}
        alerts = [one async for one in self._alerts.find(query).sort("_id", ASCENDING).limit(limit)]
        found = self._deliveries.find({"alert_id": {"$in": [one["_id"] for one in alerts]}}, {"alert": 0})
        deliveries: dict[str, list[Document]] = {}
        async for one in found:
            deliveries.setdefault(one["alert_id"], []).append(one)
        return [{**one, "deliveries": deliveries.get(one["_id"], [])} for one in alerts]

    async def undelivered(self) -> int:
        """How many deliveries are still pending."""
        return int(await self._deliveries.count_documents({"state": "pending"}))


# -- documents -----------------------------------------------------------------------------------------------------


async def _newest_wins(collection: Any, rows: Sequence[tuple[str, int, Document]]) -> None:
    """Upsert each row unless a higher `seq` is stored. The insert of an upsert that finds one is a duplicate key."""
    if not rows:
        return
    writes = [
        UpdateOne({"_id": key, "seq": {"$lt": seq}}, {"$set": {"seq": seq, **fields}}, upsert=True)
        for key, seq, fields in rows
    ]
    try:
        await collection.bulk_write(writes, ordered=False)
    except BulkWriteError as error:
        if any(failure["code"] != _DUPLICATE_KEY for failure in error.details["writeErrors"]):
            raise


def _insert(document: Document) -> UpdateOne:
    """Insert if absent; what exists stays as it is."""
    key = document.pop("_id")
    return UpdateOne({"_id": key}, {"$setOnInsert": document}, upsert=True)


def _alert_document(decided: Decided) -> Document:
    return {
        "_id": decided.alert.alert_id,
        "p": decided.partition,
        "alert": _ALERT.dump_python(decided.alert, mode="json"),
        "outcome": "notify" if decided.notify else "silent",
        "reason": decided.reason.value,
        "recipients": [{"agency": one.agency, "role": one.role.value} for one in decided.recipients],
        "decided_at": decided.decided_at,
        "unpublished": True,
    }


def _decided(document: Document) -> Decided:
    return Decided(
        _ALERT.validate_python(document["alert"]),
        document["p"],
        Reason(document["reason"]),
        tuple(_recipients(document)),
        document["decided_at"],
    )


def _recipients(document: Document) -> list[Recipient]:
    return [Recipient(one["agency"], Role(one["role"])) for one in document["recipients"]]


def _delivery_document(decided: Decided, recipient: Recipient, *, due: float) -> Document:
    alert_id = decided.alert.alert_id
    return {
        "_id": f"{alert_id}:{recipient.role}:{recipient.agency}:email",
        "alert_id": alert_id,
        "p": decided.partition,
        "agency": recipient.agency,
        "role": recipient.role.value,
        "channel": "email",
        "state": "pending",
        "cause": "",
        "attempts": 0,
        "next_try": due,
        "alert": _ALERT.dump_python(decided.alert, mode="json"),
    }
