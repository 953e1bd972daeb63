"""Baseline of `notify_decide_ratio`: what notify writes of a wave of overdues, and nothing else. Prints alerts and
seconds.

The same records from the same topic, each read as plain JSON; the newest state of its task, its delivery and its alert,
field by field as ours has them, in one bulk_write each a batch; the same event told; then "told" noted on the alerts,
and the offsets committed. Majority and journaled like ours, under the same indexes, with the same client and the same
publisher. Of every overdue it is taken for granted that it is one, who hears it, and when: no contract is checked, no
rule asked, no registry, no silence, nothing read back, no repeat thought of. (`tests.bench.notify` fails unless what
both have written and told is the same.)
`python -m tests.bench.bare_notify BOOTSTRAP MONGODB_URI DATABASE ROUND INSTANT OFFSETS`: what the clock says, and where
to begin, `partition:offset,…`.
"""

import sys
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
import uvloop
from pymongo import UpdateOne

from services.notify.domain.dispatch import slot_of
from services.notify.mongo import MongoNotifyStore
from shared.contracts.topics import ALERTS, TASKS
from shared.runtime.batching import Outgoing
from shared.runtime.mongodb import connect
from shared.runtime.publishing import Publisher
from tests.bench.bare_topic import BATCH_RECORDS_MAX, offsets_of, reading

DIGEST_AFTER: Final = timedelta(hours=7, minutes=31)
"""From the instant of the wave, at half past midnight, to the digest of the morning."""


async def run(
    bootstrap: str, mongo_uri: str, name: str, number: int, now: datetime, offsets: Mapping[int, int]
) -> tuple[int, float]:
    """Work off what is in the topic from these offsets on. Returns how many alerts, and seconds."""
    client = connect(mongo_uri, app_name="bench-bare")
    database = client[name]
    await MongoNotifyStore(database).prepare()
    publisher = Publisher(bootstrap, client_id="bench-bare")
    await publisher.start()
    await publisher.partition_count(ALERTS.name)
    async with reading(bootstrap, f"bare-{name}-{number}", TASKS, offsets) as (consumer, expected):
        done = 0
        began = time.perf_counter()
        while done < expected:
            batch = await consumer.getmany(timeout_ms=200, max_records=BATCH_RECORDS_MAX)
            rows = [
                Row(orjson.loads(record.value), record.partition, now)
                for records in batch.values()
                for record in records
            ]
            if rows:
                await database["tasks"].bulk_write([one.task() for one in rows], ordered=False)
                await database["deliveries"].bulk_write([one.delivery() for one in rows], ordered=False)
                await database["alerts"].bulk_write([one.alert() for one in rows], ordered=False)
                await publisher.publish([one.event() for one in rows])
                told = {"_id": {"$in": [one.alert_id for one in rows]}}
                await database["alerts"].update_many(told, {"$unset": {"unpublished": ""}})
                await consumer.commit()
                done += len(rows)
        seconds = time.perf_counter() - began
    written = await database["alerts"].count_documents({"unpublished": {"$exists": False}})
    await publisher.stop()
    client.close()
    return written, seconds


