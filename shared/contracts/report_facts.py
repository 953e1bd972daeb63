"""What `reporting` publishes on the report topics: an aggregate for a period and a scope."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from shared.contracts.identifiers import PeriodId, ProvinceCode
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
    """Allocated and paid out, in đồng, with the rate."""

    allocated_vnd: Count
    disbursed_vnd: Count
    disbursed_percent: Decimal | None


class ReportPublished(Part):
    """One aggregate. While the period runs it is provisional; `final` closes it, later facts raise `revision`."""

    province: ProvinceCode
    period: PeriodId
    scope: str
    """`province`, or `agency:{code}`."""
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
    obstacles_open: Count
    money: Money
    content_hash: str
    """sha256 of the figures; equal figures, equal hash."""
    computed_at: Instant
