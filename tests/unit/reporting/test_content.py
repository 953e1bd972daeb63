"""What the report to the chairman says: lists that agree with the figures, ranking, proposals, heading, hash."""

import random
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.reporting.content_wire import agency_card
from services.reporting.domain.composing import heading, indicators_behind, initials
from services.reporting.domain.content import Content, ReasonKind, Stage, State
from services.reporting.domain.content_rules import (
    CommendationRule,
    CorrectionRule,
    CountedFrom,
    Letterhead,
    Measure,
    ReportRules,
    RiskRule,
)
from services.reporting.domain.facts import Allocation, Disbursement, Extension, Obstacle, Suspension
from services.reporting.domain.figures import Figures
from services.reporting.domain.listing import (
    TEXT_CHARACTERS_MAX,
    AgencyCard,
    Directory,
    Lists,
    ObstacleText,
    TaskText,
    Top,
)
from services.reporting.domain.occasions import FOREVER, Occasions, occasions
from services.reporting.domain.report import Amendment, LateFact
from services.reporting.domain.schedule import AsOf
from services.reporting.domain.trace import moment, trace
from services.reporting.ports import Entry
from tests.unit.reporting.builders import DECREE_09, a_deadline, a_result, a_task, an_end, at
from tests.unit.reporting.content_builders import (
    CALENDAR,
    DIRECTORY,
    RULES,
    a_content,
    a_document,
    a_month,
    a_text,
    figured,
    lists_of,
    some_indicators,
)

OCT_19 = a_deadline("2024-10-19")
MONEY: dict[str, Any] = {"allocations": (Allocation("von-1", 1_000, at("2024-10-12")),)}


# -- lists -------------------------------------------------------------------------------------------------------------


def test_overdue_task_is_listed_with_its_days_cause_obstacles_and_head() -> None:
    content = a_content(*a_month())

    late = {row.task.clause: row for row in content.overdue}
    assert list(late) == ["II.2.g", "II.1.h", "II.5.b"]
    plan = late["II.2.g"]
    assert (plan.task.task_id, plan.task.directive_number) == (
        "H48/TB-UBND-2024/II.2.g/H48.07",
        "Thông báo 512/TB-UBND",
    )
    assert (plan.legal, plan.days_late, plan.delay_cause) == (date(2024, 10, 19), 26, "unstated")
    assert (plan.head_name, plan.head_title) == ("Trần Văn Ba", "Giám đốc Sở")
    (obstacle,) = late["II.1.h"].obstacles
    assert (obstacle.beyond_authority, obstacle.stage, obstacle.raised_on) == (
        True,
        Stage.FORWARDED,
        date(2024, 10, 15),
    )
    waiting = late["II.5.b"]
    assert (waiting.state, waiting.days_late, waiting.delay_cause) == (State.AWAITING_REVIEW, 13, "money")
    assert waiting.delay_note == "kinh phí được phân bổ chậm"


def test_what_was_received_after_the_cut_off_does_not_count() -> None:
    """INVARIANT: a closed period's content rests on what was received before its cut-off, whatever came in since.

    Otherwise the report could not be made again, and an agency could be named late or done for what happened later.
    """
    before = a_task(OCT_19, obstacles=(Obstacle(at("2024-10-15"), None),), **MONEY)
    since = replace(
        before,
        results=(replace(a_result("2024-11-15 00:00", "accepted"), delay_cause="money"),),
        deadlines=(OCT_19, a_deadline("2024-12-31", version=2, received="2024-11-15 00:00", granted=True)),
        obstacles=(
            Obstacle(at("2024-10-15"), at("2024-11-15 00:00"), forwarded_at=at("2024-11-16")),
            Obstacle(at("2024-11-15 00:00"), None),
        ),
        allocations=(*before.allocations, Allocation("von-2", 9_000, at("2024-11-15 00:00"))),
        disbursements=(Disbursement(date(2024, 11, 14), 500, at("2024-11-15 00:00")),),
        seq=9,
    )

    content = a_content(a_text(before))

    assert content == a_content(a_text(since))
    assert content.content_hash == a_content(a_text(since)).content_hash
    assert (len(content.overdue), len(content.extensions), len(content.overdue[0].obstacles)) == (1, 0, 1)


