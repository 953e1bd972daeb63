"""The whole content of the report on a period, to the chairman: what every file of it says, and the content's hash."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from services.reporting.domain.content_rules import CountedFrom, Measure
from services.reporting.domain.figures import Figures
from services.reporting.domain.indicators import IndicatorFigure
from services.reporting.domain.periods import Kind

VERSION: Final = 1
"""Raised with every change of what a content says of the same facts."""


@dataclass(frozen=True, slots=True)
class Span:
    """The period, as it was cut when its report was made."""

    id: str
    kind: Kind
    starts_on: date
    cut_off_on: date
    due_on: date
    regime_name: str
    citation: str


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands around the content. The number is left blank: it is given when the document is signed."""

    parent: str
    issuer: str
    """In ordinary letters."""
    symbol: str
    place: str
    dated_on: date
    """The day after the cut-off; of an amendment or a running period, the day it was made. Not part of the hash."""
    addressees: tuple[str, ...]
    recipients: tuple[str, ...]
    signer_title: str
    signer_name: str | None


class State(StrEnum):
    """What goes on with an open task."""

    RUNNING = "running"
    AWAITING_REVIEW = "awaiting_review"
    SUSPENDED = "suspended"


class Stage(StrEnum):
    """How far an obstacle has come."""

    RAISED = "raised"
    ANSWERED = "answered"
    FORWARDED = "forwarded"


@dataclass(frozen=True, slots=True)
class TaskShown:
    """Which task a row is about."""

    task_id: str
    clause: str
    period: str | None
    title: str
    directive: str
    directive_number: str
    """As people cite it; where it has none yet, its title or its slug."""
    agency: str
    agency_name: str


@dataclass(frozen=True, slots=True)
class ObstacleShown:
    """An obstacle that still stands."""

    description: str
    raised_on: date
    beyond_authority: bool
    stage: Stage


@dataclass(frozen=True, slots=True)
class OverdueRow:
    """A task that is open and overdue."""

    task: TaskShown
    legal: date
    days_late: int
    """Calendar days at the day of the report; where a result waits for its verdict, when it was handed in."""
    state: State
    delay_cause: str
    """A code of figures.DELAY_CAUSES."""
    delay_note: str
    obstacles: tuple[ObstacleShown, ...]
    head_name: str | None
    head_title: str | None


@dataclass(frozen=True, slots=True)
class UpcomingRow:
    """A task whose day comes near."""

    task: TaskShown
    legal: date
    operational: date
    days_left: int
    """Calendar days to the legal last day."""
    state: State
    obstacles: int


@dataclass(frozen=True, slots=True)
class ExtensionRow:
    """An extension that was granted in the period."""

    task: TaskShown
    version: int
    original_day: date | None
    """What the directive said; None where it is the directive itself that grants."""
    old_day: date | None
    new_day: date
    granted_on: date
    """The day on which it was received."""
    document_number: str | None
    document_issued_on: date | None
    document_issuer: str | None


@dataclass(frozen=True, slots=True)
class FundedRow:
    """A task with money. Money in đồng."""

    task: TaskShown
    fiscal_year: int
    """Of the newest allocation."""
    allocated_vnd: int
    assigned_vnd: int
    disbursed_vnd: int
    disbursed_percent: Decimal | None
    disbursed_of_assigned_percent: Decimal | None
    disbursed_as_of: date | None
    elapsed_percent: Decimal
    """Of the time for paying out."""
    at_risk: bool
    documents: tuple[str, ...]
    """Of the allocations, by number."""


@dataclass(frozen=True, slots=True)
class AgencyRow:
    """An agency's figures, and who heads it."""

    code: str
    name: str
    head_name: str | None
    head_title: str | None
    figures: Figures
    days_late_most: int
    """Of its latest open task."""
    obstructed: int
    """Of its overdue tasks, those with an obstacle that stands."""


@dataclass(frozen=True, slots=True)
class IndicatorBehind:
    """An agency that does not reach its target."""

    code: str
    title: str
    period: str
    agency: str
    agency_name: str
    percent: Decimal | None
    at_least_percent: Decimal


@dataclass(frozen=True, slots=True)
class Ranked:
    """An agency's place; None where nothing of its fell due."""

    place: int | None
    agency: str
    agency_name: str
    due: int
    on_time: int
    on_time_of_due: Decimal | None
    done_of_all: Decimal | None
    overdue: int
    days_late: int


