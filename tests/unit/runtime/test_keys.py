"""Keys from an address: fetched, kept, confirmed, and forgotten when nobody confirms them."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.runtime.keys import ASKED_SECONDS_MIN, KeyDownload, KeyFile
from shared.runtime.tokens import TokenFault, TokenRefusedError, TokenVerifier
from tests.unit.runtime.test_tokens import AUDIENCE, COUNTS, EC, ED, HEADER, ISSUER, LEEWAY, NOW, claims, signed

URL = "https://issuer.example/jwks.json"
EVERY, STALE = 300.0, 86_400.0


def key_set(*keys: Any) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


@dataclass(slots=True)
class Issuer:
    """An issuer's address that the test fills, and a service that knows it. Time is the test's."""

    path: Path
    answer: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(200, content=key_set(EC))
    now: float = NOW
    asked: int = 0
    download: KeyDownload = field(init=False)
    verify: TokenVerifier = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """The service starts anew; the file is what is left."""

        def handle(request: httpx.Request) -> httpx.Response:
            self.asked += 1
            return self.answer(request)

        def real_time() -> float:
            return self.now

        self.download = KeyDownload(
            URL, self.path, COUNTS, every_seconds=EVERY, real_time=real_time, transport=httpx.MockTransport(handle)
        )
        self.verify = TokenVerifier(
            KeyFile(self.path, COUNTS, stale_seconds_max=STALE, real_time=real_time),
            COUNTS,
            issuer=ISSUER,
            audience=AUDIENCE,
            leeway_seconds=LEEWAY,
            download=self.download,
            real_time=real_time,
        )

    async def passes(self, seconds: float) -> None:
        """Time passes; the loop turns at its end."""
        self.now += seconds
        await self.download.turn()

    def code(self, key: Any = EC) -> TokenFault | None:
        """Why a good token under this key is refused; None: it is taken."""
        self.now += 1
        token = signed(claims(exp=self.now + 60, iat=self.now), {**HEADER, "kid": key.kid, "alg": _ALG[key.kid]}, key)
        try:
            self.verify(token)
        except TokenRefusedError as refused:
            return refused.fault
        return None


_ALG = {"ec": "ES256", "ed": "EdDSA"}


def says(status: int, content: bytes = b"") -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, content=content)


def cannot_be_reached(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no route", request=request)


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path / "jwks.json")


async def test_before_the_first_fetch_nothing_is_judged_and_after_it_tokens_are(issuer: Issuer) -> None:
    assert not issuer.verify.ready()
    assert issuer.code() is TokenFault.KEYS_MISSING

    await issuer.passes(0)

    assert issuer.code() is None
    assert issuer.verify.ready()


async def test_keys_are_confirmed_at_their_interval_and_no_more_often(issuer: Issuer) -> None:
    for _ in range(int(EVERY * 2)):
        await issuer.passes(1)

    assert issuer.asked == 2


@pytest.mark.parametrize(
    "answer",
    [
        cannot_be_reached,
        says(500),
        says(404, key_set(ED)),
        says(200, b"<html>"),
        says(200, b'{"keys": []}'),
        says(200, b" " * 1024 * 1024 + key_set(ED)),
        lambda _: httpx.Response(302, headers={"location": "https://elsewhere.example/jwks.json"}),
    ],
)
async def test_while_the_issuer_is_out_of_order_the_keys_before_stand(
    issuer: Issuer, answer: Callable[[httpx.Request], httpx.Response]
) -> None:
    await issuer.passes(0)
    issuer.answer = answer

    await issuer.passes(EVERY)

    assert issuer.asked == 2
    assert issuer.code() is None


async def test_what_was_fetched_outlives_a_restart_during_an_outage(issuer: Issuer) -> None:
    """INVARIANT: on the last evening nobody is turned away because the issuer is down and we were restarted."""
    await issuer.passes(0)
    issuer.answer = cannot_be_reached

    issuer.restart()
    await issuer.passes(EVERY)

    assert issuer.code() is None


async def test_keys_that_nobody_confirms_verify_nothing_after_their_time_also_after_a_restart(issuer: Issuer) -> None:
    await issuer.passes(0)
    issuer.answer = cannot_be_reached

    await issuer.passes(STALE - 10)
    assert issuer.code() is None
    await issuer.passes(20)
    assert issuer.code() is TokenFault.KEYS_MISSING
    assert not issuer.verify.ready()
    issuer.restart()
    assert issuer.code() is TokenFault.KEYS_MISSING

    issuer.answer = says(200, key_set(EC))
    await issuer.passes(EVERY)
    assert issuer.code() is None


async def test_an_outage_is_tried_again_soon_and_then_less_and_less_often(issuer: Issuer) -> None:
    issuer.answer = cannot_be_reached
    tries = []
    for second in range(1_200):
        before = issuer.asked
        await issuer.passes(1)
        tries += [second] if issuer.asked > before else []

    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert gaps[:4] == [5, 10, 20, 40]
    assert set(gaps[7:]) == {EVERY}


async def test_a_token_under_a_new_key_is_asked_to_come_again_and_is_then_taken(issuer: Issuer) -> None:
    await issuer.passes(0)
    issuer.answer = says(200, key_set(EC, ED))
    issuer.now += ASKED_SECONDS_MIN

    assert issuer.code(ED) is TokenFault.KEYS_MISSING
    await issuer.passes(1)

    assert issuer.code(ED) is None


async def test_whoever_shows_unknown_keys_all_the_time_makes_nobody_ask_the_issuer_all_the_time(issuer: Issuer) -> None:
    await issuer.passes(0)
    codes = []
    for _ in range(60):
        codes.append(issuer.code(ED))
        await issuer.passes(0)

    assert issuer.asked <= 1 + 60 / ASKED_SECONDS_MIN
    assert codes.count(TokenFault.UNKNOWN_KEY) > 50


async def test_a_key_that_the_issuer_took_back_verifies_nothing_more(issuer: Issuer) -> None:
    await issuer.passes(0)
    assert issuer.code() is None
    issuer.answer = says(200, key_set(ED))

    await issuer.passes(EVERY)

    assert issuer.code() in {TokenFault.UNKNOWN_KEY, TokenFault.KEYS_MISSING}


async def test_what_is_only_confirmed_forgets_no_verified_token(issuer: Issuer) -> None:
    await issuer.passes(0)
    assert issuer.code() is None
    version = issuer.verify._keys.version

    await issuer.passes(EVERY)
    issuer.code()

    assert issuer.verify._keys.version == version


async def test_an_answer_that_never_ends_is_given_up(issuer: Issuer) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536

    issuer.answer = lambda _: httpx.Response(200, content=endless())

    await issuer.passes(0)

    assert not issuer.path.exists()


@pytest.mark.parametrize("url", ["http://issuer.example/jwks.json", "file:///etc/passwd", "issuer.example"])
def test_keys_come_over_no_open_line(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="DONDOC_JWKS_URL"):
        KeyDownload(url, tmp_path / "x", COUNTS, every_seconds=EVERY)
    KeyDownload("http://127.0.0.1:8443/jwks.json", tmp_path / "x", COUNTS, every_seconds=EVERY)
