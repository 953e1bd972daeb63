"""Reports counted a second time, by plain SQL over the published task snapshots: the oracle.

Written from the rules (design §5, domain §2.5 and §2.6, the contract of `dondoc.tasks.v1`), not from the code under
test: nothing of services.reporting is imported here. Every kind of fact is a table, every rule a line of the query.
"""

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from shared.workdays.calendar import ICT, WorkingCalendar


@dataclass(frozen=True, slots=True)
class Look:
    """An instant to look back from.

    `closing`: the end of a day. What is received at that very instant does not count, a deadline that ends there has
    passed, and days are counted to the day that ends. Otherwise what is received at the instant counts.
    """

    instant: datetime
    closing: bool

    @classmethod
    def at_end_of(cls, day: date) -> "Look":
        """As of a cut-off."""
        return cls(datetime.combine(day + timedelta(days=1), datetime.min.time(), ICT), True)


@dataclass(frozen=True, slots=True)
class Counted:
    """What the query says of one scope."""

    figures: Mapping[str, int]
    """By the names that the figures have in reports."""
    rates: Mapping[str, Decimal | None]
    """on_time_of_due, done_of_all, disbursed_percent, disbursed_of_assigned_percent."""


CAUSES = ("administrative", "disagreement", "money", "dependency", "external", "other", "unstated")
RATES = ("on_time_of_due", "done_of_all", "disbursed_percent", "disbursed_of_assigned_percent")

_CAUSE = "STRUCT(actor VARCHAR, received_at TIMESTAMPTZ)"
_COLUMNS = {
    "task_id": "VARCHAR",
    "seq": "BIGINT",
    "province": "VARCHAR",
    "agency": "VARCHAR",
    "directive": "VARCHAR",
    "category": "VARCHAR",
    "assigned": _CAUSE,
    "deadlines": f'STRUCT("version" BIGINT, legal DATE, operational DATE, due_at TIMESTAMPTZ, "policy" VARCHAR, '
    f"document JSON, given_by VARCHAR, cause {_CAUSE})[]",
    "results": f"STRUCT(cause {_CAUSE}, verdict VARCHAR, verdict_cause {_CAUSE}, delay_cause VARCHAR)[]",
    "extensions": f"STRUCT(cause {_CAUSE}, outcome VARCHAR, outcome_cause {_CAUSE})[]",
    "obstacles": f"STRUCT(cause {_CAUSE}, answered {_CAUSE}, forwarded {_CAUSE}, cleared {_CAUSE})[]",
    "allocations": f'STRUCT(allocation_id VARCHAR, amount_vnd BIGINT, "plan" VARCHAR, cause {_CAUSE})[]',
    "disbursements": f"STRUCT(as_of DATE, cumulative_vnd BIGINT, cause {_CAUSE})[]",
    "suspensions": f"STRUCT(cause {_CAUSE}, resumed {_CAUSE})[]",
    "ended": f"STRUCT(how VARCHAR, cause {_CAUSE})",
}

# `place`: where a fact stands in its list, which is the order in which `tasks` took it.
_TABLES = """
create or replace table tasks as
    select row_number() over () as task, * from snapshots
    qualify row_number() over (partition by task_id order by seq desc) = 1;
create or replace table deadlines as
    with one as (select task, unnest(deadlines) as d from tasks)
    select
        task, d."version" as version, d.legal as legal, d.operational as operational, d.due_at as due_at,
        d.cause.received_at as received_at,
        -- More time by a document. A version that a calendar made (its actor is the clock) repeats the one before.
        d.cause.actor <> 'clock' and (
            coalesce(d.given_by, 'directive') = 'extension'
            or (coalesce(d.given_by, 'directive') = 'directive' and coalesce(d.document::varchar, 'null') <> 'null')
        ) as extends,
        d."policy" in ('suspended-time-not-counted', 'suspended-when-overdue') as gives_back
    from one;
create or replace table results as
    with one as (select task, unnest(results) as r, generate_subscripts(results, 1) as place from tasks)
    select
        task, place, r.cause.received_at as received_at, r.verdict as verdict,
        r.verdict_cause.received_at as judged_at, r.delay_cause as delay_cause
    from one;
create or replace table extensions as
    with one as (select task, unnest(extensions) as e from tasks)
    select task, e.cause.received_at as received_at, e.outcome as outcome, e.outcome_cause.received_at as decided_at
    from one;
create or replace table obstacles as
    with one as (select task, unnest(obstacles) as o from tasks)
    select
        task, o.cause.received_at as received_at, o.answered.received_at as answered_at,
        o.forwarded.received_at as forwarded_at, o.cleared.received_at as cleared_at
    from one;
create or replace table allocations as
    with one as (select task, unnest(allocations) as a, generate_subscripts(allocations, 1) as place from tasks)
    select
        task, place, a.allocation_id as allocation_id, a.amount_vnd as amount_vnd,
        coalesce(a."plan", 'assigned') = 'assigned' as assigned, a.cause.received_at as received_at
    from one;
create or replace table disbursements as
    with one as (select task, unnest(disbursements) as d, generate_subscripts(disbursements, 1) as place from tasks)
    select
        task, place, d.as_of as as_of, d.cumulative_vnd as cumulative_vnd, d.cause.received_at as received_at
    from one;
create or replace table suspensions as
    with one as (select task, unnest(suspensions) as s from tasks)
    select task, s.cause.received_at as received_at, s.resumed.received_at as resumed_at from one;
create or replace table ends as
    select task, ended.how as how, ended.cause.received_at as received_at from tasks where ended is not null;
"""

