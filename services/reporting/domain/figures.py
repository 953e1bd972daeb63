"""The figures of a scope: what is counted, the arithmetic on it, and one integer that adds up all of them at once."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from operator import add, attrgetter
from typing import Final

from services.reporting.domain.schedule import UNSTATED, AsOf, Column, Judgement

_CENT = Decimal("0.01")
DELAY_CAUSES: Final = ("administrative", "disagreement", "money", "dependency", "external", "other", UNSTATED)
"""The coded list (design §4), and those of which nobody said why."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is counted for one scope. Everything else in a report follows from these. Money in đồng."""

    done_on_time: int = 0
    done_late: int = 0
    open_in_time: int = 0
    open_due_soon: int = 0
    open_overdue: int = 0
    open_no_deadline: int = 0
    ended_without_result: int = 0
    """Outside the total."""
    done_without_deadline: int = 0
    """Among done_on_time."""
    days_late: int = 0
    """Calendar days, over done_late and open_overdue."""
    late_administrative: int = 0
    late_disagreement: int = 0
    late_money: int = 0
    late_dependency: int = 0
    late_external: int = 0
    late_other: int = 0
    late_unstated: int = 0
    """The causes of those late; together done_late + open_overdue."""
    extended: int = 0
    """Tasks with at least one extension granted."""
    extensions_granted: int = 0
    extensions_refused: int = 0
    extensions_pending: int = 0
    obstacles_open: int = 0
    """Of open tasks; the stages below are of all."""
    obstacles_raised: int = 0
    obstacles_answered: int = 0
    obstacles_forwarded: int = 0
    obstacles_cleared: int = 0
    funded: int = 0
    """Tasks that money was given for."""
    allocated_vnd: int = 0
    assigned_vnd: int = 0
    """Of allocated_vnd, by the plan of the competent authority: the other denominator."""
    disbursed_vnd: int = 0

    @property
    def done(self) -> int:
        """Đã hoàn thành."""
        return self.done_on_time + self.done_late

    @property
    def open(self) -> int:
        """Chưa hoàn thành, with and without a deadline."""
        return self.open_in_time + self.open_due_soon + self.open_overdue + self.open_no_deadline

    @property
    def total(self) -> int:
        """Done and open."""
        return self.done + self.open

    @property
    def late(self) -> int:
        """Quá hạn, done or not."""
        return self.done_late + self.open_overdue

    @property
    def on_time_of_due(self) -> Decimal | None:
        """Percent on time of those that fell due: what never had a day cannot be late, and what is not due, not yet."""
        on_time = self.done_on_time - self.done_without_deadline
        return percent(on_time, on_time + self.late)

    @property
    def done_of_all(self) -> Decimal | None:
        """Percent done of all."""
        return percent(self.done, self.total)

    @property
    def disbursed_percent(self) -> Decimal | None:
        """Percent paid out of all that was allocated."""
        return percent(self.disbursed_vnd, self.allocated_vnd)

    @property
    def disbursed_of_assigned_percent(self) -> Decimal | None:
        """Percent paid out of the plan that the competent authority assigned."""
        return percent(self.disbursed_vnd, self.assigned_vnd)

    @property
    def causes(self) -> Mapping[str, int]:
        """Why tasks are late: code → how many."""
        return {cause: getattr(self, f"late_{cause}") for cause in DELAY_CAUSES}

    def as_dict(self) -> dict[str, int]:
        """Name → figure. All are numbers: dataclasses.asdict would copy each of them deeply."""
        return dict(zip(NAMES, _VALUES(self), strict=True))

    @property
    def content_hash(self) -> str:
        """sha256 of the figures alone: equal figures, equal hash, whichever period, scope or name they stand under."""
        text = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def check(self) -> None:
        """The identities of the official report (domain §2.5). AssertionError names the one that does not hold."""
        assert self.done_without_deadline <= self.done_on_time, "what has no deadline is never late"
        assert sum(self.causes.values()) == self.late, "each late task has one cause"
        assert self.extended <= self.extensions_granted, "extended by an extension"
        assert self.assigned_vnd <= self.allocated_vnd, "the plan is part of what was allocated"
        assert min(_VALUES(self)) >= 0, "counts are not negative"

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(*map(add, _VALUES(self), _VALUES(other)))


