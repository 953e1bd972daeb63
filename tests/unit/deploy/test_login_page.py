"""The login page of trials: as strict as a real provider where it is a stand-in for one, and part of no image."""

import base64
import hashlib
import json
import re
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from joserfc import jwt
from joserfc.jwk import KeySet

from deploy import login_page
from deploy.__main__ import main
from deploy.issuer import IssuerError
from deploy.local.issuer import Issuer
from deploy.local.ports import free_port
from deploy.local.processes import REPOSITORY_ROOT
from deploy.local.stack import Stack, StackOptions
from deploy.local.trial_login import TrialLogin
from deploy.login_page import CODE_SECONDS_MAX, DEMO_AGENCIES, Board, LoginPage, read_people

BOARD = Board(("https://board.example",))
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ASKED = {
    "response_type": "code",
    "client_id": "dondoc-board",
    "redirect_uri": "https://board.example/login/callback",
    "scope": "openid reports:read",
    "state": "s & <t>",
    "nonce": "n",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


class Bench:
    """The page in memory, and time that the test sets."""

    def __init__(self, folder: Path) -> None:
        self.issuer = Issuer.open(folder)
        self.now = 1_000.0
        page = LoginPage(
            folder,
            "http://127.0.0.1:1",
            BOARD,
            read_people(DEMO_AGENCIES),
            valid=timedelta(minutes=5),
            real_time=lambda: self.now,
        )
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(page.app()), base_url="http://127.0.0.1:1")

    async def code(self, **form: Any) -> str:
        answer = await self.client.post(
            "/authorize", data={**ASKED, "who": "H48/H48.07", "scope_given": ["reports:read"], **form}
        )
        assert answer.status_code == 303, answer.text
        return httpx.URL(answer.headers["location"]).params["code"]

    async def token(self, code: str, **form: str) -> httpx.Response:
        return await self.client.post(
            "/token",
            data={
                "grant_type": "authorization_code",
                "code": code,
                "client_id": "dondoc-board",
                "redirect_uri": ASKED["redirect_uri"],
                "code_verifier": VERIFIER,
                **form,
            },
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "issuer")


async def test_the_page_says_what_it_is_for_and_whom_one_can_be(bench: Bench) -> None:
    page = await bench.client.get("/authorize", params=ASKED)

    assert page.status_code == 200
    assert "chỉ dùng để thử nghiệm" in page.text
    assert page.text.count("<option ") == 34
    assert "Sở Thông tin và Truyền thông (H48.07, cơ quan thường trực)" in page.text
    assert re.findall(r'name="scope_given" value="([^"]+)" checked', page.text) == ["reports:read"]
    assert 'value="s &amp; &lt;t&gt;"' in page.text
    # Browsers hold a form's redirects against form-action.
    assert "form-action 'self' https://board.example;" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"


async def test_a_code_gives_an_access_token_of_the_issuer_and_an_id_token_for_the_board(bench: Bench) -> None:
    code = await bench.code(who="H48/H48.21", scope_given=["tasks:read", "reports:read", "made:up"])
    answer = await bench.token(code)

    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    content = answer.json()
    keys = KeySet.import_key_set((await bench.client.get("/jwks.json")).json())
    access, identity = (jwt.decode(content[name], keys, algorithms=["ES256"]) for name in ("access_token", "id_token"))
    assert (access.header["typ"], identity.header["typ"]) == ("at+jwt", "JWT")
    assert (access.claims["province"], access.claims["agency"]) == ("H48", "H48.21")
    assert access.claims["scope"] == "tasks:read reports:read"
    assert access.claims["exp"] - access.claims["iat"] == content["expires_in"] == 300
    assert (identity.claims["aud"], identity.claims["nonce"]) == ("dondoc-board", "n")
    assert access.claims["iss"] == identity.claims["iss"] == bench.issuer.issuer


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://board.example/login/callback/"},
        {"redirect_uri": "https://board.example/login/callback?x=1"},
        {"redirect_uri": "https://board.example.evil/login/callback"},
        {"redirect_uri": ""},
        {"client_id": "else"},
        {"response_type": "token"},
        {"scope": "reports:read"},
        {"code_challenge": ""},
        {"code_challenge_method": "plain"},
    ],
)
async def test_a_request_that_is_not_sound_is_sent_nowhere(bench: Bench, changes: dict[str, str]) -> None:
    shown = await bench.client.get("/authorize", params={**ASKED, **changes})
    sent = await bench.client.post("/authorize", data={**ASKED, **changes, "who": "H48/H48.07"})

    for answer in (shown, sent):
        assert (answer.status_code, "location" in answer.headers) == (400, False)
        assert "Không đăng nhập được" in answer.text


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://board.example/"},
        {"code_verifier": "w" * 43},
        {"code_verifier": CHALLENGE},
        {"code_verifier": ""},
    ],
)
async def test_a_code_is_good_for_who_asked_for_it_and_for_one_try(bench: Bench, changes: dict[str, str]) -> None:
    code = await bench.code()
    assert (await bench.token(code, **changes)).json() == {"error": "invalid_grant"}

    assert (await bench.token(code)).json() == {"error": "invalid_grant"}


async def test_a_code_works_once_and_another_never(bench: Bench) -> None:
    code = await bench.code()

    assert (await bench.token("another")).json() == {"error": "invalid_grant"}
    assert [(await bench.token(code)).status_code for _ in range(2)] == [200, 400]


