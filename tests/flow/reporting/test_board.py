"""What people read: the board's pages, what they refuse, and who sees what."""

import html
import re
from pathlib import Path

import httpx
import pytest

from deploy.local.issuer import Issuer
from services.reporting.app import build
from services.reporting.settings import Settings
from shared.runtime.settings import CredentialSettings
from tests.flow.reporting.harness import Replica, client_of
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


# -- all pages ---------------------------------------------------------------------------------------------------------

PAGES = (
    "/",
    "/?period=2024-11",
    "/agencies/H48.21",
    "/directives/TB-UBND-2024",
    "/tasks/H48/TB-UBND-2024/II.2.g/H48.07",
    "/overdue",
    "/upcoming",
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
