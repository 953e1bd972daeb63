"""OpenAPI 3.1 of reporting, from the models that the topics use."""

from typing import Any

from services.reporting import wire
from shared.runtime.bearer import SECURITY, SECURITY_SCHEME, refusals

SCOPES = ("reports:read", "tasks:read", "events:write", "authority:write")
"""Each lets a token read its province's reports: they compare agencies and show no task (ADR 0010)."""

_REF = "#/components/schemas/{model}"


def document() -> dict[str, Any]:
    """The whole description."""
    report = wire.report_schema(_REF)
    parts: dict[str, Any] = report.pop("$defs", {})
    return {
        "openapi": "3.1.0",
        "info": {"title": "Đôn đốc: reporting", "version": "1"},
        "paths": {
            "/v1/reports/{period}.json": {
                "get": {
                    "operationId": "getReport",
                    "summary": "All reports of a period: the province first, then agencies by name.",
                    "description": "Needs a token with one of the scopes "
                    + ", ".join(f"`{scope}`" for scope in SCOPES)
                    + ". The province is the token's.",
                    "security": SECURITY,
                    "parameters": [
                        {
                            "name": "period",
                            "in": "path",
                            "required": True,
                            "description": "The month whose 14th is the last day counted.",
                            "schema": {"type": "string", "pattern": "^2[01][0-9]{2}-(0[1-9]|1[0-2])$"},
                            "example": "2024-11",
                        },
                        {
                            "name": "province",
                            "in": "query",
                            "description": "The token's, if given at all.",
                            "schema": {"type": "string", "pattern": "^[A-Z][0-9]{2}$"},
                            "example": "H48",
                        },
                    ],
                    "responses": {
                        "200": _content("The reports.", "application/json", "PeriodReports"),
                        "400": _problem("`malformed_period`, or `province_needed`."),
                        **refusals(_problem),
                        "404": _problem("`unknown_period`, or `unknown_province`."),
                    },
                }
            },
            "/": {
                "get": {
                    "operationId": "getBoard",
                    "summary": "The board, for people.",
                    "security": [],
                    "parameters": [
                        {"name": "period", "in": "query", "schema": {"type": "string"}, "example": "2024-11"},
                        {"name": "province", "in": "query", "schema": {"type": "string"}, "example": "H48"},
                    ],
                    "responses": {"200": {"description": "A page.", "content": {"text/html": {}}}},
                }
            },
        },
        "components": {
            "securitySchemes": {"bearer": SECURITY_SCHEME},
            "schemas": {
                **parts,
                "ReportPublished": report,
                "PeriodReports": {
                    "type": "object",
                    "required": [
                        "province",
                        "period",
                        "regime",
                        "starts_on",
                        "cut_off_on",
                        "final",
                        "revision",
                        "scopes",
                    ],
                    "properties": {
                        "province": {"type": "string"},
                        "period": {"type": "string"},
                        "regime": {"type": "string", "description": "The rule that says what a period is."},
                        "starts_on": {"type": "string", "format": "date"},
                        "cut_off_on": {"type": "string", "format": "date"},
                        "final": {"type": "boolean", "description": "The period is closed."},
                        "revision": {"type": "integer", "description": "Of the province's report."},
                        "scopes": {"type": "array", "items": {"$ref": _REF.format(model="ReportPublished")}},
                    },
                },
                "Problem": {
                    "type": "object",
                    "description": "RFC 9457.",
                    "required": ["type", "title", "status", "code", "detail"],
                    "properties": {
                        "type": {"type": "string", "format": "uri"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "code": {"type": "string", "description": "Stable; what a program reads."},
                        "detail": {"type": "string"},
                    },
                },
            },
        },
    }


def _content(description: str, media_type: str, model: str) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": {"$ref": _REF.format(model=model)}}}}


def _problem(description: str) -> dict[str, Any]:
    return _content(description, "application/problem+json", "Problem")
