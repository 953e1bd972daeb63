"""Bytes ↔ event, and the key that tells submissions apart."""

import json
from itertools import product
from typing import Any

import pytest

from shared.contracts.codec import UndecodableError, decode, event_key
from shared.contracts.events import BY_TOPIC
from shared.contracts.topics import DEADLETTERS, SUBMISSIONS, TASKS


def a_record(**changes: Any) -> bytes:
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "//agency",
        "type": "dondoc.task.acknowledged.v1",
        "data": {"task_id": "H48/TB-1/II.1.h/H48.21"},
    }
    return json.dumps({**event, **changes}).encode()


def test_two_events_never_share_a_key() -> None:
    """INVARIANT: the key of source and id is theirs alone.

    Otherwise one sender's event is answered as the repetition of another's, and never applied.
    """
    words = ["".join(letters) for length in (1, 2, 3) for letters in product("a3:#", repeat=length)]
    events = list(product(words, words))

    assert len({event_key(source, event_id) for source, event_id in events}) == len(events)


def test_a_source_cannot_pass_for_another_with_a_length_in_front() -> None:
    assert event_key("a#b", "id") != event_key("3:a", "b#id")


@pytest.mark.parametrize(
    ("topic", "value", "reason"),
    [
        (SUBMISSIONS.name, None, "empty"),
        (SUBMISSIONS.name, b"", "malformed"),
        (SUBMISSIONS.name, b"\xff", "malformed"),
        (SUBMISSIONS.name, b"[" * 100_000, "malformed"),
        (SUBMISSIONS.name, a_record(specversion="0.3"), "malformed"),
        (SUBMISSIONS.name, a_record(time="2024-10-14T08:00:00"), "malformed"),
        (SUBMISSIONS.name, a_record(type="dondoc.task.acknowledged.v2"), "unknown_type"),
        (SUBMISSIONS.name, a_record(type="dondoc.task.completed.v1"), "unknown_type"),
        (DEADLETTERS.name, a_record(), "unknown_type"),
        (TASKS.name, a_record(), "invalid_data"),
        (SUBMISSIONS.name, a_record(data=None), "invalid_data"),
        (SUBMISSIONS.name, a_record(data={"task_id": "H48"}), "invalid_data"),
    ],
)
def test_what_cannot_be_read_says_why(topic: str, value: bytes | None, reason: str) -> None:
    with pytest.raises(UndecodableError) as refused:
        decode(topic, value)

    assert refused.value.reason == reason


def test_one_type_name_has_its_own_data_on_each_topic() -> None:
    name = "dondoc.task.acknowledged.v1"

    assert BY_TOPIC[SUBMISSIONS.name][name].model is not BY_TOPIC[TASKS.name][name].model


def test_unknown_fields_are_ignored_and_unknown_extensions_kept() -> None:
    event = decode(
        SUBMISSIONS.name,
        a_record(sequence="7", data={"task_id": "H48/TB-1/II.1.h/H48.21", "mood": "good"}),
    )

    assert event.envelope.model_extra == {"sequence": "7"}
    assert not hasattr(event.data, "mood")
