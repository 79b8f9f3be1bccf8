"""WeChat Pay, APIv3, Native payments: JSON signed with RSA, notifications hidden by AES-GCM, a bill a day.

https://pay.weixin.qq.com/doc/v3/merchant/4012791832. Answers are checked as notifications are. `pay_url` is what the
buyer's code shows; a transaction has its number once it is paid.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from order_rpc.channel_settings import WechatPaySettings
from order_rpc.payment.channels.http import HttpAnswer, exchange
from order_rpc.payment.channels.port import (
    PAY_URL_CHARACTERS_MAX,
    STATEMENT_BYTES_MAX,
    STATEMENT_SECONDS_MAX,
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
from order_rpc.payment.channels.wechat_bill import read_bill
from order_rpc.payment.channels.wechat_receipt import (
    PAID_STATES,
    read_text,
    read_time_ms,
    receipt_of,
    receipt_of_answer,
)
from order_rpc.payment.channels.wechat_signing import WechatSigning
from order_rpc.payment.comparison import Entry
from order_rpc.payment.domain import CURRENCY

Json = dict[str, Any]

_ENDED_STATES = frozenset({"CLOSED", "REVOKED", "PAYERROR"})
_NOT_THERE = frozenset({"ORDER_NOT_EXIST", "ORDERNOTEXIST", "RESOURCE_NOT_EXISTS"})
_NO_BILL = "NO_STATEMENT_EXIST"
_REFUND_NEVER = frozenset({"PARAM_ERROR", "INVALID_REQUEST", "RESOURCE_NOT_EXISTS", "NO_AUTH", "USER_ACCOUNT_ABNORMAL"})
"""Codes with which a refund is refused for good. NOT_ENOUGH is not: the merchant's money comes."""

_REFUND_FAILED_STATES = frozenset({"CLOSED", "ABNORMAL"})


