"""Who may read which alerts over HTTP (ADR 0010). Which alerts concern whom: tests/contract/test_notify_store.py."""

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from deploy.local.issuer import Issuer
from services.notify import openapi
from services.notify.domain.alert import AlertKind
from shared.runtime.bearer import COUNTS
from shared.runtime.settings import CredentialSettings
from shared.runtime.tokens import TokenVerifier
from tests.flow.notify.harness import Service, a_service, an_agency
from tests.flow.notify.test_alerts import by
from tests.support.builders import REVIEWER, a_task

OWN = {AlertKind.DUE_SOON.value, AlertKind.OVERDUE.value, AlertKind.ESCALATION.value}


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer.open(tmp_path)


@pytest.fixture
async def client(issuer: Issuer) -> httpx.AsyncClient:
    """One task of H48.21, overdue long enough for its head and the standing agency to hear of it."""
    service: Service = await a_service()
    await service.register(an_agency("H48.50", "standing", valid_to="2024-11-30"))
    _, facts = by(a_task(), "2024-10-30 00:00")
    await service.on(*facts)
    settings = CredentialSettings(jwks_file=issuer.jwks_file, jwt_issuer=issuer.issuer)
    verify = TokenVerifier.of(settings, COUNTS, tokens_cached_max=10)
    api = service.api(verify)
    return httpx.AsyncClient(transport=httpx.ASGITransport(Starlette(routes=api.routes())), base_url="http://notify")


ALL, HEARD, NONE = "all", "heard", "none"


@pytest.mark.parametrize(
    ("province", "agency", "scope", "sees"),
    [
        ("H48", "H48.21", "tasks:read", ALL),
        ("H48", "H48.21", "events:write", ALL),
        ("H48", REVIEWER, "tasks:read", ALL),
        ("H48", REVIEWER, "events:write", HEARD),
        ("H48", "H48.01", "tasks:read", ALL),
        ("H48", "H48.01", "events:write", NONE),
        ("H48", "H48.22", "tasks:read", NONE),
        ("H48", "H48.22", "authority:write", ALL),
        ("H48", "H48.50", "tasks:read", NONE),
        ("H49", "H48.21", "tasks:read", NONE),
        ("H49", REVIEWER, "tasks:read authority:write", NONE),
    ],
)
async def test_alerts_are_read_by_whom_they_concern_and_by_who_supervises(
    client: httpx.AsyncClient, issuer: Issuer, province: str, agency: str, scope: str, sees: str
) -> None:
    """INVARIANT: an agency reads no other's alerts, and nobody another province's."""
    headers = {"authorization": f"Bearer {issuer.mint(agency, province, scope.split())}"}

    alerts = (await client.get("/v1/alerts", headers=headers)).json()["alerts"]

    kinds = {one["kind"] for one in alerts}
    match sees:
        case "all":
            assert kinds >= OWN
        case "heard":
            assert kinds == {"escalation"}
            assert all(REVIEWER in {one["agency"] for one in alert["recipients"]} for alert in alerts)
        case _:
            assert alerts == []
    foreign = await client.get("/v1/alerts", headers=headers, params={"agency": "H48.99"})
    assert foreign.json()["alerts"] == []


@pytest.mark.parametrize(
    ("scope", "status", "code"), [(None, 401, "token_missing"), ("reports:read", 403, "scope_missing")]
)
async def test_who_may_not_read_is_told_why(
    client: httpx.AsyncClient, issuer: Issuer, scope: str | None, status: int, code: str
) -> None:
    headers = {"authorization": f"Bearer {issuer.mint('H48.21', 'H48', [scope])}"} if scope else {}

    answer = await client.get("/v1/alerts", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert {"401", "403", "503"} <= openapi.document()["paths"]["/v1/alerts"]["get"]["responses"].keys()
