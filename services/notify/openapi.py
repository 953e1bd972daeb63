"""OpenAPI 3.1 of notify."""

from collections.abc import Sequence
from typing import Any

from services.notify.domain.alert import AlertKind
from services.notify.domain.inhibit import Reason
from services.notify.domain.pipeline import Stage
from services.notify.domain.reading import SCOPES
from services.notify.domain.routing import Role
from services.notify.domain.silences import LONGEST
from shared.runtime.bearer import SECURITY, SECURITY_SCHEME, refusals
from shared.supervision import AUTHORITY_WRITE

_TEXT = {"type": "string"}
_MAYBE_TEXT = {"type": ["string", "null"]}
_INSTANT = {"type": ["string", "null"], "format": "date-time"}


def document() -> dict[str, Any]:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Đôn đốc: notify", "version": "1"},
        "paths": {
            "/v1/alerts": {"get": _list_alerts()},
            "/v1/alerts/{alert_id}/resend": {"post": _resend()},
            "/v1/silences": {"get": _list_silences(), "post": _silence()},
            "/v1/silences/{silence_id}": {"delete": _end_silence()},
            "/v1/digests/preview": {"get": _preview()},
        },
        "components": {
            "securitySchemes": {"bearer": SECURITY_SCHEME},
            "schemas": {
                "AlertPage": _object(
                    alerts={"type": "array", "items": _ref("Alert")},
                    next={"type": ["string", "null"], "description": "Give it as `cursor` to go on."},
                ),
                "Alert": _alert(),
                "Step": _object(stage={"enum": [one.value for one in Stage]}, reason=_TEXT),
                "Silence": _object(
                    silence_id=_TEXT,
                    province=_TEXT,
                    agency=_MAYBE_TEXT,
                    directive=_MAYBE_TEXT,
                    task_id=_MAYBE_TEXT,
                    reason=_TEXT,
                    by={**_TEXT, "description": "Code of the agency whose officer asked for it."},
                    starts_at=_INSTANT,
                    ends_at={**_INSTANT, "description": "When it ends, or was ended."},
                ),
                "SilenceAsked": {
                    "type": "object",
                    "required": ["reason", "ends_at"],
                    "additionalProperties": False,
                    "description": "At least one of `agency`, `directive`, `task_id`; an alert must match all that are "
                    f"given. At most {LONGEST.days} days.",
                    "properties": {
                        "silence_id": {
                            "type": "string",
                            "pattern": "^[A-Za-z0-9._-]{1,64}$",
                            "description": "Give one, and a repeat makes no second silence.",
                        },
                        "agency": _MAYBE_TEXT,
                        "directive": _MAYBE_TEXT,
                        "task_id": _MAYBE_TEXT,
                        "reason": {"type": "string", "minLength": 1, "maxLength": 500},
                        "starts_at": {**_INSTANT, "description": "Without it: now."},
                        "ends_at": {"type": "string", "format": "date-time"},
                    },
                },
                "SilenceList": _object(silences={"type": "array", "items": _ref("Silence")}),
                "Resent": _object(alert_id=_TEXT, deliveries={"type": "integer", "minimum": 1}),
                "DigestPreview": _object(
                    leaves_at=_INSTANT,
                    has_news={"type": "boolean", "description": "Without news it does not leave."},
                    subject=_TEXT,
                    text=_TEXT,
                    digest={"type": "object"},
                ),
                "Problem": _object(type=_TEXT, title=_TEXT, status={"type": "integer"}, code=_TEXT, detail=_TEXT),
            },
        },
    }


def _list_alerts() -> dict[str, Any]:
    return _operation(
        "listAlerts",
        "Alerts in order of id, each with what every stage said of it, why it is sent or stays silent.",
        "An agency sees the alerts about its tasks and those that it hears; the alerts of the whole province are seen "
        "with `authority:write`, and with `tasks:read` by the standing agency and the chairman's office.",
        SCOPES,
        parameters=[_query(name, schema) for name, schema in _filters().items()],
        responses={
            "200": _content("A page.", "application/json", "AlertPage"),
            "400": _problem("`unknown_filter`, `malformed_filter`"),
        },
    )


def _resend() -> dict[str, Any]:
    return _operation(
        "resendAlert",
        "Send an alert once more to everybody who was sent it or could not be reached, at once, under new ids.",
        "A task that is finished by now is not nagged about all the same.",
        (AUTHORITY_WRITE,),
        parameters=[_path("alert_id")],
        responses={
            "202": _content("How many deliveries are up again.", "application/json", "Resent"),
            "404": _problem("`not_found`"),
            "409": _problem("`nothing_to_resend`"),
        },
    )


