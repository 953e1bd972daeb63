"""The e-mail channel against a real SMTP server: what each answer of the server means for the message."""

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import EmailMessage

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.local.ports import free_port
from services.notify.channels import email as channel_module
from services.notify.channels.email import EmailChannel
from services.notify.ports import Delivered, Message, Refused, RetryLater, Sent
from services.notify.sending import CLAIM_SECONDS
from shared.runtime.settings import ProcessSettings
from tests.support.builders import at

# The standard library of Python 3.11 loses a space of this subject where it breaks the line.
SUBJECT = "[Đôn đốc] Bản tin ngày 21/10/2024: 2 quá hạn, 5 sắp đến hạn – Sở Công Thương"
MESSAGE = Message(
    "id1", "agency@x.example", SUBJECT, "Kính gửi: Sở\n", "<p>Sở</p>", at("2024-10-20 08:00"), kind="digest"
)


@dataclass
class Server:
    """Answers what it is told to and keeps what it took."""

    on_sender: str = "250 ok"
    on_recipient: str = "250 ok"
    on_content: str = "250 kept"
    hangs: bool = False
    taken: list[Envelope] = field(default_factory=list)
    port: int = 0

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's names
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.hangs:
            await asyncio.sleep(60)
        envelope.mail_from = address
        return self.on_sender

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.on_recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.on_recipient

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.on_content.startswith("250"):
            self.taken.append(envelope)
        return self.on_content


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    answers = Server(port=free_port())
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: SMTP(answers, loop=loop), "127.0.0.1", answers.port)
    yield answers
    listening.close()


def channel(port: int) -> EmailChannel:
    return EmailChannel(host="127.0.0.1", port=port, start_tls=False, sender="dondoc@x.example")


async def test_a_message_arrives_whole_and_in_vietnamese(server: Server) -> None:
    assert await channel(server.port)(MESSAGE) == Delivered()

    [envelope] = server.taken
    assert (envelope.mail_from, envelope.rcpt_tos) == ("dondoc@x.example", ["agency@x.example"])
    assert isinstance(envelope.content, bytes)
    mail = email.message_from_bytes(envelope.content, _class=EmailMessage, policy=email.policy.default)
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert mail["Subject"] == SUBJECT
    assert mail["X-Dondoc-Kind"] == "digest"
    assert mail["Message-ID"] == "<id1@x.example>"
    assert (text.get_content().strip(), html.get_content().strip()) == ("Kính gửi: Sở", "<p>Sở</p>")


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"on_recipient": "550 no such user"}, Refused("no_mailbox")),
        ({"on_recipient": "450 mailbox busy"}, RetryLater("recipient_busy")),
        ({"on_content": "554 not this"}, Refused("smtp_554")),
        ({"on_content": "451 later"}, RetryLater("smtp_451")),
        # Ours to mend: no alert may be lost over it.
        ({"on_sender": "553 sender not allowed"}, RetryLater("smtp_553")),
        ({"on_sender": "421 closing"}, RetryLater("smtp_421")),
        ({"on_sender": "530 STARTTLS first"}, RetryLater("smtp_530")),
    ],
)
async def test_what_an_answer_means(server: Server, answers: dict[str, str], expected: Sent) -> None:
    for name, answer in answers.items():
        setattr(server, name, answer)

    assert await channel(server.port)(MESSAGE) == expected
    assert server.taken == []


@pytest.mark.parametrize("mailbox", ["văn.phòng@x.example", "a(b@x.example", "a..b@x.example"])
async def test_a_mailbox_that_cannot_be_written_is_refused(server: Server, mailbox: str) -> None:
    message = Message("id1", mailbox, "s", "t", "h", at("2024-10-20 08:00"))

    assert await channel(server.port)(message) == Refused("bad_mailbox")


def test_the_longest_a_message_takes_is_below_its_claim() -> None:
    longest = channel_module.MESSAGE_SECONDS_MAX + channel_module.STEP_SECONDS_MAX

    assert longest < CLAIM_SECONDS
    assert longest < ProcessSettings.model_fields["stuck_seconds"].default


async def test_no_server_is_a_reason_to_wait() -> None:
    found = await channel(free_port())(MESSAGE)

    assert found == RetryLater("SMTPConnectError")


async def test_a_server_that_never_answers_is_given_up_in_bounded_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "MESSAGE_SECONDS_MAX", 0.2)
    monkeypatch.setattr(channel_module, "STEP_SECONDS_MAX", 1.0)
    server.hangs = True

    async with asyncio.timeout(5):
        found = await channel(server.port)(MESSAGE)

    assert found == RetryLater("TimeoutError")
