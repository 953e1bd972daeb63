"""Baseline of `tasks_apply_ratio`: getmany + one bulk_write a batch, nothing else. Prints the seconds it took.

One update per event, majority and journaled like ours, of a document as large as ours; no ledger, no fence, no rules,
no facts. `python -m tests.bench.bare_apply BOOTSTRAP MONGODB_URI GROUP OFFSETS`: where to begin, `partition:offset,…`.
"""

import asyncio
import sys
import time

import pydantic_core
from aiokafka import AIOKafkaConsumer, TopicPartition
from pymongo import UpdateOne

from shared.contracts.topics import SUBMISSIONS
from shared.runtime.mongodb import connect

STATE = "x" * 1_800
"""As much text as a task's state takes in the middle of its life."""


async def run(bootstrap: str, mongo_uri: str, group: str, offsets: dict[int, int]) -> tuple[float, int]:
    """Apply what is in the topic from these offsets on. Returns seconds and events."""
    client = connect(mongo_uri, app_name="bench-bare")
    tasks = client["bench_bare"]["tasks"]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
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
    applied = 0
    began = time.perf_counter()
    while applied < expected:
        batch = await consumer.getmany(timeout_ms=200, max_records=1_000)
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
                        upsert=True,
                    )
                )
        if writes:
            await tasks.bulk_write(writes, ordered=False)
            await consumer.commit()
            applied += len(writes)
    seconds = time.perf_counter() - began
    await consumer.stop()
    client.close()
    return seconds, applied


if __name__ == "__main__":
    bootstrap, uri, group, text = sys.argv[1:5]
    start = {int(partition): int(offset) for partition, offset in (pair.split(":") for pair in text.split(","))}
    seconds, applied = asyncio.run(run(bootstrap, uri, group, start))
    sys.stdout.write(f"{seconds:.4f} {applied}\n")
