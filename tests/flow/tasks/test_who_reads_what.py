"""Who may read what over HTTP: every reader, every object, every endpoint, on a real mongod (ADR 0010)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pydantic_core
import pytest
from starlette.applications import Starlette

from deploy.local.issuer import Issuer
from services.tasks import openapi
from services.tasks.api import TaskApi
from services.tasks.mongo import MongoTaskStore
from services.tasks.ports import EntryWrite, Position, Registry, Untold
from services.tasks.previews import PreviewApi
from shared.runtime.bearer import COUNTS
from shared.runtime.clock import ScaledClock
from shared.runtime.mongodb import Database
from shared.runtime.settings import CredentialSettings
from shared.runtime.tokens import TokenVerifier
from tests.flow.tasks.harness import Service, agency, directive, obligation, say
from tests.flow.tasks.test_reading_tasks import as_described
from tests.support.builders import RULEBOOK, at
from tests.support.database import fresh_database
from tests.support.workload import OFFICE, STANDING

pytestmark = [pytest.mark.connected, pytest.mark.timeout(180)]

LED, HELPER, JUDGE, OUTSIDER = "H48.21", "H48.22", "H48.23", "H48.24"
AGENCIES = (LED, HELPER, JUDGE, OUTSIDER)
PROVINCES = ("H48", "H49")


@dataclass(frozen=True)
class Role:
    """Somebody with a token."""

    province: str
    agency: str
    scopes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.province} {self.agency} {'+'.join(self.scopes)}"

    @property
    def sees_province(self) -> bool:
        supervises = self.agency in {OFFICE, STANDING} and "tasks:read" in self.scopes
        return supervises or "authority:write" in self.scopes


ROLES = [
    Role(province, code, scopes)
    for province in PROVINCES
    for code in (*AGENCIES, OFFICE, STANDING, "H48.99")
    for scopes in (("tasks:read",), ("events:write",), ("authority:write",), ("events:write", "tasks:read"))
]


@dataclass(frozen=True)
class Object:
    """A task and whom it concerns."""

    clause: str
    lead: str
    cooperating: tuple[str, ...] = ()
    reviewer: str = STANDING

    def task_id(self, province: str) -> str:
        return f"{province}/TB-1/{self.clause}/{self.lead}"

    @property
    def concerns(self) -> set[str]:
        return {self.lead, *self.cooperating, self.reviewer}


OBJECTS = [
    Object("II.1.a", LED),
    Object("II.1.b", LED, (HELPER, OUTSIDER)),
    Object("II.1.c", LED, (HELPER,), JUDGE),
    Object("II.1.d", HELPER, (LED,)),
    Object("II.1.e", OUTSIDER, (), JUDGE),
    Object("II.1.g", STANDING),
]


def shown_to(role: Role) -> list[str]:
    """What the design says that a reader sees, told in another way than the code does."""
    return [
        one.task_id(role.province)
        for one in sorted(OBJECTS, key=lambda one: one.task_id(""))
        if role.sees_province or role.agency in one.concerns
    ]


def submission_id(province: str, one: Object) -> str:
    return f"ack-{province}-{one.clause}"


def in_province(province: str, said: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    key, event = said
    source = f"{event['source']}-{province}"
    return (key if "/" in key else province), {**event, "province": province, "source": source}


@dataclass
class World:
    """Two provinces that look alike, behind one API."""

    database: Database
    store: MongoTaskStore
    issuer: Issuer
    client: httpx.AsyncClient

    async def get(self, path: str, role: Role | None, **params: str) -> httpx.Response:
        headers = {}
        if role is not None:
            headers["authorization"] = f"Bearer {self.issuer.mint(role.agency, role.province, role.scopes)}"
        return await self.client.get(path, params=params, headers=headers)

    async def listed(self, role: Role, **params: str) -> list[str]:
        """All pages of a list, one task each, so that a page that was filtered afterwards would show."""
        found: list[str] = []
        cursor: dict[str, str] = {}
        for _ in range(20):
            answer = (await self.get("/v1/tasks", role, limit="1", **params, **cursor)).json()
            found += [one["task_id"] for one in answer["tasks"]]
            if answer["next"] is None:
                return found
            assert len(answer["tasks"]) == 1, "a page in the middle is full"
            cursor = {"cursor": answer["next"]}
        raise AssertionError("the pages do not end")


@pytest.fixture(scope="module")
async def world(mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with fresh_database(mongo_uri) as database:
        store = MongoTaskStore(database)
        await store.prepare()
        service = Service(store)
        for province in PROVINCES:
            registry = (agency(OFFICE, "chairman_office"), agency(STANDING, "standing"), *map(agency, AGENCIES))
            clauses = [
                obligation(one.clause, [one.lead], cooperating=list(one.cooperating), reviewer=one.reviewer)
                for one in OBJECTS
            ]
            acknowledged = [
                say(
                    "task.acknowledged",
                    {"task_id": one.task_id(province)},
                    by=one.lead,
                    event_id=submission_id(province, one),
                )
                for one in OBJECTS
            ]
            # The same id from each of its agencies: a client's own numbering knows nothing of its neighbours'.
            same = [
                say(
                    "task.progress_reported",
                    {"task_id": one.task_id(province), "percent": 5},
                    by=one.lead,
                    event_id="1",
                )
                for one in (OBJECTS[0], OBJECTS[3], OBJECTS[4])
            ]
            orders = (*registry, directive(*clauses, event_id=f"directive-{province}"))
            await service.on(*(in_province(province, one) for one in (*orders, *acknowledged, *same)))
        issuer = Issuer.open(tmp_path_factory.mktemp("issuer"))
        async with a_client(store, issuer) as client:
            yield World(database, store, issuer, client)


def a_client(store: MongoTaskStore, issuer: Issuer) -> httpx.AsyncClient:
    settings = CredentialSettings(jwks_file=issuer.jwks_file, jwt_issuer=issuer.issuer)
    verify = TokenVerifier.of(settings, COUNTS, tokens_cached_max=100)
    clock = ScaledClock(at("2024-10-16 08:00"), 0, 0)
    api = TaskApi(store, clock, RULEBOOK, verify=verify)
    routes = [*api.routes(), *PreviewApi(store, clock, RULEBOOK, api.for_readers).routes()]
    return httpx.AsyncClient(transport=httpx.ASGITransport(Starlette(routes=routes)), base_url="http://tasks")


@pytest.mark.parametrize("role", ROLES, ids=str)
async def test_a_list_holds_what_its_reader_may_see_and_all_of_it(world: World, role: Role) -> None:
    """INVARIANT: an agency never reads another's task, and nobody another province's.

    If this breaks, an agency's obstacles, money and delays are open to every other one.
    """
    assert await world.listed(role) == shown_to(role)


@pytest.mark.parametrize("role", ROLES, ids=str)
async def test_a_task_and_its_history_are_shown_or_are_as_if_not_there(world: World, role: Role) -> None:
    """INVARIANT: the same as for lists; and what may not be seen answers as what does not exist."""
    for task_id in (one.task_id(province) for one in OBJECTS for province in PROVINCES):
        for tail in ("", "/history"):
            answer = await world.get(f"/v1/tasks/{task_id}{tail}", role)
            nothing = await world.get(f"/v1/tasks/{task_id}9{tail}", role)

            if task_id in shown_to(role):
                assert answer.status_code == 200, (task_id, tail)
            else:
                assert (answer.status_code, answer.json()["code"]) == (404, "unknown_task"), (task_id, tail)
                assert answer.json() == {**nothing.json(), "detail": nothing.json()["detail"].replace("9 is", " is")}


@pytest.mark.parametrize("role", ROLES, ids=str)
async def test_a_submission_is_followed_by_its_sender_and_by_who_sees_the_province(world: World, role: Role) -> None:
    """INVARIANT: what an agency sent is seen by no other agency."""
    for one in OBJECTS:
        for province in PROVINCES:
            answer = await world.get(f"/v1/submissions/{submission_id(province, one)}", role)

            if province == role.province and (role.sees_province or role.agency == one.lead):
                assert (answer.status_code, answer.json()["outcome"]) == (200, "applied")
            else:
                assert (answer.status_code, answer.json()["code"]) == (404, "unknown_submission")


@pytest.mark.parametrize("role", ROLES, ids=str)
async def test_an_id_that_others_use_too_is_ones_own(world: World, role: Role) -> None:
    """Otherwise the answer "several sources" would name the systems of other agencies."""
    answer = await world.get("/v1/submissions/1", role)

    senders = {OBJECTS[0].lead, OBJECTS[3].lead, OBJECTS[4].lead}
    if role.sees_province:
        assert (answer.status_code, answer.json()["code"]) == (409, "several_sources")
        others = {province for province in PROVINCES if province != role.province}
        assert not any(f"-{province}" in answer.json()["detail"] for province in others)
    elif role.agency in senders:
        assert (answer.status_code, answer.json()["agency"]) == (200, role.agency)
    else:
        assert answer.status_code == 404


@pytest.mark.parametrize("role", ROLES, ids=str)
async def test_a_filter_takes_away_and_never_adds(world: World, role: Role) -> None:
    seen = shown_to(role)

    for province in PROVINCES:
        assert await world.listed(role, province=province) == (seen if province == role.province else [])
    for code in AGENCIES:
        assert await world.listed(role, agency=code) == [one for one in seen if one.endswith(f"/{code}")]
    for more in ({"directive": "TB-1"}, {"schedule": "due_soon"}, {"result": "in_progress"}, {"result": "assigned"}):
        assert set(await world.listed(role, **more)) <= set(seen)


async def test_a_cursor_of_somebody_else_opens_nothing(world: World) -> None:
    office, outsider = Role("H48", OFFICE, ("tasks:read",)), Role("H48", OUTSIDER, ("tasks:read",))
    foreign = (await world.get("/v1/tasks", office, limit="1")).json()["next"]

    answer = (await world.get("/v1/tasks", outsider, cursor=foreign)).json()

    assert [one["task_id"] for one in answer["tasks"]] == shown_to(outsider)


async def test_an_agencys_page_is_read_off_an_index(world: World) -> None:
    """Filtering after reading would cost an agency a walk through the whole province."""
    helper = Role("H48", HELPER, ("tasks:read",))
    cursor = (await world.get("/v1/tasks", helper, limit="1")).json()["next"]

    await world.database.command("profile", 2)
    page = (await world.get("/v1/tasks", helper, limit="2", cursor=cursor)).json()["tasks"]
    await world.database.command("profile", 0)

    [asked] = await world.database["system.profile"].find({"ns": f"{world.database.name}.tasks"}).to_list(10)
    assert len(page) == asked["nreturned"] == asked["docsExamined"] == 2
    assert not asked.get("hasSortStage", False)


ONE = f"/v1/tasks/{OBJECTS[0].task_id('H48')}"
GUARDED = ("/v1/tasks", ONE, f"{ONE}/history", "/v1/submissions/1")


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize(
    ("authorization", "status", "code", "challenge"),
    [
        (None, 401, "token_missing", 'Bearer realm="dondoc"'),
        ("Basic YTpi", 401, "token_missing", 'Bearer realm="dondoc"'),
        ("Bearer a.b.c", 401, "token_malformed", 'Bearer realm="dondoc", error="invalid_token"'),
        ("stranger", 401, "token_unknown_key", 'Bearer realm="dondoc", error="invalid_token"'),
        (
            "reports",
            403,
            "scope_missing",
            'Bearer realm="dondoc", error="insufficient_scope", scope="tasks:read events:write authority:write"',
        ),
    ],
)
async def test_who_may_not_read_is_told_why_and_counted(
    world: World, tmp_path: Path, path: str, authorization: str | None, status: int, code: str, challenge: str
) -> None:
    minted = {
        "stranger": f"Bearer {Issuer.open(tmp_path).mint(OFFICE, 'H48', ['tasks:read'])}",
        "reports": f"Bearer {world.issuer.mint(OFFICE, 'H48', ['reports:read'])}",
    }
    headers = {"authorization": minted.get(authorization, authorization)} if authorization else {}

    answer = await world.client.get(path, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == challenge
    as_described(answer.json(), "Problem")


async def test_without_keys_nobody_is_let_in_and_asked_to_come_again(world: World, tmp_path: Path) -> None:
    issuer = Issuer.open(tmp_path)
    token = issuer.mint(OFFICE, "H48", ["tasks:read"])
    issuer.jwks_file.unlink()

    async with a_client(world.store, issuer) as client:
        answer = await client.get("/v1/tasks", headers={"authorization": f"Bearer {token}"})

    assert (answer.status_code, answer.json()["code"]) == (503, "keys_missing")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_preview_of_a_calendar_shows_only_what_its_reader_may_see(world: World) -> None:
    change = {"days_off": [{"day": "2024-10-18", "source": "x"}]}
    looked_at = {}
    for asking, scope in ((OUTSIDER, "tasks:read"), (LED, "tasks:read"), (OFFICE, "authority:write")):
        token = world.issuer.mint(asking, "H48", [scope])
        answer = await world.client.post(
            "/v1/calendar-changes", json=change, headers={"authorization": f"Bearer {token}"}
        )
        looked_at[asking] = answer.json()["looked_at"]

    assert (await world.client.post("/v1/calendar-changes", json=change)).status_code == 401
    assert looked_at[OUTSIDER] < looked_at[LED] <= looked_at[OFFICE]


async def test_what_belongs_to_nobody_stays_open(world: World) -> None:
    assert (await world.client.get("/openapi.json")).status_code == 200
    answer = await world.client.post("/v1/due-dates", json={"due": {"kind": "open_ended"}})
    assert answer.status_code == 200


def test_every_operation_says_whether_it_needs_a_token_and_what_the_refused_hear() -> None:
    operations = {
        path: operation for path, methods in openapi.document()["paths"].items() for operation in methods.values()
    }

    open_ones = {path for path, operation in operations.items() if operation["security"] == []}
    assert open_ones == {"/v1/due-dates"}
    for path, operation in operations.items():
        if path not in open_ones:
            assert operation["security"] == [{"bearer": []}]
            assert {"401", "403", "503"} <= operation["responses"].keys()
    assert "bearer" in openapi.document()["components"]["securitySchemes"]


async def test_a_submission_that_nobody_could_process_is_told_to_its_sender(world: World) -> None:
    """Otherwise a 202 would be followed by "not taken up yet" for ever."""
    service = Service(world.store)
    _, event = say("task.acknowledged", {"task_id": "?"}, by=LED, event_id="poison")
    await service.handlers.on_dead(pydantic_core.to_json(event), Position(0, 10_000), "malformed", "no task id")

    answers = {
        code: await world.get("/v1/submissions/poison", Role(province, code, ("events:write",)))
        for province, code in (("H48", LED), ("H48", HELPER))
    }
    elsewhere = await world.get("/v1/submissions/poison", Role("H49", LED, ("authority:write",)))

    assert (answers[LED].status_code, answers[LED].json()["outcome"]) == (200, "dead")
    assert answers[HELPER].status_code == elsewhere.status_code == 404


async def test_who_supervises_no_more_reads_as_an_agency(world: World) -> None:
    """INVARIANT: the role of an agency that was abolished opens nothing."""
    for code, last_day in (("H48.50", "2024-10-16"), ("H48.51", "2024-10-15")):
        record = {"province": "H48", "code": code, "role": "standing", "valid_to": last_day}
        write = EntryWrite(f"H48/{code}", record, 0, (), Untold(""), None)
        assert await world.store.save_entry(Registry.AGENCIES, write)

    assert len(await world.listed(Role("H48", "H48.50", ("tasks:read",)))) == len(OBJECTS)
    assert await world.listed(Role("H48", "H48.51", ("tasks:read",))) == []
