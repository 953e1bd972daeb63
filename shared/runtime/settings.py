"""The settings every process has. Read once, in app.py; passed on as values."""

from pathlib import Path
from typing import Literal

from pydantic import Field
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
    fetch_wait_ms: int = 100
    """How long the broker holds an idle fetch: a quiet partition's time is at most two waits behind."""
    drain_seconds: float = 20.0
    stuck_seconds: float = 60.0
    """No progress for this long although there is work: the process ends itself and is restarted."""


class CredentialSettings(BaseSettings):
    """How bearer tokens are verified (RFC 9068)."""

    model_config = SettingsConfigDict(env_prefix="DONDOC_", extra="ignore", frozen=True)

    jwks_file: Path
    jwt_issuer: str
    jwt_audience: str = "dondoc"
    jwt_leeway_seconds: int = 60
