"""What `tasks` publishes on the agency and indicator topics."""

from datetime import date
from decimal import Decimal

from shared.contracts.authority_events import AgencyRole
from shared.contracts.identifiers import AgencyCode, IndicatorCode, PeriodId, ProvinceCode
from shared.contracts.model import Document, Instant, Part
from shared.contracts.task_facts import Cause


class AgencyChanged(Part):
    """The agency's record as it stands. `seq` grows with every change of it."""

    province: ProvinceCode
    code: AgencyCode
    seq: int
    name: str
    role: AgencyRole
    groups: tuple[str, ...]
    valid_from: date
    valid_to: date | None
    """Its last day; None while it exists."""
    successors: tuple[AgencyCode, ...]
    basis: Document | None
    ended: Cause | None = None
    """The reorganisation that ended it."""
    head_title: str | None
    contact: str | None
    head_contact: str | None
    cause: Cause


class IndicatorValue(Part):
    """One agency's value of an indicator for a period, with the target it is measured against."""

    province: ProvinceCode
    agency: AgencyCode
    code: IndicatorCode
    period: PeriodId
    seq: int
    title: str
    numerator: Decimal | None
    denominator: Decimal | None
    data_source: str | None
    reported_at: Instant | None
    at_least_percent: Decimal | None
    target_document: Document | None
