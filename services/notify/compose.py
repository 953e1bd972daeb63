"""Writes messages from the templates, in official Vietnamese."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, select_autoescape

from services.notify.domain.alert import Alert, AlertKind
from services.notify.domain.digest import (
    TOPIC_OF,
    Digest,
    Gone,
    Line,
    Section,
    Summary,
    Topic,
    Unreachable,
    line_of_alert,
    section,
)
from services.notify.domain.routing import Role
from services.notify.ports import Letter, Message

ICT = timezone(timedelta(hours=7))

TITLE_CHARACTERS_MAX = 240
"""The link has the rest."""
NAME_CHARACTERS_MAX = 120
"""Of an agency, a directive, a clause."""
SUBJECT_CHARACTERS_MAX = 200

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
_ESSENCES = {
    AlertKind.ASSIGNED: "Cơ quan được giao {n} nhiệm vụ",
    AlertKind.DUE_SOON: "{n} nhiệm vụ sắp đến hạn",
    AlertKind.OVERDUE: "{n} nhiệm vụ quá hạn",
    AlertKind.OVERDUE_RETRACTED: "Rút thông báo quá hạn đối với {n} nhiệm vụ",
    AlertKind.ESCALATION: "{n} nhiệm vụ chậm tiến độ",
    AlertKind.REVIEW_REMINDER: "{n} kết quả đang chờ thẩm định",
    AlertKind.RESULT_RETURNED: "Kết quả của {n} nhiệm vụ bị trả lại, cần bổ sung",
    AlertKind.EXTENSION_GRANTED: "{n} nhiệm vụ được gia hạn",
    AlertKind.EXTENSION_REFUSED: "Đề nghị gia hạn {n} nhiệm vụ không được chấp thuận",
    AlertKind.OBSTACLE: "{n} nhiệm vụ có khó khăn, vướng mắc cần xem xét",
    AlertKind.CHANGED: "{n} nhiệm vụ được điều chỉnh (nội dung, thời hạn, tạm dừng hoặc tiếp tục)",
    AlertKind.CONTRIBUTION: "{n} nhiệm vụ có kết quả phối hợp mới hoặc ý kiến của cơ quan chủ trì",
    AlertKind.SUCCESSION: "{n} nhiệm vụ cần xác định cơ quan kế thừa do sắp xếp lại cơ quan thực hiện",
    AlertKind.ENDED: "{n} nhiệm vụ kết thúc, không tiếp tục thực hiện tại cơ quan",
}
_REQUESTS = {
    AlertKind.ASSIGNED: "Đề nghị cơ quan tiếp nhận, phân công và tổ chức thực hiện đúng thời hạn.",
    AlertKind.DUE_SOON: "Đề nghị cơ quan hoàn thành và nộp kết quả đúng thời hạn; trường hợp cần gia hạn, "
    "đề nghị có văn bản trước khi hết hạn.",
    AlertKind.OVERDUE: "Đề nghị cơ quan khẩn trương hoàn thành, nộp kết quả và báo cáo nguyên nhân chậm.",
    AlertKind.OVERDUE_RETRACTED: "Thông báo quá hạn đã gửi trước đây đối với các nhiệm vụ sau không còn giá trị.",
    AlertKind.REVIEW_REMINDER: "Đề nghị thẩm định để xác nhận hoàn thành hoặc trả lại kết quả.",
    AlertKind.RESULT_RETURNED: "Đề nghị cơ quan bổ sung, hoàn thiện và nộp lại kết quả.",
    AlertKind.EXTENSION_GRANTED: "Thời hạn mới được ghi tại từng nhiệm vụ; thời hạn ban đầu vẫn được lưu.",
    AlertKind.EXTENSION_REFUSED: "Thời hạn hiện hành được giữ nguyên; đề nghị cơ quan tập trung hoàn thành nhiệm vụ.",
    AlertKind.OBSTACLE: "Đề nghị xem xét, cho ý kiến tháo gỡ; trường hợp vượt thẩm quyền, đề nghị báo cáo cấp trên.",
    AlertKind.CHANGED: "Đề nghị cơ quan rà soát và thực hiện theo nội dung, thời hạn hiện hành.",
    AlertKind.CONTRIBUTION: "Đề nghị xem chi tiết tại từng nhiệm vụ.",
    AlertKind.SUCCESSION: "Đề nghị xác định cơ quan kế thừa để việc thực hiện nhiệm vụ không bị gián đoạn.",
    AlertKind.ENDED: "Cơ quan không phải nộp kết quả của các nhiệm vụ này.",
}
# Only the standing agency and above may ask others to mend their ways; the agency itself is asked for the result.
_ESCALATION_REQUESTS = {
    Role.AGENCY: "Đề nghị cơ quan khẩn trương thực hiện, nộp kết quả và báo cáo nguyên nhân chậm.",
    Role.HEAD: "Đề nghị {head} chỉ đạo thực hiện và báo cáo nguyên nhân chậm.",
    Role.STANDING: "Đề nghị cơ quan thường trực đôn đốc cơ quan chủ trì, làm rõ nguyên nhân và tham mưu chấn chỉnh "
    "khi cần thiết.",
    Role.CHAIRMAN_OFFICE: "Kính đề nghị tham mưu, báo cáo Chủ tịch Ủy ban nhân dân xem xét, chỉ đạo, chấn chỉnh.",
    Role.REVIEWER: "Kính gửi cơ quan thẩm định để theo dõi.",
}
_WHY_THEY_GET_IT = {
    Role.AGENCY: "cơ quan là cơ quan chủ trì nhiệm vụ",
    Role.HEAD: "người nhận là người đứng đầu cơ quan chủ trì nhiệm vụ",
    Role.STANDING: "cơ quan là cơ quan thường trực, theo dõi, đôn đốc việc thực hiện nhiệm vụ",
    Role.CHAIRMAN_OFFICE: "cơ quan giúp Chủ tịch Ủy ban nhân dân theo dõi việc thực hiện nhiệm vụ",
    Role.REVIEWER: "cơ quan được giao thẩm định kết quả thực hiện nhiệm vụ",
}
_COOPERATES = "cơ quan là cơ quan phối hợp thực hiện nhiệm vụ"

_HEADINGS = {
    Topic.OVERDUE: "Quá hạn",
    Topic.DUE_SOON: "Sắp đến hạn",
    Topic.ESCALATION: "Báo cáo chậm tiến độ",
    Topic.RETRACTED: "Rút thông báo quá hạn",
    Topic.RETURNED: "Kết quả bị trả lại, cần bổ sung",
    Topic.REVIEW: "Kết quả chờ thẩm định",
    Topic.OBSTACLE: "Khó khăn, vướng mắc cần xem xét",
    Topic.SUCCESSION: "Cần xác định cơ quan kế thừa",
    Topic.EXTENSION: "Trả lời đề nghị gia hạn",
    Topic.ASSIGNED: "Nhiệm vụ mới giao",
    Topic.CONTRIBUTION: "Kết quả phối hợp",
    Topic.CHANGED: "Nhiệm vụ được điều chỉnh",
    Topic.ENDED: "Nhiệm vụ kết thúc",
}
_COUNTED = {
    Topic.OVERDUE: "quá hạn",
    Topic.DUE_SOON: "sắp đến hạn",
    Topic.ESCALATION: "được báo cáo chậm tiến độ",
    Topic.RETRACTED: "được rút thông báo quá hạn",
    Topic.RETURNED: "bị trả lại kết quả",
    Topic.REVIEW: "chờ thẩm định",
    Topic.OBSTACLE: "có khó khăn, vướng mắc",
    Topic.SUCCESSION: "cần xác định cơ quan kế thừa",
    Topic.EXTENSION: "có trả lời đề nghị gia hạn",
    Topic.ASSIGNED: "mới giao",
    Topic.CONTRIBUTION: "có kết quả phối hợp",
    Topic.CHANGED: "được điều chỉnh",
    Topic.ENDED: "kết thúc",
}
"""Follows "n nhiệm vụ"."""
_STANDING_TOPICS = frozenset({Topic.OVERDUE, Topic.DUE_SOON})
_LATE_TOPICS = frozenset({Topic.OVERDUE, Topic.ESCALATION})
"""Only here a passed day is called overdue: elsewhere a result may wait for review, or the overdue was taken back."""
_TIMELESS_TOPICS = frozenset({Topic.REVIEW, Topic.ENDED})
"""Nobody's days are counted there."""
_GONE = {
    Gone.COMPLETED: "đã hoàn thành",
    Gone.SUBMITTED: "đã nộp kết quả",
    Gone.DEADLINE_MOVED: "thời hạn được điều chỉnh",
    Gone.SUSPENDED: "tạm dừng",
    Gone.ENDED: "không tiếp tục thực hiện",
}
_ROLES: dict[str, str] = {
    Role.AGENCY: "cơ quan",
    Role.HEAD: "người đứng đầu",
    Role.STANDING: "cơ quan thường trực",
    Role.CHAIRMAN_OFFICE: "văn phòng Ủy ban nhân dân",
    Role.REVIEWER: "cơ quan thẩm định",
}
_CHANNELS = {"email": "thư điện tử", "webhook": "kết nối phần mềm (webhook)"}
_CAUSES = {
    "no_contact": "chưa đăng ký địa chỉ nhận",
    "no_mailbox": "hộp thư không tồn tại",
    "bad_mailbox": "địa chỉ thư không hợp lệ",
    "recipient_busy": "hộp thư bận hoặc đầy",
}


