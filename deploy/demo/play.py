"""Plays a story through the running services: time is held where something is sent, and goes on when all is done."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from itertools import groupby
from pathlib import Path
from typing import Final

import httpx

from deploy.demo.story import Outage, Submission
from deploy.local.issuer import Issuer
from shared.runtime.clock import ScaledClock, write_piece
from shared.workdays.calendar import WorkingCalendar, local_day, start_of

REAL_SECONDS_PER_DAY: Final = 0.03
"""How long a day takes while nothing is sent."""
CATCH_UP_SECONDS_MAX: Final = 30.0
MORNING: Final = time_of_day(8, 5)
"""The digest of the day has left."""
_POLL_SECONDS: Final = 0.02
_QUIET_LOOKS: Final = 3
"""A fact takes some milliseconds from one service to the next."""
_ICT_OFFSET: Final = timedelta(hours=7)


@dataclass(slots=True)
class SteeredClock:
    """Business time of the rehearsal: runs up to a limit and stops there (ADR 0007)."""

    path: Path
    reached: datetime

    def __post_init__(self) -> None:
        write_piece(self.path, ScaledClock(self.reached, 1.0, time.time(), self.reached))

    async def run_to(self, instant: datetime) -> None:
        """Let time run to an instant and hold it there."""
        if instant <= self.reached:
            return
        days = (instant - self.reached) / timedelta(days=1)
        real_seconds = max(0.002, days * REAL_SECONDS_PER_DAY)
        speed = (instant - self.reached).total_seconds() / real_seconds
        write_piece(self.path, ScaledClock(self.reached, speed, time.time(), instant))
        await asyncio.sleep(real_seconds)
        self.reached = instant


@dataclass(slots=True)
class Tally:
    """What ingest answered."""

    accepted: int = 0
    accepted_in_outage: int = 0
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PowerCut:
    """An outage of the story, and how to make it happen."""

    outage: Outage
    cut: Callable[[], None]
    restore: Callable[[], Awaitable[None]]

    def lasts_at(self, instant: datetime) -> bool:
        """Whether the service is down."""
        return self.outage.begins <= instant < self.outage.ends


Moment = tuple[datetime, tuple[Submission, ...]]


@dataclass(frozen=True, slots=True)
class MailTime:
    """Every working morning time is held until what was to be told is told: an office has all day to read it."""

    calendar: WorkingCalendar
    is_over: Callable[[datetime], Awaitable[None]]

    def into(self, moments: Sequence[Moment], evening: datetime) -> list[Moment]:
        """The moments with the morning before an evening among them; nothing is sent then."""
        day = local_day(evening - timedelta(seconds=1))
        if not self.calendar.is_working(day):
            return list(moments)
        return sorted([*moments, (start_of(day, MORNING), ())], key=lambda one: one[0])


class Player:
    """Sends a story's submissions to ingest, each with its sender's own token."""

    def __init__(self, client: httpx.AsyncClient, issuer: Issuer, province: str, clock: SteeredClock) -> None:
        self._client = client
        self._issuer = issuer
        self._province = province
        self._clock = clock
        self._tokens: dict[tuple[str, bool], str] = {}
        self.tally = Tally()

    async def play(
        self,
        story: Sequence[Submission],
        end: datetime,
        caught_up: Callable[[datetime], Awaitable[None]],
        power_cut: PowerCut,
        mail_time: MailTime,
    ) -> AsyncIterator[datetime]:
        """Play until `end`; yields each evening, when everything of the day is done, or the power is off."""
        moments = [(at, tuple(some)) for at, some in groupby(story, key=lambda one: one.at)]
        evening = _end_of_local_day(self._clock.reached)
        while evening <= end:
            moments = mail_time.into(moments, evening)
            while moments and moments[0][0] < evening:
                at, submissions = moments.pop(0)
                await self._clock.run_to(at)
                if not submissions and not power_cut.lasts_at(at):
                    await caught_up(at)
                    await mail_time.is_over(at)
                for submission in submissions:
                    await self._send(submission)
                if power_cut.lasts_at(at):
                    self.tally.accepted_in_outage += len(submissions)
            await self._clock.run_to(evening)
            if evening == power_cut.outage.ends:
                await power_cut.restore()
            if not power_cut.lasts_at(evening) or evening == power_cut.outage.begins:
                await caught_up(evening)
            if evening == power_cut.outage.begins:
                power_cut.cut()
            yield evening
            evening += timedelta(days=1)

    async def _send(self, submission: Submission) -> None:
        answer = await self._client.post(
            "/v1/events",
            json=submission.event,
            headers={
                "content-type": "application/cloudevents+json",
                "authorization": f"Bearer {self._token(submission.sender, submission.authority)}",
            },
        )
        if answer.status_code == httpx.codes.ACCEPTED:
            self.tally.accepted += 1
        else:
            self.tally.refused.append(f"{submission.event['id']}: {answer.status_code} {answer.text[:300]}")

    def _token(self, sender: str, authority: bool) -> str:
        key = (sender, authority)
        if key not in self._tokens:
            scopes = ["events:write", *(["authority:write"] if authority else [])]
            self._tokens[key] = self._issuer.mint(sender, self._province, scopes)
        return self._tokens[key]


def _end_of_local_day(instant: datetime) -> datetime:
    local = instant.astimezone(UTC) + _ICT_OFFSET
    return datetime(local.year, local.month, local.day, tzinfo=UTC) + timedelta(days=1) - _ICT_OFFSET


class CatchUp:
    """Waits until the tasks service has applied everything and fired all that was due by an instant."""

    def __init__(self, tasks: httpx.AsyncClient) -> None:
        self._tasks = tasks

    async def __call__(self, instant: datetime) -> None:
        """Wait; an error says what the service still lacks."""
        deadline = time.monotonic() + CATCH_UP_SECONDS_MAX
        while (reached := await self._reached()) < instant.timestamp():
            if time.monotonic() > deadline:
                behind = timedelta(seconds=instant.timestamp() - reached)
                raise TimeoutError(f"tasks is {behind} of business time behind after {CATCH_UP_SECONDS_MAX:.0f} s")
            await asyncio.sleep(_POLL_SECONDS)

    async def _reached(self) -> float:
        return (await gauges(self._tasks)).get("dondoc_tasks_partition_time_seconds", 0.0)


class Told:
    """Waits until notify has looked at an instant, and nothing is left to be told."""

    def __init__(self, notify: httpx.AsyncClient) -> None:
        self._notify = notify

    async def __call__(self, instant: datetime) -> None:
        """Wait; an error says what notify still has to tell."""
        deadline = time.monotonic() + CATCH_UP_SECONDS_MAX
        quiet = 0
        while quiet < _QUIET_LOOKS:
            await asyncio.sleep(_POLL_SECONDS)
            found = await gauges(self._notify)
            waiting, pending = (
                found.get(f"dondoc_notify_{name}", 0.0) for name in ("waiting_groups", "pending_messages")
            )
            has_looked = found.get("dondoc_notify_formed_until_seconds", 0.0) >= instant.timestamp()
            quiet = quiet + 1 if has_looked and not waiting and not pending else 0
            if time.monotonic() > deadline:
                raise TimeoutError(f"notify still has {waiting:.0f} groups and {pending:.0f} messages to tell")


async def gauges(service: httpx.AsyncClient) -> dict[str, float]:
    """A service's metrics without labels."""
    lines = (await service.get("/metrics")).text.splitlines()
    pairs = (line.split() for line in lines if not line.startswith("#") and "{" not in line)
    return {name: float(value) for name, value in pairs}
