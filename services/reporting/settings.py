"""Settings of reporting."""

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from shared.runtime.keys import LOOPBACK
from shared.runtime.settings import ReadingSettings
from shared.workdays.files import VIETNAM


class Settings(ReadingSettings):
    """What reporting needs beside what every process needs."""

    http_port: int = 8083
    fetch_wait_ms: int = 200
    """How long the broker holds a fetch. Nothing here is due at an instant: fewer, fuller batches cost less."""
    fetch_min_bytes: int = Field(default=524_288, ge=1)
    """So much is waited for, but no longer than that; about 200 facts."""
    aggregate_every_seconds: float = 0.5
    """Real time between looks at what changed and how far business time has come."""
    recheck_seconds: float = 300.0
    """Real time after which ledgers are tallied against the database, and reports computed from it alone."""
    prepare_every_seconds: float = Field(default=5.0, gt=0)
    """Real time between looks for closed periods whose report is to be prepared."""
    compute_every_seconds: float = Field(default=1.5, ge=0)
    """Real time between two revisions of a report whose period still runs, as it is read."""
    publish_every_seconds: float = Field(default=5.0, ge=0)
    """Real time between two such revisions on the topic."""
    calendar_file: Path = VIETNAM
    reporting_policy_file: Path = Path(__file__).with_name("policies") / "default.yaml"
    """When periods end, what indicators are compared with, and how the report is written."""
    provinces_dir: str = ""
    """Folders of provinces with rules of their own, `H48/calendar.yaml` and `H48/reporting.yaml`. Empty: none."""
    province_names: dict[str, str] = Field(default={"H48": "Tỉnh Quảng Ngãi"})
    """What the board and the reports call a province; one not listed goes by its code."""

    keep_pages_seconds: float = Field(default=2.0, ge=0)
    """Real time for which the board shows a page as it was drawn. 0: it is drawn each time."""
    board_url: str = "http://127.0.0.1:8083"
    """Where officers open the board; the issuer sends them back to `/login/callback` below it."""
    login_client_id: str = ""
    """As whom the issuer knows the board. Empty: nobody can log in, and the board is closed."""
    login_client_secret_file: str = ""
    """Holds the secret that goes with it. Empty: a public client."""
    login_key_file: str = ""
    """Holds 32 random characters or more, the same at every replica: what a login is sealed with while it lasts."""
    login_discovery_url: str = ""
    """Where the issuer's OpenID configuration is read. Empty: where its name says (OpenID Connect Discovery 1.0 §4)."""
    login_scope: str = "openid reports:read tasks:read"
    """What is asked of the issuer for an officer."""
    login_over_http: bool = False
    """For trials only: the board may be opened over http from other machines, its cookie read on the way."""

    @model_validator(mode="after")
    def _login_is_sound(self) -> Self:
        if not self.login_client_id or not self.reading_needs_token:
            return self
        if not self.login_key_file:
            raise ValueError("officers log in (DONDOC_LOGIN_CLIENT_ID), so DONDOC_LOGIN_KEY_FILE is needed")
        if "openid" not in self.login_scope.split():
            raise ValueError("DONDOC_LOGIN_SCOPE has no `openid`, so the issuer would not say who logged in")
        board = urlsplit(self.board_url)
        if board.scheme not in {"http", "https"} or not board.hostname or board.path.strip("/") or board.query:
            raise ValueError("DONDOC_BOARD_URL is no address such as https://dondoc.TINH.gov.vn")
        if board.scheme == "http" and board.hostname not in LOOPBACK and not self.login_over_http:
            raise ValueError(
                "DONDOC_BOARD_URL is not https, so whoever listens on the way could take a login over; "
                "for a trial that nobody listens to there is DONDOC_LOGIN_OVER_HTTP=true"
            )
        return self
