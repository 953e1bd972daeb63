"""Due rules as a document states them: the named day and the word before it, never a computed date."""

from datetime import time
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema, model_validator

from shared.contracts.identifiers import PeriodId
from shared.contracts.model import Day, Part


def _local(hour: time) -> time:
    if hour.tzinfo is not None:
        raise ValueError("a local time has no offset")
    return hour


LocalTime = Annotated[
    time,
    AfterValidator(_local),
    # JSON Schema's own format `time` demands an offset.
    WithJsonSchema({"type": "string", "pattern": "^(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?$"}),
]


class Boundary(StrEnum):
    """The word before the named day."""

    BEFORE = "before"
    """trước ngày D: the last day is D - 1."""
    BY = "by"
    """đến, chậm nhất ngày D: the last day is D."""
    WITHIN = "within"
    """trong tháng, quý, năm: the last day of the named period."""


class Every(StrEnum):
    """How often a recurring obligation falls due."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    HALF_YEARLY = "half_yearly"
    YEARLY = "yearly"


class Nature(StrEnum):
    """Why an obligation has no day."""

    STANDING = "standing"
    BY_REFERENCE = "by_reference"
    CONDITIONAL = "conditional"
    INDICATOR = "indicator"


class DayUnit(StrEnum):
    """What a number of days counts."""

    CALENDAR = "calendar"
    WORKING = "working"


class FixedDue(Part):
    """One named day (`before`, `by`) or one named period (`within`)."""

    kind: Literal["fixed"] = "fixed"
    boundary: Boundary
    day: Day | None = None
    """The day the document names; required with `before` and `by`."""
    period: PeriodId | None = None
    """The period the document names (`2024-11`, `2024-Q4`, `2025`); required with `within`."""
    hour: LocalTime | None = None
    """Local time on the last day where the document gives one; otherwise the day ends at 24:00."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "FixedDue":
        if (self.boundary is Boundary.WITHIN) != (self.period is not None) or (self.day is None) == (
            self.period is None
        ):
            raise ValueError("'before' and 'by' take a day, 'within' takes a period")
        return self


class RecurringDue(Part):
    """A day in every period. `day` is what the document names; without one, the period's last day."""

    kind: Literal["recurring"] = "recurring"
    every: Every
    boundary: Boundary = Boundary.WITHIN
    day: Annotated[int, Field(ge=1, le=31)] | None = None
    """Day of the period's last month; ISO weekday (1 to 7) for weekly rules. Absent with `within`."""
    starts_on: Day
    ends_on: Day | None = None
    hour: LocalTime | None = None
    """Local time on the last day where the document gives one; otherwise the day ends at 24:00."""

    @model_validator(mode="after")
    def _day_fits_boundary(self) -> "RecurringDue":
        if (self.boundary is Boundary.WITHIN) != (self.day is None):
            raise ValueError("'before' and 'by' take a day, 'within' takes none")
        if self.ends_on is not None and self.ends_on < self.starts_on:
            raise ValueError("ends_on is before starts_on")
        if self.every is Every.DAILY and self.day is not None:
            raise ValueError("a daily rule names no day; use 'within', with an hour where the document gives one")
        if self.every is Every.WEEKLY and self.day is not None and self.day > 7:
            raise ValueError("a weekly rule names an ISO weekday, 1 to 7")
        return self


class RelativeDue(Part):
    """A number of days after an event or a named day; the first day is not counted (Civil Code art. 147)."""

    kind: Literal["relative"] = "relative"
    days: Annotated[int, Field(ge=1, le=3660)]
    unit: DayUnit = DayUnit.CALENDAR
    after: Literal["directive_issued", "assigned"] | Day = "directive_issued"


class OpenEndedDue(Part):
    """No day. Tracked, but never in a rate."""

    kind: Literal["open_ended"] = "open_ended"
    nature: Nature = Nature.STANDING


class ConditionalDue(Part):
    """Nothing is owed until the condition occurs; each occurrence (`obligation.triggered`) opens tasks of its own."""

    kind: Literal["conditional"] = "conditional"
    trigger: Annotated[str, StringConstraints(min_length=1, max_length=300, strip_whitespace=True)]
    """The condition as the document words it, e.g. "trường hợp vượt thẩm quyền"."""
    days: Annotated[int, Field(ge=1, le=3660)] | None = None
    """Days after the occurrence; the day itself is not counted. Absent where the document only says "kịp thời"."""
    unit: DayUnit = DayUnit.CALENDAR


class ByReferenceDue(Part):
    """The day stands in another document. Tasks are open at once, without a day until `obligation.dated` names it."""

    kind: Literal["by_reference"] = "by_reference"
    reference: Annotated[str, StringConstraints(min_length=1, max_length=300, strip_whitespace=True)]
    """What the document refers to, e.g. "theo quy định của Luật Đầu tư công"."""


DueRule = Annotated[
    FixedDue | RecurringDue | RelativeDue | ConditionalDue | ByReferenceDue | OpenEndedDue,
    Field(discriminator="kind"),
]