def test_upcoming_are_those_with_a_day_in_the_window_that_are_open() -> None:
    def ends(day: str, clause: str, **more: Any) -> TaskText:
        return a_text(a_task(a_deadline(day), clause=clause, **more))

    content = a_content(
        ends("2024-11-29", "last-day-of-the-window"),
        ends("2024-11-30", "a-day-later"),
        ends("2024-11-15", "first-day"),
        ends("2024-11-14", "just-passed"),
        ends("2024-11-20", "done", results=(a_result("2024-11-01", "accepted"),)),
        ends("2024-11-20", "handed-in", results=(a_result("2024-11-01"),)),
        ends("2024-11-20", "suspended", suspensions=(Suspension(at("2024-11-02"), None),)),
        ends("2024-11-20", "ended", ended=an_end("discontinued", "2024-11-01")),
        a_text(a_task(clause="no-day")),
    )

    assert content.upcoming_until == date(2024, 11, 29)
    assert [(row.task.clause, row.days_left, row.state) for row in content.upcoming] == [
        ("first-day", 1, State.RUNNING),
        ("handed-in", 6, State.AWAITING_REVIEW),
        ("suspended", 6, State.SUSPENDED),
        ("last-day-of-the-window", 15, State.RUNNING),
    ]


def test_extension_is_listed_with_old_and_new_day_and_its_document() -> None:
    first = a_deadline("2024-11-10", version=2, received="2024-10-12", granted=True)
    second = a_deadline("2024-11-30", version=3, received="2024-11-08", granted=True)
    later = a_deadline("2024-12-31", version=4, received="2024-11-15 00:00", granted=True)
    documents = (None, a_document("1/UBND"), a_document("2/UBND", "2024-11-07"), a_document("3/UBND"))

    content = a_content(a_text(a_task(OCT_19, first, second, later), documents=documents))

    (row,) = content.extensions
    assert (row.original_day, row.old_day, row.new_day) == (date(2024, 10, 19), date(2024, 11, 10), date(2024, 11, 30))
    assert (row.document_number, row.document_issued_on, row.granted_on) == (
        "2/UBND",
        date(2024, 11, 7),
        date(2024, 11, 8),
    )
    assert content.figures.extensions_granted == 2, "the first was granted in the period before"


def test_directive_that_grants_more_time_itself_has_no_old_day() -> None:
    content = a_content(a_text(a_task(a_deadline("2024-11-30", received="2024-10-18", granted=True))))

    assert [(row.original_day, row.old_day, row.document_number) for row in content.extensions] == [
        (None, None, "5233/UBND-KGVX")
    ]


@pytest.mark.parametrize(
    ("rule", "disbursed", "at_risk"),
    [
        # On 14/11, 319 of 366 days of 2024 have passed: 87.16 %.
        (RiskRule(Decimal(20)), 671, True),
        (RiskRule(Decimal(20)), 672, False),
        (RiskRule(Decimal("20.06")), 671, True),
        (RiskRule(Decimal("20.07")), 671, False),
        (RiskRule(Decimal("87.16")), 0, True),
        (RiskRule(Decimal("87.17")), 0, False),
        (RiskRule(Decimal(0)), 872, False),
        (RiskRule(Decimal(0)), 871, True),
        (RiskRule(Decimal(0)), 1_000, False),
        # From the allocation on 12/10 to 31/12 it is 34 of 81 days: 41.98 %.
        (RiskRule(Decimal(20), CountedFrom.FIRST_ALLOCATION), 219, True),
        (RiskRule(Decimal(20), CountedFrom.FIRST_ALLOCATION), 220, False),
    ],
)
def test_money_is_at_risk_where_it_lags_behind_time(rule: RiskRule, disbursed: int, at_risk: bool) -> None:
    paid = (Disbursement(date(2024, 11, 10), disbursed, at("2024-11-11")),)

    content = a_content(a_text(a_task(**MONEY, disbursements=paid)), rules=replace(RULES, risk=rule))

    assert (content.funded[0].at_risk, content.funded_at_risk) == (at_risk, int(at_risk))


