"""`python -m deploy.demo`: plays the notice of October 2024 through all four services and says what came of it."""

import argparse
import asyncio
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from deploy.audit import Accounts, audit
from deploy.demo import ending, page, reports, summary
from deploy.demo.ending import Keep
from deploy.demo.play import CatchUp, MailTime, Player, PowerCut, SteeredClock, Told
from deploy.demo.story import Submission, load_notice, load_outage, load_story
from deploy.local.broker import KafkaKind
from deploy.local.errors import LocalStackError
from deploy.local.mailbox import Mail
from deploy.local.processes import REPOSITORY_ROOT
from deploy.local.stack import Stack, StackOptions
from shared.workdays.files import VIETNAM, read_calendar

HERE: Final = Path(__file__).parent
NOTICE: Final = HERE / "quang-ngai-2024-10.yaml"
STORY: Final = HERE / "story.yaml"
BUILD: Final = REPOSITORY_ROOT / "build" / "demo"
PREFIX: Final = "demo"
STARTS: Final = datetime(2024, 10, 14, 0, 30, tzinfo=UTC)
"""Half an hour before the notice is issued: 14/10/2024 07:30 in Vietnam."""
ENDS: Final = datetime(2025, 3, 31, 17, 0, tzinfo=UTC)
"""The end of 31/03/2025 in Vietnam."""
PERIODS: Final = ("2024-10", "2024-11", "2024-12", "2025-01", "2025-02", "2025-03")
LOCAL: Final = timedelta(hours=7)
SETTLE_SECONDS_MAX: Final = 40.0
QUIET_READS_MAX: Final = 20
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends it in order."""


async def demo(kafka: KafkaKind, *, keep: bool) -> int:
    """Play and report. Returns the exit status: 0 only if every accepted submission has its outcome."""
    began = time.monotonic()
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    notice = load_notice(NOTICE)
    story = load_story(notice, STORY)
    clock = SteeredClock(BUILD / "clock.json", STARTS)
    # Left running, it is there to be looked at in a browser, which carries no token; the board has its login.
    looked_at = {"DONDOC_READING_NEEDS_TOKEN": "false"} if keep else {}
    options = StackOptions(
        run_dir=BUILD,
        kafka=kafka,
        preferred_ports=True,
        clock=f"file:{clock.path}",
        database_prefix=PREFIX,
        env={
            # Business time runs some 100,000 times faster than real time: look at it more often.
            "DONDOC_BATCH_WAIT_MS": "10",
        },
        service_env={
            # After the outage nobody should have to wait for the broker to miss the killed process.
            "tasks": {"DONDOC_KAFKA_SESSION_TIMEOUT_MS": "3000", **looked_at},
            "notify": {"DONDOC_SEND_POLL_SECONDS": "0.05", "DONDOC_GROUP_WAIT_SECONDS": "0.05", **looked_at},
            # A month passes in a quarter of a minute: prepare its report before the next one closes.
            "reporting": {"DONDOC_PREPARE_EVERY_SECONDS": "1.0"},
        },
        trial_login=keep,
    )
    say(
        f"Đôn đốc: {len(notice.directive['obligations'])} obligations, {len(notice.agencies)} agencies, "
        f"{len(story)} submissions from 14/10/2024 to 31/03/2025"
    )
    async with Stack(options, say=lambda line: say(f"  {line}")) as stack:
        addresses = {service.name: service.url for service in stack.services}
        token = stack.issuer.mint(notice.code_of("standing"), notice.province, ["tasks:read", "reports:read"])
        reader = {"Authorization": f"Bearer {token}"}
        async with (
            httpx.AsyncClient(base_url=addresses["ingest"], trust_env=False, timeout=30) as ingest,
            httpx.AsyncClient(base_url=addresses["tasks"], headers=reader, trust_env=False, timeout=30) as tasks,
            httpx.AsyncClient(
                base_url=addresses["reporting"], headers=reader, trust_env=False, timeout=30
            ) as reporting,
            httpx.AsyncClient(base_url=addresses["notify"], trust_env=False, timeout=30) as notify,
        ):
            player = Player(ingest, stack.issuer, notice.province, clock)
            outage = load_outage(STORY)
            down = stack.service(outage.service)
            mornings = MailTime(read_calendar(VIETNAM), Told(notify))
            await play(player, CatchUp(tasks), story, PowerCut(outage, down.kill, down.start), mornings)
            accounts = await settled(stack, reporting)
            content, aggregates = await result(stack, len(notice.directive["obligations"]), accounts, tasks, reporting)
            fetching = time.monotonic()
            files = await reports.fetch(reporting, PERIODS, BUILD / "reports")
            say(f"reports: {files} files in {shown(BUILD / 'reports')}, {time.monotonic() - fetching:.1f} s")
        seconds = time.monotonic() - began
        mails = stack.mailbox.mails()
        board = f"{addresses['reporting']}/" if keep else None
        write_page(content, aggregates, len(notice.agencies), mails, seconds, board)
        status = conclude(player, accounts, mails, seconds)
        if not keep:
            say(ending.gone(BUILD))
            return status
        say(ending.running(BUILD, addresses, notice.code_of("standing")))
        if death := await stopped(stack):
            say(death)
            return 1
        return status


async def play(
    player: Player, caught_up: CatchUp, story: Sequence[Submission], power_cut: PowerCut, mornings: MailTime
) -> None:
    """Play the story, a line a month, and one for each end of the outage."""
    month = ""
    outage = power_cut.outage
    async for evening in player.play(story, ENDS, caught_up, power_cut, mornings):
        if evening == outage.begins:
            say(f"  {evening + LOCAL:%d/%m/%Y}: {outage.service} is killed, and stays down for two weeks")
        if evening == outage.ends:
            waited = player.tally.accepted_in_outage
            say(f"  {evening + LOCAL:%d/%m/%Y}: {outage.service} is back; {waited} submissions had waited for it")
        if f"{evening:%m/%Y}" != month:
            month = f"{evening:%m/%Y}"
            say(f"  {month}: {player.tally.accepted} submissions accepted so far")
    if player.tally.refused:
        say(f"  refused at the door: {len(player.tally.refused)}; the first: {player.tally.refused[0]}")


async def settled(stack: Stack, reporting: httpx.AsyncClient) -> Accounts:
    """Wait until nothing is in flight and the last month is closed."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while True:
        accounts = await audit(stack.kafka.bootstrap, stack.mongod.uri, PREFIX)
        if (accounts.in_flight == 0 and await closed(reporting)) or time.monotonic() > deadline:
            return accounts
        await asyncio.sleep(0.3)


async def closed(reporting: httpx.AsyncClient) -> bool:
    """Whether reporting has closed every month of the story."""
    for period in PERIODS:
        answer = await reporting.get(f"/v1/reports/{period}.json")
        if answer.status_code != httpx.codes.OK or not answer.json()["final"]:
            return False
    return True


async def result(
    stack: Stack, obligations: int, accounts: Accounts, tasks: httpx.AsyncClient, reporting: httpx.AsyncClient
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Read everything back, write the summary, print the tables. Returns the summary and the months' aggregates."""
    aggregates, alerts = await quiet(stack, reporting)
    late = await summary.late_milestones(stack.kafka.bootstrap)
    content = summary.summary(
        obligations=obligations,
        tasks=await summary.all_tasks(tasks),
        alerts=alerts,
        late=late,
        accounts=accounts,
        reports=aggregates,
    )
    summary.write(content, BUILD / "summary.json")
    say("")
    say(summary.monthly_table(aggregates))
    say("")
    say("alerts: " + ", ".join(f"{kind} {count}" for kind, count in alerts.items()))
    say(
        f"after the outage {late.fired} milestones fired a day or more late, each once; "
        f"{late.superseded} of them silently, since a later one said more"
    )
    return content, aggregates


async def quiet(stack: Stack, reporting: httpx.AsyncClient) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """Aggregates and alerts, once reading them twice gives the same and each month's report says it.

    The last facts are still on their way to all of them.
    """
    before: object = None
    for _ in range(QUIET_READS_MAX):
        aggregates = {period: await summary.report(reporting, period) for period in PERIODS}
        alerts = await summary.alerts_by_kind(stack.kafka.bootstrap)
        prepared = [await reports.prepared_hash(reporting, aggregates[period]) for period in PERIODS]
        figures = ({period: one["totals"] for period, one in aggregates.items()}, alerts, prepared)
        if figures == before and all(prepared):
            return aggregates, alerts
        before = figures
        await asyncio.sleep(1.0)
    raise LocalStackError("reports or alerts still change although nothing is sent any more")


def write_page(
    content: Mapping[str, Any],
    aggregates: Mapping[str, Mapping[str, Any]],
    agencies: int,
    mails: Sequence[Mail],
    seconds: float,
    board: str | None,
) -> None:
    """Write `index.html`."""
    played = page.Played(content, aggregates, agencies, kinds_of(mails), seconds, board)
    (BUILD / page.TEMPLATE).write_text(page.render(played), encoding="utf-8")


def kinds_of(mails: Sequence[Mail]) -> Counter[str]:
    """How many e-mails of each kind."""
    return Counter(str(mail.message["X-Dondoc-Kind"]) for mail in mails)


def conclude(player: Player, accounts: Accounts, mails: Sequence[Mail], seconds: float) -> int:
    """The accounting line and the exit status."""
    by_kind = ", ".join(f"{kind} {count}" for kind, count in kinds_of(mails).most_common())
    say(f"e-mails: {len(mails)} in {shown(BUILD / 'mails')}: {by_kind}")
    say(
        f"accounts: accepted {accounts.accepted} = applied {accounts.applied} + rejected {accounts.rejected} "
        f"+ dead {accounts.dead} + in flight {accounts.in_flight}"
    )
    say(f"figures: {shown(BUILD / 'summary.json')}; {seconds:.0f} s")
    sound = accounts.hold and accounts.in_flight == 0 and not player.tally.refused
    if not sound:
        say("THE DEMO FAILED: a submission was refused, is still in flight, or the accounts do not hold.")
    return 0 if sound else 1


async def stopped(stack: Stack) -> str:
    """Wait for Ctrl-C, SIGTERM or the end of the terminal. Returns what to say if a process ends before that."""
    stop = asyncio.Event()
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    asked, died = asyncio.create_task(stop.wait()), asyncio.create_task(stack.first_death())
    try:
        await asyncio.wait((asked, died), return_when=asyncio.FIRST_COMPLETED)
        return died.result() if died.done() and not stop.is_set() else ""
    finally:
        asked.cancel()
        died.cancel()


def shown(path: Path) -> Path:
    """As people call it who stand in the repository."""
    return path.relative_to(REPOSITORY_ROOT)


def say(line: str) -> None:
    """Print at once, also through a pipe."""
    print(line, flush=True)


async def cancelled_by_signal(kafka: KafkaKind, *, keep: bool) -> int:
    """Run the demo; a signal before its end takes everything down in order."""
    task = asyncio.create_task(demo(kafka, keep=keep))
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        say("stopped")
        return 130


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description=__doc__)
    parser.add_argument("--kafka", type=KafkaKind, choices=list(KafkaKind), default=KafkaKind.EMBEDDED)
    parser.add_argument(
        "--keep",
        type=Keep,
        choices=list(Keep),
        nargs="?",
        const=Keep.YES,
        default=Keep.AUTO,
        help="leave it running until Ctrl-C; auto (the default): on a terminal",
    )
    options = parser.parse_args()
    keep = ending.keeps(options.keep, reads_terminal=sys.stdin.isatty(), writes_terminal=sys.stdout.isatty())
    try:
        return asyncio.run(cancelled_by_signal(options.kafka, keep=keep))
    except LocalStackError as error:
        say(f"the demo could not run: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
