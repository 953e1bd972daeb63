"""Every table of the report by name: the same cells whichever file they go into."""

from collections.abc import Callable, Mapping
from typing import Final

from services.reporting.domain.content import Content
from services.reporting.files import figure_tables, standing_tables, task_tables
from services.reporting.files.table import Table

TABLES: Final[Mapping[str, Callable[[Content], Table]]] = {
    "totals": figure_tables.totals,
    "causes": figure_tables.causes,
    "agencies": figure_tables.agencies_whole,
    "overdue": task_tables.overdue,
    "upcoming": task_tables.upcoming,
    "extensions": task_tables.extensions,
    "funded": task_tables.funded,
    "indicators": standing_tables.indicators,
    "indicators_behind": standing_tables.indicators_behind,
    "ranking": standing_tables.ranking,
    "proposals": standing_tables.proposals,
}
"""Every table by the name that programs ask for."""