@pytest.mark.parametrize(
    ("year", "day", "expected"),
    [
        (2024, "2024-01-01", "0.27"),
        (2024, "2023-12-31", "0.00"),
        (2024, "2024-12-31", "100.00"),
        (2024, "2025-02-01", "100.00"),
        (2025, "2025-07-02", "50.14"),
    ],
)
def test_fiscal_year_is_the_calendar_year(year: int, day: str, expected: str) -> None:
    assert RiskRule().elapsed_percent(year, date(2020, 1, 1), date.fromisoformat(day)) == Decimal(expected)


def test_money_that_came_first_after_the_year_counts_as_if_on_its_last_day() -> None:
    rule = RiskRule(counted_from=CountedFrom.FIRST_ALLOCATION)

    assert rule.elapsed_percent(2024, date(2025, 1, 10), date(2024, 12, 30)) == 0
    assert rule.elapsed_percent(2024, date(2025, 1, 10), date(2024, 12, 31)) == 100


def test_both_denominators_of_money_stand_beside_each_other() -> None:
    row = next(row for row in a_content(*a_month()).funded if row.task.agency == "H48.35")

    assert (row.disbursed_percent, row.disbursed_of_assigned_percent) == (Decimal("15.00"), Decimal("20.00"))
    assert (row.fiscal_year, row.documents, row.disbursed_as_of) == (2024, ("QĐ 371",), date(2024, 10, 31))


def test_no_more_rows_than_allowed_and_the_others_are_counted() -> None:
    tasks = a_month(20)
    few = a_content(*tasks, rules=replace(RULES, rows_max=5))
    all_of_them = a_content(*tasks)

    assert few.overdue == all_of_them.overdue[:5]
    assert few.overdue_left_out == len(all_of_them.overdue) - 5 == 18
    assert few.lists_agree
    assert few.proposals == all_of_them.proposals, "what is left out of a list still counts"
    assert few.left_out == {"overdue": 18, "upcoming": 0, "extensions": 0, "funded": 0}


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 10))
def test_first_rows_are_those_of_sorting_everything(numbers: list[int], most: int) -> None:
    top = Top[int](most, lambda one: one)
    for number in numbers:
        top.add(number)

    assert top.rows == tuple(sorted(numbers)[:most])
    assert top.left_out == max(0, len(numbers) - most)


def test_long_texts_are_cut_and_few_obstacles_are_told() -> None:
    obstacles = tuple(Obstacle(at("2024-10-15"), None) for _ in range(5))
    text = a_text(a_task(OCT_19, obstacles=obstacles), obstacles=(ObstacleText("x" * 4_000, False),) * 5)

    (row,) = a_content(text).overdue

    assert [len(one.description) for one in row.obstacles] == [TEXT_CHARACTERS_MAX] * 3


def test_cause_that_only_a_newer_producer_knows_is_another() -> None:
    late = a_task(OCT_19, results=(replace(a_result("2024-11-01"), delay_cause="weather"),))

    content = a_content(a_text(late))

    assert (content.overdue[0].delay_cause, content.figures.late_other) == ("other", 1)


# -- lists agree with figures ------------------------------------------------------------------------------------------


