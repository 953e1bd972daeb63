"""The webhook channel against a real receiver: what it is sent, how it verifies it, what each of its answers means."""

import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from deploy.local.ports import free_port
from services.notify.channels import webhook as channel_module
from services.notify.channels.webhook import WebhookChannel, signatures
from services.notify.domain.routing import Recipient, Role
from services.notify.endpoints import Endpoint
from services.notify.ports import Channel, Delivered, Message, Refused, RetryLater, Sent
from services.notify.sending import CLAIM_SECONDS
from shared.runtime.settings import ProcessSettings
from tests.support.webhook_server import Request, WebhookServer, certificate, webhook_server

OLD, NEW = b"o" * 32, b"n" * 32
OURS = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
NOW = 1_729_386_000.75


class Names:
    """A resolver that knows one answer, and how often it was asked."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self._addresses


@pytest.fixture
async def server() -> AsyncIterator[WebhookServer]:
    async with webhook_server() as running:
        yield running


def a_channel(url: str, *secrets: bytes | Ed25519PrivateKey, **changes: Any) -> WebhookChannel:
    endpoint = Endpoint("H48", "H48.21", url, secrets or (NEW,))
    arguments: dict[str, Any] = {"now": lambda: NOW, "allow_private": True, "resolve": Names("127.0.0.1")}
    return WebhookChannel([endpoint], **{**arguments, **changes})


def a_message(url: str) -> Message:
    return Message(
        "0123456789abcdef",
        url,
        "[Đôn đốc] Quá hạn 1 nhiệm vụ",
        "Kính gửi: Sở\n",
        "<p>Sở</p>",
        datetime(2024, 10, 20, 8, tzinfo=timezone(timedelta(hours=7))),
        "overdue",
        {"agency": "H48.21", "role": "agency", "alerts": [{"task_id": "H48/TB-1/II.1.h/H48.21"}]},
    )


def url_of(server: WebhookServer, path: str = "/in?tenant=53") -> str:
    return f"http://hooks.example:{server.port}{path}"


async def send(server: WebhookServer, *secrets: bytes | Ed25519PrivateKey, **changes: Any) -> Sent:
    return await a_channel(url_of(server), *secrets, **changes)(a_message(url_of(server)))


def verifies(request: Request, key: bytes | Ed25519PublicKey) -> bool:
    """A receiver's own code, from the specification: any one of the signatures is enough."""
    content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    for one in request.headers["webhook-signature"].split(" "):
        version, _, signature = one.partition(",")
        signed = base64.b64decode(signature)
        if isinstance(key, bytes) and version == "v1":
            if hmac.compare_digest(signed, hmac.new(key, content, hashlib.sha256).digest()):
                return True
        elif isinstance(key, Ed25519PublicKey) and version == "v1a":
            try:
                key.verify(signed, content)
            except InvalidSignature:
                continue
            return True
    return False


# -- what is sent ------------------------------------------------------------------------------------------------------


async def test_a_message_arrives_as_the_standard_writes_it(server: WebhookServer) -> None:
    assert await send(server) == Delivered()

    [request] = server.requests
    headers = request.headers
    assert request.line == "POST /in?tenant=53 HTTP/1.1"
    assert headers["host"] == f"hooks.example:{server.port}"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == "dondoc-notify"
    assert headers["webhook-id"] == "0123456789abcdef"
    assert headers["webhook-timestamp"] == "1729386000"
    assert json.loads(request.body) == {
        "type": "dondoc.message.overdue",
        "timestamp": "2024-10-20T01:00:00Z",
        "data": {
            "subject": "[Đôn đốc] Quá hạn 1 nhiệm vụ",
            "agency": "H48.21",
            "role": "agency",
            "alerts": [{"task_id": "H48/TB-1/II.1.h/H48.21"}],
        },
    }


async def test_a_repeat_carries_the_same_id_and_a_time_of_its_own(server: WebhookServer) -> None:
    channel = a_channel(url_of(server), now=iter([NOW, NOW + 300]).__next__)
    for _ in range(2):
        await channel(a_message(url_of(server)))

    first, second = server.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 300
    assert first.body == second.body
    assert verifies(second, NEW)


