"""E-mail over SMTP, multipart text and HTML."""

import asyncio
from email.errors import MessageError
from email.header import Header
from email.headerregistry import Address, HeaderRegistry, UniqueUnstructuredHeader
from email.message import EmailMessage
from email.policy import EmailPolicy, Policy
from email.utils import format_datetime
from typing import Final

import aiosmtplib

from services.notify.domain.retrying import RetryTable
from services.notify.domain.routing import Recipient, Role
from services.notify.ports import Contact, Delivered, Message, Refused, RetryLater, Sent

STEP_SECONDS_MAX = 10.0
MESSAGE_SECONDS_MAX = 30.0
"""Over all steps of one message, and one step more to say goodbye; together below the claim of whoever sends."""
RETRIES: Final = RetryTable((*(2.0**n for n in range(10)), 600.0), give_up_after=5 * 24 * 3600.0)
"""1, 2, 4, …, 512 s, then every 600 s, as long as mail servers among themselves keep trying."""


class _Subject(UniqueUnstructuredHeader):
    """Folds as the older email.header does. That of Python 3.11's policies loses a space where a line is broken."""

    name: str

    def fold(self, *, policy: Policy) -> str:
        words = Header(str(self), "utf-8", header_name=self.name, maxlinelen=policy.max_line_length)
        return f"{self.name}: {words.encode(linesep=policy.linesep)}{policy.linesep}"


_HEADERS = HeaderRegistry()
# The registry itself adds BaseHeader, as it does to the library's own.
_HEADERS.map_to_type("subject", _Subject)  # type: ignore[arg-type]
_POLICY = EmailPolicy(header_factory=_HEADERS)


class EmailChannel:
    """Sends through one SMTP server. A sender that is no mailbox is a ValueError at once."""

    retries: Final = RETRIES
    is_optional: Final = False

    def __init__(self, *, host: str, port: int, start_tls: bool, sender: str) -> None:
        self._host = host
        self._port = port
        self._start_tls = start_tls
        self._sender = sender
        try:
            self._from = Address("Đôn đốc", addr_spec=sender)
        except (ValueError, MessageError) as error:
            raise ValueError(f"the sender {sender!r} is no mailbox; write e.g. dondoc@tinh.gov.vn") from error

    def address(self, province: str, recipient: Recipient, contact: Contact | None) -> str | None:
        """The agency's mailbox; for the head in person the head's own, where there is one."""
        if contact is None:
            return None
        return contact.head_mailbox or contact.mailbox if recipient.role is Role.HEAD else contact.mailbox

    async def __call__(self, message: Message) -> Sent:
        """Hand one message to the server. A repeat after a lost answer carries the same Message-ID.

        Refused is what concerns this mailbox or this message. What concerns us (the sender, the login, TLS) is kept
        and tried again: one wrong setting must not fail every alert for good.
        """
        try:
            mail = self._mail(message)
        except (ValueError, MessageError, IndexError, AttributeError):
            # The last two are what the standard library says to `a@` and `a@[`.
            return Refused("bad_mailbox")
        try:
            async with asyncio.timeout(MESSAGE_SECONDS_MAX):
                await aiosmtplib.send(
                    mail,
                    sender=self._sender,
                    recipients=[message.to],
                    hostname=self._host,
                    port=self._port,
                    start_tls=self._start_tls,
                    timeout=STEP_SECONDS_MAX,
                )
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refused.code for refused in error.recipients]
            return RetryLater("recipient_busy") if all(400 <= code < 500 for code in codes) else Refused("no_mailbox")
        except aiosmtplib.SMTPDataError as error:
            return RetryLater(f"smtp_{error.code}") if error.code < 500 else Refused(f"smtp_{error.code}")
        except aiosmtplib.SMTPResponseException as error:
            return RetryLater(f"smtp_{error.code}")
        except (UnicodeError, aiosmtplib.SMTPNotSupported):
            # The server does not take SMTPUTF8 and the mailbox needs it.
            return Refused("bad_mailbox")
        except (aiosmtplib.SMTPException, OSError) as error:
            return RetryLater(type(error).__name__)
        return Delivered()

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage(_POLICY)
        mail["From"] = self._from
        mail["To"] = Address(addr_spec=message.to)
        mail["Subject"] = message.subject
        mail["Date"] = format_datetime(message.written_at)
        mail["Message-ID"] = f"<{message.message_id}@{self._sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["Content-Language"] = "vi"
        if message.kind:
            # For rules in the reader's mail program. No List-Unsubscribe: nobody signs off from an official duty.
            mail["X-Dondoc-Kind"] = message.kind
        mail.set_content(message.text)
        mail.add_alternative(message.html, subtype="html")
        return mail