class _RefusedError(ChannelError):
    """The channel's refusal. `code` is the channel's own."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code


class WechatPay:
    """Adapter of the port. The session, its time-outs among it, belongs to the caller."""

    # A code_url holds for two hours; the buyer needs some of them to scan it and pay.
    pay_url_lifetime_ms = 105 * 60_000

    def __init__(self, session: aiohttp.ClientSession, settings: WechatPaySettings) -> None:
        """Raise ValueError for keys that are none."""
        self._session = session
        self._settings = settings
        self._url = str(settings.url).rstrip("/")
        self._signing = WechatSigning(settings)

    async def open(self, pay_id: int, amount_fen: int, subject: str) -> OpenedPayment:
        answer = await self._call(
            "POST",
            "/v3/pay/transactions/native",
            {
                "appid": self._settings.app_id,
                "mchid": self._settings.merchant_id,
                "description": subject,
                "out_trade_no": str(pay_id),
                "notify_url": str(self._settings.notify_url),
                "amount": {"total": amount_fen, "currency": CURRENCY},
            },
        )
        code_url = answer.get("code_url")
        if not isinstance(code_url, str) or not 0 < len(code_url) <= PAY_URL_CHARACTERS_MAX:
            raise ChannelError("the answer has no code_url, or one that is too long")
        return OpenedPayment("", code_url)

    async def close(self, pay_id: int) -> Receipt | None:
        path = f"/v3/pay/transactions/out-trade-no/{pay_id}/close"
        try:
            await self._call("POST", path, {"mchid": self._settings.merchant_id})
        except _RefusedError as error:
            if error.code in _NOT_THERE:
                return None
            # Refused because it was paid, or because it was closed before.
            transaction = await self._query(pay_id)
            if transaction is None or transaction.get("trade_state") in _ENDED_STATES:
                return None
            if transaction.get("trade_state") not in PAID_STATES:
                raise
            return receipt_of_answer(transaction, self._settings)
        return None

    async def query(self, pay_id: int) -> Receipt | None:
        transaction = await self._query(pay_id)
        if transaction is None or transaction.get("trade_state") not in PAID_STATES:
            return None
        return receipt_of_answer(transaction, self._settings)

    async def _query(self, pay_id: int) -> Json | None:
        path = f"/v3/pay/transactions/out-trade-no/{pay_id}?mchid={self._settings.merchant_id}"
        try:
            transaction = await self._call("GET", path)
        except _RefusedError as error:
            if error.code in _NOT_THERE:
                return None
            raise
        if transaction.get("out_trade_no") != str(pay_id):
            raise ChannelError("the answer is about another payment")
        return transaction

    async def refund(self, order: RefundOrder) -> MadeRefund | None:
        wanted: Json = {
            "out_trade_no": str(order.pay_id),
            "out_refund_no": str(order.refund_id),
            "amount": {"refund": order.amount_fen, "total": order.pay_amount_fen, "currency": CURRENCY},
        }
        if order.remark:
            wanted["reason"] = order.remark[:80]
        try:
            answer = await self._call("POST", "/v3/refund/domestic/refunds", wanted)
        except _RefusedError as error:
            if error.code in _REFUND_NEVER:
                raise RefundRefusedError(str(error)) from error
            raise
        amount = answer.get("amount")
        fen = amount.get("refund") if isinstance(amount, dict) else None
        if answer.get("out_refund_no") != str(order.refund_id) or fen != order.amount_fen:
            raise ChannelError("the answer is about another refund")
        status = answer.get("status")
        if status in _REFUND_FAILED_STATES:
            raise RefundRefusedError(f"the refund is {status}")
        if status != "SUCCESS":
            return None
        try:
            return MadeRefund(read_text(answer, "refund_id"), read_time_ms(answer, "success_time"))
        except NoReceiptError as error:
            raise ChannelError(f"the answer is no refund: {error}") from error

    async def statement(self, day: date) -> list[Entry]:
        try:
            where = await self._call("GET", f"/v3/bill/tradebill?bill_date={day.isoformat()}&bill_type=ALL")
        except _RefusedError as error:
            if error.code == _NO_BILL:
                return []
            raise
        download_url = where.get("download_url")
        if not isinstance(download_url, str) or not download_url.startswith(f"{self._url}/"):
            # Our signature goes to nobody else.
            raise ChannelError("the bill is to be had from somebody else")
        parts = urlsplit(download_url)
        answer = await self._exchange(
            "GET",
            f"{parts.path}?{parts.query}",
            b"",
            bytes_max=STATEMENT_BYTES_MAX,
            timeout_seconds=STATEMENT_SECONDS_MAX,
        )
        # The file itself is not signed; its hash was.
        digest = hashlib.sha1(answer.body, usedforsecurity=False).hexdigest()
        if answer.status != 200 or not hmac.compare_digest(digest, str(where.get("hash_value")).lower()):  # noqa: PLR2004  # HTTP's number is its name
            raise ChannelError(f"the bill is not the one that was announced: HTTP {answer.status}")
        return read_bill(answer.body)

    def read_notification(self, notification: Notification) -> Receipt:
        self._signing.verify(notification.headers, notification.body)
        message = _json(notification.body)
        if message is None or message.get("event_type") != "TRANSACTION.SUCCESS":
            raise NoReceiptError("event_type", "is not TRANSACTION.SUCCESS, which is all that is told of")
        resource = message.get("resource")
        if not isinstance(resource, dict):
            raise NoReceiptError("resource", "must be an object")
        plain = self._signing.unseal(
            str(resource.get("ciphertext", "")),
            str(resource.get("nonce", "")),
            str(resource.get("associated_data", "")),
        )
        transaction = _json(plain)
        if transaction is None:
            raise NoReceiptError("resource", "does not hide a JSON object")
        return receipt_of(transaction, self._settings)

    async def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        """Make a signed call; answer what the channel has signed. Raises ChannelError."""
        raw = b"" if body is None else orjson.dumps(body)
        answer = await self._exchange(method, path, raw)
        if answer.status not in {200, 204}:
            refusal = _json(answer.body) or {}
            raise _RefusedError(str(refusal.get("code", f"HTTP {answer.status}")), str(refusal.get("message", "")))
        try:
            self._signing.verify(answer.headers, answer.body)
        except WrongSignatureError as error:
            raise ChannelError("the answer is not signed by the channel") from error
        parsed = _json(answer.body) if answer.body else {}
        if parsed is None:
            raise ChannelError("the answer is not a JSON object")
        return parsed

    async def _exchange(
        self, method: str, path: str, body: bytes, *, bytes_max: int = 64 << 10, timeout_seconds: float | None = None
    ) -> HttpAnswer:
        headers = {
            "Authorization": self._signing.authorize(method, path, body),
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        return await exchange(
            self._session,
            method,
            self._url + path,
            body=body,
            headers=headers,
            bytes_max=bytes_max,
            timeout_seconds=timeout_seconds,
        )


def _json(raw: bytes) -> Json | None:
    try:
        parsed: object = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, dict) else None
