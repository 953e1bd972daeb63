"""What people read: official Vietnamese, every task once, correct days and figures; and the mail as it goes out."""

import email
import email.policy
import json
import re
import unicodedata
from dataclasses import replace
from datetime import date
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify.channels.email import EmailChannel
from services.notify.compose import SUBJECT_CHARACTERS_MAX, TITLE_CHARACTERS_MAX, Composer
from services.notify.domain.alert import Alert, AlertKind
from services.notify.domain.digest import (
    LINES_MAX,
    Digest,
    Gone,
    GoneLine,
    Line,
    Section,
    Summary,
    Topic,
    Unreachable,
    section,
)
from services.notify.domain.routing import Recipient, Role
from services.notify.ports import Contact, Letter, Message
from tests.support.builders import at
from tests.unit.notify.builders import an_alert

NAMES = {"H48.21": "UBND huyện Bình Sơn", "H48.07": "Sở Thông tin và Truyền thông", "H48.14": "Sở Công Thương"}
DAY = date(2024, 10, 21)
NOW = at("2024-10-21 08:00")
compose = Composer(board_url="https://dondoc.example/")


def a_letter(agency: str = "H48.21", role: Role = Role.AGENCY, **changes: Any) -> Letter:
    one = Letter("m1", "a@x.example", "H48", agency, NAMES.get(agency, agency), role, None, NAMES)
    return replace(one, **changes)


def some_alerts(*numbers: int, **changes: Any) -> list[Alert]:
    return [
        an_alert(**{"alert_id": f"t{number}:1", "task_id": f"H48/TB-1/II.1.h/H48.{number}", **changes})
        for number in numbers
    ]


def a_line(number: int = 1, last_day: date | None = date(2024, 10, 16), **changes: Any) -> Line:
    task_id = f"H48/TB-1/II.1.h/H48.{number}"
    one = Line(task_id, "TB-1", "II.1.h", f"Đề xuất nhiệm vụ {number}", "H48.21", last_day, is_new=False)
    return replace(one, **changes)


def a_digest(*sections: Section, **changes: Any) -> Digest:
    return replace(Digest(DAY, sections, (), 0), **changes)


def written(digest: Digest, letter: Letter | None = None) -> Message:
    return compose.digest(letter or a_letter(), digest, now=NOW)


def essence(message: Message) -> str:
    """The line that says it all: the first one after the greeting, and what a mail program shows beside the subject."""
    return message.text.split("\n")[2]


# -- alerts ------------------------------------------------------------------------------------------------------------


def test_alerts_are_in_correct_vietnamese_with_links_and_days_late() -> None:
    alerts = some_alerts(21, kind=AlertKind.OVERDUE, title="Đề xuất <nhiệm vụ>", last_day=date(2024, 10, 16))
    message = compose.alerts(a_letter(), alerts, now=NOW)

    assert (message.message_id, message.to, message.kind) == ("m1", "a@x.example", "overdue")
    assert message.subject == "[Đôn đốc] Quá hạn 1 nhiệm vụ – TB-1"
    assert message.text == (
        "Kính gửi: UBND huyện Bình Sơn\n"
        "\n"
        "1 nhiệm vụ quá hạn 5 ngày.\n"
        "\n"
        "Đề nghị cơ quan khẩn trương hoàn thành, nộp kết quả và báo cáo nguyên nhân chậm.\n"
        "\n"
        "Văn bản: TB-1\n"
        "- II.1.h: Đề xuất <nhiệm vụ>\n"
        "  Hạn: 16/10/2024; quá hạn 5 ngày.\n"
        "  https://dondoc.example/tasks/H48/TB-1/II.1.h/H48.21\n"
        "\n"
        "Bảng theo dõi: https://dondoc.example/\n"
        "Số liệu đến 08:00 ngày 21/10/2024.\n"
        "\n"
        "--\n"
        "Thư này được gửi vì cơ quan là cơ quan chủ trì nhiệm vụ.\n"
        "Thư do hệ thống Đôn đốc gửi tự động, đề nghị không trả lời thư này."
    )
    assert "Đề xuất &lt;nhiệm vụ&gt;" in message.html
    assert "<nhiệm vụ>" not in message.html


