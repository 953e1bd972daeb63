"""What a connection may cost before anybody has seen a token: the head's size and time, idle time, how many there are.

uvicorn has no such limits with httptools: a head may grow for ever, and an open connection may say nothing for ever.
"""

import asyncio
import socket
from http import HTTPStatus
from typing import Any, Final

import pydantic_core
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared.runtime import problems
from shared.runtime.metrics import HEADS_REFUSED

HEAD_BYTES_MAX: Final = 32 * 1024
HEADERS_MAX: Final = 100
HEAD_SECONDS_MAX: Final = 10.0
"""Real time for one head, and for a new connection to say something at all."""
UNREAD_SECONDS_MAX: Final = 10.0
"""Real time for which an answer may wait to be read."""
CONNECTIONS_MAX: Final = 2_000
READ_AHEAD_BYTES: Final = 32 * 1024
"""What the system may hold of a connection's bytes (it takes twice as much); the event loop reads all of it at once."""

_Refusal = tuple[int, str, str]
_MALFORMED: Final[_Refusal] = (400, "malformed_http", "This is not HTTP/1.1 as RFC 9112 has it.")
_TOO_LARGE: Final[_Refusal] = (
    431,
    "head_too_large",
    f"The request line and the headers may have {HEAD_BYTES_MAX} bytes together, in {HEADERS_MAX} headers at most.",
)
_TOO_SLOW: Final[_Refusal] = (
    408,
    "head_too_slow",
    f"The request's head was not there within {HEAD_SECONDS_MAX:.0f} s. Send it again.",
)
_TOO_MANY: Final[_Refusal] = (503, "overloaded", "Too many connections are open. Wait, then send the same again.")


class _HeadTooLargeError(Exception):
    """Ends the parsing of a head."""


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits on what comes before the body."""

    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _in_head = False
    _began_here = False
    _head_bytes = 0
    _refusal: _Refusal = _MALFORMED

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody connects; whoever does not go on to ask something is let go."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_AHEAD_BYTES)
        if len(self.connections) > CONNECTIONS_MAX:
            self._refuse(_TOO_MANY)
        else:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._stop_timer()
        self._stop_unread()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes of a head or a body."""
        if self.transport.is_closing():
            return
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start_timer()
        self._began_here = False
        super().data_received(data)
        if self._in_head and not self._began_here and not self.transport.is_closing():
            # All of it belongs to a head that has not ended: httptools keeps it until it has.
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head, self._began_here, self._head_bytes = True, True, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header is whole. Trailers of a chunked body are of no use here, and there may be any number of them."""
        if not self._in_head:
            return
        if len(self.headers) >= HEADERS_MAX:
            self._refusal = _TOO_LARGE
            raise _HeadTooLargeError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A head has ended."""
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > HEAD_BYTES_MAX:
            self._refusal = _TOO_LARGE
            raise _HeadTooLargeError
        self._stop_timer()
        super().on_headers_complete()
        self._in_head = False

    def pause_writing(self) -> None:
        """The other end does not read what it asked for."""
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_SECONDS_MAX, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads."""
        super().resume_writing()
        self._stop_unread()

    def _stop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def on_response_complete(self) -> None:
        """A response has been written, as far as we are concerned."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._end_soon()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing was asked for a while."""
        super().timeout_keep_alive_handler()
        self._end_soon()

    def _end_soon(self) -> None:
        """A closed transport waits for the other end to read, for ever if need be."""
        self.loop.call_later(UNREAD_SECONDS_MAX, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Called with what cannot be parsed; `msg` is uvicorn's and says less than ours."""
        self._refuse(self._refusal)

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS_MAX, self._on_time)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self._refuse(_TOO_SLOW)

    def _refuse(self, refusal: _Refusal) -> None:
        """Answer with a problem and let go."""
        status, code, detail = refusal
        HEADS_REFUSED.labels(code).inc()
        content: dict[str, Any] = problems.content(status, code, detail)
        body = pydantic_core.to_json(content)
        head = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            f"content-type: {problems.PROBLEM}",
            f"content-length: {len(body)}",
            "connection: close",
            *(["retry-after: 5"] if status == HTTPStatus.SERVICE_UNAVAILABLE else []),
        ]
        self.transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        self.transport.close()
        self._end_soon()
