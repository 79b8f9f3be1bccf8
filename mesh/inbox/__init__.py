"""A waiting room in Redis for webhooks: they push and answer, consumers handle."""

import mesh.redis_connection  # noqa: F401  # the first to load redis-py, as it says there
from mesh.inbox.consumer import InboxConsumer, InboxHandler, InboxOptions, InboxOutcome, Requeue
from mesh.inbox.inbox import Inbox, InboxDepth
from mesh.inbox.item import InboxItem
from mesh.inbox.together import JointPushes

__all__ = [
    "Inbox",
    "InboxConsumer",
    "InboxDepth",
    "InboxHandler",
    "InboxItem",
    "InboxOptions",
    "InboxOutcome",
    "JointPushes",
    "Requeue",
]
