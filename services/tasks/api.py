"""Reading tasks and submissions over HTTP. No decisions here; the schedule is computed at the moment of asking.

Who may read what: domain/reading.py and ADR 0010. What a reader may not see is answered like what does not exist.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import date, datetime
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.tasks import openapi, wire
from services.tasks.answers import answer, read_cursor, write_cursor
from services.tasks.domain.deadlines import schedule_at
from services.tasks.domain.decision import Rulebook
from services.tasks.domain.reading import EVERYTHING, SCOPES, Reader, may_read, reader_of
from services.tasks.domain.task import Result, Task
from services.tasks.ports import Change, Entry, LedgerEntry, Registry, Stored, TaskFilter
from shared.contracts.claims import Credential
from shared.runtime.bearer import Endpoint, Verify, for_bearers
from shared.runtime.clock import Clock
from shared.runtime.problems import problem
from shared.workdays.calendar import local_day

PAGE_DEFAULT = 50
PAGE_MAX = 500
FILTERS = frozenset(
    {"agency", "result", "directive", "due_before", "schedule", "cursor", "limit", "province", "awaiting"}
)


class Reading(Protocol):
    """What the API reads."""

    async def tasks(self, ids: list[str]) -> Mapping[str, Stored]: ...

    async def list_tasks(self, wanted: TaskFilter, *, after: str | None, limit: int) -> list[Task]: ...

    async def history(self, task_id: str) -> list[Change] | None: ...

    async def ledger_by_id(
        self, submission_id: str, source: str | None, limit: int, reader: Reader
    ) -> list[LedgerEntry]: ...

    async def entries(self, registry: Registry, ids: Collection[str]) -> Mapping[str, Entry]: ...


class TaskApi:
    """`/v1/tasks` and `/v1/submissions`. `verify`: how tokens are verified; None lets everybody read everything."""

    def __init__(self, store: Any, clock: Clock, rulebook: Rulebook, *, verify: Verify | None) -> None:
        self._store: Reading = store
        self._clock = clock
        self._rulebook = rulebook
        self._verify = verify

    def routes(self) -> list[Route]:
        """All routes; the more specific first, since a task id contains slashes."""
        return [
            Route("/openapi.json", self.openapi),
            Route("/v1/tasks", self.for_readers(self.list_tasks)),
            Route("/v1/tasks/{task_id:path}/history", self.for_readers(self.history)),
            Route("/v1/tasks/{task_id:path}", self.for_readers(self.task)),
            Route("/v1/submissions/{submission_id:path}", self.for_readers(self.submission)),
        ]

    def for_readers(self, endpoint: Callable[[Request, Reader], Awaitable[Response]]) -> Endpoint:
        """The endpoint as it is asked for over HTTP: with a token, from which comes how far the reader sees."""

        async def asked(request: Request, credential: Credential | None) -> Response:
            return await endpoint(request, EVERYTHING if credential is None else await self._reader(credential))

        return for_bearers(asked, self._verify, scopes=SCOPES)

    async def _reader(self, credential: Credential) -> Reader:
        entry_id = f"{credential.province}/{credential.agency}"
        known = (await self._store.entries(Registry.AGENCIES, [entry_id])).get(entry_id)
        role = _role(known, on=local_day(self._clock.now()))
        return reader_of(credential.province, credential.agency, credential.scopes, role)

    async def openapi(self, _: Request) -> Response:
        """The description of this API."""
        return answer(openapi.document())

    async def list_tasks(self, request: Request, reader: Reader) -> Response:
        """A page of tasks in order of id; `next` continues it."""
        query = request.query_params
        if unknown := sorted(set(query) - FILTERS):
            return problem(
                400, "unknown_filter", f"Unknown filter {unknown[0]!r}. Known: {', '.join(sorted(FILTERS))}."
            )
        try:
            limit = min(PAGE_MAX, max(1, int(query.get("limit", PAGE_DEFAULT))))
            after = read_cursor(query["cursor"]) if "cursor" in query else None
            due_before = datetime.fromisoformat(query["due_before"]) if "due_before" in query else None
            result = Result(query["result"]).value if "result" in query else None
            awaiting = _read_awaiting(query["awaiting"]) if "awaiting" in query else False
        except ValueError as error:
            return problem(400, "malformed_filter", f"A filter cannot be read: {error}")
        if due_before is not None and due_before.tzinfo is None:
            return problem(400, "malformed_filter", "due_before needs an offset, e.g. 2024-10-20T00:00:00+07:00.")
        # The token's province always stands; asking for another one gives what the two have in common: nothing.
        province = reader.province or query.get("province")
        wanted = TaskFilter(
            province,
            query.get("agency"),
            result,
            query.get("directive"),
            due_before,
            awaiting_succession=awaiting,
            reader=reader.agency,
        )
        rows: list[dict[str, Any]] = []
        more = query.get("province") in {None, province}
        while more and len(rows) < limit:
            page = await self._store.list_tasks(wanted, after=after, limit=PAGE_MAX if "schedule" in query else limit)
            more = bool(page)
            for task in page:
                after = task.task_id
                row = self._row(task)
                if query.get("schedule") in {None, row["schedule"]}:
                    rows.append(row)
                if len(rows) == limit:
                    break
        return answer({"tasks": rows, "next": write_cursor(after) if more and after else None})

    async def task(self, request: Request, reader: Reader) -> Response:
        """One task, whole."""
        task_id = request.path_params["task_id"]
        stored = (await self._store.tasks([task_id])).get(task_id)
        if stored is None or not may_read(reader, stored.task):
            return _unknown(task_id)
        return answer({**self._row(stored.task), **wire.snapshot(stored.task)})

    async def history(self, request: Request, reader: Reader) -> Response:
        """Every change of a task: who, when received, what, why, and by which deadline with its rule."""
        task_id = request.path_params["task_id"]
        changes = await self._store.history(task_id)
        stored = (await self._store.tasks([task_id])).get(task_id)
        if changes is None or stored is None or not may_read(reader, stored.task):
            return _unknown(task_id)
        task = stored.task
        return answer(
            {
                "task_id": task_id,
                "predecessor": task.predecessor,
                "successor": task.ended.successor if task.ended is not None else None,
                "changes": [_explained(change, task) for change in changes],
            }
        )

    async def submission(self, request: Request, reader: Reader) -> Response:
        """What became of a submission. With `?source=` where several sources use the same id."""
        submission_id = request.path_params["submission_id"]
        entries = await self._store.ledger_by_id(submission_id, request.query_params.get("source"), 10, reader)
        if not entries:
            return problem(
                404,
                "unknown_submission",
                "No submission with this id has been taken up yet. If ingest answered 202, wait.",
            )
        if len(entries) > 1:
            sources = ", ".join(sorted(entry.source for entry in entries))
            return problem(409, "several_sources", f"Several sources used this id; add ?source=. Sources: {sources}.")
        entry = entries[0]
        return answer(
            {
                "id": entry.id,
                "source": entry.source,
                "type": entry.type,
                "agency": entry.agency,
                "task_id": entry.task_id,
                "received_at": entry.received_at,
                "outcome": entry.outcome,
                "reason": entry.reason,
                "detail": entry.detail,
                "id_reused": entry.reused,
            }
        )

    def _row(self, task: Task) -> dict[str, Any]:
        schedule, days_late = schedule_at(task, self._clock.now(), self._rulebook.of(task.province).calendar)
        due = task.deadline
        return {
            "task_id": task.task_id,
            "title": task.title,
            "agency": task.agency,
            "directive": task.directive,
            "clause": task.clause,
            "period": task.period,
            "result": task.result,
            "schedule": schedule,
            "days_late": days_late,
            "nominal": due.nominal if due else None,
            "legal": due.legal if due else None,
            "operational": due.operational if due else None,
            "original": task.deadlines[0].nominal if task.deadlines else None,
            "policy": due.policy if due else None,
            "times_extended": task.times_extended,
        }


def _role(known: Entry | None, *, on: date) -> str | None:
    """What the registry says that an agency is on a day; None for one that is not there, or no more."""
    if known is None or (known.data["valid_to"] is not None and date.fromisoformat(known.data["valid_to"]) < on):
        return None
    return str(known.data["role"])


def _unknown(task_id: str) -> Response:
    return problem(404, "unknown_task", f"No task {task_id} is known. Check the id, or wait for its directive.")


def _explained(change: Change, task: Task) -> dict[str, Any]:
    """A line of history with the rule that it rests on."""
    return {**change._asdict(), "deadline": task.deadline_behind(change.event_id)}


def _read_awaiting(what: str) -> bool:
    if what != "succession":
        raise ValueError(f"nothing is known to await {what!r}; ask for awaiting=succession")
    return True
