"""Baseline of `tasks_apply_ratio`: getmany + one bulk_write a batch, nothing else. Prints the seconds it took.

One update per event, majority and journaled like ours, on one document per task; no ledger, no fence, no facts.
"""

import asyncio
import sys
import time

import pydantic_core
from aiokafka import AIOKafkaConsumer
from pymongo import UpdateOne

from shared.contracts.topics import SUBMISSIONS
from shared.runtime.mongodb import connect


async def run(bootstrap: str, mongo_uri: str, group: str, expected: int) -> float:
    """Apply `expected` events that are already in the topic."""
    client = connect(mongo_uri, app_name="bench-bare")
    tasks = client["bench_bare"]["tasks"]
    consumer = AIOKafkaConsumer(
        SUBMISSIONS.name,
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_bytes=16 * 1024 * 1024,
    )
    await consumer.start()
    applied = 0
    began = 0.0
    while applied < expected:
        batch = await consumer.getmany(timeout_ms=200, max_records=500)
        if not batch:
            continue
        began = began or time.perf_counter()
        writes = []
        for records in batch.values():
            for record in records:
                event = pydantic_core.from_json(record.value)
                change = {"id": event["id"], "type": event["type"], "at": event["receivedat"]}
                writes.append(
                    UpdateOne(
                        {"_id": event["data"].get("task_id", event["id"])},
                        {"$set": {"last": event["data"], "off": record.offset}, "$push": {"history": change}},
                        upsert=True,
                    )
                )
        await tasks.bulk_write(writes, ordered=False)
        await consumer.commit()
        applied += len(writes)
    seconds = time.perf_counter() - began
    await consumer.stop()
    client.close()
    return seconds


if __name__ == "__main__":
    bootstrap, uri, group, expected = sys.argv[1:5]
    sys.stdout.write(f"{asyncio.run(run(bootstrap, uri, group, int(expected))):.4f}\n")
