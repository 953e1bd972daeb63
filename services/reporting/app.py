"""The map of reporting: what comes in goes where."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial

from starlette.applications import Starlette

from services.reporting import wire
from services.reporting.api import ReportApi
from services.reporting.board.routes import Board
from services.reporting.counting import Counting
from services.reporting.handlers import Aggregation
from services.reporting.kafka_topics import has_applied
from services.reporting.lists import Lists
from services.reporting.login import BoardLogin
from services.reporting.mongo import MongoReportStore
from services.reporting.mongo_content import MongoContentStore
from services.reporting.mongo_generations import begin_if_new
from services.reporting.mongo_lists import MongoLists
from services.reporting.ports import Message, Store
from services.reporting.preparing import ContentStore, Gathering, Preparing
from services.reporting.report_files import ReportFiles
from services.reporting.rules import read_rulebook
from services.reporting.settings import Settings
from shared.contracts.topics import TASKS
from shared.runtime.batching import Outgoing
from shared.runtime.bearer import key_loops, reading_verifier
from shared.runtime.clock import Clock, clock_from
from shared.runtime.consuming import LANES, Consumption, Received
from shared.runtime.crash import Crash, crash_process
from shared.runtime.mongodb import connect, ping
from shared.runtime.process import Loop, make_app
from shared.runtime.publishing import Publisher
from shared.runtime.watchdog import Watchdog

SERVICE = "reporting"


def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    store: Store | None = None,
    lists: Lists | None = None,
    contents: ContentStore | None = None,
    crash: Crash = crash_process,
) -> Starlette:
    """Wire the service; nothing connects before the app starts. A given store is the caller's to prepare and close."""
    clock = clock or clock_from(settings.clock)
    client = connect(settings.mongodb_uri, app_name=f"dondoc-{SERVICE}") if store is None else None
    database = client[f"{settings.database_prefix}_{SERVICE}"] if client is not None else None
    mongo = MongoReportStore(database) if database is not None else None
    mongo_lists = MongoLists(database, mongo.serving) if database is not None and mongo is not None else None
    mongo_contents = MongoContentStore(database, mongo.serving) if database is not None and mongo is not None else None
    known, listed, prepared = store or mongo, lists or mongo_lists, contents or mongo_contents
    assert known is not None, "one of the two was made above"
    assert listed is not None, "whoever gives a store gives the lists of what is in it"
    assert prepared is not None, "and where contents are kept"
    rulebook = read_rulebook(settings.calendar_file, settings.reporting_policy_file, settings.provinces_dir)
    verify = reading_verifier(settings)
    login = BoardLogin.of(settings, verify)
    watchdog = Watchdog(settings.stuck_seconds, crash)
    publisher = Publisher(settings.kafka_bootstrap_servers, client_id=f"dondoc-{SERVICE}", beat=watchdog.beat_all)

    async def publish(messages: Sequence[Message]) -> None:
        await publisher.publish([Outgoing(one.topic, one.key.encode(), one.value) for one in messages])

    async def apply(records: Sequence[Received]) -> None:
        await counting.on_records(records)

    consumption = Consumption(
        topics=wire.CONSUMED,
        group=SERVICE,
        apply=apply,
        publisher=publisher,
        clock=clock,
        watchdog=watchdog,
        settings=settings,
        service=SERVICE,
        crash=crash,
    )
    share = KafkaShare(consumption, publisher)
    counting = Counting(known, share, clock, rulebook, hold=lambda: holding_all(consumption), beat=watchdog.beat_all)
    aggregation = Aggregation(
        known,
        share,
        counting,
        publish,
        clock,
        rulebook,
        province_names=settings.province_names,
        recheck_seconds=settings.recheck_seconds,
        compute_every_seconds=settings.compute_every_seconds,
        publish_every_seconds=settings.publish_every_seconds,
    )

    gathering = Gathering(
        known, prepared, clock, rulebook, province_names=settings.province_names, beat=watchdog.beat_all
    )
    preparing = Preparing(known, prepared, gathering, share, publish, clock, rulebook)
    files = ReportFiles(known, prepared, gathering, rulebook, clock, verify=verify, login=login)

    async def begin() -> None:
        # An empty database in which facts were once applied is a lost one, and no new one.
        if database is not None:
            await begin_if_new(database, partial(has_applied, settings.kafka_bootstrap_servers, SERVICE))

    async def close() -> None:
        if client is not None:
            client.close()

    async def mongodb_answers() -> bool:
        return client is None or await ping(client)

    async def keys_are_loaded() -> bool:
        return verify is None or verify.ready()

    board = Board(
        known,
        listed,
        rulebook,
        settings.province_names,
        login=login,
        clock=clock,
        keep_seconds=settings.keep_pages_seconds,
    )
    app = make_app(
        routes=[
            *ReportApi(known, rulebook, verify=verify).routes(),
            *board.routes(),
            *files.routes(),
            *login.routes(),
        ],
        watchdog=watchdog,
        publisher=publisher,
        consumption=consumption,
        loops=[
            *key_loops(verify),
            Loop("aggregation", aggregation.turn, every_seconds=settings.aggregate_every_seconds),
            Loop("telling", aggregation.tell, every_seconds=settings.aggregate_every_seconds),
            Loop("preparing", preparing.turn, every_seconds=settings.prepare_every_seconds),
        ],
        ready={"mongodb": mongodb_answers, "keys": keys_are_loaded},
        before=[begin, *(one.prepare for one in (mongo, mongo_lists, mongo_contents) if one is not None)],
        after=[close],
        crash=crash,
    )
    for status in (404, 405):
        app.add_exception_handler(status, board.unknown)
    return app


@asynccontextmanager
async def holding_all(consumption: Consumption) -> AsyncIterator[None]:
    """Keep all records away for a while."""
    async with AsyncExitStack() as stack:
        for lane in range(LANES):
            await stack.enter_async_context(consumption.holding(lane))
        yield


class KafkaShare:
    """What this replica owns, by its partitions of the tasks topic."""

    def __init__(self, consumption: Consumption, publisher: Publisher) -> None:
        self._consumption = consumption
        self._publisher = publisher

    def owned(self) -> frozenset[int]:
        """See ports.Share."""
        return frozenset(self._consumption.owned(TASKS))

    async def times(self) -> Mapping[int, datetime]:
        """See ports.Share.

        Only ingest sets `receivedat`, so facts on this topic give no time by themselves: a partition's time is the
        clock at the last moment at which the broker confirmed that nothing more was waiting. It stands still in a
        backlog or an outage.
        """
        return await self._consumption.partition_times(TASKS)

    def backlog(self) -> int:
        """See ports.Share."""
        return self._consumption.backlog(TASKS)

    async def partition_count(self) -> int:
        """See ports.Share."""
        return await self._publisher.partition_count(TASKS.name)

    async def owns(self, province: str) -> bool:
        """See ports.Share."""
        partition = await self._publisher.partition_of(TASKS.name, province.encode())
        return partition in self._consumption.owned(TASKS)
