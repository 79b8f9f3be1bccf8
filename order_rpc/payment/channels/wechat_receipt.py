"""WeChat Pay's word that money came: a transaction, as queries answer it and notifications hide it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from order_rpc.channel_settings import WechatPaySettings
from order_rpc.payment.channels.port import (
    TRADE_NO_CHARACTERS_MAX,
    ChannelError,
    NoReceiptError,
    Receipt,
    WrongSignatureError,
)
from order_rpc.payment.domain import CURRENCY

PAID_STATES = frozenset({"SUCCESS", "REFUND"})
"""A transaction is REFUND once some of it was paid back: its money came all the same."""


def receipt_of_answer(transaction: Mapping[str, Any], settings: WechatPaySettings) -> Receipt:
    """Read what a query answered. Raises ChannelError."""
    try:
        return receipt_of(transaction, settings)
    except (NoReceiptError, WrongSignatureError) as error:
        raise ChannelError(f"the answer is no receipt: {error}") from error


def receipt_of(transaction: Mapping[str, Any], settings: WechatPaySettings) -> Receipt:
    """Read a transaction. Raises WrongSignatureError for another merchant's, NoReceiptError for one without money."""
    if transaction.get("mchid") != settings.merchant_id or transaction.get("appid") != settings.app_id:
        raise WrongSignatureError
    if transaction.get("trade_state") not in PAID_STATES:
        raise NoReceiptError("trade_state", "is not SUCCESS, which is all that is told of")
    amount = transaction.get("amount")
    total = amount.get("total") if isinstance(amount, dict) else None
    if type(total) is not int or not isinstance(amount, dict):
        raise NoReceiptError("amount", "must have a whole number as its total")
    return Receipt(
        pay_id=read_text(transaction, "out_trade_no"),
        trade_no=read_text(transaction, "transaction_id"),
        amount_fen=total,
        currency=str(amount.get("currency", CURRENCY)),
        paid_at_ms=read_time_ms(transaction, "success_time"),
    )


def read_text(fields: Mapping[str, Any], name: str) -> str:
    """Read one of WeChat Pay's numbers. Raises NoReceiptError."""
    value = fields.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= TRADE_NO_CHARACTERS_MAX:
        raise NoReceiptError(name, f"must have 1 to {TRADE_NO_CHARACTERS_MAX} characters")
    return value


def read_time_ms(fields: Mapping[str, Any], name: str) -> int:
    """Read a time as RFC 3339, to the second. Raises NoReceiptError."""
    try:
        moment = datetime.fromisoformat(str(fields.get(name)))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise NoReceiptError(name, "must be a time with its zone")
    return int(moment.timestamp() * 1000)
