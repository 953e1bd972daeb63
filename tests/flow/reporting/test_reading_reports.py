"""What programs read: the JSON of a period. What people read: test_board.py."""

from pathlib import Path
from typing import Any

import httpx
import openapi_spec_validator
import pytest

from deploy.local.issuer import Issuer
from services.reporting import openapi
from services.reporting.app import build
from services.reporting.settings import Settings
from shared.contracts.report_facts import ReportPublished
from shared.runtime.settings import CredentialSettings
from tests.flow.reporting.harness import Replica, client_of
from tests.flow.reporting.snapshots import a_snapshot, changed, registered


@pytest.fixture
async def replica() -> Replica:
    replica = Replica()
    await replica.receive(
        registered("H48.07", "Sở Thông tin và Truyền thông"),
        registered("H48.21", "UBND huyện Bình Sơn"),
        registered("H48.22", "UBND huyện <Ba Tơ>"),
        changed(a_snapshot()),
        changed(a_snapshot(agency="H48.21", due=None)),
        changed(a_snapshot(2, agency="H48.22", result="2024-10-16", accepted="2024-10-17")),
    )
    await replica.at("2024-10-14 20:00")
    await replica.at("2024-11-20")
    return replica


@pytest.fixture
def client(replica: Replica) -> httpx.AsyncClient:
    return client_of(replica)


