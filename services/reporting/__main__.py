"""`python -m services.reporting` serves; `python -m services.reporting rebuild` rebuilds what is derived."""

import sys

YOUNG_MAX = 100_000
"""A batch of a thousand snapshots is about as many values; looked through five times it cost as much as reading it."""
SWITCH_SECONDS = 0.001
"""Threads read and write MongoDB and compute reports beside the loop. At the usual 0.005 each that comes back from the
database, and the loop itself while a report is computed, waits so long for its turn: a read, several times."""


def _serve() -> None:
    # Not at the top: a rebuild and its workers need none of this.
    from services.reporting.app import SERVICE, build
    from services.reporting.settings import Settings
    from shared.runtime.logs import configure_logs
    from shared.runtime.process import serve

    sys.setswitchinterval(SWITCH_SECONDS)
    settings = Settings()
    configure_logs(SERVICE, log_format=settings.log_format, level=settings.log_level)
    serve(build(settings), settings, young_max=YOUNG_MAX)


def _main(arguments: list[str]) -> None:
    match arguments:
        case []:
            _serve()
        case ["rebuild", *rest]:
            from services.reporting import rebuild

            sys.exit(rebuild.main(rest))
        case _:
            sys.exit("python -m services.reporting [rebuild [--abort] [--allow-missing]]")


# A worker of the rebuild imports this file too.
if __name__ == "__main__":
    _main(sys.argv[1:])
