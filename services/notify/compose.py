"""Writes messages from the templates, in official Vietnamese."""

from datetime import date, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from services.notify.domain.alert import Alert, AlertKind
from services.notify.domain.grouping import Group
from services.notify.ports import Contact, Message

ICT_OFFSET = timedelta(hours=7)

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

    def __call__(self, group: Group, contact: Contact, to: str, *, now: datetime) -> Message:
        """One message for one group of alerts."""
        today = (now + ICT_OFFSET).date()
        subject = _SUBJECTS[group.kind].format(n=len(group.deliveries), level=group.level)
        content = {
            "greeting": contact.name,
            "opening": _OPENINGS[group.kind],
            "subject": subject,
            "directive": group.directive,
            "rows": [self._row(delivery.alert, today) for delivery in group.deliveries],
            "shows_late": group.kind in {AlertKind.OVERDUE, AlertKind.ESCALATION},
        }
        return Message(
            group.message_id,
            to,
            f"[Đôn đốc] {subject} – {group.directive}",
            self._text.render(content),
            self._html.render(content),
        )

    def _row(self, alert: Alert, today: date) -> dict[str, str]:
        last_day = alert.last_day
        late = (today - last_day).days if last_day is not None else 0
        return {
            "clause": alert.clause,
            "title": alert.title,
            "agency": alert.agency,
            "last_day": f"{last_day:%d/%m/%Y}" if last_day else "chưa có hạn",
            "late": f"{late} ngày" if late > 0 else "–",
            "link": f"{self._board_url}/tasks/{quote(alert.task_id)}",
        }
