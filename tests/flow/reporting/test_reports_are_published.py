"""Snapshots in, reports out: provisional, closed, amended; whatever was killed or repeated in between."""

from decimal import Decimal

import pytest

from services.reporting.domain.scopes import agency_scope
from tests.flow.reporting.harness import Replica
from tests.flow.reporting.snapshots import a_snapshot, changed, registered, rejected
from tests.unit.reporting.builders import at

STTTT = agency_scope("H48.07")


@pytest.fixture
def replica() -> Replica:
    return Replica()


async def test_running_period_is_published_as_provisional(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot()), registered("H48.07", "Sở Thông tin và Truyền thông"))
    await replica.at("2024-10-12")

    [province] = replica.topic.reports()
    [agency] = replica.topic.reports(STTTT)
    assert (province.period, province.revision, province.final) == ("2024-10", 1, False)
    assert (province.scope_name, agency.scope_name) == ("Tỉnh Quảng Ngãi", "Sở Thông tin và Truyền thông")
    assert (province.totals.total, province.totals.open_in_time) == (1, 1)
    assert province.totals == agency.totals
    assert province.rates.on_time_of_due is None
    assert province.rates.done_of_all == Decimal("0.00")


async def test_key_and_id_of_a_report_are_its_own(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot()))
    await replica.at("2024-10-12")

    ids = {(event.envelope.id, event.envelope.subject) for event in replica.topic.events}
    scopes = ("province", STTTT, "group:none", "directive:TB-UBND-2024", "category:dated")
    periods = ("2024-W41", "2024-10", "2024-Q4", "2024-H2", "2024")
    assert ids == {(f"H48/{period}/{scope}:1", f"H48/{period}/{scope}") for period in periods for scope in scopes}
    assert len(replica.topic.events) == len(ids)


async def test_time_alone_makes_a_task_overdue(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot()))
    await replica.at("2024-10-15 00:00")
    await replica.at("2024-10-19 23:59")
    await replica.at("2024-10-20 00:00")

    states = [
        (one.period, one.totals.open_in_time, one.totals.open_due_soon, one.totals.open_overdue)
        for one in replica.topic.reports()
    ]
    assert states == [("2024-10", 1, 0, 0), ("2024-11", 0, 1, 0), ("2024-11", 0, 0, 1)]


async def test_same_figures_are_not_published_again(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot(due=None)))
    for hour in range(8, 20):
        await replica.at(f"2024-10-12 {hour:02d}:00")
    await replica.receive(changed(a_snapshot(due=None)), changed(a_snapshot(2, due=None)))
    await replica.at("2024-10-12 21:00")

    assert replica.revisions() == [("2024-10", 1, False)]


async def test_period_closes_once_all_partitions_passed_the_cut_off(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot(due=None)))
    await replica.at("2024-10-14 23:59")
    replica.share.known[1] = at("2024-10-15 00:00")
    await replica.aggregation.turn()
    assert replica.revisions() == [("2024-10", 1, False)]

    await replica.at("2024-10-15 00:00")

    assert replica.revisions() == [("2024-10", 1, False), ("2024-10", 2, True), ("2024-11", 1, False)]


async def test_outage_does_not_close_a_period(replica: Replica) -> None:
    """INVARIANT: the clock closes nothing; what all partitions have reached does.

    If it broke, a night without the broker would close a month without what was received that night.
    """
    await replica.receive(changed(a_snapshot(due=None)))
    await replica.at("2024-10-14 20:00")
    replica.clock.instant = at("2024-10-25")
    await replica.aggregation.turn()
    replica.share.known = {}
    await replica.aggregation.turn()

    assert replica.revisions() == [("2024-10", 1, False)]


async def test_nothing_is_computed_while_a_partition_is_unknown(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot()))
    replica.share.known = {0: at("2024-10-12")}
    await replica.aggregation.turn()

    assert replica.topic.events == []


async def test_many_periods_close_in_one_turn(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot(result="2024-11-15", accepted="2024-11-20")))
    await replica.at("2025-02-20")

    periods = replica.topic.reports()
    assert [(one.period, one.revision, one.final) for one in periods] == [
        ("2024-10", 1, True),
        ("2024-11", 1, True),
        ("2024-12", 1, True),
        ("2025-01", 1, True),
        ("2025-02", 1, True),
        ("2025-03", 1, False),
    ]
    late = [(one.totals.open_in_time, one.totals.open_overdue, one.totals.done_late, one.days_late) for one in periods]
    assert late == [(1, 0, 0, 0), (0, 1, 0, 26), *[(0, 0, 1, 27)] * 4]


