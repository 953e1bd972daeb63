"""The rules of a login: where it may lead back to, who gets a page, how long a login under way lasts, what is set."""

from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import ValidationError
from starlette.requests import Request

from services.reporting.login import LOGIN_SECONDS_MAX, Seal, _Begun, expires_at, safe_path, wants_page
from services.reporting.oidc import LoginError, LoginFault
from services.reporting.settings import Settings
from shared.runtime.settings import CredentialSettings

KEY = "k" * 32
NOW = 1_800_000_000.0
BEGUN = _Begun(state="state", nonce="nonce", verifier="verifier", back="/?period=2024-11")


@pytest.mark.parametrize("path", ["/", "/?period=2024-11&province=H48", "/tasks/H48/TB-1/II.1.h/H48.21", "/tìm?q=đôn"])
def test_paths_of_the_board_are_gone_back_to(path: str) -> None:
    assert safe_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        *("", "x", "//evil.example", "///evil.example", "/\\evil.example", "\\/evil.example", "https://evil.example"),
        *("/\tevil", "/\r\nSet-Cookie: a=b", "/\x00", "/\u2028", "/ /", "/login", "/login?next=/x", "/logout"),
        *("/login/callback?code=x", "/" + "x" * 1_000),
    ],
)
def test_all_else_leads_to_the_first_page(path: str) -> None:
    assert safe_path(path) == "/"


@pytest.mark.parametrize(
    ("headers", "is_page"),
    [
        ({"accept": "text/html,application/xhtml+xml"}, True),
        ({"accept": "text/html", "sec-fetch-mode": "navigate"}, True),
        ({"accept": "*/*", "sec-fetch-mode": "navigate"}, True),
        ({"accept": "text/html", "hx-request": "true"}, False),
        ({"accept": "text/html", "sec-fetch-mode": "same-origin"}, False),
        ({"accept": "text/event-stream"}, False),
        ({"accept": "*/*"}, False),
        ({}, False),
    ],
)
def test_only_who_waits_for_a_page_is_led_to_one(headers: dict[str, str], is_page: bool) -> None:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }

    assert wants_page(Request(scope)) is is_page


# -- a login under way ---------------------------------------------------------------------------------------------


def test_what_was_sealed_opens_with_the_same_key_and_tells_nobody_else_anything() -> None:
    sealed = Seal(KEY).close(BEGUN, NOW)

    assert Seal(KEY).open(sealed, NOW + LOGIN_SECONDS_MAX - 1) == BEGUN
    assert not any(word in sealed for word in ("state", "nonce", "verifier"))
    # The key itself is derived, so that the file may hold any text.
    assert len(sealed) < 1_000


@pytest.mark.parametrize(
    ("key", "sealed", "seconds"),
    [
        ("another key, of more than 32 characters", Seal(KEY).close(BEGUN, NOW), 0),
        (KEY, Seal(KEY).close(BEGUN, NOW), LOGIN_SECONDS_MAX + 1),
        (KEY, Seal(KEY).close(BEGUN, NOW)[:-8], 0),
        (KEY, Fernet(Fernet.generate_key()).encrypt(b"{}").decode(), 0),
        (KEY, "", 0),
        (KEY, "đ", 0),
    ],
)
def test_what_was_not_sealed_here_or_too_long_ago_is_no_login(key: str, sealed: str, seconds: int) -> None:
    with pytest.raises(LoginError) as refused:
        Seal(key).open(sealed, NOW + seconds)

    assert refused.value.fault is LoginFault.STATE_UNKNOWN


def test_a_key_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(ValueError, match="DONDOC_LOGIN_KEY_FILE holds fewer than 32"):
        Seal("dondoc")


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "a..c", "a.e30.c", "a.bnVsbA.c", "a.eyJleHAiOiJ4In0.c"])
def test_what_says_no_end_has_none_left(token: str) -> None:
    assert expires_at(token) == 0.0


# -- what is set ---------------------------------------------------------------------------------------------------


def settings(**given: Any) -> Settings:
    return Settings.model_validate(
        {
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "credentials": CredentialSettings.model_validate({"jwks_file": "x", "jwt_issuer": "https://i.example"}),
            "login_client_id": "dondoc-board",
            "login_key_file": "key",
            **given,
        }
    )


@pytest.mark.parametrize(
    "given",
    [
        {"board_url": "https://dondoc.tinh.gov.vn"},
        {"board_url": "https://dondoc.tinh.gov.vn/"},
        {"board_url": "http://127.0.0.1:8083"},
        {"board_url": "http://10.0.0.7:8083", "login_over_http": True},
        {"board_url": "nothing", "login_client_id": ""},
    ],
)
def test_a_sound_login_is_taken(given: dict[str, Any]) -> None:
    assert settings(**given).board_url == given["board_url"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"board_url": "http://10.0.0.7:8083"}, "DONDOC_LOGIN_OVER_HTTP"),
        ({"board_url": "dondoc.tinh.gov.vn"}, "DONDOC_BOARD_URL is no address"),
        ({"board_url": "https://tinh.gov.vn/dondoc"}, "DONDOC_BOARD_URL is no address"),
        ({"login_key_file": ""}, "DONDOC_LOGIN_KEY_FILE is needed"),
        ({"login_scope": "reports:read"}, "`openid`"),
    ],
)
def test_a_login_that_cannot_work_keeps_the_service_from_starting(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        settings(**given)
