"""The map of notify: what comes in goes where."""

from collections.abc import Sequence

from starlette.applications import Starlette

from services.notify.api import AlertApi
from services.notify.channels.email import EmailChannel
from services.notify.compose import Composer
from services.notify.handlers import NotifyHandlers
from services.notify.mongo import MongoNotifyStore
from services.notify.settings import Settings
from shared.contracts.topics import AGENCIES, TASKS
from shared.runtime.clock import clock_from
from shared.runtime.consuming import Consumption
from shared.runtime.crash import Crash, crash_process
from shared.runtime.mongodb import connect, ping
from shared.runtime.process import Loop, make_app
from shared.runtime.publishing import Outgoing, Publisher
from shared.runtime.watchdog import Watchdog

SERVICE = "notify"


def build(settings: Settings, *, crash: Crash = crash_process) -> Starlette:
    """Wire the service; nothing connects before the app starts."""
    clock = clock_from(settings.clock)
    client = connect(settings.mongodb_uri, app_name=f"dondoc-{SERVICE}")
    store = MongoNotifyStore(
        client[f"{settings.database_prefix}_{SERVICE}"], group_wait_seconds=settings.group_wait_seconds
    )
    watchdog = Watchdog(settings.stuck_seconds, crash)
    publisher = Publisher(
        settings.kafka_bootstrap_servers, client_id=f"dondoc-{SERVICE}", beat=lambda: watchdog.beat("poll")
    )

    async def publish(messages: Sequence[tuple[str, str, bytes]]) -> None:
        await publisher.publish([Outgoing(topic, key.encode(), value) for topic, key, value in messages])

    email = EmailChannel(
        host=settings.smtp_host,
        port=settings.smtp_port,
        start_tls=settings.smtp_start_tls,
        sender=settings.sender_mailbox,
    )
    handlers = NotifyHandlers(store, publish, email, Composer(board_url=settings.board_url), clock)
    consumption = Consumption(
        topics=[TASKS, AGENCIES],
        group=SERVICE,
        apply=handlers.on_records,
        publisher=publisher,
        clock=clock,
        watchdog=watchdog,
        settings=settings,
        service=SERVICE,
        crash=crash,
    )

    async def deliver() -> None:
        await handlers.deliver(consumption.owned(TASKS))

    async def close() -> None:
        client.close()

    async def mongodb_answers() -> bool:
        return await ping(client)

    return make_app(
        name=SERVICE,
        routes=AlertApi(store).routes(),
        watchdog=watchdog,
        publisher=publisher,
        consumption=consumption,
        loops=[Loop("deliver", deliver, every_seconds=settings.send_poll_seconds)],
        ready={"mongodb": mongodb_answers},
        before=[store.prepare],
        after=[close],
        crash=crash,
    )
