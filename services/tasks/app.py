"""The map of tasks: what comes in goes where."""

from collections.abc import Sequence

from starlette.applications import Starlette

from services.tasks.api import TaskApi
from services.tasks.mongo import MongoTaskStore
from services.tasks.ports import Message, Position
from services.tasks.previews import PreviewApi
from services.tasks.rules import read_rulebook
from services.tasks.settings import Settings
from services.tasks.wiring import wire_up
from shared.contracts.topics import SUBMISSIONS
from shared.runtime.batching import Outgoing
from shared.runtime.bearer import key_loops, reading_verifier
from shared.runtime.clock import clock_from
from shared.runtime.consuming import Consumption, Record
from shared.runtime.crash import Crash, crash_process
from shared.runtime.mongodb import connect, ping
from shared.runtime.process import Loop, make_app
from shared.runtime.publishing import Publisher
from shared.runtime.watchdog import Watchdog

SERVICE = "tasks"


def build(settings: Settings, *, crash: Crash = crash_process) -> Starlette:
    """Wire the service; nothing connects before the app starts."""
    clock = clock_from(settings.clock)
    rulebook = read_rulebook(settings.calendar_file, settings.policy_file, settings.provinces_dir)
    client = connect(settings.mongodb_uri, app_name=f"dondoc-{SERVICE}")
    store = MongoTaskStore(client[f"{settings.database_prefix}_{SERVICE}"])
    watchdog = Watchdog(settings.stuck_seconds, crash)
    publisher = Publisher(
        settings.kafka_bootstrap_servers,
        client_id=f"dondoc-{SERVICE}",
        beat=watchdog.beat_all,
    )

    async def publish(messages: Sequence[Message]) -> None:
        await publisher.publish([Outgoing(one.topic, one.key.encode(), one.value) for one in messages])

    async def partition_of(key: str) -> int:
        return await publisher.partition_of(SUBMISSIONS.name, key.encode())

    verify = reading_verifier(settings)
    parts = wire_up(store, publish, partition_of, clock, rulebook, tasks_together=settings.tasks_together)
    handlers, sweep = parts.handlers, parts.sweep

    async def on_dead(record: Record, reason: str, detail: str) -> None:
        await handlers.on_dead(record.value, Position(record.partition, record.offset), reason, detail)

    consumption = Consumption(
        topics=[SUBMISSIONS],
        group=SERVICE,
        apply=handlers.on_submissions,
        publisher=publisher,
        clock=clock,
        watchdog=watchdog,
        settings=settings,
        service=SERVICE,
        on_dead=on_dead,
        on_assigned=parts.partitions_changed,
        crash=crash,
    )

    async def turn() -> None:
        await sweep.turn(consumption)

    async def close() -> None:
        client.close()

    async def mongodb_answers() -> bool:
        return await ping(client)

    async def keys_are_loaded() -> bool:
        return verify is None or verify.ready()

    api = TaskApi(store, clock, rulebook, verify=verify)
    return make_app(
        routes=[*api.routes(), *PreviewApi(store, clock, rulebook, api.for_readers).routes()],
        watchdog=watchdog,
        publisher=publisher,
        consumption=consumption,
        loops=[Loop("sweep", turn, every_seconds=settings.timer_poll_seconds), *key_loops(verify)],
        ready={"mongodb": mongodb_answers, "keys": keys_are_loaded},
        before=[store.prepare],
        after=[close],
        crash=crash,
    )