class Row:
    """What becomes of one overdue."""

    __slots__ = ("_about", "_cause", "_now", "_partition", "_recorded_at", "_shared", "alert_id")

    def __init__(self, fact: Mapping[str, Any], partition: int, now: datetime) -> None:
        data = fact["data"]
        self._about = about = data["task"]
        self._cause = data["change"]["cause"]
        self._partition = partition
        self._now = now
        self._recorded_at = time.time()
        due = about["deadlines"][-1]
        self.alert_id = f"{about['task_id']}:{about['seq']}"
        self._shared = {
            "alert_id": self.alert_id,
            "kind": "overdue",
            "level": about["milestones"][-1]["level"],
            "province": about["province"],
            "task_id": about["task_id"],
            "seq": about["seq"],
            "directive": about["directive"],
            "clause": about["clause"],
            "agency": about["agency"],
            "reviewer": about["reviewer"],
            "title": about["title"],
            "last_day": due["legal"],
            "deadline_version": due["version"],
            "forwarded": False,
            "received_at": self._cause["received_at"],
            "superseded": False,
            "contributor": "",
            "continues": False,
            "cooperating": about["cooperating"],
        }

    def task(self) -> UpdateOne:
        """The newest of its task, unless something newer is there."""
        about, due = self._about, self._about["deadlines"][-1]
        fields = {
            "seq": about["seq"],
            "result": about["result"],
            "deadline_version": due["version"],
            "overdue_since": due["version"],
            "given_on": due["version"],
            "reminded_on": due["version"],
            "escalation": 0,
            "province": about["province"],
            "agency": about["agency"],
            "directive": about["directive"],
            "clause": about["clause"],
            "title": about["title"],
            "last_day": due["legal"],
            "standing": "overdue",
        }
        return UpdateOne({"_id": about["task_id"], "seq": {"$lt": about["seq"]}}, {"$set": fields}, upsert=True)

    def delivery(self) -> UpdateOne:
        """It waits for the digest."""
        province, agency = self._about["province"], self._about["agency"]
        document = {
            "alert_id": self.alert_id,
            "p": slot_of(province, agency, TASKS.partitions),
            "agency": agency,
            "role": "agency",
            "channel": "email",
            "lane": "digest",
            "waits": f"email|{province}/{agency}|digest",
            "not_before": self._now + DIGEST_AFTER,
            "state": "pending",
            "cause": "",
            "heard": False,
            "tried": False,
            "folded": False,
            "resent": 0,
            "recorded_at": self._recorded_at,
            "decided_at": self._now,
            "steps": [],
            "alert": self._shared,
        }
        return UpdateOne({"_id": f"{self.alert_id}:agency:{agency}:email"}, {"$setOnInsert": document}, upsert=True)

    def alert(self) -> UpdateOne:
        """Not told yet."""
        agency = self._about["agency"]
        document = {
            "p": self._partition,
            "alert": self._shared,
            "outcome": "notify",
            "reason": "due",
            "recipients": [{"agency": agency, "role": "agency"}],
            "readers": [agency],
            "steps": [
                ["inhibit", "due"],
                ["mute", "waits_for_digest"],
                ["silence", "none"],
                ["route", f"agency:{agency}"],
            ],
            "decided_at": self._now,
            "recorded_at": self._recorded_at,
            "unpublished": True,
        }
        return UpdateOne({"_id": self.alert_id}, {"$setOnInsert": document}, upsert=True)

    def event(self) -> Outgoing:
        """As ours tells it."""
        shared = self._shared
        fields = ("alert_id", "kind", "level", "province", "task_id", "seq", "directive", "clause", "agency", "title")
        event = {
            "specversion": "1.0",
            "id": self.alert_id,
            "source": "//dondoc/notify",
            "type": "dondoc.alert.decided.v1",
            "time": self._now,
            "province": shared["province"],
            "datacontenttype": "application/json",
            "subject": shared["task_id"],
            "data": {
                **{name: shared[name] for name in fields},
                "outcome": "notify",
                "reason": "due",
                "recipients": [{"agency": shared["agency"], "role": "agency"}],
                "fact_received_at": shared["received_at"],
                "decided_at": self._now,
            },
        }
        return Outgoing(ALERTS.name, shared["task_id"].encode(), orjson.dumps(event, option=orjson.OPT_UTC_Z))


if __name__ == "__main__":
    bootstrap, uri, name, number, instant, text = sys.argv[1:]
    written, seconds = uvloop.run(
        run(bootstrap, uri, name, int(number), datetime.fromisoformat(instant), offsets_of(text))
    )
    sys.stdout.write(f"{written} {seconds:.4f}\n")