@pytest.mark.parametrize(
    ("kind", "subject", "first"),
    [
        (AlertKind.ASSIGNED, "Giao 2 nhiệm vụ", "Cơ quan được giao 2 nhiệm vụ; hạn gần nhất 29/10/2024."),
        (AlertKind.DUE_SOON, "Nhắc hạn 2 nhiệm vụ", "2 nhiệm vụ sắp đến hạn; hạn gần nhất 29/10/2024."),
        (AlertKind.OVERDUE, "Quá hạn 2 nhiệm vụ", "2 nhiệm vụ quá hạn."),
        (AlertKind.OVERDUE_RETRACTED, "Rút thông báo quá hạn 2 nhiệm vụ", "Rút thông báo quá hạn đối với 2 nhiệm vụ."),
        (
            AlertKind.ESCALATION,
            "Báo cáo chậm tiến độ (mức 2): 2 nhiệm vụ",
            "2 nhiệm vụ chậm tiến độ; báo cáo mức 2.",
        ),
        (AlertKind.REVIEW_REMINDER, "Nhắc thẩm định 2 kết quả", "2 kết quả đang chờ thẩm định."),
        (AlertKind.RESULT_RETURNED, "Trả lại kết quả 2 nhiệm vụ", "Kết quả của 2 nhiệm vụ bị trả lại, cần bổ sung."),
        (AlertKind.EXTENSION_GRANTED, "Gia hạn 2 nhiệm vụ", "2 nhiệm vụ được gia hạn."),
        (
            AlertKind.EXTENSION_REFUSED,
            "Không gia hạn 2 nhiệm vụ",
            "Đề nghị gia hạn 2 nhiệm vụ không được chấp thuận.",
        ),
        (
            AlertKind.OBSTACLE,
            "Khó khăn, vướng mắc ở 2 nhiệm vụ",
            "2 nhiệm vụ có khó khăn, vướng mắc cần xem xét.",
        ),
        (
            AlertKind.CHANGED,
            "Điều chỉnh 2 nhiệm vụ",
            "2 nhiệm vụ được điều chỉnh (nội dung, thời hạn, tạm dừng hoặc tiếp tục).",
        ),
        (
            AlertKind.CONTRIBUTION,
            "Kết quả phối hợp ở 2 nhiệm vụ",
            "2 nhiệm vụ có kết quả phối hợp mới hoặc ý kiến của cơ quan chủ trì.",
        ),
        (
            AlertKind.SUCCESSION,
            "Cần xác định cơ quan kế thừa 2 nhiệm vụ",
            "2 nhiệm vụ cần xác định cơ quan kế thừa do sắp xếp lại cơ quan thực hiện.",
        ),
        (AlertKind.ENDED, "Kết thúc 2 nhiệm vụ", "2 nhiệm vụ kết thúc, không tiếp tục thực hiện tại cơ quan."),
    ],
)
def test_every_kind_has_its_words(kind: AlertKind, subject: str, first: str) -> None:
    alerts = some_alerts(1, 2, kind=kind, level=2, last_day=date(2024, 10, 29))
    message = compose.alerts(a_letter(), alerts, now=NOW)

    assert message.subject == f"[Đôn đốc] {subject} – TB-1"
    assert essence(message) == first
    assert message.kind == kind.value
    assert message.text.count("https://dondoc.example/tasks/") == 2


def test_no_kind_is_without_words() -> None:
    for kind in AlertKind:
        for role in Role:
            assert compose.alerts(a_letter(role=role), some_alerts(1, kind=kind), now=NOW).text


@pytest.mark.parametrize(
    ("letter", "greeting", "asked", "why"),
    [
        (
            a_letter(role=Role.HEAD, head_title="Chủ tịch UBND huyện"),
            "Chủ tịch UBND huyện, UBND huyện Bình Sơn",
            "Đề nghị Chủ tịch UBND huyện chỉ đạo thực hiện và báo cáo nguyên nhân chậm.",
            "người nhận là người đứng đầu cơ quan chủ trì nhiệm vụ",
        ),
        (
            a_letter(role=Role.HEAD),
            "UBND huyện Bình Sơn",
            "Đề nghị người đứng đầu cơ quan chỉ đạo thực hiện và báo cáo nguyên nhân chậm.",
            "người nhận là người đứng đầu cơ quan chủ trì nhiệm vụ",
        ),
        (
            a_letter(),
            "UBND huyện Bình Sơn",
            "Đề nghị cơ quan khẩn trương thực hiện, nộp kết quả và báo cáo nguyên nhân chậm.",
            "cơ quan là cơ quan chủ trì nhiệm vụ",
        ),
        (
            a_letter("H48.07", Role.STANDING),
            "Sở Thông tin và Truyền thông",
            "Đề nghị cơ quan thường trực đôn đốc cơ quan chủ trì, làm rõ nguyên nhân và tham mưu chấn chỉnh "
            "khi cần thiết.",
            "cơ quan là cơ quan thường trực, theo dõi, đôn đốc việc thực hiện nhiệm vụ",
        ),
        (
            a_letter("H48.01", Role.CHAIRMAN_OFFICE),
            "H48.01",
            "Kính đề nghị tham mưu, báo cáo Chủ tịch Ủy ban nhân dân xem xét, chỉ đạo, chấn chỉnh.",
            "cơ quan giúp Chủ tịch Ủy ban nhân dân theo dõi việc thực hiện nhiệm vụ",
        ),
    ],
)
def test_an_escalation_says_since_when_and_asks_each_role_for_its_part(
    letter: Letter, greeting: str, asked: str, why: str
) -> None:
    message = compose.alerts(letter, some_alerts(1, kind=AlertKind.ESCALATION, level=2), now=NOW)

    assert message.text.startswith(f"Kính gửi: {greeting}\n")
    assert essence(message) == "1 nhiệm vụ chậm tiến độ, quá hạn 2 ngày; báo cáo mức 2."
    for part in (message.text, message.html):
        assert "đã quá hạn từ ngày 20/10/2024, đến nay chưa có kết quả." in part
        assert asked in part
        assert f"Thư này được gửi vì {why}." in part


