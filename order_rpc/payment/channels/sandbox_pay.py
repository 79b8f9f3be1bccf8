"""The sandbox's payment channel: flat signed JSON over HTTP.

Requests, answers with HTTP 200 and notifications carry `sign`: the hex HMAC-SHA256 of their other fields as
`key=value`, sorted by key and joined by `&`. Refusals are `{"code", "message"}` with HTTP 4xx, unsigned. Amounts are
in fen, `timestamp` in Unix seconds, `paidAt` and `refundedAt` in milliseconds; the one currency is CNY. A day's
statement is CSV, signed as a whole in the header `Statement-Sign`.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from datetime import date

import aiohttp
import orjson

from order_rpc.payment.channels.http import HttpAnswer, exchange
from order_rpc.payment.channels.port import (
    NUMBER_CHARACTERS_MAX,
    PAY_URL_CHARACTERS_MAX,
    STATEMENT_BYTES_MAX,
    STATEMENT_SECONDS_MAX,
    TRADE_NO_CHARACTERS_MAX,
    ChannelError,
    MadeRefund,
    NoReceiptError,
    Notification,
    OpenedPayment,
    Receipt,
    RefundOrder,
    RefundRefusedError,
    WrongSignatureError,
)
from order_rpc.payment.comparison import MADE, PAID, Entry, EntryKind
from order_rpc.payment.domain import CURRENCY

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,15}", re.ASCII)
_REFUND_NEVER = frozenset(
    {"REFUND_TOO_HIGH", "ORDER_NOT_PAID", "ORDER_NOT_FOUND", "OUT_REFUND_NO_USED", "REFUND_REFUSED"}
)
"""Codes with which a refund is refused for good."""

_STATEMENT_COLUMNS = ["kind", "number", "amount", "status"]
_DONE = {EntryKind.PAYMENT: PAID, EntryKind.REFUND: MADE}


class _RefusedError(ChannelError):
    """The channel's refusal. `code` is the channel's own."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code


class SandboxPay:
    """Adapter of the port. The session, its time-outs among it, belongs to the caller."""

    pay_url_lifetime_ms = 0

    def __init__(
        self, session: aiohttp.ClientSession, *, url: str, merchant_id: str, secret: str, notify_url: str = ""
    ) -> None:
        """`url` is scheme, host and port. Without `notify_url` the channel notifies the address that it was given."""
        self._session = session
        self._url = f"{url.rstrip('/')}/pay/v1"
        self._merchant_id = merchant_id
        self._secret = secret.encode()
        self._notify_url = notify_url

    async def open(self, pay_id: int, amount_fen: int, subject: str) -> OpenedPayment:
        order: dict[str, str | int] = {"amount": amount_fen, "currency": CURRENCY, "subject": subject}
        if self._notify_url:
            order["notifyUrl"] = self._notify_url
        answer = await self._call("/payments", pay_id, order)
        opened = OpenedPayment(answer.get("tradeNo", ""), answer.get("payUrl", ""))
        if not 0 < len(opened.trade_no) <= TRADE_NO_CHARACTERS_MAX:
            raise ChannelError("the answer has no tradeNo, or one that is too long")
        if not 0 < len(opened.pay_url) <= PAY_URL_CHARACTERS_MAX:
            raise ChannelError("the answer has no payUrl, or one that is too long")
        return opened

    async def close(self, pay_id: int) -> Receipt | None:
        try:
            await self._call(f"/payments/{pay_id}:close", pay_id, {})
        except _RefusedError as error:
            if error.code == "ORDER_NOT_FOUND":
                return None
            if error.code == "ORDER_PAID":
                return _receipt_of_answer(await self._call(f"/payments/{pay_id}:query", pay_id, {}))
            raise
        return None

    async def query(self, pay_id: int) -> Receipt | None:
        try:
            answer = await self._call(f"/payments/{pay_id}:query", pay_id, {})
        except _RefusedError as error:
            if error.code == "ORDER_NOT_FOUND":
                return None
            raise
        return _receipt_of_answer(answer) if answer.get("status") == "SUCCESS" else None

    async def refund(self, order: RefundOrder) -> MadeRefund | None:
        wanted: dict[str, str | int] = {"outRefundNo": str(order.refund_id), "amount": order.amount_fen}
        try:
            answer = await self._call("/refunds", order.pay_id, wanted)
        except _RefusedError as error:
            if error.code in _REFUND_NEVER:
                raise RefundRefusedError(str(error)) from error
            raise
        if answer.get("outRefundNo") != str(order.refund_id) or answer.get("amount") != str(order.amount_fen):
            raise ChannelError("the answer is about another refund")
        try:
            return MadeRefund(_number_of(answer, "refundNo"), _whole_number(answer, "refundedAt"))
        except NoReceiptError as error:
            raise ChannelError(f"the answer is no refund: {error}") from error

    async def statement(self, day: date) -> list[Entry]:
        answer = await self._post(
            "/statements",
            {"date": day.isoformat()},
            bytes_max=STATEMENT_BYTES_MAX,
            timeout_seconds=STATEMENT_SECONDS_MAX,
        )
        if answer.status != 200:  # noqa: PLR2004  # HTTP's number is its name
            raise _refusal(answer)
        signed = hmac.new(self._secret, answer.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signed.encode(), answer.headers.get("statement-sign", "").encode()):
            raise ChannelError("the statement is not signed by the channel")
        return _entries(answer.body)

    def read_notification(self, notification: Notification) -> Receipt:
        if not self._is_ours(notification.fields):
            raise WrongSignatureError
        return _receipt(notification.fields)

    async def _call(self, path: str, pay_id: int, fields: Mapping[str, str | int]) -> dict[str, str]:
        """Post a signed request; answer the fields of an answer that the channel signed. Raises ChannelError."""
        answer = await self._post(path, {**fields, "outTradeNo": str(pay_id)})
        texts = _flat_texts(answer.body)
        if answer.status != 200 or texts.get("code") != "SUCCESS":  # noqa: PLR2004  # HTTP's number is its name
            raise _refusal(answer)
        if not self._is_ours(texts) or texts.get("outTradeNo") != str(pay_id):
            raise ChannelError("the answer is not signed by the channel, or is about another payment")
        return texts

    async def _post(
        self,
        path: str,
        fields: Mapping[str, str | int],
        *,
        bytes_max: int = 16 << 10,
        timeout_seconds: float | None = None,
    ) -> HttpAnswer:
        request = {
            **fields,
            "merchantId": self._merchant_id,
            "timestamp": int(time.time()),
            "nonce": secrets.token_hex(16),
        }
        return await exchange(
            self._session,
            "POST",
            self._url + path,
            body=orjson.dumps({**request, "sign": self._sign(request)}),
            headers={"Content-Type": "application/json"},
            bytes_max=bytes_max,
            timeout_seconds=timeout_seconds,
        )

    def _sign(self, fields: Mapping[str, str | int]) -> str:
        text = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if name != "sign")
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()

    def _is_ours(self, fields: Mapping[str, str]) -> bool:
        """Tell whether the channel signed these fields, and for this merchant. Takes as long whatever is wrong."""
        signed = hmac.compare_digest(self._sign(fields).encode(), fields.get("sign", "").encode())
        return signed and fields.get("merchantId") == self._merchant_id


