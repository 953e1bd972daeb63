"""OpenAPI 3.1 of ingest, from the event table and the golden examples."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from services.ingest import wire
from services.ingest.domain.authorisation import SCOPES, Speaker
from services.ingest.domain.refusal import Code
from shared.runtime.bearer import RETRY_AFTER, SECURITY_SCHEME

_REF: Final = "#/components/schemas/{model}"
_DEFINITION: Final = "#/$defs/{model}"
_EXAMPLES: Final = Path(__file__).parents[2] / "shared" / "contracts" / "examples" / "submissions"
_STAMPED: Final = frozenset({"receivedat", "province", "agency", "partitionkey"})
"""What golden examples carry as they stand on the topic, and a sender leaves out."""


def document() -> dict[str, Any]:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Đôn đốc: ingest",
            "version": "1",
            "description": "Takes CloudEvents 1.0 of agencies and of the authority. 202 is a promise: the event is "
            "kept, and `GET /v1/submissions/{id}` of the tasks service says what became of it. After 503, or no "
            "answer at all, send the same again: `source` and `id` make that safe.",
        },
        "paths": {
            "/v1/events": {"post": _post()},
            "/v1/edxml": {"post": _post_envelope()},
            "/v1/schemas": {"get": _list_schemas()},
            "/v1/schemas/{type}": {"get": _get_schema()},
        },
        "components": {
            "securitySchemes": {
                "bearer": {
                    **SECURITY_SCHEME,
                    "description": f"{SECURITY_SCHEME['description'].rstrip('.')}: {_scopes()}.",
                }
            },
            "schemas": _schemas(),
        },
    }


def _post() -> dict[str, Any]:
    examples = _examples()
    return {
        "operationId": "postEvents",
        "summary": "Send one event, or a batch of at most 1,000; at most 1 MiB.",
        "description": "A batch is taken whole or not at all. In binary mode the attributes travel as `ce-` headers, "
        "the body is `data` alone, and pointers in errors still speak of the event in structured mode. With "
        "`Content-Encoding: gzip` the limits hold for what is sent and for what becomes of it.",
        "security": [{"bearer": []}],
        "parameters": [
            {
                "name": "dry_run",
                "in": "query",
                "description": "`true`: say whether it would be taken now; nothing is kept and nothing promised.",
                "schema": {"type": "boolean", "default": False},
            },
            {
                "name": "traceparent",
                "in": "header",
                "description": "W3C trace context; kept with events that carry none of their own.",
                "schema": {"type": "string"},
            },
        ],
        "requestBody": {
            "required": True,
            "content": {
                wire.STRUCTURED: {"schema": _ref("Event"), "examples": examples},
                wire.BATCH: {
                    "schema": {"type": "array", "maxItems": 1_000, "items": _ref("Event")},
                    "examples": {"batch": {"value": [one["value"] for one in examples.values()][:2]}},
                },
                wire.JSON: {
                    "schema": {"type": "object", "description": "`data`, with the attributes in `ce-` headers."}
                },
            },
        },
        "responses": {
            "200": {
                "description": "With `dry_run=true`: it would be taken. Nothing was kept.",
                "content": {"application/json": {"schema": _ref("Checked")}},
            },
            "202": {
                "description": "Kept: acknowledged by the broker, or on disk until the broker is back.",
                "headers": {
                    "Location": {
                        "description": "Where the tasks service says what became of it. One event only.",
                        "schema": {"type": "string", "format": "uri-reference"},
                    }
                },
                "content": {"application/json": {"schema": {"oneOf": [_ref("Receipt"), _ref("BatchReceipt")]}}},
            },
            "400": _problem(
                "Not JSON, nested too deep, not gzip although it says so, or a query parameter that is not known.",
                Code.MALFORMED_JSON,
                Code.MALFORMED_ENCODING,
                Code.TOO_DEEP,
                Code.UNKNOWN_PARAMETER,
            ),
            **_refusals(),
            "422": _problem(
                "Well-formed JSON, but not an event that is taken; `errors` says where.",
                Code.INVALID_EVENT,
                Code.UNKNOWN_EVENT_TYPE,
                Code.DUPLICATE_IN_BATCH,
            ),
        },
    }


def _refusals() -> dict[str, Any]:
    """What both addresses refuse alike."""
    return {
        "401": _problem("No valid token.", *(code for code in Code if code.startswith("token_"))),
        "403": _problem("Not yours to send.", Code.SCOPE_MISSING, Code.WRONG_PROVINCE, Code.NOT_YOURS),
        "408": _problem("The body did not arrive in time.", Code.BODY_TOO_SLOW),
        "413": _problem("Too much.", Code.BODY_TOO_LARGE, Code.TOO_MANY_EVENTS, Code.EVENT_TOO_LARGE),
        "415": _problem("Another media type, charset or encoding.", Code.UNSUPPORTED_MEDIA_TYPE),
        "429": _problem("This agency sends too much; others go on.", Code.TOO_MANY_REQUESTS) | {"headers": RETRY_AFTER},
        "500": _problem("An error on our side.", Code.INTERNAL_ERROR),
        "503": _problem(
            "Not kept as far as we know; send the same again after `Retry-After`.",
            Code.NOT_ACKNOWLEDGED,
            Code.OVERLOADED,
            Code.KEYS_MISSING,
        )
        | {"headers": RETRY_AFTER},
    }


def _post_envelope() -> dict[str, Any]:
    text = {"type": "string"}
    about = {
        "directive": "Its name here, where the envelope's ResponseFor does not lead to it.",
        "clause": "The clause that the report is about; without it I, as the draft of an envelope has it.",
        "period": "Of a recurring task.",
        "dry_run": "`true`: say whether it would be taken now.",
    }
    return {
        "operationId": "postEnvelope",
        "summary": "Send an edXML envelope (QCVN 102:2016/BTTTT).",
        "description": "Steering type 2 (an order): the draft of `dondoc.directive.issued.v1`, or of "
        "`dondoc.directive.revoked.v1` when it is a recall, for a human to complete and send to `/v1/events`; nothing "
        "is kept. Steering type 3 (a report on an order): it is taken as `dondoc.task.result_submitted.v1` of the "
        "task of the sender. `OrganId` is the agency's code. The same bytes are the same event, however often sent.",
        "security": [{"bearer": []}],
        "parameters": [
            {"name": name, "in": "query", "description": description, "schema": text}
            for name, description in about.items()
        ],
        "requestBody": {"required": True, "content": {"application/xml": {"schema": text}}},
        "responses": {
            "200": {
                "description": "A draft, or with `dry_run=true` that a report would be taken. Nothing was kept.",
                "content": {"application/json": {"schema": {"oneOf": [_ref("Draft"), _ref("Checked")]}}},
            },
            "202": {
                "description": "Kept as the task's result.",
                "content": {"application/json": {"schema": _ref("Receipt")}},
            },
            "400": _problem(
                "Not XML, with a document type, not gzip although it says so, or an unknown query parameter.",
                Code.MALFORMED_XML,
                Code.MALFORMED_ENCODING,
                Code.UNKNOWN_PARAMETER,
            ),
            **_refusals(),
            "422": _problem(
                "XML, but no envelope that can be taken; `errors` says where.",
                Code.INVALID_ENVELOPE,
                Code.NOT_STEERING,
                Code.INVALID_EVENT,
            ),
        },
    }


def _list_schemas() -> dict[str, Any]:
    entry = _object({"type": {"type": "string"}, "href": {"type": "string", "format": "uri-reference"}})
    listed = _object({"schemas": {"type": "array", "items": entry}})
    return {
        "operationId": "listSchemas",
        "summary": "The event types that are taken, and where their schemas are.",
        "responses": {"200": {"description": "All types.", "content": {"application/json": {"schema": listed}}}},
    }


def _get_schema() -> dict[str, Any]:
    return {
        "operationId": "getSchema",
        "summary": "JSON Schema (2020-12) of one event type as it is sent.",
        "parameters": [
            {
                "name": "type",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "enum": sorted(wire.EVENT_TYPES)},
            }
        ],
        "responses": {
            "200": {"description": "The schema.", "content": {"application/schema+json": {"schema": {}}}},
            "404": _problem("No such type.", Code.NOT_FOUND),
        },
    }


def event_schema(name: str) -> dict[str, Any]:
    """JSON Schema 2020-12 of one event type in structured mode, with all that it refers to."""
    references, definitions = wire.event_schemas(_DEFINITION)
    needed: dict[str, Any] = {}
    left = list(_refers_to(references[name]))
    while left:
        one = left.pop()
        if one not in needed:
            needed[one] = definitions[one]
            left.extend(_refers_to(definitions[one]))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        **_event(name, references[name]),
        "$defs": dict(sorted(needed.items())),
    }


def _refers_to(schema: Any) -> Iterator[str]:
    """Names of the definitions that a schema mentions, at any depth."""
    if isinstance(schema, list):
        for one in schema:
            yield from _refers_to(one)
    elif isinstance(schema, dict):
        for name, one in schema.items():
            if name == "$ref":
                yield one.removeprefix(_DEFINITION.format(model=""))
            else:
                yield from _refers_to(one)


def _schemas() -> dict[str, Any]:
    references, definitions = wire.event_schemas(_REF)
    events = {name: _event(name, reference) for name, reference in references.items()}
    return {
        **definitions,
        **events,
        "Event": {
            "oneOf": [_ref(name) for name in events],
            "discriminator": {"propertyName": "type", "mapping": {name: _REF.format(model=name) for name in events}},
        },
        "Checked": _object({"dry_run": {"const": True}, "valid": {"type": "integer", "description": "Events."}}),
        "Draft": _object(
            {
                "draft": {"type": "object", "description": "The event, to be sent once it is complete."},
                "to_do": {"type": "array", "items": {"type": "string"}, "description": "What a human must look at."},
            }
        ),
        "Receipt": _object(
            {"id": {"type": "string"}, "source": {"type": "string"}, "received_at": _instant()},
        ),
        "BatchReceipt": _object(
            {
                "received_at": _instant(),
                "accepted": {"type": "integer"},
                "submissions": {
                    "type": "array",
                    "items": _object({name: {"type": "string"} for name in ("id", "source", "location")}),
                },
            }
        ),
        "Fault": _object({name: {"type": "string"} for name in ("pointer", "code", "detail")}),
        "Problem": _problem_schema(),
    }


def _problem_schema() -> dict[str, Any]:
    schema = _object(
        {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string", "enum": [code.value for code in Code]},
            "detail": {"type": "string", "description": "What was wrong, and what to do."},
        }
    )
    schema["description"] = "RFC 9457; `code` is stable."
    schema["properties"]["errors"] = {
        "type": "array",
        "description": "What is wrong with the events, by JSON pointer.",
        "items": _ref("Fault"),
    }
    schema["properties"]["errors_left_out"] = {"type": "integer", "description": "How many more there are."}
    return schema


def _event(name: str, data: dict[str, Any]) -> dict[str, Any]:
    kind = wire.EVENT_TYPES[name]
    text: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 300}
    return {
        "type": "object",
        "description": f"Needs the scope `{SCOPES[Speaker(kind.sender.value)]}`. Further attributes are kept.",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {**text, "description": "With `source` the idempotency key, for ever."},
            "source": {**text, "description": "The sending system, as a URI reference."},
            "type": {"const": name},
            "time": {"type": "string", "format": "date-time", "description": "When it happened, as the sender says."},
            "subject": {**text, "description": "If given on an event about a task: its id."},
            "datacontenttype": {"const": wire.JSON},
            "data": data,
        },
    }


def _examples() -> dict[str, Any]:
    """Golden messages by name, as a sender would send them."""
    found: dict[str, Any] = {}
    for path in sorted(_EXAMPLES.glob("*.json")):
        event = json.loads(path.read_text(encoding="utf-8"))
        if event.get("type") in wire.EVENT_TYPES:
            found[path.stem] = {"value": {name: value for name, value in event.items() if name not in _STAMPED}}
    return found


def _scopes() -> str:
    return ", ".join(f"`{scope}` ({speaker} events)" for speaker, scope in SCOPES.items())


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _instant() -> dict[str, Any]:
    return {"type": "string", "format": "date-time"}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": _REF.format(model=name)}


def _problem(description: str, *codes: Code) -> dict[str, Any]:
    known = ", ".join(f"`{code.value}`" for code in codes)
    return {
        "description": f"{description} `code`: {known}.",
        "content": {"application/problem+json": {"schema": _ref("Problem")}},
    }
