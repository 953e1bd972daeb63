"""edXML envelopes, written from the public description: what they say, and what becomes of them."""

from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest import edxml, wire
from services.ingest.domain.refusal import RefusedError
from services.ingest.edxml import Party, Reference

FOLDER = Path(__file__).parent / "envelopes"
ORDER, REPORT = (FOLDER / "order.xml").read_text(), (FOLDER / "report.xml").read_text()


def read(text: str) -> edxml.Envelope:
    return edxml.read(text.encode())


def faults(call: Callable[[], Any]) -> list[tuple[str, str]]:
    with pytest.raises(wire.FaultyError) as raised:
        call()
    return [(one.pointer, one.detail) for one in raised.value.faults]


def a_result(text: str = REPORT, **about: Any) -> Any:
    given = {"province": "H48", "directive": None, "clause": "I", "period": None, **about}
    return edxml.result(read(text), **given)


# -- reading -------------------------------------------------------------------------------------------------------


def test_an_order_is_read_whole() -> None:
    found = read(ORDER)
    assert found.sender == Party("H48.01", "UBND tỉnh Quảng Ngãi")
    assert [one.organ_id for one in found.receivers] == ["H48.21", "000.00.53.H48"]
    assert (found.number, found.kind, found.directive) == ("441/TB-UBND", "TB", "TB-441-2024")
    assert (found.issued_on, found.due_on) == (date(2024, 10, 11), date(2024, 10, 20))
    assert found.subject == "Kết luận của Chủ tịch UBND tỉnh về chuyển đổi số quý III năm 2024"
    assert (found.steering, found.business) == (edxml.ORDERS, edxml.NEW)
    assert found.sent_at is not None
    assert found.sent_at.isoformat() == "2024-10-11T16:30:00+07:00"


def test_other_prefixes_and_wrappings_are_read_the_same() -> None:
    found = read(REPORT)
    assert (found.sender.organ_id, found.steering) == ("H48.21", edxml.REPORTS)
    assert found.answers == (Reference("441/TB-UBND", date(2024, 10, 11)),)


def test_the_day_may_stand_with_the_receivers() -> None:
    text = ORDER.replace("<edXML:DueDate>2024/10/20</edXML:DueDate>", "")
    first = "<edXML:OrganId>H48.21</edXML:OrganId>"
    text = text.replace(first, f"{first}<edXML:DueDate>2024/10/25</edXML:DueDate>")
    assert read(text).due_on == date(2024, 10, 25)


@pytest.mark.parametrize(
    ("notation", "type_name", "kind"),
    [
        ("TB-UBND", "", "TB"),
        ("QĐ-UBND", "Công văn", "QĐ"),
        ("UBND-KGVX", "Công văn", "CV"),
        ("UBND", "Kế hoạch", "KH"),
        ("UBND", "không rõ", "CV"),
        ("", "", "CV"),
    ],
)
def test_the_kind_is_told_by_the_notation_then_by_the_name(notation: str, type_name: str, kind: str) -> None:
    """Decree 30/2020/NĐ-CP, annex III; an official letter (công văn) has no abbreviation."""
    assert edxml.kind_of(notation, type_name) == kind


@pytest.mark.parametrize(
    ("number", "notation", "name"),
    [("441", "TB-UBND", "TB-441-2024"), ("", "TB-UBND", "TB-UBND-2024-10-11"), ("44 a/1", "TB", "TB-44-a-1-2024")],
)
def test_a_directive_is_named_as_the_contract_names_it(number: str, notation: str, name: str) -> None:
    assert edxml.slug("TB", number, notation, date(2024, 10, 11)) == name


@pytest.mark.parametrize(
    ("before", "after", "pointer"),
    [
        ("<edXML:OrganId>H48.01</edXML:OrganId>\n          <edXML:OrganizationInCharge>", "<edXML:x>", "From/OrganId"),
        ("<edXML:CodeNotation>TB-UBND</edXML:CodeNotation>", "", "Code/CodeNotation"),
        (
            "2024/10/11</edXML:PromulgationDate>",
            "11/10/2024</edXML:PromulgationDate>",
            "PromulgationInfo/PromulgationDate",
        ),
        ("<edXML:DueDate>2024/10/20", "<edXML:DueDate>sớm", "DueDate"),
        ("<edXML:SteeringType>2</edXML:SteeringType>", "", "SteeringType"),
    ],
)
def test_what_is_missing_or_wrong_is_named(before: str, after: str, pointer: str) -> None:
    assert before in ORDER
    text = ORDER.replace(before, after)
    text = text.replace("</edXML:OrganizationInCharge>", "</edXML:x>") if after == "<edXML:x>" else text
    assert [one for one, _ in faults(lambda: read(text))] == [f"/MessageHeader/{pointer}"]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    text = ORDER.replace("441", "").replace("TB-UBND</edXML:CodeN", "</edXML:CodeN").replace("2024/10/20", "?")
    assert len(faults(lambda: read(text))) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<a>",
        b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd"><a/>',
        b'<?xml version="1.0" encoding="nonsense"?><a/>',
        "<a>\ufffe</a>".encode(),
    ],
)
def test_what_is_no_xml_or_brings_a_document_type_is_refused(body: bytes) -> None:
    """A document type is where entities come from that unpack without end, or that read files and addresses."""
    with pytest.raises(RefusedError) as refused:
        edxml.read(body)
    assert refused.value.code == "malformed_xml"


