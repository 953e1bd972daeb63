"""The ledger: what all tasks of some partitions add, by scope and by cut-off, kept up to date task by task."""

import heapq
from collections.abc import Iterator, Mapping
from datetime import date
from typing import TypeAlias

from services.reporting.domain.periods import Regime
from services.reporting.domain.scopes import Labels
from services.reporting.domain.trace import NOTHING, Moment, Step, Trace, day_of, difference

Sums: TypeAlias = dict[str, int]
"""Scope → the sum of what tasks add (figures.packed). A scope that nothing was added to is not there."""


class Ledger:
    """A province's sums, in portions: each cut-off has what changed since the cut-off before it.

    What is as of a cut-off is the sum of all portions up to it. What lies in the future waits by its moment, so that
    a change that only time brings (a deadline passes) comes in when time has come there.
    """

    def __init__(self, regime: Regime, reached: Moment = 0) -> None:
        self._regime = regime
        self._portions: dict[date, Sums] = {}
        self._ahead: dict[Moment, Sums] = {}
        self._next: list[Moment] = []
        self._cut_offs: dict[date, date] = {}
        self._changed: set[date] = set()
        self.reached = reached
        """How far time has come: what is later has not happened."""

    def put(self, old: tuple[Labels, Trace] | None, new: tuple[Labels, Trace]) -> Moment | None:
        """Replace what a task added before. Returns the first moment where that makes a difference; None: nowhere."""
        labels, now = new
        before = old[1] if old is not None and old[0] == labels else NOTHING
        changes: list[tuple[tuple[str, ...], Step]] = []
        if old is not None and old[0] != labels:
            changes += ((old[0].scopes(), step) for step in difference(old[1], NOTHING))
        scopes = labels.scopes()
        changes += ((scopes, step) for step in difference(before, now))
        for where, (at, adds) in changes:
            self._add(where, at, adds)
        return min((step.at for _, step in changes), default=None)

    def _add(self, scopes: tuple[str, ...], at: Moment, adds: int) -> None:
        if at <= self.reached:
            self._add_to(self._portion(at), dict.fromkeys(scopes, adds))
            return
        waiting = self._ahead.get(at)
        if waiting is None:
            waiting = self._ahead[at] = {}
            heapq.heappush(self._next, at)
        self._add_to(waiting, dict.fromkeys(scopes, adds))

    def advance(self, to: Moment) -> None:
        """Time has come there. It never goes back."""
        while self._next and self._next[0] <= to:
            at = heapq.heappop(self._next)
            self._add_to(self._portion(at), self._ahead.pop(at))
        self.reached = max(self.reached, to)

    def _portion(self, at: Moment) -> Sums:
        cut_off = self.cut_off(at)
        self._changed.add(cut_off)
        return self._portions.setdefault(cut_off, {})

    def cut_off(self, at: Moment) -> date:
        """The first cut-off, of any kind of period, that a moment counts for."""
        day = day_of(at)
        if day not in self._cut_offs:
            self._cut_offs[day] = self._regime.cut_off_after(day)
        return self._cut_offs[day]

    def last_cut_off_before(self, day: date) -> date:
        """The newest cut-off whose day has ended when a day begins."""
        return self._regime.cut_off_before(day)

    @staticmethod
    def _add_to(sums: Sums, adds: Mapping[str, int]) -> None:
        for scope, one in adds.items():
            total = sums.get(scope, 0) + one
            if total:
                sums[scope] = total
            else:
                sums.pop(scope, None)

    @property
    def next_change(self) -> Moment | None:
        """When time alone brings the next change; None: never."""
        return self._next[0] if self._next else None

    def portions(self) -> Mapping[date, Sums]:
        """Cut-off → what changed between the cut-off before and it, as far as time has come."""
        return self._portions

    def take_changed(self) -> set[date]:
        """The cut-offs whose portion changed since this was last asked."""
        changed, self._changed = self._changed, set()
        return changed


def running_sums(portions: Mapping[date, Mapping[str, int]]) -> Iterator[tuple[date, Sums]]:
    """Each cut-off with its sums, in order of time. The sums are a new dictionary each time."""
    sums: Sums = {}
    for cut_off in sorted(portions):
        sums = dict(sums)
        Ledger._add_to(sums, portions[cut_off])
        yield cut_off, sums


def added_up(portions: list[Mapping[date, Mapping[str, int]]]) -> dict[date, Sums]:
    """The portions of several ledgers, as if all their tasks stood in one."""
    total: dict[date, Sums] = {}
    for one in portions:
        for cut_off, sums in one.items():
            Ledger._add_to(total.setdefault(cut_off, {}), sums)
    return total
