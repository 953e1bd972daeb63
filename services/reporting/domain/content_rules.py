"""How the report to the chairman is headed, what its lists take in, and when an agency stands out. By policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Final

from services.reporting.domain.periods import Kind

_CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What stands around the content. What is left empty follows from the registry and the province's name."""

    parent: str = ""
    """The agency above the one that issues, e.g. `UBND tỉnh Quảng Ngãi`."""
    issuer: str = ""
    """In ordinary letters; by default the standing agency's name."""
    symbol: str = ""
    """Follows the number, which is left blank: `BC-STTTT`."""
    place: str = ""
    addressees: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    """Nơi nhận, line by line."""
    signer_title: str = ""
    """`GIÁM ĐỐC`; by default the title of the standing agency's head."""


class Measure(StrEnum):
    """What is proposed for an agency, the severest first."""

    CRITICISE = "criticise"
    CORRECT = "correct"
    COMMEND = "commend"


@dataclass(frozen=True, slots=True)
class CorrectionRule:
    """From when on a measure is proposed: as soon as one of its limits is reached. A limit of None never is."""

    measure: Measure
    overdue_at_least: int | None = None
    """Tasks that are open and overdue."""
    on_time_below_percent: Decimal | None = None
    """Of those that fell due; judged only where at least `due_at_least` did."""
    due_at_least: int = 1
    days_late_over: int | None = None
    """Calendar days of the agency's latest open task."""


@dataclass(frozen=True, slots=True)
class CommendationRule:
    """Who is proposed for commendation: all of these hold. Nobody where `most` is 0."""

    on_time_at_least_percent: Decimal = Decimal(100)
    due_at_least: int = 3
    overdue_at_most: int = 0
    most: int = 10
    """So many agencies at most, by rank."""


class CountedFrom(StrEnum):
    """Which stretch of time money is measured against; both end with the fiscal year."""

    FISCAL_YEAR = "fiscal_year"
    FIRST_ALLOCATION = "first_allocation"


@dataclass(frozen=True, slots=True)
class RiskRule:
    """When money is at risk of not being paid out within its fiscal year."""

    behind_points: Decimal = Decimal(20)
    """So many percentage points less is paid out than time has passed."""
    counted_from: CountedFrom = CountedFrom.FISCAL_YEAR

    def elapsed_percent(self, fiscal_year: int, first_allocated_on: date, day: date) -> Decimal:
        """How much of the time for paying out has passed at the end of a day, in percent with two decimals.

        The fiscal year is the calendar year (State Budget Law 2015 art. 14).
        """
        ends = date(fiscal_year, 12, 31)
        begins = date(fiscal_year, 1, 1)
        if self.counted_from is CountedFrom.FIRST_ALLOCATION:
            begins = min(max(begins, first_allocated_on), ends)
        days = (ends - begins).days + 1
        passed = min(max((day - begins).days + 1, 0), days)
        return (Decimal(passed) * 100 / days).quantize(_CENT, ROUND_HALF_UP)

    def is_at_risk(self, disbursed_vnd: int, allocated_vnd: int, elapsed_percent: Decimal) -> bool:
        """Whether what was paid out lags too far behind. The exact value decides, not the printed one."""
        if disbursed_vnd >= allocated_vnd:
            return False
        return Decimal(disbursed_vnd) * 100 <= (elapsed_percent - self.behind_points) * allocated_vnd


@dataclass(frozen=True, slots=True)
class ReportRules:
    """All of it, for one province."""

    letterhead: Letterhead = Letterhead()
    upcoming_days: int = 15
    """Deadlines of so many days after the day of the report are listed."""
    rows_max: int = 2_000
    """So many rows a list has at most; what is left out is counted."""
    risk: RiskRule = RiskRule()
    corrections: Sequence[CorrectionRule] = ()
    """The severest first; an agency gets the first whose limit it reaches."""
    commendation: CommendationRule = CommendationRule()
    prepares: frozenset[Kind] = frozenset(Kind)
    """The kinds of periods whose report is prepared when they close."""
