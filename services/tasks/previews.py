"""What would be: the days a due rule gives, the deadlines a changed calendar moves. Nothing is stored."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.tasks import wire
from services.tasks.answers import answer, read_cursor, write_cursor
from services.tasks.domain.decision import Rulebook
from services.tasks.domain.preview import days_of, moved_by
from services.tasks.domain.reading import Reader
from services.tasks.domain.task import Cause, Task
from services.tasks.ports import ObligationState, TaskFilter
from shared.contracts.codec import explain
from shared.runtime.bearer import Endpoint
from shared.runtime.clock import Clock
from shared.runtime.problems import problem
from shared.workdays.calendar import local_day, start_of

BODY_MAX_BYTES = 100_000
TASKS_LOOKED_AT = 2_000
"""Of one request; `next` goes on."""

Asked = TypeVar("Asked", bound=BaseModel)
ForReaders = Callable[[Callable[[Request, Reader], Awaitable[Response]]], Endpoint]


class Planning(Protocol):
    """What a preview reads."""

    async def list_tasks(self, wanted: TaskFilter, *, after: str | None, limit: int) -> list[Task]: ...

    async def obligations(self, ids: Collection[str]) -> Mapping[str, ObligationState]: ...


class PreviewApi:
    """`/v1/due-dates` and `/v1/calendar-changes`. `for_readers`: lets in who may read tasks, as far as they see."""

    def __init__(self, store: Planning, clock: Clock, rulebook: Rulebook, for_readers: ForReaders) -> None:
        self._store = store
        self._clock = clock
        self._rulebook = rulebook
        self._for_readers = for_readers

    def routes(self) -> list[Route]:
        """Both."""
        return [
            Route("/v1/due-dates", self.due_dates, methods=["POST"]),
            Route("/v1/calendar-changes", self._for_readers(self.calendar_changes), methods=["POST"]),
        ]

    async def due_dates(self, request: Request) -> Response:
        """What days a due rule gives."""
        asked = await _asked(request, wire.DueDatesAsked, "invalid_rule")
        if isinstance(asked, Response):
            return asked
        now = self._clock.now()
        calendar = self._rulebook.common.calendar
        issued_on = asked.issued_on or local_day(now)
        assigned = Cause("preview", "preview", start_of(issued_on), now)
        rule = wire.due_rule(asked.due, issued_on)
        days = days_of(rule, calendar, assigned=assigned, count=asked.count)
        return answer(
            {
                "issued_on": issued_on,
                "calendar": calendar.version,
                "dates": [wire.due_date(day) for day in days],
            }
        )

    async def calendar_changes(self, request: Request, reader: Reader) -> Response:
        """Which open tasks' dates would move if these days were decided."""
        asked = await _asked(request, wire.CalendarChange, "invalid_calendar")
        if isinstance(asked, Response):
            return asked
        try:
            after = read_cursor(asked.cursor) if asked.cursor else None
        except ValueError as error:
            return problem(400, "malformed_filter", f"A filter cannot be read: {error}")
        province = reader.province or asked.province
        wanted = TaskFilter(province, open_with_deadline=True, reader=reader.agency)
        tasks = await self._store.list_tasks(wanted, after=after, limit=TASKS_LOOKED_AT)
        obligations = await self._store.obligations({task.obligation_id for task in tasks})
        off = [one.day for one in asked.days_off]
        worked = [one.day for one in asked.days_worked]
        now = self._clock.now()
        cause = Cause("preview", "preview", now, now)
        moved = []
        for task in tasks:
            rules = self._rulebook.of(task.province)
            state = obligations.get(task.obligation_id)
            obligation = state.obligation if state is not None else None
            try:
                found = moved_by(task, obligation, rules, off, worked, cause=cause)
            except ValueError as error:
                return problem(422, "invalid_calendar", f"No office would work for weeks on end: {error}")
            if found is not None:
                moved.append(wire.moved_date(task, found))
        more = len(tasks) == TASKS_LOOKED_AT
        return answer(
            {
                "looked_at": len(tasks),
                "moved": moved,
                "next": write_cursor(tasks[-1].task_id) if more else None,
            }
        )


async def _asked(request: Request, model: type[Asked], code: str) -> Asked | Response:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAX_BYTES:
            return problem(413, "body_too_large", f"What is asked here has at most {BODY_MAX_BYTES} bytes.")
    try:
        return model.model_validate_json(body, strict=True, extra="forbid")
    except ValidationError as error:
        return problem(422, code, explain(error))
