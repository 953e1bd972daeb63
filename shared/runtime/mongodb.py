"""The MongoDB client. The only module besides each service's mongo.py that knows motor (ADR 0005)."""

from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase

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


async def ping(client: Client) -> bool:
    """Whether MongoDB answers."""
    return bool((await client.admin.command("ping")).get("ok"))