def random_task(seed: random.Random, number: int) -> TaskText:
    """A task that may be anything, at any time around the cut-off of November 2024."""

    def some_day() -> str:
        return str(date(2024, 9, 20) + timedelta(days=seed.randrange(90)))

    deadlines = []
    for version in range(1, seed.randrange(4) + 1):
        granted = version > 1 and seed.random() < 0.6
        deadlines.append(a_deadline(some_day(), version=version, received=some_day(), granted=granted))
    results = []
    for _ in range(seed.randrange(3)):
        received = some_day()
        judged = max(received, some_day())
        one = a_result(received, seed.choice([None, "accepted", "returned"]), judged)
        results.append(replace(one, delay_cause=seed.choice([None, "money", "external"])))
    results.sort(key=lambda one: one.received_at)
    allocations = tuple(
        Allocation(f"von-{place}", seed.randrange(1, 9) * 100, at(some_day()), assigned=seed.random() < 0.7)
        for place in range(seed.randrange(3))
    )
    begun = some_day()
    facts = a_task(
        *deadlines,
        results=tuple(results),
        ended=an_end(seed.choice(["discontinued", "transferred"]), some_day()) if seed.random() < 0.2 else None,
        assigned=some_day(),
        agency=seed.choice(["H48.07", "H48.02", "H48.35", "H48.99"]),
        clause=f"V.{number}",
        allocations=allocations,
        disbursements=(Disbursement(date(2024, 10, 1), seed.randrange(900), at(some_day())),) if allocations else (),
        obstacles=tuple(Obstacle(at(begun), at(max(begun, some_day()))) for _ in range(seed.randrange(2))),
        suspensions=(Suspension(at(begun), at(max(begun, some_day()))),) if seed.random() < 0.2 else (),
        extensions=(Extension(at(begun), seed.choice([None, "refused"]), at(max(begun, some_day()))),)
        if seed.random() < 0.2
        else (),
    )
    return a_text(facts)


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_lists_agree_with_the_figures(number: int) -> None:
    """INVARIANT: what the lists hold adds up to the figures above them.

    A reader who counts the rows of the overdue list and gets another number than the table's trusts neither.
    """
    seed = random.Random(number)
    tasks = [random_task(seed, place) for place in range(seed.randrange(1, 40))]
    now = seed.choice([None, "2024-11-10 10:00"])

    content = a_content(*tasks, now=now)

    figures = content.figures
    assert content.lists_agree
    assert len(content.overdue) == figures.open_overdue
    by_agency = {row.code: sum(one.task.agency == row.code for one in content.overdue) for row in content.agencies}
    assert by_agency == {row.code: row.figures.open_overdue for row in content.agencies}
    open_days = sum(one.days_late for one in content.overdue)
    assert open_days <= figures.days_late
    assert sum(one.allocated_vnd for one in content.funded) == figures.allocated_vnd
    assert sum(one.assigned_vnd for one in content.funded) == figures.assigned_vnd
    assert len(content.funded) == figures.funded
    assert len(content.upcoming) <= figures.open_in_time + figures.open_due_soon
    assert sum((row.figures for row in content.agencies), Figures()) == figures
    for row in content.agencies:
        latest = max((one.days_late for one in content.overdue if one.task.agency == row.code), default=0)
        assert row.days_late_most == latest


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_tasks_in_a_list_are_among_those_that_are_found_for_it(number: int) -> None:
    """INVARIANT: no task of a list is missed by what a store finds tasks by, however much came in since.

    The list would be short of it without anybody noticing.
    """
    seed = random.Random(number)
    tasks = [random_task(seed, place) for place in range(30)]
    one = figured(tasks, now=seed.choice([None, "2024-11-10 10:00"]))
    everything = lists_of(one, tasks)

    found = [task for task in tasks if found_by(task).may_be_listed(everything.window)]

    assert rows(lists_of(one, found)) == rows(everything)


def found_by(task: TaskText) -> Occasions:
    return occasions(task.facts, trace(task.facts, calendar=CALENDAR))


def rows(lists: Lists) -> tuple[Any, ...]:
    return lists.overdue.rows, lists.upcoming.rows, lists.extensions.rows, lists.funded.rows


def test_what_a_task_is_found_by() -> None:
    late = found_by(a_text(a_task(OCT_19)))
    done_late = found_by(a_text(a_task(OCT_19, results=(a_result("2024-11-15", "accepted"),))))

    assert late.overdue is not None
    assert late.overdue == (moment(AsOf(OCT_19.due_at, day_ends=True)), FOREVER)
    assert done_late.overdue == (late.overdue[0], moment(AsOf(at("2024-11-15"))))
    assert found_by(a_text(a_task(OCT_19, results=(a_result("2024-10-15", "accepted"),)))).overdue is None
    assert found_by(a_text(a_task())) == Occasions(None, (), (), False)


