"""Baseline of `timers_wave_ratio`: the writes of a wave and nothing else. Prints tasks written and seconds.

The product decides beforehand, off the clock, what it would write; the clock runs while the very same writes go to
MongoDB page by page, by a bare loop: each page's new states, then the forgetting of what was told. No read, no rule,
nobody told.
`python -m tests.bench.bare_wave MONGODB_URI DATABASE INSTANT`: whose tasks wait for that instant.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import uvloop
from pymongo import UpdateOne, WriteConcern

from services.tasks.documents import task_update
from services.tasks.mongo import MongoTaskStore
from services.tasks.ports import Write
from services.tasks.sweep import PAGE
from shared.runtime.mongodb import Database, connect
from tests.bench import population

_FORGETFUL: Final = WriteConcern(w=1)
"""As ours forgets."""


class Kept(MongoTaskStore):
    """Keeps what it is told to write."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.writes: list[Write] = []

    async def save_tasks(self, writes: Sequence[Write]) -> frozenset[str]:
        self.writes += writes
        return frozenset()

    async def told(self, tokens: Mapping[str, str]) -> None:
        return


async def run(mongo_uri: str, name: str, at: datetime) -> tuple[int, float]:
    """Write what the passing of an instant does to the tasks that wait for it. Returns how many, and seconds."""
    client = connect(mongo_uri, app_name="bench-bare")
    database = client[name]
    store = Kept(database)
    writer = population.wired(store).writer
    query = {"p": {"$in": list(population.PARTITIONS)}, "next_at": {"$eq": at, "$type": "date"}}
    ids = [document["_id"] async for document in database["tasks"].find(query, {"_id": 1})]
    pages: list[tuple[list[UpdateOne], list[str], str]] = []
    for start in range(0, len(ids), PAGE):
        stored = await store.tasks(ids[start : start + PAGE])
        await writer.pass_time(stored, dict.fromkeys(population.PARTITIONS, at))
        writes, store.writes = store.writes, []
        pages.append(([task_update(one) for one in writes], list(stored), writes[0].untold.token))
    tasks = database["tasks"]
    forgetful = tasks.with_options(write_concern=_FORGETFUL)
    written = 0
    began = time.perf_counter()
    for operations, told, token in pages:
        result = await tasks.bulk_write(operations, ordered=False)
        await forgetful.update_many({"_id": {"$in": told}, "pend.tok": token}, {"$unset": {"pend": ""}})
        written += result.modified_count
    seconds = time.perf_counter() - began
    client.close()
    return written, seconds


if __name__ == "__main__":
    uri, name, text = sys.argv[1:]
    written, seconds = uvloop.run(run(uri, name, datetime.fromisoformat(text)))
    sys.stdout.write(f"{written} {seconds:.4f}\n")
