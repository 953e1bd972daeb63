"""OpenAPI 3.1 of the report's content and files, for openapi.py to include."""

from collections.abc import Mapping
from typing import Any, Final

from services.reporting import content_documents
from services.reporting.files import tables
from shared.runtime.bearer import SECURITY, refusals

SCOPES: Final = ("reports:read", "tasks:read", "authority:write")
"""One of these a token needs; but with the last, its agency must be the standing agency or the chairman's office."""
MEDIA_TYPES: Final[Mapping[str, str]] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pdf": "application/pdf",
}
PERIOD: Final[Mapping[str, Any]] = {
    "name": "period",
    "in": "path",
    "required": True,
    "description": "A week 2024-W45, a month 2024-11, a quarter 2024-Q4, a half-year 2024-H2 or a year 2024.",
    "schema": {"type": "string", "pattern": "^2[01][0-9]{2}(-(0[1-9]|1[0-2]|Q[1-4]|H[12]|W[0-5][0-9]))?$"},
    "example": "2024-11",
}
PROVINCE: Final[Mapping[str, Any]] = {
    "name": "province",
    "in": "query",
    "description": "The token's, if given at all.",
    "schema": {"type": "string", "pattern": "^[A-Z][0-9]{2}$"},
    "example": "H48",
}
REF: Final = "#/components/schemas/{model}"
_WHAT: Final = {
    "csv": "One table of the report, for spreadsheets and programs: UTF-8 with a byte order mark, RFC 4180.",
    "xlsx": "The report as a workbook, a sheet a table.",
    "docx": "The report as a document for review and signature, laid out by Decree 30/2020.",
    "pdf": "The same document for reading.",
}
_READS: Final = (
    "Needs a token with `authority:write`; or with `reports:read` or `tasks:read`, of the standing agency or the "
    "chairman's office: the report names tasks of all agencies and those who head them (ADR 0023). The province is the "
    "token's. A closed period is answered as it was prepared; one that runs, as of now and marked as provisional."
)


def paths() -> dict[str, Any]:
    """Path → what can be asked there."""
    content: dict[str, Any] = {
        "get": {
            "operationId": "getReportContent",
            "summary": "The content of the report to the chairman: all that its files say.",
            "description": _READS,
            "security": SECURITY,
            "parameters": _parameters(),
            "responses": {
                "200": {
                    "description": "The content; beside it `content_hash`, and, where it was prepared, `revision` and "
                    "`prepared_at`.",
                    "headers": _HEADERS,
                    "content": {"application/json": {"schema": {"$ref": REF.format(model="Content")}}},
                },
                **_refused(),
            },
        }
    }
    files: dict[str, Any] = {
        f"/v1/reports/{{period}}.{ending}": {
            "get": {
                "operationId": f"getReport{ending.capitalize()}",
                "summary": _WHAT[ending],
                "description": _READS,
                "security": SECURITY,
                "parameters": [*_parameters(), *([_TABLE] if ending == "csv" else [])],
                "responses": {
                    "200": {
                        "description": "The file.",
                        "headers": _HEADERS,
                        "content": {media_type.partition(";")[0]: {}},
                    },
                    **_refused(", `unknown_table`" if ending == "csv" else ""),
                },
            }
        }
        for ending, media_type in MEDIA_TYPES.items()
    }
    return {"/v1/reports/{period}/content.json": content, **files}


def schemas() -> dict[str, Any]:
    """Name → schema, for `components.schemas`."""
    content = content_documents.content_schema(REF)
    parts: dict[str, Any] = content.pop("$defs", {})
    return {**parts, "Content": content}


_HEADERS: Final[dict[str, Any]] = {
    "ETag": {"description": "The content's hash.", "schema": {"type": "string"}},
    "Content-Disposition": {"description": "A file name (RFC 6266).", "schema": {"type": "string"}},
}
_TABLE: Final[dict[str, Any]] = {
    "name": "table",
    "in": "query",
    "description": "Which table; by default, all figures by agency.",
    "schema": {"type": "string", "enum": list(tables.TABLES), "default": "agencies"},
}


def _parameters() -> list[dict[str, Any]]:
    return [
        dict(PERIOD),
        dict(PROVINCE),
        {
            "name": "revision",
            "in": "query",
            "description": "An older one that was prepared; by default the last.",
            "schema": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
        },
    ]


def _refused(more: str = "") -> dict[str, Any]:
    """What every operation here may answer instead."""
    refused = refusals(_problem)
    return {
        "304": {"description": "If-None-Match names what would be answered."},
        "400": _problem(f"`malformed_period`, `malformed_revision`, `province_needed`{more}."),
        **refused,
        "403": {**refused["403"], **_problem("`scope_missing`, or `not_supervising`.")},
        "404": _problem("`unknown_period` (also of one to come), `unknown_revision`, or `unknown_province`."),
    }


def _problem(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": {"$ref": REF.format(model="Problem")}}},
    }
