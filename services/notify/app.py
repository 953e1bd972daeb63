"""The map of notify: what comes in goes where."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from starlette.applications import Starlette

from services.notify import metrics
from services.notify.api import AlertApi
from services.notify.channels.email import EmailChannel
from services.notify.channels.webhook import WebhookChannel
from services.notify.compose import Composer
from services.notify.domain.inhibit import RETENTION
from services.notify.endpoints import read_endpoints
from services.notify.forming import Forming
from services.notify.handlers import NotifyHandlers
from services.notify.lookup import Lookup
from services.notify.mongo import MongoNotifyStore
from services.notify.ports import Channel, NotifyStore
from services.notify.rules import read_rulebook
from services.notify.sending import Sending
from services.notify.settings import Settings
from shared.contracts.topics import AGENCIES, TASKS
from shared.runtime.batching import Outgoing
from shared.runtime.bearer import key_loops, reading_verifier
from shared.runtime.clock import Clock, clock_from, real_seconds
from shared.runtime.consuming import Consumption
from shared.runtime.crash import Crash, crash_process
from shared.runtime.mongodb import connect, ping
from shared.runtime.ops import Check
from shared.runtime.process import Loop, Step, make_app
from shared.runtime.publishing import Publisher
from shared.runtime.watchdog import Watchdog
from shared.workdays.calendar import local_day

SERVICE = "notify"
TELL_POLL_SECONDS = 2.0
PURGE_SECONDS = 3_600.0


def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    channels: Mapping[str, Channel] | None = None,
    store: NotifyStore | None = None,
    crash: Crash = crash_process,
) -> Starlette:
    """Wire the service; nothing connects before the app starts. Tests replace clock, channels and store.

    Raises ValueError or OSError for a file that is broken or not there, naming it and what to do.
    """
    clock = clock or clock_from(settings.clock)
    kept, before, after, ready = _kept(settings, store)
    verify = reading_verifier(settings)
    watchdog = Watchdog(settings.stuck_seconds, crash)
    publisher = Publisher(settings.kafka_bootstrap_servers, client_id=f"dondoc-{SERVICE}", beat=watchdog.beat_all)
    channels = channels if channels is not None else _channels(settings)
    rulebook = read_rulebook(settings.calendar_file, settings.notify_policy_file, settings.provinces_dir)
    lookup = Lookup(kept, rulebook)

    async def publish(messages: Sequence[tuple[str, str, bytes]]) -> None:
        await publisher.publish([Outgoing(topic, key.encode(), value) for topic, key, value in messages])

    handlers = NotifyHandlers(kept, publish, channels, lookup, clock)
    forming = Forming(
        kept,
        channels,
        lookup,
        clock,
        group_wait_seconds=settings.group_wait_seconds,
        progress=lambda: watchdog.beat("form"),
    )
    sending = Sending(
        kept,
        channels,
        Composer(board_url=settings.board_url),
        lookup,
        clock,
        progress=lambda: watchdog.beat("send"),
    )
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

    async def form() -> None:
        slots = consumption.owned(TASKS)
        await forming.turn(slots)
        metrics.PENDING.set(await kept.pending_count(slots))

    async def send() -> None:
        await sending.turns(lambda: consumption.owned(TASKS), look_seconds=settings.send_poll_seconds)

    async def tell() -> None:
        await handlers.tell_leftovers(consumption.owned(TASKS))

    async def purge() -> None:
        now = clock.now()
        ended_before = local_day(now) - timedelta(days=settings.contacts_kept_days)
        for what, count in (await kept.purge(older_than=now - RETENTION, agencies_ended_before=ended_before)).items():
            metrics.PURGED.labels(what).inc(count)

    async def keys_are_loaded() -> bool:
        return verify is None or verify.ready()

    return make_app(
        routes=AlertApi(kept, lookup, channels, Composer(board_url=settings.board_url), clock, verify=verify).routes(),
        watchdog=watchdog,
        publisher=publisher,
        consumption=consumption,
        # Loops of their own: a broker that is away must not keep messages back, nor a mail server alerts.
        loops=[
            Loop("form", form, every_seconds=settings.send_poll_seconds),
            Loop("send", send, every_seconds=settings.send_poll_seconds),
            Loop("tell", tell, every_seconds=TELL_POLL_SECONDS),
            Loop("purge", purge, every_seconds=PURGE_SECONDS),
            *key_loops(verify),
        ],
        ready={**ready, "keys": keys_are_loaded},
        before=before,
        after=(sending.stop, *after),
        crash=crash,
    )


def _channels(settings: Settings) -> Mapping[str, Channel]:
    email = EmailChannel(
        host=settings.smtp_host,
        port=settings.smtp_port,
        start_tls=settings.smtp_start_tls,
        sender=settings.sender_mailbox,
    )
    if not settings.webhooks_file:
        return {"email": email}
    endpoints = read_endpoints(Path(settings.webhooks_file), allow_private=settings.webhooks_allow_private)
    webhook = WebhookChannel(endpoints, now=real_seconds, allow_private=settings.webhooks_allow_private)
    return {"email": email, "webhook": webhook}


def _kept(
    settings: Settings, store: NotifyStore | None
) -> tuple[NotifyStore, Sequence[Step], Sequence[Step], Mapping[str, Check]]:
    """The store, what it needs before start and after stop, and when it is ready."""
    if store is not None:
        return store, (), (), {}
    client = connect(settings.mongodb_uri, app_name=f"dondoc-{SERVICE}")
    mongo = MongoNotifyStore(client[f"{settings.database_prefix}_{SERVICE}"])

    async def close() -> None:
        client.close()

    async def mongodb_answers() -> bool:
        return await ping(client)

    return mongo, (mongo.prepare,), (close,), {"mongodb": mongodb_answers}