async def test_a_code_is_good_for_a_minute(bench: Bench) -> None:
    code = await bench.code()
    bench.now += CODE_SECONDS_MAX

    assert (await bench.token(code)).json() == {"error": "invalid_grant"}


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_id": "else"}, 401, "invalid_client"),
    ],
)
async def test_nobody_else_gets_tokens(bench: Bench, changes: dict[str, str], status: int, error: str) -> None:
    answer = await bench.token(await bench.code(), **changes)

    assert (answer.status_code, answer.json()) == (status, {"error": error})


@pytest.mark.parametrize("body", [b"", b"\xff", b"x" * 70_000, b"&".join([b"a=b"] * 60)])
async def test_what_is_no_form_is_refused(bench: Bench, body: bytes) -> None:
    assert (await bench.client.post("/token", content=body)).status_code in {400, 401}
    assert (await bench.client.post("/authorize", content=body)).status_code == 400


async def test_an_agency_that_is_not_listed_can_be_typed_in(bench: Bench) -> None:
    token = (await bench.token(await bench.code(other=" H49/H49.07 "))).json()["access_token"]
    assert jwt.decode(token, bench.issuer.key, algorithms=["ES256"]).claims["province"] == "H49"

    answer = await bench.client.post("/authorize", data={**ASKED, "other": "Quảng Nam"})
    assert (answer.status_code, "mã tỉnh" in answer.text) == (400, True)


async def test_a_logout_leads_back_to_the_board_and_nowhere_else(bench: Bench) -> None:
    async def left(back: str) -> httpx.Response:
        return await bench.client.get("/end-session", params={"post_logout_redirect_uri": back})

    assert (await left("https://board.example/")).headers["location"] == "https://board.example/"
    assert (await left("https://evil.example/")).status_code == 200


def test_a_list_of_agencies_that_is_none_is_named(tmp_path: Path) -> None:
    for content in ("", "province: H48", "province: H48\nagencies: [{code: 'x y', name: z}]", ":"):
        (tmp_path / "agencies.yaml").write_text(content)
        with pytest.raises(IssuerError, match=r"agencies\.yaml is no list of agencies"):
            read_people(tmp_path / "agencies.yaml")


# -- where it runs -------------------------------------------------------------------------------------------------


def test_it_is_part_of_no_image_and_of_no_server() -> None:
    """INVARIANT: nobody can log in without a password where it is not a trial."""
    names = ("login_page", "trial_login", "issuer serve")
    for file in (".dockerignore", "deploy/Dockerfile", "docker-compose.yml"):
        assert not [name for name in names if name in (REPOSITORY_ROOT / file).read_text()], file
    assert login_page.HOST == "127.0.0.1"


def test_in_an_image_the_other_commands_work_without_it(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    for name in re.findall(r"^!deploy/(\w+\.py)$", (REPOSITORY_ROOT / ".dockerignore").read_text(), re.MULTILINE):
        (tmp_path / "deploy" / name).write_bytes((REPOSITORY_ROOT / "deploy" / name).read_bytes())
    (tmp_path / "shared").symlink_to(REPOSITORY_ROOT / "shared")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "deploy", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    assert run("keys", "init", "--issuer", "https://issuer.example").returncode == 0
    served = run("issuer", "serve")
    assert (served.returncode, "no part of this image" in served.stderr) == (1, True)


def test_by_hand_it_is_served_over_the_issuers_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["keys", "init", "--issuer", "https://issuer.example", "--folder", str(tmp_path / "issuer")])
    served: list[tuple[LoginPage, int]] = []
    monkeypatch.setattr(login_page, "serve", lambda page, port: served.append((page, port)))
    agencies = tmp_path / "agencies.yaml"
    agencies.write_text(yaml.safe_dump({"province": "H50", "agencies": [{"code": "H50.01", "name": "Sở"}]}))

    main(["issuer", "serve", "--folder", str(tmp_path / "issuer"), "--port", "9", "--agencies", str(agencies)])

    [(_, port)] = served
    assert port == 9
    assert "for trials only: http://127.0.0.1:9/.well-known/openid-configuration" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="keys init"):
        main(["issuer", "serve", "--folder", str(tmp_path / "nothing")])
    with pytest.raises(SystemExit, match="cannot be read"):
        main(["issuer", "serve", "--folder", str(tmp_path / "issuer"), "--secret-file", str(tmp_path / "no")])


async def test_the_local_stack_starts_it_and_tells_reporting(tmp_path: Path) -> None:
    Issuer.open(tmp_path / "issuer")
    said: list[str] = []
    login = await TrialLogin.start_new(
        tmp_path / "issuer", "http://127.0.0.1:8083", tmp_path, port=free_port(), say=said.append
    )
    try:
        env = login.env()
        async with httpx.AsyncClient(trust_env=False) as client:
            document = (await client.get(env["DONDOC_LOGIN_DISCOVERY_URL"])).json()
        assert document["issuer"] == Issuer.open(tmp_path / "issuer").issuer
        assert env["DONDOC_BOARD_URL"] == "http://127.0.0.1:8083"
        assert "for trials" in said[0]
    finally:
        await login.stop()
    assert env["DONDOC_LOGIN_KEY_FILE"] == str(login.key_file)
    assert stat.S_IMODE(login.key_file.stat().st_mode) == 0o600
    assert len(login.key_file.read_text()) >= 32


def test_a_stack_has_no_login_page_unless_it_is_asked_for() -> None:
    assert StackOptions(Path("x")).trial_login is False
    assert Stack(StackOptions(Path("x"))).login is None


async def test_its_document_names_what_it_can(bench: Bench) -> None:
    document = json.loads((await bench.client.get("/.well-known/openid-configuration")).text)

    assert document["issuer"] == bench.issuer.issuer
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["response_types_supported"] == ["code"]