class Composer:
    """Implements ports.Compose. Days are counted from the local day of `now`, in a digest from its own."""

    def __init__(self, *, board_url: str) -> None:
        self._board_url = board_url.rstrip("/")
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._alerts = self._pair("alerts")
        self._digest = self._pair("digest")
        self._summary = self._pair("summary")

    def _pair(self, name: str) -> tuple[Template, Template]:
        return self._templates.get_template(f"{name}.txt"), self._templates.get_template(f"{name}.html")

    def alerts(self, letter: Letter, alerts: Sequence[Alert], *, now: datetime) -> Message:
        """One message for alerts of one kind and level. Of a task's, the newest counts."""
        by_task = {alert.task_id: alert for alert in sorted(alerts, key=lambda one: one.seq)}
        alerts = tuple(by_task.values())
        kind, level = alerts[0].kind, alerts[0].level
        today = now.astimezone(ICT).date()
        listed = section(TOPIC_OF[kind], [_line(alert) for alert in alerts])
        subject = _SUBJECTS[kind].format(n=len(alerts), level=level)
        directives = sorted({alert.directive for alert in alerts})
        about = _plain(directives[0], NAME_CHARACTERS_MAX) if len(directives) == 1 else f"{len(directives)} văn bản"
        is_cooperating = _helping(letter, alerts) == len(alerts)
        content = {
            "heading": subject,
            "essence": _essence(letter, alerts, today),
            "happened": _happened(alerts, today),
            "request": _request(letter, kind),
            "why": _COOPERATES if is_cooperating else _WHY_THEY_GET_IT[letter.role],
            "section": self._section(listed, letter, today),
        }
        data = {
            "level": level,
            "unlisted": listed.unlisted,
            "alerts": [_alert_data(by_task[line.task_id]) for line in _lines(listed)],
        }
        return self._message(self._alerts, letter, kind.value, f"{subject} – {about}", content, data, now)

    def digest(self, letter: Letter, digest: Digest, *, now: datetime) -> Message:
        """The message of one working day."""
        name = _plain(letter.agency_name, NAME_CHARACTERS_MAX)
        content = {
            "heading": f"Bản tin ngày {_day(digest.day)}",
            "essence": _digest_essence(digest),
            "rest": _digest_rest(digest),
            "why": _WHY_THEY_GET_IT[letter.role],
            "sections": [self._section(one, letter, digest.day) for one in digest.sections],
            "is_late": any(one.topic is Topic.OVERDUE for one in digest.sections),
            "gone": [
                {
                    "link": self._link(one.task_id),
                    "directive": _plain(one.directive, NAME_CHARACTERS_MAX),
                    "clause": _plain(one.clause, NAME_CHARACTERS_MAX),
                    "title": _plain(one.title, TITLE_CHARACTERS_MAX),
                    "why": _GONE[one.why],
                }
                for one in digest.gone
            ],
            "folded": digest.folded,
            "unreachable": [_unreachable(one, letter) for one in digest.unreachable],
        }
        data = {
            "day": digest.day.isoformat(),
            "sections": [_section_data(one, digest.day) for one in digest.sections],
            "gone": [
                {
                    "task_id": one.task_id,
                    "directive": one.directive,
                    "clause": one.clause,
                    "title": one.title,
                    "why": one.why.value,
                }
                for one in digest.gone
            ],
            "folded": digest.folded,
            "unreachable": [
                {
                    "agency": one.agency,
                    "role": one.role,
                    "channel": one.channel,
                    "cause": one.cause,
                    "messages": one.messages,
                }
                for one in digest.unreachable
            ],
        }
        subject = f"Bản tin ngày {_day(digest.day)}: {_digest_figures(digest)} – {name}"
        return self._message(self._digest, letter, "digest", subject, content, data, now)

    def summary(self, letter: Letter, summary: Summary, *, now: datetime) -> Message:
        """The month in figures for the head."""
        today = now.astimezone(ICT).date()
        year, _, month = summary.month.partition("-")
        overdue = summary.overdue_lines
        content = {
            "heading": f"Tổng hợp tháng {month}/{year}",
            "essence": (
                f"{summary.all} nhiệm vụ: {summary.completed} đã hoàn thành, {summary.submitted} chờ thẩm định, "
                f"{summary.overdue} quá hạn, {summary.due_soon} sắp đến hạn, {summary.others} khác."
            ),
            "why": _WHY_THEY_GET_IT[letter.role],
            "figures": [
                ("Đã hoàn thành", summary.completed, "calm"),
                ("Đã nộp kết quả, chờ thẩm định", summary.submitted, "calm"),
                ("Quá hạn", summary.overdue, "late" if summary.overdue else "calm"),
                ("Sắp đến hạn", summary.due_soon, "soon" if summary.due_soon else "calm"),
                ("Khác (đang thực hiện trong hạn, chưa có hạn, tạm dừng)", summary.others, "calm"),
            ],
            "all": summary.all,
            "section": self._section(overdue, letter, today) if overdue is not None else None,
        }
        data = {
            "month": summary.month,
            "all": summary.all,
            "completed": summary.completed,
            "submitted": summary.submitted,
            "overdue": summary.overdue,
            "due_soon": summary.due_soon,
            "others": summary.others,
            "overdue_lines": _section_data(overdue, today) if overdue is not None else None,
        }
        subject = f"Tổng hợp tháng {month}/{year} – {_plain(letter.agency_name, NAME_CHARACTERS_MAX)}"
        return self._message(self._summary, letter, "summary", subject, content, data, now)

    def _message(
        self,
        pair: tuple[Template, Template],
        letter: Letter,
        kind: str,
        subject: str,
        content: Mapping[str, Any],
        data: Mapping[str, Any],
        now: datetime,
    ) -> Message:
        written_at = now.astimezone(ICT)
        subject = _plain(f"[Đôn đốc] {subject}", SUBJECT_CHARACTERS_MAX)
        shared = {
            "subject": subject,
            "greeting": _greeting(letter),
            "board": self._board_url,
            "as_of": f"{written_at:%H:%M} ngày {_day(written_at.date())}",
        }
        text, html = (template.render({**shared, **content}) for template in pair)
        about = {"province": letter.province, "agency": letter.agency, "role": letter.role.value}
        return Message(letter.message_id, letter.to, subject, text, html, written_at, kind, {**about, **data})

    def _section(self, one: Section, letter: Letter, today: date) -> dict[str, Any]:
        return {
            "heading": _HEADINGS[one.topic],
            "tone": "late" if one.topic in _LATE_TOPICS else "soon" if one.topic is Topic.DUE_SOON else "calm",
            "count": one.count,
            "unlisted": one.unlisted,
            "directives": [
                (_plain(name, NAME_CHARACTERS_MAX), [self._row(line, one.topic, letter, today) for line in lines])
                for name, lines in one.directives
            ],
        }

    def _row(self, line: Line, topic: Topic, letter: Letter, today: date) -> dict[str, Any]:
        state, tone = _state(line, topic, today)
        return {
            "link": self._link(line.task_id),
            "clause": _plain(line.clause, NAME_CHARACTERS_MAX),
            "title": _plain(line.title, TITLE_CHARACTERS_MAX),
            # Whose task it is goes without saying in a letter to that very agency.
            "agency": _name(line.agency, letter) if line.agency != letter.agency else None,
            "last_day": _day(line.last_day) if line.last_day else None,
            "state": state,
            "tone": tone,
            # In the other sections everything is new: the mark would say nothing.
            "is_new": line.is_new and topic in _STANDING_TOPICS,
            "level": line.level,
        }

    def _link(self, task_id: str) -> str:
        return f"{self._board_url}/tasks/{quote(task_id)}"