def test_order_of_tasks_decides_nothing() -> None:
    tasks = a_month(30)
    shuffled = random.Random(7).sample(tasks, len(tasks))

    assert a_content(*shuffled) == a_content(*tasks)


# -- figures, agencies, ranking ----------------------------------------------------------------------------------------


def test_most_overdue_agency_comes_first_and_heads_are_named() -> None:
    content = a_content(*a_month())

    assert [(row.name, row.figures.open_overdue, row.head_name) for row in content.agencies] == [
        ("UBND huyện Sơn Tây", 2, "Đinh Văn Tư"),
        ("Sở Thông tin và Truyền thông", 1, "Trần Văn Ba"),
        ("Sở Kế hoạch và Đầu tư", 0, "Nguyễn Thị Hai"),
        ("UBND huyện Ba Tơ", 0, None),
    ]
    assert [(row.days_late_most, row.obstructed) for row in content.agencies] == [(26, 1), (26, 0), (0, 0), (0, 0)]


def test_agencies_are_ranked_by_what_was_on_time_and_share_places() -> None:
    def some(agency: str, on_time: int, late: int) -> list[TaskText]:
        in_time, after = a_result("2024-10-18", "accepted"), a_result("2024-10-21", "accepted")
        return [
            a_text(a_task(OCT_19, agency=agency, clause=f"I.{place}", results=(in_time if place < on_time else after,)))
            for place in range(on_time + late)
        ]

    content = a_content(
        *some("H48.07", 1, 1), *some("H48.02", 1, 1), *some("H48.35", 2, 1), a_text(a_task(agency="H48.40"))
    )

    assert [(one.place, one.agency, one.due, one.on_time_of_due) for one in content.ranking] == [
        (1, "H48.35", 3, Decimal("66.67")),
        (2, "H48.02", 2, Decimal("50.00")),
        (2, "H48.07", 2, Decimal("50.00")),
        (None, "H48.40", 0, None),
    ]


def test_indicators_stand_there_and_those_who_miss_their_target_are_named() -> None:
    met, missed = some_indicators()[1], some_indicators()[0]
    one = figured(a_month(), indicators=some_indicators())
    agencies = dict(one.agencies)
    agencies["H48.35"] = replace(agencies["H48.35"], indicators=(missed, met))
    agencies["H48.40"] = replace(agencies["H48.40"], indicators=(met,))

    behind = indicators_behind(replace(one, agencies=agencies), DIRECTORY)

    assert [(each.code, each.agency_name, each.percent) for each in behind] == [
        ("CDS-CHI", "UBND huyện Sơn Tây", Decimal("0.45"))
    ]
    assert a_content(*a_month(), indicators=some_indicators()).indicators == some_indicators()


# -- proposals ---------------------------------------------------------------------------------------------------------


def proposals(content: Content) -> list[tuple[Measure, str, list[tuple[ReasonKind, Decimal, Decimal]]]]:
    return [
        (one.measure, one.agency, [(reason.kind, reason.value, reason.limit) for reason in one.reasons])
        for one in content.proposals
    ]


def test_proposals_say_why_in_numbers() -> None:
    content = a_content(*a_month())

    assert proposals(content) == [
        (
            Measure.CORRECT,
            "H48.35",
            [
                (ReasonKind.OVERDUE, Decimal(2), Decimal(2)),
                (ReasonKind.ON_TIME_RATE, Decimal(0), Decimal(50)),
            ],
        ),
        (
            Measure.COMMEND,
            "H48.02",
            [
                (ReasonKind.ON_TIME_RATE, Decimal(100), Decimal(100)),
                (ReasonKind.NONE_OVERDUE, Decimal(0), Decimal(0)),
            ],
        ),
    ]
    correction = content.proposals[0]
    assert (correction.head_name, correction.obstructed, correction.reasons[1].of) == ("Đinh Văn Tư", 1, 2)


