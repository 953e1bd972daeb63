"""Arithmetic, hash, revisions and order of reports."""

import hashlib
import json
from dataclasses import asdict, replace
from datetime import date
from decimal import Decimal

import pytest

from services.reporting.domain.figures import Figures, percent
from services.reporting.domain.periods import Kind
from services.reporting.domain.report import BECAUSE_MAX, Head, LateFact, Reason, Report, amendment, revise, why_revise
from services.reporting.domain.scopes import in_order, kind_of
from tests.unit.reporting.builders import at

BC_1270 = Figures(done_on_time=14_068, done_late=1_983, open_in_time=5_640, open_overdue=223)


def a_report(**different: object) -> Report:
    report = Report(
        province="H48",
        period="2024-11",
        kind=Kind.MONTHLY,
        scope="agency:H48.07",
        scope_name="Sở Thông tin và Truyền thông",
        regime="nd-09-2019-monthly",
        starts_on=date(2024, 10, 15),
        cut_off_on=date(2024, 11, 14),
        due_on=date(2024, 11, 19),
        final=False,
        as_of=at("2024-11-10"),
        figures=BC_1270,
        computed_at=at("2024-11-10"),
    )
    return replace(report, **different)  # type: ignore[arg-type]


def test_figures_of_report_1270() -> None:
    """BC 1270/BC-TCTTTg 27/12/2017 (domain §2.5): its identities hold; its rounding is not reproduced."""
    assert (BC_1270.done, BC_1270.open, BC_1270.total) == (16_051, 5_863, 21_914)
    assert Decimal("73.25") == BC_1270.done_of_all
    assert Decimal("86.44") == BC_1270.on_time_of_due
    assert Decimal("98.63") == percent(16_051, 16_051 + 223)


def test_tasks_without_a_day_stay_out_of_the_on_time_rate() -> None:
    figures = Figures(done_on_time=5, done_without_deadline=4, done_late=1, open_no_deadline=10)

    assert (Decimal("50.00"), Decimal("37.50")) == (figures.on_time_of_due, figures.done_of_all)


def test_zero_denominator_gives_no_rate() -> None:
    figures = Figures(done_on_time=2, done_without_deadline=2)

    assert (figures.on_time_of_due, figures.disbursed_percent) == (None, None)
    assert (Figures().on_time_of_due, Figures().done_of_all) == (None, None)


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(1, 3, "33.33"), (2, 3, "66.67"), (1, 800, "0.13"), (3, 800, "0.38"), (0, 5, "0.00"), (150, 100, "150.00")],
)
def test_percent_rounds_halves_up(part: int, whole: int, expected: str) -> None:
    assert Decimal(expected) == percent(part, whole)


def test_equal_figures_have_equal_hashes() -> None:
    assert a_report().figures.content_hash == replace(BC_1270).content_hash
    assert BC_1270.content_hash != replace(BC_1270, days_late=1).content_hash
    assert a_report().content_hash == a_report(scope_name="another", computed_at=at("2024-11-12")).content_hash
    assert a_report().content_hash != a_report(previous=Figures()).content_hash


@pytest.mark.parametrize("different", [{}, {"previous": Figures(open_overdue=3)}, {"year_before": Figures()}])
def test_hash_is_that_of_the_whole_content_as_json(different: dict[str, object]) -> None:
    """Another way of writing would amend every report that was ever closed."""
    report = a_report(**different)
    beside = [asdict(one) if one is not None else None for one in (report.previous, report.year_before)]
    content: dict[str, object] = {"figures": asdict(report.figures), "indicators": []}
    content |= {"previous": beside[0], "year_before": beside[1]}

    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert report.content_hash == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("name", "last", "draft", "reason"),
    [
        ("never published", None, a_report(), Reason.FIRST),
        ("nothing new", a_report().head, a_report(computed_at=at("2024-11-12")), Reason.UNCHANGED),
        ("other figures", a_report().head, a_report(figures=Figures()), Reason.FIGURES),
        ("the period ended", a_report().head, a_report(final=True), Reason.CLOSED),
        ("closed, late fact", a_report(final=True).head, a_report(final=True, figures=Figures()), Reason.AMENDED),
        ("closed is not opened again", a_report(final=True).head, a_report(figures=Figures()), Reason.UNCHANGED),
        ("renamed while running", a_report().head, a_report(scope_name="Sở KH&CN"), Reason.NAMED),
        (
            "renamed after closing: stays under the old name",
            a_report(final=True).head,
            a_report(final=True, scope_name="Sở KH&CN"),
            Reason.UNCHANGED,
        ),
        (
            "closed before the name was known",
            a_report(final=True, scope_name="H48.07").head,
            a_report(final=True),
            Reason.NAMED,
        ),
    ],
)
def test_report_says_why_it_is_revised(name: str, last: Head | None, draft: Report, reason: Reason) -> None:
    assert reason == why_revise(last, draft, draft.content_hash), name


def test_revision_grows_by_one() -> None:
    assert revise(None, a_report()).revision == 1
    assert revise(replace(a_report().head, revision=7), a_report()).revision == 8


def test_amended_report_keeps_the_name_of_its_time() -> None:
    amended = revise(a_report(final=True).head, a_report(final=True, scope_name="Sở KH&CN", figures=Figures()))

    assert amended.scope_name == "Sở Thông tin và Truyền thông"


def test_agencies_stand_in_vietnamese_alphabetical_order() -> None:
    names = ["UBND huyện Đức Phổ", "UBND huyện Ba Tơ", "UBND huyện Dung Quất", "Đài PT-TH", "Ban Dân tộc", "Công an"]
    reports = [a_report(scope=f"agency:A{number}", scope_name=name) for number, name in enumerate(names)]
    province = a_report(scope="province", scope_name="Tỉnh Quảng Ngãi")

    names_of = {one.scope: one.scope_name for one in [*reports, province]}
    ordered = [names_of[one] for one in in_order(names_of.items())]

    expected = ["Tỉnh Quảng Ngãi", "Ban Dân tộc", "Công an", "Đài PT-TH"]
    assert [*expected, "UBND huyện Ba Tơ", "UBND huyện Dung Quất", "UBND huyện Đức Phổ"] == ordered


def test_amendment_names_what_changed_and_why() -> None:
    before = a_report(final=True, previous=Figures())
    after = replace(before, figures=replace(BC_1270, done_late=1_984, open_overdue=222), previous=Figures(done_late=1))
    facts = [LateFact(f"task-{number}", 1, "applied", at("2024-11-01"), at("2024-11-20")) for number in range(60)]

    found = amendment(before, after, facts)

    assert found.changed == {
        "done_late": (1_983, 1_984),
        "open_overdue": (223, 222),
        "previous.done_late": (0, 1),
    }
    assert (len(found.because), found.more) == (BECAUSE_MAX, 60 - BECAUSE_MAX)


@pytest.mark.parametrize("name", ["province:x", "agency:", "agency", "", "county:1"])
def test_other_texts_are_no_scope(name: str) -> None:
    with pytest.raises(ValueError, match="a scope is province"):
        kind_of(name)


@pytest.mark.parametrize("name", ["province", "agency:H48.07", "group:@all", "group:none", "directive:A", "category:x"])
def test_scopes(name: str) -> None:
    assert name.startswith(kind_of(name).value)
