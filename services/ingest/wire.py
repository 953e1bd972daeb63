"""Bytes ↔ submissions: the only file of ingest that knows the contract.

Data is read strictly, as the published schemas say: no unknown fields at any depth, a number is a number, a day is
`YYYY-MM-DD`. Consumers read leniently; a lenient door would let `20241014` through as a day in 1970. The bytes that
passed are the bytes that are kept.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import orjson
import pydantic_core
from pydantic import ValidationError
from pydantic.json_schema import models_json_schema

from services.ingest.domain.authorisation import Credential, Owner, Speaker, Statement
from services.ingest.domain.refusal import Code, Fault, RefusedError
from services.ingest.domain.submission import Keyed, Submission
from services.ingest.ports import Message, Trace
from shared.contracts import claims
from shared.contracts.agency_events import TaskContributionSubmitted
from shared.contracts.envelope import BATCH_CONTENT_TYPE, CONTENT_TYPE, Envelope
from shared.contracts.events import BY_TOPIC, EventType, KeyedBy, Sender
from shared.contracts.topics import SUBMISSIONS

STRUCTURED, BATCH, JSON = CONTENT_TYPE, BATCH_CONTENT_TYPE, "application/json"

EVENT_TYPES: Final[Mapping[str, EventType]] = BY_TOPIC[SUBMISSIONS.name]
DEPTH_MAX: Final = 32
ATTRIBUTES_MAX: Final = 40
ATTRIBUTE_CHARS_MAX: Final = 1_000
PLAIN_CHARS_MAX: Final = 300
"""All attributes together: as many as one may have."""

_REQUIRED: Final = dict.fromkeys(("specversion", "id", "source", "type")).keys()
_SPEAKERS: Final = {Sender.AGENCY: Speaker.AGENCY, Sender.AUTHORITY: Speaker.AUTHORITY}
_KEYED: Final = {KeyedBy.TASK: Keyed.TASK, KeyedBy.PROVINCE: Keyed.PROVINCE, KeyedBy.AGENCY: Keyed.AGENCY}
# By name: looking up members of an enumeration costs more than the rest of it.
_SAID_BY: Final = {name: _SPEAKERS[kind.sender] for name, kind in EVENT_TYPES.items()}
_KEYED_BY: Final = {name: _KEYED[kind.keyed_by] for name, kind in EVENT_TYPES.items()}
_KNOWN: Final = frozenset(Envelope.model_fields)
_SENDERS: Final = _KNOWN - {"receivedat", "data"}
_NAME: Final = re.compile(r"[a-z0-9]{1,50}")
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
# CloudEvents 1.0, type system: strings carry no control characters and no noncharacters.
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE: Final = re.compile(r"[\x20-\x7e]{1,512}")
SENDER_HEADER: Final = "dondoc-sender"
_INT32: Final = 2**31
_NESTED: Final = (dict, list)


class FaultyError(Exception):
    """An event that cannot be taken, with everything that is wrong in it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(f"{len(faults)} faults")
        self.faults = faults


# -- reading ---------------------------------------------------------------------------------------------------------


def parse(body: bytes) -> Any:
    """JSON as RFC 8259 has it: no NaN, no lone surrogates. How deep it is, is asked of what cannot be taken only:
    `read` takes nothing that is deep (`exceeds_depth`), and the parser itself ends long before the stack does."""
    try:
        content = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        if str(error).startswith("recursion"):
            raise too_deep() from error
        raise RefusedError(Code.MALFORMED_JSON, f"The body is not JSON: {error}.") from error
    return content


def from_binary(attributes: Sequence[tuple[bytes, bytes]], body: bytes) -> dict[str, Any]:
    """An event in binary mode as the same event in structured mode. `attributes`: the `ce-…` headers without `ce-`."""
    event: dict[str, Any] = {}
    faults = []
    for raw_name, raw_value in attributes:
        name = raw_name.decode("latin-1")
        if name in event or name in {"data", "datacontenttype"}:
            faults.append(_fault(f"/{_escaped(name)}", f"the header ce-{name} must not be there, or stands twice"))
            continue
        try:
            event[name] = unquote_to_bytes(raw_value).decode()
        except UnicodeDecodeError:
            faults.append(_fault(f"/{_escaped(name)}", "not percent-encoded UTF-8"))
    if faults:
        raise FaultyError(faults)
    return {**event, "datacontenttype": JSON, "data": parse(body)}