def test_of_several_overdues_the_longest_is_named() -> None:
    alerts = [
        *some_alerts(1, kind=AlertKind.ESCALATION, level=1),
        *some_alerts(2, kind=AlertKind.ESCALATION, level=1, last_day=date(2024, 10, 9)),
    ]
    message = compose.alerts(a_letter(), alerts, now=NOW)

    assert essence(message) == "2 nhiệm vụ chậm tiến độ, lâu nhất 12 ngày; báo cáo mức 1."
    assert "sớm nhất từ ngày 10/10/2024" in message.text


def test_a_supervisor_reads_whose_task_it_is_and_the_agency_knows() -> None:
    alerts = some_alerts(1, kind=AlertKind.ESCALATION, level=2)
    own = compose.alerts(a_letter(), alerts, now=NOW)
    standing = compose.alerts(a_letter("H48.07", Role.STANDING), alerts, now=NOW)

    assert "Cơ quan chủ trì:" not in own.text + own.html
    assert "Cơ quan chủ trì: UBND huyện Bình Sơn." in standing.text
    assert "Cơ quan chủ trì: UBND huyện Bình Sơn<" in standing.html


def test_who_only_cooperates_is_told_so() -> None:
    helping = some_alerts(1, 2, kind=AlertKind.ASSIGNED, agency="H48.07", cooperating=("H48.21",), last_day=None)
    only = compose.alerts(a_letter(), helping, now=NOW)
    both = compose.alerts(a_letter(), [*helping, *some_alerts(3, kind=AlertKind.ASSIGNED, last_day=None)], now=NOW)

    assert essence(only) == "Cơ quan được giao phối hợp thực hiện 2 nhiệm vụ."
    assert "vì cơ quan là cơ quan phối hợp thực hiện nhiệm vụ." in only.text
    assert "Cơ quan chủ trì: Sở Thông tin và Truyền thông." in only.text
    assert essence(both) == "Cơ quan được giao 3 nhiệm vụ, trong đó phối hợp 2."
    assert "vì cơ quan là cơ quan chủ trì nhiệm vụ." in both.text


def test_several_directives_are_named_above_their_tasks() -> None:
    alerts = [*some_alerts(1, directive="TB-1"), *some_alerts(2, directive="TB-2")]
    message = compose.alerts(a_letter(), alerts, now=NOW)

    assert message.subject == "[Đôn đốc] Nhắc hạn 2 nhiệm vụ – 2 văn bản"
    assert re.findall(r"Văn bản: (.*)", message.text) == ["TB-1", "TB-2"]
    assert re.findall(r"Văn bản: <b>(.*?)</b>", message.html) == ["TB-1", "TB-2"]


def test_of_a_task_the_newest_alert_counts() -> None:
    [old], [new] = some_alerts(1, seq=5), some_alerts(1, seq=9, title="Mới", alert_id="t1:9")
    message = compose.alerts(a_letter(), [new, old], now=NOW)

    assert message.subject.startswith("[Đôn đốc] Nhắc hạn 1 nhiệm vụ")
    assert [one["alert_id"] for one in message.data["alerts"]] == ["t1:9"]


def test_a_long_list_is_cut_and_the_rest_is_counted() -> None:
    message = compose.alerts(a_letter(), some_alerts(*range(LINES_MAX + 7)), now=NOW)

    assert message.subject == "[Đôn đốc] Nhắc hạn 107 nhiệm vụ – TB-1"
    assert message.text.count("- II.1.h") == message.html.count("/tasks/") == len(message.data["alerts"]) == LINES_MAX
    assert "và 7 nhiệm vụ khác: https://dondoc.example/" in message.text
    assert "và 7 nhiệm vụ khác" in message.html
    assert message.data["unlisted"] == 7


def test_days_late_are_counted_by_the_local_day() -> None:
    alerts = some_alerts(1, kind=AlertKind.OVERDUE, last_day=date(2024, 10, 19))

    assert "quá hạn 1 ngày" in compose.alerts(a_letter(), alerts, now=at("2024-10-20 00:00")).text
    assert "quá hạn 2 ngày" in compose.alerts(a_letter(), alerts, now=at("2024-10-21 06:59")).text


