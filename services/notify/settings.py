"""Settings of notify."""

from pathlib import Path

from pydantic import Field

from shared.runtime.settings import ReadingSettings
from shared.workdays.files import VIETNAM


class Settings(ReadingSettings):
    """What notify needs beside what every process needs."""

    http_port: int = 8082
    batch_records_max: int = 100
    """A record carries its whole task, 3 kB and ten times as much once it is read; a batch is held until it is told."""
    smtp_host: str = "127.0.0.1"
    smtp_port: int = Field(default=25, ge=1, le=65535)
    smtp_start_tls: bool = False
    sender_mailbox: str = "dondoc@quangngai.example"
    board_url: str = "http://127.0.0.1:8083"
    """Where the links in messages point to."""
    send_poll_seconds: float = Field(default=1.0, gt=0)
    group_wait_seconds: float = Field(default=2.0, ge=0)
    """Real time for which nothing more must have come before a message is closed."""
    calendar_file: Path = VIETNAM
    notify_policy_file: Path = Path(__file__).with_name("policies") / "default.yaml"
    """When messages may come, and who hears what."""
    provinces_dir: str = ""
    """Folders of provinces with rules of their own, `H48/calendar.yaml` and `H48/notify.yaml`. Empty: none."""
    webhooks_file: str = ""
    """Agencies' webhook endpoints with their secrets. Empty: no webhooks."""
    webhooks_allow_private: bool = False
    """For trials: http, and addresses that are not public."""
    contacts_kept_days: int = Field(default=400, ge=1)
    """How long mailboxes of an agency are kept that is no more."""
