"""OpenAPI 3.1 of notify."""

from typing import Any

from services.notify.domain.alert import AlertKind
from services.notify.domain.inhibit import Reason
from services.notify.domain.reading import SCOPES
from services.notify.domain.routing import Role
from shared.runtime.bearer import SECURITY, SECURITY_SCHEME, refusals

_TEXT = {"type": "string"}
_INSTANT = {"type": ["string", "null"], "format": "date-time"}


def document() -> dict[str, Any]:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Đôn đốc: notify", "version": "1"},
        "paths": {
            "/v1/alerts": {
                "get": {
                    "operationId": "listAlerts",
                    "summary": "Alerts in order of id, each with why it is sent or stays silent, and its deliveries.",
                    "description": "Needs a token with one of the scopes "
                    + ", ".join(f"`{scope}`" for scope in SCOPES)
                    + ". An agency sees the alerts about its tasks and those that it hears; the alerts of the whole "
                    "province are seen with `authority:write`, and with `tasks:read` by the standing agency and the "
                    "chairman's office.",
                    "security": SECURITY,
                    "parameters": [
                        {"name": name, "in": "query", "schema": schema} for name, schema in _filters().items()
                    ],
                    "responses": {
                        "200": _content("A page.", "application/json", "AlertPage"),
                        "400": _content(
                            "RFC 9457: `unknown_filter`, `malformed_filter`.", "application/problem+json", "Problem"
                        ),
                        **refusals(
                            lambda codes: _content(f"RFC 9457: {codes}.", "application/problem+json", "Problem")
                        ),
                    },
                }
            }
        },
        "components": {
            "securitySchemes": {"bearer": SECURITY_SCHEME},
            "schemas": {
                "AlertPage": _object(
                    alerts={"type": "array", "items": {"$ref": "#/components/schemas/Alert"}},
                    next={"type": ["string", "null"], "description": "Give it as `cursor` to go on."},
                ),
                "Alert": _alert(),
                "Problem": _object(type=_TEXT, title=_TEXT, status={"type": "integer"}, code=_TEXT, detail=_TEXT),
            },
        },
    }


def _filters() -> dict[str, dict[str, Any]]:
    return {
        "agency": _TEXT,
        "kind": {"enum": [one.value for one in AlertKind]},
        "task_id": _TEXT,
        "outcome": {"enum": ["notify", "silent"]},
        "cursor": _TEXT,
        "limit": {"type": "integer", "minimum": 1, "maximum": 500, "default": 50},
    }


def _alert() -> dict[str, Any]:
    delivery = _object(
        agency=_TEXT,
        role={"enum": [one.value for one in Role]},
        channel={"enum": ["email"]},
        state={"enum": ["pending", "sent", "failed", "suppressed"]},
        cause=_TEXT,
        attempts={"type": "integer", "minimum": 0},
        sent_at=_INSTANT,
        message_id={"type": ["string", "null"]},
    )
    return _object(
        alert_id=_TEXT,
        kind={"enum": [one.value for one in AlertKind]},
        level={"type": "integer", "minimum": 0, "maximum": 3},
        province=_TEXT,
        task_id=_TEXT,
        seq={"type": "integer", "minimum": 1},
        directive=_TEXT,
        clause=_TEXT,
        agency=_TEXT,
        title=_TEXT,
        last_day={"type": ["string", "null"], "format": "date"},
        received_at=_INSTANT,
        outcome={"enum": ["notify", "silent"]},
        reason={"enum": [one.value for one in Reason]},
        recipients={
            "type": "array",
            "items": _object(agency=_TEXT, role={"enum": [one.value for one in Role]}),
        },
        decided_at=_INSTANT,
        deliveries={"type": "array", "items": delivery},
    )


def _object(**fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(fields), "properties": fields}


def _content(description: str, media_type: str, model: str) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": {"$ref": f"#/components/schemas/{model}"}}}}