def _plain(text: str, characters_max: int) -> str:
    """One line of what came from a document: no control or invisible characters, cut at a word where it is too long."""
    visible = "".join(
        " " if unicodedata.category(one) == "Cc" else one
        for one in text
        if unicodedata.category(one) not in {"Cf", "Cs"}
    )
    line = " ".join(visible.split())
    if len(line) <= characters_max:
        return line
    cut = line[: characters_max - 1]
    at_word = cut.rpartition(" ")[0]
    return f"{at_word if len(at_word) > characters_max // 2 else cut}…"


def _day(day: date) -> str:
    return f"{day:%d/%m/%Y}"


def _name(code: str, letter: Letter) -> str:
    return _plain(letter.names.get(code, ""), NAME_CHARACTERS_MAX) or _plain(code, NAME_CHARACTERS_MAX)


def _greeting(letter: Letter) -> str:
    """The head in person where the mailbox is only read as the head's, else the agency."""
    name = _plain(letter.agency_name, NAME_CHARACTERS_MAX)
    if letter.head_title is None:
        return name
    return f"{_plain(letter.head_title, NAME_CHARACTERS_MAX)}, {name}"


def _state(line: Line, topic: Topic, today: date) -> tuple[str | None, str]:
    """What the calendar says of a task, in words, and how urgent it looks."""
    if topic in _TIMELESS_TOPICS or line.last_day is None:
        return None, "calm"
    left = (line.last_day - today).days
    if topic in _LATE_TOPICS and left < 0:
        return f"quá hạn {-left} ngày", "late"
    if left > 0:
        return f"còn {left} ngày", "soon" if topic is Topic.DUE_SOON else "calm"
    # Past its day and not yet found overdue, as while an outage is being caught up with.
    return ("hôm nay là hạn cuối", "soon") if left == 0 else (None, "calm")


