"""What the bench sends: agencies, directives of 2,000 tasks each, and the lives of those tasks."""

import random
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

from tests.support.workload import OFFICE, PROVINCE, STANDING, START, Submitted, event

AGENCIES: Final = tuple(f"H48.{number:03d}" for number in range(100, 200))
CLAUSES: Final = tuple(f"II.{part}.{letter}" for part in (1, 2) for letter in "abcdeghikl")
STAND: Final = timedelta(days=2)
"""How far after START the clocks of the services begin: after everything that is put into the topic directly."""

_Step = tuple[str, dict[str, Any]]
_ACKNOWLEDGED: Final[_Step] = ("task.acknowledged", {})
_PROGRESS: Final[_Step] = ("task.progress_reported", {"percent": 40, "note": "Đang phối hợp với các đơn vị liên quan"})
_NEARLY: Final[_Step] = ("task.progress_reported", {"percent": 90, "note": "Đã trình dự thảo, chờ ý kiến thẩm định"})
_RESULT: Final[_Step] = ("task.result_submitted", {"document": {"number": "15/BC-STTTT", "issued_on": "2024-10-14"}})
_ACCEPTED: Final[_Step] = ("task.result_accepted", {})
_RETURNED: Final[_Step] = ("task.result_returned", {"reason": "Thiếu số liệu của các phòng chuyên môn"})
_PAID: Final[_Step] = ("task.disbursement_reported", {"as_of": "2024-10-14", "cumulative_vnd": 250_000_000})
_OBSTACLE: Final[_Step] = ("task.obstacle_raised", {"obstacle_id": "o1", "description": "Chưa được bố trí kinh phí"})
_CLEARED: Final[_Step] = ("task.obstacle_cleared", {"obstacle_id": "o1"})

LIVES: Final[Sequence[Sequence[_Step]]] = (
    *[(_ACKNOWLEDGED, _PROGRESS, _NEARLY, _RESULT, _ACCEPTED)] * 9,
    *[(_ACKNOWLEDGED, _PROGRESS, _RESULT, _RETURNED, _RESULT, _ACCEPTED)] * 3,
    *[(_ACKNOWLEDGED, _PROGRESS, _PAID, _PAID, _NEARLY)] * 4,
    *[(_ACKNOWLEDGED, _OBSTACLE, _CLEARED, _PROGRESS)] * 3,
    (_ACKNOWLEDGED, _PROGRESS),
)
"""Twenty ways a task goes, in the order in which the rules take every step: none is rejected."""


def directive(number: int) -> str:
    """The bench's directives are numbered."""
    return f"BENCH-{number}"


def task_id(number: int, agency: str, clause: str) -> str:
    """A task of a directive."""
    return f"{PROVINCE}/{directive(number)}/{clause}/{agency}"


def task_ids(number: int) -> list[str]:
    """All 2,000 tasks of a directive."""
    return [task_id(number, agency, clause) for clause in CLAUSES for agency in AGENCIES]


def agencies() -> list[Submitted]:
    """The registry: who there is."""
    registered = [(OFFICE, "chairman_office"), (STANDING, "standing"), *((one, "agency") for one in AGENCIES)]
    found = []
    for code, role in registered:
        data = {
            "code": code,
            "name": code,
            "role": role,
            "groups": ["@all"] if role == "agency" else [],
            "valid_from": "2024-01-01",
            "contact": f"{code.lower()}@x.example",
        }
        content = event("agency.registered", data, agency=STANDING, received_at=START, event_id=f"agency-{code}")
        found.append(Submitted(PROVINCE, content))
    return found


def issued(number: int) -> Submitted:
    """A directive that lays twenty obligations on every agency."""
    obligations = [
        {
            "clause": clause,
            "title": f"Nội dung {clause}",
            "leads": ["@all"],
            "category": "dated",
            "due": {"kind": "fixed", "boundary": "before", "day": "2025-06-20"},
        }
        for clause in CLAUSES
    ]
    data = {
        "directive": directive(number),
        "kind": "TB",
        "issuer": "UBND",
        "issued_on": "2024-10-14",
        "title": "Đo",
        "obligations": obligations,
    }
    return Submitted(
        PROVINCE, event("directive.issued", data, agency=OFFICE, received_at=START, event_id=directive(number))
    )


def lives(number: int) -> list[Submitted]:
    """Every task of a directive lives one of LIVES, all at the same time: neighbours in the topic differ in task."""
    chance = random.Random(number)
    steps: list[tuple[float, str, str, int, _Step]] = []
    for position, about in enumerate(task_ids(number)):
        life = LIVES[position % len(LIVES)]
        moments = sorted(chance.random() for _ in life)
        agency = about.rpartition("/")[2]
        steps += [
            (moment, about, agency, order, step) for order, (moment, step) in enumerate(zip(moments, life, strict=True))
        ]
    return list(_told(number, sorted(steps, key=lambda one: one[0])))


def _told(number: int, steps: Sequence[tuple[float, str, str, int, _Step]]) -> Iterator[Submitted]:
    for position, (moment, about, agency, order, (event_type, data)) in enumerate(steps):
        actor = STANDING if event_type in {"task.result_accepted", "task.result_returned"} else agency
        content = event(
            event_type,
            {"task_id": about, **data},
            agency=actor,
            received_at=START + timedelta(hours=1) + timedelta(days=1) * moment,
            event_id=f"{number}-{position}-{order}",
        )
        yield Submitted(about, content)
