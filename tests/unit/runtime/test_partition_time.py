"""A partition's own time never runs ahead of a report that is on its way."""

from datetime import UTC, datetime

import pytest

from shared.runtime.partition_time import SILENCE_SECONDS, PartitionTime, later


def clock_at(real: float) -> datetime:
    return datetime.fromtimestamp(real, UTC)


@pytest.fixture
def time() -> PartitionTime:
    return PartitionTime(grace_seconds=10)


def test_it_is_the_moment_of_the_answer_before_the_latest(time: PartitionTime) -> None:
    assert time.look(100, nothing_waits=True, clock_at=clock_at) is None
    assert time.look(101, nothing_waits=True, clock_at=clock_at) == clock_at(100)
    assert time.look(101, nothing_waits=True, clock_at=clock_at) == clock_at(100)


def test_in_a_backlog_it_is_what_records_have_reached(time: PartitionTime) -> None:
    time.look(100, nothing_waits=False, clock_at=clock_at)
    time.reach(clock_at(50))
    time.reach(clock_at(40))
    assert time.look(101, nothing_waits=False, clock_at=clock_at) == clock_at(50)


def test_it_never_goes_back(time: PartitionTime) -> None:
    time.look(100, nothing_waits=True, clock_at=clock_at)
    time.look(101, nothing_waits=True, clock_at=clock_at)
    time.reach(clock_at(10))
    assert time.look(102, nothing_waits=False, clock_at=clock_at) == clock_at(100)


def test_after_a_silence_it_stands_until_what_was_kept_meanwhile_has_come(time: PartitionTime) -> None:
    """INVARIANT: a report that ingest kept while the broker was away comes before the deadline that passed meanwhile.

    If this broke, the end of every outage would call agencies late who had reported in time.
    """
    time.look(100, nothing_waits=True, clock_at=clock_at)
    time.look(101, nothing_waits=True, clock_at=clock_at)
    back = 101 + SILENCE_SECONDS + 60
    # The first answer may be older than the clients that still have to connect.
    for tenth in range(100):
        time.reach(clock_at(back))
        assert time.look(back + tenth / 10, nothing_waits=True, clock_at=clock_at) == clock_at(100)
    assert time.look(back + 10.1, nothing_waits=True, clock_at=clock_at) == clock_at(back + 9.9)


def test_a_short_pause_is_no_outage(time: PartitionTime) -> None:
    time.look(100, nothing_waits=True, clock_at=clock_at)
    time.look(100 + SILENCE_SECONDS, nothing_waits=True, clock_at=clock_at)
    assert time.look(106, nothing_waits=True, clock_at=clock_at) == clock_at(105)


@pytest.mark.parametrize("answers_between", [0, 1])
def test_a_rebalance_does_not_forget_a_silence(time: PartitionTime, answers_between: int) -> None:
    """INVARIANT: an outage mostly ends in a rebalance; what it made late is not called late for that."""
    time.look(100, nothing_waits=True, clock_at=clock_at)
    back = 100 + SILENCE_SECONDS + 60
    if answers_between:
        time.look(back, nothing_waits=True, clock_at=clock_at)
    anew = PartitionTime(grace_seconds=10, heard=later(None, time))
    for tenth in range(1, 99):
        assert anew.look(back + tenth / 10, nothing_waits=True, clock_at=clock_at) is None
    assert anew.look(back + 10.2, nothing_waits=True, clock_at=clock_at) == clock_at(back + 9.8)


def test_a_rebalance_without_a_silence_holds_nothing_up(time: PartitionTime) -> None:
    time.look(100, nothing_waits=True, clock_at=clock_at)
    anew = PartitionTime(grace_seconds=10, heard=time)
    assert anew.look(101, nothing_waits=True, clock_at=clock_at) is None
    assert anew.look(102, nothing_waits=True, clock_at=clock_at) == clock_at(101)


def test_of_several_partitions_the_one_heard_last_counts() -> None:
    first, second, never = (PartitionTime(grace_seconds=10) for _ in range(3))
    first.look(100, nothing_waits=True, clock_at=clock_at)
    second.look(110, nothing_waits=True, clock_at=clock_at)
    found = None
    for one in (second, first, never):
        found = later(found, one)
    assert found is second
