"""A waiting room in Redis for webhooks: they push and answer, consumers handle."""

from mesh.inbox.consumer import InboxConsumer, InboxHandler, InboxOptions, InboxOutcome, Requeue
from mesh.inbox.inbox import Inbox, InboxDepth
from mesh.inbox.item import InboxItem

__all__ = [
    "Inbox",
    "InboxConsumer",
    "InboxDepth",
    "InboxHandler",
    "InboxItem",
    "InboxOptions",
    "InboxOutcome",
    "Requeue",
]
