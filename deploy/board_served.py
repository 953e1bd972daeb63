"""The board of made-up facts (board_sample): counted and drawn by the service itself, on a real MongoDB."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from deploy.board_sample import ISSUED, NOW, records
from deploy.local.mongod import Mongod
from deploy.local.ports import free_port
from services.reporting.app import build
from services.reporting.counting import Counting
from services.reporting.handlers import Aggregation
from services.reporting.mongo import MongoReportStore
from services.reporting.mongo_content import MongoContentStore
from services.reporting.mongo_lists import MongoLists
from services.reporting.ports import Message
from services.reporting.rules import read_rulebook
from services.reporting.settings import Settings
from shared.runtime.mongodb import connect


@dataclass(slots=True)
class _Clock:
    instant: datetime

    def now(self) -> datetime:
        return self.instant

    def at(self, real: float) -> datetime:
        return self.instant


class _All:
    """Implements ports.Share: everything is this replica's, and has come as far as the clock."""

    def __init__(self, clock: _Clock) -> None:
        self._clock = clock

    def owned(self) -> frozenset[int]:
        return frozenset({0, 1})

    async def times(self) -> Mapping[int, datetime]:
        return dict.fromkeys(self.owned(), self._clock.instant)

    def backlog(self) -> int:
        return 0

    async def partition_count(self) -> int:
        return 2

    async def owns(self, province: str) -> bool:
        return True


@asynccontextmanager
async def a_board(folder: Path) -> AsyncIterator[Starlette]:
    """The service on a MongoDB of its own that holds all of it, as of NOW; everybody may read."""
    mongod = await Mongod.find_or_start(folder / "mongod", folder, say=lambda _: None)
    client = connect(mongod.uri, app_name="pictures")
    name = f"pictures_{folder.name.replace('.', '_')}"
    try:
        database = client[name]
        store = MongoReportStore(database)
        lists, contents = MongoLists(database, store.serving), MongoContentStore(database, store.serving)
        for one in (store, lists, contents):
            await one.prepare()
        settings = Settings(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", reading_needs_token=False)
        rules = read_rulebook(settings.calendar_file, settings.reporting_policy_file)
        clock = _Clock(ISSUED)
        share = _All(clock)
        counting = Counting(store, share, clock, rules, hold=_nothing_is_held)
        aggregation = Aggregation(
            store,
            share,
            counting,
            _told_to_nobody,
            clock,
            rules,
            province_names=settings.province_names,
            recheck_seconds=60.0,
            compute_every_seconds=0.0,
            publish_every_seconds=0.0,
        )
        await counting.on_records(list(records()))
        for instant in (ISSUED + timedelta(hours=12), NOW):
            clock.instant = instant
            await aggregation.turn()
        yield build(settings, store=store, lists=lists, contents=contents, clock=clock)
        await client.drop_database(name)
    finally:
        client.close()
        if mongod.is_ours:
            await mongod.stop()


@asynccontextmanager
async def _nothing_is_held() -> AsyncIterator[None]:
    yield


async def _told_to_nobody(_: Collection[Message]) -> None:
    """Nothing is published."""


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    """The application on a port of this machine."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, access_log=False, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells it in no other way
        await asyncio.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving
