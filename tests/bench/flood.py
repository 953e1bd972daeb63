"""`memory_mb_ingest_flood`: what a flood of the largest bodies there may be costs the process in memory."""

from pathlib import Path
from typing import Any, Final

import pydantic_core

from deploy.local.stack import Stack
from tests.bench import lives
from tests.bench.figures import MEMORY_TARGET, Figure, peak_mb
from tests.bench.ingest import tokens
from tests.bench.probes import CouldNotMeasureError, child

SERVICES: Final = ("ingest",)
ENV: Final = {"DONDOC_AGENCY_EVENTS_PER_SECOND": "1e9"}
"""The worst case: nobody is held back for sending too much."""
METRICS: Final = ("memory_mb_ingest_flood",)
CONNECTIONS: Final = 200
SECONDS: Final = 15
BODY_BYTES: Final = 1024 * 1024
EVENTS: Final = 1_000
"""A batch may hold so many."""


async def measure(stack: Stack, rounds: int, work_dir: Path) -> dict[str, Figure]:
    """Floods from many senders at once, bodies of every kind in turn; `rounds` does not matter."""
    path = work_dir / "flood.txt"
    senders = enumerate(tokens(stack).items())
    lines = [token.encode() + b" " + body for number, (agency, token) in senders for body in _bodies(agency, number)]
    path.write_bytes(b"\n".join(lines))
    ingest = stack.service("ingest")
    said = await child("flood_load", str(ingest.port), str(CONNECTIONS), str(SECONDS), str(path))
    accepted, refused, other, megabytes = said
    if other or not accepted:
        raise CouldNotMeasureError(f"{accepted:.0f} batches were taken, {other:.0f} answers were not foreseen")
    return {
        METRICS[0]: Figure(
            round(peak_mb(ingest), 1),
            "MB",
            f"peak resident size (VmHWM) after {SECONDS} s of bodies of {BODY_BYTES:,} bytes from {CONNECTIONS} "
            f"connections, {megabytes:,.0f} MB in all: {accepted:,.0f} batches of {EVENTS:,} events taken, "
            f"{refused:,.0f} bodies refused",
            MEMORY_TARGET,
        )
    }


def _bodies(agency: str, number: int) -> list[bytes]:
    """As large as may be: a batch of as many events as there may be, and what cannot be read at all."""
    broken = b"[" + b" " * (BODY_BYTES - 2) + b"{"
    faulty = b'[{"id":"' + b"x" * (BODY_BYTES - 11) + b'"}]'
    return [_batch(agency, number), broken, faulty]


def _batch(agency: str, number: int) -> bytes:
    note = "Đ" * ((BODY_BYTES // EVENTS - 260) // 2)
    some: list[dict[str, Any]] = [
        {
            "specversion": "1.0",
            "id": f"flood-{number}-{one}",
            "source": f"//bench/{agency}",
            "type": "dondoc.task.progress_reported.v1",
            "data": {
                "task_id": lives.task_id(0, agency, lives.CLAUSES[one % len(lives.CLAUSES)]),
                "percent": one % 100,
                "note": note,
            },
        }
        for one in range(EVENTS)
    ]
    body = pydantic_core.to_json(some)
    return body + b" " * (BODY_BYTES - len(body))