NAMES: Final = tuple(one.name for one in fields(Figures))
_VALUES: Final = attrgetter(*NAMES)


def percent(part: int | Decimal, whole: int | Decimal) -> Decimal | None:
    """Two decimals, halves up, as in official reports; None of nothing."""
    if whole == 0:
        return None
    return (Decimal(part) * 100 / Decimal(whole)).quantize(_CENT, ROUND_HALF_UP)


# -- one integer for all of them ---------------------------------------------------------------------------------------
#
# Each figure has a lane of bits in one large integer, so that a task's whole contribution is added or taken away by
# one addition. Differences may be negative; they are linear, and every sum that is read holds no negative lane.

_GROWING: Final = "growing"
_SINCE: Final = "since"
_EPOCH: Final = date(2000, 1, 1).toordinal()
_WIDTHS: Final = {"days_late": 48, _GROWING: 32, _SINCE: 56} | dict.fromkeys(
    ("allocated_vnd", "assigned_vnd", "disbursed_vnd"), 96
)


def _shifts() -> dict[str, tuple[int, int]]:
    """Name → where its lane begins, and its mask. What is small and frequent comes first: short integers."""
    ordered = [name for name in NAMES if name not in _WIDTHS] + list(_WIDTHS)
    found, shift = {}, 0
    for name in ordered:
        width = _WIDTHS.get(name, 32)
        found[name] = (shift, (1 << width) - 1)
        shift += width
    return found


_LANES: Final = _shifts()
_ONE: Final = {name: 1 << shift for name, (shift, _) in _LANES.items()}
_CAUSE_ONE: Final = {cause: _ONE[f"late_{cause}"] for cause in DELAY_CAUSES}
_ADDED_NAMES: Final = (
    "done_without_deadline",
    "extended",
    "extensions_granted",
    "extensions_refused",
    "extensions_pending",
    "obstacles_open",
    "obstacles_raised",
    "obstacles_answered",
    "obstacles_forwarded",
    "obstacles_cleared",
    "funded",
    "allocated_vnd",
    "assigned_vnd",
    "disbursed_vnd",
)
_ADDED: Final = attrgetter(*_ADDED_NAMES)
_ADDED_ONES: Final = tuple(_ONE[name] for name in _ADDED_NAMES)


def packed(judgement: Judgement | None) -> int:
    """What a task adds, as one integer. Days that still grow are kept as their beginning."""
    if judgement is None:
        return 0
    total = _ONE[judgement.column]
    if judgement.late_since is not None:
        total += _ONE[_GROWING] + (judgement.late_since.toordinal() - _EPOCH) * _ONE[_SINCE]
    else:
        total += judgement.days_late * _ONE["days_late"]
    if judgement.delay_cause is not None:
        # A code that only a newer producer knows is none of ours.
        total += _CAUSE_ONE.get(judgement.delay_cause, _CAUSE_ONE["other"])
    values = _ADDED(judgement)
    if any(values):
        total += sum(value * one for value, one in zip(values, _ADDED_ONES, strict=True) if value)
    return total


def is_in(column: Column, adds: int) -> bool:
    """Whether what one task adds stands in this column."""
    shift, mask = _LANES[column]
    return bool((adds >> shift) & mask)


def unpacked(total: int, day: date) -> Figures:
    """The figures in a sum, with days late counted to a day. The sum of a real set of tasks: no lane is negative."""
    values = {name: (total >> shift) & mask for name, (shift, mask) in _LANES.items()}
    growing, since = values.pop(_GROWING), values.pop(_SINCE)
    values["days_late"] += growing * (day.toordinal() - _EPOCH) - since
    return Figures(**values)


def sum_up(judgements: Iterable[Judgement], as_of: AsOf) -> Figures:
    """Add up what tasks contribute as of an instant."""
    return unpacked(sum(map(packed, judgements)), as_of.day)
