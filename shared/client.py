"""A client for agencies' systems: one file, needs httpx and stamina, and nothing else of this project.

    with Client("https://dondoc.h48.example", token, source="//so-cong-thuong.example/qlvb") as client:
        client.send("dondoc.task.progress_reported.v1", {"task_id": "H48/TB-1/II.1.a/H48.20", "percent": 40})

An event gets its id once. Whatever happens on the way (no answer, 429, 503), the very same event is sent again until it
is answered; source and id make that safe: however often it arrives, it has one effect.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

import httpx
import stamina

EVENTS_PATH = "/v1/events"
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may be answered otherwise."""
PATIENCE = timedelta(hours=1)
WAIT_MAX = timedelta(seconds=30)
TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Event:
    """One CloudEvent. Keep it, and its id with it, until it was accepted."""

    type: str
    data: Mapping[str, Any]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    time: datetime | None = None
    """When it happened, with an offset; the platform's own moment of receipt is what counts."""

    def content(self, source: str) -> dict[str, Any]:
        """In structured mode."""
        event: dict[str, Any] = {"specversion": "1.0", "id": self.id, "source": source, "type": self.type}
        if self.time is not None:
            if self.time.tzinfo is None:
                raise ValueError(f"the time of event {self.id} has no offset")
            event["time"] = self.time.isoformat()
        return {**event, "data": dict(self.data)}


@dataclass(frozen=True, slots=True)
class Receipt:
    """A promise: the event is kept. `received_at` decides whether it was in time."""

    id: str
    received_at: datetime


class RefusedError(Exception):
    """Nothing was taken, and sending the same again would not help. `errors`: what is wrong, by JSON pointer."""

    def __init__(self, status: int, code: str, detail: str, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors


class NotAnsweredError(Exception):
    """Patience is at its end. The event may have arrived: send the same one again later, never a new one for it."""


class _AgainError(Exception):
    """An answer that asks to come again."""

    def __init__(self, status: int, after: timedelta | None) -> None:
        super().__init__(f"answered {status}")
        self.after = after


class Client:
    """Sends events of one system. `token`: a bearer token, or what gives a fresh one when the old one has expired."""

    def __init__(
        self,
        base_url: str,
        token: str | Callable[[], str],
        *,
        source: str,
        patience: timedelta = PATIENCE,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=TIMEOUT_SECONDS, transport=transport)
        self._token_of = token if callable(token) else None
        self._token = token() if callable(token) else token
        self._source = source
        self._patience = patience

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def send(self, type: str, data: Mapping[str, Any], *, id: str | None = None) -> Receipt:
        """Send one event. Raises RefusedError, NotAnsweredError."""
        event = Event(type, data, id) if id is not None else Event(type, data)
        [receipt] = self.send_all([event])
        return receipt

    def send_all(self, events: Sequence[Event]) -> list[Receipt]:
        """Send events as one batch: all are taken, or none. Raises RefusedError, NotAnsweredError."""
        if not events:
            return []
        answer = self._post(EVENTS_PATH, events).json()
        received_at = datetime.fromisoformat(answer["received_at"])
        return [Receipt(one["id"], received_at) for one in answer["submissions"]]

    def check(self, events: Sequence[Event]) -> None:
        """Ask whether events would be taken now; nothing is kept. Raises RefusedError, NotAnsweredError."""
        if events:
            self._post(f"{EVENTS_PATH}?dry_run=true", events)

    def _post(self, path: str, events: Sequence[Event]) -> httpx.Response:
        content = [one.content(self._source) for one in events]
        attempts = stamina.retry_context(
            _again, attempts=None, timeout=self._patience, wait_initial=0.5, wait_max=WAIT_MAX, wait_jitter=0.5
        )
        try:
            for attempt in attempts:
                with attempt:
                    return self._try(path, content)
        except (_AgainError, httpx.TransportError) as error:
            raise NotAnsweredError(f"no final answer within {self._patience}: {error}") from error
        raise AssertionError("a retry ends in an answer or an error")

    def _try(self, path: str, content: list[dict[str, Any]]) -> httpx.Response:
        answer = self._once(path, content)
        if answer.status_code == httpx.codes.UNAUTHORIZED and self._token_of is not None:
            self._token = self._token_of()
            answer = self._once(path, content)
        if answer.is_success:
            return answer
        if answer.status_code in AGAIN:
            raise _AgainError(answer.status_code, _retry_after(answer))
        raise _refused(answer)

    def _once(self, path: str, content: list[dict[str, Any]]) -> httpx.Response:
        headers = {
            "authorization": f"Bearer {self._token}",
            "content-type": "application/cloudevents-batch+json; charset=utf-8",
        }
        return self._http.post(path, json=content, headers=headers)


def _again(error: Exception) -> bool | timedelta:
    """Whether to try again, and after how long where the answer says so."""
    if isinstance(error, _AgainError):
        return error.after if error.after is not None else True
    return isinstance(error, httpx.TransportError)


def _retry_after(answer: httpx.Response) -> timedelta | None:
    text = answer.headers.get("retry-after", "")
    return timedelta(seconds=int(text)) if text.isdigit() else None


def _refused(answer: httpx.Response) -> RefusedError:
    try:
        problem = answer.json()
        return RefusedError(answer.status_code, problem["code"], problem["detail"], problem.get("errors", ()))
    except (ValueError, KeyError, TypeError):
        # Something in between answered, not the platform.
        return RefusedError(answer.status_code, "http_error", answer.text[:200])