_MACROS = """
create or replace macro knows(received, instant, closing) as
    coalesce(received < instant or (received = instant and not closing), false);
-- Vietnam is seven hours ahead, without daylight saving.
create or replace macro local_day(instant) as
    date '1970-01-01' + ((epoch_us(instant) + 25200000000) // 86400000000)::integer;
-- Two decimals, halves up, in hundredths; nothing of nothing.
create or replace macro hundredths(part, whole) as
    case when whole > 0 then (part::hugeint * 20000 + whole) // (whole::hugeint * 2) end;
"""

QUERY = """
with
known_deadlines as (
    select l.look, d.* from deadlines d join looks l on knows(d.received_at, l.instant, l.closing)
),
in_force as (
    -- The highest version known; near from three working days before its operational day.
    select d.*, (select w.day from working w where w.n = before.n - 2) as soon_on
    from (
        select * from known_deadlines qualify row_number() over (partition by look, task order by version desc) = 1
    ) d
    asof left join working before on before.day < d.operational
),
known_results as (
    select
        l.look, r.task, r.place, r.received_at, r.delay_cause,
        case when knows(r.judged_at, l.instant, l.closing) then r.verdict end as verdict
    from results r join looks l on knows(r.received_at, l.instant, l.closing)
),
accepted as (
    select * from known_results where verdict = 'accepted'
    qualify row_number() over (partition by look, task order by received_at, place) = 1
),
latest as (
    select * from known_results qualify row_number() over (partition by look, task order by place desc) = 1
),
known_ends as (
    select l.look, e.task, e.how from ends e join looks l on knows(e.received_at, l.instant, l.closing)
),
known_suspensions as (
    select
        l.look, s.task, s.received_at,
        case when knows(s.resumed_at, l.instant, l.closing) then s.resumed_at end as resumed_at
    from suspensions s join looks l on knows(s.received_at, l.instant, l.closing)
),
-- The result that the task stands by: the first accepted one; else the latest, while nobody has judged it.
handed_in as (
    select look, task, received_at, delay_cause, true as done from accepted
    union all
    select look, task, received_at, delay_cause, false as done
    from latest anti join accepted using (look, task) anti join known_ends using (look, task)
    where verdict is null
),
-- The days of a suspension that ended after the result do not make it earlier.
measure as (
    select h.look, h.task, d.legal, d.due_at
    from handed_in h join known_deadlines d using (look, task)
    where not d.gives_back or d.received_at <= h.received_at
    qualify row_number() over (partition by h.look, h.task order by d.version desc) = 1
),
-- What comes in while the clock stands still has come in when it stopped.
stopped as (
    select h.look, h.task, min(s.received_at) as at
    from handed_in h join known_suspensions s using (look, task)
    where s.received_at <= h.received_at and (s.resumed_at is null or h.received_at < s.resumed_at)
    group by all
),
standing as (
    select look, task, min(received_at) as since from known_suspensions where resumed_at is null group by all
),
course as (
    select
        l.look, l.instant, l.day, t.task, t.province, t.agency, t.directive, t.category,
        h.task is not null as has_result, coalesce(h.done, false) as done, h.delay_cause,
        coalesce(p.at, h.received_at) as handed_in_at,
        f.task is not null as has_deadline, f.legal, f.due_at, f.soon_on,
        case when h.done then m.legal else coalesce(m.legal, f.legal) end as result_legal,
        case when h.done then m.due_at else coalesce(m.due_at, f.due_at) end as result_due_at,
        s.since as stands_since, e.how as ended
    from tasks t
    join looks l on knows(t.assigned.received_at, l.instant, l.closing)
    left join handed_in h using (look, task)
    left join measure m using (look, task)
    left join stopped p using (look, task)
    left join standing s using (look, task)
    left join in_force f using (look, task)
    left join known_ends e using (look, task)
),
placed as (
    select
        *,
        case
            when done and (result_due_at is null or handed_in_at < result_due_at) then 'done_on_time'
            when done then 'done_late'
            when ended is not null then 'ended_without_result'
            when not has_deadline then 'open_no_deadline'
            when has_result and handed_in_at < result_due_at then 'open_in_time'
            when has_result then 'open_overdue'
            when stands_since >= due_at then 'open_overdue'
            when stands_since is not null then 'open_in_time'
            when instant >= due_at then 'open_overdue'
            when day >= soon_on then 'open_due_soon'
            else 'open_in_time'
        end as place,
        case when has_result then result_legal else legal end as late_since,
        case
            when has_result then local_day(handed_in_at)
            when stands_since is not null then local_day(stands_since)
            else day
        end as late_until
    from course
),
granted as (
    select look, task, count(*) filter (extends) as granted from known_deadlines group by all
),
asked as (
    select
        l.look, x.task,
        count(*) filter (x.outcome = 'refused' and knows(x.decided_at, l.instant, l.closing)) as refused,
        count(*) filter (not knows(x.decided_at, l.instant, l.closing)) as pending
    from extensions x join looks l on knows(x.received_at, l.instant, l.closing)
    group by all
),
hindered as (
    select
        l.look, o.task, count(*) as raised,
        count(*) filter (knows(o.answered_at, l.instant, l.closing)) as answered,
        count(*) filter (knows(o.forwarded_at, l.instant, l.closing)) as forwarded,
        count(*) filter (knows(o.cleared_at, l.instant, l.closing)) as cleared
    from obstacles o join looks l on knows(o.received_at, l.instant, l.closing)
    group by all
),
-- One allocation told again replaces itself.
given as (
    select look, task, sum(amount_vnd) as allocated, coalesce(sum(amount_vnd) filter (assigned), 0) as assigned
    from (
        select l.look, a.* from allocations a join looks l on knows(a.received_at, l.instant, l.closing)
        qualify row_number() over (
            partition by l.look, a.task, a.allocation_id order by a.received_at desc, a.place desc
        ) = 1
    )
    group by all
),
-- Cumulative: the latest word by the day it speaks of, then by receipt.
paid as (
    select l.look, d.task, d.cumulative_vnd as disbursed
    from disbursements d join looks l on knows(d.received_at, l.instant, l.closing)
    qualify row_number() over (
        partition by l.look, d.task order by d.as_of desc, d.received_at desc, d.place desc
    ) = 1
),
adds as (
    select
        p.look, p.province, p.agency, p.directive, p.category, p.place, p.has_deadline,
        p.place in ('done_late', 'open_overdue') as late,
        p.place like 'open%' as is_open,
        p.place <> 'ended_without_result' as counts,
        greatest(0, p.late_until - p.late_since) as days,
        case when p.has_result then p.delay_cause end as delay_cause,
        coalesce(g.granted, 0) as granted,
        coalesce(x.refused, 0) as refused, coalesce(x.pending, 0) as pending,
        coalesce(o.raised, 0) as raised, coalesce(o.answered, 0) as answered,
        coalesce(o.forwarded, 0) as forwarded, coalesce(o.cleared, 0) as cleared,
        -- Money goes along with a transfer, and counts once.
        case when p.ended = 'transferred' then 0 else coalesce(v.allocated, 0) end as allocated,
        case when p.ended = 'transferred' then 0 else coalesce(v.assigned, 0) end as assigned,
        case when p.ended = 'transferred' then 0 else coalesce(d.disbursed, 0) end as disbursed
    from placed p
    left join granted g using (look, task)
    left join asked x using (look, task)
    left join hindered o using (look, task)
    left join given v using (look, task)
    left join paid d using (look, task)
),
counted as (
    select
        look, province, scope,
        count(*) filter (place = 'done_on_time') as done_on_time,
        count(*) filter (place = 'done_late') as done_late,
        count(*) filter (place = 'open_in_time') as open_in_time,
        count(*) filter (place = 'open_due_soon') as open_due_soon,
        count(*) filter (place = 'open_overdue') as open_overdue,
        count(*) filter (place = 'open_no_deadline') as open_no_deadline,
        count(*) filter (place = 'ended_without_result') as ended_without_result,
        count(*) filter (place = 'done_on_time' and not has_deadline) as done_without_deadline,
        coalesce(sum(days) filter (late), 0) as days_late,
        {causes},
        count(*) filter (counts and granted > 0) as extended,
        coalesce(sum(granted) filter (counts), 0) as extensions_granted,
        coalesce(sum(refused) filter (counts), 0) as extensions_refused,
        coalesce(sum(pending) filter (is_open), 0) as extensions_pending,
        coalesce(sum(raised - cleared) filter (is_open), 0) as obstacles_open,
        sum(raised) as obstacles_raised,
        sum(answered) as obstacles_answered,
        sum(forwarded) as obstacles_forwarded,
        sum(cleared) as obstacles_cleared,
        count(*) filter (allocated > 0) as funded,
        sum(allocated) as allocated_vnd,
        sum(assigned) as assigned_vnd,
        sum(disbursed) as disbursed_vnd
    from (
        select
            *, unnest(['province', 'agency:' || agency, 'directive:' || directive, 'category:' || category]) as scope
        from adds
    )
    group by all
)
select
    *,
    -- What never had a day cannot be late: it stays out of the rate.
    hundredths(
        done_on_time - done_without_deadline, done_on_time - done_without_deadline + done_late + open_overdue
    ) as on_time_of_due,
    hundredths(
        done_on_time + done_late,
        done_on_time + done_late + open_in_time + open_due_soon + open_overdue + open_no_deadline
    ) as done_of_all,
    hundredths(disbursed_vnd, allocated_vnd) as disbursed_percent,
    hundredths(disbursed_vnd, assigned_vnd) as disbursed_of_assigned_percent
from counted
""".format(
    causes=",\n        ".join(
        f"count(*) filter (late and coalesce(delay_cause, 'unstated') = '{cause}') as late_{cause}" for cause in CAUSES
    )
)


