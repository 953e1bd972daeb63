"""A board with its login, the real login page on a port, and a browser that keeps cookies and follows forms."""

import html
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import uvicorn

from deploy.local.issuer import Issuer
from deploy.local.ports import free_port
from deploy.login_page import Board, LoginPage, Person
from services.reporting.app import build
from services.reporting.settings import Settings
from shared.runtime.settings import CredentialSettings
from tests.flow.reporting.harness import Replica
from tests.flow.reporting.snapshots import a_snapshot, changed, registered

BOARD_URL = "http://127.0.0.1:8083"
COOKIE = "dondoc"
KEY = "a-login-key-of-more-than-32-characters"
PEOPLE = (
    Person("H48", "H48.07", "Sở Thông tin và Truyền thông", "standing"),
    Person("H48", "H48.21", "UBND huyện Bình Sơn"),
    Person("H49", "H49.07", "Sở của tỉnh khác"),
)


async def two_provinces() -> Replica:
    """A replica that knows tasks of two provinces."""
    replica = Replica()
    await replica.receive(
        registered("H48.07", "Sở Thông tin và Truyền thông"),
        changed(a_snapshot()),
        changed(a_snapshot(province="H49", agency="H49.07")),
    )
    await replica.at("2024-11-20")
    return replica


def settings_of(issuer: Issuer, url: str, folder: Path, *, key: str = KEY, **more: Any) -> Settings:
    """The environment of a board whose issuer's login page is at `url`."""
    key_file = folder / "login-key"
    key_file.write_text(f"{key}\n")
    return Settings.model_validate(
        {
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "credentials": CredentialSettings(jwks_file=issuer.jwks_file, jwt_issuer=issuer.issuer),
            "board_url": BOARD_URL,
            "login_client_id": "dondoc-board",
            "login_key_file": str(key_file),
            "login_discovery_url": f"{url}/.well-known/openid-configuration",
            **more,
        }
    )


class Browser:
    """Keeps cookies, and follows redirects by hand: tests see each step. The board is in memory, the issuer is real."""

    def __init__(self, replica: Replica, settings: Settings, board_url: str = BOARD_URL) -> None:
        self.board_url = board_url
        self.jar = CookieJar()
        self.board = self.replica_of(replica, settings)
        self.issuer = httpx.AsyncClient(trust_env=False)
        self.seen: list[httpx.Response] = []

    def replica_of(self, replica: Replica, settings: Settings) -> httpx.AsyncClient:
        """Another replica of the board behind the same address, and with the same browser before it."""
        transport = httpx.ASGITransport(
            build(settings, store=replica.store, lists=replica.lists, contents=replica.contents, clock=replica.clock)
        )
        # A jar is shared; what httpx makes of anything else is a copy.
        return httpx.AsyncClient(
            transport=transport, base_url=self.board_url, headers={"accept": "text/html"}, cookies=self.jar
        )

    async def get(self, path: str, **more: Any) -> httpx.Response:
        """A page of the board."""
        return self._noted(await self.board.get(path, **more))

    async def begin(self, path: str = "/") -> httpx.URL:
        """Open a page without being logged in, and be led to the issuer's page."""
        led = await self.get(path)
        assert led.status_code == 303, led.text
        sent = await self.get(led.headers["location"])
        assert sent.status_code == 303, sent.text
        return httpx.URL(sent.headers["location"])

    async def choose(
        self, page: httpx.URL, who: str = "H48/H48.07", scopes: tuple[str, ...] = ("reports:read",)
    ) -> str:
        """Fill the issuer's form in. Returns where it sends the browser."""
        shown = await self.issuer.get(page)
        assert shown.status_code == 200, shown.text
        fields = {
            name: html.unescape(value)
            for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', shown.text)
        }
        answer = await self.issuer.post(
            page.copy_with(query=None), data={**fields, "who": who, "scope_given": list(scopes)}
        )
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    async def log_in(
        self, path: str = "/", who: str = "H48/H48.07", scopes: tuple[str, ...] = ("reports:read",)
    ) -> httpx.Response:
        """All of it. Returns the page that was asked for first."""
        back = await self.complete(await self.choose(await self.begin(path), who, scopes))
        assert back.status_code == 303, back.text
        return await self.get(back.headers["location"])

    async def complete(self, address: str) -> httpx.Response:
        """Go where the issuer sends the browser."""
        assert address.startswith(f"{self.board_url}/login/callback?")
        return await self.get(address.removeprefix(self.board_url))

    def login_cookies(self) -> list[str]:
        """Logins under way."""
        return [one.name for one in self.jar if f"{COOKIE}-login-" in one.name]

    @property
    def session(self) -> str | None:
        """The token that the browser keeps for the board."""
        return next((one.value for one in self.jar if one.name.removeprefix("__Host-") == COOKIE), None)

    def keep(self, name: str, value: str) -> None:
        """Put a cookie into the jar by hand."""
        self.board.cookies.set(name, value, domain="127.0.0.1")

    def _noted(self, answer: httpx.Response) -> httpx.Response:
        self.seen.append(answer)
        return answer


def query_of(address: str | httpx.URL) -> dict[str, str]:
    """The parameters of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(str(address)).query).items()}


@contextmanager
def login_page(folder: Path, *, host: str = "127.0.0.1", **board: Any) -> Iterator[str]:
    """The real login page on a port of its own. Yields its address."""
    port = free_port()
    url = f"http://{host}:{port}"
    page = LoginPage(folder, url, Board(**{"urls": (BOARD_URL,), **board}), PEOPLE)
    with served(page.app(), port):
        yield url


@contextmanager
def served(app: Any, port: int) -> Iterator[None]:
    """An application on a port, until the block ends."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, access_log=False, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started:
            assert thread.is_alive(), "the server ended while starting"
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join(10)
