"""POST /v1/events and its errors over ASGI: limits, media types, status codes. No decisions about events here."""

import asyncio
import functools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl

import pydantic_core
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from services.ingest import answers, edxml, metrics, openapi, wire
from services.ingest.answers import Answer, problem
from services.ingest.body import Body
from services.ingest.domain.admission import Admission
from services.ingest.domain.authorisation import Credential
from services.ingest.domain.rates import Rates
from services.ingest.domain.refusal import Code, RefusedError
from services.ingest.handlers import Intake
from services.ingest.ports import Identify, Trace
from services.ingest.settings import Settings

log = structlog.get_logger()

EVENTS_PATH: Final = "/v1/events"
EDXML_PATH: Final = "/v1/edxml"
SCHEMAS_PATH: Final = "/v1/schemas"
_SENDER_HEADER: Final = wire.SENDER_HEADER.encode()
SCHEMA: Final = "application/schema+json"
_TAKEN: Final = (
    f"Send one event as {wire.STRUCTURED}, several as {wire.BATCH}, or one in binary mode: {wire.JSON} with ce- headers"
)


@dataclass(slots=True)
class Asked:
    """The head of a request, and what becomes known while it is answered."""

    authorizations: list[bytes] = field(default_factory=list)
    senders: list[bytes] = field(default_factory=list)
    peer: str | None = None
    content_types: list[bytes] = field(default_factory=list)
    encoding: bytes = b""
    length: int | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    trace: Trace | None = None
    about: dict[str, str] = field(default_factory=dict)
    """The parameters of the address."""
    attributes: list[tuple[bytes, bytes]] = field(default_factory=list)
    credential: Credential | None = None
    bytes_read: int = 0
    is_too_slow: bool = False
    """Its body was waited for too long."""
    events: int = 0

    @property
    def dry_run(self) -> bool:
        """Whether the sender only asks."""
        return self.about.get("dry_run") == "true"


class _SenderGoneError(Exception):
    """The connection ended before the body did: nobody to answer."""


