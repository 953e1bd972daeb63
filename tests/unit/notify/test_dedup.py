"""What makes a repeat recognisable, and who heard of what may have to be taken back."""

import pytest

from services.notify.domain.alert import AlertKind
from services.notify.domain.dedup import Heard, Reach, delivery_id, may_have_heard, once, reach_before
from services.notify.domain.routing import Recipient
from tests.unit.notify.builders import AGENCY, HEAD, STANDING, an_alert

K = AlertKind


def test_a_fact_that_stands_twice_in_a_batch_counts_once() -> None:
    one, other = an_alert(alert_id="a:1"), an_alert(alert_id="a:2")

    assert once([(one, 0), (other, 0), (one, 7)]) == [(one, 0), (other, 0)]


def test_a_delivery_is_named_by_alert_role_agency_and_channel() -> None:
    assert delivery_id("t:5", HEAD, "email") == "t:5:head:H48.21:email"
    names = {delivery_id("t:5", one, channel) for one in (AGENCY, HEAD, STANDING) for channel in ("email", "webhook")}
    assert len(names) == 6


def heard(kind: AlertKind, seq: int, reach: Reach, recipient: Recipient = AGENCY) -> Heard:
    return Heard(kind, seq, recipient, reach)


@pytest.mark.parametrize(
    ("story", "reach"),
    [
        ([], Reach.NOT_TOLD),
        ([heard(K.OVERDUE, 5, Reach.TOLD)], Reach.TOLD),
        ([heard(K.OVERDUE, 5, Reach.PENDING)], Reach.PENDING),
        ([heard(K.OVERDUE, 5, Reach.NOT_TOLD)], Reach.NOT_TOLD),
        ([heard(K.OVERDUE, 5, Reach.NOT_TOLD), heard(K.ESCALATION, 6, Reach.TOLD)], Reach.TOLD),
        ([heard(K.OVERDUE, 5, Reach.TOLD), heard(K.ESCALATION, 6, Reach.PENDING)], Reach.TOLD),
        # Over one channel it was told, over another it waits.
        ([heard(K.OVERDUE, 5, Reach.PENDING), heard(K.OVERDUE, 5, Reach.TOLD)], Reach.TOLD),
        # Somebody else's, and what came after, are no reason.
        ([heard(K.OVERDUE, 5, Reach.TOLD, STANDING)], Reach.NOT_TOLD),
        ([heard(K.OVERDUE, 11, Reach.TOLD)], Reach.NOT_TOLD),
        # Taken back already: only what was told since counts.
        ([heard(K.OVERDUE, 5, Reach.TOLD), heard(K.OVERDUE_RETRACTED, 7, Reach.TOLD)], Reach.NOT_TOLD),
        ([heard(K.OVERDUE, 5, Reach.TOLD), heard(K.OVERDUE_RETRACTED, 7, Reach.PENDING)], Reach.NOT_TOLD),
        ([heard(K.OVERDUE, 5, Reach.TOLD), heard(K.OVERDUE_RETRACTED, 7, Reach.NOT_TOLD)], Reach.TOLD),
        (
            [
                heard(K.OVERDUE, 5, Reach.TOLD),
                heard(K.OVERDUE_RETRACTED, 7, Reach.TOLD),
                heard(K.OVERDUE, 8, Reach.TOLD),
            ],
            Reach.TOLD,
        ),
        # The retraction itself, looking back.
        ([heard(K.OVERDUE, 5, Reach.TOLD), heard(K.OVERDUE_RETRACTED, 10, Reach.PENDING)], Reach.TOLD),
    ],
)
def test_a_retraction_reaches_who_heard_of_what_it_is_the_first_to_undo(story: list[Heard], reach: Reach) -> None:
    assert reach_before(story, AGENCY, seq=10) is reach
    assert (AGENCY in may_have_heard(story, seq=10)) is (reach is not Reach.NOT_TOLD)


def test_each_who_may_have_heard_is_named() -> None:
    story = [heard(K.OVERDUE, 5, Reach.TOLD), heard(K.ESCALATION, 6, Reach.PENDING, HEAD)]
    story += [heard(K.ESCALATION, 6, Reach.NOT_TOLD, STANDING)]

    assert may_have_heard(iter(story), seq=10) == {AGENCY, HEAD}