@pytest.mark.parametrize("known", [OLD, NEW, OURS.public_key()])
async def test_while_secrets_change_each_of_them_verifies(
    server: WebhookServer, known: bytes | Ed25519PublicKey
) -> None:
    """INVARIANT: a receiver changes from one secret to the next, and from HMAC to Ed25519, and misses nothing."""
    await send(server, OLD, NEW, OURS)

    [request] = server.requests
    assert verifies(request, known)
    assert not verifies(request, b"?" * 32)
    assert not verifies(request, Ed25519PrivateKey.from_private_bytes(b"?" * 32).public_key())


@pytest.mark.parametrize("spoil", ["webhook-id", "webhook-timestamp", "body"])
async def test_whatever_is_changed_on_the_way_no_longer_verifies(server: WebhookServer, spoil: str) -> None:
    await send(server, NEW, OURS)

    [request] = server.requests
    changed = (
        replace(request, body=request.body + b" ")
        if spoil == "body"
        else replace(request, headers={**request.headers, spoil: request.headers[spoil] + "0"})
    )
    assert not verifies(changed, NEW)
    assert not verifies(changed, OURS.public_key())


async def test_the_standards_own_library_verifies(server: WebhookServer) -> None:
    await send(server, OLD, NEW, OURS, now=time.time)

    [request] = server.requests
    for key in (OLD, NEW):
        secret = f"whsec_{base64.b64encode(key).decode()}"
        assert Webhook(secret).verify(request.body, dict(request.headers))["type"] == "dondoc.message.overdue"
    with pytest.raises(WebhookVerificationError):
        Webhook(b"?" * 32).verify(request.body, dict(request.headers))


