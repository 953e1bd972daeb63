"""The plumbing's own promises: who is stuck ends, what passes is retried, a dead letter says why, whence and when."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    OutOfOrderSequenceNumber,
    TopicAuthorizationFailedError,
)
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    DuplicateKeyError,
    OperationFailure,
    ServerSelectionTimeoutError,
)

from shared.contracts.topics import SUBMISSIONS, TASKS
from shared.runtime import process
from shared.runtime.clock import SystemClock
from shared.runtime.consuming import BACKOFF_SECONDS_MAX, Consumption, backoff, dead_letter
from shared.runtime.errors import PermanentError, TransientError, ends_process, is_transient
from shared.runtime.process import Loop
from shared.runtime.publishing import Publisher
from shared.runtime.settings import ProcessSettings
from shared.runtime.watchdog import Watchdog


class Crashes(list[str]):
    """Remembers instead of ending the process."""

    def __call__(self, reason: str, error: BaseException | None = None) -> None:
        self.append(reason)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (TransientError("x"), True),
        (AutoReconnect("gone"), True),
        (ServerSelectionTimeoutError("none"), True),
        (OperationFailure("stepping down", 189), True),
        (OperationFailure("no such command", 59), False),
        (OperationFailure("not allowed", 13), True),
        (OperationFailure("disk full", 14031), True),
        (BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64}]}), True),
        (BulkWriteError({"writeErrors": [{"code": 14031}, {"code": 11602}], "writeConcernErrors": []}), True),
        (BulkWriteError({"writeErrors": [{"code": 11602}, {"code": 2}], "writeConcernErrors": []}), False),
        (DuplicateKeyError("twice"), False),
        (KafkaConnectionError("refused"), True),
        (NotLeaderForPartitionError("moved"), True),
        (KafkaTimeoutError("the buffer is full, or no leader is known"), True),
        (TopicAuthorizationFailedError("not allowed"), True),
        (OutOfOrderSequenceNumber("the producer is spent"), False),
        (MessageSizeTooLargeError("large"), False),
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (PermanentError("poison", "x"), False),
        (KeyError("our bug"), False),
    ],
)
def test_an_error_is_retried_only_if_it_can_pass(error: Exception, passes: bool) -> None:
    assert is_transient(error) is passes


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (OutOfOrderSequenceNumber("the producer is spent"), True),
        (KafkaTimeoutError("passes"), False),
        (MessageSizeTooLargeError("this record"), False),
        (KeyError("this record met our bug"), False),
        (PermanentError("poison", "x"), False),
    ],
)
def test_a_spent_client_ends_the_process(error: Exception, ends: bool) -> None:
    assert ends_process(error) is ends


def a_consumption(apply: Any, crashes: Crashes) -> Consumption:
    return Consumption(
        topics=[SUBMISSIONS],
        group="tasks",
        apply=apply,
        publisher=Publisher("127.0.0.1:1", client_id="test"),
        clock=SystemClock(),
        watchdog=Watchdog(60, crashes),
        settings=ProcessSettings(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1"),
        service="tasks",
        crash=crashes,
    )


@pytest.mark.parametrize("poison", [{0}, {777}, {1999}, {5, 6, 1400}])
async def test_poison_is_found_by_halves_and_costs_the_others_little(
    poison: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: one bad record among thousands neither takes others with it nor stops its partition for long.

    If this broke, a batch would be applied record by record until the watchdog ended the process, again and again.
    """
    calls = 0
    applied: list[int] = []

    async def apply(records: Sequence[Any]) -> None:
        nonlocal calls
        calls += 1
        if any(record.offset in poison for record in records):
            raise PermanentError("poison", "x")
        applied.extend(record.offset for record in records)

    buried: list[int] = []

    async def bury(record: Any, reason: str, detail: str) -> None:
        buried.append(record.offset)

    consumption = a_consumption(apply, Crashes())
    monkeypatch.setattr(consumption, "_bury", bury)
    records: list[Any] = [SimpleNamespace(topic=SUBMISSIONS.name, partition=1, offset=offset) for offset in range(2000)]

    await consumption._apply_all(records, records)

    assert buried == sorted(poison)
    assert applied == [offset for offset in range(2000) if offset not in poison]
    assert calls <= len(poison) * 24


async def test_backlog_is_what_is_known_to_wait_of_partitions_owned(monkeypatch: pytest.MonkeyPatch) -> None:
    async def apply(records: object) -> None:
        raise AssertionError("nothing comes")

    consumption = a_consumption(apply, Crashes())
    ends = {0: 10, 1: 5, 2: None, 3: 7, 4: 100}
    applied = {0: 4, 1: 5, 2: 3, 3: None, 4: 1}
    consumer = SimpleNamespace(
        assignment=lambda: {TopicPartition(SUBMISSIONS.name, one) for one in ends if one != 4},
        highwater=lambda tp: ends[tp.partition],
    )
    monkeypatch.setattr(consumption, "_consumer", lambda: consumer)
    known: Any = {TopicPartition(SUBMISSIONS.name, one): SimpleNamespace(applied=at) for one, at in applied.items()}
    monkeypatch.setattr(consumption, "_partitions", known | {TopicPartition(TASKS.name, 0): SimpleNamespace(applied=0)})

    assert consumption.backlog(SUBMISSIONS) == 6