def _line(alert: Alert) -> Line:
    """The whole message is about that level, and all of it is new."""
    return replace(line_of_alert(alert), is_new=False, level=0)


def _lines(one: Section) -> Iterable[Line]:
    return (line for _, lines in one.directives for line in lines)


def _helping(letter: Letter, alerts: Iterable[Alert]) -> int:
    """In how many of the tasks the reader cooperates. Its code need not be a task's own: it may be a successor."""
    return sum(letter.agency in alert.cooperating for alert in alerts) if letter.role is Role.AGENCY else 0


# -- sentences ---------------------------------------------------------------------------------------------------------


def _essence(letter: Letter, alerts: Sequence[Alert], today: date) -> str:
    kind = alerts[0].kind
    said = _ESSENCES[kind].format(n=len(alerts))
    days = [alert.last_day for alert in alerts if alert.last_day is not None]
    if kind is AlertKind.ASSIGNED:
        helping = _helping(letter, alerts)
        if helping == len(alerts):
            said = f"Cơ quan được giao phối hợp thực hiện {len(alerts)} nhiệm vụ"
        elif helping:
            said += f", trong đó phối hợp {helping}"
    if kind in {AlertKind.ASSIGNED, AlertKind.DUE_SOON} and (ahead := [day for day in days if day >= today]):
        said += f"; hạn gần nhất {_day(min(ahead))}"
    if TOPIC_OF[kind] in _LATE_TOPICS and days and min(days) < today:
        # "1 nhiệm vụ quá hạn 5 ngày", "1 nhiệm vụ chậm tiến độ, quá hạn 5 ngày", "3 nhiệm vụ …, lâu nhất 5 ngày"
        said += ", lâu nhất" if len(alerts) > 1 else ", quá hạn" if kind is AlertKind.ESCALATION else ""
        said += f" {(today - min(days)).days} ngày"
    if kind is AlertKind.ESCALATION:
        said += f"; báo cáo mức {alerts[0].level}"
    return f"{said}."


