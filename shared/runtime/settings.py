"""The settings every process has. Read once, in app.py; passed on as values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ProcessSettings(BaseSettings):
    """Environment variables of every service. Kafka and MongoDB addresses keep their usual names; ours say DONDOC_."""

    model_config = SettingsConfigDict(env_prefix="DONDOC_", extra="ignore", frozen=True)

    kafka_bootstrap_servers: str = Field(validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    mongodb_uri: str = Field(default="", validation_alias="MONGODB_URI")
    database_prefix: str = "dondoc"
    """Each service owns the database `{prefix}_{service}`."""

    http_host: str = "127.0.0.1"
    http_port: int = 8080
    clock: str = ""
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    kafka_session_timeout_ms: int = 10_000
    """How long a killed replica keeps its partitions."""
    kafka_rebalance_timeout_ms: int = 30_000
    """How long a replica may take to finish its batch before it gives partitions up; aiokafka's default is 10 s."""
    batch_records_max: int = 1000
    batch_wait_ms: int = 20
    """FastStream sleeps this long once more on an empty poll, so it is kept small."""
    fetch_wait_ms: int = 20
    """How long the broker holds an idle fetch: a quiet partition's time is at most two waits behind."""
    fetch_min_bytes: int = Field(default=1, ge=1)
    """What the broker waits for, as long as it holds a fetch at most."""
    outage_grace_seconds: float = Field(default=10.0, ge=0)
    """How long timers stand once a silent broker answers again: what ingest kept meanwhile comes first."""
    drain_seconds: float = 20.0
    stuck_seconds: float = 60.0
    """No progress for this long although there is work: the process ends itself and is restarted."""


class CredentialSettings(BaseSettings):
    """How bearer tokens are verified (RFC 9068)."""

    model_config = SettingsConfigDict(env_prefix="DONDOC_", extra="ignore", frozen=True)

    jwks_file: Path
    """The issuer's public keys. With `DONDOC_JWKS_URL`: where what was fetched is kept, over restarts too."""
    jwks_url: str = ""
    """Where the issuer publishes them; https. Empty: somebody else keeps the file."""
    jwks_refresh_seconds: float = Field(default=300.0, gt=0)
    jwks_stale_seconds_max: float = Field(default=86_400.0, gt=0)
    """How long the issuer may be out of reach before its keys verify nothing any more."""
    jwt_issuer: str
    jwt_audience: str = "dondoc"
    jwt_leeway_seconds: int = 60


def _where_needed(before: Mapping[str, Any]) -> CredentialSettings | None:
    return CredentialSettings() if before.get("reading_needs_token", True) else None


class ReadingSettings(ProcessSettings):
    """What a service needs that is read over HTTP."""

    reading_needs_token: bool = True
    """Off for trials only: whoever reaches the port then reads everything."""
    tokens_cached_max: int = Field(default=10_000, ge=1)
    """Verified tokens remembered until they expire."""
    credentials: CredentialSettings | None = Field(default_factory=_where_needed)
    """None where no token is needed."""

    @model_validator(mode="after")
    def _closed_unless_said(self) -> Self:
        if self.reading_needs_token and self.credentials is None:
            raise ValueError("readers need a token, so DONDOC_JWKS_FILE and DONDOC_JWT_ISSUER are needed")
        return self