def test_a_machine_reads_the_same_alerts() -> None:
    message = compose.alerts(a_letter(), some_alerts(1, kind=AlertKind.ESCALATION, level=1), now=NOW)

    assert json.loads(json.dumps(message.data)) == {
        "province": "H48",
        "agency": "H48.21",
        "role": "agency",
        "level": 1,
        "unlisted": 0,
        "alerts": [
            {
                "alert_id": "t1:1",
                "task_id": "H48/TB-1/II.1.h/H48.1",
                "directive": "TB-1",
                "clause": "II.1.h",
                "title": "Đề xuất nhiệm vụ ưu tiên",
                "agency": "H48.21",
                "last_day": "2024-10-19",
                "level": 1,
            }
        ],
    }


# -- the digest --------------------------------------------------------------------------------------------------------


def test_a_digest_says_the_essence_first_then_each_task_once_with_its_days() -> None:
    digest = a_digest(
        section(Topic.OVERDUE, [a_line(1, is_new=True), a_line(2, date(2024, 10, 18), level=2, directive="TB-2")]),
        section(Topic.DUE_SOON, [a_line(3, date(2024, 10, 24)), a_line(4, DAY)]),
        section(Topic.REVIEW, [a_line(5, agency="H48.14")]),
        gone=(GoneLine("H48/TB-1/II.3/H48.21", "TB-1", "II.3", "Báo cáo tháng", Gone.COMPLETED),),
        folded=3,
        unreachable=(Unreachable("H48.14", "head", "email", "no_contact", 4),),
    )
    message = written(digest, a_letter("H48.21", Role.STANDING))

    assert message.subject == "[Đôn đốc] Bản tin ngày 21/10/2024: 2 quá hạn, 2 sắp đến hạn – UBND huyện Bình Sơn"
    assert message.kind == "digest"
    assert message.text == (
        "Kính gửi: UBND huyện Bình Sơn\n"
        "\n"
        "2 nhiệm vụ quá hạn (1 mới), 2 sắp đến hạn; 1 đã hoàn thành từ bản tin trước.\n"
        "Ngoài ra: 1 nhiệm vụ chờ thẩm định; không gửi được thư tới 1 nơi.\n"
        "\n"
        "Đề nghị cơ quan tập trung hoàn thành, nộp kết quả các nhiệm vụ quá hạn và báo cáo nguyên nhân chậm.\n"
        "\n"
        "QUÁ HẠN (2)\n"
        "\n"
        "Văn bản: TB-1\n"
        "- II.1.h: Đề xuất nhiệm vụ 1\n"
        "  Hạn: 16/10/2024; quá hạn 5 ngày; mới.\n"
        "  https://dondoc.example/tasks/H48/TB-1/II.1.h/H48.1\n"
        "\n"
        "Văn bản: TB-2\n"
        "- II.1.h: Đề xuất nhiệm vụ 2\n"
        "  Hạn: 18/10/2024; quá hạn 3 ngày; đã báo cáo mức 2.\n"
        "  https://dondoc.example/tasks/H48/TB-1/II.1.h/H48.2\n"
        "\n"
        "SẮP ĐẾN HẠN (2)\n"
        "\n"
        "Văn bản: TB-1\n"
        "- II.1.h: Đề xuất nhiệm vụ 4\n"
        "  Hạn: 21/10/2024; hôm nay là hạn cuối.\n"
        "  https://dondoc.example/tasks/H48/TB-1/II.1.h/H48.4\n"
        "- II.1.h: Đề xuất nhiệm vụ 3\n"
        "  Hạn: 24/10/2024; còn 3 ngày.\n"
        "  https://dondoc.example/tasks/H48/TB-1/II.1.h/H48.3\n"
        "\n"
        "KẾT QUẢ CHỜ THẨM ĐỊNH (1)\n"
        "\n"
        "Văn bản: TB-1\n"
        "- II.1.h: Đề xuất nhiệm vụ 5\n"
        "  Cơ quan chủ trì: Sở Công Thương. Hạn: 16/10/2024.\n"
        "  https://dondoc.example/tasks/H48/TB-1/II.1.h/H48.5\n"
        "\n"
        "THAY ĐỔI SO VỚI BẢN TIN TRƯỚC (1)\n"
        "\n"
        "- II.3 (TB-1): Báo cáo tháng\n"
        "  Đã hoàn thành.\n"
        "  https://dondoc.example/tasks/H48/TB-1/II.3/H48.21\n"
        "\n"
        "KHÔNG GỬI ĐƯỢC TỚI (1)\n"
        "\n"
        "Đề nghị cơ quan thường trực rà soát địa chỉ nhận thư của các cơ quan sau:\n"
        "- Sở Công Thương (người đứng đầu), thư điện tử: chưa đăng ký địa chỉ nhận; 4 thư.\n"
        "\n"
        "3 thông báo khác được gộp vào bản tin này vì quá nhiều thư trong một giờ.\n"
        "\n"
        "Bảng theo dõi: https://dondoc.example/\n"
        "Số liệu đến 08:00 ngày 21/10/2024.\n"
        "\n"
        "--\n"
        "Thư này được gửi vì cơ quan là cơ quan thường trực, theo dõi, đôn đốc việc thực hiện nhiệm vụ.\n"
        "Thư do hệ thống Đôn đốc gửi tự động, đề nghị không trả lời thư này."
    )
    # Each thing is said in both parts.
    for said in (
        "2 nhiệm vụ quá hạn (1 mới), 2 sắp đến hạn; 1 đã hoàn thành từ bản tin trước.",
        "Ngoài ra: 1 nhiệm vụ chờ thẩm định; không gửi được thư tới 1 nơi.",
        "Quá hạn 5 ngày",
        "Hôm nay là hạn cuối",
        "Còn 3 ngày",
        "Đã báo cáo mức 2",
        ">Mới<",
        "Thay đổi so với bản tin trước (1)",
        "chưa đăng ký địa chỉ nhận",
        "3 thông báo khác được gộp vào bản tin này",
    ):
        assert said in message.html, said
    assert re.findall(r"/tasks/\S+?(?=[\"\s])", message.html) == re.findall(r"/tasks/\S+", message.text)