class Door:
    """What every address that takes something has in common, as bare ASGI: it is the one hot path of the system."""

    path: ClassVar[str]
    parameters: ClassVar[frozenset[str]]

    def __init__(
        self, intake: Intake, identify: Identify, admission: Admission, rates: Rates, settings: Settings
    ) -> None:
        self._rates = rates
        self._intake = intake
        self._identify = identify
        self._admission = admission
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        began = time.perf_counter()
        asked = _head(scope["headers"])
        asked.peer = scope["client"][0] if scope["client"] is not None else None
        try:
            asked.about = _parameters(scope["query_string"], self.parameters)
            answer = await self._answer(asked, receive)
        except RefusedError as refused:
            answer = problem(refused, retry_after_seconds=self._settings.retry_after_seconds)
        except _SenderGoneError:
            return
        except Exception:
            metrics.UNEXPECTED.inc()
            log.exception("request.failed", route=self.path)
            answer = problem(answers.unexpected())
        finally:
            self._admission.leave(bytes=asked.bytes_read)
        await answer.send(send)
        _account(self.path, "POST", answer, began, asked)

    def _media_type(self, asked: Asked) -> str:
        """The body's media type, if it is taken here."""
        raise NotImplementedError

    async def _take(self, asked: Asked, credential: Credential, media_type: str, body: bytes) -> Answer:
        """Take the body, and note in `asked` how many events it held."""
        raise NotImplementedError

    async def _answer(self, asked: Asked, receive: Receive) -> Answer:
        asked.trace = wire.trace_of(asked.traceparent, asked.tracestate)
        asked.credential = credential = self._identify(asked.authorizations, asked.senders, asked.peer)
        sender = f"{credential.province}/{credential.agency}"
        self._let_pass(sender)
        is_gzip = _is_gzip(asked.encoding)
        media_type = self._media_type(asked)
        answer = await self._take(asked, credential, media_type, await self._body(asked, receive, is_gzip=is_gzip))
        if asked.events > 1:
            # The first was charged when it was let pass.
            self._rates.charge(sender, asked.events - 1, time.monotonic())
        return answer

    def _let_pass(self, sender: str) -> None:
        now = time.monotonic()
        wait = self._rates.wait_seconds(sender, now)
        if wait > 0:
            raise RefusedError(
                Code.TOO_MANY_REQUESTS,
                f"This agency has sent more than {self._settings.agency_events_per_second:g} events a second for some "
                "time. Wait as Retry-After says, then send the same again, as batches.",
                retry_after_seconds=math.ceil(wait),
            )
        # Whatever comes of the request: what is refused costs work as well.
        self._rates.charge(sender, 1, now)

    async def _body(self, asked: Asked, receive: Receive, *, is_gzip: bool) -> bytes:
        body = Body(is_gzip=is_gzip, bytes_max=self._settings.body_bytes_max)
        body.announced(asked.length)
        task = asyncio.current_task()
        assert task is not None, "a request is answered in a task"
        # asyncio.timeout at a fifth of its price: nearly every body is there before it is asked for.
        timer = asyncio.get_running_loop().call_later(self._settings.body_seconds_max, _end, task, asked)
        try:
            while await self._piece(asked, receive, body):
                pass
        except asyncio.CancelledError:
            if not asked.is_too_slow or task.uncancel():
                raise
            raise RefusedError(
                Code.BODY_TOO_SLOW, f"The body took longer than {self._settings.body_seconds_max:.0f} s. Send it again."
            ) from None
        finally:
            timer.cancel()
        return body.whole()

    async def _piece(self, asked: Asked, receive: Receive, body: Body) -> bool:
        """Read a piece; say whether there is more."""
        received = await receive()
        if received["type"] == "http.disconnect":
            raise _SenderGoneError
        grew = body.add(received.get("body", b""))
        if not self._admission.enter(bytes=grew):
            raise RefusedError(Code.OVERLOADED, "Too much is under way. Wait, then send the same again.")
        asked.bytes_read += grew
        return bool(received.get("more_body", False))


class EventsEndpoint(Door):
    """`POST /v1/events`: CloudEvents in their three HTTP modes."""

    path = EVENTS_PATH
    parameters = frozenset({"dry_run"})

    def _media_type(self, asked: Asked) -> str:
        media_type, is_utf8 = _sent_as(asked)
        if not is_utf8:
            raise RefusedError(Code.UNSUPPORTED_MEDIA_TYPE, "The charset is not UTF-8. JSON travels as UTF-8.")
        if media_type in {wire.STRUCTURED, wire.BATCH} or (media_type == wire.JSON and asked.attributes):
            return media_type
        raise RefusedError(
            Code.UNSUPPORTED_MEDIA_TYPE,
            f"{media_type[:100]!r} is not taken here. {_TAKEN}." if media_type else f"{_TAKEN}.",
        )

    async def _take(self, asked: Asked, credential: Credential, media_type: str, body: bytes) -> Answer:
        received_at = self._intake.received_at()
        is_batch = media_type == wire.BATCH

        def parse() -> Any:
            return wire.from_binary(asked.attributes, body) if media_type == wire.JSON else wire.parse(body)

        if asked.dry_run:
            asked.events = self._intake.check(credential, parse, received_at=received_at, is_batch=is_batch)
            answer = answers.checked(asked.events)
        else:
            receipt = await self._intake.accept(
                credential, parse, received_at=received_at, trace=asked.trace, is_batch=is_batch
            )
            asked.events = len(receipt.events)
            answer = answers.many(receipt) if is_batch else answers.one(receipt)
        return answer


