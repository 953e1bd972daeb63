"""The board in a real browser: whether it fits a phone, can be used by keyboard alone, and keeps itself new."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from deploy.browser import NAMES, PATH_VARIABLE, Page, find_chromium
from deploy.checks.skipped import OPTIONAL
from deploy.local.ports import free_port
from services.reporting.app import build
from services.reporting.settings import Settings
from tests.flow.reporting.harness import Replica
from tests.flow.reporting.logins import served
from tests.flow.reporting.snapshots import a_snapshot, an_obligation, changed, directive, registered
from tests.support.axe import GRAVE, axe_script
from tests.support.waiting import until

NARROW, WIDE = 360, 1100
TASK = "/tasks/H48/TB-UBND-2024/II.2.g/H48.07"


@pytest.fixture
async def replica() -> Replica:
    replica = Replica()
    await replica.receive(
        registered("H48.07", "Sở Thông tin và Truyền thông", role="standing"),
        registered("H48.21", "UBND huyện Bình Sơn"),
        directive("TB-UBND-2024", an_obligation("II.2.g", "Trình kế hoạch"), number="558/TB-UBND"),
        changed(a_snapshot()),
        changed(a_snapshot(agency="H48.21", due="2024-11-22", title="T" * 200)),
    )
    await replica.at("2024-10-14 20:00")
    await replica.at("2024-11-20")
    return replica


@pytest.fixture
async def board(replica: Replica) -> AsyncIterator[str]:
    port = free_port()
    settings = Settings(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", reading_needs_token=False, keep_pages_seconds=0)
    with served(
        build(settings, store=replica.store, lists=replica.lists, contents=replica.contents, clock=replica.clock), port
    ):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def browser() -> Iterator[Page]:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip(f"{OPTIONAL}none of {', '.join(NAMES)} is on the path, and {PATH_VARIABLE} names no other")
    with Page(chromium) as page:
        page.show("<p>", width=WIDE)
        yield page


async def ask(browser: Page, expression: str) -> Any:
    return await asyncio.to_thread(browser.ask, expression)


async def shows(browser: Page, words: str) -> None:
    """Wait for a page with these words."""

    async def shown() -> bool:
        text = await ask(browser, "document.readyState === 'complete' && document.body && document.body.innerText")
        return bool(text) and words in text

    await until(shown, within=20, what=f"the page says {words!r}")


async def follow(browser: Page, words: str) -> None:
    """Click the first link of the page's main part that says so."""
    found = await ask(
        browser,
        f"(() => {{ const a = [...document.querySelectorAll('main a')].find((a) => a.innerText.includes({words!r}));"
        " if (a) a.click(); return Boolean(a) })()",
    )
    assert found, f"no link says {words!r}"


async def test_one_gets_from_the_province_to_a_tasks_history(board: str, browser: Page) -> None:
    await ask(browser, f"location.assign('{board}/')")
    await shows(browser, "Báo cáo tháng 12/2024")

    await follow(browser, "tháng 11/2024")
    await shows(browser, "Báo cáo tháng 11/2024")
    await follow(browser, "Sở Thông tin và Truyền thông")
    await shows(browser, "Nhiệm vụ chưa hoàn thành")
    assert "Báo cáo tháng 11/2024" in await ask(browser, "document.body.innerText")
    await follow(browser, "Trình kế hoạch chuyển đổi số")
    await shows(browser, "Giao nhiệm vụ")
    assert (await ask(browser, "location.pathname")) == TASK
    await follow(browser, "558/TB-UBND")
    await shows(browser, "Khoản II.2.g")


async def test_a_period_is_picked_by_keyboard_alone(board: str, browser: Page) -> None:
    await ask(browser, f"location.assign('{board}/')")
    await shows(browser, "Báo cáo tháng 12/2024")

    names: list[str] = []
    for _ in range(40):
        await press(browser, "Tab")
        names.append(await ask(browser, "document.activeElement.id || document.activeElement.innerText.trim()"))
        # Who cannot see where the focus is cannot use a keyboard.
        assert await ask(browser, "getComputedStyle(document.activeElement).outlineStyle") != "none", names
        if names[-1] == "ky":
            break
    assert names[0] == "Đến nội dung"
    assert names[-1] == "ky", names
    await press(browser, "ArrowDown")
    await press(browser, "Tab")
    await press(browser, "Enter")

    await shows(browser, "Báo cáo tháng 11/2024")


