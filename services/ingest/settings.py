"""Settings of ingest."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Self

from pydantic import Field, field_validator, model_validator

from shared.runtime.settings import CredentialSettings, ProcessSettings


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """`10.0.0.5, 10.1.0.0/24` → networks. Raises ValueError."""
    return tuple(ip_network(one.strip()) for one in text.split(",") if one.strip())


def _credentials_from_environment() -> CredentialSettings:
    return CredentialSettings()


class Settings(ProcessSettings):
    """What ingest needs beside what every process needs."""

    credentials: CredentialSettings = Field(default_factory=_credentials_from_environment)
    """`DONDOC_JWKS_FILE`, `DONDOC_JWT_ISSUER`, `DONDOC_JWT_AUDIENCE`, `DONDOC_JWT_LEEWAY_SECONDS`."""

    ack_timeout_seconds: float = Field(default=5.0, gt=0)
    """How long the broker may take before the sender is asked to send again."""
    outbox: bool = True
    """Whether events are kept in MongoDB, and taken, while the broker does not acknowledge. Off: they are refused."""
    trusted_proxies: str = ""
    """Addresses or networks, comma-separated, of proxies that name the sender in `Dondoc-Sender`; empty: nobody."""
    retry_after_seconds: int = Field(default=2, ge=1)
    body_bytes_max: int = Field(default=1024 * 1024, ge=1)
    body_seconds_max: float = Field(default=15.0, gt=0)
    """How long a sender may take over one body."""
    event_bytes_max: int = Field(default=1_000_000, ge=1)
    """One event as it is kept; a broker's own limit is 1,048,588 bytes unless it was configured otherwise."""
    batch_events_max: int = Field(default=1_000, ge=1)
    in_flight_events_max: int = Field(default=5_000, ge=1)
    in_flight_bytes_max: int = Field(default=16 * 1024 * 1024, ge=1)
    agency_events_per_second: float = Field(default=200.0, gt=0)
    """What one agency may send for ever, at one replica; others go on undisturbed."""
    agency_events_burst: int = Field(default=10_000, ge=1)
    """What it may send at once, such as what it kept back during an outage."""
    tokens_cached_max: int = Field(default=10_000, ge=1)

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        networks(text)
        return text

    @model_validator(mode="after")
    def _outbox_has_a_place(self) -> Self:
        if self.outbox and not self.mongodb_uri:
            raise ValueError("the outbox needs MONGODB_URI; DONDOC_OUTBOX=false refuses events while Kafka is away")
        return self
