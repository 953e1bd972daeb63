"""Baseline of `tasks_apply_ratio`: getmany + one bulk_write a batch, nothing else. Prints events and seconds.

One update per event, majority and journaled like ours, of a document that is there and as large as ours; then the
commit. No ledger, no fence, no rules, no facts.
`python -m tests.bench.bare_apply BOOTSTRAP MONGODB_URI COLLECTION ROUND OFFSETS`: where to begin, `partition:offset,…`.
"""

import sys
import time
from typing import Final

import pydantic_core
import uvloop
from pymongo import UpdateOne

from shared.contracts.topics import SUBMISSIONS
from shared.runtime.mongodb import connect
from tests.bench import lives
from tests.bench.bare_topic import BATCH_RECORDS_MAX, offsets_of, reading

STATE: Final = "x" * 1_590
"""With the id before it, which makes every write a real one: as much text as a state takes after an average event."""


async def run(
    bootstrap: str, mongo_uri: str, collection: str, number: int, offsets: dict[int, int]
) -> tuple[float, int]:
    """Apply what is in the topic from these offsets on. Returns seconds and events."""
    client = connect(mongo_uri, app_name="bench-bare")
    tasks = client["bench_bare"][collection]
    await tasks.insert_many([{"_id": one, "state": STATE, "history": []} for one in lives.task_ids(number)])
    async with reading(bootstrap, f"bare-{collection}-{number}", SUBMISSIONS, offsets) as (consumer, expected):
        applied = matched = 0
        began = time.perf_counter()
        while applied < expected:
            batch = await consumer.getmany(timeout_ms=200, max_records=BATCH_RECORDS_MAX)
            writes = []
            for records in batch.values():
                for record in records:
                    event = pydantic_core.from_json(record.value)
                    change = {"id": event["id"], "type": event["type"], "at": event["receivedat"]}
                    writes.append(
                        UpdateOne(
                            {"_id": event["data"]["task_id"]},
                            {
                                "$set": {"state": event["id"] + STATE, "last": event["data"], "off": record.offset},
                                "$push": {"history": change},
                            },
                        )
                    )
            if writes:
                result = await tasks.bulk_write(writes, ordered=False)
                await consumer.commit()
                applied += len(writes)
                matched += result.matched_count
        seconds = time.perf_counter() - began
    client.close()
    return seconds, matched


if __name__ == "__main__":
    bootstrap, uri, collection, number, text = sys.argv[1:]
    seconds, applied = uvloop.run(run(bootstrap, uri, collection, int(number), offsets_of(text)))
    sys.stdout.write(f"{applied} {seconds:.4f}\n")
