"""Senders: what is due goes out as fast as senders become free, whatever another channel is doing."""

import asyncio
from dataclasses import dataclass, field

from services.notify.domain.routing import Recipient
from services.notify.ports import Contact, Delivered, Message, Sent
from services.notify.sending import SENDERS_MAX
from services.tasks.domain.decide import assign
from tests.flow.notify.harness import EVERY_SLOT, GROUP_WAIT, RecordingChannel, Service, a_service, an_agency
from tests.support.builders import a_task

AGENCIES = tuple(f"H48.{number}" for number in range(30, 30 + 3 * SENDERS_MAX))


@dataclass(slots=True)
class HangingChannel(RecordingChannel):
    """Every agency has an address here, and nothing is answered until the test says so."""

    answer: asyncio.Event = field(default_factory=asyncio.Event)

    def address(self, province: str, recipient: Recipient, contact: Contact | None) -> str | None:
        return recipient.agency

    async def __call__(self, message: Message) -> Sent:
        self.seen.append(message)
        await self.answer.wait()
        return Delivered()


async def with_messages(service: Service) -> Service:
    """A message to each agency is due."""
    await service.register(*(an_agency(code, contact=f"{code.lower()}@x.example") for code in AGENCIES))
    tasks = [a_task(task_id=f"H48/TB-1/II.1.h/{code}", agency=code, seq=0) for code in AGENCIES]
    await service.on(*(fact for task in tasks for fact in assign(task).facts))
    service.passes(GROUP_WAIT)
    await service.forming.turn(EVERY_SLOT)
    return service


async def test_more_messages_than_senders_go_out_without_a_pause() -> None:
    """INVARIANT: as long as something is due, a sender that is free takes it.

    If this broke, a morning's digests would leave eight a second, the last ones long after the first.
    """
    service = await with_messages(await a_service())

    async with asyncio.timeout(5):
        await service.sending.turns(lambda: EVERY_SLOT, look_seconds=3_600)

    assert {mail.to for mail in service.email.mails} == {f"{code.lower()}@x.example" for code in AGENCIES}


async def test_a_channel_that_hangs_holds_up_no_other() -> None:
    """INVARIANT: a channel whose senders all wait takes none of another channel's.

    If this broke, one receiver of webhooks that does not answer would keep the province's e-mail back.
    """
    service = await a_service()
    hanging = HangingChannel(is_optional=True)
    service.others["webhook"] = hanging
    service.restart()
    await with_messages(service)

    async with asyncio.timeout(5):
        await service.sending.turns(lambda: EVERY_SLOT, look_seconds=3_600)

    assert len(service.email.mails) == len(AGENCIES)
    assert len(hanging.seen) == SENDERS_MAX
    hanging.answer.set()
    await service.sending.idle()
