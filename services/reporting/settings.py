"""Settings of reporting."""

from pydantic import Field

from shared.runtime.settings import ReadingSettings


class Settings(ReadingSettings):
    """What reporting needs beside what every process needs."""

    http_port: int = 8083
    aggregate_every_seconds: float = 0.5
    """Real time between looks at what changed and how far business time has come."""
    recheck_seconds: float = 300.0
    """Real time after which a province is aggregated from the database alone, forgetting what memory holds."""
    province_names: dict[str, str] = Field(default={"H48": "Tỉnh Quảng Ngãi"})
    """What the board and the reports call a province; one not listed goes by its code."""
