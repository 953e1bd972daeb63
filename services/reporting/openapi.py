"""OpenAPI 3.1 of reporting, from the models that the topics use."""

from collections.abc import Mapping
from typing import Any, Final

from services.reporting import report_openapi, wire
from shared.runtime.bearer import SECURITY, SECURITY_SCHEME, refusals

SCOPES = ("reports:read", "tasks:read", "events:write", "authority:write")
"""Each lets a token read its province's reports: they compare agencies and show no task (ADR 0010)."""

_REF = "#/components/schemas/{model}"
_READS: Final = (
    "Needs a token with one of the scopes "
    + ", ".join(f"`{scope}`" for scope in SCOPES)
    + ". The province is the token's."
)
_WHICH: Final[list[dict[str, Any]]] = [
    {
        **report_openapi.PERIOD,
        "description": "A week 2024-W45, a month 2024-11, a quarter 2024-Q4, a half-year 2024-H2 or a year 2024, as "
        "the province's reporting regime cuts them.",
    },
    {**report_openapi.PROVINCE},
    {
        "name": "scope",
        "in": "query",
        "description": "One scope: beside the province, or alone where a revision is asked for.",
        "schema": {"type": "string"},
        "example": "agency:H48.07",
    },
]
"""Which report is asked for."""
_PAGE: Final[dict[str, Any]] = {"description": "A page.", "content": {"text/html": {}}}


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
                    "summary": "All reports of a period: the province, groups, agencies, directives, categories.",
                    "description": _READS,
                    "security": SECURITY,
                    "parameters": [
                        *_WHICH,
                        {
                            "name": "revision",
                            "in": "query",
                            "description": "One revision of one report (of the province where no scope is said), "
                            "alone. Kept are the one that stands and every final one that it replaced.",
                            "schema": {"type": "integer", "minimum": 1, "maximum": 9_999_999},
                        },
                        {
                            "name": "as_of",
                            "in": "query",
                            "description": "What stood at this instant, by `computed_at`, with its zone.",
                            "schema": {"type": "string", "format": "date-time"},
                            "example": "2024-11-20T09:00:00Z",
                        },
                    ],
                    "responses": {
                        "200": _content("The reports.", "application/json", "PeriodReports"),
                        "400": _problem(
                            "`malformed_period`, `malformed_scope`, `malformed_revision`, `malformed_instant`, or "
                            "`province_needed`."
                        ),
                        **refusals(_problem),
                        "404": _problem(
                            "`unknown_period` (also of one to come), `unknown_scope`, `unknown_revision` (also of one "
                            "that is not kept), or `unknown_province`."
                        ),
                    },
                }
            },
            "/v1/reports/{period}/revisions": {
                "get": {
                    "operationId": "getReportRevisions",
                    "summary": "What became of one report: the revision that stands and the final ones it replaced.",
                    "description": _READS,
                    "security": SECURITY,
                    "parameters": _WHICH,
                    "responses": {
                        "200": _content("The newest first; at most 500.", "application/json", "Revisions"),
                        "400": _problem("`malformed_period`, `malformed_scope`, or `province_needed`."),
                        **refusals(_problem),
                        "404": _problem("`unknown_period`, `unknown_scope`, or `unknown_province`."),
                    },
                }
            },
            "/": {
                "get": {
                    "operationId": "getBoard",
                    "summary": "The board, for people who are logged in. Of a login only its province.",
                    "security": [{"login": []}],
                    "parameters": [
                        {"name": "period", "in": "query", "schema": {"type": "string"}, "example": "2024-11"},
                        {"name": "province", "in": "query", "schema": {"type": "string"}, "example": "H48"},
                    ],
                    "responses": {
                        "200": _PAGE,
                        "303": {"description": "To `/login`: a page was asked for without a login."},
                        "400": _PAGE,
                        "401": _problem(
                            "No login, where no page was asked for (htmx, fetch, EventSource): load the page anew, as "
                            "`HX-Refresh` says."
                        ),
                        "403": _PAGE,
                        "404": _PAGE,
                        "503": _PAGE,
                    },
                }
            },
            "/login": {
                "get": {
                    "operationId": "beginLogin",
                    "summary": "Log in at the province's issuer (OpenID Connect, code flow with PKCE).",
                    "security": [],
                    "parameters": [
                        {
                            "name": "next",
                            "in": "query",
                            "description": "A path of the board to come back to.",
                            "schema": {"type": "string"},
                            "example": "/?period=2024-11",
                        }
                    ],
                    "responses": {"303": {"description": "To the issuer."}, "502": _PAGE, "503": _PAGE},
                }
            },
            "/login/callback": {
                "get": {
                    "operationId": "completeLogin",
                    "summary": "Where the issuer sends the browser back to; the client's redirect URI.",
                    "security": [],
                    "parameters": [
                        {"name": name, "in": "query", "schema": {"type": "string"}}
                        for name in ("state", "code", "iss", "error")
                    ],
                    "responses": {
                        "303": {"description": "To the page that was asked for, with the cookie."},
                        **dict.fromkeys(("400", "403", "502", "503"), _PAGE),
                    },
                }
            },
            "/logout": {
                "post": {
                    "operationId": "logOut",
                    "summary": "Forget the cookie; the page leads on to the issuer's own logout where it has one.",
                    "security": [],
                    "responses": {"200": _PAGE, "403": _PAGE},
                }
            },
            **report_openapi.paths(),
        },
        "components": {
            "securitySchemes": {
                "bearer": SECURITY_SCHEME,
                "login": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-dondoc",
                    "description": "The same access token, as `/login` puts it there (ADR 0022).",
                },
            },
            "schemas": {
                **parts,
                **report_openapi.schemas(),
                "ReportPublished": report,
                "PeriodReports": {
                    "type": "object",
                    "required": [
                        "province",
                        "period",
                        "kind",
                        "regime",
                        "starts_on",
                        "cut_off_on",
                        "due_on",
                        "final",
                        "revision",
                        "scopes",
                    ],
                    "properties": {
                        "province": {"type": "string"},
                        "period": {"type": "string"},
                        "kind": {"type": "string"},
                        "regime": {"type": "string", "description": "The rule that says what a period is."},
                        "starts_on": {"type": "string", "format": "date"},
                        "cut_off_on": {"type": "string", "format": "date"},
                        "due_on": {"type": "string", "format": "date"},
                        "final": {"type": "boolean", "description": "The period is closed."},
                        "revision": {
                            "type": "integer",
                            "description": "Of the province's report; of the one alone that was asked for.",
                        },
                        "scopes": {"type": "array", "items": {"$ref": _REF.format(model="ReportPublished")}},
                    },
                },
                "Revisions": {
                    "type": "object",
                    "required": ["province", "period", "scope", "scope_name", "revisions"],
                    "properties": {
                        "province": {"type": "string"},
                        "period": {"type": "string"},
                        "scope": {"type": "string"},
                        "scope_name": {"type": "string"},
                        "revisions": {"type": "array", "items": _revision(report)},
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


def _revision(report: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a published report that a list of revisions shows."""
    shown = {name: one for name, one in report["properties"].items() if name in wire.REVISION_FIELDS}
    return {"type": "object", "required": sorted(shown), "properties": shown}


def _content(description: str, media_type: str, model: str) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": {"$ref": _REF.format(model=model)}}}}


def _problem(description: str) -> dict[str, Any]:
    return _content(description, "application/problem+json", "Problem")
