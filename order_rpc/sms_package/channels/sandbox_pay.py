"""The sandbox's payment channel: flat signed JSON over HTTP.

Requests, answers with HTTP 200 and notifications carry `sign`: the hex HMAC-SHA256 of their other fields as
`key=value`, sorted by key and joined by `&`. Refusals are `{"code", "message"}` with HTTP 4xx, unsigned. Amounts are
in fen, `timestamp` in Unix seconds, `paidAt` in milliseconds; the one currency is CNY.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping

import aiohttp
import orjson

from order_rpc.sms_package.channels.port import (
    ChannelError,
    NoReceiptError,
    OpenedPayment,
    Receipt,
    WrongSignatureError,
)
from order_rpc.sms_package.domain import CURRENCY

_ANSWER_BYTES_MAX = 16 << 10
_TRADE_NO_CHARACTERS_MAX = 64
_PAY_URL_CHARACTERS_MAX = 512
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,15}")


class _RefusedError(ChannelError):
    """The channel's refusal. `code` is the channel's own."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code


class SandboxPay:
    """Adapter of the port. The session, its time-outs among it, belongs to the caller."""

    def __init__(
        self, session: aiohttp.ClientSession, *, url: str, merchant_id: str, secret: str, notify_url: str = ""
    ) -> None:
        """`url` is scheme, host and port. Without `notify_url` the channel notifies the address that it was given."""
        self._session = session
        self._payments_url = f"{url.rstrip('/')}/pay/v1/payments"
        self._merchant_id = merchant_id
        self._secret = secret.encode()
        self._notify_url = notify_url

    async def open(self, payment_id: int, amount_fen: int, subject: str) -> OpenedPayment:
        order: dict[str, str | int] = {"amount": amount_fen, "currency": CURRENCY, "subject": subject}
        if self._notify_url:
            order["notifyUrl"] = self._notify_url
        answer = await self._call("", payment_id, order)
        opened = OpenedPayment(answer.get("tradeNo", ""), answer.get("payUrl", ""))
        if not 0 < len(opened.trade_no) <= _TRADE_NO_CHARACTERS_MAX:
            raise ChannelError("the answer has no tradeNo, or one that is too long")
        if not 0 < len(opened.pay_url) <= _PAY_URL_CHARACTERS_MAX:
            raise ChannelError("the answer has no payUrl, or one that is too long")
        return opened

    async def close(self, payment_id: int) -> Receipt | None:
        try:
            await self._call(f"/{payment_id}:close", payment_id, {})
        except _RefusedError as error:
            if error.code == "ORDER_NOT_FOUND":
                return None
            if error.code == "ORDER_PAID":
                return await self._query(payment_id)
            raise
        return None

    def read_notification(self, fields: Mapping[str, str]) -> Receipt:
        if not self._is_ours(fields):
            raise WrongSignatureError
        return _receipt(fields)

    async def _query(self, payment_id: int) -> Receipt:
        answer = await self._call(f"/{payment_id}:query", payment_id, {})
        try:
            return _receipt(answer)
        except NoReceiptError as error:
            raise ChannelError(f"the answer is no receipt: {error}") from error

    async def _call(self, path: str, payment_id: int, fields: Mapping[str, str | int]) -> dict[str, str]:
        """Post a signed request; answer the fields of an answer that the channel signed. Raises ChannelError."""
        request = {
            **fields,
            "merchantId": self._merchant_id,
            "outTradeNo": str(payment_id),
            "timestamp": int(time.time()),
            "nonce": secrets.token_hex(16),
        }
        status, answer = await self._post(path, {**request, "sign": self._sign(request)})
        if status != 200 or answer.get("code") != "SUCCESS":  # noqa: PLR2004  # HTTP's number is its name
            raise _RefusedError(answer.get("code", f"HTTP {status}"), answer.get("message", ""))
        if not self._is_ours(answer) or answer.get("outTradeNo") != str(payment_id):
            raise ChannelError("the answer is not signed by the channel, or is about another payment")
        return answer

    async def _post(self, path: str, body: Mapping[str, str | int]) -> tuple[int, dict[str, str]]:
        try:
            # Redirects are answers like any other: what is signed for the channel goes nowhere else.
            async with self._session.post(self._payments_url + path, json=body, allow_redirects=False) as response:
                raw = await _read_bounded(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ChannelError(f"no answer: {type(error).__name__}") from error
        return response.status, _flat_texts(raw)

    def _sign(self, fields: Mapping[str, str | int]) -> str:
        text = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if name != "sign")
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()

    def _is_ours(self, fields: Mapping[str, str]) -> bool:
        """Tell whether the channel signed these fields, and for this merchant. Takes as long whatever is wrong."""
        signed = hmac.compare_digest(self._sign(fields).encode(), fields.get("sign", "").encode())
        return signed and fields.get("merchantId") == self._merchant_id


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _ANSWER_BYTES_MAX:
            raise ChannelError(f"the answer is over {_ANSWER_BYTES_MAX} bytes")
    return bytes(body)


def _flat_texts(raw: bytes) -> dict[str, str]:
    """Read a flat JSON object; a number is the text that it is signed as. Raises ChannelError."""
    try:
        parsed: object = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ChannelError("the answer is not JSON") from error
    if not isinstance(parsed, dict) or not all(type(value) in {str, int} for value in parsed.values()):
        raise ChannelError("the answer is not a flat JSON object of strings and whole numbers")
    return {str(name): str(value) for name, value in parsed.items()}


def _receipt(fields: Mapping[str, str]) -> Receipt:
    if fields.get("status") != "SUCCESS":
        raise NoReceiptError("status", "is not SUCCESS, which is all that is told of")
    trade_no = fields.get("tradeNo", "")
    if not 0 < len(trade_no) <= _TRADE_NO_CHARACTERS_MAX:
        raise NoReceiptError("tradeNo", f"must have 1 to {_TRADE_NO_CHARACTERS_MAX} characters")
    return Receipt(
        payment_id=fields.get("outTradeNo", ""),
        trade_no=trade_no,
        amount_fen=_whole_number(fields, "amount"),
        # A notification names no currency: the channel knows one.
        currency=fields.get("currency", CURRENCY),
        paid_at_ms=_whole_number(fields, "paidAt"),
    )


def _whole_number(fields: Mapping[str, str], name: str) -> int:
    text = fields.get(name, "")
    if not _WHOLE_NUMBER.fullmatch(text):
        raise NoReceiptError(name, "must be a whole number of at most 15 digits")
    return int(text)
