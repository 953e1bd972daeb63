"""edXML envelopes ↔ events: what document management systems already exchange with each other.

Source: QCVN 102:2016/BTTTT with amendment 1:2022 (Circulars 10/2016 and 01/2022 of the Ministry of Information and
Communications), as publicly described. An envelope with steering type 2 orders something: it becomes a draft of a
directive, for a human to complete; type 3 reports on one: it becomes a result. Systems differ in namespaces and
prefixes, so elements are known by their local names. The documents themselves are not read.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from services.ingest.domain.refusal import Code, Fault, RefusedError
from services.ingest.wire import FaultyError

MEDIA_TYPES: Final = frozenset({"application/xml", "text/xml"})
NO_STEERING, ORDERS, REPORTS = "1", "2", "3"
"""`SteeringType`: không chỉ đạo, chỉ đạo, báo cáo chỉ đạo."""
NEW, RECALLED, UPDATED, REPLACED = "0", "1", "2", "3"
"""`BussinessDocType` (spelt so in the standard): mới, thu hồi, cập nhật, thay thế."""

ELEMENTS_MAX: Final = 2_000

_KINDS: Final = {
    # Decree 30/2020/NĐ-CP, annex III.
    "nghị quyết": "NQ",
    "quyết định": "QĐ",
    "chỉ thị": "CT",
    "thông báo": "TB",
    "hướng dẫn": "HD",
    "chương trình": "CTr",
    "kế hoạch": "KH",
    "phương án": "PA",
    "đề án": "ĐA",
    "báo cáo": "BC",
    "tờ trình": "TTr",
    "công điện": "CĐ",
    "công văn": "CV",
}
_ABBREVIATIONS: Final = frozenset(_KINDS.values())
_NOT_IN_A_SLUG: Final = re.compile(r"[^A-Za-z0-9Đđ._-]+")
_HANOI: Final = "+07:00"


@dataclass(frozen=True, slots=True)
class Party:
    """An organisation, by its own code (QĐ 20/2020/QĐ-TTg or the older four groups); ours is the same."""

    organ_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Reference:
    """A document as another one cites it."""

    number: str
    issued_on: date


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is needed of an envelope."""

    sender: Party
    receivers: tuple[Party, ...]
    code_number: str
    code_notation: str
    kind: str
    """Abbreviation by Decree 30/2020."""
    issued_on: date
    subject: str
    due_on: date | None
    steering: str
    business: str
    answers: tuple[Reference, ...]
    sent_at: datetime | None
    digest: str
    """Of the whole envelope: the same bytes are the same message."""

    @property
    def number(self) -> str:
        """As people cite it: `441/TB-UBND`."""
        return f"{self.code_number}/{self.code_notation}" if self.code_number else self.code_notation

    @property
    def directive(self) -> str:
        """The directive's name here, should it be one."""
        return slug(self.kind, self.code_number, self.code_notation, self.issued_on)


def slug(kind: str, code_number: str, code_notation: str, issued_on: date) -> str:
    """A directive's name: `TB-441-2024`; without a number `TB-UBND-2024-10-11`."""
    name = f"{kind}-{code_number}-{issued_on.year}" if code_number else f"{code_notation}-{issued_on}"
    return _NOT_IN_A_SLUG.sub("-", name).strip("-")[:80]


def kind_of(code_notation: str, type_name: str = "") -> str:
    """The document's kind: as its notation begins, else as its type is named; an official letter has neither."""
    prefix = code_notation.partition("-")[0]
    if prefix in _ABBREVIATIONS:
        return prefix
    return _KINDS.get(type_name.strip().lower(), "CV")


# -- reading ---------------------------------------------------------------------------------------------------------


