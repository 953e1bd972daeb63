"""Clauses that need one another's results: flags for the author, no circles."""

from datetime import date
from itertools import pairwise

import pytest

from services.tasks.domain.dependencies import CircleError, dependencies
from services.tasks.domain.task import Dependency

OCT_19, OCT_29 = date(2024, 10, 19), date(2024, 10, 29)


@pytest.mark.parametrize(
    ("source", "target", "conflict"),
    [
        (OCT_19, OCT_29, None),
        (OCT_19, OCT_19, "shared_deadline"),  # II.1.h and II.2.g of the notice: domain §4, defect 2
        (OCT_29, OCT_19, "reversed_deadline"),
        (None, OCT_19, None),
        (OCT_19, None, None),
    ],
)
def test_a_deadline_that_leaves_no_time_in_between_is_flagged(
    source: date | None, target: date | None, conflict: str | None
) -> None:
    found = dependencies({"II.1.h": ["II.2.g"]}, {"II.1.h": source, "II.2.g": target})

    assert found == {"II.2.g": (Dependency("II.1.h", conflict),)}  # type: ignore[arg-type]


def test_a_circle_is_named_in_the_order_of_its_clauses() -> None:
    feeds = {"I.1": ["I.2"], "I.2": ["I.3"], "I.3": ["I.1"]}

    with pytest.raises(CircleError) as found:
        dependencies(feeds, dict.fromkeys(feeds))

    circle = found.value.clauses
    assert circle[0] == circle[-1]
    assert all(later in feeds[earlier] for earlier, later in pairwise(circle))


def test_a_clause_that_feeds_itself_is_a_circle() -> None:
    with pytest.raises(CircleError):
        dependencies({"I.1": ["I.1"]}, {"I.1": None})


def test_an_unknown_clause_is_named() -> None:
    with pytest.raises(KeyError, match=r"II\.9"):
        dependencies({"I.1": ["II.9"]}, {"I.1": None})
