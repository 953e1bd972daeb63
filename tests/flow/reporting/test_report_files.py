"""What people and programs download: files and content of a period, who gets them, and what is answered instead."""

import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import docx
import httpx
import openapi_spec_validator
import openpyxl
import pytest
from pypdf import PdfReader
from starlette.applications import Starlette

from deploy.local.issuer import Issuer
from services.reporting import openapi, report_openapi
from services.reporting.files import tables
from services.reporting.login import BoardLogin
from services.reporting.report_files import ReportFiles, disposition
from services.reporting.settings import Settings
from shared.runtime.bearer import reading_verifier
from shared.runtime.settings import CredentialSettings
from tests.flow.reporting.content_harness import Prepares, prepares
from tests.flow.reporting.logins import COOKIE, settings_of
from tests.flow.reporting.snapshots import a_snapshot, changed, registered
from tests.flow.reporting.test_preparing import MONTHLY_ONLY, a_november
from tests.support.report_cells import check_csv, check_docx, check_pdf, check_xlsx
from tests.unit.reporting.content_builders import a_content, a_month

ENDINGS = tuple(report_openapi.MEDIA_TYPES)


@pytest.fixture
async def service() -> AsyncIterator[Prepares]:
    async with prepares(None, rulings=MONTHLY_ONLY) as made:
        await a_november(made)
        await made.at("2024-11-14 10:00")
        await made.at("2024-11-15 00:00")
        yield made


