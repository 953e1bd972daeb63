"""What people read: the board's pages, what they refuse, and who sees what."""

import asyncio
import html
import re
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.issuer import Issuer
from services.reporting.app import build
from services.reporting.lists import TooBroadError
from services.reporting.settings import Settings
from shared.runtime.settings import CredentialSettings
from tests.flow.reporting.harness import Replica, client_of
from tests.flow.reporting.memory_lists import MemoryLists
from tests.flow.reporting.snapshots import a_cause, a_snapshot, an_obligation, changed, directive, registered

HOSTILE = '<script>alert(1)</script> & "Ba Tơ" \''


@pytest.fixture
async def replica() -> Replica:
    replica = Replica()
    await replica.receive(
        registered("H48.01", "Văn phòng UBND tỉnh", role="chairman_office"),
        registered("H48.07", "Sở Thông tin và Truyền thông", role="standing"),
        registered("H48.21", "UBND huyện Bình Sơn"),
        registered("H48.22", "UBND huyện <Ba Tơ>"),
        changed(a_snapshot()),
        changed(a_snapshot(agency="H48.21", due=None, title=HOSTILE, phrase=HOSTILE)),
        changed(a_snapshot(2, agency="H48.22", result="2024-10-16", accepted="2024-10-17")),
    )
    await replica.at("2024-10-14 20:00")
    await replica.at("2024-11-20")
    return replica


@pytest.fixture
def client(replica: Replica) -> httpx.AsyncClient:
    return client_of(replica)


def visible(page: str) -> str:
    """The text a reader sees, on one line."""
    body = page[page.index("<body") :]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).replace("\u00a0", " ").split())


# -- the province ------------------------------------------------------------------------------------------------------


async def test_overview_shows_the_running_month_and_names_the_official_columns(client: httpx.AsyncClient) -> None:
    page = await client.get("/")

    text = visible(page.text)
    assert "Báo cáo tháng 12/2024 Số liệu tạm tính" in text
    assert "đến hết ngày chốt 14/12/2024" in text
    for words in (
        "Đã hoàn thành",
        "Chưa hoàn thành",
        "Đúng hạn",
        "Quá hạn",
        "Trong hạn",
        "Sắp đến hạn",
        "Chưa có hạn",
        "Tổng số ngày quá hạn",
        "Tỷ lệ đúng hạn trên số đã đến hạn 50,00 %",
        "Tỷ lệ hoàn thành trên tổng số 33,33 %",
    ):
        assert words in text


async def test_overview_of_a_closed_period_says_so_beside_the_period_before(client: httpx.AsyncClient) -> None:
    page = await client.get("/?period=2024-11")

    text = visible(page.text)
    assert "Báo cáo tháng 11/2024 Số liệu chốt" in text
    assert "Tháng 11/2024, bên cạnh tháng 10/2024" in text
    # On 14 October nothing was overdue, on 14 November one was.
    assert re.search(r"Chưa hoàn thành 2 3 −1 Trong hạn 0 2 −2 Sắp đến hạn 0 0 – Quá hạn 1 0 \+1", text)
    assert '<option value="2024-11" selected>' in page.text


async def test_overview_shows_how_the_figures_came_along_as_charts_and_as_a_table(client: httpx.AsyncClient) -> None:
    page = (await client.get("/?period=2024-11")).text

    assert page.count('role="img"') == 2
    assert "Số nhiệm vụ theo tình trạng, từ tháng 10/2024 đến tháng 11/2024" in page
    assert "Diễn biến 2 kỳ" in visible(page)
    assert '<a href="/?province=H48&amp;period=2024-10">Tháng 10/2024</a>' in page


@pytest.mark.parametrize(
    ("period", "words"),
    [
        ("2024-W46", "Báo cáo tuần 46/2024"),
        ("2024-Q4", "Báo cáo quý 4/2024"),
        ("2024-H2", "Báo cáo 6 tháng cuối năm 2024"),
        ("2024", "Báo cáo năm 2024"),
    ],
)
async def test_every_kind_of_period_can_be_picked(client: httpx.AsyncClient, period: str, words: str) -> None:
    page = await client.get(f"/?province=H48&period={period}")

    assert (page.status_code, words in visible(page.text)) == (200, True)
    assert visible(page.text).count("Tuần Tháng Quý 6 tháng Năm") == 1


async def test_ranking_puts_the_most_overdue_first_and_leads_to_each_agency(client: httpx.AsyncClient) -> None:
    page = (await client.get("/?period=2024-11")).text

    rows = re.findall(r'<th role="rowheader" scope="row"><a href="(.*?)">(.*?)</a>', page)
    assert rows == [
        ("/agencies/H48.07?province=H48&amp;period=2024-11", "Sở Thông tin và Truyền thông"),
        ("/agencies/H48.22?province=H48&amp;period=2024-11", "UBND huyện &lt;Ba Tơ&gt;"),
        ("/agencies/H48.21?province=H48&amp;period=2024-11", "UBND huyện Bình Sơn"),
    ]


async def test_an_amended_report_says_what_changed(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot(2, result="2024-10-18", accepted="2024-11-21")))
    await replica.at("2024-11-21 09:00")

    page = await client_of(replica).get("/?period=2024-11")

    text = visible(page.text)
    assert "Điều chỉnh sau khi chốt (lần công bố thứ 2)" in text
    assert "Chưa hoàn thành, quá hạn 1 0" in text
    assert 'href="/tasks/H48/TB-UBND-2024/II.2.g/H48.07"' in page.text


