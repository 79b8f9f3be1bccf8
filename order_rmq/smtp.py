"""Mail, over SMTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Literal

import aiosmtplib

Security = Literal["starttls", "tls", "none"]

_PERMANENT_FROM = 500
"""SMTP's replies from here on say that the same mail will not be taken later either (RFC 5321, 4.2.1)."""


@dataclass(frozen=True, slots=True)
class SmtpAccount:
    """Where mail is handed in, and as whom. Without a user name nobody logs in."""

    host: str
    port: int
    security: Security
    username: str
    password: str
    sender: str
    timeout_seconds: float


class MailRefusedError(Exception):
    """The server will not take the mail, now or later."""


class MailNotSentError(Exception):
    """The mail was not taken, and may be later. Whether it was is not known if the connection broke."""


class SmtpSession:
    """One connection, logged in."""

    def __init__(self, client: aiosmtplib.SMTP, sender: str) -> None:
        self._client = client
        self._sender = sender

    async def send(self, mail: EmailMessage) -> None:
        """Hand in one mail. Raises MailRefusedError, MailNotSentError."""
        mail["From"] = self._sender
        try:
            await self._client.send_message(mail)
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _failure(max(one.code for one in error.recipients), str(error.recipients[0])) from error
        except aiosmtplib.SMTPResponseException as error:
            raise _failure(error.code, error.message) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailNotSentError(str(error)) from error


class Smtp:
    """Connects to the mail server of an account."""

    def __init__(self, account: SmtpAccount) -> None:
        self._account = account

    @asynccontextmanager
    async def session(self) -> AsyncIterator[SmtpSession]:
        """Connect and log in. Raises MailNotSentError: a password that is wrong now may be set right."""
        account = self._account
        client = aiosmtplib.SMTP(
            hostname=account.host,
            port=account.port,
            use_tls=account.security == "tls",
            start_tls=account.security == "starttls",
            username=account.username or None,
            password=account.password or None,
            timeout=account.timeout_seconds,
        )
        try:
            await client.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            raise MailNotSentError(f"{account.host}:{account.port}: {error}") from error
        try:
            yield SmtpSession(client, account.sender)
        finally:
            await _say_goodbye(client)


def _failure(code: int, message: str) -> Exception:
    kind = MailRefusedError if code >= _PERMANENT_FROM else MailNotSentError
    return kind(f"{code} {message}")


async def _say_goodbye(client: aiosmtplib.SMTP) -> None:
    try:
        await client.quit()
    except (aiosmtplib.SMTPException, OSError):
        client.close()
