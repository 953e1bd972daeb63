"""Builders of notify's values: a test says only what it is about."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from services.notify.domain.alert import Alert, AlertKind, TaskState
from services.notify.domain.dispatch import Delivery, Desk, Dispatch, Lane, waits_with
from services.notify.domain.registry import AgencyRecord, Registry
from services.notify.domain.routing import Recipient, Role, Supervisors
from services.notify.domain.rulebook import Rules
from services.notify.domain.silences import Silence
from services.notify.rules import read_rulebook
from shared.workdays.files import VIETNAM
from tests.support.builders import at

POLICY_FILE = Path(__file__).parents[3] / "services" / "notify" / "policies" / "default.yaml"
RULES: Rules = read_rulebook(VIETNAM, POLICY_FILE).of("H48")
"""As they come with us: the calendar of Vietnam, the default policy."""

TASK = "H48/TB-1/II.1.h/H48.21"
OPEN = TaskState(
    seq=5,
    result="assigned",
    deadline_version=1,
    overdue_since=0,
    given_on=1,
    task_id=TASK,
    province="H48",
    agency="H48.21",
    directive="TB-1",
    clause="II.1.h",
    title="Đề xuất nhiệm vụ ưu tiên",
    last_day=date(2024, 10, 19),
)
REMINDED = replace(OPEN, reminded_on=1)
OVERDUE = replace(OPEN, overdue_since=1)
ABOVE = Supervisors("H48.07", "H48.01")
AGENCY = Recipient("H48.21", Role.AGENCY)
HEAD = Recipient("H48.21", Role.HEAD)
STANDING = Recipient("H48.07", Role.STANDING)
CHAIRMAN = Recipient("H48.01", Role.CHAIRMAN_OFFICE)
DESK = Desk("H48", "H48.21")


def an_alert(kind: AlertKind = AlertKind.DUE_SOON, **changes: Any) -> Alert:
    one = Alert(
        alert_id="H48/TB-1/II.1.h/H48.21:5",
        kind=kind,
        level=0,
        province="H48",
        task_id=TASK,
        seq=5,
        directive="TB-1",
        clause="II.1.h",
        agency="H48.21",
        reviewer="H48.07",
        title="Đề xuất nhiệm vụ ưu tiên",
        last_day=date(2024, 10, 19),
        deadline_version=1,
        forwarded=False,
        received_at=at("2024-10-20 00:00"),
    )
    return replace(one, **changes)


def an_agency(code: str = "H48.21", *, seq: int = 1, **changes: Any) -> AgencyRecord:
    record = AgencyRecord("H48", code, seq, f"Sở {code}", "agency", None, f"{code}@x.example", None, None)
    return replace(record, **changes)


REGISTRY = Registry(
    [an_agency("H48.01", role="chairman_office"), an_agency("H48.07", role="standing"), an_agency("H48.21")]
)


def a_silence(ends: str = "2024-11-01 00:00", *, starts: str = "2024-10-01 00:00", **changes: Any) -> Silence:
    one = Silence("s1", "H48", "H48.21", None, None, "bão số 6", "H48.07", at(starts), at(ends))
    return replace(one, **changes)


def a_delivery(number: int = 1, *, recipient: Recipient = AGENCY, lane: Lane = Lane.OWN, **changes: Any) -> Delivery:
    alert = an_alert(**{"alert_id": f"t{number}:1", "task_id": f"H48/TB-1/II.1.h/H48.{number}", **changes})
    return Delivery(
        f"d{number}:{recipient.role}", alert, recipient, "email", 0, 0.0, lane, waits_with(alert, DESK, "email", lane)
    )


def a_dispatch(name: str = "m1", *, desk: Desk = DESK, formed: str = "2024-10-21 09:00", **changes: Any) -> Dispatch:
    one = Dispatch(name, desk, Role.AGENCY, "email", "result_returned", 0, 1_000.0, formed_on=at(formed))
    return replace(one, **changes)
