"""Reads a province's working calendar, reporting regime and benchmarks from files; refuses broken ones at start."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from services.reporting.domain.content_rules import ReportRules
from services.reporting.domain.indicators import Benchmark, BenchmarkKind
from services.reporting.domain.periods import Kind, Mark, Regime, RegimeError, Rule
from services.reporting.report_policy import ReportPolicy
from shared.workdays.calendar import WorkingCalendar
from shared.workdays.files import ProvinceFiles, province_files, read_calendar
from shared.yaml_files import Place, YamlFile

_Text = Annotated[str, Field(min_length=1)]


class _Mark(BaseModel):
    model_config = ConfigDict(extra="forbid")
    month: Annotated[int, Field(strict=True, ge=-12, le=24)] = 0
    day: Annotated[int, Field(strict=True, ge=-31, le=31)]


class _Periods(BaseModel):
    model_config = ConfigDict(extra="forbid")
    starts: _Mark
    cut_off: _Mark
    due: _Mark


class _Regime(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: _Text
    name: _Text
    citation: _Text
    recipients: tuple[_Text, ...] = ()
    periods: dict[Kind, _Periods]


class _Benchmark(BaseModel):
    model_config = ConfigDict(extra="forbid")
    code: _Text
    kind: BenchmarkKind
    percent: Annotated[Decimal, Field(ge=0, le=1000)]
    valid_from: date
    source: _Text


class _PolicyFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    version: _Text
    regime: _Regime
    benchmarks: tuple[_Benchmark, ...] = ()
    report: ReportPolicy = ReportPolicy()


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for a province."""

    calendar: WorkingCalendar
    regime: Regime
    benchmarks: tuple[Benchmark, ...]
    report: ReportRules


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The common rules, and those of provinces that have their own. Implements counting.Rules."""

    common: Rules
    provinces: Mapping[str, Rules]

    def of(self, province: str) -> Rules:
        """What holds there."""
        return self.provinces.get(province, self.common)

    def calendar(self, province: str) -> WorkingCalendar:
        """Its working days."""
        return self.of(province).calendar

    def regime(self, province: str) -> Regime:
        """Its reporting periods."""
        return self.of(province).regime

    def benchmarks(self, province: str) -> Sequence[Benchmark]:
        """What its indicators are compared with."""
        return self.of(province).benchmarks

    def report(self, province: str) -> ReportRules:
        """How its report to the chairman is written."""
        return self.of(province).report


def read_rulebook(calendar_file: Path, policy_file: Path, provinces_dir: str = "") -> Rulebook:
    """Read the common files and those of single provinces.

    Raises OSError naming the file, or ValueError: for a broken file with its lines, or for a file or folder that nobody
    would read.
    """
    common = Rules(read_calendar(calendar_file), *read_policy(policy_file))
    provinces = {province: _own(files, common) for province, files in province_files(provinces_dir).items()}
    return Rulebook(common, provinces)


def _own(files: ProvinceFiles, common: Rules) -> Rules:
    policy = read_policy(files.reporting) if files.reporting else (common.regime, common.benchmarks, common.report)
    return Rules(read_calendar(files.calendar) if files.calendar else common.calendar, *policy)


def read_policy(path: Path) -> tuple[Regime, tuple[Benchmark, ...], ReportRules]:
    """Regime, benchmarks, and how the report is written.

    Raises OSError, or ValueError naming file, lines and remedies.
    """
    file = YamlFile.read(path)
    content = file.into(_PolicyFile)
    file.refuse(_contradictions(content))
    benchmarks = (Benchmark(one.code, one.kind, one.percent, one.valid_from, one.source) for one in content.benchmarks)
    return _regime(content.regime), tuple(benchmarks), content.report.rules()


def _contradictions(content: _PolicyFile) -> Iterator[tuple[Place, str]]:
    """What each field may say for itself and not beside the others."""
    if Kind.MONTHLY not in content.regime.periods:
        yield ("regime", "periods"), "monthly is missing; the report to the chairman is monthly"
    for kind in content.regime.periods:
        try:
            _regime(content.regime, only=kind).check()
        except RegimeError as error:
            yield ("regime", "periods", kind.value), str(error)
    seen: set[tuple[str, BenchmarkKind, date]] = set()
    for number, one in enumerate(content.benchmarks):
        key = (one.code, one.kind, one.valid_from)
        if key in seen:
            yield ("benchmarks", number), f"{one.code} has a {one.kind} from {one.valid_from} already; take one out"
        seen.add(key)
    yield from content.report.contradictions()


def _regime(content: _Regime, only: Kind | None = None) -> Regime:
    return Regime(
        id=content.id,
        name=content.name,
        citation=content.citation,
        rules={
            # In the order of Kind, whatever the file's.
            kind: Rule(*(Mark(mark.month, mark.day) for mark in (one.starts, one.cut_off, one.due)))
            for kind in Kind
            if (one := content.periods.get(kind)) is not None and only in {None, kind}
        },
        recipients=content.recipients,
    )