async def test_period_has_the_province_first_then_each_kind_by_name(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/reports/2024-11.json")

    assert answer.status_code == 200
    body = answer.json()
    scopes = [ReportPublished.model_validate(scope) for scope in body.pop("scopes")]
    assert [scope.scope_name for scope in scopes] == [
        "Tỉnh Quảng Ngãi",
        "Chưa phân nhóm",
        "Sở Thông tin và Truyền thông",
        "UBND huyện <Ba Tơ>",
        "UBND huyện Bình Sơn",
        "TB-UBND-2024",
        "Có thời hạn",
    ]
    assert body == {
        "province": "H48",
        "period": "2024-11",
        "kind": "monthly",
        "regime": "nd-09-2019",
        "starts_on": "2024-10-15",
        "cut_off_on": "2024-11-14",
        "due_on": "2024-11-19",
        "final": True,
        "revision": 1,
    }


async def test_rates_are_texts_with_two_decimals_or_null(client: httpx.AsyncClient) -> None:
    scopes = (await client.get("/v1/reports/2024-11.json?province=H48")).json()["scopes"]
    by_name = {scope["scope"]: scope for scope in scopes}
    province, sttt, binh_son = by_name["province"], by_name["agency:H48.07"], by_name["agency:H48.21"]

    assert province["rates"] == {"on_time_of_due": "50.00", "done_of_all": "33.33"}
    assert sttt["rates"] == {"on_time_of_due": "0.00", "done_of_all": "0.00"}
    assert binh_son["rates"] == {"on_time_of_due": None, "done_of_all": "0.00"}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/reports/2024-13.json", 400, "malformed_period"),
        ("/v1/reports/thang-11.json", 400, "malformed_period"),
        ("/v1/reports/2024-09.json", 404, "unknown_period"),
        ("/v1/reports/2025-11.json", 404, "unknown_period"),
        ("/v1/reports/2024-11.json?province=H49", 404, "unknown_province"),
        ("/v1/reports/2024-11.json?scope=county:1", 400, "malformed_scope"),
        ("/v1/reports/2024-11.json?scope=agency:H48.99", 404, "unknown_scope"),
    ],
)
async def test_refusal_is_a_problem_with_a_code(client: httpx.AsyncClient, path: str, status: int, code: str) -> None:
    answer = await client.get(path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["detail"].endswith(".")


async def test_one_scope_is_answered_beside_the_province(client: httpx.AsyncClient) -> None:
    body = (await client.get("/v1/reports/2024-Q4.json?scope=agency:H48.21")).json()

    assert [scope["scope"] for scope in body["scopes"]] == ["province", "agency:H48.21"]
    assert (body["kind"], body["final"], body["cut_off_on"]) == ("quarterly", False, "2024-12-14")


async def test_each_figure_stands_beside_the_previous_period(client: httpx.AsyncClient) -> None:
    (province, *_) = (await client.get("/v1/reports/2024-11.json")).json()["scopes"]

    assert province["previous"]["period"] == "2024-10"
    assert province["previous"]["totals"]["open_in_time"] == 2
    assert province["year_before"] is None


# -- as it was -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def amended(replica: Replica) -> Replica:
    """A result that was received before the cut-off came in five days after the close."""
    await replica.receive(changed(a_snapshot(2, result="2024-11-12", accepted="2024-11-13")))
    await replica.at("2024-11-25")
    return replica


def overdue(body: dict[str, Any], scope: str = "province") -> int:
    """Of the totals of a scope."""
    [found] = [one["totals"]["open_overdue"] for one in body["scopes"] if one["scope"] == scope]
    return int(found)


async def test_a_closed_period_is_shown_as_it_was_and_as_it_is_known(amended: Replica) -> None:
    """INVARIANT: an amendment takes nothing away: what was reported at the close can be read ever after."""
    client = client_of(amended)

    today = (await client.get("/v1/reports/2024-11.json")).json()
    first = (await client.get("/v1/reports/2024-11.json?revision=1")).json()
    agency = (await client.get("/v1/reports/2024-11.json?scope=agency:H48.07&revision=1")).json()
    then = (await client.get("/v1/reports/2024-11.json?as_of=2024-11-21T00:00:00Z")).json()
    now = (await client.get("/v1/reports/2024-11.json?as_of=2024-11-26T00:00:00Z")).json()

    assert (today["revision"], overdue(today)) == (2, 0)
    assert (first["revision"], first["final"], overdue(first)) == (1, True, 1)
    assert [one["scope"] for one in first["scopes"]] == ["province"]
    assert [one["scope"] for one in agency["scopes"]] == ["agency:H48.07"]
    assert overdue(agency, "agency:H48.07") == 1
    assert [one["scope"] for one in then["scopes"]] == [one["scope"] for one in today["scopes"]]
    assert (overdue(then), overdue(then, "agency:H48.07")) == (1, 1)
    assert now == today


async def test_what_stood_then_on_one_scope_stands_beside_the_province(amended: Replica) -> None:
    path = "/v1/reports/2024-11.json?scope=agency:H48.07&as_of=2024-11-20T02:00:00Z"

    body = (await client_of(amended).get(path)).json()

    assert [(one["scope"], one["totals"]["open_overdue"]) for one in body["scopes"]] == [
        ("province", 1),
        ("agency:H48.07", 1),
    ]


async def test_revisions_say_what_changed_and_why(amended: Replica) -> None:
    body = (await client_of(amended).get("/v1/reports/2024-11/revisions")).json()

    last, first = body.pop("revisions")
    assert body == {"province": "H48", "period": "2024-11", "scope": "province", "scope_name": "Tỉnh Quảng Ngãi"}
    assert (last["revision"], last["final"], last["computed_at"]) == (2, True, "2024-11-25T08:00:00+07:00")
    changes = {one["figure"]: (one["before"], one["after"]) for one in last["amendment"]["changed"]}
    assert changes["open_overdue"] == ("1", "0")
    assert [one["task_id"] for one in last["amendment"]["because"]] == ["H48/TB-UBND-2024/II.2.g/H48.07"]
    assert (first["revision"], first["amendment"], first["final"]) == (1, None, True)
    assert last["content_hash"] != first["content_hash"]
    of_agency = (await client_of(amended).get("/v1/reports/2024-11/revisions?scope=agency:H48.22")).json()
    assert [one["final"] for one in of_agency["revisions"]] == [True]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("2024-10.json?revision=1", 404, "unknown_revision"),
        ("2024-11.json?revision=7", 404, "unknown_revision"),
        ("2024-11.json?revision=0", 400, "malformed_revision"),
        ("2024-11.json?revision=²", 400, "malformed_revision"),
        ("2024-11.json?revision=99999999", 400, "malformed_revision"),
        ("2024-11.json?revision=2&as_of=2024-11-20T00:00:00Z", 400, "malformed_revision"),
        ("2024-11.json?as_of=2024-11-20T00:00:00", 400, "malformed_instant"),
        ("2024-11.json?as_of=hom-qua", 400, "malformed_instant"),
        ("2024-11.json?as_of=0001-01-01T00:00:00%2B07:00", 400, "malformed_instant"),
        ("2024-11.json?as_of=2024-11-14T00:00:00Z", 404, "unknown_revision"),
        ("2024-11.json?revision=2&scope=agency:H48.99", 404, "unknown_scope"),
        ("2024-11.json?as_of=2024-11-21T00:00:00Z&scope=agency:H48.99", 404, "unknown_scope"),
        ("2024-11.json?revision=2&scope=county:1", 400, "malformed_scope"),
        ("2025-11.json?revision=1", 404, "unknown_period"),
        ("2025-11/revisions", 404, "unknown_period"),
        ("2024-13/revisions", 400, "malformed_period"),
        ("2024-11/revisions?scope=agency:H48.99", 404, "unknown_scope"),
        ("2024-11/revisions?province=H49", 404, "unknown_province"),
    ],
)
async def test_revision_that_is_not_there_is_a_problem_with_a_code(
    amended: Replica, path: str, status: int, code: str
) -> None:
    answer = await client_of(amended).get(f"/v1/reports/{path}")

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (answer.json()["code"], answer.json()["detail"][-1]) == (code, ".")


