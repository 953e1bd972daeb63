"""Reads the message policy and the calendar of a province from their files; refuses broken ones at start."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.notify.domain.alert import AlertKind
from services.notify.domain.policy import NotifyPolicy
from services.notify.domain.routing import Role
from services.notify.domain.rulebook import Rulebook, Rules
from services.notify.domain.timing import DIGEST_SETTLES, REPORTED_BEFORE
from shared.workdays.files import ProvinceFiles, province_files, read_calendar
from shared.yaml_files import Place, TimeOfDay, YamlFile

LEVELS: Final = (1, 2, 3)
CHAIN: Final = (Role.AGENCY, Role.HEAD, Role.STANDING, Role.CHAIRMAN_OFFICE)
"""Who may hear an escalation, from below."""

# Strict: a number in quotes, a yes or 1.0 is a slip of the pen.
_Whole = Annotated[int, Field(strict=True)]


def _is_level(level: int) -> int:
    if level not in LEVELS:
        raise ValueError(f"there is no level {level}; levels are 1, 2 and 3")
    return level


_Level = Annotated[_Whole, AfterValidator(_is_level)]


class _Hearers(BaseModel):
    model_config = ConfigDict(extra="forbid")
    tell: tuple[Literal["agency", "head", "standing", "chairman_office"], ...] = ()
    others_of: _Level = Field(default=0, alias="with")
    """0: of no other level."""


class _PolicyFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    version: Annotated[str, Field(min_length=1)]
    digest_at: TimeOfDay
    office_hours: tuple[TimeOfDay, TimeOfDay]
    passes: tuple[AlertKind, ...]
    escalation: dict[_Level, _Hearers]
    cooperating_hear: tuple[AlertKind, ...]
    messages_per_hour: Annotated[_Whole, Field(ge=1)]
    summary_day: Annotated[_Whole, Field(ge=1, le=REPORTED_BEFORE - 1)]


def read_rulebook(calendar_file: Path, policy_file: Path, provinces_dir: str = "") -> Rulebook:
    """Read the common files and those of single provinces.

    Raises OSError naming the file, or ValueError: for a broken file with its lines, or for a file or folder that nobody
    would read.
    """
    common = Rules(read_calendar(calendar_file), read_policy(policy_file))
    provinces = {province: _own(files, common) for province, files in province_files(provinces_dir).items()}
    return Rulebook(common, provinces)


def _own(files: ProvinceFiles, common: Rules) -> Rules:
    return Rules(
        read_calendar(files.calendar) if files.calendar else common.calendar,
        read_policy(files.notify) if files.notify else common.policy,
    )


def read_policy(path: Path) -> NotifyPolicy:
    """The message policy. Raises OSError, or ValueError naming file, lines and remedies."""
    file = YamlFile.read(path)
    content = file.into(_PolicyFile)
    file.refuse(_contradictions(content))
    opens, closes = content.office_hours
    return NotifyPolicy(
        version=content.version,
        digest_at=content.digest_at,
        office_from=opens,
        office_to=closes,
        passes=frozenset(content.passes),
        levels={level: _heard(level, content.escalation) for level in LEVELS},
        cooperating_hear=frozenset(content.cooperating_hear),
        messages_per_hour=content.messages_per_hour,
        summary_day=content.summary_day,
    )


def _contradictions(content: _PolicyFile) -> Iterator[tuple[Place, str]]:
    """What each field may say for itself and not beside the others."""
    opens, closes = content.office_hours
    if opens >= closes:
        yield ("office_hours",), f"the office must close after it opens at {opens:%H:%M}; write the earlier time first"
    elif not opens <= content.digest_at < _before(closes):
        when = f"choose a time from {opens:%H:%M} on and before {_before(closes):%H:%M}"
        yield ("digest_at",), f"the office is closed then, so digests would never leave on time; {when}"
    for level in LEVELS:
        if level not in content.escalation:
            yield ("escalation",), f"level {level} is missing; add it, such as {level}: {{tell: [agency, head]}}"
        elif loop := _loop(level, content.escalation):
            if level == min(loop):
                names = " → ".join(map(str, (*loop, level)))
                yield ("escalation", level, "with"), f"levels go round in a loop ({names}); take one `with` out"
        elif not _heard(level, content.escalation):
            yield ("escalation", level), "nobody would hear of it; name somebody in `tell`"


def _before(closes: time) -> time:
    """When a digest must be due at the latest: it leaves a little after its hour."""
    return (datetime.combine(date.min, closes) - DIGEST_SETTLES).time()


def _chain_of(level: int, levels: Mapping[int, _Hearers]) -> tuple[list[int], int]:
    """The levels that `with` leads through, and the one where it ends: 0, one that is missing, or one passed before."""
    passed: list[int] = []
    while level in levels and level not in passed:
        passed.append(level)
        level = levels[level].others_of
    return passed, level


def _loop(level: int, levels: Mapping[int, _Hearers]) -> list[int]:
    """The levels of the loop that a level is part of; empty where it is part of none."""
    passed, end = _chain_of(level, levels)
    return passed if end == level else []


def _heard(level: int, levels: Mapping[int, _Hearers]) -> tuple[Role, ...]:
    passed, _ = _chain_of(level, levels)
    told = {name for one in passed for name in levels[one].tell}
    return tuple(role for role in CHAIN if role in told)
