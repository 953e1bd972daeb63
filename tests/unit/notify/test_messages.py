"""What people read: official Vietnamese, every task once, correct days, links; and the mail as it goes out."""

import email
import email.policy
from datetime import date
from email.message import EmailMessage

import pytest

from services.notify.channels.email import EmailChannel
from services.notify.compose import Composer
from services.notify.domain.alert import AlertKind
from services.notify.domain.grouping import ALERTS_LISTED_MAX, Group
from services.notify.ports import Contact, Message
from tests.support.builders import at
from tests.unit.notify.builders import AGENCY, HEAD, STANDING, a_delivery

CONTACTS = {
    "H48.21": Contact("UBND huyện Bình Sơn", "a@x.example", "h@x.example", "Chủ tịch UBND huyện"),
    "H48.07": Contact("Sở Thông tin và Truyền thông", "s@x.example", None, None),
}
compose = Composer(board_url="https://dondoc.example/")


def a_message(group: Group, now: str = "2024-10-22 08:00") -> Message:
    return compose(group, CONTACTS, now=at(now))


def a_group(*numbers: int, box: str = "a@x.example", **changes: object) -> Group:
    return Group(box, tuple(a_delivery(number, **changes) for number in numbers))  # type: ignore[arg-type]


def test_a_message_is_in_correct_vietnamese_with_links_and_days_late() -> None:
    message = a_message(a_group(21, kind=AlertKind.OVERDUE, title="Đề xuất <nhiệm vụ>"))

    assert message.to == "a@x.example"
    assert message.subject == "[Đôn đốc] Quá hạn 1 nhiệm vụ – TB-1"
    assert message.text == (
        "Kính gửi: UBND huyện Bình Sơn\n"
        "\n"
        "Các nhiệm vụ sau đã quá hạn:\n"
        "\n"
        "- II.1.h: Đề xuất <nhiệm vụ>\n"
        "  Cơ quan: UBND huyện Bình Sơn. Hạn: 19/10/2024; quá hạn 3 ngày.\n"
        "  https://dondoc.example/tasks/H48/TB-1/II.1.h/H48.21\n"
        "\n"
        "Văn bản giao: TB-1\n"
        "Thư này do hệ thống Đôn đốc gửi tự động."
    )
    assert "Đề xuất &lt;nhiệm vụ&gt;" in message.html
    assert "<nhiệm vụ>" not in message.html


@pytest.mark.parametrize(
    ("kind", "level", "subject"),
    [
        (AlertKind.ASSIGNED, 0, "[Đôn đốc] Giao 2 nhiệm vụ – TB-1"),
        (AlertKind.DUE_SOON, 0, "[Đôn đốc] Nhắc hạn 2 nhiệm vụ – TB-1"),
        (AlertKind.OVERDUE, 0, "[Đôn đốc] Quá hạn 2 nhiệm vụ – TB-1"),
        (AlertKind.OVERDUE_RETRACTED, 0, "[Đôn đốc] Rút thông báo quá hạn 2 nhiệm vụ – TB-1"),
        (AlertKind.ESCALATION, 2, "[Đôn đốc] Báo cáo chậm tiến độ (mức 2): 2 nhiệm vụ – TB-1"),
        (AlertKind.REVIEW_REMINDER, 0, "[Đôn đốc] Nhắc thẩm định 2 kết quả – TB-1"),
        (AlertKind.RESULT_RETURNED, 0, "[Đôn đốc] Trả lại kết quả 2 nhiệm vụ – TB-1"),
        (AlertKind.EXTENSION_GRANTED, 0, "[Đôn đốc] Gia hạn 2 nhiệm vụ – TB-1"),
        (AlertKind.EXTENSION_REFUSED, 0, "[Đôn đốc] Không gia hạn 2 nhiệm vụ – TB-1"),
        (AlertKind.OBSTACLE, 0, "[Đôn đốc] Khó khăn, vướng mắc ở 2 nhiệm vụ – TB-1"),
        (AlertKind.CHANGED, 0, "[Đôn đốc] Điều chỉnh 2 nhiệm vụ – TB-1"),
        (AlertKind.CONTRIBUTION, 0, "[Đôn đốc] Kết quả phối hợp ở 2 nhiệm vụ – TB-1"),
        (AlertKind.SUCCESSION, 0, "[Đôn đốc] Cần xác định cơ quan kế thừa 2 nhiệm vụ – TB-1"),
        (AlertKind.ENDED, 0, "[Đôn đốc] Kết thúc 2 nhiệm vụ – TB-1"),
    ],
)
def test_every_kind_has_its_words(kind: AlertKind, level: int, subject: str) -> None:
    message = a_message(a_group(1, 2, kind=kind, level=level))

    assert message.subject == subject
    assert message.text.count("https://dondoc.example/tasks/") == 2


