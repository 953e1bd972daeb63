"""OpenAPI 3.1 of tasks, from the models that the topics use."""

from typing import Any

from services.tasks import wire
from services.tasks.domain.reading import SCOPES
from services.tasks.domain.task import Result, Schedule
from services.tasks.ports import Outcome
from shared.runtime.bearer import SECURITY, SECURITY_SCHEME, refusals

_TASK_ID = {
    "name": "task_id",
    "in": "path",
    "required": True,
    "description": "`{province}/{directive}/{clause}/{agency}[/{period}]`, slashes as they are.",
    "schema": {"type": "string"},
    "example": "H48/TB-UBND-2024-10-11/II.2.a/H48.07/2024-11",
}
_DAY = {"type": ["string", "null"], "format": "date"}
_READING = (
    f"Reading needs a token with one of the scopes {', '.join(f'`{scope}`' for scope in SCOPES)}. The province is the "
    "token's. An agency sees the tasks that it leads, cooperates in or judges, and what it sent itself. The whole "
    "province is seen with `authority:write`, and with `tasks:read` where the registry says that the token's agency "
    "is the standing agency or the chairman's office."
)
_INSTANT = {"type": "string", "format": "date-time"}
_TEXT = {"type": "string"}


def document() -> dict[str, Any]:
    """The whole description."""
    snapshot = wire.snapshot_schema("#/components/schemas/{model}")
    asked = wire.DueDatesAsked.model_json_schema(ref_template="#/components/schemas/{model}")
    parts: dict[str, Any] = {**snapshot.pop("$defs", {}), **asked.pop("$defs", {})}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Đôn đốc: tasks", "version": "1", "description": _READING},
        "paths": {
            "/v1/tasks": {"get": _list()},
            "/v1/tasks/{task_id}": {
                "get": {
                    "operationId": "getTask",
                    "summary": "One task, whole: every fact with when it was received and recorded.",
                    "security": SECURITY,
                    "parameters": [_TASK_ID],
                    "responses": {
                        "200": _content("The task.", "Task"),
                        **_refusals(),
                        "404": _problem("`unknown_task`, also where it is not the reader's to see"),
                    },
                }
            },
            "/v1/tasks/{task_id}/history": {
                "get": {
                    "operationId": "getTaskHistory",
                    "summary": "Every change in order: who, when received, what, why, by which rule.",
                    "security": SECURITY,
                    "parameters": [_TASK_ID],
                    "responses": {
                        "200": _content("The history.", "History"),
                        **_refusals(),
                        "404": _problem("`unknown_task`, also where it is not the reader's to see"),
                    },
                }
            },
            "/v1/due-dates": {"post": _due_dates()},
            "/v1/submissions/{id}": {
                "get": {
                    "operationId": "getSubmission",
                    "summary": "What became of a submission: for its sender, and for who supervises the province.",
                    "security": SECURITY,
                    "parameters": [
                        {"name": "id", "in": "path", "required": True, "schema": _TEXT, "example": "e-2024-0001"},
                        {
                            "name": "source",
                            "in": "query",
                            "description": "Needed where several sources used the same id.",
                            "schema": _TEXT,
                        },
                    ],
                    "responses": {
                        "200": _content("The submission.", "Submission"),
                        **_refusals(),
                        "404": _problem("`unknown_submission`, also where it is not the reader's to see"),
                        "409": _problem("`several_sources`"),
                    },
                }
            },
        },
        "components": {
            "securitySchemes": {"bearer": SECURITY_SCHEME},
            "schemas": {
                **parts,
                "TaskRow": _row(),
                "TaskPage": {
                    "type": "object",
                    "required": ["tasks", "next"],
                    "properties": {
                        "tasks": {"type": "array", "items": {"$ref": "#/components/schemas/TaskRow"}},
                        "next": {"type": ["string", "null"], "description": "Give it as `cursor` to go on."},
                    },
                },
                "Snapshot": snapshot,
                "Task": {
                    "allOf": [{"$ref": "#/components/schemas/TaskRow"}, {"$ref": "#/components/schemas/Snapshot"}]
                },
                "History": _history(),
                "Submission": _submission(),
                "DueDatesAsked": asked,
                "DueDates": _dates(),
                "Problem": _problem_schema(),
            },
        },
    }


def _refusals() -> dict[str, Any]:
    return refusals(_problem)


def _list() -> dict[str, Any]:
    filters: dict[str, dict[str, Any]] = {
        "province": _TEXT,
        "agency": _TEXT,
        "directive": _TEXT,
        "result": {"enum": [one.value for one in Result]},
        "schedule": {"enum": [one.value for one in Schedule]},
        "due_before": _INSTANT,
        "cursor": _TEXT,
        "limit": {"type": "integer", "minimum": 1, "maximum": 500, "default": 50},
    }
    return {
        "operationId": "listTasks",
        "summary": "Tasks in order of id, page by page; the schedule is computed at the moment of asking.",
        "description": "Only tasks that the reader may see. A filter takes away from these and never adds: another "
        "province or agency gives an empty page.",
        "security": SECURITY,
        "parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in filters.items()],
        "responses": {
            "200": _content("A page.", "TaskPage"),
            "400": _problem("`unknown_filter`, `malformed_filter`"),
            **_refusals(),
        },
    }


