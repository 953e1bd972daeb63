"""What `reporting` publishes on the report topics: an aggregate for a period and a scope."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.identifiers import AgencyCode, IndicatorCode, PeriodId, ProvinceCode, TaskId
from shared.contracts.model import Instant, Part

Count = Annotated[int, Field(ge=0)]


class Totals(Part):
    """The columns of the official report. total = done_on_time + done_late + all open_*."""

    total: Count
    done_on_time: Count
    done_late: Count
    open_in_time: Count
    open_due_soon: Count
    open_overdue: Count
    open_no_deadline: Count
    done_without_deadline: Count
    """Those of done_on_time that never had a day: they cannot be late, and stay out of the on-time rate."""
    ended_without_result: Count
    """Discontinued or transferred tasks; outside `total`."""


class Rates(Part):
    """Both official rates, in percent with two decimals; None where the denominator is zero (prints "–")."""

    on_time_of_due: Decimal | None
    """Of those that fell due: (done_on_time - done_without_deadline) / (the same + done_late + open_overdue)."""
    done_of_all: Decimal | None
    """(done_on_time + done_late) / total."""


class Money(Part):
    """Allocated and paid out, in đồng, with the rate against either denominator."""

    allocated_vnd: Count
    disbursed_vnd: Count
    disbursed_percent: Decimal | None
    """Of all that was allocated."""
    assigned_vnd: Count = 0
    """Of allocated_vnd, what the plan of the competent authority assigned."""
    disbursed_of_assigned_percent: Decimal | None = None
    funded: Count = 0
    """Tasks with money."""


class Causes(Part):
    """Why the late ones are late (done_late + open_overdue), by the coded list; `unstated`: nobody said."""

    administrative: Count = 0
    disagreement: Count = 0
    money: Count = 0
    dependency: Count = 0
    external: Count = 0
    other: Count = 0
    unstated: Count = 0


class Extensions(Part):
    """Extensions of the tasks counted."""

    granted: Count = 0
    refused: Count = 0
    pending: Count = 0
    """Asked for by open tasks, not decided."""


class Obstacles(Part):
    """Obstacles by stage, of all tasks; `open`: of tasks that are open."""

    open: Count = 0
    raised: Count = 0
    answered: Count = 0
    forwarded: Count = 0
    """Beyond the agency's authority: to the chairman or the committee."""
    cleared: Count = 0


class Earlier(Part):
    """The same scope in another period, as it stood when this revision was made."""

    period: PeriodId
    totals: Totals
    rates: Rates
    days_late: Count
    money: Money


class BenchmarkShown(Part):
    """What the country reaches or the law demands, on the day of the report."""

    kind: Literal["national_average", "minimum"]
    percent: Decimal
    valid_from: date
    source: str


class IndicatorShown(Part):
    """An indicator: its newest period that anybody had reported on."""

    code: IndicatorCode
    title: str
    period: PeriodId
    numerator: Decimal
    denominator: Decimal
    percent: Decimal | None
    at_least_percent: Decimal | None
    """The target; of several agencies only where all have the same."""
    target_document: str | None
    data_source: str | None
    agencies: Count
    """How many reported."""
    agencies_met: Count
    met: bool | None
    benchmarks: tuple[BenchmarkShown, ...] = ()


class LateFactShown(Part):
    """A fact that was received before the cut-off and came in after the close."""

    task_id: TaskId
    seq: int
    reason: str
    received_at: Instant
    recorded_at: Instant


class ChangedFigure(Part):
    """A figure of a closed report, before and after."""

    figure: str
    """Of this report by its plain name; `previous.` or `year_before.` of those beside it; `indicators.{code}`."""
    before: Decimal | None
    after: Decimal | None


class AmendmentShown(Part):
    """What this revision changed in a closed report, and why."""

    changed: tuple[ChangedFigure, ...]
    because: tuple[LateFactShown, ...]
    more: Count = 0
    """Further late facts, not named."""


class ReportPublished(Part):
    """One aggregate. While the period runs it is provisional; `final` closes it, later facts raise `revision`."""

    province: ProvinceCode
    period: PeriodId
    scope: str
    """`province`, or `agency:`, `group:`, `directive:`, `category:` and a name; `group:none` is in no group."""
    scope_name: str
    starts_on: date
    cut_off_on: date
    """The last day counted (Decree 09/2019 art. 12: the 14th)."""
    revision: Annotated[int, Field(ge=1)]
    final: bool
    totals: Totals
    rates: Rates
    days_late: Count
    """Sum over done_late and open_overdue, calendar days."""
    extended: Count
    """Tasks with at least one extension granted."""
    obstacles_open: Count
    money: Money
    content_hash: str
    """sha256 of all that is counted and compared; equal content, equal hash."""
    computed_at: Instant
    kind: Literal["weekly", "monthly", "quarterly", "half-yearly", "yearly"] = "monthly"
    regime: str = ""
    """The reporting regime that says what the period is."""
    due_on: date | None = None
    """The day by which the regime wants the report."""
    as_of: Instant | None = None
    """The instant looked back from: the cut-off, or how far time had come."""
    causes: Causes = Causes()
    extensions: Extensions = Extensions()
    obstacles: Obstacles = Obstacles()
    previous: Earlier | None = None
    """The period before."""
    year_before: Earlier | None = None
    """The same period of last year."""
    indicators: tuple[IndicatorShown, ...] = ()
    members: tuple[AgencyCode, ...] = ()
    """Of a group: its agencies."""
    amendment: AmendmentShown | None = None


class ReportPrepared(Part):
    """A period has closed and its report to the chairman can be read and downloaded. Nobody has reviewed it yet."""

    province: ProvinceCode
    period: PeriodId
    revision: Annotated[int, Field(ge=1)]
    cut_off_on: date
    due_on: date
    content_hash: str
    """sha256 of the report's content."""
    path: str
    """On reporting's HTTP address, without the ending: `.json`, `.csv`, `.xlsx`, `.docx`, `.pdf`."""
    prepared_at: Instant
