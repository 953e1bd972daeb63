"""A task's whole history out of its snapshot: what was received when, from whom, and why. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from services.reporting.board import words
from shared.contracts.model import Document
from shared.contracts.task_facts import Cause, DeadlineVersion, MilestoneKind, MilestoneRecord, TaskSnapshot

LEVELS: Final = {1: "thủ trưởng cơ quan", 2: "cơ quan thường trực", 3: "Chủ tịch UBND tỉnh"}
CLOCK: Final = "clock"


@dataclass(frozen=True, slots=True)
class Happened:
    """One thing that happened to a task."""

    at: datetime
    """When it was received; of what time did by itself, when it was due."""
    what: str
    actor: str
    """An agency's code; `clock` for what time did."""
    kind: str
    """What it is of, for a filter or a mark: assigned, result, deadline, milestone…"""
    why: tuple[str, ...] = ()
    recorded_at: datetime | None = None
    event_id: str = ""
    taken_back: str = ""
    """Words, where it does not count any more."""


def cited(document: Document | None) -> str:
    """Văn bản số 12/QĐ-UBND ngày 14/11/2024 của UBND tỉnh."""
    if document is None:
        return ""
    number = f"Văn bản số {document.number}" if document.number else "Văn bản chưa có số"
    issuer = f" của {document.issuer}" if document.issuer else ""
    title = f": {document.title}" if document.title else ""
    return f"{number} ngày {words.day(document.issued_on)}{issuer}{title}"


def history(task: TaskSnapshot) -> tuple[Happened, ...]:
    """All of it, the earliest first. What was received together stays in the order that it took effect."""
    return tuple(sorted(_all(task), key=lambda one: one.at))


def _all(task: TaskSnapshot) -> Iterator[Happened]:
    yield _by(
        task.assigned, "Giao nhiệm vụ", "assigned", f"Thời hạn theo văn bản: “{task.phrase}”" if task.phrase else ""
    )
    for deadline in task.deadlines:
        yield _deadline(deadline)
    if task.acknowledged is not None:
        yield _by(task.acknowledged, "Cơ quan xác nhận đã nhận nhiệm vụ", "acknowledged")
    if (progress := task.progress) is not None:
        yield _by(progress.cause, f"Báo cáo tiến độ: {progress.percent} %", "progress", progress.note)
    yield from _results(task)
    yield from _extensions(task)
    yield from _contributions(task)
    yield from _obstacles(task)
    yield from _suspensions(task)
    yield from _money(task)
    for milestone in task.milestones:
        yield _milestone(milestone)
    if (waiting := task.succession) is not None:
        choices = f"Có thể chọn: {', '.join(waiting.choices)}" if waiting.choices else ""
        yield _by(waiting.cause, "Chờ chọn cơ quan kế thừa", "succession", cited(waiting.document), choices)
    if (end := task.ended) is not None:
        what = "Chuyển cho cơ quan khác" if end.how == "transferred" else "Dừng thực hiện, không có kết quả"
        yield _by(end.cause, what, "ended", end.reason, cited(end.document))


def _by(cause: Cause, what: str, kind: str, *why: str) -> Happened:
    said = tuple(one for one in why if one)
    return Happened(cause.received_at, what, cause.actor, kind, said, cause.recorded_at, cause.event_id)


def _deadline(one: DeadlineVersion) -> Happened:
    what = "Thời hạn" if one.version == 1 else f"Thời hạn mới (lần {one.version})"
    return _by(
        one.cause,
        f"{what}: đến hết ngày {words.day(one.legal)}",
        "deadline",
        f"Do {words.GIVEN_BY[one.given_by]}",
        cited(one.document),
        one.citation,
    )


def _results(task: TaskSnapshot) -> Iterator[Happened]:
    for one in task.results:
        cause = f"Lý do chậm: {words.CAUSES[one.delay_cause.value]}" if one.delay_cause is not None else ""
        if cause and one.delay_note:
            cause += f" ({one.delay_note})"
        evidence = f"{one.evidence_count} tài liệu kèm theo" if one.evidence_count else ""
        yield _by(
            one.cause, f"Nộp kết quả lần {one.number}", "result", cited(one.document), one.summary, cause, evidence
        )
        if one.verdict_cause is not None:
            accepted = one.verdict == "accepted"
            what = "Kết quả được chấp nhận" if accepted else "Kết quả bị trả lại"
            yield _by(one.verdict_cause, f"{what} (lần {one.number})", "verdict", one.verdict_note)


