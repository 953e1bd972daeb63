"""What both ways of reading reports over HTTP ask and refuse alike: aggregates (api) and files (report_files)."""

from collections.abc import Collection

from starlette.requests import Request

from services.reporting.domain.periods import Regime


class RefusedError(Exception):
    """A question that has no answer: status, stable code, and what to do."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


def check_period(regime: Regime, period: str) -> None:
    """Raises RefusedError where no period has such a name."""
    try:
        regime.period(period)
    except ValueError as error:
        raise RefusedError(400, "malformed_period", f"{period!r} cannot be read: {error}.") from error


def revision_asked(request: Request) -> int | None:
    """None: the last."""
    asked = request.query_params.get("revision")
    if asked is None:
        return None
    if not (asked.isascii() and asked.isdigit() and len(asked) <= 7 and int(asked) >= 1):
        raise RefusedError(
            400, "malformed_revision", "A revision is a whole number from 1 on; leave it out for the last."
        )
    return int(asked)


def unknown_period(period: str) -> RefusedError:
    """Of one to come as well."""
    return RefusedError(404, "unknown_period", f"There is no report for {period}: no task had been assigned by then.")


def unknown_province(asked: str) -> RefusedError:
    """Or one that is not the token's."""
    return RefusedError(404, "unknown_province", f"No task of province {asked!r} is known.")


def province_needed(known: Collection[str]) -> RefusedError:
    """There are several."""
    return RefusedError(400, "province_needed", f"Say which province: add ?province=. Known: {', '.join(known)}.")