async def test_two_provinces_are_told_apart(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot(province="H49", agency="H49.07")))
    await replica.at("2024-11-21")
    client = client_of(replica)

    assert "Tỉnh Quảng Ngãi" in (await client.get("/")).text
    other = await client.get("/?province=H49")
    assert (other.status_code, 'data-province="H49"' in other.text) == (200, True)


async def test_nothing_received_yet_is_no_error() -> None:
    page = await client_of(Replica()).get("/")

    assert (page.status_code, "Chưa có số liệu" in page.text) == (200, True)


async def test_agency_without_task_is_no_error() -> None:
    replica = Replica()
    await replica.receive(registered("H48.07", "Sở TT&TT"))

    page = await client_of(replica).get("/")

    assert (page.status_code, "Chưa có số liệu" in page.text) == (200, True)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/?period=abc", 400, "Kỳ báo cáo không đúng dạng"),
        ("/?period=2024-13", 400, "Kỳ báo cáo không đúng dạng"),
        ("/?period=2020-01", 404, "Không có số liệu của kỳ"),
        ("/?province=H99", 404, "Không có số liệu của đơn vị này"),
        ("/?province=%3Cscript%3E", 404, "Không có số liệu của đơn vị này"),
        ("/tasks/H48/TB-UBND-2024/I.1/H48.07", 404, "Không có nhiệm vụ này"),
        ("/tasks/..%2F..%2Fetc", 404, "Không có nhiệm vụ này"),
        ("/tasks/", 404, "Không có nhiệm vụ này"),
        ("/agencies/H48.99", 404, "Không có số liệu của kỳ"),
        ("/agencies/H48.07?period=abc", 400, "Kỳ báo cáo không đúng dạng"),
        ("/agencies/%3Cscript%3E", 404, "Không có số liệu"),
        ("/directives/KHONG-CO", 404, "Không có văn bản này"),
        ("/directives/TB-UBND-2024?clause=IX.9", 404, "Không có văn bản này"),
        ("/overdue?after=abc", 400, "Địa chỉ không đúng dạng"),
        ("/overdue?after=2024-11-01T00:00:00~x", 400, "Địa chỉ không đúng dạng"),
        ("/upcoming?days=abc", 200, "đến hạn trong 14 ngày tới"),
        ("/upcoming?days=99999", 200, "đến hạn trong 366 ngày tới"),
    ],
)
async def test_wrong_questions_are_answered_in_vietnamese(
    client: httpx.AsyncClient, path: str, status: int, words: str
) -> None:
    page = await client.get(path)

    assert (page.status_code, words in visible(page.text)) == (status, True)


# -- a task ------------------------------------------------------------------------------------------------------------


async def test_a_tasks_page_is_where_letters_lead(client: httpx.AsyncClient) -> None:
    page = await client.get("/tasks/H48/TB-UBND-2024/II.2.g/H48.07")

    text = visible(page.text)
    assert (page.status_code, "Trình kế hoạch chuyển đổi số năm 2025 Quá hạn, 32 ngày" in text) == (200, True)
    assert "Lần 1, đang có hiệu lực 19/10/2024 19/10/2024 18/10/2024" in text
    assert "Thời hạn ghi trong văn bản “trước ngày 20/10/2024”" in text


async def test_a_task_tells_its_whole_history(replica: Replica) -> None:
    task = a_snapshot(
        9,
        acknowledged=a_cause("2024-10-12"),
        result="2024-10-25",
        accepted="2024-10-28",
        milestones=[
            {
                "id": "m1",
                "kind": "overdue",
                "level": 0,
                "days_before": 0,
                "deadline_version": 1,
                "at": a_cause("2024-10-20 00:00")["received_at"],
                "fired_at": a_cause("2024-10-20 00:00")["recorded_at"],
                "retracted": a_cause("2024-10-21"),
            }
        ],
        obstacles=[
            {
                "obstacle_id": "o1",
                "description": "Thiếu kinh phí",
                "beyond_authority": True,
                "cause": a_cause("2024-10-14"),
                "answered": None,
                "forwarded_to": "chairman",
                "forwarded": a_cause("2024-10-15"),
                "cleared": a_cause("2024-10-16"),
            }
        ],
        predecessor="H48/TB-UBND-2024/II.2.g/H48.05",
    )
    await replica.receive(changed(task))

    page = (await client_of(replica).get("/tasks/H48/TB-UBND-2024/II.2.g/H48.07")).text

    told = [html.unescape(re.sub(r"<[^>]+>", "", one)) for one in re.findall(r'<p class="what">(.*?)</p>', page)]
    assert told == [
        "Kết quả được chấp nhận (lần 1)",
        "Nộp kết quả lần 1",
        "Quá hạn Đã rút lại lúc 21/10/2024 08:00",
        "Khó khăn, vướng mắc đã giải quyết",
        "Chuyển khó khăn, vướng mắc lên Chủ tịch UBND tỉnh",
        "Nêu khó khăn, vướng mắc",
        "Cơ quan xác nhận đã nhận nhiệm vụ",
        "Thời hạn: đến hết ngày 19/10/2024",
        "Giao nhiệm vụ",
    ]
    assert "Văn phòng UBND tỉnh" in page
    assert 'href="/tasks/H48/TB-UBND-2024/II.2.g/H48.05"' in page