@pytest.mark.parametrize(
    ("sections", "changes", "subject", "first"),
    [
        ([(Topic.DUE_SOON, 5)], {}, "5 sắp đến hạn", "5 nhiệm vụ sắp đến hạn."),
        ([(Topic.OVERDUE, 1)], {}, "1 quá hạn", "1 nhiệm vụ quá hạn."),
        (
            [(Topic.ASSIGNED, 2), (Topic.ENDED, 1)],
            {},
            "3 nội dung mới",
            "Không có nhiệm vụ quá hạn hoặc sắp đến hạn.",
        ),
        (
            [],
            {"gone": (Gone.SUBMITTED, Gone.SUBMITTED, Gone.COMPLETED, Gone.SUSPENDED)},
            "không có nhiệm vụ quá hạn, sắp đến hạn",
            "Không có nhiệm vụ quá hạn hoặc sắp đến hạn; 1 đã hoàn thành, 2 đã nộp kết quả từ bản tin trước.",
        ),
        # Of what is not listed nobody knows whether it is new.
        ([(Topic.OVERDUE, LINES_MAX + 1)], {"is_new": True}, "101 quá hạn", "101 nhiệm vụ quá hạn."),
        ([(Topic.OVERDUE, 3)], {"is_new": True}, "3 quá hạn", "3 nhiệm vụ quá hạn (3 mới)."),
    ],
)
def test_the_first_line_and_the_subject_fit_what_there_is(
    sections: list[tuple[Topic, int]], changes: dict[str, Any], subject: str, first: str
) -> None:
    is_new = changes.get("is_new", False)
    digest = a_digest(
        *(section(topic, [a_line(n, is_new=is_new) for n in range(count)]) for topic, count in sections),
        gone=tuple(GoneLine(f"t{n}", "TB-1", "II", "x", why) for n, why in enumerate(changes.get("gone", ()))),
    )
    message = written(digest)

    assert message.subject == f"[Đôn đốc] Bản tin ngày 21/10/2024: {subject} – UBND huyện Bình Sơn"
    assert essence(message) == first


@pytest.mark.parametrize(
    ("topic", "last_day", "said"),
    [
        (Topic.OVERDUE, date(2024, 10, 16), "quá hạn 5 ngày"),
        (Topic.ESCALATION, date(2024, 10, 20), "quá hạn 1 ngày"),
        (Topic.DUE_SOON, date(2024, 10, 22), "còn 1 ngày"),
        (Topic.ASSIGNED, date(2024, 10, 31), "còn 10 ngày"),
        (Topic.RETURNED, DAY, "hôm nay là hạn cuối"),
        # A passed day is no overdue where nobody has found one: it was taken back, or a result waits for review.
        (Topic.DUE_SOON, date(2024, 10, 20), None),
        (Topic.RETRACTED, date(2024, 10, 16), None),
        (Topic.RETURNED, date(2024, 10, 16), None),
        (Topic.REVIEW, date(2024, 10, 31), None),
        (Topic.ENDED, date(2024, 10, 31), None),
    ],
)
def test_days_are_counted_only_where_they_count(topic: Topic, last_day: date, said: str | None) -> None:
    text = written(a_digest(section(topic, [a_line(1, last_day)]))).text

    assert f"  Hạn: {last_day:%d/%m/%Y}{f'; {said}' if said else ''}.\n" in text


def test_a_task_without_a_day_says_so() -> None:
    message = written(a_digest(section(Topic.ASSIGNED, [a_line(1, None)])))

    assert "  Chưa có hạn.\n" in message.text
    assert "Chưa có hạn" in message.html


