"""The outgoing half of MongoNotifyStore: messages, who cannot be reached, silences.

A message's state: `forming` → `open` → `sent`, `failed` or `empty`. Each step is one document; what belongs to it and
could be cut off by a crash (`settling`, `forming`) is marked first and finished by whoever owns the slot.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.errors import DuplicateKeyError

from services.notify.domain.digest import Unreachable
from services.notify.domain.dispatch import DIGEST, SUMMARY, Delivery, Desk, Dispatch, Lane
from services.notify.domain.pipeline import Stage, Step
from services.notify.domain.routing import Recipient, Role
from services.notify.domain.silences import Silence
from shared.runtime.mongodb import Database, Document, make_indexes

STRAYS_PAGE = 500
STEPS_KEPT = 20
"""Of one delivery; the last ones."""


class MongoDispatches:
    """Half of ports.NotifyStore."""

    def __init__(self, database: Database) -> None:
        self._deliveries = database["deliveries"]
        self._dispatches = database["dispatches"]
        self._addresses = database["disabled_addresses"]
        self._unreachable = database["unreachable"]
        self._silences = database["silences"]
        self._lists = database["heard_in_lists"]

    async def _prepare_dispatches(self) -> None:
        await make_indexes(
            self._dispatches,
            [
                IndexModel(
                    [("p", ASCENDING), ("channel", ASCENDING), ("next_try", ASCENDING)],
                    partialFilterExpression={"state": "open"},
                    name="due",
                ),
                IndexModel(
                    [("p", ASCENDING), ("formed_at", ASCENDING)],
                    partialFilterExpression={"state": "forming"},
                    name="forming",
                ),
                IndexModel(
                    [("p", ASCENDING)], partialFilterExpression={"settling": {"$exists": True}}, name="settling"
                ),
                IndexModel([("desk", ASCENDING), ("channel", ASCENDING), ("formed_on", DESCENDING)], name="by_desk"),
                IndexModel([("formed_on", ASCENDING)], name="by_age"),
            ],
        )
        await make_indexes(self._unreachable, [IndexModel([("province", ASCENDING)], name="by_province")])
        await make_indexes(
            self._lists,
            [IndexModel([("task_id", ASCENDING)], name="by_task"), IndexModel([("at", ASCENDING)], name="by_age")],
        )
        await make_indexes(
            self._silences,
            [
                IndexModel([("province", ASCENDING), ("starts_at", DESCENDING)], name="by_province"),
                IndexModel([("ends_at", ASCENDING)], name="by_end"),
            ],
        )

    # -- forming ---------------------------------------------------------------------------------------------------

    async def open(self, dispatch: Dispatch) -> bool:
        try:
            await self._dispatches.insert_one(_dispatch_document(dispatch))
        except DuplicateKeyError:
            found = await self._dispatches.find_one({"_id": dispatch.dispatch_id}, {"state": 1})
            return found is not None and found["state"] == "forming"
        return True

    async def was_empty(self, dispatch_id: str) -> bool:
        return await self._dispatches.count_documents({"_id": dispatch_id, "state": "empty"}, limit=1) > 0

    async def attach(self, dispatch: Dispatch, deliveries: Sequence[Delivery], step: Step, *, now: float) -> None:
        # `waits` is what the indexes of waiting deliveries rest on; the name is kept for a release.
        move = {"waited": "$waits", "message_id": dispatch.dispatch_id, "attached_at": now}
        await self._deliveries.update_many(
            {"_id": {"$in": _ids(deliveries)}, "waits": {"$exists": True}},
            [{"$set": {**move, "steps": appended(step)}}, {"$unset": "waits"}],
        )

    async def ready(self, dispatch: Dispatch) -> bool:
        key = {"_id": dispatch.dispatch_id}
        await self._dispatches.update_one({**key, "state": "forming"}, {"$set": {"state": "open"}})
        return await self._dispatches.count_documents({**key, "state": "open"}, limit=1) > 0

    async def release(self, dispatch_id: str) -> int:
        untried = {"message_id": dispatch_id, "state": "pending", "tried": False}
        outcome = await self._deliveries.update_many(
            untried, [{"$set": {"waits": "$waited"}}, {"$unset": ["waited", "message_id", "attached_at"]}]
        )
        return outcome.modified_count

    async def stranded(self, slots: Collection[int], *, attached_before: float, limit: int) -> Sequence[str]:
        query = {"p": {"$in": list(slots)}, "attached_at": {"$lt": attached_before}}
        rows = self._deliveries.find(query, {"message_id": 1}).sort("attached_at", ASCENDING).limit(limit)
        ids = sorted({one["message_id"] async for one in rows})
        ended = {"_id": {"$in": ids}, "state": {"$in": ["sent", "failed", "empty"]}}
        return [one["_id"] async for one in self._dispatches.find(ended, {"_id": 1})]

    async def drop(self, dispatch: Dispatch) -> None:
        await self._dispatches.delete_one({"_id": dispatch.dispatch_id, "state": "forming"})

    async def without_channel(self, slots: Collection[int], channels: Collection[str]) -> Sequence[Dispatch]:
        query = {"state": "open", "p": {"$in": list(slots)}, "channel": {"$nin": list(channels)}}
        return [_dispatch(one) async for one in self._dispatches.find(query).limit(STRAYS_PAGE)]

    async def unready(self, slots: Collection[int], *, formed_before: float) -> Sequence[Dispatch]:
        query = {"state": "forming", "p": {"$in": list(slots)}, "formed_at": {"$lt": formed_before}}
        return [_dispatch(one) async for one in self._dispatches.find(query)]

    async def formed_since(self, desk: Desk, channel: str, since: datetime) -> int:
        return await self._dispatches.count_documents(
            {
                "desk": desk.key,
                "channel": channel,
                "formed_on": {"$gt": since},
                "kind": {"$nin": [DIGEST, SUMMARY]},
            }
        )

    async def listed_before(self, desk: Desk, channel: str, day: date) -> Mapping[str, str]:
        query = {
            "desk": desk.key,
            "channel": channel,
            "kind": DIGEST,
            "day": {"$lt": day.isoformat()},
            "listed": {"$exists": True},
        }
        found = await self._dispatches.find_one(query, {"listed": 1}, sort=[("formed_on", DESCENDING)])
        return dict(found["listed"]) if found is not None else {}

    # -- sending ---------------------------------------------------------------------------------------------------

    async def due(
        self, slots: Collection[int], channel: str, *, now: float, at: datetime, busy: Collection[str], limit: int
    ) -> Sequence[Dispatch]:
        query = {
            "state": "open",
            "channel": channel,
            "p": {"$in": list(slots)},
            "next_try": {"$lte": now},
            "not_before": {"$lte": at},
            "desk": {"$nin": list(busy)},
        }
        oldest_first = {"$sort": {"next_try": ASCENDING, "_id": ASCENDING}}
        of_each_desk = {"$group": {"_id": "$desk", "one": {"$first": "$$ROOT"}}}
        found = self._dispatches.aggregate(
            [
                {"$match": query},
                oldest_first,
                of_each_desk,
                {"$replaceRoot": {"newRoot": "$one"}},
                oldest_first,
                {"$limit": limit},
            ]
        )
        return [_dispatch(one) async for one in found]

    async def claim(self, dispatch: Dispatch, *, until: float) -> Dispatch | None:
        # Another replica may still believe that the slot is its own; `attempts` decides who was first.
        found = await self._dispatches.find_one_and_update(
            {"_id": dispatch.dispatch_id, "state": "open", "attempts": dispatch.attempts},
            {"$set": {"next_try": until}, "$inc": {"attempts": 1}},
            return_document=True,
        )
        return _dispatch(found) if found is not None else None

    async def sent(self, dispatch: Dispatch, *, at: datetime, listed: Mapping[str, str] | None = None) -> None:
        fields: Document = {"sent_at": at, "cause": ""}
        if listed is not None:
            fields["listed"] = dict(listed)
        await self._end(dispatch, "sent", fields)

    async def failed(self, dispatch: Dispatch, cause: str, *, at: datetime, was_refused: bool = False) -> None:
        never_told = was_refused and dispatch.attempts == 1
        await self._end(dispatch, "failed", {"cause": cause, "failed_at": at, "never_told": never_told})

    async def empty(self, dispatch: Dispatch) -> None:
        await self._end(dispatch, "empty", {})

    async def _end(self, dispatch: Dispatch, state: str, fields: Document) -> None:
        mine: Document = {"_id": dispatch.dispatch_id, "state": "open"}
        if state != "sent":
            # Whoever was taken over by another has the last word only where the message has arrived.
            mine["attempts"] = dispatch.attempts
        found = await self._dispatches.find_one_and_update(
            mine,
            {"$set": {"state": state, "settling": True, **fields}},
            return_document=True,
        )
        if found is not None:
            await self._settle(found)

    async def _settle(self, document: Document) -> None:
        """Bring the deliveries of an ended message to its end. What came in too late for it waits again."""
        mine: Document = {"message_id": document["_id"], "state": "pending"}
        match document["state"]:
            case "sent":
                sent = {"state": "sent", "sent_at": document["sent_at"], "cause": ""}
                await self._deliveries.update_many(
                    {**mine, "tried": True}, {"$set": sent, "$push": pushed(Step(Stage.SEND, "sent"))}
                )
            case "failed":
                failed: Document = {"state": "failed", "cause": document["cause"]}
                if document["never_told"]:
                    failed["tried"] = False
                step = pushed(Step(Stage.SEND, document["cause"]))
                await self._deliveries.update_many(mine, {"$set": failed, "$unset": {"attached_at": ""}, "$push": step})
        await self.release(document["_id"])
        await self._dispatches.update_one({"_id": document["_id"]}, {"$unset": {"settling": ""}})

    async def unsettled(self, slots: Collection[int]) -> int:
        found = self._dispatches.find({"settling": {"$exists": True}, "p": {"$in": list(slots)}})
        count = 0
        async for one in found:
            await self._settle(one)
            count += 1
        return count

    async def tried(self, dispatch: Dispatch, deliveries: Sequence[Delivery]) -> None:
        # The message first: what it has not told, nobody has heard.
        await self._dispatches.update_one({"_id": dispatch.dispatch_id}, {"$set": {"tried": True}})
        await self._deliveries.update_many(
            {"_id": {"$in": _ids(deliveries)}}, {"$set": {"tried": True}, "$unset": {"attached_at": ""}}
        )

    async def put_back(
        self, deliveries: Sequence[Delivery], step: Step, *, until: datetime, silence_id: str = ""
    ) -> None:
        fields: Document = {"waits": "$waited", "not_before": until, "steps": appended(step)}
        if silence_id:
            fields["silence"] = {"$literal": silence_key(deliveries[0].alert.province, silence_id)}
        await self._deliveries.update_many(
            {"_id": {"$in": _ids(deliveries)}, "state": "pending", "tried": False, "waited": {"$exists": True}},
            [{"$set": fields}, {"$unset": ["waited", "message_id", "attached_at"]}],
        )

    async def heard(self, tasks: Mapping[str, int], recipient: Recipient, *, at: datetime) -> None:
        if not tasks:
            return
        who = {"agency": recipient.agency, "role": recipient.role.value}
        await self._lists.bulk_write(
            [
                UpdateOne(
                    {"_id": f"{task_id}|{recipient.role.value}|{recipient.agency}"},
                    {"$set": {"task_id": task_id, "seq": seq, "at": at, **who}},
                    upsert=True,
                )
                for task_id, seq in tasks.items()
            ],
            ordered=False,
        )

    async def postponed(
        self, dispatch: Dispatch, cause: str, *, until: float, not_before: datetime | None = None
    ) -> None:
        fields: Document = {"cause": cause, "next_try": until}
        if not_before is not None:
            fields["not_before"] = not_before
        mine = {"_id": dispatch.dispatch_id, "state": "open", "attempts": dispatch.attempts}
        await self._dispatches.update_one(mine, {"$set": fields})

    async def pending_count(self, slots: Collection[int]) -> int:
        return await self._dispatches.count_documents({"state": "open", "p": {"$in": list(slots)}})

    # -- who cannot be reached ---------------------------------------------------------------------------------------

    async def disable(self, channel: str, address: str, cause: str, *, at: datetime) -> None:
        await self._addresses.update_one(
            {"_id": _address_key(channel, address)}, {"$setOnInsert": {"cause": cause, "at": at}}, upsert=True
        )

    async def disabled(self, channel: str, address: str) -> str | None:
        found = await self._addresses.find_one({"_id": _address_key(channel, address)})
        return str(found["cause"]) if found is not None else None

    async def note_unreachable(self, desk: Desk, role: str, channel: str, cause: str, *, at: datetime) -> None:
        key = {"_id": f"{desk.key}|{role}|{channel}"}
        fields = {
            "province": desk.province,
            "agency": desk.agency,
            "role": role,
            "channel": channel,
            # What the other side says may begin like the name of a field.
            "cause": {"$literal": cause},
            "news": {"$ifNull": ["$news", at]},
            "messages": {"$add": [{"$ifNull": ["$messages", 0]}, 1]},
        }
        await self._unreachable.update_one(key, [{"$set": fields}], upsert=True)

    async def reached(self, desk: Desk, channel: str) -> None:
        ids = [f"{desk.key}|{role.value}|{channel}" for role in Role]
        await self._unreachable.delete_many({"_id": {"$in": ids}})

    async def unreachable(self, province: str) -> tuple[Sequence[Unreachable], datetime | None]:
        found = [one async for one in self._unreachable.find({"province": province}).sort("_id", ASCENDING)]
        rows = [Unreachable(one["agency"], one["role"], one["channel"], one["cause"], one["messages"]) for one in found]
        return rows, min((one["news"] for one in found if one["news"] is not None), default=None)

    async def told_unreachable(self, province: str, *, up_to: datetime) -> None:
        await self._unreachable.update_many({"province": province, "news": {"$lte": up_to}}, {"$set": {"news": None}})

    # -- silences --------------------------------------------------------------------------------------------------

    async def add_silence(self, silence: Silence) -> Silence:
        document = {**_silence_document(silence)}
        key = document.pop("_id")
        found = await self._silences.find_one_and_update(
            {"_id": key}, {"$setOnInsert": document}, upsert=True, return_document=True
        )
        return _silence(found)

    async def silences(self, province: str, *, active_at: datetime | None = None) -> Sequence[Silence]:
        query: Document = {"province": province}
        if active_at is not None:
            query |= {"starts_at": {"$lte": active_at}, "ends_at": {"$gt": active_at}}
        found = self._silences.find(query).sort([("starts_at", DESCENDING), ("_id", ASCENDING)])
        return [_silence(one) async for one in found]

    async def end_silence(self, province: str, silence_id: str, *, at: datetime, digest: datetime) -> Silence | None:
        key = silence_key(province, silence_id)
        await self._silences.update_one({"_id": key, "ends_at": {"$gt": at}}, {"$set": {"ends_at": at}})
        found = await self._silences.find_one({"_id": key})
        if found is None:
            return None
        held = {"silence": key, "waits": {"$exists": True}}
        for lane, until in ((Lane.DIGEST, digest), (Lane.OWN, at)):
            await self._deliveries.update_many(
                {**held, "lane": lane.value, "not_before": {"$gt": until}},
                {"$set": {"not_before": until}, "$unset": {"silence": ""}},
            )
        return _silence(found)


def silence_key(province: str, silence_id: str) -> str:
    """Officers choose the ids of silences, each province its own."""
    return f"{province}/{silence_id}"


def pushed(step: Step) -> Document:
    """`$push` of a step."""
    return {"steps": {"$each": [[step.stage.value, step.reason]], "$slice": -STEPS_KEPT}}


def appended(step: Step) -> Document:
    """The same in an update by pipeline."""
    added = {"$literal": [[step.stage.value, step.reason]]}
    return {"$slice": [{"$concatArrays": ["$steps", added]}, -STEPS_KEPT]}


def _ids(deliveries: Sequence[Delivery]) -> list[str]:
    return [one.delivery_id for one in deliveries]


def _address_key(channel: str, address: str) -> str:
    """Addresses are personal data, or secret: only a hash of one is kept here."""
    return f"{channel}:{hashlib.sha256(address.encode()).hexdigest()}"


def _dispatch_document(one: Dispatch) -> Document:
    return {
        "_id": one.dispatch_id,
        "p": one.slot,
        "desk": one.desk.key,
        "province": one.desk.province,
        "agency": one.desk.agency,
        "head": one.desk.is_head,
        "role": one.role.value,
        "channel": one.channel,
        "kind": one.kind,
        "level": one.level,
        "day": one.day.isoformat() if one.day else None,
        "month": one.month,
        "passes": one.passes,
        "formed_at": one.formed_at,
        "formed_on": one.formed_on,
        "not_before": one.formed_on,
        "next_try": one.formed_at,
        "attempts": 0,
        "tried": False,
        "state": "forming",
        "cause": "",
    }


def _dispatch(document: Mapping[str, Any]) -> Dispatch:
    return Dispatch(
        document["_id"],
        Desk(document["province"], document["agency"], document["head"]),
        Role(document["role"]),
        document["channel"],
        document["kind"],
        document["p"],
        document["formed_at"],
        document["level"],
        date.fromisoformat(document["day"]) if document["day"] else None,
        document["month"],
        document["formed_on"],
        document["passes"],
        document["attempts"],
        document["tried"],
    )


def _silence_document(one: Silence) -> Document:
    return {
        "_id": silence_key(one.province, one.silence_id),
        "province": one.province,
        "silence_id": one.silence_id,
        "agency": one.agency,
        "directive": one.directive,
        "task_id": one.task_id,
        "reason": one.reason,
        "by": one.by,
        "starts_at": one.starts_at,
        "ends_at": one.ends_at,
    }


def _silence(document: Mapping[str, Any]) -> Silence:
    return Silence(
        document["silence_id"],
        document["province"],
        document["agency"],
        document["directive"],
        document["task_id"],
        document["reason"],
        document["by"],
        document["starts_at"],
        document["ends_at"],
    )
