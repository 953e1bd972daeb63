"""What `tasks` publishes on the agency, indicator and directive topics: one record a thing, as it stands."""

from datetime import date
from decimal import Decimal
from typing import Literal

from shared.contracts.authority_events import AgencyRole, Category
from shared.contracts.identifiers import AgencyCode, ClauseId, DirectiveSlug, IndicatorCode, PeriodId, ProvinceCode
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
    head_name: str | None = None
    """Who heads it. Personal data: for reports that name the responsible head, never for a log or a label."""
    contact: str | None
    head_contact: str | None
    cause: Cause


class IndicatorReport(Part):
    """One value that the agency reported."""

    numerator: Decimal
    denominator: Decimal
    data_source: str
    cause: Cause


class IndicatorTarget(Part):
    """One target that the authority set."""

    at_least_percent: Decimal
    title: str
    document: Document
    general: bool
    """Set for every agency of the province. One that was set for this agency alone wins, whichever came later."""
    cause: Cause


class IndicatorValue(Part):
    """One agency's value of an indicator for a period, with the target it is measured against, and how it came so.

    The flat fields are what is in force: the report received last, and the agency's own target received last, or the
    general one where it has none of its own. The same rule on what `reports` and `targets` hold up to an instant gives
    what was in force then; of two that were received at the same instant, the later in the list counts.

    An agency that never reported has no record, whatever target was set for it: who owes a value and gave none cannot
    be seen here. Its first record holds every target that was set before.
    """

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
    reports: tuple[IndicatorReport, ...] = ()
    """All that was ever reported, each event once, in order of receipt. Absent from records of before it was kept."""
    targets: tuple[IndicatorTarget, ...] = ()
    """All that was ever set for this agency or for every one, likewise."""


class DirectiveObligation(Part):
    """One clause of a directive, in its own words. The days that it gives are told with its tasks."""

    clause: ClauseId
    title: str
    phrase: str
    """The deadline as the document words it, verbatim."""
    category: Category
    leads: tuple[str, ...]
    """Agency codes and groups (`@all`), as the directive names them. Who is meant is told with its tasks."""
    cooperating: tuple[str, ...]
    bases: tuple[str, ...]
    acceptance: Literal["reviewer", "automatic"]
    reviewer: AgencyCode | None
    """Who judges the result; None: the province's standing agency."""
    feeds: tuple[ClauseId, ...]
    """Clauses of the same directive that need this one's result."""


class DirectiveChanged(Part):
    """A directive as its highest revision says, and whether it still stands. `seq` grows with every change of it."""

    province: ProvinceCode
    directive: DirectiveSlug
    seq: int
    revision: int
    """Numbers may be left out; a lower one never replaces a higher one."""
    kind: str
    """TB, QĐ, KH, CT, CV and so on (Decree 30/2020, annex III)."""
    number: str | None
    issuer: str
    issued_on: date
    title: str
    obligations: tuple[DirectiveObligation, ...]
    """Of this revision, also those that have no task yet, or never will."""
    issued: Cause
    """What brought its first revision."""
    cause: Cause
    """What brought this change: a revision or the revocation."""
    revoked: Cause | None
    """What withdrew it; None while it stands. The obligations stay, as they were."""
    revoked_document: Document | None
    revoked_reason: str | None
