"""Bytes ↔ event. An unknown type or a wrong field is a named error, never a guess."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
import pydantic_core
from pydantic import ValidationError

from shared.contracts.envelope import Envelope
from shared.contracts.events import BY_TOPIC, EventType
from shared.contracts.model import Part

_LENGTH: Final = re.compile(r"[0-9]+:")


class UndecodableError(ValueError):
    """A record that no version of this code can read. `reason` is a stable word, `detail` says what and where."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Event(NamedTuple):
    """A decoded record: envelope, row of the event table, typed data."""

    envelope: Envelope
    kind: EventType
    data: Part

    @property
    def key(self) -> str:
        """The idempotency key `{source}#{id}`."""
        return event_key(self.envelope.source, self.envelope.id)


def event_key(source: str, event_id: str) -> str:
    """One text for source and id. The length in front keeps `a#` + `b` and `a` + `#b` apart.

    A source that looks as if it had such a length in front gets one too; else it could pass for another's.
    """
    plain = "#" not in source and _LENGTH.match(source) is None
    return f"{source}#{event_id}" if plain else f"{len(source)}:{source}#{event_id}"


def explain(error: ValidationError) -> str:
    """What is wrong where: JSON pointers and words, at most ten."""
    return "; ".join(
        f"/{'/'.join(str(part) for part in item['loc'])}: {item['msg']}"
        for item in error.errors(include_url=False, include_context=False, include_input=False)[:10]
    )


def decode(topic: str, value: bytes | None) -> Event:
    """Read one record of a topic. Raises UndecodableError: `empty`, `malformed`, `unknown_type`, `invalid_data`."""
    if value is None:
        raise UndecodableError("empty", "the record has no value")
    try:
        envelope = Envelope.model_validate_json(value)
    except ValidationError as error:
        raise UndecodableError("malformed", explain(error)) from error
    kind = BY_TOPIC.get(topic, {}).get(envelope.type)
    if kind is None:
        raise UndecodableError("unknown_type", f"{envelope.type!r} is no event type of {topic}")
    try:
        data = kind.model.model_validate(envelope.data)
    except ValidationError as error:
        raise UndecodableError("invalid_data", explain(error)) from error
    return Event(envelope, kind, data)


def encode(
    *,
    event_type: str,
    event_id: str,
    source: str,
    time: datetime,
    province: str,
    data: Part | Mapping[str, Any] | bytes,
    subject: str | None = None,
    traceparent: str | None = None,
) -> bytes:
    """Write a platform event as a structured CloudEvent. `data` as bytes is JSON already and goes in as it is."""
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": event_type,
        "time": time,
        "province": province,
        "datacontenttype": "application/json",
    }
    if subject is not None:
        attributes["subject"] = subject
    if traceparent is not None:
        attributes["traceparent"] = traceparent
    content = data if isinstance(data, bytes) else pydantic_core.to_json(data)
    return b'%s,"data":%s}' % (orjson.dumps(attributes, option=orjson.OPT_UTC_Z)[:-1], content)