class ReasonKind(StrEnum):
    """What a proposal rests on."""

    OVERDUE = "overdue"
    ON_TIME_RATE = "on_time_rate"
    DAYS_LATE = "days_late"
    NONE_OVERDUE = "none_overdue"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason, in numbers: what was found, and the limit by policy."""

    kind: ReasonKind
    value: Decimal
    limit: Decimal
    of: int | None = None
    """Of a rate: how many fell due."""
    task_id: str | None = None
    """Of days: which task."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is proposed for an agency, and why."""

    measure: Measure
    agency: str
    agency_name: str
    head_name: str | None
    head_title: str | None
    reasons: tuple[Reason, ...]
    obstructed: int
    """Of its overdue tasks, those with an obstacle that stands: to be weighed by who decides."""


@dataclass(frozen=True, slots=True)
class FigureChanged:
    """A figure that an amendment changed."""

    figure: str
    before: Decimal | None
    after: Decimal | None


@dataclass(frozen=True, slots=True)
class Content:
    """The report. `*_left_out`: rows beyond the most that a list may have."""

    province: str
    province_name: str
    span: Span
    provisional: bool
    """The period still runs: figures are as of `as_of`, and nobody should sign this."""
    as_of: datetime
    day: date
    """The day counted to: the cut-off, or today."""
    report_revision: int
    """Of the province's figures."""
    heading: Heading
    figures: Figures
    previous_period: str | None
    previous: Figures | None
    year_before_period: str | None
    year_before: Figures | None
    agencies: tuple[AgencyRow, ...]
    overdue: tuple[OverdueRow, ...]
    overdue_left_out: int
    upcoming_until: date
    upcoming: tuple[UpcomingRow, ...]
    upcoming_left_out: int
    extensions: tuple[ExtensionRow, ...]
    extensions_left_out: int
    funded: tuple[FundedRow, ...]
    funded_left_out: int
    funded_at_risk: int
    """Of all, also of those left out."""
    at_risk_behind_points: Decimal
    at_risk_counted_from: CountedFrom
    indicators: tuple[IndicatorFigure, ...]
    indicators_behind: tuple[IndicatorBehind, ...]
    ranking: tuple[Ranked, ...]
    proposals: tuple[Proposal, ...]
    """Severest first, commendations last."""
    amended: tuple[FigureChanged, ...] = ()
    """What the last amendment of the province's figures changed."""
    late_facts: int = 0
    """How many facts that came in late it rests on."""
    lists_agree: bool = True
    """Lists and figures were made from the same facts; False where new ones came in between."""
    version: int = VERSION

    @property
    def content_hash(self) -> str:
        """sha256 of all that is said, whatever day it is dated: equal content, equal hash."""
        content = asdict(self)
        del content["heading"]["dated_on"]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=_text)
        return hashlib.sha256(text.encode()).hexdigest()

    def of(self, *measures: Measure) -> tuple[Proposal, ...]:
        """The proposals for these measures."""
        return tuple(one for one in self.proposals if one.measure in measures)

    @property
    def left_out(self) -> Mapping[str, int]:
        """List → rows left out."""
        return {
            "overdue": self.overdue_left_out,
            "upcoming": self.upcoming_left_out,
            "extensions": self.extensions_left_out,
            "funded": self.funded_left_out,
        }


def _text(value: Any) -> str:
    # 45.80 and 45.8 are the same number.
    return format(value.normalize(), "f") if isinstance(value, Decimal) else str(value)


@dataclass(frozen=True, slots=True)
class Prepared:
    """One revision of a report that was prepared when its period had closed."""

    revision: int
    """Its own; several revisions of the figures may have made no difference."""
    content: Content
    content_hash: str
    prepared_at: datetime

    @property
    def key(self) -> str:
        """`{province}/{period}/prepared`: one report, all revisions."""
        return f"{self.content.province}/{self.content.span.id}/prepared"


@dataclass(frozen=True, slots=True)
class PreparedHead:
    """What must be known of the last revision to decide on the next."""

    revision: int
    report_revision: int
    """Of the province's figures that it was looked at with."""
    content_hash: str
