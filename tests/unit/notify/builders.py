"""Builders of notify's values: a test says only what it is about."""

from dataclasses import replace
from datetime import date
from typing import Any

from services.notify.domain.alert import Alert, AlertKind, TaskState
from services.notify.domain.grouping import Delivery
from services.notify.domain.routing import Recipient, Role, Supervisors
from tests.support.builders import at

OPEN = TaskState(seq=5, result="assigned", deadline_version=1, overdue_since=0)
OVERDUE = replace(OPEN, overdue_since=1)
ABOVE = Supervisors("H48.07", "H48.01")
AGENCY = Recipient("H48.21", Role.AGENCY)
HEAD = Recipient("H48.21", Role.HEAD)
STANDING = Recipient("H48.07", Role.STANDING)
CHAIRMAN = Recipient("H48.01", Role.CHAIRMAN_OFFICE)


def an_alert(kind: AlertKind = AlertKind.DUE_SOON, **changes: Any) -> Alert:
    one = Alert(
        alert_id="H48/TB-1/II.1.h/H48.21:5",
        kind=kind,
        level=0,
        province="H48",
        task_id="H48/TB-1/II.1.h/H48.21",
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


def a_delivery(number: int, *, recipient: Recipient = AGENCY, message_id: str = "", **changes: Any) -> Delivery:
    alert = an_alert(**{"alert_id": f"t{number}:1", "task_id": f"H48/TB-1/II.1.h/H48.{number}", **changes})
    return Delivery(f"d{number}:{recipient.role}", alert, recipient, "email", 0.0, message_id=message_id)