async def test_what_agencies_wrote_is_shown_and_never_run(client: httpx.AsyncClient) -> None:
    """INVARIANT: text from outside is text.

    If it broke, whoever writes a title would act as the officer who reads it.
    """
    page = await client.get("/tasks/H48/TB-UBND-2024/II.2.g/H48.21")

    assert "<script>alert" not in page.text
    assert HOSTILE in visible(page.text)


# -- an agency ---------------------------------------------------------------------------------------------------------


async def test_an_agencys_page_shows_its_figures_and_its_open_tasks_the_most_urgent_first(
    replica: Replica, client: httpx.AsyncClient
) -> None:
    await replica.receive(
        changed(a_snapshot(clause="II.1", due=None, title="Không có hạn")),
        changed(a_snapshot(clause="II.3", due="2024-11-22", title="Sắp đến hạn rồi")),
        changed(a_snapshot(clause="II.4", due="2024-12-30", title="Còn lâu")),
        changed(a_snapshot(clause="II.5", due="2024-11-30", title="Chờ xét", result="2024-11-19")),
    )
    await replica.at("2024-11-20 08:01")

    page = await client.get("/agencies/H48.07?province=H48")

    titles = re.findall(r'<p class="title"><a href="[^"]*">(.*?)</a>', page.text)
    assert titles == [
        "Trình kế hoạch chuyển đổi số năm 2025",
        "Sắp đến hạn rồi",
        "Còn lâu",
        "Không có hạn",
        "Chờ xét",
    ]
    text = visible(page.text)
    assert "Sở Thông tin và Truyền thông" in text
    assert "Báo cáo tháng 12/2024" in text
    assert "Quá hạn Hạn 19/10/2024 (quá hạn 32 ngày)" in text
    assert "Sắp đến hạn Hạn 22/11/2024 (còn 2 ngày)" in text
    assert "Chờ xét kết quả Hạn 30/11/2024 Khoản II.5" in text


async def test_an_agencys_open_tasks_come_in_pages_that_lose_none(replica: Replica, client: httpx.AsyncClient) -> None:
    dated = [changed(a_snapshot(clause=f"II.{n}", agency="H48.22", due="2024-11-30")) for n in range(1, 60)]
    undated = [changed(a_snapshot(clause=f"III.{n}", agency="H48.22", due=None)) for n in range(1, 60)]
    await replica.receive(*dated, *undated)
    await replica.at("2024-11-20 08:01")

    seen, path = [], "/agencies/H48.22?province=H48"
    while True:
        page = (await client.get(path)).text
        seen += re.findall(r'<p class="title"><a href="([^"]*)"', page)
        following = re.search(r'<a rel="next" href="([^"]*)">Xem tiếp', page)
        if following is None:
            break
        path = html.unescape(following[1])

    assert (len(seen), len(set(seen))) == (118, 118)


async def test_an_agency_without_report_is_shown_by_its_name(replica: Replica, client: httpx.AsyncClient) -> None:
    await replica.receive(registered("H48.30", "Sở mới"))

    page = await client.get("/agencies/H48.30")

    assert (page.status_code, "Cơ quan chưa có số liệu trong kỳ này" in page.text) == (200, True)


# -- a directive -------------------------------------------------------------------------------------------------------


async def test_a_directive_is_shown_clause_by_clause_with_and_without_tasks(
    replica: Replica, client: httpx.AsyncClient
) -> None:
    await replica.receive(
        directive(
            "TB-UBND-2024",
            an_obligation("II.2.g", "Trình kế hoạch <2025>", leads=["@all", "H48.07"]),
            an_obligation("II.9", "Việc chưa giao", phrase="trong tháng 11/2024"),
            number="558/TB-UBND",
        )
    )

    page = await client.get("/directives/TB-UBND-2024?province=H48")

    text = visible(page.text)
    assert "Số, ký hiệu 558/TB-UBND Cơ quan ban hành UBND tỉnh Ngày ban hành 11/10/2024" in text
    assert "Khoản II.2.g . Trình kế hoạch <2025>" in text
    assert "Chủ trì: tất cả các cơ quan, đơn vị; Sở Thông tin và Truyền thông" in text
    assert "“trong tháng 11/2024”" in text
    assert text.index("Việc chưa giao") < text.index("Khoản này chưa có nhiệm vụ nào.")
    assert len(re.findall(r'<li class="task ', page.text)) == 3
    one = await client.get("/directives/TB-UBND-2024?clause=II.9")
    assert (one.status_code, "II.2.g" in one.text) == (200, False)


async def test_a_revoked_directive_says_so(replica: Replica, client: httpx.AsyncClient) -> None:
    await replica.receive(
        directive(
            "TB-UBND-2024",
            an_obligation("II.2.g", "Trình kế hoạch"),
            revoked=a_cause("2024-11-01"),
            revoked_document={"number": "600/QĐ-UBND", "issued_on": "2024-10-31"},
            revoked_reason="Thay thế",
        )
    )

    text = visible((await client.get("/directives/TB-UBND-2024")).text)

    assert "Văn bản đã bị thu hồi (tiếp nhận lúc 01/11/2024 08:00): Thay thế. Văn bản số 600/QĐ-UBND" in text


async def test_tasks_of_a_directive_without_record_are_shown_all_the_same(client: httpx.AsyncClient) -> None:
    page = await client.get("/directives/TB-UBND-2024")

    assert (page.status_code, len(re.findall(r'<li class="task ', page.text))) == (200, 3)


# -- lists -------------------------------------------------------------------------------------------------------------


