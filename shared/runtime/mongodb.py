"""The MongoDB client. The only module besides each service's mongo.py that knows motor (ADR 0005)."""

from collections.abc import Sequence
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo import IndexModel
from pymongo.errors import NetworkTimeout

Document = dict[str, Any]
Database = AsyncIOMotorDatabase[Document]
Client = AsyncIOMotorClient[Document]


def connect(uri: str, *, app_name: str) -> Client:
    """Connect lazily. Every write is on disk on a majority before it counts: a lost report is a scandal."""
    return AsyncIOMotorClient(
        uri,
        appname=app_name,
        tz_aware=True,
        w="majority",
        journal=True,
        retryWrites=True,
        retryReads=True,
        # Short enough that a batch notices an outage and backs off, long enough for an election.
        serverSelectionTimeoutMS=5_000,
        connectTimeoutMS=5_000,
        socketTimeoutMS=30_000,
        maxPoolSize=50,
    )


async def make_indexes(collection: Any, indexes: Sequence[IndexModel]) -> None:
    """Create what is not there yet, however long the server takes. Raises what the driver raises.

    Of a million documents that is minutes, in which the server says nothing: longer than any answer is waited for
    (`socketTimeoutMS`). It goes on all the same, and whoever asks again waits for the same index.
    """
    while True:
        try:
            await collection.create_indexes(indexes)
            return
        except NetworkTimeout:
            # Raises where it is not busy but gone.
            await ping(collection.database.client)


async def ping(client: Client) -> bool:
    """Whether MongoDB answers."""
    return bool((await client.admin.command("ping")).get("ok"))
