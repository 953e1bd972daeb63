"""E-mail over SMTP, multipart text and HTML."""

from email.headerregistry import Address
from email.message import EmailMessage

import aiosmtplib

from services.notify.ports import Delivered, Message, Refused, RetryLater, Sent

TIMEOUT_SECONDS = 15


class EmailChannel:
    """Sends through one SMTP server."""

    def __init__(self, *, host: str, port: int, start_tls: bool, sender: str) -> None:
        self._host = host
        self._port = port
        self._start_tls = start_tls
        self._sender = sender

    async def __call__(self, message: Message) -> Sent:
        """Hand one message to the server. A repeat after a lost answer carries the same Message-ID."""
        try:
            await aiosmtplib.send(
                self._mail(message),
                hostname=self._host,
                port=self._port,
                start_tls=self._start_tls,
                timeout=TIMEOUT_SECONDS,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refused.code for refused in error.recipients]
            return RetryLater("recipient_busy") if all(400 <= code < 500 for code in codes) else Refused("no_mailbox")
        except aiosmtplib.SMTPResponseException as error:
            return RetryLater(f"smtp_{error.code}") if 400 <= error.code < 500 else Refused(f"smtp_{error.code}")
        except (aiosmtplib.SMTPException, OSError) as error:
            return RetryLater(type(error).__name__)
        return Delivered()

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["From"] = Address("Đôn đốc", addr_spec=self._sender)
        mail["To"] = message.to
        mail["Subject"] = message.subject
        mail["Message-ID"] = f"<{message.message_id}@{self._sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        mail.add_alternative(message.html, subtype="html")
        return mail
