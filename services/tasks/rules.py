"""Reads the calendar and the milestone policy of a province from their files; refuses broken ones at start."""

import re
from datetime import date, time
from pathlib import Path
from typing import Annotated

import holidays
import yaml
from pydantic import BaseModel, ConfigDict, Field

from services.tasks.domain.calendar import WorkingCalendar
from services.tasks.domain.decision import Rulebook, Rules
from services.tasks.domain.milestones import MilestonePolicy

_PROVINCE = re.compile("[A-Z][0-9]{2}")
FIRST_YEAR, LAST_YEAR = 2020, 2035


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid")
    day: date
    source: Annotated[str, Field(min_length=1)]


class _CalendarFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    version: str
    decided_years: tuple[Annotated[int, Field(ge=FIRST_YEAR, le=LAST_YEAR)], ...] = ()
    days_off: tuple[_Row, ...]
    days_worked: tuple[_Row, ...]


Days = Annotated[tuple[Annotated[int, Field(ge=0, le=60)], ...], Field(max_length=20)]


class _PolicyFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    version: Annotated[str, Field(min_length=1)]
    reminder_days_before: Days
    escalation_days_after: Annotated[Days, Field(max_length=3)]
    review_days_after: Days
    reminder_time: time


def read_rulebook(calendar_file: Path, policy_file: Path, provinces_dir: str = "") -> Rulebook:
    """Read the common files and those of single provinces.

    Raises pydantic's ValidationError naming the field, OSError naming the file, or ValueError for a file or folder that
    nobody would read.
    """
    common = Rules(read_calendar(calendar_file), read_policy(policy_file))
    if not provinces_dir:
        return Rulebook(common)
    return Rulebook(common, {one.name: _of_province(one, common) for one in sorted(Path(provinces_dir).iterdir())})


def _of_province(folder: Path, common: Rules) -> Rules:
    known = {"calendar.yaml": read_calendar, "policy.yaml": read_policy}
    if not folder.is_dir() or not _PROVINCE.fullmatch(folder.name):
        raise ValueError(f"{folder}: a folder named like a province's code is expected, e.g. H48")
    stray = [one for one in folder.iterdir() if one.name not in known]
    if stray:
        raise ValueError(f"{stray[0]}: only {' and '.join(known)} are read here")
    calendar, policy = folder / "calendar.yaml", folder / "policy.yaml"
    return Rules(
        read_calendar(calendar) if calendar.exists() else common.calendar,
        read_policy(policy) if policy.exists() else common.milestones,
    )


def read_calendar(path: Path) -> WorkingCalendar:
    """Public holidays from the library, decided days from the file; the file wins."""
    content = _CalendarFile.model_validate(yaml.safe_load(path.read_text()))
    public = holidays.country_holidays("VN", years=range(FIRST_YEAR, LAST_YEAR + 1))
    days_off = {*public.keys(), *(row.day for row in content.days_off)}
    return WorkingCalendar.of(
        days_off, (row.day for row in content.days_worked), content.version, content.decided_years
    )


def read_policy(path: Path) -> MilestonePolicy:
    """The milestone policy."""
    content = _PolicyFile.model_validate(yaml.safe_load(path.read_text()))
    return MilestonePolicy(
        content.reminder_days_before,
        content.escalation_days_after,
        content.review_days_after,
        content.reminder_time,
        content.version,
    )