def test_new_is_marked_only_where_something_is_not() -> None:
    message = written(a_digest(section(Topic.ASSIGNED, [a_line(1, is_new=True)])))

    assert "mới." not in message.text
    assert ">Mới<" not in message.html


@pytest.mark.parametrize(
    ("why", "said"),
    [
        (Gone.SUBMITTED, "Đã nộp kết quả"),
        (Gone.COMPLETED, "Đã hoàn thành"),
        (Gone.DEADLINE_MOVED, "Thời hạn được điều chỉnh"),
        (Gone.SUSPENDED, "Tạm dừng"),
        (Gone.ENDED, "Không tiếp tục thực hiện"),
    ],
)
def test_what_is_gone_says_why(why: Gone, said: str) -> None:
    message = written(a_digest(gone=(GoneLine("t", "TB-1", "II", "x", why),)))

    assert f"  {said}.\n" in message.text
    assert f">{said}<" in message.html


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        ("no_mailbox", "hộp thư không tồn tại"),
        ("smtp_554", "máy chủ không nhận (smtp_554)"),
    ],
)
def test_who_was_not_reached_is_named_with_the_cause(cause: str, said: str) -> None:
    unreachable = (Unreachable("H48.14", "agency", "webhook", cause, 2), Unreachable("H48.99", "x", "fax", cause, 1))
    message = written(a_digest(unreachable=unreachable))

    assert f"- Sở Công Thương (cơ quan), kết nối phần mềm (webhook): {said}; 2 thư.\n" in message.text
    # What we have no words for is shown as it is.
    assert f"- H48.99 (x), fax: {said}; 1 thư.\n" in message.text
    assert message.html.count(said) == 2


def test_no_topic_is_without_words() -> None:
    message = written(a_digest(*(section(topic, [a_line(n)]) for n, topic in enumerate(Topic))))

    assert re.findall(r"^(.+) \(1\)$", message.text, re.MULTILINE)[:2] == ["QUÁ HẠN", "SẮP ĐẾN HẠN"]
    assert message.html.count("<h2") == len(Topic)


def test_a_machine_reads_the_same_digest() -> None:
    digest = a_digest(
        section(Topic.OVERDUE, [a_line(1, is_new=True, level=1)]),
        gone=(GoneLine("t", "TB-1", "II", "x", Gone.ENDED),),
        folded=2,
        unreachable=(Unreachable("H48.14", "agency", "email", "no_contact", 4),),
    )

    assert json.loads(json.dumps(written(digest).data)) == {
        "province": "H48",
        "agency": "H48.21",
        "role": "agency",
        "day": "2024-10-21",
        "sections": [
            {
                "topic": "overdue",
                "count": 1,
                "unlisted": 0,
                "lines": [
                    {
                        "task_id": "H48/TB-1/II.1.h/H48.1",
                        "directive": "TB-1",
                        "clause": "II.1.h",
                        "title": "Đề xuất nhiệm vụ 1",
                        "agency": "H48.21",
                        "last_day": "2024-10-16",
                        "days_late": 5,
                        "is_new": True,
                        "level": 1,
                    }
                ],
            }
        ],
        "gone": [{"task_id": "t", "directive": "TB-1", "clause": "II", "title": "x", "why": "ended"}],
        "folded": 2,
        "unreachable": [
            {"agency": "H48.14", "role": "agency", "channel": "email", "cause": "no_contact", "messages": 4}
        ],
    }


@given(
    counts=st.dictionaries(st.sampled_from(Topic), st.integers(1, LINES_MAX + 20), min_size=1),
    new=st.integers(0, LINES_MAX),
    gone=st.lists(st.sampled_from(Gone), max_size=6),
)
@settings(max_examples=40, deadline=None)
def test_every_figure_said_up_front_is_that_of_its_section(
    counts: dict[Topic, int], new: int, gone: list[Gone]
) -> None:
    """INVARIANT: the first lines and the subject never say another figure than the sections below them."""
    digest = a_digest(
        *(
            section(topic, [a_line(n, is_new=n < new) for n in range(counts[topic])])
            for topic in Topic
            if topic in counts
        ),
        gone=tuple(GoneLine(f"t{n}", "TB-1", "II", "x", why) for n, why in enumerate(gone)),
    )
    message = written(digest)
    _, _, first, second, *_ = message.text.split("\n")
    headed = [int(found) for found in re.findall(r"^[^\n-][^\n]* \((\d+)\)$", message.text, re.MULTILINE)]
    listed = [int(found) for found in re.findall(r"<h2[^>]*>[^<(]*\((\d+)\)", message.html)]
    up_front = [
        int(found)
        for line in (first.partition(";")[0], second)
        for found in re.findall(r"\d+", re.sub(r"\(\d+ mới\)", "", line))
    ]

    assert headed == listed == [*(one.count for one in digest.sections), *([len(gone)] if gone else [])]
    assert up_front == [one.count for one in digest.sections]
    for topic, words in ((Topic.OVERDUE, "quá hạn"), (Topic.DUE_SOON, "sắp đến hạn")):
        if topic in counts:
            assert f"{counts[topic]} {words}" in message.subject
    for found in re.findall(r"(\d+)(?: nhiệm vụ)? (quá hạn|sắp đến hạn) \((\d+) mới\)", first):
        assert int(found[2]) == min(new, int(found[0]))