def test_severest_rule_that_is_reached_wins_and_comes_first() -> None:
    content = a_content(*a_month(3))

    assert [(measure, agency) for measure, agency, _ in proposals(content)] == [
        (Measure.CRITICISE, "H48.35"),
        (Measure.COMMEND, "H48.02"),
    ]


@pytest.mark.parametrize(("limit", "proposed"), [(25, True), (26, False)])
def test_days_of_the_latest_task_count(limit: int, proposed: bool) -> None:
    rules = ReportRules(corrections=(CorrectionRule(Measure.CORRECT, days_late_over=limit),))

    (one, *_) = a_content(a_text(a_task(OCT_19)), rules=rules).proposals or (None,)

    assert (one is not None) == proposed
    if one is not None:
        assert one.reasons[0].task_id == "H48/TB-UBND-2024/II.2.g/H48.07"


def test_rate_of_too_few_is_not_judged() -> None:
    rule = CorrectionRule(Measure.CORRECT, on_time_below_percent=Decimal(50), due_at_least=2)

    assert a_content(a_text(a_task(OCT_19)), rules=ReportRules(corrections=(rule,))).proposals == ()


def test_exact_rate_decides_not_the_printed_one() -> None:
    rule = CorrectionRule(Measure.CORRECT, on_time_below_percent=Decimal("66.67"))
    in_time = (a_result("2024-10-18", "accepted"),)
    tasks = [
        a_text(a_task(OCT_19, clause="I.1", results=in_time)),
        a_text(a_task(OCT_19, clause="I.2", results=in_time)),
        a_text(a_task(OCT_19, clause="I.3")),
    ]

    (one,) = a_content(*tasks, rules=ReportRules(corrections=(rule,))).proposals

    assert (one.reasons[0].value, one.reasons[0].limit) == (Decimal("66.67"), Decimal("66.67"))


def test_no_more_are_commended_than_the_policy_allows() -> None:
    assert not a_content(*a_month(), rules=ReportRules(commendation=CommendationRule(most=0))).proposals
    assert not a_content(*a_month(), rules=ReportRules(commendation=CommendationRule(due_at_least=4))).proposals


# -- heading and state -------------------------------------------------------------------------------------------------


def test_heading_follows_from_the_registry_where_policy_says_nothing() -> None:
    one = heading(Letterhead(), DIRECTORY, "Tỉnh Quảng Ngãi", DECREE_09, date(2024, 11, 15))

    assert (one.parent, one.issuer, one.symbol) == ("UBND tỉnh Quảng Ngãi", "Sở Thông tin và Truyền thông", "BC-STTTT")
    assert (one.place, one.signer_title, one.signer_name) == ("Quảng Ngãi", "Giám đốc Sở", "Trần Văn Ba")


def test_policy_overrules_the_registry() -> None:
    letterhead = Letterhead("P", "I", "S", "L", ("A",), ("R",), "T")
    one = heading(letterhead, DIRECTORY, "Tỉnh Quảng Ngãi", DECREE_09, date(2024, 11, 15))

    assert (one.parent, one.issuer, one.symbol, one.place, one.signer_title) == ("P", "I", "S", "L", "T")
    assert (one.addressees, one.recipients) == (("A",), ("R",))


def test_province_without_a_standing_agency_has_a_heading_all_the_same() -> None:
    one = heading(Letterhead(), Directory(), "Tỉnh Kon Tum", DECREE_09, date(2024, 11, 15))

    assert (one.issuer, one.signer_name, one.place) == ("Cơ quan thường trực", None, "Kon Tum")


