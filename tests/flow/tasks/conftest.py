"""A tasks service of its own for each test."""

from collections.abc import AsyncIterator

import pytest

from services.tasks.mongo import MongoTaskStore
from tests.flow.tasks.harness import Service
from tests.support.database import fresh_database


@pytest.fixture
async def service(mongo_uri: str) -> AsyncIterator[Service]:
    async with fresh_database(mongo_uri) as database:
        store = MongoTaskStore(database)
        await store.prepare()
        yield Service(store)
