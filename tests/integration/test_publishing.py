"""Publishing to a real Kafka: every record arrives, in order per key, however many there are."""

import asyncio
from collections import defaultdict

import pytest
from aiokafka.errors import MessageSizeTooLargeError, ProducerClosed

from deploy.local.kafka_apache import ApacheKafka
from shared.contracts.topics import INDICATORS
from shared.runtime.batching import Outgoing
from shared.runtime.publishing import MAX_REQUEST_BYTES, Publisher, PublishTimeoutError
from tests.support.workload import read_topic

PATIENCE_SECONDS = 10
"""After which the producer gives a batch back that it has not taken: its request timeout."""

pytestmark = [pytest.mark.connected, pytest.mark.timeout(400)]


@pytest.mark.parametrize("number", [1, 49, 3_000, 20_000])
async def test_records_of_a_key_keep_their_order_and_lie_where_every_client_puts_them(
    kafka: ApacheKafka, number: int
) -> None:
    records = [
        Outgoing(
            INDICATORS.name,
            f"{number}/{position % 7}".encode(),
            f"{position}".encode() * 200,
            (("h", None),),
        )
        for position in range(number)
    ]
    publisher = Publisher(kafka.bootstrap, client_id="test")
    await publisher.start()
    try:
        await publisher.publish(records)
        places = {record.key: await publisher.partition_of(INDICATORS.name, record.key or b"") for record in records}
    finally:
        await publisher.stop()

    found = defaultdict(list)
    for record in await read_topic(kafka.bootstrap, INDICATORS.name):
        if record.key in places:
            assert record.partition == places[record.key]
            assert record.headers == (("h", None),)
            found[record.key].append(record.value)
    assert found == {key: [one.value for one in records if one.key == key] for key in places}


@pytest.mark.parametrize("number", [1, 50])
async def test_a_record_too_large_for_a_request_is_refused(kafka: ApacheKafka, number: int) -> None:
    records = [Outgoing(INDICATORS.name, b"large", b"x" * (MAX_REQUEST_BYTES + 1))] * number
    publisher = Publisher(kafka.bootstrap, client_id="test")
    await publisher.start()
    try:
        with pytest.raises(MessageSizeTooLargeError):
            await publisher.publish(records)
    finally:
        await publisher.stop()


async def test_no_caller_among_many_waits_in_vain(kafka: ApacheKafka) -> None:
    """INVARIANT: however many requests an edge has in hand, each is acknowledged while the broker keeps up.

    If this broke, an agency's batch would be refused because others sent theirs at the same time.
    """
    publisher = Publisher(kafka.bootstrap, client_id="test")
    await publisher.start()
    try:
        for _ in range(3):
            one_batch = [Outgoing(INDICATORS.name, b"many", b"x" * 300)] * 100
            await asyncio.gather(*(publisher.publish(one_batch, timeout_seconds=20) for _ in range(500)))
    finally:
        await publisher.stop()


async def test_a_caller_who_gives_up_takes_nothing_from_others(kafka: ApacheKafka) -> None:
    publisher = Publisher(kafka.bootstrap, client_id="test")
    await publisher.start()
    records = [Outgoing(INDICATORS.name, b"patience", f"{number}".encode()) for number in range(400)]
    try:
        await publisher.publish([Outgoing(INDICATORS.name, b"patience", b"first")])
        outcomes = await asyncio.gather(
            *(
                publisher.publish([one], timeout_seconds=1e-6 if number % 2 else 30)
                for number, one in enumerate(records)
            ),
            return_exceptions=True,
        )
    finally:
        await publisher.stop()
    assert [one for one in outcomes[::2] if one is not None] == []
    assert {type(one) for one in outcomes[1::2]} == {PublishTimeoutError}
    # Given up is not taken back: what a caller added may still arrive, once.
    found = [one.value for one in await read_topic(kafka.bootstrap, INDICATORS.name) if one.key == b"patience"]
    assert found == [b"first", *(one.value for one in records)]


async def test_an_outage_longer_than_the_producers_patience_costs_no_record_and_no_order(kafka: ApacheKafka) -> None:
    """INVARIANT: the records of a key arrive in their order, and none arrives without those before it.

    If this broke, a task's second fact would be told without its first after an outage.
    """
    publisher = Publisher(kafka.bootstrap, client_id="test")
    await publisher.start()

    def some(caller: int) -> list[Outgoing]:
        key = f"outage/{caller}".encode()
        return [Outgoing(INDICATORS.name, key, f"{number:04}".encode() * 2_000) for number in range(200)]

    try:
        await publisher.publish([Outgoing(INDICATORS.name, b"outage", b"before")])
        kafka.kill()
        # More than the batches hold that may wait: some callers wait for room.
        calls = [asyncio.create_task(publisher.publish(some(caller))) for caller in range(20)]
        await asyncio.sleep(PATIENCE_SECONDS + 3)
        assert not any(one.done() for one in calls)
        await kafka.restart()
        async with asyncio.timeout(180):
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
    finally:
        await kafka.restart()
        await publisher.stop()
    assert outcomes == [None] * len(calls)
    found = defaultdict(list)
    for record in await read_topic(kafka.bootstrap, INDICATORS.name):
        found[record.key].append(record.value)
    for caller in range(len(calls)):
        assert found[f"outage/{caller}".encode()] == [one.value for one in some(caller)]


async def test_a_publisher_whose_broker_is_away_stops_in_time_and_says_so(
    kafka: ApacheKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.runtime.publishing.STOP_SECONDS_MAX", 1.0)
    publisher = Publisher(kafka.bootstrap, client_id="test")
    await publisher.start()
    try:
        await publisher.publish([Outgoing(INDICATORS.name, b"stop", b"before")])
        kafka.kill()
        publishing = asyncio.create_task(publisher.publish([Outgoing(INDICATORS.name, b"stop", b"never")]))
        await asyncio.sleep(0.5)
        async with asyncio.timeout(5):
            await publisher.stop()
            with pytest.raises(ProducerClosed):
                await publishing
    finally:
        await kafka.restart()
