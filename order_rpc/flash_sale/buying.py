"""Buying: admitted in Redis, then written with many others in one transaction, and only then answered.

What was answered is in the database, whatever ends then. What was admitted and not written is given back: here or, if
this process ends, by the repair.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mesh.coalesce import Coalescer
from mesh.errors import DomainError
from order_rpc.flash_sale import refusals
from order_rpc.flash_sale.admission import Verdict
from order_rpc.flash_sale.domain import Attempt, Refusal, Wanted
from order_rpc.flash_sale.entrance import Entrance
from order_rpc.flash_sale.writing import Answer, ToWrite, Writing

BATCH_MAX = 1000
"""What one call of Redis, and one transaction, takes."""

PENDING_MAX = 50_000


class Buying:
    """Takes one of a sale's stock for each of those who come first."""

    def __init__(self, entrance: Entrance, writing: Writing) -> None:
        # Both do one batch after the other, in the order in which requests were admitted: so a repeat finds what the
        # first one wrote.
        self._admitting: Coalescer[Wanted, Verdict | Refusal] = Coalescer(
            entrance.admit_all,
            name="the entrance of flash sales",
            batch_max=BATCH_MAX,
            pending_max=PENDING_MAX,
            key=lambda wanted: wanted.flash_sale_id,
        )
        self._writing: Coalescer[ToWrite, Attempt] = Coalescer(
            writing.write_all, name="flash sales", batch_max=BATCH_MAX, pending_max=2 * PENDING_MAX
        )
        self._under_way: set[asyncio.Task[list[Answer | BaseException]]] = set()

    async def aclose(self) -> None:
        """Take nothing more, and finish what was taken."""
        if self._under_way:
            await asyncio.wait(self._under_way)
        await self._admitting.close()
        await self._writing.close()

    async def buy_all(self, wanted: Sequence[Wanted]) -> Sequence[Answer | BaseException]:
        """Buy one for each request; answer an attempt, or why there is none, in order. Raises OVERLOADED.

        A caller that goes away leaves its requests: what was admitted has to be written or given back.
        """
        task = asyncio.create_task(self._buy_all(wanted))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def _buy_all(self, wanted: Sequence[Wanted]) -> list[Answer | BaseException]:
        verdicts = await self._admitting.submit_all(wanted)
        to_write = [
            ToWrite(one, verdict is Verdict.ADMITTED)
            for one, verdict in zip(wanted, verdicts, strict=True)
            if isinstance(verdict, Verdict)
        ]
        written = iter(await self._writing.submit_all(to_write))
        # One object for all who are refused alike, so that it is put on the wire once.
        refused: dict[tuple[Refusal, int], DomainError] = {}
        answers: list[Answer | BaseException] = []
        for one, verdict in zip(wanted, verdicts, strict=True):
            if isinstance(verdict, Refusal):
                key = (verdict, one.flash_sale_id)
                answers.append(refused.get(key) or refused.setdefault(key, refusals.refused(*key)))
            else:
                answers.append(next(written) if isinstance(verdict, Verdict) else verdict)
        return answers