def read(event: Any) -> Submission:
    """An event as it was sent → a submission. Raises FaultyError with every fault, pointers relative to the event."""
    if not isinstance(event, dict):
        raise FaultyError([_fault("", "an event is a JSON object")])
    attributes = {name: value for name, value in event.items() if value is not None and name != "data"}
    if "datacontenttype" in attributes and is_json(str(attributes["datacontenttype"])):
        attributes["datacontenttype"] = JSON
    faults = [] if is_plain(attributes) else _envelope_faults(attributes)
    kind = EVENT_TYPES.get(attributes["type"]) if isinstance(attributes.get("type"), str) else None
    if kind is None:
        if "/type" not in {fault.pointer for fault in faults}:
            faults.append(_unknown_type())
        raise FaultyError(faults)
    data = pydantic_core.to_json(event.get("data"))
    try:
        content = kind.model.model_validate_json(data, strict=True, extra="forbid")
    except ValidationError as error:
        raise FaultyError([*faults, *_data_faults(error, event)]) from error
    task_id: str | None = getattr(content, "task_id", None)
    if task_id is not None and attributes.get("subject", task_id) != task_id:
        faults.append(_fault("/subject", "differs from /data/task_id; leave it out or make them equal"))
    if faults:
        raise FaultyError(faults)
    return _submission(kind, attributes, task_id, data)


def _submission(kind: EventType, attributes: dict[str, Any], task_id: str | None, data: bytes) -> Submission:
    return Submission(
        source=attributes["source"],
        id=attributes["id"],
        type=kind.name,
        statement=Statement(
            speaker=_SAID_BY[kind.name],
            owner=_owner(task_id) if task_id is not None else None,
            province=attributes.get("province"),
            agency=attributes.get("agency"),
            cooperates=kind.model is TaskContributionSubmitted,
        ),
        keyed=_KEYED_BY[kind.name],
        task_id=task_id,
        attributes=attributes,
        data=data,
    )


def _owner(task_id: str) -> Owner:
    """Of an id that its model has checked: `{province}/{directive}/{clause}/{agency}[/{period}]`."""
    province, _, _, agency, *_ = task_id.split("/")
    return Owner(province, agency)


def is_plain(attributes: Mapping[str, Any]) -> bool:
    """Whether there is nothing to find fault with, told at a glance: true of nearly all events.

    Never where `Envelope` or the rules beside it would find some (tests/unit/ingest/test_plain_attributes.py).
    """
    if not (attributes.keys() <= _SENDERS and attributes.keys() >= _REQUIRED):
        return False
    try:
        text = "".join(attributes.values())
    except TypeError:
        return False
    return (
        len(text) <= PLAIN_CHARS_MAX
        and text.isprintable()
        and "" not in attributes.values()
        and attributes["specversion"] == "1.0"
        and "time" not in attributes
        and attributes.get("datacontenttype", JSON) == JSON
    )


def _envelope_faults(attributes: Mapping[str, Any]) -> list[Fault]:
    faults = list(_attribute_faults(attributes))
    try:
        Envelope.model_validate(attributes)
    except ValidationError as error:
        known = {fault.pointer for fault in faults}
        faults.extend(one for one in _faults_of(error, attributes, "") if one.pointer not in known)
    return faults


