"""What an operator sees of a rebuild."""

import io
from pathlib import Path

import pytest

from deploy import __main__ as dondoc
from services.reporting import rebuild
from services.reporting.loading import Compared, Loaded, Some
from services.reporting.ports import Registry, Tally
from services.reporting.rebuild import Terminal, line, summary
from services.reporting.rebuilding import Phase, Progress, Rebuilt


def test_line_says_how_far_how_fast_and_how_long() -> None:
    half = Progress(Phase.READING, read=500_000, total=1_000_000, records=480_000)

    assert line(half, 60.0) == "reading  50.0%  480,000 records  8,000/s  1:00 left"
    assert line(half, 0.1) == "reading  50.0%  480,000 records  0/s  …"
    assert line(Progress(Phase.READING, 0, 10), 5.0) == "reading   0.0%  0 records  0/s  …"
    assert line(Progress(Phase.INDEXING, 10, 10), 5.0) == "making indexes"


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_words(phase: Phase) -> None:
    assert line(Progress(phase, 1, 2), 2.0)


def test_empty_topics_are_read_at_once() -> None:
    assert Progress(Phase.READING, 0, 0).filled == 1.0
    assert Progress().filled == 0.0


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_writes_over_one_line() -> None:
    screen = _Screen()
    terminal = Terminal(screen)
    terminal.say(Progress(Phase.BEGINNING))
    terminal.say(Progress(Phase.READING, 0, 10))
    terminal.say(Progress(Phase.READING, 5, 10))
    terminal.say(Progress(Phase.INDEXING, 10, 10))

    assert screen.getvalue().replace("\r\x1b[K", "") == ("beginning\nreading   0.0%  0 records  0/s  …making indexes\n")


def test_summary_names_what_was_wrong() -> None:
    loaded = Loaded(
        records=1_300,
        dead=Some(1, ("dondoc.tasks.v1/3@17",)),
        tallies={(None, 3, "H48"): Tally(1_000, 1_200), (Registry.AGENCIES, None, "H48"): Tally(20, 20)},
        compared={
            None: Compared(986, Some(12, ("a", "b")), Some(2, ("c", "d")), Some(1, ("e",))),
            Registry.AGENCIES: Compared(20),
        },
        restored=3,
    )

    assert summary(Rebuilt(2, loaded, 61.4, kept=(1,))) == [
        "generation 2 serves: 1,300 records in 61 s",
        "  agencies: 20, of which 20 are as they were",
        "  tasks: 1,000, of which 986 are as they were",
        "    differed: 12 (a, b and 10 more)",
        "    an older version served, or none: 2 (c, d)",
        "    IN NO TOPIC, now gone: 1 (e)",
        "  passed over as the service does, see the dead letters: 1 (dondoc.tasks.v1/3@17)",
        "  reports that the database lacked, restored from their topics: 3",
        "  still there, since no replica counts from what serves: generation 1; "
        "start reporting, then run this with --abort, or leave it to the next rebuild",
    ]


def test_neither_kafka_nor_mongodb_is_said_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # The logs of the whole test run are not to be turned to what is captured here.
    monkeypatch.setattr(rebuild, "configure_logs", lambda *_, **__: None)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("MONGODB_URI", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200")
    monkeypatch.setenv("DONDOC_READING_NEEDS_TOKEN", "false")

    assert rebuild.main([]) == 5

    said = capsys.readouterr().err
    assert "dondoc: Kafka or MongoDB cannot be reached: ServerSelectionTimeoutError" in said
    assert "what serves was not touched" in said


def test_operators_command_passes_on_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    monkeypatch.setattr("os.execv", lambda _, command: called.append(command[1:]))
    dondoc.main(["rebuild", "reporting", "--allow-missing"])

    assert called == [["-m", "services.reporting", "rebuild", "--allow-missing"]]