# -- the summary -------------------------------------------------------------------------------------------------------


def test_a_summary_is_the_month_in_figures_for_the_head() -> None:
    letter = a_letter("H48.14", Role.HEAD, head_title="Giám đốc Sở")
    overdue = section(Topic.OVERDUE, [a_line(1, agency="H48.14", level=3)])
    summary = Summary("2024-10", 26, 15, 2, 1, 5, 3, overdue)
    message = compose.summary(letter, summary, now=NOW)

    assert message.subject == "[Đôn đốc] Tổng hợp tháng 10/2024 – Sở Công Thương"
    assert message.kind == "summary"
    assert message.text.startswith(
        "Kính gửi: Giám đốc Sở, Sở Công Thương\n"
        "\n"
        "26 nhiệm vụ: 15 đã hoàn thành, 2 chờ thẩm định, 1 quá hạn, 5 sắp đến hạn, 3 khác.\n"
        "\n"
        "Tổng số nhiệm vụ: 26\n"
        "- Đã hoàn thành: 15\n"
        "- Đã nộp kết quả, chờ thẩm định: 2\n"
        "- Quá hạn: 1\n"
        "- Sắp đến hạn: 5\n"
        "- Khác (đang thực hiện trong hạn, chưa có hạn, tạm dừng): 3\n"
        "\n"
        "NHIỆM VỤ QUÁ HẠN (1)\n"
        "\n"
        "Văn bản: TB-1\n"
        "- II.1.h: Đề xuất nhiệm vụ 1\n"
        "  Hạn: 16/10/2024; quá hạn 5 ngày; đã báo cáo mức 3.\n"
    )
    assert re.findall(r'font-weight:bold[^>]*">(\d+)</td>', message.html) == ["15", "2", "1", "5", "3", "26"]
    data = json.loads(json.dumps(message.data))
    assert (data["month"], data["all"], data["overdue"]) == ("2024-10", 26, 1)
    assert data["overdue_lines"]["lines"][0]["days_late"] == 5


def test_a_month_without_overdues_has_no_list_of_them() -> None:
    message = compose.summary(a_letter(), Summary("2024-10", 1, 1, 0, 0, 0, 0, None), now=NOW)

    assert "NHIỆM VỤ QUÁ HẠN" not in message.text
    assert "<h2" not in message.html
    assert message.data["overdue_lines"] is None


# -- what comes from documents -----------------------------------------------------------------------------------------


