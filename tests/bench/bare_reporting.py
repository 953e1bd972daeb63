"""Baseline of `reporting_apply_ratio` and `reporting_rebuild_ratio`: getmany + one upsert a record, nothing else.

The same records from the same topic, each read as plain JSON and kept whole under the same indexes, field by field as
large as ours, majority and journaled like ours, in batches of the same size; then the commit. No contract is checked,
nothing is read back, what the passing of time will do is a constant, and nothing is counted. (`tests.bench.reporting`
fails unless its documents are as large as ours.) Prints records, the mean size of a document, and seconds.
`python -m tests.bench.bare_reporting BOOTSTRAP MONGODB_URI DATABASE OFFSETS`: where to begin, `partition:offset,…`.
"""

import sys
import time
from collections.abc import Mapping
from typing import Any, Final

import orjson
import uvloop
from pymongo import ReplaceOne

from shared.contracts.topics import TASKS
from shared.runtime.mongodb import connect
from tests.bench.bare_topic import BATCH_RECORDS_MAX, offsets_of, reading
from tests.bench.reported import prepare

STEP: Final = (1_728_867_600_000_001, b"\x01" + b"\x00" * 27)
STEPS: Final = 3
"""As many as a trace has on average, rounded up."""
RULES: Final = "1/00000000"
OVERDUE: Final = {"overdue_from": STEP[0], "overdue_until": 2**63 - 1}
LATE_FROM: Final = "2024-10-30T17:00:00.000000+00:00"


def document(content: bytes, partition: int) -> dict[str, Any]:
    """What is kept of a record."""
    task = orjson.loads(content)["data"]["task"]
    return {
        "_id": task["task_id"],
        "seq": task["seq"],
        "province": task["province"],
        "p": partition,
        "agency": task["agency"],
        "directive": task["directive"],
        "category": task["category"],
        "steps": [part for _ in range(STEPS) for part in STEP],
        "rules": RULES,
        "clause": task["clause"],
        "period": task["period"],
        "title": task["title"],
        "wording": f"{task['province']}/{task['directive']}/{task['clause']}~0123456789ab",
        "concerns": [task["agency"], task["reviewer"]],
        "result": task["result"],
        "open": task["result"] != "completed",
        "legal": task["deadlines"][-1]["legal"],
        "late_from": LATE_FROM,
        "deadline_days": [task["deadlines"][-1]["legal"]],
        **({} if task["result"] == "completed" else OVERDUE),
        # From where the task begins to where the data and the event end.
        "snapshot": content[content.index(b'"task":{') + 7 : -2].decode(),
    }


async def run(bootstrap: str, mongo_uri: str, name: str, offsets: Mapping[int, int]) -> tuple[int, float, float]:
    """Keep what is in the topic from these offsets on. Returns how many records, bytes of a document, and seconds."""
    client = connect(mongo_uri, app_name="bench-bare")
    database = client[name]
    await prepare(database)
    facts = database["task_facts"]
    async with reading(bootstrap, f"bare-{name}", TASKS, offsets) as (consumer, expected):
        done = 0
        began = time.perf_counter()
        while done < expected:
            batch = await consumer.getmany(timeout_ms=200, max_records=BATCH_RECORDS_MAX)
            found = [document(one.value, one.partition) for records in batch.values() for one in records]
            if found:
                await facts.bulk_write(
                    [ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in found], ordered=False
                )
                await consumer.commit()
                done += len(found)
        seconds = time.perf_counter() - began
    sizes = facts.aggregate([{"$group": {"_id": None, "size": {"$avg": {"$bsonSize": "$$ROOT"}}}}])
    size = (await sizes.to_list(1))[0]["size"]
    client.close()
    return done, size, seconds


if __name__ == "__main__":
    bootstrap, uri, name, text = sys.argv[1:]
    written, size, seconds = uvloop.run(run(bootstrap, uri, name, offsets_of(text)))
    sys.stdout.write(f"{written} {size:.1f} {seconds:.4f}\n")