async def test_no_record_is_blamed_for_a_spent_client() -> None:
    """INVARIANT: only a record that can never be applied goes to the dead letters.

    If this broke, a broker's bad minute would bury reports that agencies sent in time.
    """

    async def apply(records: object) -> None:
        raise OutOfOrderSequenceNumber("the producer is spent")

    consumption = a_consumption(apply, Crashes())

    with pytest.raises(OutOfOrderSequenceNumber):
        await consumption._try_until_known([SimpleNamespace(topic=SUBMISSIONS.name)])  # type: ignore[list-item]


def test_backoff_grows_and_is_bounded() -> None:
    waits = [backoff(attempt) for attempt in range(200)]

    assert max(waits) <= BACKOFF_SECONDS_MAX
    assert waits[0] <= 0.1
    assert min(waits[10:]) >= BACKOFF_SECONDS_MAX / 2


async def test_a_loop_that_makes_no_progress_ends_the_process() -> None:
    crashes = Crashes()
    watchdog = Watchdog(0.05, crashes)
    watchdog.beat("poll")
    watchdog.start()

    await asyncio.sleep(0.3)
    await watchdog.stop()

    assert crashes
    assert "'poll'" in crashes[0]
    assert watchdog.stuck() == "poll"


async def test_a_loop_that_beats_is_left_alone() -> None:
    crashes = Crashes()
    watchdog = Watchdog(0.3, crashes)
    watchdog.start()

    for _ in range(20):
        watchdog.beat("poll")
        await asyncio.sleep(0.03)
    await watchdog.stop()

    assert not crashes


async def test_a_loop_that_pauses_for_long_on_purpose_is_not_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "BEAT_SECONDS", 0.05)
    crashes = Crashes()
    watchdog = Watchdog(0.3, crashes)
    watchdog.start()

    async def turn() -> None:
        return

    running = asyncio.create_task(Loop("yearly", turn, every_seconds=3_600).run(watchdog, crashes))
    await asyncio.sleep(0.8)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await watchdog.stop()

    assert not crashes


async def test_a_loop_waits_out_what_passes_and_ends_the_process_on_anything_else() -> None:
    crashes = Crashes()
    errors: list[Exception] = [TransientError("away"), KeyError("bug")]
    turns = 0

    async def turn() -> None:
        nonlocal turns
        turns += 1
        raise errors[turns - 1]

    with pytest.raises(KeyError):
        await Loop("work", turn, every_seconds=0).run(Watchdog(60, crashes), crashes)

    assert turns == 2
    assert crashes == ["loop 'work' failed"]


def test_a_dead_letter_is_the_record_as_it_came_and_says_why_whence_and_when() -> None:
    record: Any = SimpleNamespace(
        topic="dondoc.submissions.v1",
        partition=3,
        offset=41,
        timestamp=1_795_500_000_000,
        key=b"k",
        value=b"\xff",
        headers=(("null", None), ("raw", b"\xff")),
    )

    letter = dead_letter(record, "malformed", "ở đâu đó", service="tasks", failed_at=datetime(2024, 10, 14, tzinfo=UTC))

    assert (letter.topic, letter.key, letter.value) == ("dondoc.deadletters.v1", b"k", b"\xff")
    assert letter.headers[:2] == (("null", None), ("raw", b"\xff"))
    assert {name: (raw or b"").decode() for name, raw in letter.headers[2:]} == {
        "dondoc-reason": "malformed",
        "dondoc-detail": "ở đâu đó",
        "dondoc-topic": "dondoc.submissions.v1",
        "dondoc-partition": "3",
        "dondoc-offset": "41",
        "dondoc-record-timestamp-ms": "1795500000000",
        "dondoc-service": "tasks",
        "dondoc-failed-at": "2024-10-14T00:00:00+00:00",
    }


def test_whoever_waits_for_the_world_speaks_for_those_that_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes hold their lock while Kafka is away; the sweep waits for the lock, and is not stuck."""
    now = [0.0]
    monkeypatch.setattr("shared.runtime.watchdog.time.monotonic", lambda: now[0])
    watchdog = Watchdog(60, lambda *_: None)
    watchdog.beat("poll")
    watchdog.beat("sweep")
    for _ in range(10):
        now[0] += 30
        watchdog.beat_all()
        assert watchdog.stuck() is None
    now[0] += 61
    assert watchdog.stuck() is not None
