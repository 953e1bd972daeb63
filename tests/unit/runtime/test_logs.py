"""Lines are written together, in order, and none is lost but to a power cut."""

import asyncio
import io
import json
import subprocess
import sys

import pytest
import structlog

from shared.runtime.logs import WRITE_SECONDS, LineBuffer


class Out(io.StringIO):
    """Counts writes."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


async def test_lines_of_the_event_loop_are_written_together_and_soon() -> None:
    out = Out()
    buffer = LineBuffer(out)
    for number in range(100):
        print(number, file=buffer, flush=True)
    assert out.getvalue() == ""
    await asyncio.sleep(3 * WRITE_SECONDS)
    assert out.getvalue().split() == [str(number) for number in range(100)]
    assert out.writes == 1


async def test_a_line_from_another_thread_is_written_at_once_with_those_that_wait() -> None:
    out = Out()
    buffer = LineBuffer(out)
    print("first", file=buffer, flush=True)
    await asyncio.to_thread(lambda: structlog.PrintLogger(buffer).msg("second"))  # type: ignore[arg-type]
    await asyncio.sleep(3 * WRITE_SECONDS)
    assert out.getvalue().split() == ["first", "second"]


def test_a_line_that_is_written_while_lines_are_written_hangs_nothing() -> None:
    """INVARIANT: writing may collect garbage, whose end may be logged: on the same thread, under the same lock."""

    class Nested(Out):
        lines: LineBuffer

        def write(self, text: str) -> int:
            if "first" in text:
                print("nested", file=self.lines, flush=True)
            return super().write(text)

    out = Nested()
    out.lines = LineBuffer(out)
    print("first", file=out.lines, flush=True)
    assert out.getvalue().split() == ["first", "nested"]


SCRIPT = """
import asyncio, sys
import structlog
from shared.runtime.crash import crash_process
from shared.runtime.logs import configure_logs
configure_logs("trial", log_format="json", level="info")
log = structlog.get_logger()
async def main():
    log.info("one", name="Đôn đốc", at=3)
    if sys.argv[1] == "crash":
        crash_process("no reason")
    if sys.argv[1] == "exit":
        sys.exit(0)
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("end", "events"), [("crash", ["one", "process.crashed"]), ("exit", ["one"]), ("run", ["one"])]
)
def test_whatever_way_a_process_ends_by_itself_its_last_lines_are_there(end: str, events: list[str]) -> None:
    """INVARIANT: why a process ended itself is in its log."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, end], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines] == events
    assert (lines[0]["name"], lines[0]["at"], lines[0]["service"]) == ("Đôn đốc", 3, "trial")
