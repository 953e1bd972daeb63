"""When a message is tried again, and when it has failed for good."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.domain.retrying import RetryTable

TABLE = RetryTable((1.0, 5.0, 60.0), give_up_after=1_000.0)


@pytest.mark.parametrize(("attempts", "wait"), [(1, 1.0), (2, 5.0), (3, 60.0), (4, 60.0), (1_000, 60.0)])
def test_each_try_waits_longer_and_the_last_wait_repeats(attempts: int, wait: float) -> None:
    assert TABLE.wait(attempts, age=0.0) == wait


@pytest.mark.parametrize(("age", "wait"), [(0.0, 60.0), (999.9, 60.0), (1_000.0, None), (5_000.0, None)])
def test_what_is_too_old_is_given_up(age: float, wait: float | None) -> None:
    assert TABLE.wait(4, age=age) == wait


@pytest.mark.parametrize(("attempts", "wait"), [(1, 1.0), (3, 60.0), (4, None)])
def test_what_grew_old_while_the_office_was_closed_has_all_its_tries_first(attempts: int, wait: float | None) -> None:
    assert TABLE.wait(attempts, age=1e6) == wait


@pytest.mark.parametrize(("asked", "wait"), [(0.0, 1.0), (-5.0, 1.0), (30.0, 30.0), (60.0, 60.0), (1e9, 60.0)])
def test_who_asks_for_patience_gets_it_within_bounds(asked: float, wait: float) -> None:
    assert TABLE.wait(2, age=0.0, asked=asked) == wait


def test_who_asks_for_patience_does_not_keep_what_is_too_old_alive() -> None:
    """INVARIANT: a receiver cannot put a message off for ever."""
    assert TABLE.wait(4, age=1_000.0, asked=1.0) is None


@given(st.integers(1, 10_000), st.floats(0, 2_000), st.none() | st.floats(-1e6, 1e6))
def test_a_wait_is_never_longer_than_the_longest_of_the_table(attempts: int, age: float, asked: float | None) -> None:
    wait = TABLE.wait(attempts, age=age, asked=asked)

    assert (wait is None) is (age >= 1_000.0 and attempts > 3)
    assert wait is None or 1.0 <= wait <= 60.0
