"""Silences: what they cover, when they hold, and what nobody may ask for."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.notify.domain.alert import AlertKind
from services.notify.domain.silences import LONGEST, NEVER_SILENCED, Silence, fault, silencing
from tests.support.builders import at
from tests.unit.notify.builders import OVERDUE, TASK, a_silence, an_alert

K = AlertKind
NOW = at("2024-10-21 09:00")
EVERYWHERE = a_silence(agency=None)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("silence", "covers"),
    [
        (a_silence(), True),
        (a_silence(agency="H48.22"), False),
        (replace(EVERYWHERE, directive="TB-1"), True),
        (replace(EVERYWHERE, directive="TB-2"), False),
        (replace(EVERYWHERE, task_id=TASK), True),
        (replace(EVERYWHERE, task_id="H48/TB-1/II.1.k/H48.21"), False),
        # All that is named must match.
        (a_silence(directive="TB-1", task_id=TASK), True),
        (a_silence(directive="TB-2"), False),
        (a_silence(agency="H48.22", directive="TB-1"), False),
        (a_silence(agency="H48.22", task_id=TASK), False),
        # Another province may have an agency and a directive of that name.
        (a_silence(province="H49"), False),
    ],
)
def test_a_silence_covers_what_matches_all_that_it_names(silence: Silence, covers: bool) -> None:
    assert silence.covers(an_alert(K.OVERDUE)) is covers
    assert silence.covers_task(OVERDUE) is covers


@pytest.mark.parametrize("kind", list(K))
def test_everything_can_be_silenced_but_a_retraction(kind: AlertKind) -> None:
    """INVARIANT: who was told of an overdue is told that it was none, whoever asked for quiet."""
    assert (kind in NEVER_SILENCED) is (kind is K.OVERDUE_RETRACTED)
    assert a_silence().covers(an_alert(kind)) is (kind not in NEVER_SILENCED)


def test_a_silence_holds_from_its_start_until_before_its_end() -> None:
    silence = a_silence("2024-10-21 10:00", starts="2024-10-21 09:00")

    assert [silence.is_active(NOW + by) for by in (-SECOND, 0 * SECOND, 3599 * SECOND, 3600 * SECOND)] == [
        False,
        True,
        True,
        False,
    ]


def test_of_several_silences_the_one_that_lasts_longest_holds_an_alert_back() -> None:
    short, long = a_silence("2024-10-22 00:00", silence_id="short"), a_silence("2024-10-30 00:00", silence_id="long")
    others = [
        a_silence("2024-12-01 00:00", silence_id="foreign", agency="H48.22"),
        a_silence("2024-12-01 00:00", silence_id="later", starts="2024-10-22 00:00"),
        a_silence("2024-10-21 09:00", silence_id="over"),
    ]
    alert = an_alert(K.OVERDUE)

    assert silencing(alert, [short, *others, long], now=NOW) == long
    assert silencing(alert, [short, *others], now=NOW) == short
    assert silencing(alert, others, now=NOW) is None
    assert silencing(alert, [], now=NOW) is None


@pytest.mark.parametrize(
    ("silence", "wrong"),
    [
        (a_silence(), None),
        (a_silence(agency=None, directive="TB-1"), None),
        (a_silence(agency=None, task_id=TASK), None),
        (a_silence(agency=None), "name what"),
        (a_silence(reason=" \n"), "reason"),
        (a_silence("2024-10-21 09:00"), "future"),
        (a_silence("2024-10-21 09:00:01"), None),
        (a_silence("2024-11-01 00:00", starts="2024-11-01 00:00"), "after starts_at"),
        (a_silence("2024-11-01 00:00", starts="2024-11-02 00:00"), "after starts_at"),
    ],
)
def test_a_silence_names_what_and_why_and_when_it_ends(silence: Silence, wrong: str | None) -> None:
    found = fault(silence, now=NOW)

    assert (found is None) if wrong is None else (found is not None and wrong in found)


def test_a_silence_lasts_a_quarter_at_most_from_when_it_begins_to_hold() -> None:
    """From now, where it began before: a start long ago makes it no shorter."""
    begun, ahead = at("2024-01-01 00:00"), at("2024-12-01 00:00")

    for starts, holds_from in ((begun, NOW), (ahead, ahead)):
        longest = replace(a_silence(), starts_at=starts, ends_at=holds_from + LONGEST)
        assert fault(longest, now=NOW) is None
        found = fault(replace(longest, ends_at=longest.ends_at + SECOND), now=NOW)
        assert found == "a silence lasts 92 days at most"
