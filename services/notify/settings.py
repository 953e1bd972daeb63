"""Settings of notify."""

from pydantic import Field

from shared.runtime.settings import ReadingSettings


class Settings(ReadingSettings):
    """What notify needs beside what every process needs."""

    http_port: int = 8082
    smtp_host: str = "127.0.0.1"
    smtp_port: int = Field(default=25, ge=1, le=65535)
    smtp_start_tls: bool = False
    sender_mailbox: str = "dondoc@quangngai.example"
    board_url: str = "http://127.0.0.1:8083"
    """Where the links in messages point to."""
    send_poll_seconds: float = Field(default=1.0, gt=0)
    group_wait_seconds: float = Field(default=2.0, ge=0)
    """Real time that an alert waits for others to go into the same message."""
