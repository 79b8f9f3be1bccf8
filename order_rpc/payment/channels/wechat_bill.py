"""WeChat Pay's bill of a day (账单, bill_type=ALL): CSV with Chinese names of columns, a row a payment or refund."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping

from order_rpc.payment.channels.port import NUMBER_CHARACTERS_MAX, ChannelError
from order_rpc.payment.comparison import MADE, PAID, Entry, EntryKind

_PAY_ID = "商户订单号"
_STATE = "交易状态"
_AMOUNT = "订单金额"
_REFUND_ID = "商户退款单号"
_REFUND_AMOUNT = "申请退款金额"
_REFUND_STATE = "退款状态"
_SUMMARY = "总交易单数"

_YUAN = re.compile(r"([0-9]{1,12})\.([0-9]{2})", re.ASCII)
_PAYMENT_STATES = {"SUCCESS": PAID}
_REFUND_STATES = {"SUCCESS": MADE, "PROCESSING": MADE}
"""A refund is in the bill from the moment that WeChat Pay has taken it from the merchant's money."""


def read_bill(body: bytes) -> list[Entry]:
    """Read a bill, which ends with a summary of how many rows it has. Raises ChannelError."""
    try:
        rows = list(csv.reader(body.decode("utf-8-sig").splitlines(), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ChannelError(f"the bill cannot be read: {error}") from error
    summary = next((place for place, row in enumerate(rows) if row and row[0] == _SUMMARY), None)
    if summary is None or len(rows) != summary + 2:
        raise ChannelError("the bill has no summary at its end")
    entries = list(_entries(rows[:summary]))
    if rows[summary + 1][0].lstrip("`") != str(len(entries)):
        raise ChannelError(f"the bill has {len(entries)} rows, and its summary tells of {rows[summary + 1][0]}")
    return entries


def _entries(rows: list[list[str]]) -> Iterator[Entry]:
    if not rows:
        raise ChannelError("the bill has no columns")
    columns, *others = rows
    for row in others:
        if len(row) != len(columns):
            raise ChannelError("the bill has a row of another length than its columns")
        # Each value is marked as text, for spreadsheets.
        yield _entry({name: value.removeprefix("`") for name, value in zip(columns, row, strict=True)})


def _entry(row: Mapping[str, str]) -> Entry:
    try:
        if row[_STATE] == "REFUND":
            state = row[_REFUND_STATE]
            return Entry(
                EntryKind.REFUND,
                _number(row[_REFUND_ID]),
                _fen(row[_REFUND_AMOUNT]),
                _REFUND_STATES.get(state, state[:32]),
            )
        state = row[_STATE]
        return Entry(
            EntryKind.PAYMENT, _number(row[_PAY_ID]), _fen(row[_AMOUNT]), _PAYMENT_STATES.get(state, state[:32])
        )
    except KeyError as error:
        raise ChannelError(f"the bill has no column {error}") from error


def _number(text: str) -> str:
    if not 0 < len(text) <= NUMBER_CHARACTERS_MAX:
        raise ChannelError("the bill has a row with a wrong number")
    return text


def _fen(text: str) -> int:
    match = _YUAN.fullmatch(text)
    if match is None:
        raise ChannelError("the bill has an amount that is not yuan with two decimals")
    return int(match[1]) * 100 + int(match[2])
