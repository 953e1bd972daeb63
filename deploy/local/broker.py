"""What every local Kafka offers, whichever program it is, and how we know that it is ready."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from deploy.local.errors import LocalStackError
from deploy.local.processes import ManagedProcess, accepts_connections

_PROBE_MS_MAX: Final = 2_000


class KafkaKind(StrEnum):
    """Which program speaks the Kafka protocol."""

    EMBEDDED = "embedded"
    APACHE = "apache"


class Kafka(Protocol):
    """A broker of the local stack."""

    @property
    def bootstrap(self) -> str:
        """Its address, for KAFKA_BOOTSTRAP_SERVERS."""

    @property
    def is_ours(self) -> bool:
        """Say whether we started it, so that it may be killed and restarted."""

    @property
    def process(self) -> ManagedProcess:
        """Our process; an error where the broker is somebody else's."""

    async def start(self) -> None:
        """Start it and wait until it takes records."""

    async def stop(self) -> None:
        """Shut it down in order."""

    def kill(self) -> None:
        """End it like a power cut (SIGKILL)."""

    async def restart(self) -> None:
        """Stop it if it runs, and start it again on the same port and data."""


@dataclass(frozen=True, slots=True)
class GivenKafka:
    """The broker of KAFKA_BOOTSTRAP_SERVERS: used, never started or stopped."""

    bootstrap: str

    @property
    def is_ours(self) -> bool:
        """Never."""
        return False

    @property
    def process(self) -> ManagedProcess:
        """There is none."""
        raise LocalStackError("this Kafka comes from KAFKA_BOOTSTRAP_SERVERS: it is not ours to start, stop or kill")

    async def start(self) -> None:
        """Refused."""
        self.process.start()

    async def stop(self) -> None:
        """Leave it alone."""

    def kill(self) -> None:
        """Refused."""
        self.process.kill()

    async def restart(self) -> None:
        """Refused."""
        self.process.start()


def kafka_from_environment(say: Callable[[str], None]) -> GivenKafka | None:
    """The broker that KAFKA_BOOTSTRAP_SERVERS names, if any."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if not given:
        return None
    say("Kafka: taken from KAFKA_BOOTSTRAP_SERVERS, nothing started")
    return GivenKafka(given)


async def start_kafka(
    kind: KafkaKind,
    data_dir: Path,
    log_dir: Path,
    *,
    port: int | None = None,
    say: Callable[[str], None] = print,
) -> Kafka:
    """The broker of KAFKA_BOOTSTRAP_SERVERS, else a new one of the given kind, ready for records."""
    # Imported here: Apache Kafka users need no confluent-kafka, and the modules import this one.
    from deploy.local.kafka_apache import ApacheKafka
    from deploy.local.kafka_embedded import EmbeddedKafka

    given = kafka_from_environment(say)
    if given is not None:
        return given
    if kind is KafkaKind.APACHE:
        return await ApacheKafka.start_new(data_dir, log_dir, port=port, say=say)
    return await EmbeddedKafka.start_new(log_dir, say=say)


async def has_broker(port: int) -> bool:
    """Say whether a broker at this port lists itself in its cluster, which it does once it takes records."""
    if not await accepts_connections(port):
        return False
    client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{port}", request_timeout_ms=_PROBE_MS_MAX)
    # A broker that is still starting is no error here.
    logger = logging.getLogger("aiokafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        await client.bootstrap()
        return bool(client.cluster.brokers())
    except (KafkaError, OSError):
        return False
    finally:
        await client.close()
        logger.setLevel(level)
