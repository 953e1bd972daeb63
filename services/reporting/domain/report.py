"""A report: its figures and their arithmetic, its hash, and when it deserves a new revision."""

import hashlib
import json
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

PROVINCE_SCOPE = "province"
_AGENCY_PREFIX = "agency:"
_CENT = Decimal("0.01")


def agency_scope(agency: str) -> str:
    """The scope of one agency's report."""
    return f"{_AGENCY_PREFIX}{agency}"


def agency_of(scope: str) -> str | None:
    """The agency of a scope; None for the whole province."""
    return scope.removeprefix(_AGENCY_PREFIX) if scope.startswith(_AGENCY_PREFIX) else None


@dataclass(frozen=True, slots=True)
class Figures:
    """What is counted for one scope. Everything else in a report follows from these."""

    done_on_time: int = 0
    done_late: int = 0
    open_in_time: int = 0
    open_due_soon: int = 0
    open_overdue: int = 0
    open_no_deadline: int = 0
    done_without_deadline: int = 0
    """Among done_on_time."""
    ended_without_result: int = 0
    """Outside the total."""
    days_late: int = 0
    extended: int = 0
    obstacles_open: int = 0
    allocated_vnd: int = 0
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
    def on_time_of_due(self) -> Decimal | None:
        """Percent on time of those that fell due: what never had a day cannot be late, and what is not due, not yet."""
        on_time = self.done_on_time - self.done_without_deadline
        return percent(on_time, on_time + self.done_late + self.open_overdue)

    @property
    def done_of_all(self) -> Decimal | None:
        """Percent done of all."""
        return percent(self.done, self.total)

    @property
    def disbursed_percent(self) -> Decimal | None:
        """Percent paid out of what was allocated."""
        return percent(self.disbursed_vnd, self.allocated_vnd)

    @property
    def content_hash(self) -> str:
        """sha256 of the figures alone: equal figures, equal hash, whichever period, scope or name they stand under."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def percent(part: int, whole: int) -> Decimal | None:
    """Two decimals, halves up, as in official reports; None of nothing."""
    if whole == 0:
        return None
    return (Decimal(part) * 100 / Decimal(whole)).quantize(_CENT, ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class Head:
    """What must be known of the last revision to decide on the next."""

    revision: int
    final: bool
    content_hash: str
    scope_name: str


@dataclass(frozen=True, slots=True)
class Report:
    """One revision of the report on a province or an agency for a period."""

    province: str
    period: str
    scope: str
    scope_name: str
    regime: str
    starts_on: date
    cut_off_on: date
    final: bool
    figures: Figures
    computed_at: datetime
    revision: int = 1

    @property
    def key(self) -> str:
        """`{province}/{period}/{scope}`: one report, all revisions."""
        return f"{self.province}/{self.period}/{self.scope}"

    @property
    def head(self) -> Head:
        """What the next revision is compared with."""
        return Head(self.revision, self.final, self.figures.content_hash, self.scope_name)


class Reason(StrEnum):
    """Why a report is published anew, or is not."""

    FIRST = "first"
    FIGURES = "figures"
    CLOSED = "closed"
    AMENDED = "amended"
    NAMED = "named"
    UNCHANGED = "unchanged"  # the only one that stays silent


def why_revise(last: Head | None, draft: Report) -> Reason:
    """Say whether a freshly computed report deserves a revision, and why."""
    if last is None:
        return Reason.FIRST
    if last.final and not draft.final:
        # What was closed stays closed, even if this replica does not know yet how far time has come.
        return Reason.UNCHANGED
    if draft.final and not last.final:
        return Reason.CLOSED
    if draft.figures.content_hash != last.content_hash:
        return Reason.AMENDED if draft.final else Reason.FIGURES
    # A closed report keeps the name of its time (domain §2.8), unless it went out before the name was known at all.
    if draft.scope_name != last.scope_name and (not draft.final or last.scope_name == agency_of(draft.scope)):
        return Reason.NAMED
    return Reason.UNCHANGED


def revise(last: Head | None, draft: Report) -> Report:
    """The draft as the next revision."""
    if last is None:
        return draft
    keeps_name = last.final and last.scope_name != agency_of(draft.scope)
    return replace(draft, revision=last.revision + 1, scope_name=last.scope_name if keeps_name else draft.scope_name)


def in_order(reports: Iterable[Report]) -> list[Report]:
    """The province first, then agencies by name."""
    return sorted(reports, key=lambda one: (one.scope != PROVINCE_SCOPE, name_key(one.scope_name), one.scope))


_LETTERS = {letter: order for order, letter in enumerate("aăâbcdđeêfghijklmnoôơpqrstuưvwxyz")}
_SHAPES = "\u0302\u0306\u031b"  # circumflex, breve, horn make another letter; the five tone marks do not


def name_key(name: str) -> tuple[tuple[int, ...], str]:
    """Vietnamese alphabetical order: đ after d, ê after e; tones decide only between equal letters."""
    bare = "".join(mark for mark in unicodedata.normalize("NFD", name.casefold()) if _is_letter(mark))
    letters = unicodedata.normalize("NFC", bare)
    return tuple(_LETTERS.get(letter, ord(letter) - 1000) for letter in letters), name


def _is_letter(mark: str) -> bool:
    return not unicodedata.combining(mark) or mark in _SHAPES
