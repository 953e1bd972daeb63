"""A made-up winter of the notice's agencies for pictures of the board: facts as `tasks` publishes them.

Agencies, clauses and days are those of the notice (deploy/demo/quang-ngai-2024-10.yaml), and so are the documents that
it cites; the clauses of those documents and what became of every task are made up.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from deploy.demo.story import load_notice
from deploy.local.processes import REPOSITORY_ROOT
from shared.contracts.codec import decode, encode
from shared.contracts.topics import AGENCIES, DIRECTIVES, TASKS, Topic
from shared.runtime.consuming import Received
from shared.workdays.calendar import ICT

NOW: Final = datetime(2025, 1, 20, 8, 0, tzinfo=ICT)
_NOTICE: Final = load_notice(REPOSITORY_ROOT / "deploy" / "demo" / "quang-ngai-2024-10.yaml")
PROVINCE: Final = _NOTICE.province
NOTICE: Final = str(_NOTICE.directive["directive"])
OFFICE, STANDING, BEHIND = "H48.01", "H48.07", "H48.35"
ISSUED: Final = datetime(2024, 10, 14, 8, 0, tzinfo=ICT)
_SOURCE: Final = "//dondoc/tasks"
_ACCEPTED_AFTER: Final = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class _Document:
    slug: str
    number: str | None
    kind: str
    issuer: str
    title: str
    clauses: tuple[tuple[str, str, date], ...]


_CITED: Final = (
    _Document(
        "KH-38-UBND-2024",
        "38/KH-UBND",
        "KH",
        "UBND tỉnh",
        "Kế hoạch chuyển đổi số tỉnh Quảng Ngãi năm 2024",
        (
            ("III.1", "Số hóa kết quả giải quyết thủ tục hành chính còn hiệu lực", date(2024, 11, 15)),
            ("III.2", "Công bố danh mục dữ liệu mở và cập nhật lên Cổng dữ liệu của tỉnh", date(2024, 12, 20)),
            ("III.4", "Đánh giá kết quả thực hiện các chỉ tiêu dịch vụ công trực tuyến toàn trình", date(2024, 12, 31)),
            ("III.6", "Cập nhật, công khai quy trình nội bộ giải quyết thủ tục hành chính", date(2024, 11, 8)),
            ("III.7", "Chuẩn hóa danh mục hồ sơ công việc trên môi trường mạng", date(2024, 12, 6)),
            ("III.8", "Cử người tham gia Tổ giúp việc về dữ liệu dùng chung", date(2024, 10, 31)),
            ("III.5", "Phê duyệt hồ sơ đề xuất cấp độ an toàn hệ thống thông tin", date(2025, 1, 24)),
        ),
    ),
    _Document(
        "KH-219-UBND-2023",
        "219/KH-UBND",
        "KH",
        "UBND tỉnh",
        "Kế hoạch nâng cao chỉ số chuyển đổi số cấp tỉnh (DTI)",
        (
            ("II.1", "Rà soát, cập nhật số liệu các chỉ số thành phần DTI năm 2024", date(2024, 11, 30)),
            ("II.3", "Khắc phục các chỉ số thành phần đạt điểm thấp năm 2023", date(2025, 1, 10)),
        ),
    ),
    _Document(
        "QD-04-BCD-2024",
        "04/QĐ-BCĐ",
        "QĐ",
        "Ban Chỉ đạo Chuyển đổi số tỉnh",
        "Giao nhiệm vụ chuyển đổi số năm 2024 cho thành viên Ban Chỉ đạo",
        (
            ("I.2", "Ký số, gửi nhận văn bản điện tử đến cấp xã đạt 100 %", date(2024, 12, 15)),
            ("I.4", "Bồi dưỡng kỹ năng số cho công chức cấp xã", date(2025, 1, 31)),
        ),
    ),
    _Document(
        "CV-4979-UBND-KGVX-2024",
        "4979/UBND-KGVX",
        "CV",
        "UBND tỉnh",
        "Triển khai Chỉ thị số 34/CT-TTg của Thủ tướng Chính phủ",
        (("I.1", "Báo cáo tiến độ xây dựng Đề án chuyển đổi số của ngành, địa phương", date(2024, 10, 25)),),
    ),
    _Document(
        "CV-5233-UBND-KGVX-2024",
        "5233/UBND-KGVX",
        "CV",
        "UBND tỉnh",
        "Đôn đốc kết nối, chia sẻ dữ liệu với các hệ thống dùng chung của tỉnh",
        (("I.1", "Kết nối cơ sở dữ liệu chuyên ngành với Nền tảng tích hợp, chia sẻ dữ liệu", date(2025, 1, 15)),),
    ),
)


def records() -> Iterator[Received]:
    """Everything that reporting is told."""
    for one in _NOTICE.agencies:
        yield _agency(one)
    notice = _NOTICE.directive
    yield _directive(NOTICE, None, str(notice["kind"]), str(notice["issuer"]), str(notice["title"]), _noticed())
    for cited in _CITED:
        clauses = [_obligation(clause, title, ["@all"], "dated") for clause, title, _ in cited.clauses]
        yield _directive(cited.slug, cited.number, cited.kind, cited.issuer, cited.title, clauses)
    for place, task in enumerate(_tasks()):
        yield _received(TASKS, "dondoc.task.acknowledged.v1", task["task_id"], _changed(task), place % 2)


def _noticed() -> list[dict[str, Any]]:
    return [
        _obligation(
            str(one["clause"]),
            str(one["title"]),
            list(one["leads"]),
            str(one["category"]),
            phrase=str(one.get("phrase", "")),
            bases=list(one.get("bases", ())),
        )
        for one in _NOTICE.directive["obligations"]
    ]


def _tasks() -> Iterator[dict[str, Any]]:
    dice = random.Random(20)  # noqa: S311
    for one in _NOTICE.directive["obligations"]:
        if one["due"]["kind"] == "recurring":
            continue
        due = one["due"].get("day")
        for agency in _NOTICE.members(list(one["leads"]), list(one.get("without", ()))):
            # "Trước ngày 20" is done by the 19th.
            last = date.fromisoformat(str(due)) - timedelta(days=1) if due is not None else None
            title, phrase = str(one["title"]), str(one.get("phrase", ""))
            if (str(one["clause"]), agency) == ("II.1.h", BEHIND):
                yield _told_at_length(title, phrase)
                continue
            task = _task(NOTICE, str(one["clause"]), agency, title, last, str(one["category"]), phrase=phrase)
            yield _lived(task, last, agency, dice)
    for document in _CITED:
        for clause, title, last in document.clauses:
            for one in _NOTICE.agencies:
                task = _task(document.slug, clause, str(one["code"]), title, last, "dated")
                yield _lived(task, last, str(one["code"]), dice)


def _lived(task: dict[str, Any], last: date | None, agency: str, dice: random.Random) -> dict[str, Any]:
    """Most are done in time; those that the notice itself calls behind are late more often."""
    behind = any("@behind" in one["groups"] for one in _NOTICE.agencies if str(one["code"]) == agency)
    habit = sum(map(ord, agency)) % 7 / 30
    if last is None:
        is_funded = agency in {"H48.20", "H48.30", STANDING} and task["clause"].startswith("II.1.đ")
        if is_funded or (task["clause"], agency) == ("II.1.d-2", BEHIND):
            return task | _money(dice, task)
        return task
    fate = dice.random() + habit + (0.3 if behind else 0.0)
    days = dice.randint(1, 12)
    if last + timedelta(days=20) > NOW.date():
        # Its day is near or just over.
        return _done(task, last - timedelta(days=days + 4)) if fate < 0.35 else _stuck(task, fate)
    if fate < 0.72:
        return _done(task, last - timedelta(days=days % 6))
    return _done(task, last + timedelta(days=days)) if fate < 0.86 else _stuck(task, fate)


def _stuck(task: dict[str, Any], fate: float) -> dict[str, Any]:
    if fate < 1.12:
        return task
    texts = (
        "Chưa được bố trí kinh phí thuê nền tảng số dùng chung",
        "Phần mềm chuyên ngành của Bộ chưa mở kết nối, không lấy được dữ liệu",
    )
    raised = ISSUED + timedelta(days=30)
    forwarded = fate > 1.2
    return task | {
        "obstacles": [
            {
                "obstacle_id": "kk-1",
                "description": texts[int(fate * 100) % 2],
                "beyond_authority": forwarded,
                "cause": _cause(raised, task["agency"]),
                "answered": None,
                "forwarded_to": "chairman" if forwarded else None,
                "forwarded": _cause(raised + timedelta(days=6), STANDING) if forwarded else None,
                "cleared": None,
            }
        ]
    }


def _done(task: dict[str, Any], day: date) -> dict[str, Any]:
    received = min(datetime(day.year, day.month, day.day, 15, 20, tzinfo=ICT), NOW - timedelta(days=4))
    number = sum(map(ord, task["task_id"])) % 400 + 20
    return task | {"result": "completed", "results": [_result(task["agency"], received, f"{number}/BC")]}


def _result(agency: str, received: datetime, number: str, **more: Any) -> dict[str, Any]:
    return {
        "number": 1,
        "document": {"number": number, "issued_on": received.date()},
        "summary": "",
        "evidence_count": 1,
        "delay_cause": None,
        "cause": _cause(received, agency),
        "verdict": "accepted",
        "verdict_note": "",
        "verdict_cause": _cause(received + _ACCEPTED_AFTER, STANDING if agency != STANDING else OFFICE),
        **more,
    }


def _money(dice: random.Random, task: dict[str, Any]) -> dict[str, Any]:
    given = dice.randint(8, 60) * 50_000_000
    paid = given * dice.randint(35, 100) // 100
    at = datetime(2024, 11, 4, 9, 0, tzinfo=ICT)
    return {
        "allocations": [
            {
                "allocation_id": "kp-1",
                "amount_vnd": given,
                "fiscal_year": 2024 if task["clause"] == "II.1.đ" else 2025,
                "plan": "assigned",
                "document": {"number": "871/QĐ-UBND", "issued_on": at.date()},
                "cause": _cause(at, OFFICE),
            }
        ],
        "disbursements": [
            {
                "cumulative_vnd": paid,
                "as_of": date(2024, 12, 31),
                "cause": _cause(NOW - timedelta(days=12), task["agency"]),
            }
        ],
    }


def _told_at_length(title: str, phrase: str) -> dict[str, Any]:
    """The task of the picture: late, warned, extended once, stuck, and done in the end."""
    last, granted = date(2024, 10, 19), date(2024, 11, 15)
    task = _task(NOTICE, "II.1.h", BEHIND, title, last, "dated", phrase=phrase)
    asked = datetime(2024, 10, 30, 10, 5, tzinfo=ICT)
    answered = datetime(2024, 11, 4, 16, 30, tzinfo=ICT)
    overdue = datetime(2024, 10, 20, tzinfo=ICT)
    version = task["deadlines"][0] | {
        "version": 2,
        "nominal": granted,
        "legal": granted,
        "operational": granted,
        "due_at": datetime(2024, 11, 16, tzinfo=ICT),
        "given_by": "extension",
        "policy": "extension-names-the-day",
        "citation": "Gia hạn theo đề nghị của UBND huyện",
        "document": {"number": "5233/UBND-KGVX", "issued_on": answered.date(), "issuer": "UBND tỉnh"},
        "cause": _cause(answered, OFFICE),
    }
    return task | {
        "seq": 12,
        "result": "submitted",
        "acknowledged": _cause(datetime(2024, 10, 15, 8, 40, tzinfo=ICT), BEHIND),
        "deadlines": [*task["deadlines"], version],
        "extensions": [
            {
                "number": 1,
                "requested_last_day": granted,
                "reason": "Chờ hướng dẫn về danh mục nhiệm vụ ưu tiên năm 2025",
                "cause": _cause(asked, BEHIND),
                "outcome": "granted",
                "outcome_cause": _cause(answered, OFFICE),
            }
        ],
        "milestones": [
            _milestone("overdue", overdue, at=overdue),
            _milestone("escalation", datetime(2024, 10, 22, 8, 0, tzinfo=ICT), at=overdue, level=1),
        ],
        "obstacles": [
            {
                "obstacle_id": "kk-1",
                "description": "Chưa có định mức chi cho nhiệm vụ chuyển đổi số cấp xã",
                "beyond_authority": True,
                "cause": _cause(datetime(2024, 10, 24, 9, 15, tzinfo=ICT), BEHIND),
                "answered": None,
                "forwarded_to": "chairman",
                "forwarded": _cause(datetime(2024, 10, 28, 14, 0, tzinfo=ICT), STANDING),
                "cleared": None,
            }
        ],
        "results": [
            _result(
                BEHIND,
                datetime(2024, 11, 29, 16, 45, tzinfo=ICT),
                "412/BC-UBND",
                summary="Đề xuất 5 nhiệm vụ ưu tiên năm 2025",
                delay_cause="money",
                verdict=None,
                verdict_cause=None,
            )
        ],
    }


def _milestone(kind: str, fired: datetime, *, at: datetime, level: int = 0) -> dict[str, Any]:
    names = {"id": f"{kind}-{level}", "kind": kind, "level": level, "days_before": 0, "deadline_version": 1}
    return names | {"at": max(at, fired), "fired_at": fired, "retracted": None}


def _task(
    directive: str, clause: str, agency: str, title: str, last: date | None, category: str, *, phrase: str = ""
) -> dict[str, Any]:
    cause = _cause(ISSUED, OFFICE)
    deadlines = []
    if last is not None:
        deadlines.append(
            {
                "version": 1,
                "nominal": last,
                "legal": last,
                "operational": last - timedelta(days=max(0, last.weekday() - 4)),
                "due_at": datetime(last.year, last.month, last.day, tzinfo=ICT) + timedelta(days=1),
                "policy": "before-named-day",
                "citation": "",
                "document": None,
                "cause": cause,
            }
        )
    nothing: dict[str, Any] = dict.fromkeys(("period", "predecessor", "acknowledged", "progress", "ended"))
    empty: dict[str, Any] = {
        name: []
        for name in ("bases", "results", "extensions", "milestones", "obstacles", "allocations", "disbursements")
    }
    return {
        "task_id": f"{PROVINCE}/{directive}/{clause}/{agency}",
        "seq": 1,
        "province": PROVINCE,
        "directive": directive,
        "clause": clause,
        "agency": agency,
        "title": title,
        "phrase": phrase,
        "category": category,
        "cooperating": [STANDING] if agency != STANDING else [],
        "reviewer": STANDING if agency != STANDING else OFFICE,
        "acceptance": "reviewer",
        "result": "assigned",
        "assigned": cause,
        "deadlines": deadlines,
        **nothing,
        **empty,
    }


def _cause(received: datetime, actor: str) -> dict[str, Any]:
    return {
        "event_id": f"{actor.lower()}-{received:%y%m%d-%H%M}",
        "actor": actor,
        "received_at": received,
        "recorded_at": received + timedelta(seconds=1),
    }


def _changed(task: dict[str, Any]) -> dict[str, Any]:
    change = {"reason": "applied", "cause": task["assigned"], "previous": "", "new": ""}
    return {"task_id": task["task_id"], "seq": task["seq"], "change": change, "task": task}


def _agency(one: Mapping[str, Any]) -> Received:
    nothing = dict.fromkeys(("valid_to", "basis", "contact", "head_contact"))
    data = {
        "province": PROVINCE,
        "code": one["code"],
        "seq": 1,
        "name": one["name"],
        "role": one.get("role", "agency"),
        "groups": one["groups"],
        "valid_from": date(2024, 1, 1),
        "successors": [],
        "head_title": one["head_title"],
        "cause": _cause(ISSUED, OFFICE),
        **nothing,
    }
    return _received(AGENCIES, "dondoc.agency.changed.v1", str(one["code"]), data)


def _obligation(clause: str, title: str, leads: list[str], category: str, **more: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {"phrase": "", "cooperating": [], "bases": [], "feeds": [], "reviewer": None}
    named = {"clause": clause, "title": title, "leads": leads, "category": category, "acceptance": "reviewer"}
    return empty | named | more


def _directive(
    slug: str, number: str | None, kind: str, issuer: str, title: str, obligations: Sequence[dict[str, Any]]
) -> Received:
    nothing = dict.fromkeys(("revoked", "revoked_document", "revoked_reason"))
    data = {
        "province": PROVINCE,
        "directive": slug,
        "seq": 1,
        "revision": 1,
        "kind": kind,
        "number": number,
        "issuer": issuer,
        "issued_on": ISSUED.date(),
        "title": title,
        "obligations": list(obligations),
        "issued": _cause(ISSUED, OFFICE),
        "cause": _cause(ISSUED, OFFICE),
        **nothing,
    }
    return _received(DIRECTIVES, "dondoc.directive.changed.v1", f"{PROVINCE}/{slug}", data)


def _received(topic: Topic, kind: str, key: str, data: dict[str, Any], partition: int = 0) -> Received:
    value = encode(event_type=kind, event_id=f"{key}:1", source=_SOURCE, time=ISSUED, province=PROVINCE, data=data)
    return Received(decode(topic.name, value), topic.name, partition, 0, key.encode())