def _due_dates() -> dict[str, Any]:
    example = {
        "due": {"kind": "recurring", "every": "monthly", "boundary": "before", "day": 20, "starts_on": "2024-10-14"},
        "issued_on": "2024-10-14",
        "count": 3,
    }
    schema = {"$ref": "#/components/schemas/DueDatesAsked"}
    return {
        "operationId": "previewDueDates",
        "summary": "What days a due rule gives, with the reading of each. Nothing is stored; no token is needed.",
        "security": [],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": example}},
        },
        "responses": {
            "200": _content("The days; none for a rule without a day.", "DueDates"),
            "413": _problem("`body_too_large`"),
            "422": _problem("`invalid_rule`"),
        },
    }


def _dates() -> dict[str, Any]:
    day = {"type": "string", "format": "date"}
    fields: dict[str, dict[str, Any]] = {
        "period": {"type": ["string", "null"]},
        "opens_on": _DAY,
        "nominal": {**day, "description": "The last day that the words allow."},
        "legal": {**day, "description": "What counts: moved to a working day where the policy moves it."},
        "operational": {**day, "description": "The last working day on or before the nominal day."},
        "due_at": {**_INSTANT, "description": "From this instant on a result is late."},
        "policy": _TEXT,
        "citation": _TEXT,
        "decided": {
            "type": "boolean",
            "description": "False where a later decision on holidays or swapped days may still move a date.",
        },
    }
    return {
        "type": "object",
        "required": ["issued_on", "calendar", "dates"],
        "properties": {
            "issued_on": day,
            "calendar": {"type": "string", "description": "Version of the working calendar."},
            "dates": {
                "type": "array",
                "items": {"type": "object", "required": list(fields), "properties": fields},
            },
        },
    }


def _row() -> dict[str, Any]:
    fields: dict[str, dict[str, Any]] = {
        "task_id": _TEXT,
        "title": _TEXT,
        "agency": _TEXT,
        "directive": _TEXT,
        "clause": _TEXT,
        "period": {"type": ["string", "null"]},
        "result": {"enum": [one.value for one in Result]},
        "schedule": {"enum": [one.value for one in Schedule]},
        "days_late": {"type": "integer", "minimum": 0, "description": "Calendar days after the legal day."},
        "nominal": _DAY,
        "legal": _DAY,
        "operational": _DAY,
        "original": _DAY,
        "policy": {"type": ["string", "null"]},
        "times_extended": {"type": "integer", "minimum": 0},
    }
    return {"type": "object", "required": list(fields), "properties": fields}


def _history() -> dict[str, Any]:
    fields: dict[str, dict[str, Any]] = {
        "seq": {"type": "integer", "minimum": 1},
        "what": _TEXT,
        "reason": _TEXT,
        "event_id": _TEXT,
        "actor": _TEXT,
        "received_at": _INSTANT,
        "recorded_at": _INSTANT,
        "previous": _TEXT,
        "new": _TEXT,
        "deadline": {
            "description": "The deadline that this gave or fired on, with its reading and source; null where none is.",
            "anyOf": [{"$ref": "#/components/schemas/DeadlineVersion"}, {"type": "null"}],
        },
    }
    change = {"type": "object", "required": list(fields), "properties": fields}
    return {
        "type": "object",
        "required": ["task_id", "changes"],
        "properties": {"task_id": _TEXT, "changes": {"type": "array", "items": change}},
    }


def _submission() -> dict[str, Any]:
    fields: dict[str, dict[str, Any]] = {
        "id": _TEXT,
        "source": _TEXT,
        "type": _TEXT,
        "agency": _TEXT,
        "task_id": {"type": ["string", "null"]},
        "received_at": _INSTANT,
        "outcome": {"enum": [one.value for one in Outcome]},
        "reason": _TEXT,
        "detail": {"type": "string", "description": "What was wrong and what to do."},
        "id_reused": {"type": "integer", "description": "How often the id came again with other content."},
    }
    return {"type": "object", "required": list(fields), "properties": fields}


def _problem_schema() -> dict[str, Any]:
    fields: dict[str, dict[str, Any]] = {
        "type": {"type": "string", "format": "uri"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "code": _TEXT,
        "detail": _TEXT,
    }
    return {"type": "object", "required": list(fields), "properties": fields}


def _content(description: str, model: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model}"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _problem(codes: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": f"RFC 9457: {codes}.", "content": {"application/problem+json": {"schema": schema}}}
