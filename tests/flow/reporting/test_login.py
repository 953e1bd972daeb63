"""Officers log in at the board: the whole way over the real login page, and every way that must lead nowhere."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from structlog.testing import capture_logs

from deploy.issuer import FileIssuer
from deploy.local.issuer import Issuer
from deploy.local.ports import free_port
from tests.flow.reporting.harness import Replica
from tests.flow.reporting.logins import (
    BOARD_URL,
    COOKIE,
    KEY,
    Browser,
    login_page,
    query_of,
    settings_of,
    two_provinces,
)


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer.open(tmp_path / "issuer")


@pytest.fixture
def page(tmp_path: Path, issuer: Issuer) -> Iterator[str]:
    with login_page(tmp_path / "issuer") as url:
        yield url


@pytest.fixture
async def replica() -> Replica:
    return await two_provinces()


@pytest.fixture
def browser(replica: Replica, issuer: Issuer, page: str, tmp_path: Path) -> Browser:
    return Browser(replica, settings_of(issuer, page, tmp_path))


# -- the whole way -------------------------------------------------------------------------------------------------


async def test_an_officer_logs_in_and_reads_the_page_that_was_asked_for(browser: Browser) -> None:
    board = await browser.log_in("/?period=2024-11", "H48/H48.07")

    assert board.status_code == 200
    assert board.url.query == b"period=2024-11"
    assert "Báo cáo tháng 11/2024" in board.text
    assert "cơ quan <b>H48.07</b>" in board.text
    assert '<form class="who" method="post" action="/logout">' in board.text
    assert browser.login_cookies() == []


async def test_the_session_is_the_access_token_and_opens_the_api_too(browser: Browser, issuer: Issuer) -> None:
    """INVARIANT: the board and the APIs take one and the same token."""
    await browser.log_in(who="H48/H48.21")

    answer = await browser.get("/v1/reports/2024-11.json", headers={"authorization": f"Bearer {browser.session}"})
    assert answer.json()["province"] == "H48"
    # A cookie alone opens no API: another site's page could have it sent along.
    assert (await browser.get("/v1/reports/2024-11.json")).status_code == 401


async def test_what_the_issuer_is_asked_is_a_code_with_pkce_state_and_nonce(browser: Browser, page: str) -> None:
    sent = await browser.begin()
    asked = query_of(sent)

    assert str(sent).startswith(f"{page}/authorize?")
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert asked["redirect_uri"] == f"{BOARD_URL}/login/callback"
    assert asked["scope"] == "openid reports:read tasks:read"
    assert all(len(asked[name]) == 43 for name in ("state", "nonce", "code_challenge"))
    again = query_of(await browser.begin())
    assert all(asked[name] != again[name] for name in ("state", "nonce", "code_challenge"))


@pytest.mark.parametrize(
    ("board_url", "name", "is_secure"),
    [(BOARD_URL, COOKIE, False), ("https://dondoc.example", f"__Host-{COOKIE}", True)],
)
async def test_cookies_are_for_this_host_and_out_of_reach_of_scripts(
    replica: Replica, issuer: Issuer, tmp_path: Path, board_url: str, name: str, is_secure: bool
) -> None:
    with login_page(tmp_path / "issuer", urls=(board_url,)) as page:
        browser = Browser(replica, settings_of(issuer, page, tmp_path, board_url=board_url), board_url)
        await browser.log_in()

    set_cookies = [one for answer in browser.seen for one in answer.headers.get_list("set-cookie")]
    kept = {
        key: morsel for one in set_cookies for key, morsel in SimpleCookie(one).items() if int(morsel["max-age"]) > 0
    }
    assert [key for key in kept if "-login-" not in key] == [name]
    assert all(key == name or key.startswith(f"{name}-login-") for key in kept)
    for key, morsel in kept.items():
        assert (morsel["path"], morsel["domain"], morsel["samesite"]) == ("/", "", "lax")
        assert morsel["httponly"]
        assert bool(morsel["secure"]) is is_secure
        # No longer than the token itself, which is good for eight hours.
        assert int(morsel["max-age"]) <= (8 * 3600 if key == name else 600)


async def test_a_login_that_one_replica_began_another_ends(
    browser: Browser, replica: Replica, issuer: Issuer, page: str, tmp_path: Path
) -> None:
    back = await browser.choose(await browser.begin())
    browser.board = browser.replica_of(replica, settings_of(issuer, page, tmp_path))

    assert (await browser.complete(back)).headers["location"] == "/"
    assert (await browser.get("/")).status_code == 200


async def test_tabs_that_open_at_once_all_get_in(browser: Browser) -> None:
    first, second = await browser.begin("/?period=2024-10"), await browser.begin("/?period=2024-11")
    assert len(browser.login_cookies()) == 2

    assert (await browser.complete(await browser.choose(second))).headers["location"] == "/?period=2024-11"
    assert (await browser.complete(await browser.choose(first))).headers["location"] == "/?period=2024-10"


async def test_a_browser_that_begins_over_and_over_keeps_few_logins(browser: Browser) -> None:
    for _ in range(20):
        await browser.begin()

    assert len(browser.login_cookies()) <= 6


async def test_a_confidential_client_proves_itself_with_its_secret(
    replica: Replica, issuer: Issuer, tmp_path: Path
) -> None:
    secret, wrong = tmp_path / "secret", tmp_path / "wrong"
    secret.write_text("päss word:/+%\n")
    wrong.write_text("another\n")
    with login_page(tmp_path / "issuer", secret="päss word:/+%") as page:
        right = Browser(replica, settings_of(issuer, page, tmp_path, login_client_secret_file=str(secret)))
        assert (await right.log_in()).status_code == 200

        for more in ({"login_client_secret_file": str(wrong)}, {}):
            other = Browser(replica, settings_of(issuer, page, tmp_path, **more))
            answer = await other.complete(await other.choose(await other.begin()))
            assert answer.status_code == 502
            assert "client_refused: invalid_client" in answer.text
            assert other.session is None


# -- who sees what -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("own", "other"), [("H48", "H49"), ("H49", "H48")])
async def test_an_officer_sees_his_own_province_and_no_trace_of_another(browser: Browser, own: str, other: str) -> None:
    """INVARIANT: the province comes from the token."""
    board = await browser.log_in(who=f"{own}/{own}.07")

    foreign = await browser.get(f"/?province={other}&period=2024-11")
    nowhere = await browser.get("/?province=H50&period=2024-11")

    assert (board.status_code, other in board.text) == (200, False)
    assert (await browser.get(f"/?province={own}&period=2024-11")).status_code == 200
    assert (foreign.status_code, foreign.text) == (404, nowhere.text)


async def test_an_officer_of_a_province_without_tasks_is_told_that_there_are_none(browser: Browser) -> None:
    board = await browser.log_in("/?period=2024-11", who="H50/H50.01")

    assert (board.status_code, "Chưa có số liệu" in board.text) == (200, True)
    assert "Sở Thông tin" not in board.text


async def test_an_account_without_scope_is_told_which_and_can_leave(browser: Browser) -> None:
    board = await browser.log_in(who="H48/H48.21", scopes=())

    assert board.status_code == 403
    for words in ("H48.21", "reports:read", "chưa có phạm vi", 'action="/logout"', "scope_missing"):
        assert words in board.text
    program = await browser.get("/", headers={"accept": "*/*"})
    assert (program.status_code, program.json()["code"]) == (403, "scope_missing")


async def test_where_nobody_needs_a_token_everybody_reads_and_nobody_logs_in(
    replica: Replica, issuer: Issuer, page: str, tmp_path: Path
) -> None:
    browser = Browser(replica, settings_of(issuer, page, tmp_path, reading_needs_token=False))

    board = await browser.get("/?province=H49")
    assert (board.status_code, "Đăng xuất" in board.text) == (200, False)
    assert (await browser.get("/login?next=/%3Fprovince%3DH49")).headers["location"] == "/?province=H49"


async def test_a_board_without_login_is_closed_and_says_so(replica: Replica, issuer: Issuer, tmp_path: Path) -> None:
    browser = Browser(replica, settings_of(issuer, "", tmp_path, login_client_id="", login_discovery_url=""))

    for path in ("/", "/login", "/login/callback?state=x&code=y"):
        closed = await browser.get(path)
        assert (closed.status_code, "login_not_set_up" in closed.text) == (503, True)
    # Who has a token all the same, from a proxy in front, is let in.
    browser.keep(COOKIE, issuer.mint("H48.21", "H48", ["reports:read"]))
    assert (await browser.get("/")).status_code == 200


# -- sessions that are none any more -------------------------------------------------------------------------------


def without_its_last(text: str) -> str:
    return text[:-4] + ("AAAA" if text[-4:] != "AAAA" else "BBBB")


@pytest.mark.parametrize("what", ["expired", "tampered", "another issuer's", "an ID token", "nonsense"])
async def test_what_is_no_token_of_ours_leads_to_the_login(
    browser: Browser, issuer: Issuer, tmp_path: Path, what: str
) -> None:
    good = issuer.mint("H48.21", "H48", ["reports:read"])
    head, payload, signature = good.split(".")
    cookies = {
        "expired": issuer.mint("H48.21", "H48", ["reports:read"], timedelta(minutes=-2)),
        "tampered": f"{head}.{payload}.{without_its_last(signature)}",
        "another issuer's": Issuer.open(tmp_path / "other").mint("H48.21", "H48", ["reports:read"]),
        "an ID token": re.sub(r"^[^.]+", "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9", good),
        "nonsense": "nonsense",
    }
    browser.keep(COOKIE, good)
    assert (await browser.get("/")).status_code == 200
    browser.keep(COOKIE, cookies[what])

    led = await browser.get("/?period=2024-11")

    assert (led.status_code, led.headers["location"]) == (303, "/login?next=%2F%3Fperiod%3D2024-11")


@pytest.mark.parametrize(
    "headers",
    [
        {"accept": "text/html", "hx-request": "true"},
        {"accept": "text/event-stream"},
        {"accept": "*/*"},
        {"accept": "text/html", "sec-fetch-mode": "cors"},
    ],
)
async def test_what_a_page_asks_for_by_itself_is_told_to_load_the_page_anew(
    browser: Browser, headers: dict[str, str]
) -> None:
    answer = await browser.get("/", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "token_missing")
    assert answer.headers["hx-refresh"] == "true"
    assert answer.headers["cache-control"] == "no-store"
    assert "www-authenticate" in answer.headers


async def test_while_there_are_no_keys_the_board_asks_for_patience(browser: Browser, issuer: Issuer) -> None:
    browser.keep(COOKIE, issuer.mint("H48.21", "H48", ["reports:read"]))
    issuer.jwks_file.unlink()

    answer = await browser.get("/")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert "keys_missing" in answer.text


# -- answers that nobody asked for ---------------------------------------------------------------------------------


async def test_an_answer_that_another_browser_asked_for_logs_nobody_in(
    browser: Browser, replica: Replica, issuer: Issuer, page: str, tmp_path: Path
) -> None:
    """INVARIANT: login CSRF. A link with an attacker's code does not make the victim work in the attacker's name."""
    attacker = Browser(replica, settings_of(issuer, page, tmp_path))
    link = await attacker.choose(await attacker.begin())
    await browser.begin()

    answer = await browser.complete(link)

    assert (answer.status_code, browser.session) == (400, None)
    assert "state_unknown" in answer.text
    assert "Xin đăng nhập lại" in answer.text


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"state": "another"}, "state_unknown"),
        ({"state": None}, "state_unknown"),
        ({"iss": "https://else.example"}, "issuer_unsound: iss"),
        ({"iss": None}, "issuer_unsound: iss"),
        ({"code": "another"}, "code_refused: invalid_grant"),
        ({"code": None}, "issuer_unsound: code"),
        ({"code": None, "error": "access_denied"}, "issuer_refused: access_denied"),
        ({"code": None, "error": "<script>alert(1)</script>"}, "issuer_refused: unknown"),
    ],
)
async def test_an_answer_that_was_changed_on_the_way_logs_nobody_in(
    browser: Browser, changes: dict[str, str | None], fault: str
) -> None:
    back = httpx.URL(await browser.choose(await browser.begin()))
    answer = {name: value for name, value in {**query_of(back), **changes}.items() if value is not None}

    refused = await browser.complete(str(back.copy_with(params=answer)))

    assert refused.status_code in {400, 403, 502}
    assert fault in refused.text
    assert "<script" not in refused.text
    assert browser.session is None


async def test_a_state_that_only_begins_like_ours_is_another(browser: Browser) -> None:
    back = httpx.URL(await browser.choose(await browser.begin()))

    refused = await browser.complete(str(back.copy_set_param("state", without_its_last(query_of(back)["state"]))))

    assert (refused.status_code, "state_unknown" in refused.text, browser.session) == (400, True, None)


@pytest.mark.parametrize(("asked", "fault"), [("nonce", "identity_refused"), ("code_challenge", "code_refused")])
async def test_a_code_that_was_asked_for_in_another_login_is_refused(browser: Browser, asked: str, fault: str) -> None:
    """A code slipped in from elsewhere was given for another nonce and another verifier."""
    sent = await browser.begin()
    other = await browser.begin()

    answer = await browser.complete(await browser.choose(sent.copy_set_param(asked, query_of(other)[asked])))

    assert (answer.status_code, fault in answer.text, browser.session) == (400, True, None)


async def test_a_code_works_once(browser: Browser) -> None:
    back = await browser.choose(await browser.begin())
    [(name, sealed)] = [(one.name, str(one.value)) for one in browser.jar if "-login-" in one.name]
    assert (await browser.complete(back)).status_code == 303

    again = await browser.complete(back)
    browser.keep(name, sealed)
    replayed = await browser.complete(back)

    assert (again.status_code, "state_unknown" in again.text) == (400, True)
    assert (replayed.status_code, "code_refused" in replayed.text) == (400, True)


async def test_a_login_that_was_sealed_with_another_key_or_changed_is_none(
    browser: Browser, replica: Replica, issuer: Issuer, page: str, tmp_path: Path
) -> None:
    back = await browser.choose(await browser.begin())
    [(name, sealed)] = [(one.name, str(one.value)) for one in browser.jar if "-login-" in one.name]
    browser.keep(name, without_its_last(sealed.rstrip("=")))
    assert "state_unknown" in (await browser.complete(back)).text

    browser.keep(name, sealed)
    browser.board = browser.replica_of(replica, settings_of(issuer, page, tmp_path, key=KEY[::-1]))
    assert "state_unknown" in (await browser.complete(back)).text


@pytest.mark.parametrize(
    "where",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "/\t/evil.example/",
        "/\n/evil.example/",
        " //evil.example/",
        "javascript:alert(1)",
        "evil.example",
        "",
        "/login?next=/",
        "/logout",
        "/" + "a" * 2_000,
    ],
)
async def test_a_login_leads_back_into_the_board_and_nowhere_else(browser: Browser, where: str) -> None:
    """INVARIANT: no open redirect."""
    led = await browser.get("/login", params={"next": where})
    back = await browser.complete(await browser.choose(httpx.URL(led.headers["location"])))

    assert (back.status_code, back.headers["location"]) == (303, "/")


# -- an issuer that does not do as it should -----------------------------------------------------------------------


async def test_an_issuer_that_is_down_is_named_and_nobody_waits_for_it_in_turn(
    replica: Replica, issuer: Issuer, tmp_path: Path
) -> None:
    browser = Browser(replica, settings_of(issuer, f"http://127.0.0.1:{free_port()}", tmp_path))

    answer = await browser.get("/login?next=/%3Fperiod%3D2024-11")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert "Nơi đăng nhập của tỉnh hiện không trả lời" in answer.text
    assert 'href="/login?next=%2F%3Fperiod%3D2024-11"' in answer.text
    assert "Traceback" not in answer.text


async def test_an_issuer_that_goes_down_during_a_login_is_named(
    replica: Replica, issuer: Issuer, tmp_path: Path
) -> None:
    with login_page(tmp_path / "issuer") as page:
        browser = Browser(replica, settings_of(issuer, page, tmp_path))
        back = await browser.choose(await browser.begin())

    answer = await browser.complete(back)

    assert (answer.status_code, "issuer_down" in answer.text, browser.session) == (503, True, None)


async def test_another_issuers_page_is_not_used(replica: Replica, issuer: Issuer, tmp_path: Path) -> None:
    FileIssuer.make(tmp_path / "other", issuer="https://other.example")
    with login_page(tmp_path / "other") as page:
        answer = await Browser(replica, settings_of(issuer, page, tmp_path)).get("/login")

    assert (answer.status_code, "issuer_unsound: issuer" in answer.text) == (502, True)


@pytest.mark.parametrize(
    ("claims", "fault"),
    [
        ({"aud": "else"}, "access_refused: token_wrong_audience"),
        ({"province": None}, "access_refused: token_incomplete"),
        ({"padding": "x" * 3_000}, "access_too_large"),
        ({"exp": 1}, "access_refused: token_expired"),
    ],
)
async def test_a_token_that_the_apis_would_not_take_is_kept_in_no_cookie(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, claims: dict[str, Any], fault: str
) -> None:
    encode = jwt.encode

    def other(header: dict[str, Any], given: dict[str, Any], *rest: Any, **more: Any) -> str:
        changed = {**given, **claims} if header["typ"] == "at+jwt" else given
        return encode(header, {name: one for name, one in changed.items() if one is not None}, *rest, **more)

    back = await browser.choose(await browser.begin())
    monkeypatch.setattr(jwt, "encode", other)
    answer = await browser.complete(back)

    assert (answer.status_code, fault in answer.text, browser.session) == (502, True, None)


# -- logging out ---------------------------------------------------------------------------------------------------


async def test_logging_out_forgets_the_token_and_goes_on_to_the_issuer(browser: Browser, page: str) -> None:
    await browser.log_in()

    answer = await browser.board.post("/logout", headers={"sec-fetch-site": "same-origin"})

    assert (answer.status_code, browser.session) == (200, None)
    leave = re.search(r'<meta http-equiv="refresh" content="0;url=([^"]+)">', answer.text)
    assert leave is not None
    address = leave[1].replace("&amp;", "&")
    assert address.startswith(f"{page}/end-session?")
    assert query_of(address) == {"client_id": "dondoc-board", "post_logout_redirect_uri": f"{BOARD_URL}/"}
    assert (await browser.issuer.get(address)).headers["location"] == f"{BOARD_URL}/"
    assert (await browser.get("/")).status_code == 303


async def test_logging_out_works_while_the_issuer_is_down(replica: Replica, issuer: Issuer, tmp_path: Path) -> None:
    browser = Browser(replica, settings_of(issuer, f"http://127.0.0.1:{free_port()}", tmp_path))
    browser.keep(COOKIE, issuer.mint("H48.21", "H48", ["reports:read"]))

    answer = await browser.board.post("/logout")

    assert (answer.status_code, browser.session) == (200, None)
    assert "Đã đăng xuất" in answer.text
    assert "Nơi đăng nhập không trả lời" in answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin", "origin": "null"}, 200),
        ({"sec-fetch-site": "same-site", "origin": "https://other.quangngai.gov.vn"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": BOARD_URL}, 200),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({}, 200),
    ],
)
async def test_another_sites_form_logs_nobody_out(browser: Browser, headers: dict[str, str], status: int) -> None:
    await browser.log_in()

    answer = await browser.board.post("/logout", headers=headers)

    assert (answer.status_code, browser.session is None) == (status, status == 200)
    assert (await browser.get("/logout")).status_code == 405


# -- what is left behind -------------------------------------------------------------------------------------------


async def test_every_page_of_a_login_is_kept_nowhere_and_tells_nobody_where_it_was(browser: Browser) -> None:
    await browser.log_in()
    await browser.complete("http://127.0.0.1:8083/login/callback?state=x")
    browser.seen.append(await browser.board.post("/logout"))

    for answer in browser.seen:
        assert answer.headers["cache-control"] == "no-store", answer.url
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "form-action 'self'" in answer.headers["content-security-policy"]


async def test_neither_token_nor_code_nor_secret_is_in_the_log(
    replica: Replica,
    issuer: Issuer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """INVARIANT: who reads the log cannot act in anybody's name."""
    (tmp_path / "secret").write_text("canary-client-secret")
    secrets = ["canary-client-secret", KEY]
    with capture_logs() as events, login_page(tmp_path / "issuer", secret="canary-client-secret") as page:
        settings = settings_of(issuer, page, tmp_path, login_client_secret_file=str(tmp_path / "secret"))
        browser = Browser(replica, settings)
        sent = await browser.begin()
        secrets += [query_of(sent)[name] for name in ("state", "nonce", "code_challenge")]
        secrets += [str(one.value) for one in browser.jar]
        back = await browser.choose(sent)
        secrets.append(query_of(back)["code"])
        await browser.complete(back)
        assert browser.session is not None
        secrets.append(browser.session)
        await browser.complete(back)
        browser.jar.clear()
        # One that fails in each place: the code, the identity, the issuer.
        for name in ("code_challenge", "nonce"):
            sent = await browser.begin()
            back = await browser.choose(sent.copy_set_param(name, "B" * 43))
            secrets.append(query_of(back)["code"])
            await browser.complete(back)
        last = await browser.choose(await browser.begin())
    secrets.append(query_of(last)["code"])
    with capture_logs() as more:
        await browser.complete(last)

    warnings = [record.getMessage() for record in caplog.records if record.levelname != "INFO"]
    logged = "\n".join([json.dumps([*events, *more], default=str), *warnings, capsys.readouterr().out])
    assert "login.done" in logged
    assert logged.count("login.failed") == 4
    assert [one for one in secrets if one in logged] == []