def _attribute_faults(attributes: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with the attributes beside what the envelope's model says."""
    for name in _REQUIRED:
        if name not in attributes:
            yield _fault(f"/{name}", "required")
    if "receivedat" in attributes:
        yield _fault("/receivedat", "set by the platform at the moment of receipt; leave it out")
    if len(attributes) > ATTRIBUTES_MAX:
        yield _fault("", f"more than {ATTRIBUTES_MAX} attributes")
        return
    for name, value in attributes.items():
        if name not in _KNOWN and _NAME.fullmatch(name) is None:
            yield _fault(
                f"/{_escaped(name)}",
                "data goes into `data`, as JSON" if name == "data_base64" else "attribute names are a-z and 0-9",
            )
        if (reason := _value_fault(value)) is not None:
            yield _fault(f"/{_escaped(name)}", reason)
    time = attributes.get("time")
    if time is not None and not (isinstance(time, str) and _TIME.fullmatch(time)):
        yield _fault("/time", "not RFC 3339 with an offset, e.g. 2024-10-14T08:00:00+07:00")


def _value_fault(value: Any) -> str | None:
    if isinstance(value, str):
        if len(value) > ATTRIBUTE_CHARS_MAX:
            return f"longer than {ATTRIBUTE_CHARS_MAX} characters"
        # Printable text, which is nearly all, is told apart faster than by the pattern.
        if not value.isprintable() and _FORBIDDEN.search(value):
            return "holds a control character"
        return None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if -_INT32 <= value < _INT32 else "beyond 32 bits"
    return "attributes are texts, whole numbers or booleans"


def is_json(content_type: str) -> bool:
    """`application/json`, in whatever case, with no other charset than UTF-8."""
    media_type, _, parameters = content_type.lower().partition(";")
    return media_type.strip() == JSON and utf8_only(parameters)


def utf8_only(parameters: str) -> bool:
    """Whether the parameters of a lower-case media type name no other charset than UTF-8."""
    charsets = [one.partition("=")[2].strip(' "') for one in parameters.split(";") if one.strip().startswith("charset")]
    return all(charset in {"utf-8", "utf8", "us-ascii"} for charset in charsets)


# -- faults ----------------------------------------------------------------------------------------------------------


def _fault(pointer: str, detail: str) -> Fault:
    return Fault(pointer, Code.INVALID_EVENT, detail)


def _unknown_type() -> Fault:
    return Fault("/type", Code.UNKNOWN_EVENT_TYPE, f"unknown; known are {', '.join(sorted(EVENT_TYPES))}")


def too_deep() -> RefusedError:
    """What cannot be taken for its depth alone."""
    return RefusedError(Code.TOO_DEEP, f"The body is nested more than {DEPTH_MAX} deep; no event is.")


def _data_faults(error: ValidationError, event: Mapping[str, Any]) -> Iterator[Fault]:
    if event.get("data") is None:
        yield _fault("/data", "required")
    else:
        yield from _faults_of(error, event["data"], "/data")


def _faults_of(error: ValidationError, content: Any, at: str) -> Iterator[Fault]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    inside = {one["loc"][:length] for one in found for length in range(1, len(one["loc"]))}
    for one in found:
        # A list whose items are faulty counts as empty; that is no fault of its own.
        if one["loc"] in inside:
            continue
        yield _fault(at + _pointer(one["loc"], content, missing=one["type"] == "missing"), one["msg"])


def _pointer(location: Sequence[int | str], content: Any, *, missing: bool) -> str:
    """A location of the model as a pointer into the document: without the names of the branches of a union."""
    pointer = ""
    node = content
    for position, part in enumerate(location):
        is_field = isinstance(node, dict) and part in node
        is_element = isinstance(node, list) and isinstance(part, int) and part < len(node)
        if is_field or is_element:
            node = node[part]
        elif not (missing and position == len(location) - 1):
            continue
        pointer += f"/{_escaped(str(part))}"
    return pointer


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def exceeds_depth(content: Any) -> bool:
    """Whether anything is nested deeper than any event is."""
    level = [content] if isinstance(content, dict | list) else []
    for _ in range(DEPTH_MAX):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, _NESTED)
        ]
        if not level:
            return False
    return True


# -- writing ---------------------------------------------------------------------------------------------------------


def message(submission: Submission, credential: Credential, *, received_at: datetime, trace: Trace | None) -> Message:
    """A submission as it is kept: the sender's attributes, those of the platform, the data as it was validated."""
    key = submission.key(credential)
    attributes: dict[str, Any] = dict(submission.attributes)
    attributes["province"] = credential.province
    attributes["agency"] = credential.agency
    attributes["receivedat"] = received_at
    attributes["partitionkey"] = key
    attributes["datacontenttype"] = JSON
    own = attributes.get("traceparent")
    if trace is None:
        trace = trace_of(own if isinstance(own, str) else None, None)
    elif own is None:
        attributes["traceparent"] = trace.parent
    value = orjson.dumps(attributes, option=orjson.OPT_UTC_Z)[:-1] + b',"data":' + submission.data + b"}"
    return Message(SUBMISSIONS.name, key, value, trace)


def sender_of(value: bytes) -> tuple[str, str] | None:
    """Province and agency as a trusted proxy names them: `H48/H48.21`."""
    province, _, agency = value.decode("latin-1").strip().partition("/")
    try:
        named = claims.credential({"province": province, "agency": agency, "scope": ""})
    except claims.ClaimError:
        return None
    return named.province, named.agency


def trace_of(parent: str | None, state: str | None) -> Trace | None:
    """The headers `traceparent` and `tracestate` where they are well formed; W3C says to ignore them otherwise."""
    if parent is None or _TRACEPARENT.fullmatch(parent) is None:
        return None
    return Trace(parent, state if state is not None and _TRACESTATE.fullmatch(state) else None)


# -- describing ------------------------------------------------------------------------------------------------------


@functools.cache
def event_schemas(ref_template: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Event type → the reference to its data's schema; and all definitions, closed as this door reads them."""
    rows = {name: (kind.model, "validation") for name, kind in EVENT_TYPES.items()}
    references, whole = models_json_schema(list(rows.values()), ref_template=ref_template)  # type: ignore[arg-type]
    definitions: dict[str, Any] = whole["$defs"]
    for definition in definitions.values():
        if definition.get("type") == "object":
            definition["additionalProperties"] = False
    return {name: dict(references[row]) for name, row in rows.items()}, definitions  # type: ignore[index]
