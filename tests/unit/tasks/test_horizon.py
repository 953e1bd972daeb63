"""What spares the database questions must never hide what is due."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.tasks.horizon import Horizon
from tests.support.builders import at

NOW = at("2024-10-20 08:00")
SOON, LATER = NOW + timedelta(hours=1), NOW + timedelta(hours=2)


def learnt(earliest: dict[int, datetime], *partitions: int) -> Horizon:
    horizon = Horizon()
    horizon.asks(partitions)
    horizon.learns(partitions, earliest)
    return horizon


def test_what_was_never_asked_for_is_unknown() -> None:
    assert Horizon().unknown({0: NOW, 1: NOW}) == [0, 1]


def test_what_was_learnt_is_asked_for_again_when_its_time_has_come() -> None:
    horizon = learnt({0: SOON}, 0, 1)

    assert horizon.unknown({0: NOW, 1: LATER}) == []
    assert horizon.unknown({0: SOON, 1: LATER}) == [0]


def test_what_is_planned_earlier_comes_earlier() -> None:
    horizon = learnt({0: LATER}, 0, 1)
    horizon.note(0, SOON)
    horizon.note(0, LATER)
    horizon.note(1, SOON)
    horizon.note(1, None)

    assert horizon.unknown({0: SOON, 1: SOON}) == [0, 1]
    assert horizon.unknown({0: NOW, 1: NOW}) == []


def test_what_was_written_after_the_question_is_not_lost_to_the_answer() -> None:
    horizon = Horizon()
    horizon.asks([0])
    horizon.note(0, SOON)
    horizon.learns([0], {0: LATER})

    assert horizon.unknown({0: SOON}) == [0]


def test_what_is_forgotten_is_asked_for() -> None:
    horizon = learnt({}, 0)
    horizon.forget()

    assert horizon.unknown({0: NOW}) == [0]


@given(
    st.lists(st.one_of(st.integers(0, 9).map(lambda hour: ("plan", hour)), st.just(("look", 0)), st.just(("pass", 0))))
)
def test_nothing_that_is_due_is_ever_hidden(steps: list[tuple[str, int]]) -> None:
    """Against the plain way: ask every time."""
    horizon, planned, now = Horizon(), set[datetime](), NOW
    for step, hour in steps:
        if step == "plan":
            planned.add(now + timedelta(hours=hour))
            horizon.note(0, now + timedelta(hours=hour))
        elif step == "pass":
            now += timedelta(hours=3)
        due = {one for one in planned if one <= now}
        if due:
            assert horizon.unknown({0: now}) == [0]
        if step == "look" and horizon.unknown({0: now}):
            planned -= due
            horizon.asks([0])
            horizon.learns([0], {0: min(planned)} if planned else {})
