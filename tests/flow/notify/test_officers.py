"""What officers ask notify over HTTP: silences, previews, sending again; and what is refused, and how."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from deploy.local.issuer import Issuer
from services.notify import openapi
from services.notify.ports import Refused
from services.tasks.domain.decide import decide
from shared.runtime.bearer import COUNTS
from shared.runtime.settings import CredentialSettings
from shared.runtime.tokens import TokenVerifier
from tests.flow.notify.harness import Service, a_service
from tests.flow.notify.test_alerts import GRANT, OVERDUE_AT, assigned, by
from tests.support.builders import REVIEWER, RULES, a_cause, a_task, at

OVERDUE_TASK = "H48/TB-1/II.1.h/H48.21"


class Desk:
    """HTTP as somebody with a token."""

    def __init__(self, client: httpx.AsyncClient, issuer: Issuer) -> None:
        self._client = client
        self._issuer = issuer

    async def ask(
        self, method: str, path: str, *, agency: str = REVIEWER, scope: str = "authority:write", **rest: Any
    ) -> httpx.Response:
        token = self._issuer.mint(agency, "H48", [scope])
        headers = {"authorization": f"Bearer {token}", **rest.pop("headers", {})}
        return await self._client.request(method, path, headers=headers, **rest)

    async def silence(self, **asked: Any) -> httpx.Response:
        body = {"reason": "đang đối chiếu số liệu", "ends_at": "2024-12-05T09:00:00+07:00", **asked}
        return await self.ask("POST", "/v1/silences", json=body)


@pytest.fixture
async def service() -> Service:
    return await a_service()


@pytest.fixture
def desk(service: Service, tmp_path: Path) -> Desk:
    issuer = Issuer.open(tmp_path)
    settings = CredentialSettings(jwks_file=issuer.jwks_file, jwt_issuer=issuer.issuer)
    api = service.api(TokenVerifier.of(settings, COUNTS, tokens_cached_max=10))
    transport = httpx.ASGITransport(Starlette(routes=api.routes()))
    return Desk(httpx.AsyncClient(transport=transport, base_url="http://notify"), issuer)


# -- silences ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("about", [{"agency": "H48.21"}, {"directive": "TB-1"}, {"task_id": OVERDUE_TASK}])
async def test_a_silence_holds_back_and_what_still_stands_when_it_ends_is_told(
    service: Service, desk: Desk, about: dict[str, str]
) -> None:
    answer = await desk.silence(**about)
    assert answer.status_code == 201
    assert answer.json()["by"] == REVIEWER
    _, facts = by(a_task(), "2024-10-21 12:00")
    await service.on(*facts)

    assert await service.digest() == 0
    [overdue] = await service.listed(kind="overdue")
    assert f"silenced: {answer.json()['silence_id']}" in {step.reason for step in overdue.decided.steps}
    assert await service.digest() == 0
    assert await service.digest() == 0
    service.until(at("2024-12-05 09:00"))
    await service.deliver()
    await service.digest()

    assert {(mail.to, mail.kind) for mail in service.email.mails} == {
        ("agency@x.example", "escalation"),
        ("head@x.example", "escalation"),
        ("agency@x.example", "digest"),
    }
    assert service.email.mails[-1].data["day"] == "2024-12-06"


async def test_what_was_mended_in_the_silence_is_never_told(service: Service, desk: Desk) -> None:
    await desk.silence(agency="H48.21")
    task, facts = by(a_task(), OVERDUE_AT)
    await service.on(*facts)
    await service.on(*decide(task, GRANT, cause=a_cause("2024-12-03 08:00", "H48.01"), rules=RULES).facts)
    service.until(at("2024-12-05 09:00"))
    await service.deliver()
    await service.digest()

    assert [kind for _, kind in ((mail.to, mail.kind) for mail in service.email.mails)] == ["extension_granted"]


async def test_a_silence_that_comes_late_still_holds_what_waits_for_the_digest(service: Service, desk: Desk) -> None:
    _, facts = by(a_task(), OVERDUE_AT)
    await service.on(*facts)
    await desk.silence(agency="H48.21")

    assert await service.digest() == 0
    assert [state for _, state, _ in await service.deliveries(kind="overdue")] == ["pending"]


async def test_what_is_silenced_stands_in_no_digest_and_is_news_when_it_does_again(
    service: Service, desk: Desk
) -> None:
    """The digest lists what is overdue by the tasks themselves, not by their alerts."""
    _, facts = by(a_task(), OVERDUE_AT)
    await service.on(*facts)
    assert await service.digest() == 1
    await desk.silence(task_id=OVERDUE_TASK, ends_at="2024-12-04T09:00:00+07:00")
    other, facts = by(a_task(task_id="H48/TB-1/II.2/H48.21", clause="II.2"), OVERDUE_AT)
    await service.on(*facts)
    await service.digest()
    _, facts = by(a_task(task_id="H48/TB-1/II.3/H48.21", clause="II.3"), OVERDUE_AT)
    await service.on(*facts)
    await service.digest()

    digests = [mail.data for mail in service.email.mails if mail.kind == "digest"]
    listed = [{line["clause"]: line["is_new"] for one in data["sections"] for line in one["lines"]} for data in digests]
    assert listed == [
        {"II.1.h": True},
        {"II.2": True},
        {"II.1.h": True, "II.2": False, "II.3": True},
    ]
    assert [data["gone"] for data in digests] == [[], [], []]
    assert other.result.value == "assigned"


async def test_ending_a_silence_early_lets_go_what_it_held(service: Service, desk: Desk) -> None:
    silence = (await desk.silence(agency="H48.21")).json()
    await service.on(*assigned("II.5-1"))
    assert await service.deliver() == 0

    ended = await desk.ask("DELETE", f"/v1/silences/{silence['silence_id']}")

    assert ended.status_code == 200
    assert await service.deliver() == 1
    active = (await desk.ask("GET", "/v1/silences", params={"active": "true"})).json()["silences"]
    everything = (await desk.ask("GET", "/v1/silences")).json()["silences"]
    assert (active, [one["silence_id"] for one in everything]) == ([], [silence["silence_id"]])


async def test_a_silence_asked_for_twice_is_one_and_another_under_its_id_is_refused(desk: Desk) -> None:
    first = await desk.silence(silence_id="s-1", agency="H48.21")
    again = await desk.silence(silence_id="s-1", agency="H48.21")
    other = await desk.silence(silence_id="s-1", agency="H48.22")

    assert (first.status_code, again.status_code, first.json()) == (201, 201, again.json())
    assert (other.status_code, other.json()["code"]) == (409, "id_reused")
    assert len((await desk.ask("GET", "/v1/silences")).json()["silences"]) == 1


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "agency, directive or task_id"),
        ({"agency": "H48.21", "reason": ""}, "/reason"),
        ({"agency": "H48.21", "reason": "  "}, "reason"),
        ({"agency": "H48.21", "ends_at": "2024-12-01T00:00:00+07:00"}, "in the future"),
        ({"agency": "H48.21", "ends_at": "2025-12-01T00:00:00+07:00"}, "92 days"),
        ({"agency": "H48.21", "ends_at": "2024-12-09T00:00:00"}, "/ends_at"),
        ({"agency": "h48"}, "/agency"),
        ({"agency": "H48.21", "mailbox": "x"}, "/mailbox"),
        (
            {"agency": "H48.21", "starts_at": "2024-12-08T00:00:00Z", "ends_at": "2024-12-07T00:00:00Z"},
            "after starts_at",
        ),
    ],
)
async def test_a_silence_that_makes_no_sense_is_refused_with_what_to_do(
    desk: Desk, asked: dict[str, Any], says: str
) -> None:
    answer = await desk.silence(**asked)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_silence")
    assert says in answer.json()["detail"]
    assert "Correct it" in answer.json()["detail"]


async def test_an_agency_cannot_silence_what_is_said_of_it(desk: Desk) -> None:
    answer = await desk.ask("POST", "/v1/silences", agency="H48.21", scope="events:write", json={})

    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


async def test_an_agency_sees_only_the_silences_that_may_concern_it(desk: Desk) -> None:
    for agency in ("H48.21", "H48.22"):
        await desk.silence(agency=agency)
    await desk.silence(directive="TB-1")

    mine = (await desk.ask("GET", "/v1/silences", agency="H48.21", scope="tasks:read")).json()["silences"]

    assert sorted(one["agency"] or "" for one in mine) == ["", "H48.21"]


async def test_too_large_and_unknown_are_said(desk: Desk) -> None:
    large = await desk.ask("POST", "/v1/silences", content=b" " * 20_000)
    nothing = await desk.ask("DELETE", "/v1/silences/none")
    unknown = await desk.ask("GET", "/v1/silences", params={"mailbox": "x"})

    assert [(one.status_code, one.json()["code"]) for one in (large, nothing, unknown)] == [
        (413, "too_large"),
        (404, "not_found"),
        (400, "unknown_filter"),
    ]


# -- previews ------------------------------------------------------------------------------------------------------


async def test_the_preview_is_the_digest_that_comes(service: Service, desk: Desk) -> None:
    _, facts = by(a_task(), OVERDUE_AT)
    await service.on(*facts)

    preview = (await desk.ask("GET", "/v1/digests/preview", params={"agency": "H48.21"})).json()
    html = await desk.ask("GET", "/v1/digests/preview", params={"agency": "H48.21"}, headers={"accept": "text/html"})
    assert service.email.mails == []
    await service.digest()

    [digest] = service.email.mails
    assert (preview["subject"], preview["digest"]) == (digest.subject, digest.data)
    assert (preview["leaves_at"], preview["has_news"]) == ("2024-12-03T01:01:00Z", True)
    assert html.headers["content-type"].startswith("text/html")
    after = (await desk.ask("GET", "/v1/digests/preview", params={"agency": "H48.21"})).json()
    assert after["has_news"] is False
    assert after["digest"]["sections"][0]["lines"][0]["is_new"] is False


async def test_an_agency_previews_its_own_digest_only(desk: Desk) -> None:
    own = await desk.ask("GET", "/v1/digests/preview", agency="H48.21", scope="tasks:read")
    foreign = await desk.ask(
        "GET", "/v1/digests/preview", agency="H48.21", scope="tasks:read", params={"agency": "H48.01"}
    )
    unknown = await desk.ask("GET", "/v1/digests/preview", params={"agency": "H48.99"})

    assert own.status_code == 200
    assert [(one.status_code, one.json()["code"]) for one in (foreign, unknown)] == [
        (403, "not_yours"),
        (404, "not_found"),
    ]


# -- again ---------------------------------------------------------------------------------------------------------


async def test_what_has_failed_is_sent_again_once_the_mailbox_is_mended(service: Service, desk: Desk) -> None:
    service.email.by_mailbox = {"agency@x.example": Refused("no_mailbox")}
    await service.on(*assigned("II.5-1"))
    await service.deliver()
    [alert] = await service.listed()
    assert alert.state == "failed"
    service.email.by_mailbox = {}

    answer = await desk.ask("POST", f"/v1/alerts/{alert.decided.alert.alert_id}/resend")
    assert (answer.status_code, answer.json()["deliveries"]) == (202, 1)
    # At once, whatever the hour; and once.
    service.until(at("2024-12-02 23:00"))
    await service.deliver()

    [first, second] = service.email.seen
    assert first.message_id != second.message_id
    [alert] = await service.listed()
    assert alert.state == "sent"
    again = await desk.ask("POST", f"/v1/alerts/{alert.decided.alert.alert_id}/resend")
    assert again.status_code == 202
    await service.deliver()
    assert len({mail.message_id for mail in service.email.seen}) == 3


async def test_there_is_nothing_to_send_again_of_what_waits_or_is_not_there(service: Service, desk: Desk) -> None:
    await service.on(*assigned("II.5-1"))
    [alert] = await service.listed()

    waits = await desk.ask("POST", f"/v1/alerts/{alert.decided.alert.alert_id}/resend")
    unknown = await desk.ask("POST", "/v1/alerts/H48/TB-1/II.9/H48.21:1/resend")

    assert [(one.status_code, one.json()["code"]) for one in (waits, unknown)] == [
        (409, "nothing_to_resend"),
        (404, "not_found"),
    ]


async def test_without_tokens_everything_is_read_and_nothing_is_written(service: Service) -> None:
    transport = httpx.ASGITransport(Starlette(routes=service.api().routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://notify") as client:
        preview = await client.get("/v1/digests/preview", params={"agency": "H48.21", "province": "H48"})
        silences = await client.get("/v1/silences", params={"province": "H48"})
        written = [
            await client.post("/v1/silences", json={}),
            await client.delete("/v1/silences/x"),
            await client.post("/v1/alerts/x/resend"),
        ]

    assert (preview.status_code, silences.json()) == (200, {"silences": []})
    assert [(one.status_code, one.json()["code"]) for one in written] == [(403, "writing_needs_token")] * 3


async def test_every_answer_is_described(service: Service, desk: Desk) -> None:
    paths = openapi.document()["paths"]

    assert set(paths) == {
        "/v1/alerts",
        "/v1/alerts/{alert_id}/resend",
        "/v1/silences",
        "/v1/silences/{silence_id}",
        "/v1/digests/preview",
    }
    described = openapi.document()["components"]["schemas"]
    silence = (await desk.silence(agency="H48.21")).json()
    assert set(silence) == set(described["Silence"]["properties"])
    await service.on(*assigned("II.5-1"))
    await service.deliver()
    [alert] = (await desk.ask("GET", "/v1/alerts")).json()["alerts"]
    assert set(described["Alert"]["required"]) <= set(alert)
    assert set(described["Alert"]["properties"]["deliveries"]["items"]["properties"]) == set(alert["deliveries"][0])
