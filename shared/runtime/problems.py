"""Errors over HTTP as RFC 9457 problem+json: a stable code, what was wrong, what to do."""

from typing import Any

import pydantic_core
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

PROBLEM = "application/problem+json"

_HTTP_ERRORS = {
    404: ("not_found", "There is nothing at this address. See /openapi.json for what there is."),
    405: ("method_not_allowed", "This address does not take this method. See /openapi.json."),
}


def content(status: int, code: str, detail: str) -> dict[str, Any]:
    """What every problem says."""
    return {
        "type": f"https://dondoc.example/problems/{code}",
        "title": code.replace("_", " "),
        "status": status,
        "code": code,
        "detail": detail,
    }


def problem(status: int, code: str, detail: str) -> Response:
    """One problem as an answer."""
    body = pydantic_core.to_json(content(status, code, detail))
    return Response(body, status_code=status, media_type=PROBLEM)


async def answer_http_error(_: Request, error: Exception) -> Response:
    """What the router says in plain text, as a problem."""
    assert isinstance(error, HTTPException), "registered for these only"
    code, detail = _HTTP_ERRORS.get(error.status_code, ("http_error", error.detail))
    answer = problem(error.status_code, code, detail)
    answer.headers.update(error.headers or {})
    return answer
