"""What one agency may send, whatever the others do."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.rates import AGENCIES_MAX, Rates


def test_what_was_saved_up_may_be_sent_at_once_and_then_no_more() -> None:
    rates = Rates(per_second=10, burst=100)

    rates.charge("a", 100, 0.0)

    assert rates.wait_seconds("a", 0.0) == 0.1
    assert rates.wait_seconds("a", 0.1) == 0


def test_one_agency_takes_nothing_from_another() -> None:
    rates = Rates(per_second=10, burst=100)

    rates.charge("a", 1_000, 0.0)

    assert rates.wait_seconds("b", 0.0) == 0


def test_a_batch_is_let_in_whole_and_what_it_took_too_much_is_waited_for() -> None:
    rates = Rates(per_second=10, burst=100)
    rates.charge("a", 99, 0.0)
    assert rates.wait_seconds("a", 0.0) == 0

    rates.charge("a", 500, 0.0)

    assert rates.wait_seconds("a", 0.0) == 50
    assert rates.wait_seconds("a", 49.8) > 0
    assert rates.wait_seconds("a", 50.0) == 0


def test_what_is_remembered_is_bounded() -> None:
    rates = Rates(per_second=1, burst=1)

    for number in range(AGENCIES_MAX + 10):
        rates.charge(str(number), 1, float(number))

    assert len(rates._left) == AGENCIES_MAX


@given(
    st.lists(st.tuples(st.floats(0, 3, allow_nan=False), st.integers(1, 50)), min_size=1, max_size=60),
    st.floats(0.5, 20),
    st.integers(1, 100),
)
def test_over_any_time_no_more_comes_through_than_the_rate_allows(
    tries: list[tuple[float, int]], per_second: float, burst: int
) -> None:
    """INVARIANT: in any stretch at most burst, rate times stretch, and one batch."""
    rates, now, let_in = Rates(per_second=per_second, burst=burst), 0.0, [(0.0, 0)]
    for gap, events in tries:
        now += gap
        wait = rates.wait_seconds("a", now)
        if wait == 0:
            rates.charge("a", events, now)
            let_in.append((now, events))
        else:
            assert rates.wait_seconds("a", now + wait + 1e-6) == 0

    for start in range(len(let_in)):
        stretch = let_in[start:]
        total = sum(events for _, events in stretch)
        assert total <= burst + per_second * (stretch[-1][0] - stretch[0][0]) + max(e for _, e in stretch) + 1e-6
    assert all(earlier[0] <= later[0] for earlier, later in pairwise(let_in))