class Clock:
    """Real time that tests move."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def client_of(
    service: Prepares, issuer: Issuer | None = None, *, folder: Path | None = None, real_time: Clock | None = None
) -> httpx.AsyncClient:
    """The routes alone; app.py puts them beside the others. `folder`: officers can log in."""
    settings = Settings(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", reading_needs_token=False)
    if issuer is not None and folder is not None:
        settings = settings_of(issuer, "http://127.0.0.1:1", folder)
    elif issuer is not None:
        credentials = CredentialSettings(jwks_file=issuer.jwks_file, jwt_issuer=issuer.issuer)
        settings = Settings(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", credentials=credentials)
    verify = reading_verifier(settings)
    files = ReportFiles(
        service.replica.store,
        service.content,
        service.gathering,
        service.rulings,
        service.replica.clock,
        verify=verify,
        login=BoardLogin.of(settings, verify),
        real_time=real_time or Clock(),
    )
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(Starlette(routes=files.routes())), base_url="http://reporting"
    )


@pytest.fixture
def client(service: Prepares) -> httpx.AsyncClient:
    return client_of(service)


async def test_content_is_what_was_prepared(client: httpx.AsyncClient, service: Prepares) -> None:
    answer = await client.get("/v1/reports/2024-11/content.json")

    prepared = await service.content.prepared("H48", "2024-11")
    assert prepared is not None
    body = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert (body["revision"], body["content_hash"]) == (1, prepared.content_hash)
    assert body["prepared_at"].startswith("2024-11-15T00:00:00")
    assert [row["task"]["clause"] for row in body["overdue"]] == ["II.2.g"]
    assert not body["provisional"]


async def test_each_file_is_of_its_kind_and_named(client: httpx.AsyncClient) -> None:
    answers = {ending: await client.get(f"/v1/reports/2024-11.{ending}") for ending in ENDINGS}

    for ending, answer in answers.items():
        assert (answer.status_code, answer.headers["content-type"]) == (200, report_openapi.MEDIA_TYPES[ending])
        plain, _, proper = answer.headers["content-disposition"].partition("; filename*=UTF-8''")
        assert plain == f'attachment; filename="bao-cao-H48-2024-11.{ending}"'
        assert unquote(proper) == f"Báo cáo tháng 11 năm 2024 - Tỉnh Quảng Ngãi.{ending}"
        assert answer.headers["cache-control"] == "private, no-cache"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert answers["csv"].content.startswith("\ufeffSTT,Cơ quan".encode())
    assert "Quá hạn" in openpyxl.load_workbook(io.BytesIO(answers["xlsx"].content)).sheetnames
    assert docx.Document(io.BytesIO(answers["docx"].content)).sections
    assert "BÁO CÁO" in PdfReader(io.BytesIO(answers["pdf"].content)).pages[0].extract_text()


async def test_csv_of_another_table(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/reports/2024-11.csv?table=overdue")

    assert "H48/TB-UBND-2024/II.2.g/H48.07" in answer.text
    assert answer.headers["etag"] != (await client.get("/v1/reports/2024-11.csv")).headers["etag"]


async def test_every_file_says_what_the_content_says_cell_by_cell(client: httpx.AsyncClient) -> None:
    """INVARIANT: whichever form people take, they read the same figures; see also test_file_cells.py."""
    content = (await client.get("/v1/reports/2024-11/content.json")).json()

    for ending, check in (("xlsx", check_xlsx), ("docx", check_docx), ("pdf", check_pdf)):
        answer = await client.get(f"/v1/reports/2024-11.{ending}")
        assert check(content, answer.content) > 100, ending
    for table in tables.TABLES:
        answer = await client.get(f"/v1/reports/2024-11.csv?table={table}")
        check_csv(content, table, answer.content)


async def test_file_that_is_known_is_not_sent_again(client: httpx.AsyncClient) -> None:
    for path in ("/v1/reports/2024-11.pdf", "/v1/reports/2024-11/content.json"):
        first = await client.get(path)
        again = await client.get(path, headers={"if-none-match": first.headers["etag"]})
        other = await client.get(path, headers={"if-none-match": '"another"'})

        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
        assert (other.status_code, other.content) == (200, first.content)


async def test_older_revision_stays_as_it_was(client: httpx.AsyncClient, service: Prepares) -> None:
    before = await client.get("/v1/reports/2024-11.docx")
    await service.receive(changed(a_snapshot(3, result="2024-11-14", accepted="2024-11-14 09:00")))
    await service.at("2024-11-16")

    last = (await client.get("/v1/reports/2024-11/content.json")).json()
    first = (await client.get("/v1/reports/2024-11/content.json?revision=1")).json()

    assert (last["revision"], len(last["overdue"])) == (2, 0)
    assert (first["revision"], len(first["overdue"])) == (1, 1)
    assert (await client.get("/v1/reports/2024-11.docx?revision=1")).content == before.content
    named = (await client.get("/v1/reports/2024-11.docx")).headers["content-disposition"]
    assert 'filename="bao-cao-H48-2024-11-lan-2.docx"' in named


async def test_running_period_is_answered_as_of_now_and_marked(service: Prepares) -> None:
    await service.at("2024-11-20 10:00")
    real_time = Clock()
    client = client_of(service, real_time=real_time)

    answer = await client.get("/v1/reports/2024-12.pdf")
    body = (await client.get("/v1/reports/2024-12/content.json")).json()

    assert "SỐ LIỆU TẠM TÍNH" in PdfReader(io.BytesIO(answer.content)).pages[0].extract_text()
    assert "tam-tinh" in answer.headers["content-disposition"]
    assert (body["provisional"], "revision" in body, body["day"]) == (True, False, "2024-11-20")
    assert [row["task"]["clause"] for row in body["overdue"]] == ["II.2.g", "II.1.k"][:1]

    await service.at("2024-11-21 10:00")
    assert (await client.get("/v1/reports/2024-12/content.json")).json()["day"] == "2024-11-20", "remembered"
    real_time.seconds += 21
    assert (await client.get("/v1/reports/2024-12/content.json")).json()["day"] == "2024-11-21"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/reports/2024-13.pdf", 400, "malformed_period"),
        ("/v1/reports/thang-11.pdf", 400, "malformed_period"),
        ("/v1/reports/2024-W60.csv", 400, "malformed_period"),
        ("/v1/reports/2024-09.pdf", 404, "unknown_period"),
        ("/v1/reports/2031-09.pdf", 404, "unknown_period"),
        ("/v1/reports/2024-11.pdf?revision=7", 404, "unknown_revision"),
        ("/v1/reports/2024-12.pdf?revision=1", 404, "unknown_revision"),
        ("/v1/reports/2024-11.pdf?revision=0", 400, "malformed_revision"),
        ("/v1/reports/2024-11.pdf?revision=-1", 400, "malformed_revision"),
        ("/v1/reports/2024-11.pdf?revision=99999999999999999999", 400, "malformed_revision"),
        ("/v1/reports/2024-11.pdf?revision=²", 400, "malformed_revision"),
        ("/v1/reports/2024-11.csv?table=secrets", 400, "unknown_table"),
        ("/v1/reports/2024-11.pdf?province=H49", 404, "unknown_province"),
    ],
)
async def test_refusal_is_a_problem_with_a_code(client: httpx.AsyncClient, path: str, status: int, code: str) -> None:
    answer = await client.get(path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["code"] == code


async def test_province_must_be_said_where_there_are_several(service: Prepares) -> None:
    await service.receive(changed(a_snapshot(province="H49", agency="H49.07")))
    await service.at("2024-11-21")
    client = client_of(service)

    assert (await client.get("/v1/reports/2024-11.csv")).json()["code"] == "province_needed"
    assert (await client.get("/v1/reports/2024-11.csv?province=H49")).status_code == 200


# -- who reads ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer.open(tmp_path)


@pytest.mark.parametrize(
    ("agency", "scopes", "status", "code"),
    [
        ("H48.07", ["reports:read"], 200, None),
        ("H48.07", ["tasks:read"], 200, None),
        ("H48.01", ["reports:read"], 200, None),
        ("H48.21", ["authority:write"], 200, None),
        ("H48.99", ["authority:write"], 200, None),
        ("H48.21", ["reports:read", "tasks:read"], 403, "not_supervising"),
        ("H48.99", ["reports:read"], 403, "not_supervising"),
        ("H48.02", ["reports:read"], 403, "not_supervising"),
        ("H48.07", ["events:write"], 403, "scope_missing"),
        ("H48.21", ["profile"], 403, "scope_missing"),
    ],
)
async def test_who_supervises_reads_the_report(
    service: Prepares, issuer: Issuer, agency: str, scopes: list[str], status: int, code: str | None
) -> None:
    """INVARIANT: the report names other agencies' tasks and heads; no ordinary agency's token opens it."""
    await service.receive(
        registered("H48.01", "Văn phòng UBND tỉnh", role="chairman_office"),
        registered("H48.02", "Sở cũ", role="standing", valid_to="2024-11-01"),
    )
    client = client_of(service, issuer)
    headers = {"authorization": f"Bearer {issuer.mint(agency, 'H48', scopes)}"}

    for path in ("/v1/reports/2024-11/content.json", *(f"/v1/reports/2024-11.{ending}" for ending in ENDINGS)):
        answer = await client.get(path, headers=headers)
        assert answer.status_code == status, path
        if code is not None:
            assert answer.json()["code"] == code


async def test_another_province_is_answered_like_one_that_does_not_exist(service: Prepares, issuer: Issuer) -> None:
    client = client_of(service, issuer)
    headers = {"authorization": f"Bearer {issuer.mint('H48.07', 'H48', ['reports:read'])}"}

    foreign = await client.get("/v1/reports/2024-11.pdf?province=H49", headers=headers)

    assert (foreign.status_code, foreign.json()["code"]) == (404, "unknown_province")
    other = {"authorization": f"Bearer {issuer.mint('H49.07', 'H49', ['authority:write'])}"}
    assert (await client.get("/v1/reports/2024-11.pdf", headers=other)).status_code == 404


async def test_program_without_a_token_is_asked_for_one_and_a_browser_is_led_to_the_login(
    service: Prepares, issuer: Issuer, tmp_path: Path
) -> None:
    client = client_of(service, issuer, folder=tmp_path)
    follows_link = {"sec-fetch-mode": "navigate"}

    program = await client.get("/v1/reports/2024-11.pdf")
    browser = await client.get("/v1/reports/2024-11.pdf", headers=follows_link)
    token = issuer.mint("H48.07", "H48", ["reports:read"])
    officer = await client.get("/v1/reports/2024-11.pdf", headers={**follows_link, "cookie": f"{COOKIE}={token}"})

    assert (program.status_code, program.json()["code"]) == (401, "token_missing")
    assert browser.status_code == 303
    assert browser.headers["location"].startswith("/login?")
    assert officer.status_code == 200
    assert officer.headers["cache-control"] == "no-store", "the next at this desk may be somebody else"


# -- described ---------------------------------------------------------------------------------------------------------


async def test_openapi_of_the_files_is_valid(client: httpx.AsyncClient) -> None:
    document: dict[str, Any] = openapi.document()
    document["paths"] |= report_openapi.paths()
    document["components"]["schemas"] |= report_openapi.schemas()

    openapi_spec_validator.validate(document)
    body = (await client.get("/v1/reports/2024-11/content.json")).json()
    described = document["components"]["schemas"]["Content"]["properties"]
    assert set(described) <= set(body)
    assert set(body) - set(described) == {"content_hash", "revision", "prepared_at"}


def test_file_name_has_nothing_that_a_shell_or_a_header_reads() -> None:
    content = a_content(*a_month())
    named = disposition(replace(content, province_name='Tỉnh "Quảng/Ngãi"\r\nX: 1%00'), "pdf", 1)

    assert "\r" not in named
    assert "\n" not in named
    plain, _, proper = named.partition("; filename*=UTF-8''")
    assert plain == 'attachment; filename="bao-cao-H48-2024-11.pdf"'
    assert not set('/\\"') & set(unquote(proper))