async def test_overdue_and_upcoming_are_told_apart_by_the_instant_the_day_ends(
    replica: Replica, client: httpx.AsyncClient
) -> None:
    await replica.receive(changed(a_snapshot(clause="II.3", due="2024-11-20", title="Hôm nay")))
    await replica.at("2024-11-20 23:59")
    assert "Hôm nay" not in (await client.get("/overdue")).text
    assert "hết hạn hôm nay" in (await client.get("/upcoming")).text

    await replica.at("2024-11-21 00:00")

    assert "Hôm nay" in (await client.get("/overdue")).text
    assert "Hôm nay" not in (await client.get("/upcoming")).text


async def test_a_list_is_filtered_by_agency_and_directive(replica: Replica, client: httpx.AsyncClient) -> None:
    await replica.receive(changed(a_snapshot(agency="H48.22", clause="II.3")))

    for query, count in (
        ("", 2),
        ("?agency=H48.22", 1),
        ("?agency=H48.21", 0),
        ("?directive=TB-UBND-2024", 2),
        ("?directive=KH-1", 0),
        ("?agency=H48.07&directive=TB-UBND-2024", 1),
    ):
        page = (await client.get(f"/overdue{query}")).text
        assert len(re.findall(r'<li class="task ', page)) == count, query


# -- the heat map ------------------------------------------------------------------------------------------------------


async def many_overdue(replica: Replica, agencies: int = 14, directives: int = 10) -> None:
    """Agency n is late with n tasks, of n directives."""
    tasks = [
        changed(a_snapshot(agency=f"H48.{50 + n}", directive=f"QD-{number}-2024"))
        for n in range(1, agencies + 1)
        for number in range(1, min(n, directives) + 1)
    ]
    await replica.receive(
        *(registered(f"H48.{50 + n}", f"Đơn vị {n}") for n in range(1, agencies + 1)),
        *tasks,
        directive("QD-1-2024", an_obligation("II.2.g", "Trình kế hoạch"), number="1/QĐ-UBND"),
    )
    await replica.at("2024-11-20 08:01")


def cells(page: str) -> list[tuple[str, str]]:
    """(class, text) of each cell of the map, row by row."""
    found = re.findall(r'<td class="(h\d)">(.*?)</td>', page)
    return [(shade, re.sub(r"<[^>]+>", "", text)) for shade, text in found]


async def test_the_map_shows_the_worst_of_both_and_leads_to_the_tasks(
    replica: Replica, client: httpx.AsyncClient
) -> None:
    await many_overdue(replica)

    page = (await client.get("/")).text

    rows = re.findall(r'<tr><th scope="row"><a href="/agencies/[^"]*">(.*?)</a></th><td class="total">(.*?)</td>', page)
    assert [name for name, _ in rows][:6] == [f"Đơn vị {n}" for n in (10, 11, 12, 13, 14, 9)]
    assert [re.sub(r"<[^>]+>", "", total) for _, total in rows][:6] == ["10", "10", "10", "10", "10", "9"]
    assert len(rows) == 12
    heads = re.findall(r'<th scope="col"><a href="/directives/([^?]*)', page)
    assert heads == [f"QD-{n}-2024" for n in range(1, 9)]
    assert '<a href="/directives/QD-1-2024?province=H48">1/QĐ-UBND</a>' in page
    assert cells(page)[:8] == [("h1", "1")] * 8
    link = re.search(r'<td class="h1"><a href="([^"]*)" aria-label="([^"]*)"', page)
    assert link is not None
    assert html.unescape(link[2]) == "Đơn vị 10, 1/QĐ-UBND: 1 nhiệm vụ quá hạn"
    there = (await client.get(html.unescape(link[1]))).text
    assert re.findall(r'<p class="title"><a href="([^"]*)"', there) == ["/tasks/H48/QD-1-2024/II.2.g/H48.60"]
    assert "Xem toàn bộ 15 cơ quan và 11 văn bản có nhiệm vụ quá hạn" in visible(page)


async def test_the_whole_map_is_reached_part_by_part(replica: Replica, client: httpx.AsyncClient) -> None:
    await many_overdue(replica, agencies=45, directives=20)

    seen: set[tuple[str, str]] = set()
    waiting, done = ["/heatmap?province=H48"], set()
    while waiting:
        path = waiting.pop()
        if path in done:
            continue
        done.add(path)
        page = (await client.get(path)).text
        found = re.findall(r'<td class="h[1-5]"><a href="[^"]*agency=(H48\.\d+)&amp;directive=([\w-]+)"', page)
        assert not seen & set(found)
        seen |= set(found)
        waiting += [html.unescape(one) for one in re.findall(r'<a rel="(?:next|prev)" href="([^"]*)"', page)]

    expected = {(f"H48.{50 + n}", f"QD-{d}-2024") for n in range(1, 46) for d in range(1, min(n, 20) + 1)}
    assert seen - expected == {("H48.07", "TB-UBND-2024")}
    assert expected <= seen
    assert len(done) == 4


