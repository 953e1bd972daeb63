"""Writes messages from the templates, in official Vietnamese."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from services.notify.domain.alert import Alert, AlertKind
from services.notify.domain.grouping import ALERTS_LISTED_MAX, Group
from services.notify.domain.routing import Role
from services.notify.ports import Contact, Message

ICT = timezone(timedelta(hours=7))

_SUBJECTS = {
    AlertKind.ASSIGNED: "Giao {n} nhiệm vụ",
    AlertKind.DUE_SOON: "Nhắc hạn {n} nhiệm vụ",
    AlertKind.OVERDUE: "Quá hạn {n} nhiệm vụ",
    AlertKind.OVERDUE_RETRACTED: "Rút thông báo quá hạn {n} nhiệm vụ",
    AlertKind.ESCALATION: "Báo cáo chậm tiến độ (mức {level}): {n} nhiệm vụ",
    AlertKind.REVIEW_REMINDER: "Nhắc thẩm định {n} kết quả",
    AlertKind.RESULT_RETURNED: "Trả lại kết quả {n} nhiệm vụ",
    AlertKind.EXTENSION_GRANTED: "Gia hạn {n} nhiệm vụ",
    AlertKind.EXTENSION_REFUSED: "Không gia hạn {n} nhiệm vụ",
    AlertKind.OBSTACLE: "Khó khăn, vướng mắc ở {n} nhiệm vụ",
    AlertKind.CHANGED: "Điều chỉnh {n} nhiệm vụ",
    AlertKind.CONTRIBUTION: "Kết quả phối hợp ở {n} nhiệm vụ",
    AlertKind.SUCCESSION: "Cần xác định cơ quan kế thừa {n} nhiệm vụ",
    AlertKind.ENDED: "Kết thúc {n} nhiệm vụ",
}
_OPENINGS = {
    AlertKind.ASSIGNED: "Cơ quan được giao các nhiệm vụ sau:",
    AlertKind.DUE_SOON: "Các nhiệm vụ sau sắp đến hạn:",
    AlertKind.OVERDUE: "Các nhiệm vụ sau đã quá hạn:",
    AlertKind.OVERDUE_RETRACTED: "Thông báo quá hạn trước đây đối với các nhiệm vụ sau được rút lại:",
    AlertKind.ESCALATION: "Các nhiệm vụ sau chậm tiến độ, đề nghị chỉ đạo:",
    AlertKind.REVIEW_REMINDER: "Kết quả của các nhiệm vụ sau đang chờ thẩm định:",
    AlertKind.RESULT_RETURNED: "Kết quả của các nhiệm vụ sau bị trả lại, đề nghị bổ sung:",
    AlertKind.EXTENSION_GRANTED: "Các nhiệm vụ sau được gia hạn:",
    AlertKind.EXTENSION_REFUSED: "Đề nghị gia hạn các nhiệm vụ sau không được chấp thuận:",
    AlertKind.OBSTACLE: "Các nhiệm vụ sau có khó khăn, vướng mắc cần xem xét:",
    AlertKind.CHANGED: "Các nhiệm vụ sau được điều chỉnh (nội dung, thời hạn, tạm dừng hoặc tiếp tục):",
    AlertKind.CONTRIBUTION: "Các nhiệm vụ sau có kết quả phối hợp mới hoặc ý kiến của cơ quan chủ trì:",
    AlertKind.SUCCESSION: "Cơ quan thực hiện các nhiệm vụ sau đã được sắp xếp lại, đề nghị xác định cơ quan kế thừa:",
    AlertKind.ENDED: "Các nhiệm vụ sau kết thúc, không tiếp tục thực hiện tại cơ quan:",
}


class Composer:
    """Implements ports.Compose."""

    def __init__(self, *, board_url: str) -> None:
        self._board_url = board_url.rstrip("/")
        templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._text = templates.get_template("alerts.txt")
        self._html = templates.get_template("alerts.html")

    def __call__(self, group: Group, contacts: Mapping[str, Contact], *, now: datetime) -> Message:
        """One message for one group of alerts."""
        written_at = now.astimezone(ICT)
        first = group.first.alert
        alerts, directives = group.alerts, group.directives
        subject = _SUBJECTS[first.kind].format(n=len(alerts), level=first.level)
        about = directives[0] if len(directives) == 1 else f"{len(directives)} văn bản"
        listed = alerts[:ALERTS_LISTED_MAX]
        content = {
            "greeting": _greeting(group, contacts),
            "opening": _OPENINGS[first.kind],
            "subject": subject,
            "directive": directives[0] if len(directives) == 1 else None,
            "rows": [self._row(alert, contacts, written_at.date()) for alert in listed],
            "rest": len(alerts) - len(listed),
            "shows_late": first.kind in {AlertKind.OVERDUE, AlertKind.ESCALATION},
            "board": self._board_url,
        }
        return Message(
            group.message_id,
            group.mailbox,
            f"[Đôn đốc] {subject} – {about}",
            self._text.render(content),
            self._html.render(content),
            written_at,
        )

    def _row(self, alert: Alert, contacts: Mapping[str, Contact], today: date) -> dict[str, str]:
        last_day = alert.last_day
        late = (today - last_day).days if last_day is not None else 0
        agency = contacts.get(alert.agency)
        return {
            "directive": alert.directive,
            "clause": alert.clause,
            "title": alert.title,
            "agency": agency.name if agency is not None else alert.agency,
            "last_day": f"{last_day:%d/%m/%Y}" if last_day else "chưa có hạn",
            "late": f"{late} ngày" if late > 0 else "–",
            "link": f"{self._board_url}/tasks/{quote(alert.task_id)}",
        }


def _greeting(group: Group, contacts: Mapping[str, Contact]) -> str:
    """The head in person where the mailbox is only read as the head's, else the agency."""
    contact = contacts[group.first.recipient.agency]
    if contact.head_title is not None and all(one.role is Role.HEAD for one in group.recipients):
        return f"{contact.head_title}, {contact.name}"
    return contact.name
