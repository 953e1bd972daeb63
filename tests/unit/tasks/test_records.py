"""What is kept and told of indicators, directives and agencies: each event once, in order of receipt."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tasks import records
from services.tasks.domain.agencies import Problem, ProblemKind
from services.tasks.domain.task import Cause
from services.tasks.ports import Registry
from services.tasks.records import Record
from shared.contracts import agency_events as said
from shared.contracts import authority_events as ordered
from shared.contracts.codec import decode
from shared.contracts.model import Document
from shared.contracts.registry_facts import DirectiveChanged, IndicatorValue
from shared.contracts.topics import AGENCIES, DIRECTIVES, INDICATORS
from tests.support.builders import a_cause, at

PAPER = Document(number="38/KH-UBND", issued_on=date(2024, 2, 20))
AGENCY, PROVINCE = "H48.21", "H48"


def cause(event_id: str, received: str | datetime = "2024-10-14 09:00") -> Cause:
    return a_cause(received, event_id=event_id)


def reported(numerator: int, by: Cause, *, known: Any = None, targets: Any = ()) -> Any:
    data = said.IndicatorReported.model_validate(
        {
            "code": "DVCTT",
            "period": "2024-Q4",
            "numerator": numerator,
            "denominator": 100,
            "data_source": f"nguồn {numerator}",
        }
    )
    return records.indicator_record(data, PROVINCE, AGENCY, known, targets, by)


def target_set(percent: int, by: Cause, *, agency: str | None = None, known: Any = None) -> Any:
    data = ordered.IndicatorTargetSet.model_validate(
        {
            "code": "DVCTT",
            "title": "Chỉ tiêu",
            "period": "2024-Q4",
            "agency": agency,
            "at_least_percent": percent,
            "document": PAPER,
        }
    )
    return records.target_record(data, PROVINCE, known, by)


def in_force(value: Record) -> tuple[Any, ...]:
    return value["numerator"], value["data_source"], value["at_least_percent"], value["title"]


def events(entries: Any) -> list[str]:
    return [one["cause"]["event_id"] for one in entries]


# -- indicators ----------------------------------------------------------------------------------------------------


def test_a_first_value_has_the_targets_that_were_set_before_it() -> None:
    targets = target_set(45, cause("t1", "2024-10-01 09:00"))["targets"]

    value = reported(40, cause("r1"), targets=targets)

    assert (value["seq"], *in_force(value)) == (1, "40", "nguồn 40", "45", "Chỉ tiêu")
    assert (events(value["reports"]), events(value["targets"])) == (["r1"], ["t1"])
    assert value["targets"][0]["general"] is True


def test_a_value_without_a_target_is_called_by_its_code() -> None:
    assert in_force(reported(40, cause("r1"))) == ("40", "nguồn 40", None, "DVCTT")


def test_what_was_received_earlier_takes_its_place_and_is_not_in_force() -> None:
    """INVARIANT: facts compare when they were received, not when we got round to them."""
    later = reported(50, cause("later", "2024-11-02 09:00"))

    value = reported(40, cause("earlier", "2024-11-01 09:00"), known=later)

    assert events(value["reports"]) == ["earlier", "later"]
    assert (value["seq"], value["numerator"]) == (2, "50")
    assert datetime.fromisoformat(value["reported_at"]) == at("2024-11-02 09:00")


def test_of_two_of_one_instant_the_one_that_came_later_is_in_force() -> None:
    """A batch is received at one instant."""
    value = reported(50, cause("a-second"), known=reported(40, cause("z-first")))

    assert events(value["reports"]) == ["z-first", "a-second"]
    assert value["numerator"] == "50"


def test_a_fraction_of_a_second_does_not_confuse_the_order() -> None:
    """As text, 09:00:00.5Z sorts before 09:00:00Z."""
    whole = at("2024-10-14 09:00")
    value = reported(50, cause("whole", whole), known=reported(40, cause("half", whole + timedelta(seconds=0.5))))

    assert events(value["reports"]) == ["whole", "half"]


def test_a_report_that_comes_again_adds_nothing() -> None:
    value = reported(40, cause("r1"))

    assert reported(40, cause("r1"), known=value) is None


def test_a_target_that_comes_again_adds_nothing() -> None:
    known = target_set(45, cause("t1"))

    assert target_set(45, cause("t1"), known=known) is None
    value = reported(40, cause("r1"), targets=known["targets"])
    assert records.indicator_with_targets(value, known["targets"]) is None


@pytest.mark.parametrize("first", ["own", "general"])
def test_an_agencys_own_target_wins_whichever_was_set_first(first: str) -> None:
    own = target_set(30, cause("own", "2024-10-02 09:00" if first == "general" else "2024-10-01 09:00"), agency=AGENCY)
    general = target_set(45, cause("general", "2024-10-01 09:00" if first == "general" else "2024-10-02 09:00"))
    value = reported(40, cause("r1"))

    for record in (own, general) if first == "own" else (general, own):
        value = records.indicator_with_targets(value, record["targets"])

    assert value["at_least_percent"] == "30"
    assert events(value["targets"]) == (["own", "general"] if first == "own" else ["general", "own"])
    assert {event: one["general"] for event, one in zip(events(value["targets"]), value["targets"], strict=True)} == {
        "own": False,
        "general": True,
    }


def test_an_older_target_that_arrives_late_is_not_in_force() -> None:
    known = target_set(50, cause("later", "2024-11-02 09:00"))

    targets = target_set(45, cause("earlier", "2024-11-01 09:00"), known=known)["targets"]

    assert events(targets) == ["earlier", "later"]
    assert reported(40, cause("r1"), targets=targets)["at_least_percent"] == "50"


def test_a_value_of_an_earlier_build_keeps_its_target_and_begins_a_history() -> None:
    value = reported(40, cause("r1"), targets=target_set(45, cause("t1"))["targets"])
    old = {name: one for name, one in value.items() if name not in {"reports", "targets"}}

    again = reported(50, cause("r2", "2024-11-01 09:00"), known=old, targets=records.targets_in({"title": "old"}))

    assert (again["seq"], *in_force(again)) == (2, "50", "nguồn 50", "45", "Chỉ tiêu")
    assert (events(again["reports"]), again["targets"]) == (["r2"], [])


_MOMENTS = st.permutations(range(6))


@given(st.lists(st.sampled_from(["report", "own", "general"]), min_size=6, max_size=6), _MOMENTS)
def test_whatever_comes_when_the_history_is_the_same_and_tells_what_was_in_force(
    kinds: list[str], arrives: list[int]
) -> None:
    """INVARIANT: one record is enough to judge an indicator as of any instant; the order of arrival does not matter."""
    said_of = [(kind, number, cause(f"e{number}", f"2024-11-0{number + 1} 09:00")) for number, kind in enumerate(kinds)]

    def told(moments: list[int]) -> Record | None:
        value: Record | None = None
        sets: dict[str, Any] = {"own": None, "general": None}
        for kind, number, by in (said_of[moment] for moment in moments):
            if kind == "report":
                known = [*records.targets_in(sets["general"]), *records.targets_in(sets["own"])]
                value = reported(number, by, known=value, targets=known)
                continue
            sets[kind] = target_set(number, by, agency=AGENCY if kind == "own" else None, known=sets[kind])
            if value is not None:
                value = records.indicator_with_targets(value, sets[kind]["targets"]) or value
        return value

    disordered, value = told(arrives), told(sorted(arrives))

    assert (disordered is None) == (value is None) == ("report" not in kinds)
    if value is None or disordered is None:
        return
    assert {**disordered, "seq": 0} == {**value, "seq": 0}
    newest = {kind: str(number) for number, kind in enumerate(kinds)}
    assert value["numerator"] == newest["report"]
    assert value["at_least_percent"] == newest.get("own", newest.get("general"))
    assert events(value["reports"]) == [f"e{number}" for number, kind in enumerate(kinds) if kind == "report"]
    assert events(value["targets"]) == [f"e{number}" for number, kind in enumerate(kinds) if kind != "report"]


def test_a_record_that_no_broker_would_take_is_never_made() -> None:
    """INVARIANT: what could not be told would be kept all the same, and stop everything behind it."""
    value, count = reported(0, cause("r0")), 1
    while not isinstance(more := reported(count, cause(f"r{count}"), known=value), Problem):
        value, count = more, count + 1

    assert (more.reason, count > 1_000) == (ProblemKind.TOO_MANY_ENTRIES, True)
    assert f"reported {count} times" in more.detail
    assert reported(count - 1, cause(f"r{count - 1}"), known=value) is None, "what is there already is no problem"
    targets, count = target_set(0, cause("t0")), 1
    while not isinstance(more := target_set(count % 100, cause(f"t{count}"), known=targets), Problem):
        targets, count = more, count + 1
    assert (more.reason, count > 200) == (ProblemKind.TOO_MANY_ENTRIES, True)
    own = target_set(50, cause("own"), agency=AGENCY)["targets"]
    whole = records.indicator_with_targets(value, [*targets["targets"], *own])
    message = records.message(Registry.INDICATORS, whole or {}, at=cause("t"))
    assert message is not None
    assert len(message.value) < 1_000_000


# -- directives ----------------------------------------------------------------------------------------------------

OBLIGATION: dict[str, Any] = {
    "clause": "II.1",
    "title": "Nội dung",
    "leads": ["@all", "H48.21"],
    "due": {"kind": "open_ended"},
    "category": "standing",
}


def issued(by: Cause, *, revision: int = 1, known: Any = None, **changes: Any) -> Any:
    data = {
        "directive": "TB-1",
        "revision": revision,
        "kind": "TB",
        "issuer": "UBND tỉnh",
        "issued_on": date(2024, 10, 14),
        "title": f"Lần {revision}",
        "obligations": [OBLIGATION],
        **changes,
    }
    return records.directive_record(ordered.DirectiveIssued.model_validate(data), PROVINCE, known, by)


def revoked(by: Cause, known: Any, reason: str = "thay thế") -> Any:
    data = ordered.DirectiveRevoked(directive="TB-1", reason=reason, document=PAPER)
    return records.revoked_record(data, known, by)


def test_a_directive_is_told_as_it_words_its_clauses() -> None:
    record = issued(cause("d1"), number="441/TB-UBND")

    assert (record["seq"], record["revision"], record["number"], record["issued_on"]) == (
        1,
        1,
        "441/TB-UBND",
        "2024-10-14",
    )
    assert record["issued"] == record["cause"]
    assert record["obligations"] == [
        {
            "clause": "II.1",
            "title": "Nội dung",
            "phrase": "",
            "category": "standing",
            "leads": ["@all", "H48.21"],
            "cooperating": [],
            "bases": [],
            "acceptance": "reviewer",
            "reviewer": None,
            "feeds": [],
        }
    ]


def test_a_revision_takes_the_place_of_a_lower_one_and_leaves_who_issued_it_first() -> None:
    first = issued(cause("d1"))

    third = issued(cause("d3", "2024-10-20 09:00"), revision=3, known=first)

    assert (third["seq"], third["revision"], third["title"]) == (2, 3, "Lần 3")
    assert (third["issued"], third["cause"]["event_id"]) == (first["issued"], "d3")


@pytest.mark.parametrize("revision", [1, 2, 3])
def test_a_revision_that_is_not_higher_changes_nothing(revision: int) -> None:
    known = issued(cause("d3"), revision=3)

    assert issued(cause("other", "2024-12-01 09:00"), revision=revision, known=known) is None


def test_a_revocation_says_by_what_and_leaves_the_clauses() -> None:
    first = issued(cause("d1"))

    record = revoked(cause("end", "2024-11-01 09:00"), first)

    assert (record["seq"], record["revoked"]["event_id"], record["revoked_reason"]) == (2, "end", "thay thế")
    assert record["revoked_document"]["number"] == "38/KH-UBND"
    assert record["cause"] == record["revoked"]
    kept = ("revision", "title", "obligations", "issued")
    assert {name: record[name] for name in kept} == {name: first[name] for name in kept}


def test_the_first_revocation_stands() -> None:
    record = revoked(cause("end"), issued(cause("d1")))

    assert revoked(cause("again"), record, "lần nữa") is None


def test_what_was_never_told_is_not_told_as_revoked() -> None:
    """A directive of an earlier build: its kind and its own words are not known any more."""
    assert revoked(cause("end"), None) is None


def test_a_revision_does_not_bring_back_what_was_revoked() -> None:
    record = issued(cause("d2"), revision=2, known=revoked(cause("end"), issued(cause("d1"))))

    assert record["revoked"]["event_id"] == "end"


def test_a_directive_that_is_called_like_an_agency_shares_no_id_with_it() -> None:
    """INVARIANT: source and id name one event; a consumer drops the second of two."""
    agency = ordered.AgencyRegistered(code="H48.21", name="Sở", valid_from=date(2024, 1, 1))
    record = records.agency_record(agency, PROVINCE, None, cause("a"))
    told = [
        records.message(Registry.AGENCIES, record, at=cause("a")),
        records.message(Registry.DIRECTIVES, issued(cause("d"), directive="H48.21"), at=cause("d")),
    ]

    ids = {decode(one.topic, one.value).envelope.id for one in told if one is not None}

    assert len(ids) == 2


def test_a_directive_is_told_under_its_own_key() -> None:
    message = records.message(Registry.DIRECTIVES, issued(cause("d1")), at=cause("d1"))

    assert message is not None
    event = decode(DIRECTIVES.name, message.value)
    assert (message.topic, message.key, event.envelope.subject) == (DIRECTIVES.name, "H48/TB-1", "H48/TB-1")
    assert event.envelope.type == "dondoc.directive.changed.v1"
    assert isinstance(event.data, DirectiveChanged)


# -- agencies ------------------------------------------------------------------------------------------------------


def registered(known: Any = None, **fields: Any) -> Record:
    data = ordered.AgencyRegistered(code="H48.21", name="Sở", valid_from=date(2024, 1, 1), **fields)
    return records.agency_record(data, PROVINCE, known, cause("a1"))


def test_who_heads_an_agency_stands_beside_the_title() -> None:
    record = registered(head_title="Giám đốc", head_name="Nguyễn Văn A")

    assert (record["head_title"], record["head_name"]) == ("Giám đốc", "Nguyễn Văn A")
    message = records.message(Registry.AGENCIES, record, at=cause("a1"))
    assert message is not None
    assert decode(AGENCIES.name, message.value).envelope.data["head_name"] == "Nguyễn Văn A"


def test_a_name_is_forgotten_with_the_next_registration_that_leaves_it_out() -> None:
    assert registered(registered(head_name="Nguyễn Văn A"))["head_name"] is None


def test_who_headed_an_agency_that_is_no_more_stays_known() -> None:
    change = ordered.AgencyReorganised(
        change=ordered.Reorganisation.MERGED,
        predecessors=("H48.21",),
        successors=("H48.22",),
        effective_on=date(2025, 3, 1),
        document=PAPER,
    )

    assert records.ended_record(change, registered(head_name="Nguyễn Văn A"), cause("m"))["head_name"] == "Nguyễn Văn A"


def test_an_agency_of_an_earlier_build_has_no_name() -> None:
    old = {name: one for name, one in registered().items() if name != "head_name"}

    message = records.message(Registry.AGENCIES, old, at=cause("a1"))

    assert message is not None
    assert decode(AGENCIES.name, message.value).data.head_name is None  # type: ignore[attr-defined]


def test_a_value_that_an_earlier_build_told_has_no_history() -> None:
    old = {name: one for name, one in reported(40, cause("r1")).items() if name not in {"reports", "targets"}}

    message = records.message(Registry.INDICATORS, old, at=cause("r1"))

    assert message is not None
    told = decode(INDICATORS.name, message.value).data
    assert isinstance(told, IndicatorValue)
    assert (told.reports, told.targets) == ((), ())
