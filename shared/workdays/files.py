"""Reads the working calendar, and finds the files of provinces that have rules of their own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Final

import holidays
from pydantic import BaseModel, ConfigDict, Field

from shared.workdays.calendar import WorkingCalendar
from shared.yaml_files import read_yaml

VIETNAM: Final = Path(__file__).with_name("vietnam.yaml")
"""The calendar where nothing else is said."""
FIRST_YEAR, LAST_YEAR = 2020, 2035
_PROVINCE = re.compile("[A-Z][0-9]{2}")


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


@dataclass(frozen=True, slots=True)
class ProvinceFiles:
    """What one province has of its own; None where the common file holds."""

    calendar: Path | None
    """Which days are worked: read by tasks, notify and reporting."""
    policy: Path | None
    """The milestones: read by tasks."""
    notify: Path | None
    """The messages: read by notify."""
    reporting: Path | None = None
    """Periods and reports: read by reporting."""


_FILES: Final = ("calendar.yaml", "policy.yaml", "notify.yaml", "reporting.yaml")


def read_calendar(path: Path) -> WorkingCalendar:
    """Public holidays from the library, decided days from the file; the file wins.

    Raises OSError, or ValueError naming file, line and remedy.
    """
    content = read_yaml(path, _CalendarFile)
    public = holidays.country_holidays("VN", years=range(FIRST_YEAR, LAST_YEAR + 1))
    days_off = {*public.keys(), *(row.day for row in content.days_off)}
    return WorkingCalendar.of(
        days_off, (row.day for row in content.days_worked), content.version, content.decided_years
    )


def province_files(folder: str) -> Mapping[str, ProvinceFiles]:
    """Province code → its files, of a folder with folders such as `H48`; of none, nothing.

    Raises OSError, or ValueError for a file or folder that nobody would read.
    """
    return {one.name: _of_province(one) for one in sorted(Path(folder).iterdir())} if folder else {}


def _of_province(folder: Path) -> ProvinceFiles:
    if not folder.is_dir() or not _PROVINCE.fullmatch(folder.name):
        raise ValueError(f"{folder}: a folder named like a province's code is expected, e.g. H48")
    stray = sorted(one for one in folder.iterdir() if one.name not in _FILES)
    if stray:
        raise ValueError(f"{stray[0]}: only {', '.join(_FILES)} are read here")
    return ProvinceFiles(*(path if path.exists() else None for path in map(folder.joinpath, _FILES)))
