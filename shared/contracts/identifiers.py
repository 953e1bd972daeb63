"""The shapes of the names that cross service borders. Sources: design §4, QĐ 20/2020/QĐ-TTg (agency codes)."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints

# Letters of Vietnamese clause numbering are a b c d đ e g h i k l m n o p q r s t u v x y (no f, j, w, z).
_CLAUSE: Final = r"[IVX]+(?:\.[0-9]{1,2})?(?:\.[abcdđeghiklmnopqrstuvxy])?(?:-[0-9]{1,2})?"
_PERIOD: Final = r"2[01][0-9]{2}(?:-(?:(?:0[1-9]|1[0-2])(?:-[0-3][0-9])?|Q[1-4]|H[12]|W[0-5][0-9]))?"
_PROVINCE: Final = r"[A-Z][0-9]{2}"
# Never derive a hierarchy from a code: `H48.07` and the older `000.00.53.H48` read in opposite directions.
_AGENCY: Final = r"[A-Z0-9]{1,5}(?:\.[A-Z0-9]{1,5}){0,5}"
_DIRECTIVE: Final = r"[A-Za-z0-9Đđ][A-Za-z0-9Đđ._-]{0,79}"


def _on_the_calendar(period: str) -> str:
    """Refuse what the pattern cannot: 31 November, week 53 of a year that has 52."""
    year, _, rest = period.partition("-")
    try:
        if rest.startswith("W"):
            date.fromisocalendar(int(year), int(rest[1:]), 1)
        elif len(rest) == len("11-30"):
            date.fromisoformat(period)
    except ValueError:
        raise ValueError(f"{period} is on no calendar") from None
    return period


ProvinceCode = Annotated[str, StringConstraints(pattern=f"^{_PROVINCE}$")]
AgencyCode = Annotated[str, StringConstraints(pattern=f"^{_AGENCY}$")]
DirectiveSlug = Annotated[str, StringConstraints(pattern=f"^{_DIRECTIVE}$")]
ClauseId = Annotated[str, StringConstraints(pattern=f"^{_CLAUSE}$")]
PeriodId = Annotated[str, StringConstraints(pattern=f"^{_PERIOD}$"), AfterValidator(_on_the_calendar)]
IndicatorCode = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=300, strip_whitespace=True)]
LongText = Annotated[str, StringConstraints(max_length=4000, strip_whitespace=True)]
OwnId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$")]
"""An id that the sender chooses within one task: an obstacle, an allocation."""

PERIODIC_PARTS: Final = 5
"""Of the id of a period's task; the others have one less."""
_TASK_ID: Final = re.compile(
    f"(?P<province>{_PROVINCE})/(?P<directive>{_DIRECTIVE})/(?P<clause>{_CLAUSE})/(?P<agency>{_AGENCY})"
    f"(?:/(?P<period>{_PERIOD}))?"
)


@dataclass(frozen=True, slots=True)
class TaskName:
    """The parts of a task id `{province}/{directive}/{clause}/{agency}[/{period}]`."""

    province: str
    directive: str
    clause: str
    agency: str
    period: str | None

    def __str__(self) -> str:
        tail = f"/{self.period}" if self.period else ""
        return f"{self.province}/{self.directive}/{self.clause}/{self.agency}{tail}"


def parse_task_id(task_id: str) -> TaskName:
    """Split a task id; ValueError says what a task id looks like."""
    # Not match() with $: that lets a newline at the end through, and the task would have two names.
    match = _TASK_ID.fullmatch(task_id)
    if match is None:
        raise ValueError("a task id is {province}/{directive}/{clause}/{agency}[/{period}], all parts well formed")
    if match["period"] is not None:
        _on_the_calendar(match["period"])
    return TaskName(match["province"], match["directive"], match["clause"], match["agency"], match["period"])


def _checked(task_id: str) -> str:
    # Its form is known by now: pydantic's patterns, unlike Python's, end at the very end.
    if task_id.count("/") == PERIODIC_PARTS - 1:
        _on_the_calendar(task_id.rpartition("/")[2])
    return task_id


TaskId = Annotated[
    str,
    StringConstraints(max_length=250, pattern=f"^{_PROVINCE}/{_DIRECTIVE}/{_CLAUSE}/{_AGENCY}(?:/{_PERIOD})?$"),
    AfterValidator(_checked),
]

__all__ = [
    "AgencyCode",
    "ClauseId",
    "DirectiveSlug",
    "IndicatorCode",
    "LongText",
    "OwnId",
    "PeriodId",
    "ProvinceCode",
    "ShortText",
    "TaskId",
    "TaskName",
    "parse_task_id",
]
