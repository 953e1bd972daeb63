"""A database of a test's own on the real mongod."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.runtime.mongodb import Database, connect


@asynccontextmanager
async def fresh_database(uri: str) -> AsyncIterator[Database]:
    """An empty database under a name nobody else has; dropped afterwards."""
    client = connect(uri, app_name="tests")
    name = f"test_{uuid.uuid4().hex[:12]}"
    try:
        yield client[name]
        await client.drop_database(name)
    finally:
        client.close()