def _happened(alerts: Sequence[Alert], today: date) -> str | None:
    """Since when, for whoever has to act on an escalation."""
    days = [alert.last_day for alert in alerts if alert.last_day is not None and alert.last_day < today]
    if alerts[0].kind is not AlertKind.ESCALATION or not days:
        return None
    since = _day(min(days) + timedelta(days=1))
    if len(alerts) == 1:
        return f"Nhiệm vụ dưới đây đã quá hạn từ ngày {since}, đến nay chưa có kết quả."
    return f"Các nhiệm vụ dưới đây đã quá hạn, sớm nhất từ ngày {since}, đến nay chưa có kết quả."


def _request(letter: Letter, kind: AlertKind) -> str:
    if kind is AlertKind.ESCALATION:
        head = _plain(letter.head_title, NAME_CHARACTERS_MAX) if letter.head_title else "người đứng đầu cơ quan"
        return _ESCALATION_REQUESTS[letter.role].format(head=head)
    return _REQUESTS[kind]


def _new(one: Section) -> int | None:
    """How many are new; None where not all are listed, and nobody knows."""
    return sum(line.is_new for line in _lines(one)) if one.unlisted == 0 else None


def _digest_essence(digest: Digest) -> str:
    """What one must know: how the tasks stand, and what was achieved."""
    said: list[str] = []
    for one in digest.sections:
        if one.topic in _STANDING_TOPICS:
            new, noun = _new(one), "" if said else "nhiệm vụ "
            said.append(f"{one.count} {noun}{_COUNTED[one.topic]}{f' ({new} mới)' if new else ''}")
    stands = ", ".join(said) if said else "Không có nhiệm vụ quá hạn hoặc sắp đến hạn"
    gone = Counter(one.why for one in digest.gone)
    achieved = [f"{gone[why]} {_GONE[why]}" for why in (Gone.COMPLETED, Gone.SUBMITTED) if gone[why]]
    return f"{stands}; {', '.join(achieved)} từ bản tin trước." if achieved else f"{stands}."


