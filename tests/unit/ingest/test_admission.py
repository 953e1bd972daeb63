"""Room for what is under way."""

import pytest

from services.ingest.domain.admission import Admission


def test_who_would_exceed_the_room_for_events_is_not_let_in_and_takes_none() -> None:
    admission = Admission(events_max=10, bytes_max=100)

    assert admission.enter(events=10)
    assert not admission.enter(events=1)
    assert admission.events == 10


def test_bytes_have_a_bound_of_their_own() -> None:
    admission = Admission(events_max=10, bytes_max=100)

    assert admission.enter(bytes=100)
    assert not admission.enter(bytes=1)
    assert admission.enter(events=1)


def test_room_given_back_can_be_taken_again() -> None:
    admission = Admission(events_max=1, bytes_max=1)
    assert admission.enter(events=1, bytes=1)

    admission.leave(events=1, bytes=1)

    assert admission.enter(events=1, bytes=1)


def test_leaving_twice_is_our_own_mistake() -> None:
    admission = Admission(events_max=1, bytes_max=1)

    with pytest.raises(AssertionError):
        admission.leave(events=1)
