"""What messages of orders do to wallets, each within the transaction of its row in the inbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.database import Database
from mesh.messages import Effect, ReceivedMessage
from order_rpc.wallet.domain import CreditCoins, MoneyLogType, Operation, RefundCoins, Refusal, ReleaseCoins
from order_rpc.wallet.ledger import apply_within
from order_rpc.wallet.message_fields import read_number, read_request_id
from order_rpc.wallet.refusals import as_error


def order_effects(database: Database) -> dict[tuple[str, str], Effect]:
    """Answer what each kind of message of orders does."""
    return {
        ("order", "cancelled"): _effect(database, _release),
        ("order", "refunded"): _effect(database, _refund),
        ("order", "received"): _effect(database, _earn),
    }


def _effect(database: Database, read: Callable[[ReceivedMessage], Operation]) -> Effect:
    async def take_effect(connection: AsyncConnection, messages: Sequence[ReceivedMessage]) -> None:
        for outcome in await apply_within(connection, database, [read(message) for message in messages]):
            if isinstance(outcome, Refusal):
                raise as_error(outcome)

    return take_effect


def _release(message: ReceivedMessage) -> ReleaseCoins:
    return ReleaseCoins(read_number(message.key, "key"))


def _refund(message: ReceivedMessage) -> RefundCoins:
    body = message.body()
    return RefundCoins(
        user_id=read_number(body.get("user_id"), "user_id"),
        brand_id=read_number(body.get("brand_id"), "brand_id"),
        order_id=read_number(message.key, "key"),
        request_id=read_request_id(body.get("request_id")),
        amount_fen=read_number(body.get("amount_fen"), "amount_fen"),
    )


def _earn(message: ReceivedMessage) -> CreditCoins:
    body = message.body()
    return CreditCoins(
        user_id=read_number(body.get("seller_id"), "seller_id"),
        brand_id=read_number(body.get("brand_id"), "brand_id"),
        money_log_type=MoneyLogType.EARN,
        order_id=read_number(message.key, "key"),
        amount_fen=read_number(body.get("amount_fen"), "amount_fen"),
    )
