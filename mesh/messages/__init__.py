"""Messages from one service's rows to another's: the outbox, the consumer's table, and what carries between them.

A service writes a message in the transaction of what it tells of (`Outbox.add`). It is published after that
transaction, and again until its consumer is known to have applied it. The consumer's row and its effect are one
transaction, so that a message has its effect once, however often it comes.

`Outbox` and `Inbox` stand in a service, `Mailboxes` and `servicer.py` serve them to the consumer process, and
`mesh.forwarding` is what that process does with a message.
"""

from mesh.messages.domain import NewMessage, ReceivedMessage
from mesh.messages.inbox import Effect, Inbox
from mesh.messages.mailbox import Mailbox, Mailboxes
from mesh.messages.outbox import Outbox
from mesh.messages.tables import consumed_message_table, produced_message_table

__all__ = [
    "Effect",
    "Inbox",
    "Mailbox",
    "Mailboxes",
    "NewMessage",
    "Outbox",
    "ReceivedMessage",
    "consumed_message_table",
    "produced_message_table",
]
