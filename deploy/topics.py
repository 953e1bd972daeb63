"""Creates the topics of shared/contracts/topics.py; repeats are harmless, a wrong partition count is an error."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from shared.contracts.topics import TOPICS, Topic

_BROKER_SECONDS_MAX: Final = 60.0
_VISIBLE_SECONDS_MAX: Final = 30.0
_POLL_SECONDS: Final = 0.25
_REQUEST_MS_MAX: Final = 20_000


class TopicsError(Exception):
    """The topics are not as the table says; the text says which and what to do."""


async def create_topics(bootstrap: str, *, replication_factor: int = 1) -> None:
    """Create the topics that are missing and return once all of them have their partitions and leaders."""
    admin = await _connect(bootstrap)
    try:
        existing = await _partition_counts(admin)
        _check(existing)
        missing = [topic for topic in TOPICS if topic.name not in existing]
        if missing:
            await _create(admin, missing, replication_factor)
            await _wait_until_visible(admin)
    finally:
        await admin.close()


async def _connect(bootstrap: str) -> AIOKafkaAdminClient:
    deadline = time.monotonic() + _BROKER_SECONDS_MAX
    while True:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=_REQUEST_MS_MAX)
        try:
            await admin.start()
            return admin
        except (KafkaError, OSError) as error:
            with suppress(KafkaError, OSError):
                await admin.close()
            if time.monotonic() > deadline:
                raise TopicsError(
                    f"no Kafka broker answered at {bootstrap} within {_BROKER_SECONDS_MAX:.0f} s: "
                    "is it running, and is KAFKA_BOOTSTRAP_SERVERS right?"
                ) from error
        except BaseException:
            await admin.close()
            raise
        await asyncio.sleep(_POLL_SECONDS)


async def _partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Topics whose partitions all have a leader. All topics are asked for: asking by name might create them."""
    described: list[dict[str, Any]] = await admin.describe_topics()
    return {
        topic["topic"]: len(topic["partitions"])
        for topic in described
        if topic["error_code"] == 0 and all(partition["leader"] >= 0 for partition in topic["partitions"])
    }


def _check(existing: Mapping[str, int]) -> None:
    wrong = [
        f"{topic.name} has {existing[topic.name]} partitions, the table says {topic.partitions}"
        for topic in TOPICS
        if existing.get(topic.name, topic.partitions) != topic.partitions
    ]
    if wrong:
        raise TopicsError(
            f"{'; '.join(wrong)}. A topic's partition count is fixed for life (ownership and fences depend on it): "
            "use a cluster without these topics, or move their records to new ones"
        )


async def _create(admin: AIOKafkaAdminClient, topics: list[Topic], replication_factor: int) -> None:
    response = await admin.create_topics(
        [
            NewTopic(topic.name, topic.partitions, replication_factor, topic_configs=dict(topic.config()))
            for topic in topics
        ]
    )
    refused: dict[str, list[str]] = {}
    # The response's rows grow with its version: name, code, then perhaps a message.
    for name, code, *message in response.topic_errors:
        # Where somebody else was faster, the count is checked once the topic is visible.
        if code not in (0, TopicAlreadyExistsError.errno):
            reason = ": ".join([for_code(code).__name__, *(text for text in message if text)])
            refused.setdefault(reason, []).append(name)
    if refused:
        complaints = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in refused.items())
        raise TopicsError(
            f"the broker refused to create {complaints} "
            "(DONDOC_TOPIC_REPLICATION must not exceed the number of running brokers)"
        )


async def _wait_until_visible(admin: AIOKafkaAdminClient) -> None:
    deadline = time.monotonic() + _VISIBLE_SECONDS_MAX
    while True:
        existing = await _partition_counts(admin)
        _check(existing)
        missing = [topic.name for topic in TOPICS if topic.name not in existing]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise TopicsError(
                f"created, but without leaders after {_VISIBLE_SECONDS_MAX:.0f} s: {', '.join(missing)}. "
                "Look at the broker's log"
            )
        await asyncio.sleep(_POLL_SECONDS)


def main() -> None:
    """Create the topics at KAFKA_BOOTSTRAP_SERVERS with DONDOC_TOPIC_REPLICATION copies (1 unless given)."""
    # While we wait for the broker, aiokafka reports every attempt.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    bootstrap = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if not bootstrap:
        sys.exit("KAFKA_BOOTSTRAP_SERVERS is not set: say which broker, for example kafka:9092")
    replication = os.environ.get("DONDOC_TOPIC_REPLICATION", "1")
    if not replication.isdecimal() or int(replication) < 1:
        sys.exit(f"DONDOC_TOPIC_REPLICATION is {replication!r}: it must be a whole number, 1 or more")
    try:
        asyncio.run(create_topics(bootstrap, replication_factor=int(replication)))
    except (TopicsError, KafkaError) as error:
        sys.exit(f"topics: {error}")
    print(f"topics: all {len(TOPICS)} are there")


if __name__ == "__main__":
    main()