def _list_silences() -> dict[str, Any]:
    return _operation(
        "listSilences",
        "The silences of the province, the newest first.",
        "An agency sees those that may concern it.",
        SCOPES,
        parameters=[_query("active", {"enum": ["true"]}), _query("province", _TEXT)],
        responses={
            "200": _content("All of them.", "application/json", "SilenceList"),
            "400": _problem("`unknown_filter`, `malformed_filter`"),
        },
    )


def _silence() -> dict[str, Any]:
    return {
        **_operation(
            "silence",
            "Be quiet about an agency, a directive or a task until an instant.",
            "What it holds back comes up again when it ends, if it still stands then; retractions are never silenced.",
            (AUTHORITY_WRITE,),
            parameters=[],
            responses={
                "201": _content("The silence.", "application/json", "Silence"),
                "409": _problem("`id_reused`"),
                "413": _problem("`too_large`"),
                "422": _problem("`invalid_silence`"),
            },
        ),
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("SilenceAsked")}}},
    }


def _end_silence() -> dict[str, Any]:
    return _operation(
        "endSilence",
        "End a silence now.",
        "What it held back comes up again.",
        (AUTHORITY_WRITE,),
        parameters=[_path("silence_id")],
        responses={
            "200": _content("The silence.", "application/json", "Silence"),
            "404": _problem("`not_found`"),
        },
    )


def _preview() -> dict[str, Any]:
    answer = _content("The message, were it written now.", "application/json", "DigestPreview")
    answer["content"]["text/html"] = {"schema": _TEXT}
    return _operation(
        "previewDigest",
        "The next digest of an agency. Nothing is stored.",
        "An agency previews its own; HTML for who accepts `text/html`.",
        SCOPES,
        parameters=[_query("agency", _TEXT), _query("province", _TEXT)],
        responses={
            "200": answer,
            "400": _problem("`unknown_filter`, `malformed_filter`"),
            "404": _problem("`not_found`"),
        },
    )


def _operation(
    operation_id: str,
    summary: str,
    description: str,
    scopes: Sequence[str],
    *,
    parameters: list[dict[str, Any]],
    responses: dict[str, Any],
) -> dict[str, Any]:
    known = refusals(_problem)
    own = "`not_yours`" if operation_id == "previewDigest" else "`writing_needs_token`"
    if operation_id == "previewDigest" or scopes == (AUTHORITY_WRITE,):
        known["403"]["description"] += f" {own}."
    return {
        "operationId": operation_id,
        "summary": summary,
        "description": f"{description} Needs a token with one of the scopes "
        + ", ".join(f"`{scope}`" for scope in scopes)
        + ".",
        "security": SECURITY,
        "parameters": parameters,
        "responses": {**responses, **known},
    }


def _ref(model: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model}"}


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}


def _path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT}


def _problem(codes: str) -> dict[str, Any]:
    return _content(f"RFC 9457: {codes}.", "application/problem+json", "Problem")


def _filters() -> dict[str, dict[str, Any]]:
    return {
        "agency": _TEXT,
        "kind": {"enum": [one.value for one in AlertKind]},
        "task_id": _TEXT,
        "directive": _TEXT,
        "outcome": {"enum": ["notify", "silent"]},
        "cursor": _TEXT,
        "limit": {"type": "integer", "minimum": 1, "maximum": 500, "default": 50},
    }


def _alert() -> dict[str, Any]:
    delivery = _object(
        delivery_id=_TEXT,
        agency=_TEXT,
        role={"enum": [one.value for one in Role]},
        channel={**_TEXT, "examples": ["email", "webhook"]},
        state={"enum": ["pending", "sent", "failed", "suppressed"]},
        cause=_TEXT,
        attempts={"type": "integer", "minimum": 0},
        not_before={**_INSTANT, "description": "When its time comes, or came."},
        sent_at=_INSTANT,
        message_id=_MAYBE_TEXT,
        steps={"type": "array", "items": _ref("Step"), "description": "What the stages after the decision said."},
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
        state={"enum": ["silent", "pending", "sent", "failed", "suppressed"]},
        stages={"type": "array", "items": _ref("Step"), "description": "What each stage of the decision said."},
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
