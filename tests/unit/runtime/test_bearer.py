"""Bearer tokens over HTTP: the header, the answers, the setting. The tokens themselves: test_tokens.py."""

import subprocess
import sys

import httpx
import pytest
from prometheus_client import REGISTRY
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from shared.contracts.claims import Credential
from shared.runtime.bearer import for_bearers, reading_verifier
from shared.runtime.settings import ReadingSettings
from shared.runtime.tokens import TokenFault, TokenRefusedError

SCOPES = ("things:read", "things:write")


def figure(name: str, **labels: str) -> float:
    found = REGISTRY.get_sample_value(name, labels)
    return 0.0 if found is None else found


def a_client(known: Credential | TokenFault | None) -> httpx.AsyncClient:
    """A guarded endpoint whose verifier finds this, whatever the token."""

    def verify(_: str) -> Credential:
        if isinstance(known, TokenFault):
            raise TokenRefusedError(known, "what was wrong, and what to do")
        assert known is not None, "there is no verifier then"
        return known

    async def endpoint(_: Request, credential: Credential | None) -> Response:
        return PlainTextResponse(credential.agency if credential else "anybody")

    app = Starlette(routes=[Route("/", for_bearers(endpoint, verify if known else None, scopes=SCOPES))])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")


@pytest.mark.parametrize("scopes", [{"things:read"}, {"things:write", "else"}])
async def test_one_of_the_scopes_is_enough(scopes: set[str]) -> None:
    client = a_client(Credential("H48", "H48.21", frozenset(scopes)))

    answer = await client.get("/", headers={"authorization": "Bearer x"})

    assert (answer.status_code, answer.text) == (200, "H48.21")


@pytest.mark.parametrize("scopes", [(), ("else",), ("things:read:all",), ("THINGS:READ",)])
async def test_without_one_of_them_the_answer_names_them(scopes: tuple[str, ...]) -> None:
    client = a_client(Credential("H48", "H48.21", frozenset(scopes)))
    before = figure("dondoc_reads_refused_total", code="scope_missing")

    answer = await client.get("/", headers={"authorization": "Bearer x"})

    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="dondoc", error="insufficient_scope", scope="things:read things:write"'
    )
    assert figure("dondoc_reads_refused_total", code="scope_missing") == before + 1


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer x"}, {"authorization": "Basic x"}])
async def test_where_no_token_is_needed_none_is_looked_at(headers: dict[str, str]) -> None:
    answer = await a_client(None).get("/", headers=headers)

    assert (answer.status_code, answer.text) == (200, "anybody")


@pytest.mark.parametrize("fault", TokenFault)
async def test_a_fault_of_the_token_is_told_as_a_problem_and_counted(fault: TokenFault) -> None:
    client = a_client(fault)
    before = figure("dondoc_reads_refused_total", code=fault.value)

    answer = await client.get("/", headers={"authorization": "Bearer secret"})

    assert answer.status_code == (503 if fault is TokenFault.KEYS_MISSING else 401)
    assert answer.json()["code"] == fault.value
    assert ("retry-after" in answer.headers) == (fault is TokenFault.KEYS_MISSING)
    assert ("www-authenticate" in answer.headers) == (fault is not TokenFault.KEYS_MISSING)
    assert "secret" not in answer.text
    assert figure("dondoc_reads_refused_total", code=fault.value) == before + 1


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([], "token_missing"),
        ([("authorization", "Basic YTpi")], "token_missing"),
        ([("authorization", "Bearer")], "token_malformed"),
        ([("authorization", "Bearer  ")], "token_malformed"),
        ([("authorization", "Bearer x"), ("authorization", "Bearer y")], "token_malformed"),
    ],
)
async def test_a_header_that_holds_no_one_token_is_401(headers: list[tuple[str, str]], code: str) -> None:
    client = a_client(Credential("H48", "H48.21", frozenset(SCOPES)))

    answer = await client.get("/", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, code)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "nowhere:1")
    for name in ("DONDOC_READING_NEEDS_TOKEN", "DONDOC_JWKS_FILE", "DONDOC_JWT_ISSUER", "DONDOC_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_reading_needs_a_token_unless_the_setting_says_otherwise(
    environment: pytest.MonkeyPatch,
) -> None:
    """INVARIANT: the door is closed by default, and a forgotten setting stops the service instead of opening it."""
    with pytest.raises(ValidationError, match="jwks_file"):
        ReadingSettings()
    with pytest.raises(ValidationError, match="DONDOC_JWKS_FILE"):
        ReadingSettings(credentials=None)
    environment.setenv("DONDOC_JWKS_FILE", "/nowhere/jwks.json")
    environment.setenv("DONDOC_JWT_ISSUER", "https://issuer.example")

    verify = reading_verifier(ReadingSettings())

    assert verify is not None
    assert not verify.ready()
    assert figure("dondoc_verification_keys") == 0, "the alert KeysMissing rests on it"


def test_for_trials_the_door_opens(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("DONDOC_READING_NEEDS_TOKEN", "false")

    settings = ReadingSettings()

    assert settings.credentials is None
    assert reading_verifier(settings) is None


def test_keys_that_are_named_although_none_are_needed_close_nothing(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("DONDOC_READING_NEEDS_TOKEN", "false")
    environment.setenv("DONDOC_CREDENTIALS", '{"jwks_file": "/x", "jwt_issuer": "https://issuer.example"}')

    assert reading_verifier(ReadingSettings()) is None


def test_who_verifies_no_readers_tokens_counts_no_keys() -> None:
    """Otherwise ingest, and every trial, would page that keys are missing."""
    script = (
        "import shared.runtime.bearer, prometheus_client; "
        "print(prometheus_client.REGISTRY.get_sample_value('dondoc_verification_keys'))"
    )

    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "nan\n"
