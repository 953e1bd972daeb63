"""What goes out as one message, under which name, and who forms it."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.domain import dispatch as dispatches
from services.notify.domain.alert import AlertKind
from services.notify.domain.dispatch import Desk, Lane, desk_of, slot_of, waiting_for_digest, waits_with
from services.notify.domain.registry import Registry
from services.notify.domain.routing import Recipient, Role
from tests.unit.notify.builders import AGENCY, DESK, HEAD, STANDING, a_delivery, an_agency, an_alert

K = AlertKind
DAY = date(2024, 10, 21)
HEADS_DESK = replace(DESK, is_head=True)


# -- desks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipient", "head_contact", "desk"),
    [
        (AGENCY, None, DESK),
        (AGENCY, "head@x.example", DESK),
        (HEAD, "head@x.example", HEADS_DESK),
        # A head without a mailbox, or with the agency's, reads at the agency's desk: one mailbox, one message.
        (HEAD, None, DESK),
        (HEAD, "H48.21@x.example", DESK),
        (STANDING, "head@x.example", Desk("H48", "H48.07")),
    ],
)
def test_a_head_has_a_desk_where_it_has_a_mailbox_of_its_own(
    recipient: Recipient, head_contact: str | None, desk: Desk
) -> None:
    registry = Registry([an_agency(head_contact=head_contact)])

    assert desk_of(recipient, registry, "H48", DAY) == desk


def test_what_is_for_an_agency_that_is_no_more_comes_to_its_successors_desk() -> None:
    ended = an_agency(valid_to=DAY, successors=("H48.22",), head_contact="old@x.example")
    successor = an_agency("H48.22", head_contact="head@x.example")
    registry, tomorrow = Registry([ended, successor]), date(2024, 10, 22)

    assert [desk_of(AGENCY, registry, "H48", day) for day in (DAY, tomorrow)] == [DESK, Desk("H48", "H48.22")]
    assert desk_of(HEAD, registry, "H48", tomorrow) == Desk("H48", "H48.22", is_head=True)
    assert desk_of(HEAD, Registry([ended, an_agency("H48.22")]), "H48", tomorrow) == Desk("H48", "H48.22")


def test_an_agency_that_the_registry_does_not_know_has_a_desk_all_the_same() -> None:
    assert desk_of(HEAD, Registry([]), "H48", DAY) == DESK


def test_desks_have_names_of_their_own() -> None:
    assert (DESK.key, HEADS_DESK.key) == ("H48/H48.21", "H48/H48.21/head")
    assert len({one.key for one in (DESK, HEADS_DESK, Desk("H49", "H48.21"), Desk("H48", "H48.22"))}) == 4


# -- slots ---------------------------------------------------------------------------------------------------------


@given(st.text(), st.text(), st.integers(1, 1_000))
def test_a_slot_is_in_range_and_the_same_whoever_asks(province: str, agency: str, slots: int) -> None:
    """INVARIANT: every replica gives an agency the same slot: who owns it forms its messages, and nobody else."""
    slot = slot_of(province, agency, slots)

    assert 0 <= slot < slots
    assert slot == slot_of(province, agency, slots)


def test_slots_do_not_change_from_release_to_release() -> None:
    """What waits keeps the slot it was recorded with."""
    assert [slot_of("H48", f"H48.{number:02}", 12) for number in range(1, 8)] == [11, 1, 11, 8, 10, 4, 6]


def test_agencies_spread_over_the_slots() -> None:
    taken = [slot_of("H48", f"H48.{number}", 12) for number in range(1_200)]

    assert set(taken) == set(range(12))
    assert max(taken.count(slot) for slot in range(12)) < 200


# -- what waits together -------------------------------------------------------------------------------------------


def own(kind: AlertKind = K.ASSIGNED, *, desk: Desk = DESK, channel: str = "email", **changes: Any) -> str:
    return waits_with(an_alert(kind, **changes), desk, channel, Lane.OWN)


def test_assignments_are_one_message_a_directive_and_desk() -> None:
    assert own(directive="TB-1", task_id="a") == own(directive="TB-1", task_id="b")
    assert own(directive="TB-1") != own(directive="TB-2")
    assert own() != own(desk=HEADS_DESK)
    assert own() != own(desk=Desk("H49", "H48.21"))
    assert own() != own(channel="webhook")


def test_kinds_and_levels_never_share_a_message_of_their_own() -> None:
    names = [own(kind, level=level) for kind in K for level in (0, 1, 2)]

    assert len(set(names)) == len(names)


def test_one_mailbox_in_two_roles_gets_one_message() -> None:
    """The desk counts, not the role: an agency and its head without a mailbox read one message."""
    assert a_delivery(1, recipient=AGENCY).waits == a_delivery(1, recipient=HEAD).waits


@pytest.mark.parametrize("kind", list(K))
def test_a_digest_takes_everything_of_a_desk_and_channel(kind: AlertKind) -> None:
    one = waits_with(an_alert(kind, directive="TB-9", level=2), DESK, "email", Lane.DIGEST)

    assert one == waiting_for_digest(DESK, "email")
    assert one not in {waiting_for_digest(HEADS_DESK, "email"), waiting_for_digest(DESK, "webhook"), own(kind)}


def test_what_is_sent_again_waits_alone() -> None:
    alert = an_alert(K.ASSIGNED)
    names = {waits_with(alert, DESK, "email", Lane.RESEND, resent=times) for times in (1, 2)}
    names.add(waits_with(replace(alert, alert_id="other:1"), DESK, "email", Lane.RESEND, resent=1))
    names |= {own(), waiting_for_digest(DESK, "email")}

    assert len(names) == 5


# -- names ---------------------------------------------------------------------------------------------------------


def test_the_same_message_has_the_same_name_and_others_have_others() -> None:
    """INVARIANT: a repeat after a lost answer is the same message; readers and mail servers know it by its name."""
    one, two = a_delivery(1).delivery_id, a_delivery(2).delivery_id
    names = [
        dispatches.message_id([one, two]),
        dispatches.message_id([one]),
        dispatches.message_id([two]),
        dispatches.message_id([one], resent=1),
        dispatches.message_id([one], resent=2),
        dispatches.digest_id(DESK, DAY, "email"),
        dispatches.digest_id(DESK, date(2024, 10, 22), "email"),
        dispatches.digest_id(DESK, DAY, "webhook"),
        dispatches.digest_id(HEADS_DESK, DAY, "email"),
        dispatches.summary_id(DESK, "2024-10", "email"),
        dispatches.summary_id(DESK, "2024-11", "email"),
        dispatches.announcement_id(DESK, "TB-1", "email"),
        dispatches.announcement_id(DESK, "TB-2", "email"),
        dispatches.announcement_id(HEADS_DESK, "TB-1", "email"),
    ]

    assert len(set(names)) == len(names)
    assert dispatches.message_id([one, two]) == dispatches.message_id([two, one])
    assert dispatches.message_id([one, two], resent=1) == dispatches.message_id(iter([two, one]), resent=1)
    assert all(len(name) == 32 for name in names)


def test_names_do_not_change_from_release_to_release() -> None:
    """A release in the middle of a day must find the digest that the one before has sent."""
    assert dispatches.digest_id(DESK, DAY, "email") == "b7150006861264cb204ea4c94dbd775a"


def test_a_desk_is_not_taken_for_another_by_where_its_name_ends() -> None:
    """Parts are kept apart in what is hashed."""
    assert dispatches.announcement_id(DESK, "TB-1", "email") != dispatches.announcement_id(
        Desk("H48", "H48.2"), "1TB-1", "email"
    )


@pytest.mark.parametrize("role", list(Role))
def test_only_the_head_in_person_has_another_desk(role: Role) -> None:
    registry = Registry([an_agency(head_contact="head@x.example")])
    found = desk_of(Recipient("H48.21", role), registry, "H48", DAY)

    assert found.is_head is (role is Role.HEAD)
