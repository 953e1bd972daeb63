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
from aiokafka import AIOKafkaConsumer, TopicPartition
from pymongo import UpdateOne

from shared.contracts.topics import SUBMISSIONS
from shared.runtime.mongodb import connect
from tests.bench import lives

STATE: Final = "x" * 1_590
"""With the id before it, which makes every write a real one: as much text as a state takes after an average event."""
BATCH_RECORDS_MAX: Final = 1_000
"""As many as ours takes at once."""


async def run(
    bootstrap: str, mongo_uri: str, collection: str, number: int, offsets: dict[int, int]
) -> tuple[float, int]:
    """Apply what is in the topic from these offsets on. Returns seconds and events."""
    client = connect(mongo_uri, app_name="bench-bare")
    tasks = client["bench_bare"][collection]
    await tasks.insert_many([{"_id": one, "state": STATE, "history": []} for one in lives.task_ids(number)])
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=f"bare-{collection}-{number}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_bytes=16 * 1024 * 1024,
    )
    await consumer.start()
    partitions = [TopicPartition(SUBMISSIONS.name, number) for number in offsets]
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    for one in partitions:
        consumer.seek(one, offsets[one.partition])
    expected = sum(ends[one] - offsets[one.partition] for one in partitions)
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
    await consumer.stop()
    client.close()
    return seconds, matched


if __name__ == "__main__":
    bootstrap, uri, collection, number, text = sys.argv[1:]
    start = {int(partition): int(offset) for partition, offset in (pair.split(":") for pair in text.split(","))}
    seconds, applied = uvloop.run(run(bootstrap, uri, collection, int(number), start))
    sys.stdout.write(f"{applied} {seconds:.4f}\n")
