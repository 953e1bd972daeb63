"""Events as senders send them: a test says only what it is about."""

import json
from pathlib import Path
from typing import Any

from services.ingest.domain.authorisation import Credential

EXAMPLES = Path(__file__).parents[3] / "shared" / "contracts" / "examples" / "submissions"
STAMPED = frozenset({"receivedat", "province", "agency", "partitionkey"})

AGENCY, OTHER_AGENCY, OFFICE = "H48.21", "H48.22", "H48.01"
TASK = f"H48/TB-1/II.1.a/{AGENCY}"
PROGRESS = "dondoc.task.progress_reported.v1"


def golden() -> dict[str, dict[str, Any]]:
    """The golden messages by file name, as their senders sent them."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(EXAMPLES.glob("*.json"))}
    return {name: {k: v for k, v in event.items() if k not in STAMPED} for name, event in found.items()}


def one_of_each_type() -> dict[str, dict[str, Any]]:
    """Event type → a golden message of it."""
    return {event["type"]: event for event in golden().values()}


def an_event(changes: dict[str, Any] | None = None, **data: Any) -> dict[str, Any]:
    """A progress report; `changes` are to its attributes, keywords to its data."""
    event = {
        "specversion": "1.0",
        "id": "2024-10-15-1",
        "source": "//soytt.example/qlvb",
        "type": PROGRESS,
        "time": "2024-10-15T08:00:00+07:00",
        "data": {"task_id": TASK, "percent": 40, **data},
    }
    return {**event, **(changes or {})}


def a_credential(
    agency: str = AGENCY, province: str = "H48", scopes: tuple[str, ...] = ("events:write",)
) -> Credential:
    return Credential(province, agency, frozenset(scopes))
