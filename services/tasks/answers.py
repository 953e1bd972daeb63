"""How tasks answers over HTTP: JSON as on the topics, and cursors."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import pydantic_core
from starlette.responses import Response


def answer(content: Mapping[str, Any]) -> Response:
    """A JSON answer; dates and enums as on the topics."""
    return Response(pydantic_core.to_json(content), media_type="application/json")


def write_cursor(task_id: str) -> str:
    """Where the next page begins, for `next`."""
    return base64.urlsafe_b64encode(task_id.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> str:
    """Where a page goes on. ValueError says what to do."""
    try:
        after = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        if not after:
            raise ValueError("the cursor is empty; leave it out to begin at the beginning")
        return after
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("the cursor is not one of ours; take it from `next`") from error