async def test_a_map_is_counted_once_for_each_version_of_the_figures(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[tuple[str, ...]] = []
    ask = MemoryLists.overdue_cells

    async def noted(self: MemoryLists, province: str, directives: Collection[str], now: datetime) -> Any:
        counted.append(tuple(directives))
        return await ask(self, province, directives, now)

    monkeypatch.setattr(MemoryLists, "overdue_cells", noted)
    client = client_of(replica)
    await asyncio.gather(*(client.get("/") for _ in range(5)))
    await client.get("/heatmap")
    assert counted == [("TB-UBND-2024",)]

    await replica.receive(changed(a_snapshot(clause="II.3", agency="H48.22")))
    await replica.at("2024-11-20 08:01")
    page = (await client.get("/")).text

    assert len(counted) == 2
    assert ("h1", "1") in cells(page)
    assert "agency=H48.22&amp;directive=TB-UBND-2024" in page


async def test_a_map_without_anything_overdue_says_so() -> None:
    replica = Replica()
    await replica.receive(registered("H48.07", "Sở TT&TT"), changed(a_snapshot()))
    await replica.at("2024-10-14")

    page = await client_of(replica).get("/heatmap")

    assert (page.status_code, "Không có nhiệm vụ nào quá hạn" in page.text) == (200, True)


# -- search ------------------------------------------------------------------------------------------------------------


def found_titles(page: str) -> list[str]:
    return [
        html.unescape(re.sub(r"<[^>]+>", "", one))
        for one in re.findall(r'<p class="title"><a href="[^"]*">(.*?)</a>', page)
    ]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("q=ke+hoach", 2),
        ("q=KẾ+HOẠCH", 2),
        ("q=kế+hoạch+2025", 2),
        ("q=kế+hoạch+2026", 0),
        ("q=II.2.g", 3),
        ("q=H48.22", 0),
        ("q=H48.22+ke+hoach", 1),
        ("q=558/TB-UBND", 3),
        ("q=558/TB-UBND+ke+hoach", 2),
        ("q=TB-UBND-2024", 3),
        ("q=H48/TB-UBND-2024/II.2.g/H48.07", 1),
        ("q=h48/tb-ubnd-2024/ii.2.g/h48.07", 1),
        ("q=ke+hoach&state=overdue", 1),
        ("q=ke+hoach&state=done", 1),
        ("q=ke+hoach&state=open", 1),
        ("q=ke+hoach&state=x", 2),
        ("q=ke+hoach&agency=H48.22", 1),
        ("q=ke+hoach&directive=KH-1", 0),
        ("agency=H48.21", 0),
        ("directive=TB-UBND-2024", 3),
        ("q=", 0),
        ("q=%22%24%7B%7D", 0),
        ("q=" + "x" * 3000, 0),
    ],
)
async def test_a_search_takes_what_an_officer_knows(
    replica: Replica, client: httpx.AsyncClient, query: str, count: int
) -> None:
    await replica.receive(directive("TB-UBND-2024", an_obligation("II.2.g", "Trình kế hoạch"), number="558/TB-UBND"))

    page = await client.get(f"/search?province=H48&{query}")

    assert (page.status_code, len(found_titles(page.text))) == (200, count)


async def test_found_words_are_marked_and_what_was_typed_stays(client: httpx.AsyncClient) -> None:
    page = (await client.get("/search?q=ke+hoach+SO")).text

    assert "Trình <mark>kế</mark> <mark>hoạch</mark> chuyển đổi <mark>số</mark> năm 2025" in page
    assert page.count('value="ke hoach SO"') == 2


async def test_a_question_is_text(client: httpx.AsyncClient) -> None:
    """INVARIANT: what is typed is shown, never run."""
    page = await client.get("/search", params={"q": HOSTILE})

    assert "<script>alert" not in page.text
    assert HOSTILE in html.unescape(page.text)
    assert found_titles(page.text) == [HOSTILE]


async def test_agencies_and_directives_are_found_by_their_names(replica: Replica, client: httpx.AsyncClient) -> None:
    await replica.receive(directive("TB-UBND-2024", an_obligation("II.2.g", "Trình"), number="558/TB-UBND"))

    agencies = (await client.get("/search?q=so+thong+tin")).text
    directives = (await client.get("/search?q=558")).text

    assert '<a href="/agencies/H48.07?province=H48">Sở Thông tin và Truyền thông</a>' in agencies
    assert '<a href="/directives/TB-UBND-2024?province=H48">558/TB-UBND</a>' in directives


async def test_a_search_comes_in_pages_that_lose_none(replica: Replica, client: httpx.AsyncClient) -> None:
    clauses = [f"{part}.{n}" for part in ("III", "IV") for n in range(1, 61)]
    await replica.receive(*(changed(a_snapshot(clause=one, title="Báo cáo quý")) for one in clauses))

    seen, path = [], "/search?province=H48&q=bao+cao"
    while True:
        page = (await client.get(path)).text
        seen += re.findall(r'<p class="title"><a href="([^"]*)"', page)
        following = re.search(r'<a rel="next" href="([^"]*)">Xem tiếp', page)
        if following is None:
            break
        path = html.unescape(following[1])

    assert (len(seen), len(set(seen))) == (120, 120)


