"""Whatever the contract allows, in any order and twice: nothing raises, all is answered, what must hold holds."""

import enum
import random
import types
import typing
from datetime import date, time, timedelta
from functools import cache
from typing import Annotated, Any, Literal, cast

import pydantic_core
import pytest
from pydantic import TypeAdapter

from services.tasks.mongo import MongoTaskStore
from shared.contracts import identifiers
from shared.contracts.codec import decode
from shared.contracts.events import EVENTS, EventType, KeyedBy
from shared.contracts.model import Day, Part
from shared.contracts.topics import SUBMISSIONS
from tests.flow.tasks.harness import Service
from tests.flow.tasks.memory import MemoryTaskStore
from tests.support.builders import at
from tests.support.workload import OFFICE, STANDING, event

START = at("2024-10-14 08:00")
AGENCIES = (OFFICE, STANDING, "H48.21", "H48.22", "H48.23")
DIRECTIVES, CLAUSES = ("TB-1", "TB-1", "TB-2"), ("I.1", "II.2.đ", "III-2")
PERIODS = ("2024-10", "2024-11-05", "2024-Q4", "2024-H2", "2024", "2026-W53", "2024-10-20", "2024-02-29", "2199")
DAYS = ("1900-01-01", "1999-12-31", "2000-01-01", "2024-02-29", "2024-10-14", "2024-10-20", "2024-11-05", "2199-12-31")
TEXTS = ("", "chữ", "@all", "@districts", "TB", "so@quangngai.gov.vn", "0" * 64)
HOURS = ("00:00", "10:00", "16:30", "23:59:59")
NUMBERS = (0, 1, 2, 5, 7, 28, 30, 31, 60, 3660, 2024, 10**15)


def _day(chance: random.Random) -> str:
    usual = (date(2024, 10, 1) + timedelta(days=chance.randrange(150))).isoformat()
    return chance.choice(DAYS) if chance.random() < 0.3 else usual


def _task_id(chance: random.Random) -> str:
    parts = ["H48", chance.choice(DIRECTIVES), chance.choice(CLAUSES), chance.choice(AGENCIES)]
    return "/".join([*parts, chance.choice(PERIODS)] if chance.random() < 0.3 else parts)


NAMED: list[tuple[Any, typing.Callable[[random.Random], str]]] = [
    (identifiers.AgencyCode, lambda chance: chance.choice(AGENCIES)),
    (identifiers.DirectiveSlug, lambda chance: chance.choice(DIRECTIVES)),
    (identifiers.ClauseId, lambda chance: chance.choice(CLAUSES)),
    (identifiers.PeriodId, lambda chance: chance.choice(PERIODS)),
    (identifiers.OwnId, lambda chance: chance.choice(("one", "two"))),
    (identifiers.TaskId, _task_id),
    (Day, _day),
]
"""Small pools, so that submissions meet."""


class UnfitError(Exception):
    """Made something that the contract refuses."""


def some(chance: random.Random, hint: Any) -> Any:
    """A JSON value of a type hint."""
    for known, make in NAMED:
        if hint == known:
            return make(chance)
    whole = hint
    if typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        return some(chance, chance.choice(args))
    if origin is Literal:
        return chance.choice(args)
    if origin is tuple:
        return [some(chance, args[0]) for _ in range(chance.randrange(4))]
    if hint is type(None):
        return None
    if hint is bool:
        return chance.random() < 0.5
    if hint is time:
        return chance.choice(HOURS)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return chance.choice([one.value for one in hint])
    if isinstance(hint, type) and issubclass(hint, Part):
        return data_of(chance, hint)
    return _fitting(chance, whole, TEXTS if hint is str else NUMBERS)


def _fitting(chance: random.Random, hint: Any, pool: tuple[Any, ...]) -> Any:
    adapter: TypeAdapter[Any] = TypeAdapter(hint)
    for value in chance.sample(pool, len(pool)):
        try:
            adapter.validate_python(value)
        except ValueError:
            continue
        return value
    raise AssertionError(f"nothing in {pool} is a {hint}")


@cache
def _hints(part: type[Part]) -> dict[str, Any]:
    return typing.get_type_hints(part, include_extras=True)


def data_of(chance: random.Random, part: type[Part]) -> dict[str, Any]:
    """Data of a model that its own rules let through."""
    for _ in range(200):
        data = {
            name: some(chance, _hints(part)[name])
            for name, field in part.model_fields.items()
            if field.is_required() or chance.random() < 0.6
        }
        try:
            part.model_validate_json(pydantic_core.to_json(data))
        except ValueError:
            continue
        return data
    raise AssertionError(f"no {part.__name__} in 200 tries")


SAID = [one for one in EVENTS if one.topic is SUBMISSIONS]
REGISTERED, ISSUED = (
    next(one for one in SAID if one.slug == slug) for slug in ("agency.registered.v1", "directive.issued.v1")
)
ROLES = ("chairman_office", "standing", "agency", "agency", "agency")
Said = tuple[EventType, dict[str, Any], str]


def submissions(chance: random.Random) -> list[Said]:
    """A registry and a directive, then anything."""
    said: list[Said] = [
        (REGISTERED, {"code": code, "name": code, "role": role, "groups": ["@all"], "valid_from": "2024-01-01"}, OFFICE)
        for code, role in zip(AGENCIES, ROLES, strict=True)
    ]
    kinds = [ISSUED, *(chance.choice([ISSUED, *SAID]) for _ in range(40))]
    for kind in kinds:
        data = data_of(chance, kind.model)
        if kind is ISSUED:
            # One from the future, or without a clause, is only rejected.
            data |= {"issued_on": "2024-10-14"}
        said.append((kind, data, chance.choice(AGENCIES)))
    return said


def _key(kind: EventType, data: dict[str, Any], agency: str) -> str:
    return str({KeyedBy.TASK: data.get("task_id"), KeyedBy.PROVINCE: "H48", KeyedBy.AGENCY: agency}[kind.keyed_by])


@pytest.mark.parametrize("seed", range(150))
async def test_any_submission_is_answered(seed: int) -> None:
    chance = random.Random(seed)
    service = Service(cast(MongoTaskStore, MemoryTaskStore()))
    received = START
    said = submissions(chance)
    for number, (kind, data, agency) in enumerate(said):
        received += timedelta(minutes=chance.choice((0, 1, 30, 600, 3000)) if number > len(AGENCIES) else 1)
        slug = kind.slug.removesuffix(".v1")
        content = event(slug, data, agency=agency, received_at=received, event_id=str(number))
        records = await service.on((_key(kind, data, agency), content))
        await service.handlers.on_submissions(records)
        if chance.random() < 0.3:
            await service.time_passes(f"{received + timedelta(hours=7):%Y-%m-%d %H:%M}")
    for day in range(1, 4):
        await service.time_passes(f"{received + timedelta(days=day):%Y-%m-%d %H:%M}")

    for number, one in enumerate(said):
        assert (await service.outcome(str(number)))[0] in {"applied", "rejected"}, one
    seen: dict[str, int] = {}
    originals: dict[str, Any] = {}
    for told in service.told:
        task = getattr(decode(told.topic, told.value).data, "task", None)
        if task is None:
            continue
        assert task.seq <= seen.get(task.task_id, 0) + 1, f"{task.task_id} skips a number"
        seen[task.task_id] = max(seen.get(task.task_id, 0), task.seq)
        if task.deadlines:
            assert originals.setdefault(task.task_id, task.deadlines[0]) == task.deadlines[0], "the original stays"
            assert [one.version for one in task.deadlines] == [*range(1, len(task.deadlines) + 1)]