async def press(browser: Page, key: str) -> None:
    codes = {"Tab": 9, "Enter": 13, "ArrowDown": 40}
    await asyncio.to_thread(browser.press, key, codes[key])


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/?period=2024-11",
        "/agencies/H48.07",
        "/agencies/H48.21",
        "/directives/TB-UBND-2024",
        TASK,
        "/overdue",
        "/upcoming",
        "/heatmap",
        "/search?q=ke+hoach",
        "/agencies/H48.07/obstacles",
        "/agencies/H48.07/funded",
        "/?period=abc",
    ],
)
async def test_a_page_fits_a_small_phone(board: str, browser: Page, path: str) -> None:
    await asyncio.to_thread(lambda: browser.show("<p>", width=NARROW))
    await ask(browser, f"location.assign('{board}{path}')")
    await shows(browser, "Mỗi con số")

    assert await ask(browser, "document.documentElement.scrollWidth") == NARROW


@pytest.fixture(scope="session")
async def axe() -> str:
    return await axe_script()


ACCESSIBLE = (
    "/?period=2024-11",
    "/heatmap",
    "/agencies/H48.07",
    "/agencies/H48.07/obstacles",
    "/agencies/H48.07/funded",
    "/directives/TB-UBND-2024",
    TASK,
    "/overdue",
    "/upcoming",
    "/search?q=ke+hoach",
    "/?period=abc",
    "/khong-co",
)


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
async def test_axe_finds_nothing_grave(board: str, browser: Page, axe: str, is_dark: bool, width: int) -> None:
    """INVARIANT: axe-core calls nothing on any page serious or critical, whatever the colours and the width."""
    await asyncio.to_thread(lambda: browser.view(width=width, height=800, is_dark=is_dark))
    for path in ACCESSIBLE:
        await grave_of(browser, axe, f"{board}{path}")


async def grave_of(browser: Page, axe: str, url: str) -> None:
    await ask(browser, f"location.assign('{url}')")
    await shows(browser, "Mỗi con số")
    assert await ask(browser, "location.href") == url
    await ask(browser, f"{axe};0")
    assert await ask(browser, GRAVE) == [], url


async def test_axe_is_awake(browser: Page, axe: str) -> None:
    """The check above can fail."""
    await asyncio.to_thread(
        lambda: browser.show("<html lang=vi><title>t</title><p style='color:#999;background:#fff'>mờ", width=WIDE)
    )
    await ask(browser, f"{axe};0")

    assert [one.partition(":")[0] for one in await ask(browser, GRAVE)] == ["color-contrast"]


async def test_a_map_leads_by_keyboard_to_the_tasks_of_a_cell(board: str, browser: Page) -> None:
    await asyncio.to_thread(lambda: browser.view(width=NARROW, height=700))
    await ask(browser, f"location.assign('{board}/heatmap')")
    await shows(browser, "Bản đồ nhiệt")
    await ask(browser, "document.querySelector('table.heat td.h1 a').focus()")
    assert await ask(browser, "getComputedStyle(document.activeElement).outlineStyle") != "none"

    await press(browser, "Enter")

    await shows(browser, "Trình kế hoạch chuyển đổi số")
    assert await ask(browser, "location.search") == "?province=H48&agency=H48.07&directive=TB-UBND-2024"


async def test_one_searches_from_any_page(board: str, browser: Page) -> None:
    await ask(browser, f"location.assign('{board}/overdue')")
    await shows(browser, "Nhiệm vụ quá hạn")
    await ask(browser, "document.querySelector('#tim').value = 'ke hoach'; document.querySelector('#tim').focus()")

    await press(browser, "Enter")

    async def found() -> bool:
        # Every page's head says "Tìm nhiệm vụ"; only what was found is marked.
        return bool(await ask(browser, "document.readyState === 'complete' && !!document.querySelector('main mark')"))

    await until(found, within=20, what="the words that were sought are marked")
    assert await ask(browser, "[...document.querySelectorAll('mark')].map((one) => one.innerText)") == ["kế", "hoạch"]


async def test_a_page_renews_itself_without_losing_the_place(board: str, browser: Page, replica: Replica) -> None:
    await ask(browser, f"location.assign('{board}/?period=2024-12')")
    await shows(browser, "Báo cáo tháng 12/2024")
    await ask(browser, "document.querySelector('details').open = true; window.same = 1")

    await replica.receive(changed(a_snapshot(2, result="2024-11-20", accepted="2024-11-20")))
    await replica.at("2024-11-20 09:00")

    await shows(browser, "Số liệu vừa được cập nhật")
    assert await ask(browser, "window.same") == 1, "the page was loaded anew"
    assert await ask(browser, "document.querySelector('details').open")
    assert "Số liệu đến 20/11/2024 09:00" in await ask(browser, "document.body.innerText")


async def test_no_policy_is_offended(board: str, browser: Page) -> None:
    """INVARIANT: the stylesheet and the script are taken under the policy that keeps all others out."""
    await ask(browser, f"location.assign('{board}/')")
    await shows(browser, "Báo cáo tháng 12/2024")

    assert await ask(browser, "[...document.styleSheets].every((sheet) => sheet.cssRules.length > 50)")
    assert await ask(browser, "document.styleSheets.length") == 1