class EdxmlEndpoint(Door):
    """`POST /v1/edxml`: an envelope that orders becomes a draft, one that reports on an order becomes a result."""

    path = EDXML_PATH
    parameters = frozenset({"directive", "clause", "period", "dry_run"})

    def _media_type(self, asked: Asked) -> str:
        media_type, is_utf8 = _sent_as(asked)
        if media_type not in edxml.MEDIA_TYPES or not is_utf8:
            raise RefusedError(Code.UNSUPPORTED_MEDIA_TYPE, "Send the envelope as application/xml, in UTF-8.")
        return media_type

    async def _take(self, asked: Asked, credential: Credential, media_type: str, body: bytes) -> Answer:
        received_at = self._intake.received_at()
        try:
            envelope = edxml.read(body)
            if envelope.steering == edxml.ORDERS:
                draft, to_do = edxml.draft(envelope)
                # What the human gets is a draft that would be taken.
                self._intake.check(credential, lambda: draft, received_at=received_at)
                return answers.drafted(draft, to_do)
            if envelope.steering != edxml.REPORTS:
                raise RefusedError(
                    Code.NOT_STEERING, "The envelope neither orders anything (SteeringType 2) nor reports on it (3)."
                )
            if envelope.business == edxml.RECALLED:
                raise RefusedError(
                    Code.NOT_STEERING, "A report that was handed in is not taken back by an envelope: send a new one."
                )
            about = asked.about
            event = edxml.result(
                envelope,
                province=credential.province,
                directive=about.get("directive"),
                clause=about.get("clause", "I"),
                period=about.get("period"),
            )
        except wire.FaultyError as error:
            raise RefusedError(
                Code.INVALID_ENVELOPE,
                f"Nothing was taken. {error.faults[0].pointer}: {error.faults[0].detail}.",
                error.faults,
            ) from error
        asked.events = 1
        if asked.dry_run:
            return answers.checked(self._intake.check(credential, lambda: event, received_at=received_at))
        return answers.one(
            await self._intake.accept(credential, lambda: event, received_at=received_at, trace=asked.trace)
        )


# -- requests --------------------------------------------------------------------------------------------------------


def _head(headers: Sequence[tuple[bytes, bytes]]) -> Asked:
    asked = Asked()
    for name, value in headers:
        if name == b"authorization":
            asked.authorizations.append(value)
        elif name == _SENDER_HEADER:
            asked.senders.append(value)
        elif name == b"content-type":
            asked.content_types.append(value)
        elif name == b"content-length":
            asked.length = int(value) if value.isdigit() else None
        elif name == b"content-encoding":
            asked.encoding = value
        elif name == b"traceparent":
            asked.traceparent = value.decode("latin-1")
        elif name == b"tracestate":
            # Several lines are one list.
            state = value.decode("latin-1")
            asked.tracestate = f"{asked.tracestate},{state}" if asked.tracestate else state
        elif name.startswith(b"ce-"):
            asked.attributes.append((name[3:], value))
    return asked


def _end(task: "asyncio.Task[Any]", asked: Asked) -> None:
    """The body's time is over."""
    asked.is_too_slow = True
    task.cancel()


def _is_gzip(encoding: bytes) -> bool:
    match encoding.strip().lower():
        case b"" | b"identity":
            return False
        case b"gzip" | b"x-gzip":
            return True
    raise RefusedError(
        Code.UNSUPPORTED_MEDIA_TYPE, "The body's Content-Encoding is not taken here. Send it as gzip, or plain."
    )


def _parameters(query: bytes, known: frozenset[str]) -> dict[str, str]:
    """What is asked for in the address. A parameter nobody knows is refused: a misspelt `dry_run` would send."""
    if not query:
        return {}
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    found = dict(pairs)
    if len(found) < len(pairs) or not found.keys() <= known or found.get("dry_run", "true") not in {"true", "false"}:
        raise RefusedError(
            Code.UNKNOWN_PARAMETER,
            f"Taken here, each once: {', '.join(sorted(known))}; dry_run is `true` or `false`.",
        )
    return found


def _sent_as(asked: Asked) -> tuple[str, bool]:
    """The media type, and whether the charset is UTF-8 or not named. Of several headers none counts."""
    return _content_type(asked.content_types[0] if len(asked.content_types) == 1 else b"")


