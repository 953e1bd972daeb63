"""Topics read from their beginning to a known end, outside any group: nothing is committed, nobody is disturbed."""

import time
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError

from services.reporting.loading import Ends, Raw
from shared.contracts.topics import TASKS

RECORDS_MAX: Final = 500
"""Made into what is kept without a pause in between."""
WAIT_MS: Final = 500
SILENT_SECONDS_MAX: Final = 120.0
"""A broker that gives nothing for so long although there is something is away."""


class KafkaSource:
    """Implements loading.Source."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    def _consumer(self, *topics: str) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            *topics,
            bootstrap_servers=self._bootstrap,
            client_id="dondoc-reporting-rebuild",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=2 * 1024 * 1024,
        )

    async def ends(self, topics: Collection[str]) -> Ends:
        """Where the topics end now."""
        # Without a group all partitions are assigned at once.
        consumer = self._consumer(*topics)
        await consumer.start()
        try:
            places = sorted(consumer.assignment())
            if unknown := set(topics) - {place.topic for place in places}:
                raise KafkaConnectionError(f"no partition is known of {', '.join(sorted(unknown))}")
            return {
                (place.topic, place.partition): int(end) for place, end in (await consumer.end_offsets(places)).items()
            }
        finally:
            await consumer.stop()

    async def read(self, ends: Ends) -> AsyncIterator[tuple[Sequence[Raw], int]]:
        """See loading.Source."""
        waiting = {TopicPartition(*place): end for place, end in ends.items() if end}
        if not waiting:
            return
        reached = dict.fromkeys(waiting, 0)
        consumer = self._consumer()
        await consumer.start()
        try:
            consumer.assign(list(waiting))
            await consumer.seek_to_beginning(*waiting)
            heard = time.monotonic()
            while waiting:
                found: dict[TopicPartition, list[Any]] = await consumer.getmany(
                    *waiting, timeout_ms=WAIT_MS, max_records=RECORDS_MAX
                )
                records = [
                    one for place, some in found.items() if place in waiting for one in some if one.offset < ends[place]
                ]
                further = 0
                for place, end in list(waiting.items()):
                    position = min(end, int(await consumer.position(place)))
                    further += position - reached[place]
                    reached[place] = position
                    if position >= end:
                        del waiting[place]
                if further:
                    heard = time.monotonic()
                    yield records, further
                elif time.monotonic() - heard > SILENT_SECONDS_MAX:
                    raise KafkaConnectionError(f"no record for {SILENT_SECONDS_MAX:.0f} s")
        finally:
            await consumer.stop()


async def has_applied(bootstrap: str, group: str) -> bool:
    """Whether a group has come anywhere in the tasks topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, client_id=f"dondoc-{group}")
    await admin.start()
    try:
        # Named: asked for all of a group that has none, some brokers answer no list at all, and aiokafka trips on it.
        partitions = [TopicPartition(TASKS.name, one) for one in range(TASKS.partitions)]
        offsets = await admin.list_consumer_group_offsets(group, partitions=partitions)
        return any(found.offset > 0 for found in offsets.values())
    finally:
        await admin.close()