async def test_a_search_that_takes_too_long_says_what_to_do(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(*_: Any, **__: Any) -> None:
        raise TooBroadError

    monkeypatch.setattr(MemoryLists, "search", slow)

    page = await client.get("/search?q=bao")

    assert page.status_code == 503
    assert "Xin thêm từ, hoặc chọn cơ quan hay văn bản." in page.text
    assert 'value="bao"' in page.text


# -- what holds an agency up -------------------------------------------------------------------------------------------


def an_obstacle(text: str, **more: Any) -> dict[str, Any]:
    stages = {"answered": None, "forwarded_to": None, "forwarded": None, "cleared": None}
    cause = a_cause("2024-10-14")
    return {"obstacle_id": text, "description": text, "beyond_authority": False, "cause": cause} | stages | more


def funding(allocated: int, paid: int) -> dict[str, Any]:
    return {
        "allocations": [
            {
                "allocation_id": "a1",
                "amount_vnd": allocated,
                "fiscal_year": 2024,
                "plan": "assigned",
                "document": {"issued_on": "2024-01-10"},
                "cause": a_cause("2024-01-15"),
            }
        ],
        "disbursements": [{"cumulative_vnd": paid, "as_of": "2024-11-01", "cause": a_cause("2024-11-02")}],
    }


async def test_an_agencys_page_tells_what_is_late_what_is_stuck_and_what_is_paid(
    replica: Replica, client: httpx.AsyncClient
) -> None:
    stuck = [
        an_obstacle("Thiếu kinh phí", beyond_authority=True),
        an_obstacle("Chờ Bộ", forwarded=a_cause("2024-10-15"), forwarded_to="chairman"),
        an_obstacle("Đã xong", cleared=a_cause("2024-10-16")),
    ]
    await replica.receive(
        changed(a_snapshot(2, obstacles=stuck)),
        changed(a_snapshot(clause="II.3", title="Đầu tư nền tảng", due="2024-12-20", **funding(1_000, 300))),
        changed(a_snapshot(clause="II.4", title="Mua sắm", due="2024-12-20", **funding(1_000, 990))),
        changed(a_snapshot(clause="II.5", result="2024-10-16", accepted="2024-10-17", obstacles=stuck)),
    )
    await replica.at("2024-11-20 08:01")

    text = visible((await client.get("/agencies/H48.07")).text)

    assert "Nhiệm vụ quá hạn Trình kế hoạch chuyển đổi số năm 2025 Quá hạn" in text
    assert "Chưa được trả lời Thiếu kinh phí Nêu ngày 14/10/2024; vượt thẩm quyền của cơ quan." in text
    assert "Đã chuyển Chủ tịch UBND tỉnh Chờ Bộ" in text
    assert "Đã xong" not in text
    assert text.count("Thiếu kinh phí") == 1
    assert "Đầu tư nền tảng 1.000 300 30,00 % 88,80 % Có nguy cơ không giải ngân hết" in text
    assert re.search(r"Mua sắm 1\.000 990 99,00 % 88,80 % –", text)


@pytest.mark.parametrize("path", ["obstacles", "funded"])
async def test_lists_of_an_agency_go_on_behind_a_link(replica: Replica, client: httpx.AsyncClient, path: str) -> None:
    more = {"obstacles": [an_obstacle("Thiếu kinh phí")]} if path == "obstacles" else funding(100, 10)
    await replica.receive(*(changed(a_snapshot(clause=f"III.{n}", due=None, **more)) for n in range(1, 61)))
    await replica.at("2024-11-20 08:01")

    first = (await client.get("/agencies/H48.07")).text
    link = re.search(rf'href="(/agencies/H48.07/{path}[^"]*)"', first)
    assert link is not None
    seen: list[str] = []
    following: re.Match[str] | None = link
    while following is not None:
        page = (await client.get(html.unescape(following[1]))).text
        seen += re.findall(r'<a href="(/tasks/[^"]*)"', page)
        following = re.search(r'<a rel="next" href="([^"]*)"', page)

    assert (len(seen), len(set(seen))) == (60, 60)


# -- unknown addresses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/khong-co", "/overdue/x", "/agencies", "/v1x"])
async def test_an_unknown_address_is_a_page_for_people(client: httpx.AsyncClient, path: str) -> None:
    page = await client.get(path, headers={"accept": "text/html,*/*"})

    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "Không có trang này" in page.text
    assert "unsafe" not in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("path", "accept"), [("/khong-co", "application/json"), ("/khong-co", "*/*"), ("/v1/khong-co", "text/html")]
)
async def test_an_unknown_address_is_a_problem_for_programs(client: httpx.AsyncClient, path: str, accept: str) -> None:
    answer = await client.get(path, headers={"accept": accept})

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


# -- all pages ---------------------------------------------------------------------------------------------------------

PAGES = (
    "/",
    "/?period=2024-11",
    "/agencies/H48.21",
    "/directives/TB-UBND-2024",
    "/tasks/H48/TB-UBND-2024/II.2.g/H48.07",
    "/overdue",
    "/upcoming",
    "/heatmap",
    "/search?q=ke+hoach",
    "/agencies/H48.07/obstacles",
    "/agencies/H48.07/funded",
    "/?period=abc",
)


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_needs_nothing_from_elsewhere(client: httpx.AsyncClient, path: str) -> None:
    """INVARIANT: no page loads a foreign resource, and none has a script or a style of its own in it.

    If it broke, the board would be blank in a network that is cut off from the internet, and the policy that keeps
    foreign scripts out would have to be loosened.
    """
    page = await client.get(path)

    assert re.findall(r'(?:src|href)="(?:https?:)?//', page.text) == []
    assert re.findall(r"<script(?! src=\"/static/)", page.text) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=", page.text) == []
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert '<html lang="vi">' in page.text


async def test_files_are_served_under_an_address_that_changes_with_them(client: httpx.AsyncClient) -> None:
    page = (await client.get("/")).text

    for path in re.findall(r'"(/static/[^"]+)"', page):
        answer = await client.get(path)
        assert (answer.status_code, "immutable" in answer.headers["cache-control"]) == (200, True)
    assert (await client.get("/static/board.css")).headers["cache-control"] == "no-cache"
    assert (await client.get("/static/..%2Froutes.py")).status_code == 404