def _digest_rest(digest: Digest) -> str | None:
    """The other sections, in figures."""
    said: list[str] = []
    for one in digest.sections:
        if one.topic not in _STANDING_TOPICS:
            said.append(f"{one.count} {'' if said else 'nhiệm vụ '}{_COUNTED[one.topic]}")
    parts = [", ".join(said)] if said else []
    if digest.unreachable:
        parts.append(f"không gửi được thư tới {len(digest.unreachable)} nơi")
    return f"Ngoài ra: {'; '.join(parts)}." if parts else None


def _digest_figures(digest: Digest) -> str:
    """For the subject: the two figures that count."""
    figures = [f"{one.count} {_COUNTED[one.topic]}" for one in digest.sections if one.topic in _STANDING_TOPICS]
    if figures:
        return ", ".join(figures)
    others = sum(one.count for one in digest.sections)
    return f"{others} nội dung mới" if others else "không có nhiệm vụ quá hạn, sắp đến hạn"


def _unreachable(one: Unreachable, letter: Letter) -> dict[str, Any]:
    return {
        "agency": _name(one.agency, letter),
        "role": _ROLES.get(one.role) or _plain(one.role, NAME_CHARACTERS_MAX),
        "channel": _CHANNELS.get(one.channel) or _plain(one.channel, NAME_CHARACTERS_MAX),
        "cause": _CAUSES.get(one.cause) or f"máy chủ không nhận ({_plain(one.cause, NAME_CHARACTERS_MAX)})",
        "messages": one.messages,
    }


# -- the same for machines ---------------------------------------------------------------------------------------------


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day is not None else None


def _alert_data(alert: Alert) -> dict[str, Any]:
    return {
        "alert_id": alert.alert_id,
        "task_id": alert.task_id,
        "directive": alert.directive,
        "clause": alert.clause,
        "title": alert.title,
        "agency": alert.agency,
        "last_day": _iso(alert.last_day),
        "level": alert.level,
    }


def _section_data(one: Section, today: date) -> dict[str, Any]:
    return {
        "topic": one.topic.value,
        "count": one.count,
        "unlisted": one.unlisted,
        "lines": [
            {
                "task_id": line.task_id,
                "directive": line.directive,
                "clause": line.clause,
                "title": line.title,
                "agency": line.agency,
                "last_day": _iso(line.last_day),
                "days_late": line.days_late(today) if one.topic in _LATE_TOPICS else 0,
                "is_new": line.is_new,
                "level": line.level,
            }
            for line in _lines(one)
        ],
    }
