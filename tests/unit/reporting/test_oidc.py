"""The issuer as an OpenID provider: what it says is checked, asked for seldom, and never waited for without end."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from services.reporting.oidc import (
    ANSWER_BYTES_MAX,
    DISCOVERY_KEPT_SECONDS,
    EXCHANGES_MAX,
    FAILED_KEPT_SECONDS,
    Client,
    LoginError,
    LoginFault,
    Provider,
    challenge,
    error_word,
    is_answer,
    is_safe_url,
)

ISSUER = "https://issuer.example/realms/tinh"
DOCUMENT: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth?theme=tinh",
    "token_endpoint": f"{ISSUER}/token",
    "code_challenge_methods_supported": ["plain", "S256"],
    "unknown": {"is": "ignored"},
}


class Bench:
    """A provider over an issuer in memory, and time that the test sets."""

    def __init__(self, answer: Callable[[httpx.Request], Any], **client: Any) -> None:
        self.now = 1_000.0
        self.asked: list[str] = []

        async def answered(request: httpx.Request) -> httpx.Response:
            self.asked.append(str(request.url))
            found = answer(request)
            if asyncio.iscoroutine(found):
                found = await found
            return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)

        known = Client(**{"id": "board", "redirect_uri": "https://b/login/callback", "scope": "openid", **client})
        self.provider = Provider(ISSUER, known, transport=httpx.MockTransport(answered), real_time=lambda: self.now)


async def fault_of(awaitable: Any) -> tuple[LoginFault, str]:
    with pytest.raises(LoginError) as refused:
        await awaitable
    return refused.value.fault, refused.value.detail


# -- discovery -----------------------------------------------------------------------------------------------------


async def test_the_document_is_read_where_the_issuers_name_says_and_once_an_hour() -> None:
    bench = Bench(lambda _: DOCUMENT)

    await asyncio.gather(*(bench.provider.endpoints() for _ in range(50)))
    bench.now += DISCOVERY_KEPT_SECONDS - 1
    await bench.provider.endpoints()
    assert bench.asked == [f"{ISSUER}/.well-known/openid-configuration"]

    bench.now += 1
    await bench.provider.endpoints()
    assert len(bench.asked) == 2


async def test_while_it_is_down_few_ask_and_nobody_waits_in_turn() -> None:
    bench = Bench(lambda _: httpx.Response(503))

    found = await asyncio.gather(*(bench.provider.endpoints() for _ in range(50)), return_exceptions=True)
    assert {type(one) for one in found} == {LoginError}
    assert len(bench.asked) == 1

    bench.now += FAILED_KEPT_SECONDS
    await fault_of(bench.provider.endpoints())
    assert len(bench.asked) == 2


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"issuer": "https://else.example"}, "issuer"),
        ({"issuer": f"{ISSUER}/"}, "issuer"),
        ({"token_endpoint": "http://issuer.example/token"}, "http"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "http"),
        ({"end_session_endpoint": "http://issuer.example/bye"}, "http"),
        ({"code_challenge_methods_supported": ["plain"]}, "pkce"),
        ({"token_endpoint": None}, "token_endpoint"),
    ],
)
async def test_a_document_that_leads_elsewhere_is_not_used(changes: dict[str, Any], what: str) -> None:
    bench = Bench(lambda _: {**DOCUMENT, **changes})

    assert await fault_of(bench.provider.endpoints()) == (LoginFault.ISSUER_UNSOUND, what)


def raises(error: Exception) -> Callable[[httpx.Request], Any]:
    def answer(_: httpx.Request) -> Any:
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "fault", "detail"),
    [
        (raises(httpx.ConnectError("refused")), LoginFault.ISSUER_DOWN, ""),
        (raises(httpx.ReadTimeout("slow")), LoginFault.ISSUER_DOWN, ""),
        (raises(OSError("no route")), LoginFault.ISSUER_DOWN, ""),
        (lambda _: httpx.Response(500), LoginFault.ISSUER_DOWN, "http_500"),
        (lambda _: httpx.Response(429), LoginFault.ISSUER_DOWN, "http_429"),
        (lambda _: httpx.Response(404), LoginFault.ISSUER_UNSOUND, "http_404"),
        (lambda _: httpx.Response(302, headers={"location": "https://e"}), LoginFault.ISSUER_UNSOUND, "http_302"),
        (lambda _: httpx.Response(200, text="<html>"), LoginFault.ISSUER_UNSOUND, "no_json"),
        (lambda _: httpx.Response(200, json=[]), LoginFault.ISSUER_UNSOUND, "no_json"),
        (lambda _: httpx.Response(200, content=b" " * (ANSWER_BYTES_MAX + 1)), LoginFault.ISSUER_UNSOUND, "too_large"),
    ],
)
async def test_what_is_no_answer_is_named(
    answer: Callable[[httpx.Request], Any], fault: LoginFault, detail: str
) -> None:
    assert await fault_of(Bench(answer).provider.endpoints()) == (fault, detail)


async def test_an_issuer_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.reporting.oidc.ASK_SECONDS_MAX", 0.05)

    assert await fault_of(Bench(lambda _: asyncio.sleep(60)).provider.endpoints()) == (LoginFault.ISSUER_DOWN, "")


def test_a_document_that_anybody_on_the_way_could_write_is_not_asked_for() -> None:
    with pytest.raises(ValueError, match="DONDOC_LOGIN_DISCOVERY_URL"):
        Provider("http://issuer.example", Client("board", "https://b/login/callback", "openid"))


# -- codes ---------------------------------------------------------------------------------------------------------


async def test_the_officer_is_sent_with_a_challenge_and_what_the_address_had_before_stays() -> None:
    url = httpx.URL(await Bench(lambda _: DOCUMENT).provider.authorization_url(state="s", nonce="n", verifier="v" * 43))

    assert dict(url.params) == {
        "theme": "tinh",
        "response_type": "code",
        "client_id": "board",
        "redirect_uri": "https://b/login/callback",
        "scope": "openid",
        "state": "s",
        "nonce": "n",
        "code_challenge": challenge("v" * 43),
        "code_challenge_method": "S256",
    }


def test_a_challenge_is_that_of_the_standard() -> None:
    """RFC 7636, appendix B."""
    assert challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def with_tokens(request: httpx.Request, *, status: int = 200, body: Any = None) -> Any:
    if request.url.path.endswith("/token"):
        return httpx.Response(status, json=body or {"access_token": "canary-a", "id_token": "canary-i"})
    return DOCUMENT


async def test_a_public_client_sends_its_name_and_a_confidential_one_its_secret() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> Any:
        seen.append(request)
        return with_tokens(request)

    await Bench(answer).provider.exchange("c", "v")
    await Bench(answer, secret="a:b c").provider.exchange("c", "v")

    public, confidential = [one for one in seen if one.method == "POST"]
    assert b"client_id=board" in public.content
    assert "authorization" not in public.headers
    assert b"client_id" not in confidential.content
    # base64 of "board:a%3Ab+c"
    assert confidential.headers["authorization"] == "Basic Ym9hcmQ6YSUzQWIrYw=="


@pytest.mark.parametrize(
    ("status", "body", "fault", "detail"),
    [
        (400, {"error": "invalid_grant"}, LoginFault.CODE_REFUSED, "invalid_grant"),
        (401, {"error": "invalid_client"}, LoginFault.CLIENT_REFUSED, "invalid_client"),
        (400, {"error": "canary<script>"}, LoginFault.CLIENT_REFUSED, "unknown"),
        (400, ["canary"], LoginFault.CLIENT_REFUSED, "unknown"),
        (200, {"access_token": "canary"}, LoginFault.ISSUER_UNSOUND, "id_token"),
        (200, {"access_token": 7, "id_token": "canary"}, LoginFault.ISSUER_UNSOUND, "access_token"),
    ],
)
async def test_a_refused_code_says_why_and_no_more(
    status: int, body: Any, fault: LoginFault, detail: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(lambda request: with_tokens(request, status=status, body=body))

    assert await fault_of(bench.provider.exchange("canary", "canary")) == (fault, detail)
    assert "canary" not in capsys.readouterr().out


async def test_tokens_are_in_no_text_of_what_holds_them() -> None:
    tokens = await Bench(with_tokens).provider.exchange("c", "v")

    assert "canary" not in f"{tokens!r} {tokens} {Client('a', 'b', 'c', 'canary')!r}"
    assert tokens.access_token.get_secret_value() == "canary-a"


async def test_codes_are_exchanged_few_at_a_time() -> None:
    go_on = asyncio.Event()

    async def slow(request: httpx.Request) -> httpx.Response:
        await go_on.wait()
        return httpx.Response(200, json={"access_token": "a", "id_token": "i"})

    bench = Bench(lambda request: slow(request) if request.method == "POST" else DOCUMENT)
    waiting = [asyncio.create_task(bench.provider.exchange("c", "v")) for _ in range(EXCHANGES_MAX)]
    await asyncio.sleep(0.05)

    assert await fault_of(bench.provider.exchange("c", "v")) == (LoginFault.BUSY, "")
    go_on.set()
    assert len(await asyncio.gather(*waiting)) == EXCHANGES_MAX
    assert (await bench.provider.exchange("c", "v")).id_token


@pytest.mark.parametrize(
    ("promises", "claimed", "is_sound"),
    [(False, None, True), (False, ISSUER, True), (False, "https://else", False), (True, None, False)],
)
async def test_an_answer_of_another_issuer_is_none(promises: bool, claimed: str | None, is_sound: bool) -> None:
    """RFC 9207."""
    bench = Bench(lambda _: {**DOCUMENT, "authorization_response_iss_parameter_supported": promises})

    if is_sound:
        await bench.provider.check_sender(claimed)
    else:
        assert await fault_of(bench.provider.check_sender(claimed)) == (LoginFault.ISSUER_UNSOUND, "iss")


# -- identities ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "is_good"),
    [
        ({}, True),
        ({"aud": ["board", "else"], "azp": "board"}, True),
        ({"exp": 941.0}, True),
        ({"exp": 940.0}, False),
        ({"exp": None}, False),
        ({"exp": "1100"}, False),
        ({"iss": "https://else"}, False),
        ({"aud": "else"}, False),
        ({"aud": None}, False),
        ({"aud": ["board"], "azp": "else"}, False),
        ({"nonce": "another"}, False),
        ({"nonce": None}, False),
    ],
)
def test_each_claim_of_an_id_token_is_judged(changes: dict[str, Any], is_good: bool) -> None:
    claims = {"iss": ISSUER, "aud": "board", "exp": 1_100, "nonce": "n", **changes}

    assert is_answer(claims, issuer=ISSUER, client_id="board", nonce="n", now=1_000.0, leeway_seconds=60) is is_good


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("https://issuer.example/x", True),
        ("http://127.0.0.1:8084/x", True),
        ("http://localhost/x", True),
        ("http://issuer.example/x", False),
        ("https://", False),
        ("/x", False),
        ("ftp://127.0.0.1/x", False),
        ("http://127.0.0.1.evil.example/", False),
        ("https://issuer.example\n", False),
    ],
)
def test_tokens_travel_over_https_or_not_at_all(url: str, is_safe: bool) -> None:
    assert is_safe_url(url) is is_safe


def test_only_what_looks_like_an_error_code_is_repeated() -> None:
    assert [error_word(one) for one in ("access_denied", "Access", "<b>", "", "x" * 41)] == [
        "access_denied",
        *["unknown"] * 4,
    ]