@functools.lru_cache(maxsize=64)
def _content_type(header: bytes) -> tuple[str, bool]:
    """The media type, and whether the charset is UTF-8 or not named."""
    media_type, _, parameters = header.decode("latin-1").lower().partition(";")
    return media_type.strip(), wire.utf8_only(parameters)


# -- accounting -----------------------------------------------------------------------------------------------------


def _account(route: str, method: str, answer: Answer, began: float, asked: Asked) -> None:
    """One line and one count for each request."""
    seconds = time.perf_counter() - began
    metrics.answered(route, answer.status, answer.code, seconds)
    log.info(
        "request.answered",
        method=method,
        route=route,
        status=answer.status,
        code=answer.code,
        agency=asked.credential.agency if asked.credential else None,
        province=asked.credential.province if asked.credential else None,
        events=asked.events,
        bytes=asked.bytes_read,
        duration_ms=round(seconds * 1000, 2),
        trace_id=asked.trace.trace_id if asked.trace is not None else None,
    )


# -- routes ----------------------------------------------------------------------------------------------------------


def routes(events: EventsEndpoint, envelopes: EdxmlEndpoint) -> list[Route]:
    """What ingest answers beside probes and metrics."""
    description = pydantic_core.to_json(openapi.document())
    schemas = {name: pydantic_core.to_json(openapi.event_schema(name)) for name in wire.EVENT_TYPES}
    listed = pydantic_core.to_json({"schemas": [{"type": name, "href": f"{SCHEMAS_PATH}/{name}"} for name in schemas]})

    async def described(_: Request) -> Response:
        return Response(description, media_type=wire.JSON)

    async def list_schemas(_: Request) -> Response:
        return Response(listed, media_type=wire.JSON)

    async def schema_of(request: Request) -> Response:
        found = schemas.get(request.path_params["type"])
        if found is None:
            refused = RefusedError(Code.NOT_FOUND, f"No such event type. {SCHEMAS_PATH} lists those there are.")
            return _Ready(problem(refused))
        return Response(found, media_type=SCHEMA)

    return [
        Route(EVENTS_PATH, events, methods=["POST"]),
        Route(EDXML_PATH, envelopes, methods=["POST"]),
        Route(SCHEMAS_PATH, list_schemas),
        Route(f"{SCHEMAS_PATH}/{{type}}", schema_of),
        Route("/openapi.json", described),
    ]


class Doors:
    """The doors, before the framework: finding a route and guarding it is a tenth of a request, and they need neither.

    Everything else, also what is wrong about their addresses, goes to the framework.
    """

    def __init__(self, app: ASGIApp, doors: Sequence[Door]) -> None:
        self._app = app
        self._doors = {door.path: door for door in doors}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        door = self._doors.get(scope.get("path", "")) if scope.get("method") == "POST" else None
        await (door or self._app)(scope, receive, send)


def answer_errors(app: Starlette) -> None:
    """Let the framework's own errors (no such path, wrong method) be told as problems too."""

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), "registered for this class only"
        began = time.perf_counter()
        if error.status_code == 405:
            detail = f"{request.method} is not answered here. Allowed: {(error.headers or {}).get('Allow', '')}."
            refused = RefusedError(Code.METHOD_NOT_ALLOWED, detail)
        else:
            refused = RefusedError(Code.NOT_FOUND, f"Nothing is here. Events go to POST {EVENTS_PATH}.")
        headers = [(name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()]
        answer = problem(refused, headers=headers)
        _account("unmatched", request.method, answer, began, Asked())
        return _Ready(answer)

    app.add_exception_handler(HTTPException, on_http_error)
    # A redirect would repeat the sender's Host header; a path is right or it is not there.
    app.router.redirect_slashes = False


class _Ready(Response):
    """An Answer where the framework wants a Response."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body, status_code=answer.status)
        self.raw_headers = answer.headers
