"""The map of ingest: what comes in goes where."""

import time
from collections.abc import Callable, Sequence

from aiokafka.errors import KafkaError, MessageSizeTooLargeError, ProducerClosed, RecordListTooLargeError
from starlette.types import ASGIApp

from services.ingest import api, metrics
from services.ingest.credentials import Identify
from services.ingest.domain.admission import Admission
from services.ingest.domain.rates import Rates
from services.ingest.handlers import Intake, Limits
from services.ingest.mongo import MongoOutbox
from services.ingest.outbox import SecuredSubmissions
from services.ingest.ports import Message, NotAcknowledgedError, Outbox, Publish, TooLargeError
from services.ingest.settings import Settings, networks
from shared.runtime.batching import CLOUDEVENT, Header, Outgoing
from shared.runtime.bearer import key_loops
from shared.runtime.clock import Clock, clock_from
from shared.runtime.crash import Crash, crash_process
from shared.runtime.errors import is_transient
from shared.runtime.mongodb import connect
from shared.runtime.process import Loop, make_app
from shared.runtime.publishing import Publisher
from shared.runtime.tokens import TokenVerifier
from shared.runtime.watchdog import Watchdog

SERVICE = "ingest"
OUTBOX_TURN_SECONDS = 0.2


def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    publisher: Publisher | None = None,
    outbox: Outbox | None = None,
    real_time: Callable[[], float] = time.time,
    crash: Crash = crash_process,
) -> ASGIApp:
    """Wire the service; nothing connects before the app starts. `real_time`: what tokens are judged by."""
    publisher = publisher or Publisher(settings.kafka_bootstrap_servers, client_id=f"dondoc-{SERVICE}")
    verify = TokenVerifier.of(
        settings.credentials, metrics.TOKENS, tokens_cached_max=settings.tokens_cached_max, real_time=real_time
    )
    admission = Admission(settings.in_flight_events_max, settings.in_flight_bytes_max)
    metrics.IN_FLIGHT_EVENTS.set_function(lambda: admission.events)
    metrics.IN_FLIGHT_BYTES.set_function(lambda: admission.bytes)
    secure: Publish = KafkaSubmissions(publisher, settings.ack_timeout_seconds, crash)
    loops = [*key_loops(verify)]
    client, secured = None, None
    if settings.outbox:
        if outbox is None:
            client = connect(settings.mongodb_uri, app_name=f"dondoc-{SERVICE}")
            database = client[f"{settings.database_prefix}_{SERVICE}"]
            outbox = MongoOutbox(database, timeout_seconds=settings.ack_timeout_seconds)
        secure = secured = SecuredSubmissions(secure, KafkaSubmissions(publisher, None, crash), outbox)
        loops.append(Loop("outbox", secured.turn, every_seconds=OUTBOX_TURN_SECONDS))

    async def close_client() -> None:
        if client is not None:
            client.close()

    intake = Intake(
        secure,
        clock or clock_from(settings.clock),
        admission,
        Limits(settings.batch_events_max, settings.event_bytes_max),
    )

    rates = Rates(settings.agency_events_per_second, settings.agency_events_burst)

    parts = (intake, Identify(verify, networks(settings.trusted_proxies)), admission, rates, settings)

    doors = (api.EventsEndpoint(*parts), api.EdxmlEndpoint(*parts))

    async def keys_are_loaded() -> bool:
        return verify.ready()

    app = make_app(
        routes=api.routes(*doors),
        watchdog=Watchdog(settings.stuck_seconds, crash),
        publisher=publisher,
        loops=loops,
        ready={"keys": keys_are_loaded},
        after=[close_client],
        without_broker=secured.can_keep if secured is not None else None,
        crash=crash,
    )
    api.answer_errors(app)
    return api.Doors(app, doors)


class KafkaSubmissions:
    """See ports.Publish."""

    def __init__(self, publisher: Publisher, ack_timeout_seconds: float | None, crash: Crash) -> None:
        """Without a timeout, as long as the producer keeps trying."""
        self._publisher = publisher
        self._ack_timeout_seconds = ack_timeout_seconds
        self._crash = crash

    async def __call__(self, messages: Sequence[Message]) -> None:
        records = [Outgoing(one.topic, one.key.encode(), one.value, _headers(one)) for one in messages]
        try:
            await self._publisher.publish(records, timeout_seconds=self._ack_timeout_seconds)
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            raise TooLargeError from error
        except Exception as error:
            if is_transient(error) or isinstance(error, ProducerClosed):
                raise NotAcknowledgedError from error
            if isinstance(error, KafkaError):
                # An idempotent producer that failed for good never sends again (aiokafka #1017).
                self._crash("the producer cannot go on", error)
                raise NotAcknowledgedError from error
            raise


def _headers(message: Message) -> tuple[Header, ...]:
    """W3C trace context over Kafka: the names that it has in HTTP."""
    if message.trace is None:
        return CLOUDEVENT
    state = (("tracestate", message.trace.state.encode()),) if message.trace.state is not None else ()
    return (*CLOUDEVENT, ("traceparent", message.trace.parent.encode()), *state)