class _Tags(HTMLParser):
    """What a mail program sees of a document: its elements, and their text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


HOSTILE = st.one_of(
    st.text(max_size=40),
    st.text(st.sampled_from("<>&\"'=/{}%\n\r\t\x00\x0b\x85\u2028\u202e\u200b ađệ"), max_size=40),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            "</a></td></table><img src=x onerror=alert(1)>",
            "x\r\nBcc: everybody@x.example\r\n\r\nhello",
            "{{ 7 * 7 }}{% raw %}",
            "dài " * 5_000,
            "dài" * 5_000,
        ]
    ),
)


@given(title=HOSTILE, clause=HOSTILE, name=HOSTILE, directive=HOSTILE)
@settings(max_examples=80, deadline=None)
def test_nothing_from_a_document_becomes_markup_a_header_or_a_second_line(
    title: str, clause: str, name: str, directive: str
) -> None:
    """INVARIANT: text from documents and registries is only ever text."""

    def messages(title: str, clause: str, name: str, directive: str) -> list[Message]:
        letter = a_letter(agency_name=name, head_title=name, names={"H48.14": name}, role=Role.HEAD)
        line = a_line(1, title=title, clause=clause, directive=directive, agency="H48.14", task_id=f"H48/{title}")
        lines = section(Topic.OVERDUE, [line])
        gone = (GoneLine(f"H48/{title}", directive, clause, title, Gone.COMPLETED),)
        unreachable = (Unreachable("H48.14", title, clause, directive, 1),)
        alerts = some_alerts(1, kind=AlertKind.ESCALATION, title=title, clause=clause, directive=directive)
        return [
            compose.alerts(letter, alerts, now=NOW),
            compose.digest(letter, a_digest(lines, gone=gone, unreachable=unreachable), now=NOW),
            compose.summary(letter, Summary("2024-10", 1, 0, 0, 1, 0, 0, lines), now=NOW),
        ]

    channel = EmailChannel(host="h", port=25, start_tls=False, sender="dondoc@x.example")
    for hostile, plain in zip(messages(title, clause, name, directive), messages("t", "c", "n", "d"), strict=True):
        assert _Tags(hostile.html).tags == _Tags(plain.html).tags
        assert all(
            link is not None and link.startswith("https://dondoc.example/") for link in _Tags(hostile.html).links
        )
        assert hostile.text.count("\n") == plain.text.count("\n")
        assert len(hostile.text) < 20 * TITLE_CHARACTERS_MAX + len(plain.text) + 10 * len(title.encode())
        assert hostile.subject.splitlines() == [hostile.subject]
        assert not {unicodedata.category(one) for one in hostile.subject} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert len(hostile.subject) <= SUBJECT_CHARACTERS_MAX
        mail = email.message_from_bytes(bytes(channel._mail(hostile)), _class=EmailMessage, policy=email.policy.default)
        assert mail.keys() == channel._mail(plain).keys()
        assert mail["Subject"] == hostile.subject


def test_a_long_title_is_cut_at_a_word_and_the_link_has_the_rest() -> None:
    title = "Xây dựng   kế hoạch\nchuyển đổi số " * 20
    message = written(a_digest(section(Topic.OVERDUE, [a_line(1, title=title)])))

    [shown] = re.findall(r"- II\.1\.h: (.*)", message.text)
    assert len(shown) <= TITLE_CHARACTERS_MAX
    assert shown.endswith(("Xây…", "dựng…", "kế…", "hoạch…", "chuyển…", "đổi…", "số…"))
    assert shown in "".join(_Tags(message.html).texts)
    # Machines cut for themselves.
    assert message.data["sections"][0]["lines"][0]["title"] == title


def test_the_letters_need_nothing_from_outside() -> None:
    message = written(a_digest(section(Topic.OVERDUE, [a_line(1)])))
    tags = _Tags(message.html).tags

    assert not {"img", "link", "script", "iframe", "form", "video"} & set(tags)
    assert "url(" not in message.html
    assert "@import" not in message.html
    assert set(re.findall(r"https?://[^/\"]+", message.html)) == {"https://dondoc.example"}
    assert '<html lang="vi">' in message.html


# -- the mail ----------------------------------------------------------------------------------------------------------


def test_a_mail_says_who_when_what_and_that_no_person_wrote_it() -> None:
    channel = EmailChannel(host="h", port=25, start_tls=False, sender="dondoc@x.example")
    message = written(a_digest(section(Topic.OVERDUE, [a_line(1)])))

    mail = email.message_from_bytes(bytes(channel._mail(message)), _class=EmailMessage, policy=email.policy.default)

    assert mail["From"] == "Đôn đốc <dondoc@x.example>"
    assert mail["To"] == "a@x.example"
    assert mail["Subject"] == "[Đôn đốc] Bản tin ngày 21/10/2024: 1 quá hạn – UBND huyện Bình Sơn"
    assert mail["Date"] == "Mon, 21 Oct 2024 08:00:00 +0700"
    assert mail["Message-ID"] == "<m1@x.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Dondoc-Kind"] == "digest"
    # Nobody signs off from an official duty.
    assert mail["List-Unsubscribe"] is None
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert {part.get_content_charset() for part in mail.iter_parts()} == {"utf-8"}
    text = mail.get_body(("plain",))
    assert text is not None
    assert text.get_content().rstrip() == message.text
    assert not mail.defects


@pytest.mark.parametrize(
    ("role", "contact", "address"),
    [
        (Role.AGENCY, Contact("Sở", "a@x.example", "h@x.example", None), "a@x.example"),
        (Role.HEAD, Contact("Sở", "a@x.example", "h@x.example", None), "h@x.example"),
        (Role.HEAD, Contact("Sở", "a@x.example", None, None), "a@x.example"),
        (Role.STANDING, Contact("Sở", None, "h@x.example", None), None),
        (Role.AGENCY, None, None),
    ],
)
def test_a_mail_goes_to_the_agency_and_what_is_the_heads_to_the_head(
    role: Role, contact: Contact | None, address: str | None
) -> None:
    channel = EmailChannel(host="h", port=25, start_tls=False, sender="dondoc@x.example")

    assert channel.address("H48", Recipient("H48.21", role), contact) == address
    assert not channel.is_optional


def test_a_mail_server_is_asked_ever_more_slowly_for_five_days() -> None:
    waits = [EmailChannel.retries.wait(attempts, age=0) for attempts in range(1, 13)]

    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]
    assert EmailChannel.retries.wait(12, age=5 * 24 * 3600 - 1) == 600
    assert EmailChannel.retries.wait(12, age=5 * 24 * 3600) is None


def test_a_sender_that_is_no_mailbox_is_noticed_at_once() -> None:
    with pytest.raises(ValueError, match="dondoc at x"):
        EmailChannel(host="h", port=25, start_tls=False, sender="dondoc at x")