def _refusal(answer: HttpAnswer) -> _RefusedError:
    texts = _flat_texts(answer.body)
    return _RefusedError(texts.get("code", f"HTTP {answer.status}"), texts.get("message", ""))


def _flat_texts(raw: bytes) -> dict[str, str]:
    """Read a flat JSON object; a number is the text that it is signed as. Raises ChannelError."""
    try:
        parsed: object = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ChannelError("the answer is not JSON") from error
    if not isinstance(parsed, dict) or not all(type(value) in {str, int} for value in parsed.values()):
        raise ChannelError("the answer is not a flat JSON object of strings and whole numbers")
    return {str(name): str(value) for name, value in parsed.items()}


def _receipt_of_answer(answer: Mapping[str, str]) -> Receipt:
    try:
        return _receipt(answer)
    except NoReceiptError as error:
        raise ChannelError(f"the answer is no receipt: {error}") from error


def _receipt(fields: Mapping[str, str]) -> Receipt:
    if fields.get("status") != "SUCCESS":
        raise NoReceiptError("status", "is not SUCCESS, which is all that is told of")
    return Receipt(
        pay_id=fields.get("outTradeNo", ""),
        trade_no=_number_of(fields, "tradeNo"),
        amount_fen=_whole_number(fields, "amount"),
        # A notification names no currency: the channel knows one.
        currency=fields.get("currency", CURRENCY),
        paid_at_ms=_whole_number(fields, "paidAt"),
    )


def _number_of(fields: Mapping[str, str], name: str) -> str:
    number = fields.get(name, "")
    if not 0 < len(number) <= TRADE_NO_CHARACTERS_MAX:
        raise NoReceiptError(name, f"must have 1 to {TRADE_NO_CHARACTERS_MAX} characters")
    return number


def _whole_number(fields: Mapping[str, str], name: str) -> int:
    text = fields.get(name, "")
    if not _WHOLE_NUMBER.fullmatch(text):
        raise NoReceiptError(name, "must be a whole number of at most 15 digits")
    return int(text)


def _entries(body: bytes) -> list[Entry]:
    """Read a statement, whose first row names the columns. Raises ChannelError."""
    try:
        rows = csv.reader(body.decode().splitlines(), strict=True)
        if next(rows, None) != _STATEMENT_COLUMNS:
            raise ChannelError(f"the statement does not have the columns {', '.join(_STATEMENT_COLUMNS)}")
        return [_entry(row) for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ChannelError(f"the statement cannot be read: {error}") from error


def _entry(row: Iterable[str]) -> Entry:
    try:
        kind_text, number, amount, status = row
        kind = EntryKind(kind_text)
    except ValueError as error:
        raise ChannelError(f"the statement has a row that cannot be read: {error}") from error
    if not 0 < len(number) <= NUMBER_CHARACTERS_MAX or not _WHOLE_NUMBER.fullmatch(amount):
        raise ChannelError("the statement has a row with a wrong number or amount")
    return Entry(kind, number, int(amount), _DONE[kind] if status == "SUCCESS" else status[:32])