def read(body: bytes) -> Envelope:
    """An envelope as it was sent. Raises FaultyError with every fault, RefusedError where it is no XML at all."""
    try:
        parser = DefusedXMLParser(target=_BoundedBuilder(), forbid_dtd=True)
        parser.feed(body)
        root = parser.close()
    except (_TooManyElementsError, ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise RefusedError(
            Code.MALFORMED_XML,
            "The body is not XML as edXML has it: well formed, without a document type, "
            f"of {ELEMENTS_MAX} elements at most.",
        ) from error
    header = _first(root, "MessageHeader")
    if header is None:
        raise FaultyError([Fault("", Code.INVALID_ENVELOPE, "there is no MessageHeader; is this edXML?")])
    return _Reader(header, root, hashlib.sha256(body).hexdigest()).envelope()


class _TooManyElementsError(Exception):
    """Nothing that people send each other."""


class _BoundedBuilder(TreeBuilder):
    """Gives up on what is large in elements: some bytes of gzip may be a million of them."""

    _count = 0

    def start(self, tag: Any, attrs: Any, /) -> Element:
        """An element begins."""
        self._count += 1
        if self._count > ELEMENTS_MAX:
            raise _TooManyElementsError
        return super().start(tag, attrs)


class _Reader:
    """Collects what is wrong while reading."""

    def __init__(self, header: Element, root: Element, digest: str) -> None:
        self._header = header
        self._root = root
        self._digest = digest
        self._faults: list[Fault] = []

    def envelope(self) -> Envelope:
        sender = self._party(_child(self._header, "From"), "From")
        receivers = tuple(self._party(one, "To") for one in _children(self._header, "To"))
        notation = self._required("Code", "CodeNotation")
        number = self._text("Code", "CodeNumber")
        issued_on = self._day("PromulgationInfo", "PromulgationDate", required=True)
        subject = self._required("Subject")
        due_on = self._day("DueDate") or self._earliest_due_of_receivers()
        steering = self._required("SteeringType")
        trace = _first(self._root, "TraceHeaderList")
        business = _text(_first(trace, "BussinessDocType")) if trace is not None else ""
        found = Envelope(
            sender=sender,
            receivers=receivers,
            code_number=number,
            code_notation=notation,
            kind=kind_of(notation, self._text("DocumentType", "TypeName")),
            issued_on=issued_on or date.min,
            subject=subject,
            due_on=due_on,
            steering=steering,
            business=business or NEW,
            answers=tuple(self._answers()),
            sent_at=_instant(_text(_first(trace, "Timestamp")) if trace is not None else ""),
            digest=self._digest,
        )
        if self._faults:
            raise FaultyError(self._faults)
        return found

    def _answers(self) -> Iterator[Reference]:
        for one in _children(self._header, "ResponseFor"):
            code, day = _text(_child(one, "Code")), _text(_child(one, "PromulgationDate"))
            issued_on = _parse_day(day)
            if not code or issued_on is None:
                self._fault(("ResponseFor",), "needs Code, such as 441/TB-UBND, and PromulgationDate")
            else:
                yield Reference(code, issued_on)

    def _earliest_due_of_receivers(self) -> date | None:
        found = [_parse_day(_text(_child(one, "DueDate"))) for one in _children(self._header, "To")]
        return min((one for one in found if one is not None), default=None)

    def _party(self, element: Element | None, name: str) -> Party:
        organ_id = _text(_child(element, "OrganId")) if element is not None else ""
        if not organ_id:
            self._fault((name, "OrganId"), "is missing")
        return Party(organ_id, _text(_child(element, "OrganName")) if element is not None else "")

    def _text(self, *path: str) -> str:
        element: Element | None = self._header
        for name in path:
            element = _child(element, name) if element is not None else None
        return _text(element)

    def _required(self, *path: str) -> str:
        text = self._text(*path)
        if not text:
            self._fault(path, "is missing")
        return text

    def _day(self, *path: str, required: bool = False) -> date | None:
        text = self._required(*path) if required else self._text(*path)
        day = _parse_day(text)
        if text and day is None:
            self._fault(path, f"{text[:20]!r} is not a day as 2024/10/20")
        return day

    def _fault(self, path: tuple[str, ...], detail: str) -> None:
        self._faults.append(Fault("/MessageHeader/" + "/".join(path), Code.INVALID_ENVELOPE, detail))


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _children(element: Element, name: str) -> Iterator[Element]:
    return (one for one in element if _local(one) == name)


def _child(element: Element, name: str) -> Element | None:
    return next(_children(element, name), None)


def _first(element: Element, name: str) -> Element | None:
    """At any depth: envelopes are wrapped in SOAP, in `edXML`, or in nothing."""
    return next((one for one in element.iter() if _local(one) == name), None)


def _text(element: Element | None) -> str:
    return " ".join((element.text or "").split()) if element is not None else ""


def _parse_day(text: str) -> date | None:
    """`2024/10/20` as the standard has it, or `2024-10-20` as many systems write."""
    try:
        return date.fromisoformat(text[:10].replace("/", "-"))
    except ValueError:
        return None


def _instant(text: str) -> datetime | None:
    """`2024/10/20 09:30:00`, Hanoi time unless it says otherwise."""
    try:
        found = datetime.fromisoformat(text.replace("/", "-"))
    except ValueError:
        return None
    return found if found.tzinfo is not None else datetime.fromisoformat(f"{found.isoformat()}{_HANOI}")


# -- turning into events ---------------------------------------------------------------------------------------------


def draft(envelope: Envelope) -> tuple[dict[str, Any], list[str]]:
    """A directive as far as its envelope tells it, and what a human has to look at before it is sent.

    An envelope knows one day and its receivers, no clauses: one obligation that all of them lead. A recall becomes the
    directive's withdrawal.
    """
    if envelope.business == RECALLED:
        return _withdrawal(envelope)
    to_do = ["Divide it into its clauses: an envelope does not tell them, so all is one obligation, I."]
    if len(envelope.receivers) > 1:
        to_do.append("Say who leads and who cooperates: every receiver stands as a lead.")
    if envelope.due_on is None:
        to_do.append("Give each clause its day: the envelope names none.")
        due: dict[str, Any] = {"kind": "open_ended", "nature": "standing"}
    else:
        due = {"kind": "fixed", "boundary": "by", "day": envelope.due_on}
    if envelope.business in {UPDATED, REPLACED}:
        to_do.append("Raise `revision`, and name the directive as it was named before: this one changes it.")
    data = {
        "directive": envelope.directive,
        "kind": envelope.kind,
        "number": envelope.number,
        "issuer": envelope.sender.name or envelope.sender.organ_id,
        "issued_on": envelope.issued_on,
        "title": envelope.subject[:300],
        "obligations": [
            {
                "clause": "I",
                "title": envelope.subject[:300],
                "leads": list(dict.fromkeys(one.organ_id for one in envelope.receivers)),
                "due": due,
                "category": "dated" if envelope.due_on is not None else "standing",
            }
        ],
    }
    return _event(envelope, "dondoc.directive.issued.v1", data), to_do


def _withdrawal(envelope: Envelope) -> tuple[dict[str, Any], list[str]]:
    data = {
        "directive": envelope.directive,
        "reason": envelope.subject,
        "document": {"number": envelope.number, "issued_on": envelope.issued_on},
    }
    to_do = ["Say which document withdraws it: the envelope repeats the one that is withdrawn."]
    return _event(envelope, "dondoc.directive.revoked.v1", data), to_do


def result(envelope: Envelope, *, province: str, directive: str | None, clause: str, period: str | None) -> Any:
    """The result that a report hands in. `directive`: its name here; without it, as the answered document has it."""
    if directive is None:
        if len(envelope.answers) != 1:
            where = "/MessageHeader/ResponseFor"
            detail = "names no document" if not envelope.answers else "names several documents"
            fault = Fault(where, Code.INVALID_ENVELOPE, f"{detail}; say which directive this is about: ?directive=…")
            raise FaultyError([fault])
        [answered] = envelope.answers
        code_number, _, code_notation = answered.number.rpartition("/")
        directive = slug(kind_of(code_notation), code_number, code_notation, answered.issued_on)
    task_id = "/".join([province, directive, clause, envelope.sender.organ_id, *([period] if period else [])])
    document = {
        "number": envelope.number,
        "issued_on": envelope.issued_on,
        "issuer": envelope.sender.name[:200] or None,
        "title": envelope.subject[:500],
    }
    # Of the task too: one report may be about several clauses, or be sent again under the right one.
    digest = hashlib.sha256(f"{envelope.digest} {task_id}".encode()).hexdigest()
    return _event(
        envelope, "dondoc.task.result_submitted.v1", {"task_id": task_id, "document": document}, digest=digest
    )


def _event(envelope: Envelope, event_type: str, data: dict[str, Any], *, digest: str | None = None) -> dict[str, Any]:
    time = {"time": envelope.sent_at.isoformat()} if envelope.sent_at is not None else {}
    return {
        "specversion": "1.0",
        "id": f"edxml-{(digest or envelope.digest)[:40]}",
        "source": f"//edxml/{envelope.sender.organ_id}",
        "type": event_type,
        **time,
        "data": _plain(data),
    }


def _plain(content: Any) -> Any:
    """As JSON has it: days as text, nothing that is not there."""
    if isinstance(content, dict):
        return {name: _plain(one) for name, one in content.items() if one is not None}
    if isinstance(content, list):
        return [_plain(one) for one in content]
    return content.isoformat() if isinstance(content, date) else content