def test_other_xml_is_no_envelope() -> None:
    assert faults(lambda: read("<a/>")) == [("", "there is no MessageHeader; is this edXML?")]


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: ORDER.replace("441", text).encode()))
def test_whatever_is_sent_is_read_or_refused(body: bytes) -> None:
    with suppress(RefusedError, wire.FaultyError):
        edxml.read(body)


# -- events --------------------------------------------------------------------------------------------------------


def test_an_order_becomes_a_draft_that_would_be_taken() -> None:
    event, to_do = edxml.draft(read(ORDER))

    taken = wire.read(event)
    assert taken.type == "dondoc.directive.issued.v1"
    assert event["data"]["obligations"] == [
        {
            "clause": "I",
            "title": "Kết luận của Chủ tịch UBND tỉnh về chuyển đổi số quý III năm 2024",
            "leads": ["H48.21", "000.00.53.H48"],
            "due": {"kind": "fixed", "boundary": "by", "day": "2024-10-20"},
            "category": "dated",
        }
    ]
    assert [one.split(":")[0] for one in to_do] == ["Divide it into its clauses", "Say who leads and who cooperates"]


def test_a_draft_without_a_day_says_so_and_invents_none() -> None:
    event, to_do = edxml.draft(read(ORDER.replace("<edXML:DueDate>2024/10/20</edXML:DueDate>", "")))
    wire.read(event)
    assert event["data"]["obligations"][0]["due"] == {"kind": "open_ended", "nature": "standing"}
    assert any("names none" in one for one in to_do)


def test_a_recall_becomes_the_draft_of_a_withdrawal() -> None:
    event, to_do = edxml.draft(read(ORDER.replace("DocType>0<", "DocType>1<")))
    assert wire.read(event).type == "dondoc.directive.revoked.v1"
    assert event["data"]["directive"] == "TB-441-2024"
    assert to_do


def test_a_report_becomes_the_result_of_the_task_it_answers() -> None:
    event = a_result(clause="II.1.a", period="2024-10")
    assert wire.read(event).task_id == "H48/TB-441-2024/II.1.a/H48.21/2024-10"
    assert event["data"]["document"] == {
        "number": "118/BC-STTTT",
        "issued_on": "2024-10-19",
        "issuer": "Sở Thông tin và Truyền thông",
        "title": "Báo cáo kết quả thực hiện Thông báo số 441/TB-UBND",
    }
    assert (event["source"], event["time"]) == ("//edxml/H48.21", "2024-10-19T15:02:11+07:00")


def test_the_same_envelope_is_the_same_event_and_another_is_another() -> None:
    assert a_result()["id"] == a_result()["id"]
    assert a_result()["id"] != a_result(REPORT.replace("118", "119"))["id"]


def test_one_report_about_two_clauses_is_two_results() -> None:
    assert a_result(clause="I")["id"] != a_result(clause="II.1")["id"]
    assert a_result(clause="II.1")["id"] == a_result(clause="II.1")["id"]


def test_an_envelope_of_very_many_elements_is_refused_before_it_is_read() -> None:
    with pytest.raises(RefusedError) as refused:
        read(f"<MessageHeader>{'<a/>' * edxml.ELEMENTS_MAX}</MessageHeader>")
    assert refused.value.code == "malformed_xml"


def test_a_report_that_does_not_say_what_it_answers_needs_to_be_told() -> None:
    begin, end = REPORT.index("<ed:ResponseFor>"), REPORT.index("</ed:ResponseFor>") + len("</ed:ResponseFor>")
    silent, twice = REPORT[:begin] + REPORT[end:], REPORT[:end] + REPORT[begin:end] + REPORT[end:]
    for text in (silent, twice):
        [(pointer, detail)] = faults(lambda text=text: a_result(text))  # type: ignore[misc]
        assert (pointer, "?directive=" in detail) == ("/MessageHeader/ResponseFor", True)
        assert a_result(text, directive="TB-1")["data"]["task_id"] == "H48/TB-1/I/H48.21"