async def test_late_fact_amends_a_closed_period(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot(1)))
    await replica.at("2024-11-20")
    await replica.receive(changed(a_snapshot(2, result="2024-11-10", accepted="2024-11-12")))
    await replica.at("2024-11-20 09:00")

    november = [one for one in replica.topic.reports() if one.period == "2024-11"]
    assert [(one.revision, one.final, one.totals.done_late, one.days_late) for one in november] == [
        (1, True, 0, 26),
        (2, True, 1, 22),
    ]
    assert [one.revision for one in replica.topic.reports() if one.period == "2024-10"] == [1]


async def test_fact_received_after_the_cut_off_leaves_the_closed_period_alone(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot(1)))
    await replica.at("2024-11-20")
    await replica.receive(changed(a_snapshot(2, result="2024-11-20 07:00", accepted="2024-11-20 07:30")))
    await replica.at("2024-11-20 09:00")

    assert replica.revisions() == [
        ("2024-10", 1, True),
        ("2024-11", 1, True),
        ("2024-12", 1, False),
        ("2024-12", 2, False),
    ]


async def test_result_received_in_time_and_known_late_takes_the_overdue_back(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot(1)))
    await replica.at("2024-11-20")
    await replica.receive(changed(a_snapshot(2, result="2024-10-18", accepted="2024-11-20 07:00")))
    await replica.at("2024-11-20 09:00")

    november = [one for one in replica.topic.reports() if one.period == "2024-11"]
    # As of the cut-off it was with the reviewer, whose delay is not the agency's.
    assert [(one.revision, one.final, one.totals.open_overdue, one.totals.open_in_time) for one in november] == [
        (1, True, 1, 0),
        (2, True, 0, 1),
    ]


async def test_fact_received_ahead_of_a_slow_partition_counts_as_soon_as_time_has_come(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot(2, due=None, result="2024-10-12 09:00", accepted="2024-10-12 09:00")))
    await replica.at("2024-10-12 08:30")
    await replica.at("2024-10-12 08:59:59")
    await replica.at("2024-10-12 09:00")

    assert [one.totals.done_on_time for one in replica.topic.reports()] == [0, 1]


async def test_older_snapshot_after_a_newer_one_changes_nothing(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot(5, result="2024-10-12", accepted="2024-10-13")))
    await replica.receive(changed(a_snapshot(4)), changed(a_snapshot(3)))
    await replica.at("2024-10-14")

    assert [one.totals.done_on_time for one in replica.topic.reports()] == [1]


async def test_several_snapshots_of_a_task_in_one_batch_leave_the_newest(replica: Replica) -> None:
    await replica.receive(
        changed(a_snapshot(1)),
        changed(a_snapshot(3, result="2024-10-12", accepted="2024-10-13")),
        changed(a_snapshot(2)),
    )
    await replica.at("2024-10-14")

    assert [one.totals.done_on_time for one in replica.topic.reports()] == [1]


async def test_rejection_shows_the_task_too(replica: Replica) -> None:
    await replica.receive(rejected(None), changed(a_snapshot(1)))
    await replica.receive(rejected(a_snapshot(2, result="2024-10-12", accepted="2024-10-13")))
    await replica.receive(rejected(a_snapshot(1)))
    await replica.at("2024-10-14")

    assert [one.totals.done_on_time for one in replica.topic.reports()] == [1]


async def test_crash_between_write_and_publish_is_made_good(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot()))
    replica.topic.broken = True
    with pytest.raises(ConnectionError):
        await replica.at("2024-10-12")
    replica.topic.broken = False
    replica.restart()
    await replica.at("2024-10-12 00:01")

    assert replica.revisions() == [("2024-10", 1, False)]


async def test_of_a_running_period_the_last_revision_is_told_when_the_topic_is_back(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot(1, due=None)))
    replica.topic.broken = True
    with pytest.raises(ConnectionError):
        await replica.at("2024-10-12")
    replica.topic.broken = False
    await replica.receive(changed(a_snapshot(2, due=None, result="2024-10-12", accepted="2024-10-12")))
    await replica.at("2024-10-13")

    assert [(one.revision, one.totals.done_on_time) for one in replica.topic.reports()] == [(2, 1)]


