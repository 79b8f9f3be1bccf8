"""The wallet's answers, as they come: applied to the rows, and then told to Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mesh.database import Database
from mesh.messages import Effect, Inbox, Outbox, ReceivedMessage
from mesh.messages.domain import ConsumedStatus
from mesh.messages.inbox import Consumed
from order_rpc.flash_sale.outcomes import Outcomes
from order_rpc.flash_sale.tables import consumed_message


class AnswersInbox(Inbox):
    """An inbox that tells Redis of what it has applied, which no effect can do before its transaction has ended."""

    def __init__(self, database: Database, outcomes: Outcomes, outbox: Outbox) -> None:
        effects: Mapping[tuple[str, str], Effect] = {
            ("wallet", "debited"): outcomes.debited,
            ("wallet", "debit_refused"): outcomes.debit_refused,
        }
        super().__init__(database, "flash_sale", consumed_message, effects, outbox=outbox)
        self._outcomes = outcomes

    async def consume(self, messages: Sequence[ReceivedMessage]) -> list[Consumed]:
        """Apply messages; one result each, in order."""
        results = await super().consume(messages)
        applied = {
            int(message.key)
            for message, result in zip(messages, results, strict=True)
            if result.status is ConsumedStatus.SUCCEEDED
        }
        if applied:
            await self._outcomes.tell(applied)
        return results
