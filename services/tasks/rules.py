"""Reads the milestone policy and the calendar of a province from their files; refuses broken ones at start."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from services.tasks.domain.decision import Rulebook, Rules
from services.tasks.domain.milestones import MilestonePolicy
from shared.workdays.files import ProvinceFiles, province_files, read_calendar
from shared.yaml_files import TimeOfDay, read_yaml

Days = Annotated[tuple[Annotated[int, Field(ge=0, le=60)], ...], Field(max_length=20)]


class _PolicyFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    version: Annotated[str, Field(min_length=1)]
    reminder_days_before: Days
    escalation_days_after: Annotated[Days, Field(max_length=3)]
    review_days_after: Days
    reminder_time: TimeOfDay


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
        read_policy(files.policy) if files.policy else common.milestones,
    )


def read_policy(path: Path) -> MilestonePolicy:
    """The milestone policy."""
    content = read_yaml(path, _PolicyFile)
    return MilestonePolicy(
        content.reminder_days_before,
        content.escalation_days_after,
        content.review_days_after,
        content.reminder_time,
        content.version,
    )
