"""Fixtures of the real parts: one mongod and one Apache Kafka for the whole run. Helpers live in tests/support."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.local.kafka_apache import ApacheKafka
from deploy.local.mongod import Mongod
from deploy.topics import create_topics


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the real parts of this run keep their data and logs."""
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="session")
async def mongod(run_dir: Path) -> AsyncIterator[Mongod]:
    """A real mongod that the tests may kill and restart."""
    server = await Mongod.find_or_start(run_dir / "mongod", run_dir)
    yield server
    await server.stop()


@pytest.fixture(scope="session")
def mongo_uri(mongod: Mongod) -> str:
    """Address of the real mongod. Tests use database names of their own."""
    return mongod.uri


@pytest.fixture(scope="session")
async def kafka(run_dir: Path) -> AsyncIterator[ApacheKafka]:
    """A real Apache Kafka with the topics of the topic table, that the tests may kill and restart."""
    broker = await ApacheKafka.start_new(run_dir / "kafka", run_dir)
    await create_topics(broker.bootstrap)
    yield broker
    await broker.stop()
