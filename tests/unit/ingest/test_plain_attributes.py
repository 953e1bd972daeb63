"""What is told at a glance to be well formed is well formed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest import wire
from shared.contracts.envelope import Envelope

GOOD = {"specversion": "1.0", "id": "a-1", "source": "//so", "type": "dondoc.task.progress_reported.v1"}
NAMES = [*Envelope.model_fields, "own", "Own", "data_base64", ""]
VALUES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["1.0", "2.0", "application/json", "2024-10-14T08:00:00+07:00", "x" * 299, "x" * 301, "\n", "\ud800"]
    ),
    st.integers(),
    st.booleans(),
    st.lists(st.text(), max_size=1),
)


@given(
    changes=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4),
    left_out=st.sets(st.sampled_from(list(GOOD)), max_size=1),
)
def test_a_glance_never_passes_what_the_model_would_refuse(changes: dict[str, Any], left_out: set[str]) -> None:
    """INVARIANT: an event that is plain has no faults.

    If this broke, an event would be kept that no consumer can read.
    """
    attributes = {name: one for name, one in {**GOOD, **changes}.items() if name not in left_out}
    if wire.is_plain(attributes):
        assert wire._envelope_faults(attributes) == []


@pytest.mark.parametrize("more", [{}, {"subject": "H48/x"}, {"province": "H48", "agency": "H48.21"}])
def test_an_ordinary_event_is_told_at_a_glance(more: dict[str, str]) -> None:
    assert wire.is_plain({**GOOD, **more})