def _extensions(task: TaskSnapshot) -> Iterator[Happened]:
    for one in task.extensions:
        asked = words.day(one.requested_last_day)
        yield _by(one.cause, f"Đề nghị gia hạn đến hết ngày {asked}", "extension", one.reason)
        if one.outcome_cause is not None:
            granted = one.outcome == "granted"
            what = "Chấp thuận gia hạn" if granted else "Không chấp thuận gia hạn"
            yield _by(one.outcome_cause, what, "extension", f"Đề nghị đến hết ngày {asked}")


def _contributions(task: TaskSnapshot) -> Iterator[Happened]:
    for one in task.contributions:
        evidence = f"{one.evidence_count} tài liệu kèm theo" if one.evidence_count else ""
        what = f"Cơ quan phối hợp gửi nội dung (lần {one.number})"
        yield _by(one.cause, what, "contribution", one.summary, cited(one.document), evidence)
        if one.verdict_cause is not None:
            accepted = one.verdict == "accepted"
            what = f"Nội dung phối hợp {'được chấp nhận' if accepted else 'bị trả lại'} (lần {one.number})"
            yield _by(one.verdict_cause, what, "contribution", one.verdict_note)


def _obstacles(task: TaskSnapshot) -> Iterator[Happened]:
    for one in task.obstacles:
        beyond = "Vượt thẩm quyền của cơ quan" if one.beyond_authority else ""
        yield _by(one.cause, "Nêu khó khăn, vướng mắc", "obstacle", one.description, beyond)
        if one.forwarded is not None:
            to = words.FORWARDED_TO.get(one.forwarded_to or "", one.forwarded_to or "cấp trên")
            yield _by(one.forwarded, f"Chuyển khó khăn, vướng mắc lên {to}", "obstacle", one.description)
        if one.answered is not None:
            yield _by(one.answered, "Trả lời khó khăn, vướng mắc", "obstacle", one.description)
        if one.cleared is not None:
            yield _by(one.cleared, "Khó khăn, vướng mắc đã giải quyết", "obstacle", one.description)


def _suspensions(task: TaskSnapshot) -> Iterator[Happened]:
    for one in task.suspensions:
        yield _by(one.cause, "Tạm dừng thực hiện", "suspension", one.reason, cited(one.document))
        if one.resumed is not None:
            yield _by(one.resumed, "Tiếp tục thực hiện", "suspension", cited(one.resumed_document))


def _money(task: TaskSnapshot) -> Iterator[Happened]:
    for given in task.allocations:
        plan = words.PLANS.get(given.plan, given.plan)
        what = f"Giao kinh phí năm {given.fiscal_year}: {words.number(given.amount_vnd)} đồng ({plan})"
        yield _by(given.cause, what, "money", cited(given.document))
    for paid in task.disbursements:
        what = f"Giải ngân lũy kế đến {words.day(paid.as_of)}: {words.number(paid.cumulative_vnd)} đồng"
        yield _by(paid.cause, what, "money")


def _milestone(one: MilestoneRecord) -> Happened:
    match one.kind:
        case MilestoneKind.DUE_SOON:
            what = (
                f"Nhắc: còn {one.days_before} ngày làm việc" if one.days_before else "Nhắc: đến ngày cuối của thời hạn"
            )
        case MilestoneKind.OVERDUE:
            what = "Quá hạn"
        case MilestoneKind.ESCALATION:
            what = f"Báo cáo, chấn chỉnh cấp {one.level}: {LEVELS.get(one.level, '')}"
        case MilestoneKind.REVIEW_REMINDER:
            what = "Nhắc xét kết quả"
    why = []
    if one.late_seconds >= 60:
        why.append(f"Ghi nhận chậm {words.number(one.late_seconds // 60)} phút do hệ thống gián đoạn")
    if one.superseded_by is not None:
        why.append("Không gửi: mốc sau cùng loại đã đến")
    taken_back = ""
    if one.retracted is not None:
        taken_back = f"Đã rút lại lúc {words.moment(one.retracted.recorded_at)}"
        why.append(f"Rút lại vì việc nhận lúc {words.moment(one.retracted.received_at)} (mã {one.retracted.event_id})")
    return Happened(one.at, what, CLOCK, "milestone", tuple(why), one.fired_at, one.id, taken_back)


def last_day(task: TaskSnapshot) -> date | None:
    """The legal last day in force."""
    return task.deadlines[-1].legal if task.deadlines else None
