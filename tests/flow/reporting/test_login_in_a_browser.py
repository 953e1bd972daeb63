"""The login in a real browser: what only that enforces are form-action, SameSite, and who a form came from."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from deploy.browser import NAMES, PATH_VARIABLE, Page, find_chromium
from deploy.checks.skipped import OPTIONAL
from deploy.local.issuer import Issuer
from deploy.local.ports import free_port
from services.reporting.app import build
from tests.flow.reporting.logins import login_page, served, settings_of, two_provinces
from tests.support.axe import GRAVE, axe_script
from tests.support.waiting import until

CHOOSE = """
document.querySelector('option[value="H48/H48.21"]').selected = true;
document.querySelector('form').submit();
"""
CHOOSE_WITH_TASKS = f"document.querySelector('[value=\"tasks:read\"]').checked = true;{CHOOSE}"


@pytest.fixture
async def board(tmp_path: Path) -> AsyncIterator[str]:
    """A board and its issuer, which to the browser are two sites."""
    replica, issuer, port = await two_provinces(), Issuer.open(tmp_path / "issuer"), free_port()
    url = f"http://127.0.0.1:{port}"
    with login_page(tmp_path / "issuer", host="localhost", urls=(url,)) as page:
        app = build(
            settings_of(issuer, page, tmp_path, board_url=url),
            store=replica.store,
            lists=replica.lists,
            contents=replica.contents,
            clock=replica.clock,
        )
        with served(app, port):
            yield url


@pytest.fixture
def browser() -> Any:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip(f"{OPTIONAL}none of {', '.join(NAMES)} is on the path, and {PATH_VARIABLE} names no other")
    with Page(chromium) as page:
        yield page


async def ask(browser: Page, expression: str) -> Any:
    return await asyncio.to_thread(browser.ask, expression)


async def shows(browser: Page, words: str) -> str:
    """Wait for a page with these words. Returns its address."""

    async def shown() -> str | None:
        text = await ask(browser, "document.readyState === 'complete' && document.body.innerText")
        return str(await ask(browser, "location.href")) if text and words in text else None

    return str(await until(shown, within=20, what=f"the page says {words!r}"))


async def test_an_officer_logs_in_and_out(board: str, browser: Page) -> None:
    await ask(browser, f"location.assign('{board}/?period=2024-11')")
    await shows(browser, "chỉ dùng để thử nghiệm")
    await ask(browser, CHOOSE)

    assert await shows(browser, "Báo cáo tháng 11/2024") == f"{board}/?period=2024-11"
    assert await ask(browser, "document.querySelector('.who').innerText.includes('H48.21')")
    assert await ask(browser, "document.cookie") == ""

    await ask(browser, "document.querySelector('.who button').click()")
    # From the board's page on to the issuer's logout, from there back to the board, and so to the login.
    await shows(browser, "Đăng nhập với tên cơ quan")
    await ask(browser, f"location.assign('{board}/?period=2024-10')")
    await shows(browser, "Đăng nhập với tên cơ quan")


async def test_a_page_that_stays_open_says_when_its_login_has_ended(board: str, browser: Page) -> None:
    await ask(browser, f"location.assign('{board}/overdue?agency=H48.21&directive=TB-UBND-2024')")
    await shows(browser, "chỉ dùng để thử nghiệm")
    await ask(browser, CHOOSE_WITH_TASKS)
    here = await shows(browser, "Nhiệm vụ quá hạn")
    await ask(browser, "window.same = 1")

    await asyncio.to_thread(browser.forget_cookies)

    await shows(browser, "Phiên đăng nhập đã hết, trang này không còn tự cập nhật.")
    assert await ask(browser, "window.same") == 1, "nothing that somebody reads is taken away"
    assert await ask(browser, "getComputedStyle(document.getElementById('bao')).position") == "sticky"
    await ask(browser, "document.querySelector('#bao a').click()")
    await shows(browser, "chỉ dùng để thử nghiệm")
    await ask(browser, CHOOSE_WITH_TASKS)
    assert await shows(browser, "Nhiệm vụ quá hạn") == here


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
async def test_axe_finds_nothing_grave_where_a_login_is_refused(board: str, browser: Page, is_dark: bool) -> None:
    script = await axe_script()
    for width in (1280, 360):
        await asyncio.to_thread(partial(browser.view, width=width, height=800, is_dark=is_dark))
        await ask(browser, f"location.assign('{board}/login/callback?state=x&code=y&w={width}')")
        await shows(browser, "Lượt đăng nhập không còn hiệu lực")
        await ask(browser, f"{script};0")
        assert await ask(browser, GRAVE) == []


async def test_another_sites_form_logs_nobody_out(board: str, browser: Page) -> None:
    await ask(browser, f"location.assign('{board}/?period=2024-11')")
    await shows(browser, "chỉ dùng để thử nghiệm")
    await ask(browser, CHOOSE)
    await shows(browser, "Báo cáo tháng 11/2024")

    port = free_port()
    form = f'<form method=post action="{board}/logout"></form>here it is'
    # The same site to a browser, which does not look at ports, yet another origin: as two hosts of one gov.vn name are.
    with served(Starlette(routes=[Route("/", lambda _: HTMLResponse(form))]), port):
        await ask(browser, f"location.assign('http://127.0.0.1:{port}/')")
        await shows(browser, "here it is")
        await ask(browser, "document.querySelector('form').submit()")
        await shows(browser, "không được gửi từ bảng theo dõi")

    await ask(browser, f"location.assign('{board}/?period=2024-11')")
    await shows(browser, "Báo cáo tháng 11/2024")
