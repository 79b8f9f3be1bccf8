"""The messages of the services in one process, by service."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import grpc

from mesh.errors import DomainError
from mesh.messages.inbox import Inbox
from mesh.messages.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Mailbox:
    """What a service has of messages: those that it writes, and those that it is given. Either may be missing."""

    outbox: Outbox | None = None
    inbox: Inbox | None = None


class Mailboxes:
    """The mailboxes of a process."""

    def __init__(self) -> None:
        self._mailboxes: dict[str, Mailbox] = {}

    def add(self, service: str, mailbox: Mailbox) -> None:
        """Add a service's mailbox."""
        self._mailboxes[service] = mailbox

    def outboxes(self) -> Iterator[Outbox]:
        """Name all outboxes."""
        return (mailbox.outbox for mailbox in self._mailboxes.values() if mailbox.outbox is not None)

    def all(self) -> Iterator[Outbox | Inbox]:
        """Name all outboxes and inboxes."""
        boxes = (box for mailbox in self._mailboxes.values() for box in (mailbox.outbox, mailbox.inbox))
        return (box for box in boxes if box is not None)

    def outbox(self, service: str) -> Outbox:
        """Answer a service's outbox. Raises SERVICE_NOT_HERE."""
        mailbox = self._mailboxes.get(service)
        if mailbox is None or mailbox.outbox is None:
            raise _not_here(service, "writes messages")
        return mailbox.outbox

    def inbox(self, service: str) -> Inbox:
        """Answer a service's inbox. Raises SERVICE_NOT_HERE."""
        mailbox = self._mailboxes.get(service)
        if mailbox is None or mailbox.inbox is None:
            raise _not_here(service, "takes messages")
        return mailbox.inbox


def _not_here(service: str, what: str) -> DomainError:
    message = f"no service {service} that {what} is in this process; ask the one that has it"
    return DomainError(grpc.StatusCode.NOT_FOUND, "SERVICE_NOT_HERE", message)
