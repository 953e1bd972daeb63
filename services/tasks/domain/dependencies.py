"""Clauses that need other clauses' results: no circles, and a deadline that leaves no time in between is flagged."""

from collections.abc import Iterable, Mapping
from datetime import date
from graphlib import CycleError, TopologicalSorter

from services.tasks.domain.task import Dependency


class CircleError(ValueError):
    """Clauses that wait for one another."""

    def __init__(self, clauses: Iterable[str]) -> None:
        self.clauses = tuple(clauses)
        super().__init__(" → ".join(self.clauses))


def dependencies(
    feeds: Mapping[str, Iterable[str]], last_days: Mapping[str, date | None]
) -> Mapping[str, tuple[Dependency, ...]]:
    """By clause, which others it needs. `feeds`: clause → the clauses that need it; `last_days`: nominal, where known.

    Raises CircleError, or KeyError with a clause that does not exist.
    """
    needs: dict[str, list[str]] = {clause: [] for clause in last_days}
    for clause, fed in feeds.items():
        for one in fed:
            needs[one].append(clause)
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        raise CircleError(error.args[1]) from error
    return {
        clause: tuple(_dependency(one, last_days[one], last_days[clause]) for one in needed)
        for clause, needed in needs.items()
        if needed
    }


def _dependency(needed: str, its_day: date | None, our_day: date | None) -> Dependency:
    if its_day is None or our_day is None or its_day < our_day:
        return Dependency(needed)
    return Dependency(needed, "shared_deadline" if its_day == our_day else "reversed_deadline")