def test_a_head_is_addressed_by_title_and_a_supervisor_reads_whose_task_it_is() -> None:
    head = a_message(a_group(1, recipient=HEAD, kind=AlertKind.ESCALATION, level=1))
    shared = a_message(Group("a@x.example", (a_delivery(1), a_delivery(1, recipient=HEAD))))
    standing = a_message(a_group(1, recipient=STANDING, kind=AlertKind.ESCALATION, level=2))

    assert head.text.startswith("Kính gửi: Chủ tịch UBND huyện, UBND huyện Bình Sơn\n")
    assert shared.text.startswith("Kính gửi: UBND huyện Bình Sơn\n")
    assert standing.text.startswith("Kính gửi: Sở Thông tin và Truyền thông\n")
    assert "Cơ quan: UBND huyện Bình Sơn." in standing.text


def test_several_directives_are_named_beside_their_tasks() -> None:
    deliveries = [a_delivery(number, directive=f"TB-{number}") for number in (1, 2)]
    message = a_message(Group("a@x.example", tuple(deliveries)))

    assert message.subject == "[Đôn đốc] Nhắc hạn 2 nhiệm vụ – 2 văn bản"
    assert "- II.1.h (TB-2): Đề xuất nhiệm vụ ưu tiên" in message.text
    assert ">TB-2</td>" in message.html
    assert "Văn bản giao" not in message.text


def test_a_long_list_is_cut_and_the_rest_is_counted() -> None:
    message = a_message(a_group(*range(ALERTS_LISTED_MAX + 7)))

    assert message.subject == "[Đôn đốc] Nhắc hạn 107 nhiệm vụ – TB-1"
    assert message.text.count("- II.1.h") == message.html.count("<tr>") - 1 == ALERTS_LISTED_MAX
    assert "và 7 nhiệm vụ khác: https://dondoc.example/" in message.text
    assert "và 7 nhiệm vụ khác" in message.html


def test_a_task_without_a_day_says_so() -> None:
    assert "Hạn: chưa có hạn." in a_message(a_group(1, last_day=None)).text


def test_days_late_are_counted_by_the_local_day() -> None:
    group = a_group(1, kind=AlertKind.OVERDUE, last_day=date(2024, 10, 19))

    assert "quá hạn 1 ngày" in a_message(group, "2024-10-20 00:00").text
    assert "quá hạn 2 ngày" in a_message(group, "2024-10-21 06:59").text


def test_a_mail_says_who_when_what_and_that_no_person_wrote_it() -> None:
    channel = EmailChannel(host="h", port=25, start_tls=False, sender="dondoc@x.example")
    group = a_group(21, kind=AlertKind.OVERDUE)
    message = a_message(group)

    mail = email.message_from_bytes(bytes(channel._mail(message)), _class=EmailMessage, policy=email.policy.default)

    assert mail["From"] == "Đôn đốc <dondoc@x.example>"
    assert mail["To"] == "a@x.example"
    assert mail["Subject"] == "[Đôn đốc] Quá hạn 1 nhiệm vụ – TB-1"
    assert mail["Date"] == "Tue, 22 Oct 2024 08:00:00 +0700"
    assert mail["Message-ID"] == f"<{group.message_id}@x.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert {part.get_content_charset() for part in mail.iter_parts()} == {"utf-8"}
    text = mail.get_body(("plain",))
    assert text is not None
    assert text.get_content().rstrip() == message.text
    assert not mail.defects


def test_a_sender_that_is_no_mailbox_is_noticed_at_once() -> None:
    with pytest.raises(ValueError, match="dondoc at x"):
        EmailChannel(host="h", port=25, start_tls=False, sender="dondoc at x")


def test_recipients_of_one_message_are_of_one_agency() -> None:
    assert Group("a@x.example", (a_delivery(1, recipient=AGENCY), a_delivery(1, recipient=HEAD))).recipients == (
        AGENCY,
        HEAD,
    )
