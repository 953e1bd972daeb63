"""Settings of tasks."""

from pathlib import Path

from pydantic import Field

from shared.runtime.settings import ReadingSettings
from shared.workdays.files import VIETNAM


class Settings(ReadingSettings):
    """What tasks needs beside what every process needs."""

    http_port: int = 8081
    batch_records_max: int = 500
    """A batch is held until all of it is told; a thousand records at once take ten megabytes more and gain nothing."""
    timer_poll_seconds: float = 0.02
    """Real time between looks at what time does."""
    tasks_together: int = Field(80, ge=1)
    """Tasks written and told together; in a backlog some 400 facts, a megabyte."""
    calendar_file: Path = VIETNAM
    policy_file: Path = Path(__file__).with_name("policies") / "default.yaml"
    provinces_dir: str = ""
    """Folders of provinces with rules of their own, `H48/calendar.yaml` and `H48/policy.yaml`. Empty: none."""