@dataclass(slots=True)
class Oracle:
    """Snapshots in, figures out. Of several snapshots of one task the one with the highest `seq` is counted."""

    calendar: WorkingCalendar
    query: str = QUERY
    """Another one only to prove that a broken rule is noticed."""
    database: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)

    def load(self, snapshots: Iterable[Mapping[str, Any]]) -> None:
        """Take snapshots as published (JSON) instead of those taken before."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "snapshots.ndjson")
            with path.open("w", encoding="utf-8") as lines:
                for one in snapshots:
                    lines.write(json.dumps(one, ensure_ascii=False) + "\n")
            self.load_file(path)

    def load_file(self, path: Path) -> None:
        """The same from a file (or, with a `*`, several) with one snapshot a line, however many."""
        columns = ", ".join(f"'{name}': '{kind}'" for name, kind in _COLUMNS.items())
        self.database.execute(
            "create or replace table snapshots as "
            f"select * from read_json(?, format = 'newline_delimited', columns = {{{columns}}})",
            [str(path)],
        )
        self.database.execute(_TABLES)
        self.database.execute(_MACROS)
        self._list_working_days()

    def _list_working_days(self) -> None:
        """Those from well before the first deadline to the last, numbered in order of time."""
        first, last = self.database.execute("select min(operational), max(operational) from deadlines").fetchone() or ()
        days = []
        if first is not None:
            count = (last - first).days + 60
            every = (first + timedelta(days=number - 60) for number in range(count + 1))
            days = [one.isoformat() for one in every if self.calendar.is_working(one)]
        self.database.execute(
            "create or replace table working as "
            "select day, row_number() over (order by day) as n from (select unnest(?::varchar[])::date as day)",
            [days],
        )

    def figures(self, looks: Sequence[Look], province: str = "H48") -> Mapping[tuple[Look, str], Counted]:
        """Of each scope that has a task by then. With very many tasks, ask for one look at a time."""
        self.database.execute(
            "create or replace table looks as "
            "select unnest(?::bigint[]) as look, unnest(?::varchar[])::timestamptz as instant, "
            "unnest(?::boolean[]) as closing, unnest(?::varchar[])::date as day",
            [
                list(range(len(looks))),
                [one.instant.isoformat() for one in looks],
                [one.closing for one in looks],
                [_day(one).isoformat() for one in looks],
            ],
        )
        cursor = self.database.execute(self.query)
        names = [column[0] for column in cursor.description or ()]
        found = {}
        for row in cursor.fetchall():
            values = dict(zip(names, row, strict=True))
            look, of, scope = (values.pop(name) for name in ("look", "province", "scope"))
            if of == province:
                rates = {name: _percent(values.pop(name)) for name in RATES}
                found[looks[look], scope] = Counted({name: int(value) for name, value in values.items()}, rates)
        return found


def _day(look: Look) -> date:
    """The local day to count to."""
    local = look.instant.astimezone(ICT)
    return (local - timedelta(microseconds=1) if look.closing else local).date()


def _percent(hundredths: int | None) -> Decimal | None:
    return None if hundredths is None else Decimal(hundredths).scaleb(-2)