async def test_closed_report_that_was_not_told_is_told_before_its_amendment(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot(1, due=None)))
    await replica.at("2024-10-12")
    replica.topic.broken = True
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await replica.at("2024-10-15")
    await replica.receive(changed(a_snapshot(2, due=None, result="2024-10-12", accepted="2024-10-12")))
    with pytest.raises(ConnectionError):
        await replica.at("2024-10-16")
    replica.topic.broken = False
    await replica.at("2024-10-16 12:00")

    october = [one for one in replica.topic.reports() if one.period == "2024-10"]
    assert [(one.revision, one.final, one.totals.done_on_time) for one in october] == [
        (1, False, 0),
        (2, True, 0),
        (3, True, 1),
    ]


async def test_restart_publishes_nothing_new(replica: Replica) -> None:
    """INVARIANT: full recomputation after a restart finds what was published before it.

    If it broke, each deployment would amend closed months.
    """
    for number, day in enumerate(["2024-10-12", "2024-10-20", "2024-11-16", "2024-12-01"], start=1):
        await replica.receive(changed(a_snapshot(1, agency=f"H48.{number:02d}", assigned=day)))
        await replica.receive(changed(a_snapshot(2, agency=f"H48.{number:02d}", assigned=day, result=day)))
        await replica.at(day)
    await replica.at("2024-12-20")
    before = len(replica.topic.events)
    replica.restart()
    await replica.at("2024-12-20")

    assert len(replica.topic.events) == before


async def test_memory_is_checked_against_the_database_from_time_to_time(replica: Replica) -> None:
    eager = Replica(recheck_seconds=0.0)
    await eager.receive(changed(a_snapshot()))
    for _ in range(3):
        await eager.at("2024-10-12")

    assert eager.revisions() == [("2024-10", 1, False)]


async def test_replicas_share_the_provinces(replica: Replica) -> None:
    other = Replica(store=replica.store, topic=replica.topic)
    replica.share.provinces, other.share.provinces = {"H48"}, {"H49"}
    await replica.receive(changed(a_snapshot()), changed(a_snapshot(province="H49", agency="H49.07")))
    await replica.at("2024-10-12")
    assert {one.province for one in replica.topic.reports()} == {"H48"}

    await other.at("2024-10-12")

    assert {one.province for one in replica.topic.reports()} == {"H48", "H49"}


async def test_replica_that_lost_a_province_cannot_write_an_older_truth() -> None:
    """INVARIANT: revisions of a report are written one after the other, from facts that do not get older.

    If it broke, a replica waking up after a rebalance would put yesterday's figures over today's.
    """
    old = Replica()
    new = Replica(store=old.store, topic=old.topic)
    await old.receive(changed(a_snapshot(1, due=None)))
    await old.at("2024-10-12")
    await new.receive(changed(a_snapshot(2, due=None, result="2024-10-12", accepted="2024-10-12")))
    await new.at("2024-10-12 12:00")
    # The old one still believes that the province is its own, and that time has not moved.
    old.share.known = {}
    await old.aggregation.turn()
    await old.aggregation.turn()
    await old.aggregation.tell()

    assert [(one.revision, one.totals.done_on_time) for one in old.topic.reports()] == [(1, 0), (2, 1)]


async def test_agency_known_by_code_only_gets_its_name_later(replica: Replica) -> None:
    await replica.receive(changed(a_snapshot(due=None)))
    await replica.at("2024-10-20")
    await replica.receive(registered("H48.07", "Sở TT&TT"))
    await replica.at("2024-10-20 09:00")
    await replica.receive(registered("H48.07", "Sở KH&CN", seq=2), registered("H48.07", "Sở TT&TT", seq=1))
    await replica.at("2024-10-20 10:00")

    names = [(one.period, one.revision, one.scope_name) for one in replica.topic.reports(STTTT)]
    assert names == [
        ("2024-10", 1, "H48.07"),
        ("2024-11", 1, "H48.07"),
        ("2024-10", 2, "Sở TT&TT"),
        ("2024-11", 2, "Sở TT&TT"),
        ("2024-11", 3, "Sở KH&CN"),
    ]


async def test_province_without_tasks_has_no_report(replica: Replica) -> None:
    await replica.receive(registered("H48.07", "Sở TT&TT"))
    await replica.at("2024-10-20")

    assert replica.topic.events == []


async def test_two_thousand_tasks_in_six_periods_are_quick(replica: Replica) -> None:
    for number in range(50):
        records = [
            changed(a_snapshot(1, agency=f"H48.{number:02d}", clause=f"II.1.a-{clause}", due="2024-11-20"))
            for clause in range(1, 41)
        ]
        await replica.receive(*records)
    await replica.at("2025-02-20")

    assert replica.topic.reports()[-1].totals.open_overdue == 2_000
