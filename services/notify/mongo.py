"""MongoNotifyStore: alerts, deliveries, the newest known of tasks, and where agencies are reached."""

from collections.abc import AsyncIterable, Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from pydantic import TypeAdapter
from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.errors import BulkWriteError

from services.notify.domain.alert import Alert, AlertKind, Standing, TaskState
from services.notify.domain.dedup import OVERDUE_STORY, Heard, Reach
from services.notify.domain.dispatch import Delivery, Lane
from services.notify.domain.inhibit import Reason
from services.notify.domain.pipeline import Stage, Step
from services.notify.domain.registry import AgencyRecord, Registry
from services.notify.domain.routing import Recipient, Role
from services.notify.mongo_dispatches import MongoDispatches, appended, pushed, silence_key
from services.notify.ports import AlertWithDeliveries, Counts, Decided, DeliveryState, Wanted
from shared.runtime.mongodb import Database, Document, make_indexes

_ALERT = TypeAdapter(Alert)
_DUPLICATE_KEY = 11000
LEFTOVERS_PAGE = 1_000
PURGE_PAGE = 1_000
LISTED = ("province", "agency", "kind", "task_id", "directive")


class MongoNotifyStore(MongoDispatches):
    """Implements ports.NotifyStore on one MongoDB database."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._alerts = database["alerts"]
        self._tasks = database["tasks"]
        self._contacts = database["contacts"]

    async def prepare(self) -> None:
        """Create the indexes that the queries below rest on. Safe to repeat."""
        await self._prepare_dispatches()
        await make_indexes(
            self._alerts,
            [
                IndexModel([("p", ASCENDING)], partialFilterExpression={"unpublished": True}, name="unpublished"),
                # Not `by_task`: an earlier build has an index of that name on the task alone.
                IndexModel([("alert.task_id", ASCENDING), ("_id", ASCENDING)], name="by_task_in_order"),
                IndexModel([("alert.province", ASCENDING), ("_id", ASCENDING)], name="by_province"),
                IndexModel([("alert.agency", ASCENDING), ("_id", ASCENDING)], name="by_agency"),
                IndexModel([("alert.directive", ASCENDING), ("_id", ASCENDING)], name="by_directive"),
                IndexModel([("alert.kind", ASCENDING), ("_id", ASCENDING)], name="by_kind"),
                IndexModel([("outcome", ASCENDING), ("_id", ASCENDING)], name="by_outcome"),
                IndexModel([("decided_at", ASCENDING)], name="by_age"),
                IndexModel(
                    [("alert.province", ASCENDING), ("readers", ASCENDING), ("_id", ASCENDING)], name="by_reader"
                ),
            ],
        )
        waiting = {"waits": {"$exists": True}}
        await make_indexes(
            self._deliveries,
            [
                IndexModel(
                    [("p", ASCENDING), ("not_before", ASCENDING), ("waits", ASCENDING)],
                    partialFilterExpression=waiting,
                    name="waiting",
                ),
                IndexModel(
                    [("waits", ASCENDING), ("not_before", ASCENDING)],
                    partialFilterExpression=waiting,
                    # Nor `waiting_together`.
                    name="together",
                ),
                IndexModel([("message_id", ASCENDING)], sparse=True, name="by_message"),
                IndexModel(
                    [("p", ASCENDING), ("attached_at", ASCENDING)],
                    partialFilterExpression={"attached_at": {"$exists": True}},
                    name="attached",
                ),
                IndexModel([("silence", ASCENDING)], sparse=True, name="by_silence"),
                IndexModel([("alert_id", ASCENDING)], name="by_alert"),
                IndexModel([("alert.task_id", ASCENDING)], name="by_task"),
            ],
        )
        await make_indexes(
            self._tasks,
            [
                IndexModel(
                    [("province", ASCENDING), ("agency", ASCENDING), ("result", ASCENDING), ("standing", ASCENDING)],
                    name="by_agency",
                )
            ],
        )
        await make_indexes(
            self._contacts,
            [
                IndexModel([("province", ASCENDING)], name="by_province"),
                IndexModel([("valid_to", ASCENDING)], name="by_end"),
            ],
        )

    # -- what is known ---------------------------------------------------------------------------------------------

    async def learn_tasks(self, states: Mapping[str, TaskState]) -> None:
        await _newest_wins(self._tasks, [(task_id, one.seq, _task_document(one)) for task_id, one in states.items()])

    async def tasks(self, ids: Collection[str]) -> Mapping[str, TaskState]:
        if not ids:
            return {}
        return {one["_id"]: _task(one) async for one in self._tasks.find({"_id": {"$in": list(ids)}})}

    async def standing(self, province: str, agency: str) -> Sequence[TaskState]:
        query = {"province": province, "agency": agency, "standing": {"$in": [one.value for one in Standing]}}
        # By result as well: the index begins with it.
        found = self._tasks.find({**query, "result": {"$in": ["assigned", "in_progress"]}})
        return [_task(one) async for one in found]

    async def counts(self, province: str, agency: str) -> Counts:
        query = {"province": province, "agency": agency, "result": {"$nin": ["transferred", "discontinued"]}}
        group = {"_id": {"result": "$result", "standing": "$standing"}, "n": {"$sum": 1}}
        rows = [one async for one in self._tasks.aggregate([{"$match": query}, {"$group": group}])]

        def count(field: str, value: str) -> int:
            return sum(one["n"] for one in rows if one["_id"].get(field) == value)

        return Counts(
            sum(one["n"] for one in rows),
            count("result", "completed"),
            count("result", "submitted"),
            count("standing", Standing.OVERDUE.value),
            count("standing", Standing.DUE_SOON.value),
        )

    async def learn_agencies(self, records: Sequence[AgencyRecord]) -> None:
        newest = {f"{one.province}/{one.code}": one for one in sorted(records, key=lambda one: one.seq)}
        await _newest_wins(self._contacts, [(key, one.seq, _agency_document(one)) for key, one in newest.items()])

    async def registry(self, province: str) -> Registry:
        return Registry([_agency(one) async for one in self._contacts.find({"province": province})])

    async def provinces(self) -> Sequence[str]:
        return sorted(await self._contacts.distinct("province"))

    async def overdue_stories(self, task_ids: Collection[str]) -> Mapping[str, Sequence[Heard]]:
        if not task_ids:
            return {}
        kinds = [kind.value for kind in OVERDUE_STORY]
        query = {"alert.task_id": {"$in": list(task_ids)}, "alert.kind": {"$in": kinds}}
        deliveries = [one async for one in self._deliveries.find(query)]
        stories: dict[str, list[Heard]] = {}
        for one in deliveries:
            alert = _ALERT.validate_python(one["alert"])
            heard = Heard(alert.kind, alert.seq, _recipient(one), _reach(one))
            stories.setdefault(alert.task_id, []).append(heard)
        async for one in self._lists.find({"task_id": {"$in": list(task_ids)}}):
            heard = Heard(AlertKind.OVERDUE, one["seq"], _recipient(one), Reach.TOLD)
            stories.setdefault(one["task_id"], []).append(heard)
        return stories

    # -- alerts ----------------------------------------------------------------------------------------------------

    async def record(self, decided: Sequence[Decided], wanted: Sequence[Wanted], *, now: float) -> Sequence[Decided]:
        if not decided:
            return ()
        if wanted:
            await self._deliveries.bulk_write([_insert(_wanted_document(one)) for one in wanted], ordered=False)
        writes = [_insert(_alert_document(one, recorded_at=now)) for one in decided]
        outcome = await self._alerts.bulk_write(writes, ordered=False)
        return [decided[index] for index in outcome.upserted_ids or {}]

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

    # -- deliveries that wait --------------------------------------------------------------------------------------

    async def waiting(self, slots: Collection[int], *, now: datetime) -> Sequence[str]:
        query = {"waits": {"$exists": True}, "p": {"$in": list(slots)}, "not_before": {"$lte": now}}
        return sorted(await self._deliveries.distinct("waits", query))

    async def together(self, waits: str, *, now: datetime, limit: int) -> Sequence[Delivery]:
        found = self._deliveries.find({"waits": waits, "not_before": {"$lte": now}})
        return [_delivery(one) async for one in found.sort("not_before", ASCENDING).limit(limit)]

    async def waiting_of(self, task_ids: Collection[str]) -> Sequence[Delivery]:
        found = self._deliveries.find({"alert.task_id": {"$in": list(task_ids)}, "waits": {"$exists": True}})
        return [_delivery(one) async for one in found]

    async def hold(self, deliveries: Sequence[Delivery], step: Step, *, until: datetime, silence_id: str = "") -> None:
        fields: Document = {"not_before": until}
        if silence_id:
            fields["silence"] = silence_key(deliveries[0].alert.province, silence_id)
        await self._change(deliveries, {"$set": fields, "$push": pushed(step)})

    async def suppress(self, deliveries: Sequence[Delivery], step: Step) -> None:
        fields = {"state": "suppressed", "cause": step.reason}
        await self._end_deliveries(deliveries, {"$set": fields, "$push": pushed(step)})

    async def fail(self, deliveries: Sequence[Delivery], step: Step) -> None:
        fields = {"state": "failed", "cause": step.reason}
        await self._end_deliveries(deliveries, {"$set": fields, "$push": pushed(step)})

    async def move(self, deliveries: Sequence[Delivery], step: Step, *, not_before: datetime) -> None:
        places: dict[tuple[Lane, str, int, bool], list[Delivery]] = {}
        for one in deliveries:
            places.setdefault((one.lane, one.waits, one.slot, one.is_folded), []).append(one)
        for (lane, waits, slot, is_folded), some in places.items():
            fields = {"lane": lane.value, "waits": waits, "p": slot, "folded": is_folded, "not_before": not_before}
            await self._change(some, {"$set": fields, "$push": pushed(step)})

    async def deliveries_of(self, dispatch_id: str) -> Sequence[Delivery]:
        found = self._deliveries.find({"message_id": dispatch_id, "state": "pending"})
        return [_delivery(one) async for one in found.sort("_id", ASCENDING)]

    async def _change(self, deliveries: Sequence[Delivery], change: Document) -> None:
        ids = [one.delivery_id for one in deliveries]
        await self._deliveries.update_many({"_id": {"$in": ids}, "waits": {"$exists": True}}, change)

    async def _end_deliveries(self, deliveries: Sequence[Delivery], change: Document) -> None:
        ids = [one.delivery_id for one in deliveries]
        change["$unset"] = {"waits": "", "attached_at": ""}
        await self._deliveries.update_many({"_id": {"$in": ids}, "state": "pending"}, change)

    # -- reading ---------------------------------------------------------------------------------------------------

    async def find_alert(self, alert_id: str) -> AlertWithDeliveries | None:
        found = await self._with_deliveries(await _read(self._alerts.find({"_id": alert_id})))
        return found[0] if found else None

    async def list_alerts(
        self, wanted: Mapping[str, str], *, after: str | None, limit: int, reader: str | None = None
    ) -> Sequence[AlertWithDeliveries]:
        query: Document = {name if name == "outcome" else f"alert.{name}": value for name, value in wanted.items()}
        if reader is not None:
            query["readers"] = reader
        if after is not None:
            query["_id"] = {"$gt": after}
        return await self._with_deliveries(await _read(self._alerts.find(query).sort("_id", ASCENDING).limit(limit)))

    async def _with_deliveries(self, alerts: Sequence[Decided]) -> list[AlertWithDeliveries]:
        ids = [one.alert.alert_id for one in alerts]
        documents = [one async for one in self._deliveries.find({"alert_id": {"$in": ids}}).sort("_id", ASCENDING)]
        messages = sorted({one["message_id"] for one in documents if one.get("message_id")})
        tried = {
            one["_id"]: one
            async for one in self._dispatches.find({"_id": {"$in": messages}}, {"attempts": 1, "cause": 1})
        }
        deliveries: dict[str, list[DeliveryState]] = {}
        for one in documents:
            state = _delivery_state(one, tried.get(one.get("message_id", ""), {}))
            deliveries.setdefault(one["alert_id"], []).append(state)
        return [AlertWithDeliveries(one, tuple(deliveries.get(one.alert.alert_id, ()))) for one in alerts]

    # -- what officers and the years ask for -----------------------------------------------------------------------

    async def resend(self, deliveries: Sequence[Delivery], step: Step, *, at: datetime) -> int:
        count = 0
        for one in deliveries:
            fields = {
                "state": "pending",
                "cause": "",
                "lane": Lane.RESEND.value,
                "waits": {"$literal": one.waits},
                "p": one.slot,
                "resent": one.resent,
                "not_before": at,
                # Should its overdue be taken back, whoever heard of it must hear that.
                "heard": {"$or": ["$heard", "$tried"]},
                "tried": False,
                "steps": appended(step),
            }
            outcome = await self._deliveries.update_one(
                {"_id": one.delivery_id, "state": {"$in": ["sent", "failed"]}},
                [{"$set": fields}, {"$unset": "message_id"}],
            )
            count += outcome.modified_count
        return count

    async def deliveries_about(self, alert_id: str) -> Sequence[Delivery]:
        found = self._deliveries.find({"alert_id": alert_id, "state": {"$in": ["sent", "failed"]}})
        return [_delivery(one) async for one in found.sort("_id", ASCENDING)]

    async def purge(self, *, older_than: datetime, agencies_ended_before: date) -> Mapping[str, int]:
        alerts = deliveries = 0
        while ids := [
            one["_id"]
            async for one in self._alerts.find({"decided_at": {"$lt": older_than}}, {"_id": 1}).limit(PURGE_PAGE)
        ]:
            ended = {"alert_id": {"$in": ids}, "state": {"$ne": "pending"}}
            deliveries += (await self._deliveries.delete_many(ended)).deleted_count
            alerts += (await self._alerts.delete_many({"_id": {"$in": ids}})).deleted_count
        dispatches = await self._dispatches.delete_many(
            {"formed_on": {"$lt": older_than}, "state": {"$in": ["sent", "failed", "empty"]}}
        )
        personal = ("contact", "head_contact", "head_title")
        contacts = await self._contacts.update_many(
            {
                "valid_to": {"$lt": agencies_ended_before.isoformat()},
                "$or": [{name: {"$ne": None}} for name in personal],
            },
            {"$set": dict.fromkeys(personal)},
        )
        await self._silences.delete_many({"ends_at": {"$lt": older_than}})
        await self._lists.delete_many({"at": {"$lt": older_than}})
        return {
            "alerts": alerts,
            "deliveries": deliveries,
            "messages": dispatches.deleted_count,
            "contacts": contacts.modified_count,
        }


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


def _insert(document: Document) -> UpdateOne:
    """Insert if absent; what exists stays as it is. On `_id` alone, the server itself repeats a lost race."""
    key = document.pop("_id")
    return UpdateOne({"_id": key}, {"$setOnInsert": document}, upsert=True)


def _task_document(one: TaskState) -> Document:
    fields = asdict(one)
    del fields["seq"], fields["task_id"]
    fields["last_day"] = one.last_day.isoformat() if one.last_day else None
    fields["standing"] = one.standing.value if one.standing else None
    return fields


def _task(document: Mapping[str, Any]) -> TaskState:
    return TaskState(
        seq=document["seq"],
        result=document["result"],
        deadline_version=document["deadline_version"],
        overdue_since=document["overdue_since"],
        given_on=document["given_on"],
        reminded_on=document["reminded_on"],
        escalation=document["escalation"],
        task_id=document["_id"],
        province=document["province"],
        agency=document["agency"],
        directive=document["directive"],
        clause=document["clause"],
        title=document["title"],
        last_day=date.fromisoformat(document["last_day"]) if document["last_day"] else None,
    )


def _agency_document(one: AgencyRecord) -> Document:
    fields = asdict(one)
    del fields["seq"]
    fields["valid_to"] = one.valid_to.isoformat() if one.valid_to else None
    fields["successors"] = list(one.successors)
    return fields


def _agency(document: Mapping[str, Any]) -> AgencyRecord:
    return AgencyRecord(
        document["province"],
        document["code"],
        document["seq"],
        document["name"],
        document["role"],
        date.fromisoformat(document["valid_to"]) if document["valid_to"] else None,
        document["contact"],
        document["head_contact"],
        document["head_title"],
        tuple(document["successors"]),
    )


def _alert_document(decided: Decided, *, recorded_at: float) -> Document:
    return {
        "_id": decided.alert.alert_id,
        "p": decided.partition,
        "alert": _ALERT.dump_python(decided.alert, mode="json"),
        "outcome": "notify" if decided.notify else "silent",
        "reason": decided.reason.value,
        "recipients": [{"agency": one.agency, "role": one.role.value} for one in decided.recipients],
        "readers": sorted(decided.readers),
        "steps": [[one.stage.value, one.reason] for one in decided.steps],
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
            _steps(one),
        )
        async for one in found
    ]


def _steps(document: Mapping[str, Any]) -> tuple[Step, ...]:
    return tuple(Step(Stage(stage), reason) for stage, reason in document["steps"])


def _recipient(document: Mapping[str, Any]) -> Recipient:
    return Recipient(document["agency"], Role(document["role"]))


def _wanted_document(wanted: Wanted) -> Document:
    one = wanted.delivery
    document = {
        "_id": one.delivery_id,
        "alert_id": one.alert.alert_id,
        "p": one.slot,
        "agency": one.recipient.agency,
        "role": one.recipient.role.value,
        "channel": one.channel,
        "lane": one.lane.value,
        "waits": one.waits,
        "not_before": wanted.not_before,
        "state": "pending",
        "cause": "",
        "heard": False,
        "tried": False,
        "folded": one.is_folded,
        "resent": 0,
        "recorded_at": one.recorded_at,
        "decided_at": wanted.decided_at,
        "steps": [],
        "alert": _ALERT.dump_python(one.alert, mode="json"),
    }
    if wanted.silence_id:
        document["silence"] = silence_key(one.alert.province, wanted.silence_id)
    return document


def _delivery(document: Mapping[str, Any]) -> Delivery:
    return Delivery(
        document["_id"],
        _ALERT.validate_python(document["alert"]),
        _recipient(document),
        document["channel"],
        document["p"],
        document["recorded_at"],
        Lane(document["lane"]),
        document.get("waits", ""),
        document["folded"],
        document["resent"],
        document["tried"],
    )


def _reach(document: Mapping[str, Any]) -> Reach:
    if document["heard"] or document["tried"] or document["state"] == "sent":
        return Reach.TOLD
    return Reach.PENDING if document["state"] == "pending" else Reach.NOT_TOLD


def _delivery_state(document: Mapping[str, Any], message: Mapping[str, Any]) -> DeliveryState:
    return DeliveryState(
        document["_id"],
        document["agency"],
        document["role"],
        document["channel"],
        document["state"],
        document["cause"] or message.get("cause", ""),
        message.get("attempts", 0),
        document["not_before"],
        document.get("sent_at"),
        document.get("message_id"),
        _steps(document),
    )
