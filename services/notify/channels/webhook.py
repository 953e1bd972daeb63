"""Messages to agencies' own systems, by Standard Webhooks 1.0.0 (github.com/standard-webhooks/standard-webhooks)."""

import asyncio
import base64
import hmac
import re
import ssl
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

import httpcore
import httpx
import pydantic_core

from services.notify.channels.addresses import CheckedNetwork, ForbiddenAddressError, Resolve, resolve
from services.notify.domain.retrying import RetryTable
from services.notify.domain.routing import Recipient, Role
from services.notify.endpoints import Endpoint, Secret
from services.notify.ports import Contact, Delivered, Message, Refused, RetryLater, Sent

MESSAGE_SECONDS_MAX = 30.0
"""From the question for the address to the end of the answer. The specification asks for 15 to 30; some are slow."""
ANSWER_BYTES_MAX: Final = 64 * 1024
"""Of the body, which is read so that the receiver can finish, and thrown away."""

_WAITS: Final = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
RETRIES: Final = RetryTable(_WAITS, give_up_after=sum(_WAITS))
"""The specification's schedule: ten tries, the last one 75:35:05 after the first."""

_FAILURES: Final = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError)


class WebhookChannel:
    """POSTs to the endpoints of the file. Agencies that share a URL share its receiver, and so their secrets."""

    retries: Final = RETRIES
    is_optional: Final = True

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        now: Callable[[], float],
        allow_private: bool = False,
        resolve: Resolve = resolve,
    ) -> None:
        """`now`: real seconds since the epoch. `allow_private`: addresses off the open network too, for trials."""
        self._endpoints = {(one.province, one.agency): one for one in endpoints}
        self._secrets: dict[str, tuple[Secret, ...]] = {}
        for one in endpoints:
            self._secrets[one.url] = self._secrets.get(one.url, ()) + one.secrets
        self._now = now
        self._network = CheckedNetwork(allow_private=allow_private, resolve=resolve)
        self._tls = httpx.create_ssl_context()

    def address(self, province: str, recipient: Recipient, contact: Contact | None) -> str | None:
        """The URL of the agency's system. What is for the head in person goes there only if the file says so."""
        endpoint = self._endpoints.get((province, recipient.agency))
        if endpoint is None or (recipient.role is Role.HEAD and not endpoint.head):
            return None
        return endpoint.url

    async def __call__(self, message: Message) -> Sent:
        """POST one message. A repeat carries the same webhook-id.

        Only 410 ends it: whatever else is wrong, with them or with us, somebody may mend within three days.
        """
        secrets = self._secrets.get(message.to)
        if secrets is None:
            return Refused("no_endpoint")
        answered: Sent | None = None
        try:
            # A connection per message: each one's address is checked, and none is shared between names.
            async with (
                asyncio.timeout(MESSAGE_SECONDS_MAX),
                httpcore.AsyncConnectionPool(ssl_context=self._tls, network_backend=self._network) as pool,
                self._post(pool, message, secrets) as answer,
            ):
                answered = self._meaning(answer)
                await _discard(answer)
        except ForbiddenAddressError:
            return RetryLater("forbidden_address")
        except _FAILURES as error:
            # What the status said stands, whatever becomes of the body.
            return answered or RetryLater(_name(error))
        assert answered is not None
        return answered

    def _post(
        self, pool: httpcore.AsyncConnectionPool, message: Message, secrets: Sequence[Secret]
    ) -> AbstractAsyncContextManager[httpcore.Response]:
        url = httpx.URL(message.to)
        body = pydantic_core.to_json(
            {
                "type": f"dondoc.message.{message.kind}",
                "timestamp": message.written_at.astimezone(UTC),
                "data": {"subject": message.subject, **message.data},
            }
        )
        timestamp = str(int(self._now()))
        headers: dict[bytes | str, bytes | str] = {
            "host": url.netloc.decode("ascii"),
            "connection": "close",
            "content-type": "application/json",
            "user-agent": "dondoc-notify",
            "webhook-id": message.message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signatures(secrets, message.message_id, timestamp, body),
        }
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        return pool.stream("POST", target, headers=headers, content=body)

    def _meaning(self, answer: httpcore.Response) -> Sent:
        """What an answer means (specification, delivery success and failure)."""
        status = answer.status
        if 200 <= status < 300:
            return Delivered()
        if 300 <= status < 400:
            # Never followed: it would lead past the check of the file.
            return RetryLater("redirect")
        if status == 410:
            return Refused("gone", disables=True)
        return RetryLater(f"http_{status}", self._retry_after(answer) if status in {429, 503} else None)

    def _retry_after(self, answer: httpcore.Response) -> float | None:
        """Seconds from now (RFC 9110, section 10.2.3); None for what says nothing."""
        headers = {name.lower(): value for name, value in answer.headers}
        text = headers.get(b"retry-after", b"").decode("latin-1").strip()
        if re.fullmatch("[0-9]{1,9}", text):
            return float(text)
        try:
            until = parsedate_to_datetime(text)
            # HTTP dates are GMT, whether they say so or not.
            return max(0.0, (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() - self._now())
        except (TypeError, ValueError, OverflowError):
            return None


def signatures(secrets: Sequence[Secret], message_id: str, timestamp: str, body: bytes) -> str:
    """The header `webhook-signature`: a signature for each secret, so that either is enough while they change."""
    content = b".".join((message_id.encode(), timestamp.encode(), body))
    return " ".join(dict.fromkeys(_signature(secret, content) for secret in secrets))


def _signature(secret: Secret, content: bytes) -> str:
    """Standard Webhooks 1.0.0, signature scheme."""
    if isinstance(secret, bytes):
        version, signed = "v1", hmac.digest(secret, content, "sha256")
    else:
        version, signed = "v1a", secret.sign(content)
    return f"{version},{base64.b64encode(signed).decode('ascii')}"


async def _discard(answer: httpcore.Response) -> None:
    size = 0
    async for piece in answer.aiter_stream():
        size += len(piece)
        if size >= ANSWER_BYTES_MAX:
            return


def _name(error: Exception) -> str:
    """A bad certificate is told from an address where nobody listens; httpcore calls both ConnectError."""
    return type(next((one for one in error.args if isinstance(one, ssl.SSLError)), error)).__name__