def test_standing_agency_is_the_one_of_that_day() -> None:
    cards = {
        "A": AgencyCard("A", "Sở Thông tin và Truyền thông", is_standing=True, valid_to=date(2025, 2, 28)),
        "B": AgencyCard("B", "Sở Khoa học và Công nghệ", is_standing=True, valid_from=date(2025, 3, 1)),
    }
    days = (date(2025, 2, 28), date(2025, 3, 1))

    assert [(one.code if one else None) for one in map(Directory(cards).standing, days)] == ["A", "B"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Sở Thông tin và Truyền thông", "STTTT"),
        ("Sở Khoa học và Công nghệ", "SKHCN"),
        ("UBND huyện Ba Tơ", "UBNDHBT"),
        ("Sở Lao động - Thương binh và Xã hội", "SLĐTBXH"),
    ],
)
def test_symbol_abbreviates_as_agencies_do(name: str, expected: str) -> None:
    assert initials(name) == expected


def test_report_is_dated_the_day_after_its_cut_off_and_an_amendment_the_day_it_is_made() -> None:
    tasks = a_month()

    first = a_content(*tasks, prepared_on="2024-11-20")
    amended = a_content(*tasks, prepared_on="2024-12-20", is_first=False)
    running = a_content(*tasks, now="2024-11-10", prepared_on="2024-11-10")

    assert [one.heading.dated_on for one in (first, amended, running)] == [
        date(2024, 11, 15),
        date(2024, 12, 20),
        date(2024, 11, 10),
    ]
    assert first.content_hash == amended.content_hash, "the same is said"
    assert [one.provisional for one in (first, amended, running)] == [False, False, True]


def test_hash_tells_every_difference() -> None:
    tasks = a_month()
    whole = a_content(*tasks)
    others = [
        a_content(*tasks[1:]),
        a_content(*tasks, rules=replace(RULES, upcoming_days=30)),
        a_content(*tasks, previous_period="2024-10", previous=Figures()),
        a_content(replace(tasks[0], title="Khác"), *tasks[1:]),
        a_content(*tasks, now="2024-11-14 12:00"),
    ]

    assert len({whole.content_hash, *(one.content_hash for one in others)}) == 1 + len(others)
    assert a_content(*a_month()).content_hash == whole.content_hash


def test_amendment_is_told() -> None:
    late = LateFact("H48/TB/I/H48.07", 3, "result_accepted", at("2024-11-14"), at("2024-11-16"))
    amendment = Amendment({"done_on_time": (2, 3), "previous.total": (None, 4)}, (late,), more=2)

    content = a_content(*a_month(), amendment=amendment, revision=2)

    assert [(one.figure, one.before, one.after) for one in content.amended] == [
        ("done_on_time", Decimal(2), Decimal(3)),
        ("previous.total", None, Decimal(4)),
    ]
    assert (content.late_facts, content.report_revision) == (3, 2)


def test_period_with_nothing_in_it_has_a_content() -> None:
    content = a_content()

    assert (content.figures, content.overdue, content.ranking, content.proposals) == (Figures(), (), (), ())
    assert content.figures.on_time_of_due is None


def test_disagreement_of_lists_and_figures_is_told() -> None:
    one = figured(a_month())
    more = replace(one.whole, figures=replace(one.whole.figures, open_overdue=4, late_unstated=3))

    assert one.add_up
    assert not replace(one, whole=more).add_up
    assert not replace(one, agencies={}).add_up


def test_head_of_an_agency_comes_from_its_record() -> None:
    snapshot = (
        '{"province":"H48","code":"H48.07","seq":1,"name":"Sở TT&TT","role":"standing","groups":[],'
        '"valid_from":"2024-10-01","valid_to":"2025-02-28","successors":[],"basis":null,"head_title":"Giám đốc Sở",'
        '"head_name":"Trần Văn Ba","contact":null,"head_contact":null,"cause":{"event_id":"a#1","actor":"H48.01",'
        '"received_at":"2024-10-01T00:00:00Z","recorded_at":"2024-10-01T00:00:00Z"}}'
    )

    assert agency_card(Entry("H48/H48.07", 1, "H48", snapshot)) == AgencyCard(
        "H48.07", "Sở TT&TT", "Trần Văn Ba", "Giám đốc Sở", True, date(2024, 10, 1), date(2025, 2, 28)
    )
