"""What ingest answers: receipts, and problems by RFC 9457 with the headers that their status asks for."""

import functools
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import orjson
from starlette.types import Send

from services.ingest import wire
from services.ingest.domain.authorisation import SCOPES
from services.ingest.domain.refusal import Code, RefusedError
from services.ingest.handlers import Receipt, Taken
from shared.runtime import problems
from shared.runtime.bearer import scope_challenge, token_challenge

FAULTS_MAX: Final = 100
"""How many faults one answer lists."""

STATUS: Final = {
    Code.UNKNOWN_PARAMETER: 400,
    Code.MALFORMED_ENCODING: 400,
    Code.MALFORMED_JSON: 400,
    Code.MALFORMED_XML: 400,
    Code.TOO_DEEP: 400,
    Code.TOKEN_MISSING: 401,
    Code.TOKEN_MALFORMED: 401,
    Code.TOKEN_EXPIRED: 401,
    Code.TOKEN_NOT_YET_VALID: 401,
    Code.TOKEN_WRONG_AUDIENCE: 401,
    Code.TOKEN_WRONG_ISSUER: 401,
    Code.TOKEN_UNKNOWN_KEY: 401,
    Code.TOKEN_BAD_SIGNATURE: 401,
    Code.TOKEN_INCOMPLETE: 401,
    Code.SCOPE_MISSING: 403,
    Code.WRONG_PROVINCE: 403,
    Code.NOT_YOURS: 403,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.BODY_TOO_SLOW: 408,
    Code.BODY_TOO_LARGE: 413,
    Code.TOO_MANY_EVENTS: 413,
    Code.EVENT_TOO_LARGE: 413,
    Code.UNSUPPORTED_MEDIA_TYPE: 415,
    Code.INVALID_EVENT: 422,
    Code.UNKNOWN_EVENT_TYPE: 422,
    Code.DUPLICATE_IN_BATCH: 422,
    Code.INVALID_ENVELOPE: 422,
    Code.NOT_STEERING: 422,
    Code.TOO_MANY_REQUESTS: 429,
    Code.INTERNAL_ERROR: 500,
    Code.NOT_ACKNOWLEDGED: 503,
    Code.OVERLOADED: 503,
    Code.KEYS_MISSING: 503,
}

Headers = list[tuple[bytes, bytes]]


class Answer(NamedTuple):
    """What goes back."""

    status: int
    code: str
    body: bytes
    headers: Headers

    async def send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


def _location(taken: Taken) -> str:
    name = taken.id
    # Most ids are letters, digits and hyphens: nothing to quote.
    quoted = name if name.isascii() and name.replace("-", "").isalnum() else quote(name, safe="")
    return f"/v1/submissions/{quoted}?source={_quoted_source(taken.source)}"


@functools.lru_cache(maxsize=1024)
def _quoted_source(source: str) -> str:
    # A sender has few sources and many ids.
    return quote(source, safe="")


def one(receipt: Receipt) -> Answer:
    (taken,) = receipt.events
    content = {"id": taken.id, "source": taken.source, "received_at": receipt.received_at}
    return _accepted(content, [(b"location", _location(taken).encode())])


def many(receipt: Receipt) -> Answer:
    content = {
        "received_at": receipt.received_at,
        "accepted": len(receipt.events),
        "submissions": [{"id": one.id, "source": one.source, "location": _location(one)} for one in receipt.events],
    }
    return _accepted(content, [])


def checked(events: int) -> Answer:
    return _answer(200, "checked", {"dry_run": True, "valid": events}, wire.JSON, [])


def _accepted(content: dict[str, Any], headers: Headers) -> Answer:
    return _answer(202, "accepted", content, wire.JSON, headers)


def drafted(draft: dict[str, Any], to_do: Sequence[str]) -> Answer:
    """An event for a human to complete and send; nothing is kept."""
    return _answer(200, "drafted", {"draft": draft, "to_do": list(to_do)}, wire.JSON, [])


def problem(refused: RefusedError, *, retry_after_seconds: int = 1, headers: Headers | None = None) -> Answer:
    """RFC 9457."""
    status, code = STATUS[refused.code], refused.code
    content = problems.content(status, code, refused.detail)
    if refused.faults:
        content["errors"] = [
            {"pointer": one.pointer, "code": one.code, "detail": one.detail} for one in refused.faults[:FAULTS_MAX]
        ]
        if len(refused.faults) > FAULTS_MAX:
            content["errors_left_out"] = len(refused.faults) - FAULTS_MAX
    return _answer(
        status, code, content, problems.PROBLEM, [*(headers or []), *_advice(refused, status, retry_after_seconds)]
    )


def _advice(refused: RefusedError, status: int, retry_after_seconds: int) -> Headers:
    """The headers that a status asks for."""
    if status == 401:
        return [(b"www-authenticate", token_challenge(refused.code).encode())]
    if refused.code is Code.SCOPE_MISSING:
        needed = [scope for scope in SCOPES.values() if any(scope in one.detail for one in refused.faults)]
        return [(b"www-authenticate", scope_challenge(needed).encode())]
    if status in {429, 503}:
        return [(b"retry-after", str(refused.retry_after_seconds or retry_after_seconds).encode())]
    if status == 415:
        return [
            (b"accept-post", f"{wire.STRUCTURED}, {wire.BATCH}, {wire.JSON}".encode()),
            (b"accept-encoding", b"gzip"),
        ]
    # After a 413 the rest of the body is drained unread, so that the sender gets to read the answer.
    return [(b"connection", b"close")] if status == 408 else []


def _answer(status: int, code: str, content: dict[str, Any], media_type: str, headers: Headers) -> Answer:
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    fixed = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
    return Answer(status, code, body, [*fixed, *headers])


def unexpected() -> RefusedError:
    return RefusedError(Code.INTERNAL_ERROR, "An error on our side. Send the same again: source and id make that safe.")