async def test_revisions_answer_as_the_openapi_says(amended: Replica) -> None:
    body = (await client_of(amended).get("/v1/reports/2024-11/revisions")).json()

    described = openapi.document()["components"]["schemas"]["Revisions"]
    assert set(described["required"]) == set(described["properties"]) == set(body)
    rows = described["properties"]["revisions"]["items"]
    assert set(rows["required"]) == set(rows["properties"]) == set(body["revisions"][0])


async def test_province_must_be_said_where_there_are_several(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot(province="H49", agency="H49.07")))
    await replica.at("2024-11-21")
    client = client_of(replica)

    assert (await client.get("/v1/reports/2024-11.json")).json()["code"] == "province_needed"
    assert (await client.get("/v1/reports/2024-11.json?province=H49")).json()["province"] == "H49"


async def test_openapi_is_valid_and_served(client: httpx.AsyncClient) -> None:
    openapi_spec_validator.validate(openapi.document())

    assert (await client.get("/openapi.json")).json() == openapi.document()


async def test_json_answers_as_the_openapi_says(client: httpx.AsyncClient) -> None:
    body = (await client.get("/v1/reports/2024-11.json")).json()

    schema = openapi.document()["components"]["schemas"]
    assert set(schema["PeriodReports"]["required"]) == set(body)
    assert set(schema["ReportPublished"]["required"]) <= set(body["scopes"][0])
    assert set(schema["ReportPublished"]["properties"]) == set(body["scopes"][0])


# -- who reads -----------------------------------------------------------------------------------------------------


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer.open(tmp_path)


@pytest.fixture
async def closed_client(replica: Replica, issuer: Issuer) -> httpx.AsyncClient:
    """Two provinces behind a door that needs a token."""
    await replica.receive(changed(a_snapshot(province="H49", agency="H49.07")))
    await replica.at("2024-11-21")
    credentials = CredentialSettings(jwks_file=issuer.jwks_file, jwt_issuer=issuer.issuer)
    settings = Settings(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", credentials=credentials)
    app = build(settings, store=replica.store, lists=replica.lists, contents=replica.contents, clock=replica.clock)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://reporting")


@pytest.mark.parametrize("scope", ["reports:read", "tasks:read", "events:write", "authority:write"])
@pytest.mark.parametrize("province", ["H48", "H49"])
async def test_a_province_reads_its_own_reports_and_no_other(
    closed_client: httpx.AsyncClient, issuer: Issuer, province: str, scope: str
) -> None:
    """INVARIANT: the province comes from the token."""
    headers = {"authorization": f"Bearer {issuer.mint('H48.22', province, [scope])}"}
    other = {"H48": "H49", "H49": "H48"}[province]

    own = await closed_client.get("/v1/reports/2024-11.json", headers=headers)
    named = await closed_client.get(f"/v1/reports/2024-11.json?province={province}", headers=headers)
    foreign = await closed_client.get(f"/v1/reports/2024-11.json?province={other}", headers=headers)
    nowhere = await closed_client.get("/v1/reports/2024-11.json?province=H50", headers=headers)
    revisions = [
        await closed_client.get(f"/v1/reports/2024-11/revisions{query}", headers=headers)
        for query in ("", f"?province={other}")
    ]

    assert (own.status_code, own.json()["province"]) == (200, province)
    assert named.json() == own.json()
    assert (foreign.status_code, foreign.json()["code"]) == (404, "unknown_province")
    assert foreign.json()["detail"].replace(other, "H50") == nowhere.json()["detail"]
    assert [one.status_code for one in revisions] == [200, 404]
    assert revisions[0].json()["province"] == province


@pytest.mark.parametrize(("scope", "status", "code"), [(None, 401, "token_missing"), ("profile", 403, "scope_missing")])
async def test_who_may_not_read_reports_is_told_why(
    closed_client: httpx.AsyncClient, issuer: Issuer, scope: str | None, status: int, code: str
) -> None:
    headers = {"authorization": f"Bearer {issuer.mint('H48.22', 'H48', [scope])}"} if scope else {}

    answer = await closed_client.get("/v1/reports/2024-11.json", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
