"""What all bare loops begin with: a consumer that stands where it is told, and how much there is to read."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.contracts.topics import Topic

BATCH_RECORDS_MAX: Final = 1_000
"""As many as ours takes at once."""


@asynccontextmanager
async def reading(
    bootstrap: str, group: str, topic: Topic, offsets: Mapping[int, int]
) -> AsyncIterator[tuple[AIOKafkaConsumer, int]]:
    """A consumer at these offsets (partition → offset), and the number of records from there to the end of now."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_bytes=16 * 1024 * 1024,
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic.name, one) for one in offsets]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        for one in partitions:
            consumer.seek(one, offsets[one.partition])
        yield consumer, sum(ends[one] - offsets[one.partition] for one in partitions)
    finally:
        await consumer.stop()


def offsets_of(text: str) -> dict[int, int]:
    """`partition:offset,…` of a command line."""
    return {int(partition): int(offset) for partition, offset in (pair.split(":") for pair in text.split(","))}
