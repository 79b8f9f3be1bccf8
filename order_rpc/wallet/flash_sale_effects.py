"""What messages of flash sales do to wallets: coins are taken for stock that is taken already, and that is answered."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.database import Database
from mesh.messages import Effect, NewMessage, Outbox, ReceivedMessage
from order_rpc.wallet.book import WALLET_SHORT
from order_rpc.wallet.domain import Outcome, Refusal, ReleaseCoins, TakeCoins
from order_rpc.wallet.ledger import apply_within
from order_rpc.wallet.message_fields import read_number
from order_rpc.wallet.refusals import as_error

_FINAL = {WALLET_SHORT, "DEBIT_RELEASED"}
"""Why coins are not taken, and will not be: the flash sale gives the stock back. For anything else the message comes
again, and stops where somebody sees it.
"""


def flash_sale_effects(database: Database, outbox: Outbox) -> dict[tuple[str, str], Effect]:
    """Answer what each kind of message of flash sales does."""

    async def take(connection: AsyncConnection, messages: Sequence[ReceivedMessage]) -> None:
        wanted = [_wanted(message) for message in messages]
        outcomes = await apply_within(connection, database, wanted)
        await outbox.add(connection, [_reply(one, outcome) for one, outcome in zip(wanted, outcomes, strict=True)])

    async def release(connection: AsyncConnection, messages: Sequence[ReceivedMessage]) -> None:
        released = [ReleaseCoins(read_number(message.key, "key")) for message in messages]
        await apply_within(connection, database, released)

    return {("flash_sale", "stock_taken"): take, ("flash_sale", "cancelled"): release}


def _wanted(message: ReceivedMessage) -> TakeCoins:
    body = message.body()
    return TakeCoins(
        user_id=read_number(body.get("user_id"), "user_id"),
        brand_id=read_number(body.get("brand_id"), "brand_id"),
        order_id=read_number(message.key, "key"),
        amount_fen=read_number(body.get("amount_fen"), "amount_fen"),
    )


def _reply(wanted: TakeCoins, outcome: Outcome) -> NewMessage:
    if not isinstance(outcome, Refusal):
        return NewMessage("flash_sale", "wallet", "debited", str(wanted.order_id))
    if outcome.reason not in _FINAL:
        raise as_error(outcome)
    return NewMessage("flash_sale", "wallet", "debit_refused", str(wanted.order_id), {"reason": outcome.reason})