async def test_live_tells_that_figures_changed(replica: Replica, client: httpx.AsyncClient) -> None:
    before = (await client.get("/live?province=H48")).json()
    assert before == (await client.get("/live?province=H48")).json()

    await replica.receive(changed(a_snapshot(2, result="2024-11-20", accepted="2024-11-20")))
    await replica.at("2024-11-21")

    after = (await client.get("/live?province=H48")).json()
    assert after["version"] != before["version"]
    assert f'data-version="{after["version"]}"' in html.unescape((await client.get("/")).text)


# -- who sees what -----------------------------------------------------------------------------------------------------


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer.open(tmp_path)


@pytest.fixture
async def closed(replica: Replica, issuer: Issuer) -> httpx.AsyncClient:
    """Two provinces behind a door that needs a token."""
    await replica.receive(changed(a_snapshot(province="H49", agency="H49.07")))
    await replica.at("2024-11-21")
    credentials = CredentialSettings(jwks_file=issuer.jwks_file, jwt_issuer=issuer.issuer)
    settings = Settings(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", credentials=credentials)
    app = build(settings, store=replica.store, lists=replica.lists, contents=replica.contents, clock=replica.clock)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://reporting")


def cookie(issuer: Issuer, agency: str, scopes: str, province: str = "H48") -> dict[str, str]:
    return {"cookie": f"dondoc={issuer.mint(agency, province, scopes.split())}"}


TASK = "/tasks/H48/TB-UBND-2024/II.2.g/{}"


@pytest.mark.parametrize(
    ("agency", "scopes", "path", "status"),
    [
        # Who supervises sees all of the province.
        ("H48.07", "tasks:read", TASK.format("H48.21"), 200),
        ("H48.01", "reports:read tasks:read", TASK.format("H48.21"), 200),
        ("H48.99", "authority:write", TASK.format("H48.21"), 200),
        # An agency sees what it leads, and the province's aggregates.
        ("H48.21", "tasks:read", TASK.format("H48.21"), 200),
        ("H48.21", "events:write", TASK.format("H48.21"), 200),
        ("H48.21", "tasks:read", TASK.format("H48.07"), 403),
        ("H48.21", "tasks:read", "/", 200),
        ("H48.21", "reports:read", "/", 200),
        ("H48.21", "tasks:read", "/agencies/H48.21", 200),
        ("H48.21", "tasks:read", "/agencies/H48.07", 403),
        ("H48.21", "tasks:read", "/agencies/H48.99", 403),
        ("H48.07", "tasks:read", "/agencies/H48.21", 200),
        ("H48.07", "reports:read", "/agencies/H48.07", 403),
        ("H48.21", "tasks:read", "/directives/TB-UBND-2024", 200),
        ("H48.23", "tasks:read", "/directives/TB-UBND-2024", 403),
        ("H48.23", "tasks:read", "/directives/KHONG-CO", 403),
        ("H48.21", "reports:read", "/directives/TB-UBND-2024", 403),
        ("H48.21", "tasks:read", "/overdue", 200),
        ("H48.21", "tasks:read", "/overdue?agency=H48.21", 200),
        ("H48.21", "tasks:read", "/overdue?agency=H48.07", 403),
        ("H48.21", "reports:read", "/upcoming", 403),
        ("H48.21", "reports:read", "/live", 200),
        ("H48.21", "tasks:read", "/search?q=ke", 200),
        ("H48.21", "tasks:read", "/search?q=ke&agency=H48.07", 403),
        ("H48.21", "reports:read", "/search?q=ke", 403),
        ("H48.21", "tasks:read", "/heatmap", 403),
        ("H48.07", "tasks:read", "/heatmap", 200),
        ("H48.21", "tasks:read", "/agencies/H48.07/obstacles", 403),
        ("H48.21", "tasks:read", "/agencies/H48.07/funded", 403),
        ("H48.21", "tasks:read", "/agencies/H48.21/funded", 200),
        # A machine's token sees as an agency, whatever its role; reports:read alone shows no task.
        ("H48.07", "events:write", TASK.format("H48.21"), 403),
        ("H48.21", "reports:read", TASK.format("H48.21"), 403),
        ("H48.07", "reports:read", TASK.format("H48.07"), 403),
        # What does not exist looks like what one may not see.
        ("H48.21", "tasks:read", TASK.format("H48.98"), 403),
        ("H48.07", "tasks:read", TASK.format("H48.98"), 404),
        # Another province does not exist.
        ("H48.07", "tasks:read", "/tasks/H49/TB-UBND-2024/II.2.g/H49.07", 404),
        ("H48.07", "tasks:read", "/?province=H49", 404),
        ("H48.21", "tasks:read", "/tasks/H49/TB-UBND-2024/II.2.g/H49.07", 403),
    ],
)
async def test_each_sees_what_concerns_him(
    closed: httpx.AsyncClient, issuer: Issuer, agency: str, scopes: str, path: str, status: int
) -> None:
    page = await closed.get(path, headers=cookie(issuer, agency, scopes))

    assert page.status_code == status, visible(page.text)


async def test_who_cooperates_or_judges_sees_the_task(
    closed: httpx.AsyncClient, replica: Replica, issuer: Issuer
) -> None:
    await replica.receive(changed(a_snapshot(2, cooperating=["H48.22"], reviewer="H48.21")))

    for agency, status in (("H48.22", 200), ("H48.21", 200), ("H48.23", 403)):
        page = await closed.get(TASK.format("H48.07"), headers=cookie(issuer, agency, "tasks:read"))
        assert page.status_code == status


async def test_an_agency_finds_what_it_leads_and_what_it_takes_part_in(
    closed: httpx.AsyncClient, replica: Replica, issuer: Issuer
) -> None:
    """INVARIANT: a search shows an agency no title that does not concern it, whatever the title says."""
    await replica.receive(
        changed(a_snapshot(2, cooperating=["H48.22"], title="Kế hoạch chung")),
        changed(a_snapshot(clause="II.3", title="Kế hoạch kín của @H48.22 H48.22")),
    )

    async def found(agency: str, query: str) -> list[str]:
        page = await closed.get(f"/search?{query}", headers=cookie(issuer, agency, "tasks:read"))
        return found_titles(page.text)

    for query in ("q=ke+hoach", "q=H48.22+ke", "q=@H48.22+ke", "q=ke+hoach&directive=TB-UBND-2024"):
        titles = await found("H48.22", query)
        assert "Kế hoạch kín của @H48.22 H48.22" not in titles, query
        assert "Kế hoạch chung" in titles, query
    assert "Kế hoạch kín của @H48.22 H48.22" in await found("H48.07", "q=ke+hoach")
    assert await found("H48.23", "q=ke+hoach") == []
    assert (
        "Sở Thông tin"
        not in (await closed.get("/search?q=so+thong", headers=cookie(issuer, "H48.22", "tasks:read"))).text
    )


async def test_an_agencys_lists_hold_its_own_tasks_alone(closed: httpx.AsyncClient, issuer: Issuer) -> None:
    for path in ("/overdue", "/upcoming?days=366", "/directives/TB-UBND-2024"):
        page = (await closed.get(path, headers=cookie(issuer, "H48.21", "tasks:read"))).text
        assert set(re.findall(r"/tasks/H48/TB-UBND-2024/II.2.g/(H48\.\d+)", page)) <= {"H48.21"}, path


async def test_a_role_that_ended_shows_nothing_more(
    closed: httpx.AsyncClient, replica: Replica, issuer: Issuer
) -> None:
    await replica.receive(registered("H48.07", "Sở TT&TT", 2, role="standing", valid_to="2024-11-20"))

    page = await closed.get(TASK.format("H48.21"), headers=cookie(issuer, "H48.07", "tasks:read"))

    assert page.status_code == 403


async def test_an_agencys_ranking_leads_to_its_own_page_alone(closed: httpx.AsyncClient, issuer: Issuer) -> None:
    page = (await closed.get("/?period=2024-11", headers=cookie(issuer, "H48.21", "tasks:read"))).text

    assert re.findall(r'<a href="/agencies/([^?]*)', page) == ["H48.21"]
    assert "Sở Thông tin và Truyền thông" in page


async def test_the_board_is_closed_to_who_is_not_logged_in(closed: httpx.AsyncClient) -> None:
    """How one gets in: test_login.py."""
    for path in ("/", TASK.format("H48.07"), "/live?province=H48"):
        assert (await closed.get(path)).status_code == 503, "nobody said where to log in"


async def test_files_are_offered_to_those_who_may_have_them(
    client: httpx.AsyncClient, closed: httpx.AsyncClient, issuer: Issuer
) -> None:
    """ADR 0023: the report names agencies and heads; whoever supervises reads it."""
    everybody = (await client.get("/?period=2024-11")).text
    standing = (await closed.get("/?period=2024-11", headers=cookie(issuer, "H48.07", "tasks:read"))).text
    agency = (await closed.get("/?period=2024-11", headers=cookie(issuer, "H48.21", "tasks:read"))).text

    def offered(page: str) -> list[str]:
        return re.findall(r"/v1/reports/2024-11\.(\w+)", page)

    assert offered(everybody) == ["json", "csv", "xlsx", "docx", "pdf"]
    assert offered(standing) == ["csv", "xlsx", "docx", "pdf"]
    assert offered(agency) == []


# -- pages that are kept -----------------------------------------------------------------------------------------------


class _CountingLists(MemoryLists):
    """Counts the pages that are made."""

    made = 0

    async def version(self, province: str) -> str:
        self.made += 1
        await asyncio.sleep(0)
        return await super().version(province)


async def test_what_many_ask_for_at_once_is_drawn_once_and_anew_after_its_time(replica: Replica) -> None:
    lists = _CountingLists(replica.store)
    settings = Settings(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", reading_needs_token=False, keep_pages_seconds=0.5)
    app = build(settings, store=replica.store, lists=lists, contents=replica.contents, clock=replica.clock)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://reporting")

    pages = {(await one).text for one in [asyncio.ensure_future(client.get("/")) for _ in range(20)]}
    assert (len(pages), lists.made) == (1, 1)
    await client.get("/?period=2024-11")
    assert lists.made == 2

    await replica.receive(changed(a_snapshot(agency="H48.01", clause="IX.1")))
    await replica.at("2024-11-21")
    await asyncio.sleep(0.6)
    # The first to ask then is shown what is there, and has the next one drawn.
    assert (await client.get("/")).text in pages
    await asyncio.sleep(0.3)
    assert (await client.get("/")).text not in pages


async def test_page_that_is_kept_is_shown_to_nobody_else(closed: httpx.AsyncClient, issuer: Issuer) -> None:
    for agency, status in (("H48.07", 200), ("H48.22", 403), ("H48.21", 200), ("H48.22", 403)):
        answer = await closed.get("/agencies/H48.21", headers=cookie(issuer, agency, "tasks:read"))

        assert answer.status_code == status
        assert f"Đang đăng nhập: cơ quan {agency}" in visible(answer.text)
        assert answer.headers["cache-control"] == "no-store"