def test_a_signature_is_the_one_that_others_compute() -> None:
    """From the tests of the standard's libraries."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    found = signatures([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')

    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


# -- what an answer means ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        ("200 OK", {}, Delivered()),
        ("202 Accepted", {}, Delivered()),
        ("410 Gone", {}, Refused("gone", disables=True)),
        ("302 Found", {"location": "http://169.254.169.254/latest/meta-data/"}, RetryLater("redirect")),
        ("307 Temporary Redirect", {"location": "/elsewhere"}, RetryLater("redirect")),
        ("400 Bad Request", {}, RetryLater("http_400")),
        ("401 Unauthorized", {}, RetryLater("http_401")),
        ("404 Not Found", {"retry-after": "7"}, RetryLater("http_404")),
        ("429 Too Many Requests", {"Retry-After": "120"}, RetryLater("http_429", 120.0)),
        ("429 Too Many Requests", {}, RetryLater("http_429")),
        ("500 Internal Server Error", {}, RetryLater("http_500")),
        ("502 Bad Gateway", {}, RetryLater("http_502")),
        ("503 Service Unavailable", {"retry-after": "5"}, RetryLater("http_503", 5.0)),
        ("503 Service Unavailable", {"retry-after": "Sun, 20 Oct 2024 01:01:00 GMT"}, RetryLater("http_503", 59.25)),
        ("503 Service Unavailable", {"retry-after": "Sunday, 20-Oct-24 01:01:00 GMT"}, RetryLater("http_503", 59.25)),
        ("503 Service Unavailable", {"retry-after": "Sun Oct 20 01:01:00 2024"}, RetryLater("http_503", 59.25)),
        ("503 Service Unavailable", {"retry-after": "Sun, 20 Oct 2019 01:01:00 GMT"}, RetryLater("http_503", 0.0)),
        ("503 Service Unavailable", {"retry-after": "soon"}, RetryLater("http_503")),
        ("503 Service Unavailable", {"retry-after": "-5"}, RetryLater("http_503")),
        ("503 Service Unavailable", {"retry-after": "9" * 5_000}, RetryLater("http_503")),
        ("503 Service Unavailable", {"retry-after": f"Sun, {'9' * 30} Oct 2024 01:01:00"}, RetryLater("http_503")),
    ],
)
async def test_what_an_answer_means(
    server: WebhookServer, status: str, headers: Mapping[str, str], expected: Sent
) -> None:
    server.status, server.headers = status, headers

    found = await send(server)

    assert found == expected
    assert server.connections == 1


async def test_a_date_is_gmt_wherever_we_run(server: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.status, server.headers = "503 Service Unavailable", {"retry-after": "Sun Oct 20 01:01:00 2024"}
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Ho_Chi_Minh")
        time.tzset()
        found = await send(server)
    time.tzset()

    assert found == RetryLater("http_503", 59.25)


async def test_a_receiver_that_resets_is_tried_again(server: WebhookServer) -> None:
    server.behaviour = "resets"

    assert await send(server) == RetryLater("ReadError")


async def test_nobody_listening_is_a_reason_to_wait() -> None:
    url = f"http://hooks.example:{free_port()}/"

    assert await a_channel(url)(a_message(url)) == RetryLater("ConnectError")


async def test_a_name_that_nobody_knows_is_a_reason_to_wait() -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    url = "https://hooks.example/"

    assert await a_channel(url, resolve=unknown)(a_message(url)) == RetryLater("gaierror")


async def test_something_else_than_http_is_a_reason_to_wait(server: WebhookServer) -> None:
    server.status = "oops"

    assert await send(server) == RetryLater("RemoteProtocolError")


async def test_a_receiver_that_never_answers_is_given_up_in_bounded_time(
    server: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "MESSAGE_SECONDS_MAX", 0.3)
    server.behaviour = "hangs"
    started = time.monotonic()

    assert await send(server) == RetryLater("TimeoutError")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(("status", "expected"), [("200 OK", Delivered()), ("500 Oops", RetryLater("http_500"))])
async def test_the_status_counts_even_if_the_body_never_comes(
    server: WebhookServer, monkeypatch: pytest.MonkeyPatch, status: str, expected: Sent
) -> None:
    monkeypatch.setattr(channel_module, "MESSAGE_SECONDS_MAX", 0.3)
    server.status, server.behaviour = status, "stalls"

    assert await send(server) == expected


async def test_a_receiver_can_finish_its_answer(server: WebhookServer) -> None:
    server.status, server.body = "200 OK", b"{}"

    assert await send(server) == Delivered()
    assert server.heard_out == 1


async def test_of_an_endless_answer_only_the_beginning_is_read(server: WebhookServer) -> None:
    server.status, server.behaviour = "200 OK", "floods"
    started = time.monotonic()

    assert await send(server) == Delivered()
    assert time.monotonic() - started < 5
    # What was read, and what fits into the buffers of two sockets.
    assert server.bytes_written < 32 * 1024 * 1024


async def test_endless_headers_are_no_answer(server: WebhookServer) -> None:
    server.headers = {f"x-{number}": "x" * 1_000 for number in range(200)}

    assert await send(server) == RetryLater("RemoteProtocolError")


# -- where it goes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "addresses", [("127.0.0.1",), ("169.254.169.254",), ("::ffff:10.0.0.1",), ("8.8.8.8", "127.0.0.1")]
)
async def test_a_name_that_leads_inside_is_not_followed(server: WebhookServer, addresses: Sequence[str]) -> None:
    """INVARIANT: whoever names an endpoint reaches nothing of ours through it, not even a connection."""
    names = Names(*addresses)

    assert await send(server, allow_private=False, resolve=names) == RetryLater("forbidden_address")
    assert server.connections == 0
    assert names.asked == ["hooks.example"]


async def test_an_address_instead_of_a_name_is_checked_as_well(server: WebhookServer) -> None:
    url = f"http://127.0.0.1:{server.port}/"
    channel = WebhookChannel([Endpoint("H48", "H48.21", url, (NEW,))], now=lambda: NOW)

    assert await channel(a_message(url)) == RetryLater("forbidden_address")
    assert server.connections == 0


async def test_each_message_is_checked_and_connects_anew(server: WebhookServer) -> None:
    names = Names("127.0.0.1")
    channel = a_channel(url_of(server), resolve=names)
    for _ in range(2):
        assert await channel(a_message(url_of(server))) == Delivered()

    assert (server.connections, len(names.asked)) == (2, 2)


async def test_no_proxy_of_the_environment_comes_in_between(
    server: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")

    assert await send(server) == Delivered()


async def test_over_tls_the_name_is_asked_for_and_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """INVARIANT: the connection goes to the checked address, and TLS still proves the name."""
    tls, trusted = certificate("hooks.example", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with webhook_server(tls=tls) as server:
        good, other = (f"https://{name}:{server.port}/" for name in ("hooks.example", "other.example"))

        assert await a_channel(good)(a_message(good)) == Delivered()
        assert await a_channel(other)(a_message(other)) == RetryLater("SSLCertVerificationError")

    assert server.names == ["hooks.example", "other.example"]
    assert [one.headers["host"] for one in server.requests] == [f"hooks.example:{server.port}"]


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    tls, _ = certificate("hooks.example", tmp_path)
    async with webhook_server(tls=tls) as server:
        url = f"https://hooks.example:{server.port}/"

        assert await a_channel(url)(a_message(url)) == RetryLater("SSLCertVerificationError")

    assert server.requests == []


# -- whom it reaches ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.AGENCY, Role.REVIEWER, Role.STANDING, Role.CHAIRMAN_OFFICE])
def test_an_agencys_system_hears_what_its_agency_hears(role: Role) -> None:
    channel: Channel = a_channel("https://hooks.example/")

    assert channel.address("H48", Recipient("H48.21", role), None) == "https://hooks.example/"
    assert channel.address("H49", Recipient("H48.21", role), None) is None
    assert channel.address("H48", Recipient("H48.22", role), None) is None
    assert channel.is_optional


def test_what_is_for_the_head_goes_there_only_if_the_file_says_so() -> None:
    head = Recipient("H48.21", Role.HEAD)
    endpoint = Endpoint("H48", "H48.21", "https://hooks.example/", (NEW,))

    assert WebhookChannel([endpoint], now=lambda: NOW).address("H48", head, None) is None
    assert WebhookChannel([replace(endpoint, head=True)], now=lambda: NOW).address("H48", head, None) is not None


async def test_agencies_that_share_a_receiver_share_its_secrets(server: WebhookServer) -> None:
    url = url_of(server)
    endpoints = [Endpoint("H48", "H48.21", url, (OLD, OURS)), Endpoint("H48", "H48.22", url, (OLD, NEW))]
    channel = WebhookChannel(endpoints, now=lambda: NOW, allow_private=True, resolve=Names("127.0.0.1"))

    assert await channel(a_message(url)) == Delivered()

    [request] = server.requests
    assert all(verifies(request, key) for key in (OLD, NEW, OURS.public_key()))
    assert len(request.headers["webhook-signature"].split(" ")) == 3


async def test_an_endpoint_that_left_the_file_gets_nothing_more(server: WebhookServer) -> None:
    channel = a_channel("https://hooks.example/")

    assert await channel(a_message(url_of(server))) == Refused("no_endpoint")
    assert server.connections == 0


# -- how long it takes -------------------------------------------------------------------------------------------------


def test_it_tries_ten_times_over_three_days_as_the_specification_says() -> None:
    retries = channel_module.RETRIES
    started, tries = 0.0, [0.0]
    while (wait := retries.wait(len(tries), age=started)) is not None:
        started += wait
        tries.append(started)

    assert tries == [0, 5, 305, 2_105, 9_305, 27_305, 63_305, 113_705, 185_705, 272_105]


def test_the_longest_a_message_takes_is_below_its_claim() -> None:
    longest = channel_module.MESSAGE_SECONDS_MAX

    assert longest < CLAIM_SECONDS
    assert longest < ProcessSettings.model_fields["stuck_seconds"].default
