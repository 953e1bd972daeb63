"""The section `report` of a reporting policy: how the report to the chairman is written, and who stands out in it."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from services.reporting.domain.content_rules import (
    CommendationRule,
    CorrectionRule,
    CountedFrom,
    Letterhead,
    Measure,
    ReportRules,
    RiskRule,
)
from services.reporting.domain.periods import Kind
from shared.yaml_files import Place

ROWS_MAX: Final = 5_000
"""More rows would make a prepared report too large for one document of the database."""

_Line = Annotated[str, Field(min_length=1, max_length=200)]
_Lines = Annotated[tuple[_Line, ...], Field(max_length=20)]
# Strict: a number in quotes, a yes or 1.0 is a slip of the pen.
_Whole = Annotated[int, Field(strict=True)]
_Count = Annotated[_Whole, Field(ge=1)]
_Percent = Annotated[Decimal, Field(ge=0, le=100)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Letterhead(_Section):
    parent: _Line | None = None
    issuer: _Line | None = None
    symbol: _Line | None = None
    place: _Line | None = None
    addressees: _Lines = ()
    recipients: _Lines = ()
    signer_title: _Line | None = None


class _Risk(_Section):
    behind_points: _Percent = Decimal(20)
    counted_from: CountedFrom = CountedFrom.FISCAL_YEAR


class _Correction(_Section):
    measure: Measure
    overdue_at_least: _Count | None = None
    on_time_below_percent: _Percent | None = None
    due_at_least: _Count = 1
    days_late_over: Annotated[_Whole, Field(ge=0)] | None = None


class _Commendation(_Section):
    on_time_at_least_percent: _Percent = Decimal(100)
    due_at_least: _Count = 3
    overdue_at_most: Annotated[_Whole, Field(ge=0)] = 0
    most: Annotated[_Whole, Field(ge=0, le=100)] = 10


class ReportPolicy(_Section):
    """What stands under `report`. Everything may be left out."""

    letterhead: _Letterhead = _Letterhead()
    upcoming_days: Annotated[_Whole, Field(ge=1, le=366)] = 15
    rows_max: Annotated[_Whole, Field(ge=1, le=ROWS_MAX)] = 2_000
    at_risk: _Risk = _Risk()
    corrections: Annotated[tuple[_Correction, ...], Field(max_length=10)] = ()
    commendation: _Commendation = _Commendation()
    prepares: tuple[Kind, ...] = tuple(Kind)

    def contradictions(self, at: Place = ("report",)) -> Iterator[tuple[Place, str]]:
        """What each field may say for itself and not beside the others. `at`: where in the file this stands."""
        order = list(Measure)
        worst = 0
        for number, rule in enumerate(self.corrections):
            place = (*at, "corrections", number)
            if rule.measure is Measure.COMMEND:
                yield (*place, "measure"), f"choose {Measure.CRITICISE} or {Measure.CORRECT}; see commendation"
                continue
            limits = (rule.overdue_at_least, rule.on_time_below_percent, rule.days_late_over)
            if all(one is None for one in limits):
                what = "overdue_at_least, on_time_below_percent or days_late_over"
                yield place, f"nothing would ever reach it; name a limit: {what}"
            if rule.on_time_below_percent is None and "due_at_least" in rule.model_fields_set:
                yield (*place, "due_at_least"), "belongs to on_time_below_percent; name that too, or take this out"
            if order.index(rule.measure) < worst:
                what = f"{rule.measure} is severer than the rule before, which would win; put the severest first"
                yield (*place, "measure"), what
            worst = max(worst, order.index(rule.measure))
        if Kind.MONTHLY not in self.prepares:
            yield (*at, "prepares"), "monthly is missing; the report to the chairman is monthly"

    def rules(self) -> ReportRules:
        """As the domain knows it."""
        head = self.letterhead
        return ReportRules(
            letterhead=Letterhead(
                parent=head.parent or "",
                issuer=head.issuer or "",
                symbol=head.symbol or "",
                place=head.place or "",
                addressees=head.addressees,
                recipients=head.recipients,
                signer_title=head.signer_title or "",
            ),
            upcoming_days=self.upcoming_days,
            rows_max=self.rows_max,
            risk=RiskRule(self.at_risk.behind_points, self.at_risk.counted_from),
            corrections=tuple(
                CorrectionRule(
                    one.measure,
                    one.overdue_at_least,
                    one.on_time_below_percent,
                    one.due_at_least,
                    one.days_late_over,
                )
                for one in self.corrections
            ),
            commendation=CommendationRule(
                self.commendation.on_time_at_least_percent,
                self.commendation.due_at_least,
                self.commendation.overdue_at_most,
                self.commendation.most,
            ),
            prepares=frozenset(self.prepares),
        )
